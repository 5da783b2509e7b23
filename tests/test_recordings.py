"""Real vendor streams, cut in many ways, through the real SDK: what is recorded is what they say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

import streamspan
from support.recorded import FACTS, RECORDINGS, Recording, vendor_of
from support.replay import Replay, cut
from support.seen import plain
from support.telemetry import Told
from support.truth import Truth, called, messages_of, said

_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", redactions=(), content_max_bytes=1_000_000)
pytestmark = [
    pytest.mark.skipif(not RECORDINGS, reason="no recordings: set STREAMSPAN_RECORDINGS to their folder"),
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning"),
]


def _play(recording: Recording, size: int, *, is_async: bool) -> list[Any]:
    """Play a recording to the SDK, and return what its caller gets; the last item is the error, if any."""
    seen: list[Any] = []
    with Replay(cut(recording.body.encode(), size)) as replay:
        if is_async:
            asyncio.run(_read_async(recording, replay.url, seen))
        else:
            _read(recording, replay.url, seen)
    return seen


def _read(recording: Recording, url: str, seen: list[Any]) -> None:
    vendor = vendor_of(recording)
    with vendor.client(recording, url, False) as client:
        try:
            for item in vendor.call(recording).start(client, recording.request):
                seen.append(plain(item))  # noqa: PERF401 - what came before an error is wanted too
        except vendor.failures as exc:
            seen.append(vendor.described(exc))


async def _read_async(recording: Recording, url: str, seen: list[Any]) -> None:
    vendor = vendor_of(recording)
    async with vendor.client(recording, url, True) as client:
        try:
            async for item in await vendor.call(recording).start(client, recording.request):
                seen.append(plain(item))  # noqa: PERF401
        except vendor.failures as exc:
            seen.append(vendor.described(exc))


def _sizes(recording: Recording) -> list[int]:
    # Each piece costs the HTTP client some 0.1 ms, so only short ones are cut byte by byte.
    length = len(recording.body)
    return [0, 1000, *([37] if length < 60_000 else []), *([1] if length < 6000 else [])]


_CASES = [
    pytest.param(recording, size, id=f"{recording.name}-{size or 'whole'}")
    for recording in RECORDINGS
    for size in _sizes(recording)
]


@pytest.mark.parametrize(("recording", "size"), _CASES)
def test_recording_says(recording: Recording, size: int) -> None:
    """Text, tool calls, usage, finish reasons, counts and outcome are those of the recording, however it is cut."""
    call = vendor_of(recording).call(recording)
    truth = call.truth(recording.events)
    is_async = size in (37, 1)
    bare = _play(recording, size, is_async=is_async)
    told = Told()
    told.instrument(_CONTENT)
    seen = _play(recording, size, is_async=is_async)
    told.finish()

    assert seen == bare
    attributes = told.attributes
    assert {name: attributes.get(name) for name in _expected(call.operation, truth)} == _expected(call.operation, truth)
    assert {name[13:]: n for name, n in attributes.items() if name.startswith("gen_ai.usage.")} == truth.usage
    assert told.span.status.status_code is (StatusCode.ERROR if truth.error else StatusCode.UNSET)
    messages = messages_of(attributes)
    assert said(messages, "text") == truth.text + truth.refusal
    assert said(messages, "reasoning") == truth.reasoning
    assert called(messages) == truth.calls


def _expected(operation: str, truth: Truth) -> dict[str, Any]:
    # An SDK that raises at an error event does not hand that event out.
    chunks = truth.chunks - bool(truth.error)
    return {
        "gen_ai.operation.name": operation,
        "streamspan.outcome": "error" if truth.error else "completed",
        "error.type": truth.error or None,
        "gen_ai.response.id": truth.id,
        "gen_ai.response.model": truth.model,
        "gen_ai.response.finish_reasons": tuple(truth.finish[index] for index in sorted(truth.finish)),
        "streamspan.chunk.count": chunks,
        "streamspan.output.characters": truth.characters,
        "streamspan.reasoning.characters": len(truth.reasoning),
        "streamspan.tool_call.count": len(truth.tools) or None,
    }


@pytest.mark.parametrize("name", FACTS)
def test_recording_counts(name: str) -> None:
    """The counts that are known of a recording are the counts that are recorded."""
    lines, finish = FACTS[name]
    mine = [recording for recording in RECORDINGS if recording.file == name]
    assert [len(recording.events) for recording in mine] == lines
    for recording, expected_lines, expected_finish in zip(mine, lines, finish, strict=True):
        told = Told()
        told.instrument()
        _play(recording, 0, is_async=False)
        told.finish()
        silent = vendor_of(recording).lines(recording)
        assert told.attributes["streamspan.chunk.count"] == expected_lines - silent
        assert told.attributes["gen_ai.response.finish_reasons"] == (expected_finish,)


def test_every_recording_is_known() -> None:
    """No recording is without facts but those that end in an error."""
    files = {recording.file for recording in RECORDINGS}
    errors = {"pydantic-ai__test_openrouter_stream_error", "python-genai__test_sync_interactions_get_stream_error"}
    assert files - set(FACTS) == files & errors


def test_the_error_in_a_chunk_with_usage_is_an_error_with_that_usage() -> None:
    """OpenRouter's error comes with choices and usage: code 400, after three chunks, and its usage is kept."""
    (recording,) = (each for each in RECORDINGS if each.file == "pydantic-ai__test_openrouter_stream_error")
    told = Told()
    told.instrument()
    seen = _play(recording, 0, is_async=False)
    told.finish()
    assert (seen[-1][:2], len(seen)) == (("APIError", "400"), 4)
    assert told.attributes["streamspan.chunk.count"] == 3
    assert told.attributes["streamspan.outcome"] == "error"
    assert told.attributes["error.type"] == "400"
    assert told.attributes["gen_ai.usage.input_tokens"] == recording.events[3].data["usage"]["prompt_tokens"]
