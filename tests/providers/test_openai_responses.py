"""OpenAI Responses: every event that says something, the whole answer, resumed streams, request parameters."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent, ResponseTextDeltaEvent

from streamspan._records import AUDIO, IMAGE, Delta, ProviderError, ToolCallDelta
from streamspan.providers._openai_responses import (
    _READERS,
    fetch_attributes,
    read_event,
    read_fetched_event,
    read_whole,
    request_attributes,
    text_of,
)
from support.payloads import anything, check, make_object, numbers, objects, or_missing, plain, usage_with, words

unhurried = settings(deadline=None, max_examples=200)


def as_event(payload: Any) -> Any:
    """Make the SDK's event of a payload, as the SDK does."""
    return make_object(ResponseStreamEvent, payload)


def as_response(payload: Any) -> Any:
    return make_object(Response, payload)


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "sequence_number": 1, **fields}


RESPONSE = {"id": "resp-1", "model": "m-1", "output": [], "status": "in_progress"}
USAGE = {
    "input_tokens": 3,
    "input_tokens_details": {"cached_tokens": 1},
    "output_tokens": 5,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 8,
}
COUNTS = {
    "input_tokens": 3,
    "output_tokens": 5,
    "cache_read.input_tokens": 1,
    "reasoning.output_tokens": 2,
}


THOUGHT = {
    "type": "reasoning",
    "id": "r",
    "summary": [{"type": "summary_text", "text": "short"}],
}


def named(**fields: Any) -> Delta:
    given: dict[str, Any] = {"choice": 0, "response_id": "resp-1", "response_model": "m-1"}
    return Delta(**given | fields)


def call(index: int | None, identity: str = "", name: str = "", arguments: str = "") -> Delta:
    return Delta("", 0, tool_calls=[ToolCallDelta(index, identity, name, arguments)])


FUNCTION = {"type": "function_call", "id": "fc-1", "call_id": "call-1", "name": "look", "arguments": ""}
CUSTOM = {"type": "custom_tool_call", "id": "ctc-1", "call_id": "call-2", "name": "grep", "input": ""}
MCP = {"type": "mcp_call", "id": "mcp-1", "name": "ask", "arguments": "", "server_label": "s"}

EVENTS: dict[str, tuple[dict[str, Any], Delta]] = {
    "created": (event("response.created", response=RESPONSE), named()),
    "queued": (event("response.queued", response=RESPONSE), named()),
    "in progress": (event("response.in_progress", response=RESPONSE), named()),
    "text": (event("response.output_text.delta", delta="Hallo", output_index=0, item_id="i"), Delta("Hallo", 0)),
    "refusal": (event("response.refusal.delta", delta="No.", item_id="i"), Delta("", 0, refusal="No.")),
    "reasoning": (event("response.reasoning_text.delta", delta="hm", item_id="i"), Delta("", 0, reasoning="hm")),
    "reasoning summary": (
        event("response.reasoning_summary_text.delta", delta="hm", item_id="i"),
        Delta("", 0, reasoning="hm", is_summary=True),
    ),
    "function call": (
        event("response.output_item.added", output_index=1, item=FUNCTION),
        call(1, "call-1", "look"),
    ),
    "custom tool": (event("response.output_item.added", output_index=2, item=CUSTOM), call(2, "call-2", "grep")),
    "mcp call": (event("response.output_item.added", output_index=0, item=MCP), call(0, "mcp-1", "ask")),
    "message item": (
        event("response.output_item.added", output_index=0, item={"type": "message", "id": "msg", "content": []}),
        Delta(),
    ),
    "arguments": (
        event("response.function_call_arguments.delta", delta='{"a"', output_index=1, item_id="fc-1"),
        call(1, arguments='{"a"'),
    ),
    "mcp arguments": (
        event("response.mcp_call_arguments.delta", delta="{}", output_index=0, item_id="mcp-1"),
        call(0, arguments="{}"),
    ),
    "custom input": (
        event("response.custom_tool_call_input.delta", delta="x", output_index=2, item_id="ctc-1"),
        call(2, arguments="x"),
    ),
    "code": (
        event("response.code_interpreter_call_code.delta", delta="1+1", output_index=3, item_id="ci"),
        call(3, arguments="1+1"),
    ),
    "audio": (event("response.audio.delta", delta="AAAA"), Delta("", 0, media=AUDIO)),
    "empty audio": (event("response.audio.delta", delta=""), Delta("", 0)),
    "audio transcript": (event("response.audio.transcript.delta", delta="Hal"), Delta("Hal", 0)),
    "image": (
        event("response.image_generation_call.partial_image", partial_image_b64="AAAA", output_index=0, item_id="i"),
        Delta("", 0, media=IMAGE),
    ),
    "completed": (
        event("response.completed", response=RESPONSE | {"status": "completed", "usage": USAGE, "service_tier": "default"}),
        named(
            finish_reason="completed",
            usage=COUNTS,
            attributes={"openai.response.service_tier": "default"},
            is_terminal=True,
        ),
    ),
    "incomplete": (
        event(
            "response.incomplete",
            response=RESPONSE | {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
        ),
        named(finish_reason="max_output_tokens", is_terminal=True),
    ),
    "failed": (
        event("response.failed", response=RESPONSE | {"status": "failed", "error": {"code": "server_error", "message": "busy"}}),
        named(error=ProviderError("server_error", "busy"), is_terminal=True),
    ),
    "failed without a word": (
        event("response.failed", response=RESPONSE | {"status": "failed", "error": None}),
        named(error=ProviderError("_OTHER", "the response failed"), is_terminal=True),
    ),
    "error": (
        event("error", code="rate_limit_exceeded", message="slow down", param=None),
        Delta(choice=0, error=ProviderError("rate_limit_exceeded", "slow down")),
    ),
    "output of tools": (event("response.web_search_call.searching", output_index=0, item_id="ws"), Delta()),
    "text done": (event("response.output_text.done", text="Hallo", output_index=0, item_id="i"), Delta()),
    "unknown": (event("response.brand_new", delta="?"), Delta()),
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_says_the_same_as_json_and_as_an_object(name: str) -> None:
    """Text that is repeated at the end (`…done`) is not counted twice."""
    payload, delta = EVENTS[name]
    assert plain(read_event(payload)) == plain(delta)
    assert plain(read_event(as_event(payload))) == plain(delta)


def test_every_event_with_a_reader_is_tried_here() -> None:
    """So that a new one is not forgotten."""
    tried = {payload["type"] for payload, _ in EVENTS.values()}
    assert set(_READERS) - tried == {"response.shell_call_command.delta"}


def test_a_shell_command_is_a_tools_argument() -> None:
    """Not every SDK knows the event."""
    payload = event("response.shell_call_command.delta", delta="ls", output_index=4)
    assert plain(read_event(payload)) == plain(call(4, arguments="ls"))


def test_an_error_without_a_type_on_the_wire_is_an_error() -> None:
    """In the shape of chat completions, which the SDK raises."""
    assert read_event({"error": {"code": "overloaded", "message": "busy"}}).error == ProviderError("overloaded", "busy")
    assert read_event({"type": "error", "error": {"type": "server_error"}}).error == ProviderError("server_error")


def test_an_error_as_older_sdks_hand_it_out_is_an_error() -> None:
    """In the shape of assistants events, which openai before 2.0 makes of every other name."""
    payload = {"event": "error", "data": {"type": "error", "code": "overloaded", "message": "busy"}}
    for item in (payload, SimpleNamespace(**payload)):
        assert read_event(item).error == ProviderError("overloaded", "busy")


def test_an_event_that_an_older_sdk_takes_for_another_is_read_all_the_same() -> None:
    """Its fields are not declared by that class, and kept apart."""
    created = ResponseTextDeltaEvent.construct(type="response.created", response=RESPONSE)
    assert plain(read_event(created)) == plain(named())


def test_the_shortcut_is_taken_for_text_only() -> None:
    """As JSON and as an object; an empty text is no output."""
    payload = EVENTS["text"][0]
    assert text_of(payload) == text_of(as_event(payload)) == "Hallo"
    assert text_of(payload | {"delta": ""}) is None
    for name in ("refusal", "reasoning", "completed", "arguments"):
        assert text_of(EVENTS[name][0]) is None
    odds: list[Any] = [None, 5, "text", {}, {"type": []}, {"type": "response.output_text.delta", "delta": 5}]
    for odd in odds:
        assert text_of(odd) is None


def test_a_whole_answer_has_all_its_items() -> None:
    """Messages, refusals, reasoning, calls and images; a call's position is its number."""
    payload = RESPONSE | {
        "status": "completed",
        "usage": USAGE,
        "output": [
            {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "h"}], "content": [{"type": "reasoning_text", "text": "m"}]},
            {"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": "Hal", "annotations": []}, {"type": "output_text", "text": "lo", "annotations": []}, {"type": "refusal", "refusal": "No."}]},
            FUNCTION | {"arguments": "{}"},
            CUSTOM | {"input": "x"},
            {"type": "image_generation_call", "id": "ig", "result": "AAAA", "status": "completed"},
            {"type": "web_search_call", "id": "ws", "status": "completed"},
        ],
    }  # fmt: skip
    expected = named(
        finish_reason="completed",
        usage=COUNTS,
        is_terminal=True,
        others=[
            Delta("", 0, reasoning="hm"),
            Delta("Hallo", 0, refusal="No."),
            call(2, "call-1", "look", "{}"),
            call(3, "call-2", "grep", "x"),
            Delta("", 0, media=IMAGE),
            Delta("", 0),
        ],
    )
    assert plain(read_whole(payload)) == plain(expected)
    assert plain(read_whole(as_response(payload))) == plain(expected)


def test_thoughts_that_are_only_summarized_are_told_apart() -> None:
    """A summary is not what the reasoning tokens were spent on."""
    thoughts = {"content": [{"type": "reasoning_text", "text": "long"}]}
    for item, expected in (
        (THOUGHT, Delta("", 0, reasoning="short", is_summary=True)),
        (THOUGHT | thoughts, Delta("", 0, reasoning="shortlong")),
    ):
        payload = RESPONSE | {"status": "completed", "output": [item]}
        assert list(read_whole(payload).others) == [expected]
        assert list(read_whole(as_response(payload)).others) == [expected]


def test_a_resumed_stream_does_not_count_its_tokens_again() -> None:
    """The call that made the response has counted them; the status is told instead."""
    payload = EVENTS["completed"][0]
    delta = read_fetched_event(payload)
    assert (delta.usage, delta.finish_reason) == (None, "completed")
    assert delta.attributes == {"openai.response.service_tier": "default", "gen_ai.response.status": "completed"}
    assert read_fetched_event(as_event(payload)) == delta
    assert read_fetched_event(EVENTS["text"][0]) == Delta("Hallo", 0)
    assert read_fetched_event(EVENTS["created"][0]).attributes == {"gen_ai.response.status": "in_progress"}


# --- any payload ---------------------------------------------------------------------------------------------------------------


def typed(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that say what they are, which is how the SDK finds their class."""
    return or_missing(**fields).map(lambda data: {"type": kind, **data})


outputs = st.lists(
    typed("message", content=st.lists(typed("output_text", text=words), max_size=2))
    | typed("function_call", id=words, call_id=words, name=words, arguments=words),
    max_size=2,
)
bodies = or_missing(
    id=words,
    model=words,
    status=st.sampled_from(["completed", "incomplete", "failed", "in_progress"]),
    service_tier=st.sampled_from(["default", "flex"]),
    error=st.fixed_dictionaries({"message": words}, optional={"code": words}),
    incomplete_details=or_missing(reason=words),
    usage=usage_with(
        "input_tokens",
        output_tokens=numbers,
        input_tokens_details=or_missing(cached_tokens=numbers),
        output_tokens_details=or_missing(reasoning_tokens=numbers),
    ),
    output=outputs,
)
events = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(sorted(_READERS)),
    or_missing(
        delta=words,
        output_index=numbers,
        item_id=words,
        code=words,
        message=words,
        response=bodies,
        item=st.sampled_from([FUNCTION, CUSTOM, MCP]),
    ),
)


@unhurried
@given(events)
def test_json_and_object_say_the_same(payload: dict[str, Any]) -> None:
    """For every event that could be sent: fields missing, null or empty."""
    delta = read_event(payload)
    check(delta)
    assert plain(read_event(as_event(payload))) == plain(delta)


@unhurried
@given(bodies)
def test_a_whole_answer_says_the_same_as_json_and_as_an_object(payload: dict[str, Any]) -> None:
    """As for events."""
    delta = read_whole(payload)
    check(delta)
    assert plain(read_whole(as_response(payload))) == plain(delta)


@unhurried
@given(events)
def test_the_shortcut_says_what_the_reader_says(payload: dict[str, Any]) -> None:
    """When it is taken, the reader would have found that text of the first choice and nothing else."""
    for item in (payload, as_event(payload)):
        said = text_of(item)
        if said is not None:
            assert read_event(item) == Delta(said, 0)


@pytest.mark.parametrize("read", [read_event, read_whole, read_fetched_event])
@unhurried
@given(payload=objects | anything)
def test_nothing_makes_a_reader_raise(read: Callable[[Any], Delta], payload: Any) -> None:
    """Whatever JSON it is, also in the SDK's object, there is a well-formed delta."""
    check(read(payload))
    if isinstance(payload, dict):
        for kind in ("response.completed", "response.output_item.added", "response.output_text.delta", "error"):
            check(read(payload | {"type": kind}))
            check(read(as_event(payload | {"type": kind})))
    text_of(payload)


# --- requests --------------------------------------------------------------------------------------------------------------------

REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    ({"temperature": 1, "top_p": 0.5, "max_output_tokens": 9}, {"gen_ai.request.temperature": 1.0, "gen_ai.request.top_p": 0.5, "gen_ai.request.max_tokens": 9}),
    ({"reasoning": {"effort": "high"}}, {"gen_ai.request.reasoning.level": "high"}),
    ({"reasoning": None, "text": "x"}, {}),
    ({"previous_response_id": "resp-0"}, {"gen_ai.request.previous_response.id": "resp-0"}),
    ({"text": {"format": {"type": "json_schema"}}}, {"gen_ai.output.type": "json"}),
    ({"service_tier": "priority"}, {"openai.request.service_tier": "priority"}),
    ({"service_tier": "auto"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("body", "attributes"), REQUESTS)
def test_request_parameters_are_attributes(body: dict[str, Any], attributes: dict[str, Any]) -> None:
    """By their names in the conventions; the API is named."""
    assert request_attributes(body) == {**attributes, "openai.api.type": "responses"}


def test_where_a_stream_is_resumed_is_an_attribute() -> None:
    """As text; 0 is a place too."""
    assert fetch_attributes({}) == {"openai.api.type": "responses"}
    assert fetch_attributes({"starting_after": 0})["gen_ai.request.stream_cursor"] == "0"
    assert fetch_attributes({"starting_after": "17"})["gen_ai.request.stream_cursor"] == "17"


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["reasoning", "text", "previous_response_id", "service_tier", "starting_after"]), anything
    )
)
def test_no_request_makes_it_raise(body: dict[str, Any]) -> None:
    """What is not understood is left out; every value can be an attribute."""
    check(Delta(attributes=request_attributes(body)))
    check(Delta(attributes=fetch_attributes(body)))
