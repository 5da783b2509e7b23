"""Gemini's Interactions: what an event says, and what a request asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._records import AUDIO, IMAGE, Delta, ProviderError, ToolCallDelta
from streamspan.providers._gemini_interactions import (
    content,
    fetch_attributes,
    read_event,
    read_fetched_event,
    read_whole,
    request_attributes,
)
from support.payloads import anything, check

_COUNTS = {"total_input_tokens": 11, "total_output_tokens": 42, "total_thought_tokens": 126, "total_cached_tokens": 0}
_USAGE = {"input_tokens": 11, "output_tokens": 168, "cache_read.input_tokens": 0, "reasoning.output_tokens": 126}


def ended(status: str, **more: Any) -> dict[str, Any]:
    """Return the event of an end."""
    interaction = {"id": "v1", "model": "gemini-x", "status": status, **more}
    return {"event_type": "interaction.completed", "interaction": interaction}


def delta(**said: Any) -> Delta:
    """Read a piece of a step."""
    return read_event({"event_type": "step.delta", "index": 2, "delta": said})


def piece(**said: Any) -> dict[str, Any]:
    """Return the event of a piece of a step."""
    return {"event_type": "step.delta", "index": 2, "delta": said}


def start(**step: Any) -> dict[str, Any]:
    """Return the event of a step's start."""
    return {"event_type": "step.start", "index": 2, "step": step}


def call(name: str, arguments: str = "", identity: str = "") -> Delta:
    """Return what the piece of a call says."""
    return Delta("", 0, tool_calls=(ToolCallDelta(2, identity, name, arguments),))


_URLS = {"urls": ["https://example.com"]}
_SAID_URLS = '{"urls":["https://example.com"]}'
_MCP = {"name": "f", "server_name": "s"}
_RESULTS = (
    "code_execution", "file_search", "function", "google_maps", "google_search", "mcp_server_tool", "processing",
    "retrieval", "tool_search", "url_context",
)  # fmt: skip
# Of every event, piece and step that google-genai 3.4 knows: what it says.
_SAYS: list[tuple[dict[str, Any], Delta]] = [
    ({"event_type": "error", "error": {"code": "c", "message": "m"}}, Delta("", 0, error=ProviderError("c", "m"))),
    (
        {"event_type": "interaction.created", "interaction": {"id": "v", "model": "m", "status": "in_progress"}},
        Delta("", 0, response_id="v", response_model="m"),
    ),
    ({"event_type": "interaction.status_update", "interaction_id": "v", "status": "in_progress"}, Delta()),
    (
        {"event_type": "interaction.status_update", "interaction_id": "v", "status": "queued", "usage": _COUNTS},
        Delta(usage=_USAGE),
    ),
    *(
        (ended(status), Delta("", 0, finish_reason=status, is_terminal=True, response_id="v1", response_model="gemini-x"))
        for status in ("completed", "requires_action", "incomplete", "cancelled", "budget_exceeded")
    ),
    ({"event_type": "step.stop", "index": 2}, Delta()),
    ({"event_type": "step.stop", "index": 2, "usage": _COUNTS, "step_usage": {"total_input_tokens": 1}}, Delta(usage=_USAGE)),
    (piece(type="text", text="Hi"), Delta("Hi", 0)),
    (piece(type="text", text=""), Delta("", 0)),
    (piece(type="thought_summary", content={"type": "text", "text": "hm"}), Delta("", 0, "hm", is_summary=True)),
    (piece(type="thought_signature", signature="QUJD"), Delta()),
    (piece(type="text_annotation_delta", annotations=[]), Delta()),
    (piece(type="arguments_delta", arguments='{"a"'), call("", '{"a"')),
    (piece(type="audio", data="QUJD", mime_type="audio/wav"), Delta("", 0, media=AUDIO)),
    (piece(type="audio"), Delta("", 0)),
    (piece(type="image", data="QUJD", mime_type="image/png"), Delta("", 0, media=IMAGE)),
    (piece(type="image", uri="gs://x", mime_type="image/png"), Delta("", 0, media=IMAGE)),
    (piece(type="video", data="QUJD", mime_type="video/mp4"), Delta()),
    (piece(type="document", data="QUJD", mime_type="application/pdf"), Delta()),
    (piece(type="code_execution_call", arguments={"code": "1", "language": "python"}),
     call("code_execution", '{"code":"1","language":"python"}')),
    (piece(type="url_context_call", arguments=_URLS), call("url_context", _SAID_URLS)),
    (piece(type="mcp_server_tool_call", arguments={"a": 1}, **_MCP), call("f", '{"a":1}')),
    (piece(type="google_search_call", arguments={"queries": ["q"]}), call("google_search", '{"queries":["q"]}')),
    (piece(type="google_maps_call", arguments={"queries": ["q"]}), call("google_maps", '{"queries":["q"]}')),
    (piece(type="retrieval_call", arguments={"queries": ["q"]}), call("retrieval", '{"queries":["q"]}')),
    (piece(type="tool_search_call", arguments={"query": "q"}), call("tool_search", '{"query":"q"}')),
    (piece(type="file_search_call"), call("file_search")),
    (piece(type="processing_call"), call("processing")),
    *((piece(type=f"{name}_result", result="r"), Delta()) for name in _RESULTS),
    (piece(type="brand_new_call", arguments={"a": 1}), call("brand_new", '{"a":1}')),
    (piece(type="brand_new", text="?"), Delta()),
    ({"event_type": "brand.new", "text": "?"}, Delta()),
    (start(type="thought"), Delta("", 0, is_summary=True)),
    (start(type="thought", summary=[{"type": "text", "text": "hm"}]), Delta("", 0, "hm", is_summary=True)),
    (start(type="model_output"), Delta("", 0)),
    (start(type="model_output", content=[{"type": "text", "text": "Hi"}]), Delta("", 0, others=[Delta("Hi", 0)])),
    (start(type="user_input", content=[{"type": "text", "text": "not the model's"}]), Delta()),
    (start(type="function_call", id="c", name="f", arguments={}), call("f", identity="c")),
    (start(type="mcp_server_tool_call", id="c", arguments={}, **_MCP), call("f", identity="c")),
    *((start(type=f"{name}_call", id="c", arguments={}), call(name, identity="c"))
      for name in _RESULTS if name not in {"function", "mcp_server_tool"}),
    *((start(type=f"{name}_result", call_id="c", result="r"), Delta()) for name in _RESULTS),
    (start(type="brand_new"), Delta()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("event", "says"),
    _SAYS,
    ids=lambda value: (
        str({**value, **value.get("delta", {}), **value.get("step", {})}) if isinstance(value, dict) else ""
    ),
)
def test_what_an_event_says(event: dict[str, Any], says: Delta) -> None:
    """As JSON, and as the SDK's object of it, whose arguments may also hold what was not sent."""
    assert read_event(event) == says
    parsed = _parsed(event)
    if parsed is not None:
        assert read_event(parsed) == says


def _parsed(event: dict[str, Any]) -> Any:
    """Return the object that the installed SDK makes of an event; None before google-genai 3."""
    try:
        from google.genai._gaos.types.interactions.interactionssestreamevent import (  # noqa: PLC0415
            InteractionSSEStreamEvent,
        )
        from google.genai._gaos.utils.serializers import ALLOW_UNKNOWN_UNION_VARIANTS  # noqa: PLC0415
    except ImportError:
        return None
    context = {ALLOW_UNKNOWN_UNION_VARIANTS: True}
    return InteractionSSEStreamEvent.model_validate({"data": event}, context=context).data


@pytest.mark.parametrize(
    ("module", "variants", "key"),
    [
        ("interactionsseevent", "_INTERACTION_SSE_EVENT_VARIANTS", None),
        ("stepdeltadata", "_STEP_DELTA_DATA_VARIANTS", "delta"),
        ("step", "_STEP_VARIANTS", "step"),
    ],
)
def test_nothing_that_the_sdk_knows_is_without_an_expectation(module: str, variants: str, key: str | None) -> None:
    """What a newer SDK adds is to be looked at."""
    known = pytest.importorskip(f"google.genai._gaos.types.interactions.{module}", exc_type=ImportError)
    if not hasattr(known, variants):
        pytest.skip("this version of google-genai keeps no list")
    said = {event["event_type"] if key is None else event.get(key, {}).get("type") for event, _ in _SAYS}
    assert set(getattr(known, variants)) - said == set()


def test_begin() -> None:
    """The first event has id and model, and no output."""
    event = {"event_type": "interaction.created", "interaction": {"id": "v1", "model": "gemini-x"}}
    assert read_event(event) == Delta("", 0, response_id="v1", response_model="gemini-x")


def test_pieces() -> None:
    """Text, thoughts (which are summaries), audio and pieces of arguments; a signature is no output."""
    assert delta(type="text", text="Hi") == Delta("Hi", 0)
    summary = delta(type="thought_summary", content={"type": "text", "text": "hm"})
    assert summary == Delta("", 0, "hm", is_summary=True)
    assert delta(type="thought_signature", signature="x") == Delta()
    assert delta(type="audio", data="AAAA").media == AUDIO
    assert delta(type="arguments_delta", arguments='{"a"').tool_calls == (ToolCallDelta(2, "", "", '{"a"'),)


def test_calls() -> None:
    """A call has its name where its step starts, or comes whole; tools of the provider are named by their type."""
    step = {"type": "function_call", "id": "c", "name": "f", "arguments": {}}
    started = read_event({"event_type": "step.start", "index": 2, "step": step})
    assert started.tool_calls == (ToolCallDelta(2, "c", "f", ""),)
    whole = delta(type="function_call", id="c", name="f", arguments={"a": 1})
    assert whole.tool_calls == (ToolCallDelta(2, "c", "f", '{"a":1}'),)
    assert delta(type="google_search_call", id="s").tool_calls == (ToolCallDelta(2, "s", "google_search", ""),)


def test_end() -> None:
    """The end has the status as finish reason and the counts."""
    said = read_event(ended("completed", usage=_COUNTS))
    assert (said.finish_reason, said.is_terminal, said.usage) == ("completed", True, _USAGE)


def test_an_answer_that_goes_on_has_not_ended() -> None:
    """`requires_continuation` is no end: another request follows."""
    said = read_event(ended("requires_continuation"))
    assert (said.finish_reason, said.is_terminal) == ("", False)


def test_failures() -> None:
    """An error item and a failed interaction are the provider's failures."""
    error = {"code": "service_unavailable", "message": "busy"}
    assert read_event({"event_type": "error", "error": error}).error == ProviderError("service_unavailable", "busy")
    assert read_event(ended("failed", error=error)).error == ProviderError("service_unavailable", "busy")


def test_intermediate_usage() -> None:
    """Counts may come with any event."""
    event = {"event_type": "step.stop", "index": 0, "metadata": {"usage": _COUNTS}}
    assert read_event(event).usage == _USAGE


def test_tokens_of_a_fetched_interaction_are_not_counted_again() -> None:
    """The call that made the interaction has counted them."""
    assert read_fetched_event(ended("completed", usage=_COUNTS)).usage is None


def test_whole_answer() -> None:
    """A whole interaction says what its steps say."""
    steps = [
        {"type": "thought", "summary": [{"type": "text", "text": "hm"}]},
        {"type": "function_call", "id": "c", "name": "f", "arguments": {"a": 1}},
        {"type": "model_output", "content": [{"type": "text", "text": "Hi"}]},
    ]
    said = read_whole({"id": "v1", "status": "completed", "usage": _COUNTS, "steps": steps})
    assert (said.finish_reason, said.usage) == ("completed", _USAGE)
    thought, call, answer = said.others
    assert (thought.reasoning, answer.others[0].text) == ("hm", "Hi")
    assert call.tool_calls == (ToolCallDelta(1, "c", "f", '{"a":1}'),)


def test_request() -> None:
    """Parameters and content of a request."""
    body = {
        "input": [{"type": "text", "text": "Hi"}, {"type": "image", "mime_type": "image/png", "uri": "gs://x"}],
        "system_instruction": "Be short",
        "previous_interaction_id": "v0",
        "generation_config": {"temperature": 1, "max_output_tokens": 5, "thinking_level": "low"},
        "tools": [{"type": "function", "name": "f"}, {"type": "google_search"}],
    }
    assert request_attributes(body) == {
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.max_tokens": 5,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.request.previous_response.id": "v0",
    }
    image = {"type": "uri", "modality": "image", "mime_type": "image/png", "uri": "gs://x"}
    assert content(body) == {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "Hi"}, image]}],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be short"}],
        "gen_ai.tool.definitions": [
            {"type": "function", "name": "f"},
            {"type": "google_search", "name": "google_search"},
        ],
    }
    assert fetch_attributes({"last_event_id": "7"}) == {"gen_ai.request.stream_cursor": "7"}


_KINDS = st.sampled_from(["interaction.created", "step.start", "step.delta", "interaction.completed", "error", ""])


@given(
    _KINDS, st.dictionaries(st.sampled_from(["interaction", "step", "delta", "index", "error", "metadata"]), anything)
)
@settings(deadline=None, max_examples=200)
def test_nonsense_is_read_as_something(kind: str, event: dict[str, Any]) -> None:
    """Any JSON gives a delta of the right types."""
    check(read_event({**event, "event_type": kind}))
    read_whole(event)


@pytest.mark.parametrize("asked", ["Hi", [{"type": "user_input", "content": [{"type": "text", "text": "Hi"}]}]])
def test_input(asked: Any) -> None:
    """A text and a step say the same."""
    message = {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
    assert content({"input": asked}) == {"gen_ai.input.messages": [message]}
