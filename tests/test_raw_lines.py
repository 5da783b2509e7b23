"""Raw streams whose caller stops at a line: what it has of an event counts, though it never reads the blank line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from streamspan import _api
from streamspan._wire import WireReader
from streamspan.providers import Endpoint
from streamspan.providers._generic import read_anything
from support.played import ASKED, PATH, STREAM, outcome, twice
from support.raw_reads import seen, with_aiohttp, with_requests
from support.replay import Replay
from support.telemetry import Told

_EVERY_LIBRARY = pytest.mark.parametrize("library", ["httpx", "requests", "aiohttp"])


async def _aiohttp_line(response: Any, marker: bytes) -> bytes:
    async for line in response.content:
        if marker in line:
            return bytes(line).strip()
    return b""


def _requests_line(response: Any, marker: bytes) -> bytes:
    return next((line for line in response.iter_lines(chunk_size=1) if marker in line), b"")


def _httpx_line(url: str, body: Any, marker: bytes) -> bytes:
    with httpx.Client() as client, client.stream("POST", url, json=body) as response:
        return next((line.encode() for line in response.iter_lines() if marker in line.encode()), b"")


def _line(library: str, url: str, body: Any, marker: bytes) -> bytes:
    if library == "requests":
        return bytes(with_requests(lambda response: _requests_line(response, marker), url, body=body))
    if library == "aiohttp":
        return bytes(with_aiohttp(lambda response: _aiohttp_line(response, marker), url, body=body))
    return _httpx_line(url, body, marker)


def _events(*payloads: dict[str, Any]) -> Iterator[bytes]:
    for payload in payloads:
        name = b"event: %b\n" % payload["type"].encode() if "type" in payload else b""
        yield name + b"data: " + json.dumps(payload).encode() + b"\n\n"


_USED = {"input_tokens": 3, "output_tokens": 5}
_RESPONSES = (
    {"type": "response.output_text.delta", "delta": "Hallo"},
    {"type": "response.completed", "response": {"id": "r1", "status": "completed", "usage": _USED}},
)
_MESSAGES = (
    {"type": "message_start", "message": {"id": "m1", "usage": {"input_tokens": 3, "output_tokens": 1}}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hallo"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
)
_GEMINI = tuple(
    {
        "candidates": [{"index": 0, "content": {"parts": [{"text": text}]}, **finish}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": count},
    }
    for text, finish, count in (("Hal", {}, 1), ("lo", {"finishReason": "STOP"}, 5))
)
_LAST_LINES: dict[str, tuple[str, dict[str, Any], Any, bytes, int]] = {
    "responses": ("/v1/responses", {"stream": True, "input": "Hi"}, _RESPONSES, b'data: {"type": "response.completed', 2),
    "messages": ("/v1/messages", ASKED, _MESSAGES, b'data: {"type": "message_stop', 4),
    "gemini": ("/v1beta/models/g:streamGenerateContent?alt=sse", {"contents": []}, _GEMINI, b"finishReason", 2),
}  # fmt: skip


@pytest.mark.parametrize("wire", _LAST_LINES)
@_EVERY_LIBRARY
def test_a_line_that_the_caller_has_counts(library: str, wire: str) -> None:
    """The blank line after the last event is never read by who looks for that event."""
    path, body, payloads, marker, chunks = _LAST_LINES[wire]
    with Replay(list(_events(*payloads))) as replay:
        _, told = twice(lambda: _line(library, f"{replay.url}{path}", {"model": "m1", **body}, marker))
    assert seen(told) == ("completed", chunks)
    assert {name: told.summary.usage[name] for name in _USED} == _USED


def test_an_event_has_come_with_its_last_line() -> None:
    """Who reads lines asks for the blank one when it is done with the event: that is no time of the provider's."""
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=read_anything, done_data="[DONE]")
    reader = WireReader(endpoint, "text/event-stream", "", is_stream=True)
    lines = [b'data: {"text": "Hal"}\n', b"\n", b'data: {"text":\n', b'data: "lo"}\n', b"\n", b"data: 1\n", b"\n"]
    assert [len(list(reader.read(line))) for line in lines] == [1, 0, 0, 0, 1, 0, 1]
    assert (list(reader.read(b"data: [DONE]\n")), reader.was_done()) == ([], True)


def test_an_event_that_says_its_name_last_waits_for_it() -> None:
    """Where the payload alone does not say what it is."""
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=read_anything, wants_event=True)
    reader = WireReader(endpoint, "text/event-stream", "", is_stream=True)
    lines = [b'data: {"text": "Hal"}\n', b"event: x\n", b"\n", b"event: x\n", b'data: {"text": "lo"}\n', b"\n"]
    assert [len(list(reader.read(line))) for line in lines] == [0, 1, 0, 0, 1, 0]


@_EVERY_LIBRARY
def test_who_stops_at_the_first_token_has_had_a_token(library: str) -> None:
    """Its time is known, and it is a cancel."""
    with Replay(STREAM) as replay:
        _, told = twice(lambda: _line(library, f"{replay.url}{PATH}", ASKED, b"data:"))
    assert (told.summary.outcome, told.summary.cancel_reason) == ("cancelled", "closed")
    assert told.summary.chunk_count >= 1  # httpx has read on before it splits lines
    assert told.summary.time_to_first_token is not None


@pytest.mark.parametrize(
    ("lines", "chunks"),
    [
        (b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hallo"}}]}\n', 1),
        (b'data: {"id": "1",\ndata: "choices": []}\n', 1),
        (b'data: {"id": "1",\n', 0),
        (b'data: {"id": "1"}', 0),
        (b": a sign of life\n", 0),
    ],
)
def test_half_an_event_does_not_count(lines: bytes, chunks: int) -> None:
    """Only whole lines do, and only what can be read."""

    def read(response: Any) -> Any:
        return response.raw.read(len(lines))

    with Replay([lines], end="silence") as replay:
        got, told = twice(lambda: with_requests(read, f"{replay.url}{PATH}"))
    assert got == lines
    assert seen(told) == ("cancelled", chunks)


@pytest.mark.parametrize("end", ["last-chunk", "reset"])
@_EVERY_LIBRARY
def test_nothing_spoils_a_stream_whose_last_line_was_there(library: str, end: Any) -> None:
    """Its marker was seen, though nobody knows why the model has stopped."""
    with Replay([STREAM[0], b"data: [DONE]\n"], end=end) as replay:
        url = f"{replay.url}{PATH}"
        told = Told()
        told.instrument()
        outcome(lambda: _line(library, url, ASKED, b"[DONE]"))
        told.finish()
    assert seen(told) == ("completed", 1)


def test_what_is_dropped_at_a_line_counts_too() -> None:
    """As what is closed there."""
    requests = pytest.importorskip("requests")
    told = Told()
    told.instrument()
    with Replay(list(_events(*_RESPONSES))) as replay:
        body = {"model": "m1", "stream": True, "input": "Hi"}
        response = requests.post(f"{replay.url}/v1/responses", json=body, stream=True, timeout=10)
        assert _requests_line(response, b'data: {"type": "response.completed')
        del response
        _api.drain()
        told.finish()
    assert seen(told) == ("completed", 2)
