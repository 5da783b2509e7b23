"""Anthropic Messages: what an event says, as an SDK object and as JSON, right or wrong, and what was asked."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._answer import Answer
from streamspan._records import Delta, ProviderError, Request, ToolCallDelta
from streamspan._sessions import find_endpoint, host_name, model_in
from streamspan.providers._anthropic_events import read_event, read_whole, request_attributes, text_of
from streamspan.providers.anthropic import ANTHROPIC
from support.payloads import anything, check, numbers, or_missing, plain, words

unhurried = settings(deadline=None, max_examples=200)


def as_object(kind: str, payload: Any) -> Any:
    """Make the SDK's object of a payload, as the SDK does: `RawMessageStreamEvent`, `beta.…`, `Message`."""
    types = pytest.importorskip("anthropic.types")
    models = pytest.importorskip("anthropic._models")
    for name in kind.split("."):
        types = getattr(types, name)
    return models.construct_type(type_=types, value=copy.deepcopy(payload))


def started(**usage: Any) -> dict[str, Any]:
    message = {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-1", "content": [], "usage": usage}
    return {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None}}


def block(**content: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": 1, "content_block": content}


def piece(**delta: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 1, "delta": delta}


def ended(reason: str | None = "end_turn", **usage: Any) -> dict[str, Any]:
    delta = {"stop_reason": reason, "stop_sequence": None}
    return {"type": "message_delta", "delta": delta, "usage": {"output_tokens": 3, **usage}}


def said(**fields: Any) -> Delta:
    return Delta(**{"choice": 0, **fields})


def call(identity: str = "", name: str = "", arguments: str = "") -> list[ToolCallDelta]:
    return [ToolCallDelta(1, identity, name, arguments)]


_COMPACTED = {"gen_ai.conversation.compacted": True}
EVENTS: dict[str, tuple[dict[str, Any], Delta]] = {
    "start": (
        started(input_tokens=5, output_tokens=1),
        said(response_id="msg-1", response_model="m-1", usage={"uncached.input_tokens": 5}),
    ),
    "start with cache": (
        started(input_tokens=5, cache_read_input_tokens=7, cache_creation_input_tokens=9, output_tokens=1),
        said(
            response_id="msg-1",
            response_model="m-1",
            usage={"uncached.input_tokens": 5, "cache_read.input_tokens": 7, "cache_write.input_tokens": 9},
        ),
    ),
    "text block": (block(type="text", text=""), said()),
    "text block with text": (block(type="text", text="Hi"), said(text="Hi")),
    "thinking block": (block(type="thinking", thinking="", signature=""), said(is_summary=True)),
    "redacted thinking": (block(type="redacted_thinking", data="Zm9v"), said()),
    "tool": (block(type="tool_use", id="t-1", name="look", input={}), said(tool_calls=call("t-1", "look"))),
    "tool with input": (
        block(type="tool_use", id="t-1", name="look", input={"a": 1}),
        said(tool_calls=call("t-1", "look", '{"a": 1}')),
    ),
    "server tool": (
        block(type="server_tool_use", id="s-1", name="web_search", input={}),
        said(tool_calls=call("s-1", "web_search")),
    ),
    "result of a server tool": (block(type="web_search_tool_result", tool_use_id="s-1", content=[]), said()),
    "text": (piece(type="text_delta", text="Hallo"), said(text="Hallo")),
    "thoughts": (piece(type="thinking_delta", thinking="hm"), said(reasoning="hm", is_summary=True)),
    "signature": (piece(type="signature_delta", signature="Zm9v"), said()),
    "arguments": (piece(type="input_json_delta", partial_json='{"a"'), said(tool_calls=call(arguments='{"a"'))),
    "no arguments": (piece(type="input_json_delta", partial_json=""), said(tool_calls=call())),
    "end of a block": ({"type": "content_block_stop", "index": 1}, Delta()),
    "stop reason": (
        ended(),
        said(reason_ends=False, finish_reason="end_turn", usage={"output_tokens": 3}),
    ),
    "usage at the end": (
        ended("tool_use", input_tokens=5, cache_read_input_tokens=7, cache_creation_input_tokens=None),
        said(
            reason_ends=False,
            finish_reason="tool_use",
            usage={"uncached.input_tokens": 5, "cache_read.input_tokens": 7, "output_tokens": 3},
        ),
    ),
    "thinking tokens": (
        ended(output_tokens_details={"thinking_tokens": 2}),
        said(reason_ends=False, finish_reason="end_turn", usage={"output_tokens": 3, "reasoning.output_tokens": 2}),
    ),
    "stop": ({"type": "message_stop"}, said(is_terminal=True)),
}
BETA_EVENTS: dict[str, tuple[dict[str, Any], Delta]] = {
    **EVENTS,
    "MCP tool": (
        block(type="mcp_tool_use", id="m-1", name="find", server_name="s", input={}),
        said(tool_calls=call("m-1", "find")),
    ),
    "result of an MCP tool": (block(type="mcp_tool_result", tool_use_id="m-1", is_error=False, content=[]), said()),
    "compaction": (block(type="compaction", content=None), said(attributes=_COMPACTED)),
    "text of a compaction": (piece(type="compaction_delta", content="They spoke."), said()),
}


@pytest.mark.parametrize("name", BETA_EVENTS)
def test_an_event_says(name: str) -> None:
    """Each kind of event, as JSON."""
    payload, delta = BETA_EVENTS[name]
    assert plain(read_event(payload)) == plain(delta)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("RawMessageStreamEvent", name) for name in EVENTS] + [("beta.BetaRawMessageStreamEvent", n) for n in BETA_EVENTS],
)
def test_an_object_says_what_its_json_says(kind: str, name: str) -> None:
    """The events of the plain and of the beta API, whatever the SDK's classes declare of them."""
    payload, delta = BETA_EVENTS[name]
    assert plain(read_event(as_object(kind, payload))) == plain(delta)


@pytest.mark.parametrize(
    "payload",
    [{"type": "ping"}, {"type": "something_new", "index": 0}, {}, None, 5, "text", [], {"type": None}, {"type": []}],
)
def test_what_says_nothing_says_nothing(payload: Any) -> None:
    """Signs of life, unknown events and nonsense."""
    assert read_event(payload) == Delta()


def test_an_error_event_is_the_providers_word() -> None:
    """Its type and its message; mostly on the wire only, for the SDK raises it."""
    error = {"type": "overloaded_error", "message": "Overloaded"}
    assert read_event({"type": "error", "error": error}).error == ProviderError("overloaded_error", "Overloaded")
    assert read_event({"type": "error", "error": None}).error == ProviderError("_OTHER", "")
    item = as_object("RawMessageStreamEvent", {"type": "error", "error": error})  # of Bedrock, in versions before 1.0
    assert read_event(item).error == ProviderError("overloaded_error", "Overloaded")


def test_a_frame_of_bedrocks_stream_is_the_event_in_it() -> None:
    """Where no SDK has unpacked it; an exception frame is an error."""
    frame = {"chunk": {"bytes": json.dumps(piece(type="text_delta", text="Hallo")).encode()}}
    assert read_event(frame) == said(text="Hallo")
    failed = read_event({"throttlingException": {"message": "Too many requests"}})
    assert failed.error == ProviderError("throttlingException", "Too many requests")


WHOLE = {
    "id": "msg-1",
    "type": "message",
    "role": "assistant",
    "model": "m-1",
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 5, "cache_read_input_tokens": 7, "output_tokens": 3},
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "Zm9v"},
        {"type": "text", "text": "Hallo", "citations": None},
        {"type": "tool_use", "id": "t-1", "name": "look", "input": {"a": "ü"}},
    ],
}


@pytest.mark.parametrize("kind", ["", "Message", "beta.BetaMessage"])
def test_a_whole_message_says_all(kind: str) -> None:
    """Text, thoughts, tool calls, usage and the stop reason; there is no placeholder in it."""
    delta = read_whole(as_object(kind, WHOLE) if kind else WHOLE)
    assert (delta.response_id, delta.response_model, delta.finish_reason, delta.is_terminal) == (
        "msg-1",
        "m-1",
        "tool_use",
        True,
    )
    assert delta.usage == {"uncached.input_tokens": 5, "cache_read.input_tokens": 7, "output_tokens": 3}
    assert [(each.reasoning, each.text, list(each.tool_calls)) for each in delta.others] == [
        ("hm", "", []),
        ("", "Hallo", []),
        ("", "", [ToolCallDelta(2, "t-1", "look", '{"a": "ü"}')]),
    ]


# --- what the session makes of the counts ------------------------------------------------------------------------


def _usage(*events: dict[str, Any]) -> dict[str, int]:
    answer = Answer(Request("chat", "anthropic", "test"), has_finish_reasons=True, output=None, text_of=None)
    for event in events:
        answer.take(read_event(event))
    return answer.usage


def test_the_input_is_what_was_asked_with_what_the_cache_gave_and_took() -> None:
    """The conventions' input tokens include the cached ones, Anthropic's do not."""
    usage = _usage(started(input_tokens=5, cache_read_input_tokens=7, cache_creation_input_tokens=9), ended())
    assert usage == {
        "input_tokens": 21,
        "cache_read.input_tokens": 7,
        "cache_write.input_tokens": 9,
        "output_tokens": 3,
    }


def test_counts_of_the_cache_that_come_late_are_added() -> None:
    """Some gateways send them at the end only."""
    assert _usage(started(input_tokens=5), ended(cache_read_input_tokens=7))["input_tokens"] == 12


def test_the_last_count_stands() -> None:
    """Counts are cumulative and never added up, also where they fall."""
    usage = _usage(started(input_tokens=5), ended(input_tokens=4), ended(output_tokens=0))
    assert usage == {"input_tokens": 4, "output_tokens": 0}


def test_the_placeholder_is_no_count() -> None:
    """A stream that was cut short has its input tokens, and no output tokens."""
    assert _usage(started(input_tokens=5, output_tokens=1), piece(type="text_delta", text="Hi")) == {"input_tokens": 5}


# --- the shortcut, and nonsense ----------------------------------------------------------------------------------


def test_the_shortcut_is_taken_for_text_deltas_only() -> None:
    """An SDK's event, and with text in it."""
    kind = "RawMessageStreamEvent"
    assert text_of(as_object(kind, piece(type="text_delta", text="Hallo"))) == "Hallo"
    assert text_of(as_object(kind, piece(type="text_delta", text=""))) is None
    assert text_of(as_object(kind, piece(type="thinking_delta", thinking="hm"))) is None
    assert text_of(piece(type="text_delta", text="Hallo")) is None
    for odd in (None, 5, "text", object(), as_object(kind, ended()), as_object(kind, {"type": "message_stop"})):
        assert text_of(odd) is None


_NAMES = (
    "type", "index", "message", "content_block", "delta", "usage", "id", "model", "text", "thinking", "partial_json",
    "stop_reason", "input", "name", "content", "error", "input_tokens", "output_tokens", "cache_read_input_tokens",
    "output_tokens_details", "chunk", "bytes",
)  # fmt: skip
_KINDS = (
    "message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    "error", "text", "text_delta", "thinking_delta", "input_json_delta", "tool_use", "compaction",
)  # fmt: skip
_values = anything | st.sampled_from(_KINDS) | st.dictionaries(st.sampled_from(_NAMES), anything, max_size=4)
nonsense = anything | st.fixed_dictionaries(
    {"type": st.sampled_from(_KINDS)}, optional={name: _values for name in _NAMES if name != "type"}
)
_counts = {
    "input_tokens": numbers,
    "output_tokens": numbers,
    "cache_read_input_tokens": numbers,
    "cache_creation_input_tokens": numbers,
}
events = st.one_of(
    st.builds(lambda usage: started(**usage), or_missing(**_counts)),
    st.builds(lambda reason, usage: ended(reason, **usage), words, or_missing(**_counts)),
    st.builds(lambda text: piece(type="text_delta", text=text), words),
    st.builds(lambda text: piece(type="thinking_delta", thinking=text), words),
    st.builds(lambda text: piece(type="input_json_delta", partial_json=text), words),
    st.builds(lambda name: block(type="tool_use", id="t", name=name, input={}), words),
    st.just({"type": "message_stop"}),
)


@pytest.mark.parametrize("kind", ["RawMessageStreamEvent", "beta.BetaRawMessageStreamEvent"])
@unhurried
@given(payload=events)
def test_json_and_object_say_the_same(kind: str, payload: dict[str, Any]) -> None:
    """For every event that the vendor could send: counts missing or null, texts empty."""
    delta = read_event(payload)
    check(delta)
    item = as_object(kind, payload)
    assert plain(read_event(item)) == plain(delta)
    text = text_of(item)
    assert text is None or (text and delta == Delta(text, 0))


@pytest.mark.parametrize("read", [read_event, read_whole])
@unhurried
@given(payload=nonsense)
def test_nonsense_says_something_well_formed_or_raises_what_is_fenced(read: Any, payload: Any) -> None:
    """Whatever JSON it is there is a well-formed delta."""
    check(read(payload))


@unhurried
@given(payload=nonsense)
def test_nonsense_in_an_object_is_no_different(payload: Any) -> None:
    """And the shortcut gives text or nothing."""
    item = as_object("RawMessageStreamEvent", payload)
    check(read_event(item))
    said_ = text_of(item)
    assert said_ is None or (type(said_) is str and said_)


# --- requests ----------------------------------------------------------------------------------------------------

REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"temperature": 1, "top_p": 0.5, "top_k": 40, "max_tokens": 64, "stop_sequences": ["END", 3]},
        {
            "gen_ai.request.temperature": 1.0,
            "gen_ai.request.top_p": 0.5,
            "gen_ai.request.top_k": 40,
            "gen_ai.request.max_tokens": 64,
            "gen_ai.request.stop_sequences": ["END"],
        },
    ),
    ({"temperature": True, "max_tokens": "9", "top_k": 1.5, "stop_sequences": "END", "output_config": 3}, {}),
    ({"output_config": {"effort": "low"}}, {"gen_ai.request.reasoning.level": "low"}),
    ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, {"gen_ai.output.type": "json"}),
    ({"output_format": {"type": "json_schema", "schema": {}}}, {"gen_ai.output.type": "json"}),
]


@pytest.mark.parametrize(("body", "attributes"), REQUESTS)
def test_request_parameters_are_attributes(body: dict[str, Any], attributes: dict[str, Any]) -> None:
    """By their names in the conventions, of the types that they have there."""
    found = request_attributes(body)
    assert found == attributes
    assert [type(found[name]) for name in attributes] == [type(value) for value in attributes.values()]


@unhurried
@given(st.dictionaries(st.sampled_from(["temperature", "top_k", "stop_sequences", "output_config"]), anything))
def test_no_request_makes_it_raise(body: dict[str, Any]) -> None:
    """What is not understood is left out; every value can be an attribute."""
    check(Delta(attributes=request_attributes(body)))


PATHS: list[tuple[str, bool | None, str | None]] = [
    ("/v1/messages", None, None),
    ("/anthropic/v1/messages", None, None),
    ("/model/us.anthropic.claude-x-v1%3A0/invoke-with-response-stream", True, "us.anthropic.claude-x-v1:0"),
    ("/model/claude-x/invoke", False, "claude-x"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-x@1:streamRawPredict", True, "claude-x@1"),
    ("/v1/projects/p/locations/l/publishers/anthropic/models/claude-x@1:rawPredict", False, "claude-x@1"),
]


@pytest.mark.parametrize(("path", "streams", "model"), PATHS)
def test_a_path_is_an_inference(path: str, streams: bool | None, model: str | None) -> None:
    """On its own platform and on others, where the path names the model and says whether it streams."""
    endpoint = find_endpoint(ANTHROPIC, "POST", path)
    assert endpoint is not None
    assert (endpoint.streams, model_in(endpoint, path)) == (streams, model)


@pytest.mark.parametrize(
    "path",
    [
        "/v1/messages/count_tokens",
        "/v1/messages/batches",
        "/v1/messages/batches/b/results",
        "/v1/sessions/s/events/stream",
        "/v1/models",
        "/v1/projects/p/locations/l/publishers/google/models/gemini:streamRawPredict",
        "/model/claude-x/converse-stream",
    ],
)
def test_a_path_is_no_inference(path: str) -> None:
    """Counting, batches, sessions, and other people's models."""
    assert find_endpoint(ANTHROPIC, "POST", path) is None
    assert find_endpoint(ANTHROPIC, "GET", path) is None


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.anthropic.com", "anthropic"),
        ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
        ("bedrock-mantle.us-east-1.api.aws", "aws.bedrock"),
        ("us-east5-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.eu.rep.googleapis.com", "gcp.vertex_ai"),
        ("claude.googleapis.com", "anthropic"),
        ("aws-external-anthropic.us-east-1.api.aws", "anthropic"),
        ("mine.services.ai.azure.com", "azure.ai.inference"),
        ("anthropic.example.com", None),
    ],
)
def test_a_host_tells_the_provider(host: str, name: str | None) -> None:
    """Where the models of Anthropic are served."""
    assert host_name(ANTHROPIC, host) == name
