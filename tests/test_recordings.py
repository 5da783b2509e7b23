"""Real vendor streams, cut in many ways, through the real SDK: what is recorded is what they say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import streamspan
from support.recorded import FACTS, RECORDINGS, Recording, vendor_of
from support.recorded.telling import assert_tells
from support.replay import Replay, cut
from support.seen import plain
from support.telemetry import Told

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
    # An SDK that raises at an error event does not hand that event out.
    more = {"gen_ai.operation.name": call.operation, "streamspan.chunk.count": truth.chunks - bool(truth.error)}
    assert_tells(told, truth, more)


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
