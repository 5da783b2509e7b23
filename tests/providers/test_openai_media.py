"""OpenAI's streams that are no chat: assistants runs, images, transcriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import types
from openai.types import ImagesResponse, audio
from openai.types.audio import Transcription
from openai.types.beta import AssistantStreamEvent

from streamspan._records import IMAGE, Delta, ProviderError, ToolCallDelta
from streamspan.providers._openai_media import (
    image_attributes,
    read_assistant_event,
    read_image_event,
    read_transcription,
    read_transcription_event,
    run_attributes,
    transcription_attributes,
)
from support.payloads import anything, check, make_object, numbers, objects, or_missing, plain, usage_with, words

unhurried = settings(deadline=None, max_examples=200)


# These streams came with later versions of the SDK.
ImageGenStreamEvent: Any = getattr(types, "ImageGenStreamEvent", None)
TranscriptionStreamEvent: Any = getattr(audio, "TranscriptionStreamEvent", None)


def made(kind: Any, payload: Any) -> Any:
    """Make the SDK's object of a payload, as the SDK does."""
    return make_object(kind, payload)


# --- assistants ------------------------------------------------------------------------------------------------------------------

RUN = {"id": "run-1", "model": "m-1", "object": "thread.run", "status": "in_progress"}
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ENDED = {"choice": 0, "response_id": "run-1", "response_model": "m-1", "is_terminal": True}


def step(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"id": "step-1", "object": "thread.run.step.delta", "delta": {"step_details": {"type": "tool_calls", "tool_calls": list(calls)}}}  # fmt: skip


def message(*texts: str) -> dict[str, Any]:
    content = [{"index": n, "type": "text", "text": {"value": text}} for n, text in enumerate(texts)]
    return {"id": "msg-1", "object": "thread.message.delta", "delta": {"content": content}}


EVENTS: dict[str, tuple[str, Any, Delta]] = {
    "text": ("thread.message.delta", message("Hal", "lo"), Delta("Hallo", 0)),
    "image file": (
        "thread.message.delta",
        {"id": "m", "delta": {"content": [{"index": 0, "type": "image_file", "image_file": {"file_id": "f"}}]}},
        Delta("", 0),
    ),
    "function call": (
        "thread.run.step.delta",
        step({"index": 0, "id": "call-1", "type": "function", "function": {"name": "look", "arguments": ""}}),
        Delta("", 0, tool_calls=[ToolCallDelta(0, "call-1", "look", "")]),
    ),
    "arguments": (
        "thread.run.step.delta",
        step({"index": 0, "type": "function", "function": {"arguments": "{}"}}),
        Delta("", 0, tool_calls=[ToolCallDelta(0, "", "", "{}")]),
    ),
    "code": (
        "thread.run.step.delta",
        step({"index": 1, "id": "call-2", "type": "code_interpreter", "code_interpreter": {"input": "1+1"}}),
        Delta("", 0, tool_calls=[ToolCallDelta(1, "call-2", "code_interpreter", "1+1")]),
    ),
    "created": ("thread.run.created", RUN, Delta(choice=0, response_id="run-1", response_model="m-1")),
    "in progress": ("thread.run.in_progress", RUN, Delta(choice=0, response_id="run-1", response_model="m-1")),
    "completed": (
        "thread.run.completed",
        RUN | {"usage": USAGE},
        Delta(**ENDED, finish_reason="completed", usage={"input_tokens": 3, "output_tokens": 2}),  # type: ignore[arg-type]
    ),
    "incomplete": (
        "thread.run.incomplete",
        RUN | {"incomplete_details": {"reason": "max_completion_tokens"}},
        Delta(**ENDED, finish_reason="max_completion_tokens"),  # type: ignore[arg-type]
    ),
    "requires action": (
        "thread.run.requires_action",
        RUN,
        Delta(**ENDED, finish_reason="requires_action"),  # type: ignore[arg-type]
    ),
    "failed": (
        "thread.run.failed",
        RUN | {"last_error": {"code": "rate_limit_exceeded", "message": "slow down"}},
        Delta(**ENDED, error=ProviderError("rate_limit_exceeded", "slow down")),  # type: ignore[arg-type]
    ),
    "expired": (
        "thread.run.expired",
        RUN,
        Delta(**ENDED, error=ProviderError("expired", "the run is expired")),  # type: ignore[arg-type]
    ),
    "cancelled": (
        "thread.run.cancelled",
        RUN,
        Delta(**ENDED, error=ProviderError("cancelled", "the run is cancelled")),  # type: ignore[arg-type]
    ),
    "cancelling": ("thread.run.cancelling", RUN, Delta(choice=0, response_id="run-1", response_model="m-1")),
    "error": (
        "error",
        {"code": "server_error", "message": "busy"},
        Delta(choice=0, error=ProviderError("server_error", "busy")),
    ),
    "step done": ("thread.run.step.completed", {"id": "step-1", "object": "thread.run.step"}, Delta()),
    "message done": ("thread.message.completed", {"id": "msg-1", "object": "thread.message"}, Delta()),
    "thread": ("thread.created", {"id": "thread-1", "object": "thread"}, Delta()),
}


@pytest.mark.parametrize("name", EVENTS)
def test_an_assistants_event_says_the_same_as_json_and_as_an_object(name: str) -> None:
    """`event` names it, `data` is the object."""
    kind, data, delta = EVENTS[name]
    payload = {"event": kind, "data": data}
    assert plain(read_assistant_event(payload)) == plain(delta)
    assert plain(read_assistant_event(made(AssistantStreamEvent, payload))) == plain(delta)


def test_details_of_a_runs_usage_are_read() -> None:
    """Undeclared by the SDK, and one of them misspelt by the server."""
    usage = USAGE | {
        "prompt_token_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
    payload = {"event": "thread.run.completed", "data": RUN | {"usage": usage}}
    counts = {"input_tokens": 3, "output_tokens": 2, "cache_read.input_tokens": 1, "reasoning.output_tokens": 0}
    assert read_assistant_event(payload).usage == counts
    assert read_assistant_event(made(AssistantStreamEvent, payload)).usage == counts


# --- images and transcriptions -----------------------------------------------------------------------------------------------------

TOKENS = {
    "input_tokens": 3,
    "output_tokens": 2,
    "total_tokens": 5,
    "input_tokens_details": {"image_tokens": 0, "text_tokens": 3},
}
COUNTS = {"input_tokens": 3, "output_tokens": 2}

IMAGES: dict[str, tuple[Any, dict[str, Any], Delta]] = {
    "partial": (
        ImageGenStreamEvent,
        {"type": "image_generation.partial_image", "b64_json": "AAAA", "partial_image_index": 0},
        Delta("", 0, media=IMAGE),
    ),
    "completed": (
        ImageGenStreamEvent,
        {"type": "image_generation.completed", "b64_json": "AAAA", "usage": TOKENS},
        Delta("", 0, media=IMAGE, usage=COUNTS, is_terminal=True),
    ),
    "whole": (ImagesResponse, {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": TOKENS}, Delta("", 0, media=IMAGE, usage=COUNTS, is_terminal=True)),
    "nothing": (ImagesResponse, {"created": 1, "data": []}, Delta("", 0, is_terminal=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_says_the_same_as_json_and_as_an_object(name: str) -> None:
    """Images are counted as such, and what they cost."""
    kind, payload, delta = IMAGES[name]
    assert plain(read_image_event(payload)) == plain(delta)
    assert plain(read_image_event(made(kind, payload))) == plain(delta)


TRANSCRIPTIONS: dict[str, tuple[dict[str, Any], Delta]] = {
    "text": ({"type": "transcript.text.delta", "delta": "Hal"}, Delta("Hal", 0)),
    "done": (
        {"type": "transcript.text.done", "text": "Hallo", "usage": {"type": "tokens", **TOKENS}},
        Delta("", 0, usage=COUNTS, is_terminal=True),
    ),
    "segment": ({"type": "transcript.text.segment", "id": "s", "text": "Hal", "start": 0, "end": 1}, Delta("", 0)),
}


@pytest.mark.parametrize("name", TRANSCRIPTIONS)
def test_a_transcription_event_says_the_same_as_json_and_as_an_object(name: str) -> None:
    """The text that is repeated at the end is not counted twice."""
    payload, delta = TRANSCRIPTIONS[name]
    assert plain(read_transcription_event(payload)) == plain(delta)
    assert plain(read_transcription_event(made(TranscriptionStreamEvent, payload))) == plain(delta)


def test_a_whole_transcription_has_its_text() -> None:
    """As JSON, as an object, or as bare text, which says nothing of itself."""
    payload = {"text": "Hallo", "usage": {"type": "tokens", **TOKENS}}
    expected = Delta("Hallo", 0, usage=COUNTS, is_terminal=True)
    assert plain(read_transcription(payload)) == plain(expected)
    assert plain(read_transcription(made(Transcription, payload))) == plain(expected)
    assert plain(read_transcription("Hallo")) == plain(Delta("", 0, is_terminal=True))


@pytest.mark.parametrize("read", [read_image_event, read_transcription_event])
def test_an_error_is_an_error(read: Callable[[Any], Delta]) -> None:
    """With a type of its own, or without one."""
    error = {"code": "moderation_blocked", "message": "no"}
    expected = Delta(choice=0, error=ProviderError("moderation_blocked", "no"))
    assert read({"type": "error", "error": error}) == expected
    assert read({"type": "error", **error}) == expected
    assert read({"error": error}) == expected


# --- any payload ---------------------------------------------------------------------------------------------------------------------


def typed(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects that say what they are, which is how the SDK finds their class."""
    return or_missing(**fields).map(lambda data: {"type": kind, **data})


runs = or_missing(
    id=words,
    model=words,
    usage=usage_with("prompt_tokens", completion_tokens=numbers, total_tokens=numbers),
    last_error=st.fixed_dictionaries({"message": words}, optional={"code": words}),
    incomplete_details=or_missing(reason=words),
)
messages = or_missing(
    delta=or_missing(
        content=st.lists(
            typed("text", index=numbers, text=or_missing(value=words)),
            max_size=2,
        )
    )
)
steps = or_missing(
    delta=or_missing(
        step_details=typed(
            "tool_calls",
            tool_calls=st.lists(
                typed("function", index=numbers, id=words, function=or_missing(name=words, arguments=words)),
                max_size=2,
            ),
        )
    )
)
assistant_events = st.one_of(
    st.builds(
        lambda kind, data: {"event": f"thread.run.{kind}", "data": data},
        st.sampled_from(["created", "completed", "failed", "expired", "incomplete", "cancelled", "requires_action"]),
        runs,
    ),
    messages.map(lambda data: {"event": "thread.message.delta", "data": data}),
    steps.map(lambda data: {"event": "thread.run.step.delta", "data": data}),
)
media_usage = usage_with("input_tokens", output_tokens=numbers, total_tokens=numbers)
image_events = typed("image_generation.partial_image", b64_json=words) | typed(
    "image_generation.completed", b64_json=words, usage=media_usage
)
transcription_events = st.builds(
    lambda kind, fields: {"type": f"transcript.text.{kind}", **fields},
    st.sampled_from(["delta", "done"]),
    or_missing(delta=words, text=words),
)
SAME: dict[str, tuple[Any, Callable[[Any], Delta], st.SearchStrategy[dict[str, Any]]]] = {
    "assistants": (AssistantStreamEvent, read_assistant_event, assistant_events),
    "images": (ImageGenStreamEvent, read_image_event, image_events),
    "transcriptions": (TranscriptionStreamEvent, read_transcription_event, transcription_events),
    "whole transcriptions": (Transcription, read_transcription, or_missing(text=words)),
}


@pytest.mark.parametrize("name", SAME)
@unhurried
@given(data=st.data())
def test_json_and_object_say_the_same(name: str, data: st.DataObject) -> None:
    """For every payload that could be sent: fields missing, null or empty."""
    kind, read, payloads = SAME[name]
    payload = data.draw(payloads)
    delta = read(payload)
    check(delta)
    assert plain(read(made(kind, payload))) == plain(delta)


READERS = (read_assistant_event, read_image_event, read_transcription_event, read_transcription)


@pytest.mark.parametrize("read", READERS)
@unhurried
@given(payload=objects | anything)
def test_nothing_makes_a_reader_raise(read: Callable[[Any], Delta], payload: Any) -> None:
    """Whatever JSON it is, there is a well-formed delta."""
    check(read(payload))
    for kind in ("thread.message.delta", "thread.run.step.delta", "thread.run.completed", "thread.run.failed", "error"):
        check(read({"event": kind, "data": payload, "type": kind}))


# --- requests ------------------------------------------------------------------------------------------------------------------------


def test_parameters_of_runs_are_attributes() -> None:
    """The agent is the assistant."""
    body = {"assistant_id": "asst-1", "temperature": 1, "top_p": 0.5, "max_completion_tokens": 9}
    assert run_attributes({**body, "response_format": {"type": "json_object"}}) == {
        "gen_ai.agent.id": "asst-1",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.output.type": "json",
    }
    assert run_attributes({"response_format": "auto"}) == {}


def test_parameters_of_images_and_transcriptions_are_attributes() -> None:
    """What comes out, and how many."""
    assert image_attributes({"n": 2}) == {"gen_ai.output.type": "image", "gen_ai.request.choice.count": 2}
    for count in (1, None, "2", True):
        assert image_attributes({"n": count}) == {"gen_ai.output.type": "image"}
    assert transcription_attributes({"temperature": 0}) == {
        "gen_ai.output.type": "text",
        "gen_ai.request.temperature": 0.0,
    }


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(["assistant_id", "response_format", "n", "temperature", "max_completion_tokens"]), anything
    )
)
def test_no_request_makes_it_raise(body: dict[str, Any]) -> None:
    """Every value can be an attribute."""
    for read in (run_attributes, image_attributes, transcription_attributes):
        check(Delta(attributes=read(body)))
