"""Real vendor streams, cut in many ways, read with httpx or httpx2 alone: what is recorded is what they say."""

from __future__ import annotations

import asyncio
from importlib import import_module
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit

import pytest

import streamspan
from support.recorded import RECORDINGS, Recording, vendor_of
from support.recorded.telling import assert_tells
from support.replay import Replay, cut
from support.seen import TLS
from support.telemetry import Told

LIBRARY = next((name for name in ("httpx2", "httpx") if find_spec(name) is not None), "")
_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", redactions=(), content_max_bytes=1_000_000)
_RAW = [each for each in RECORDINGS if each.url]  # without a URL nobody knows what was asked
pytestmark = [
    pytest.mark.skipif(not _RAW, reason="no recordings: set STREAMSPAN_RECORDINGS to their folder"),
    pytest.mark.skipif(not LIBRARY, reason="neither httpx2 nor httpx is installed"),
]


def _play(recording: Recording, size: int, *, is_async: bool) -> bytes:
    """Play a recording to the library, and return what its caller reads."""
    url = urlsplit(recording.url)
    where = f"{url.path}?{url.query}" if url.query else url.path
    with Replay(cut(recording.body.encode(), size)) as replay:
        if is_async:
            return asyncio.run(_read_async(recording, replay.url + where))
        return _read(recording, replay.url + where)


def _read(recording: Recording, url: str) -> bytes:
    http: Any = import_module(LIBRARY)
    with http.Client(verify=TLS) as client, client.stream("POST", url, json=recording.request) as response:
        return b"".join(response.iter_bytes())


async def _read_async(recording: Recording, url: str) -> bytes:
    http: Any = import_module(LIBRARY)
    async with http.AsyncClient(verify=TLS) as client, client.stream("POST", url, json=recording.request) as response:
        return b"".join([piece async for piece in response.aiter_bytes()])


def _sizes(recording: Recording) -> list[int]:
    return [0, 37] if len(recording.body) < 60_000 else [0]


_CASES = [
    pytest.param(recording, size, id=f"{recording.name}-{size or 'whole'}")
    for recording in _RAW
    for size in _sizes(recording)
]


@pytest.mark.parametrize(("recording", "size"), _CASES)
def test_recording_says(recording: Recording, size: int) -> None:
    """Text, tool calls, usage, finish reasons, counts and outcome are those of the recording, without any SDK."""
    call = vendor_of(recording).call(recording)
    truth = call.truth(recording.events)
    is_async = size == 37
    told = Told()
    told.instrument(_CONTENT)
    seen = _play(recording, size, is_async=is_async)
    told.finish()

    assert seen == recording.body.encode()
    more = {
        "gen_ai.operation.name": call.operation,
        "streamspan.layer": LIBRARY,
        "streamspan.chunk.count": truth.chunks,
    }
    assert_tells(told, truth, more)
