"""Raw streams in trouble: the caller has what the bare library gives, and the session ends truthfully.

Each program runs without and with streamspan, and what it returns or raises is compared.
"""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from streamspan._wire import FLUSH, WireReader
from streamspan.demo.aws_frames import event_frame
from streamspan.providers import Endpoint
from streamspan.providers._generic import read_anything
from support.http_clients import CLIENTS
from support.played import ASKED, PATH, STREAM, chunk, outcome, played, twice
from support.replay import Replay, cut
from support.telemetry import Told

_EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)


# --- what the server sends -------------------------------------------------------------------------------------------


@_EVERY_CLIENT
def test_a_dripped_stream_is_read(client: str) -> None:
    """One byte at a time: same bytes, same chunks."""
    got, told = played(client, cut(b"".join(STREAM), 1))
    assert got == b"".join(STREAM)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)


@_EVERY_CLIENT
def test_a_giant_event_is_read(client: str) -> None:
    """One event of 10 MB is one chunk."""
    _, told = played(client, cut(chunk("x" * 10_000_000) + b"".join(STREAM), 65536))
    assert told.summary.outcome == "completed"
    assert told.summary.output_characters == 10_000_005
    assert told.summary.chunk_count == 3


_TINY = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n'


@_EVERY_CLIENT
def test_a_hundred_thousand_tiny_events_are_counted(client: str) -> None:
    """All of them, and the span stays as small as any."""
    _, told = played(client, [*[_TINY * 1000] * 100, *STREAM])
    assert (told.summary.chunk_count, told.summary.output_characters) == (100_002, 100_005)
    assert len(told.span.events) <= 33


def _peak(client: str, url: str) -> int:
    """Return the most memory that a client takes which reads a body and lets go of it."""
    tracemalloc.start()
    try:
        outcome(lambda: CLIENTS[client][1]("POST", url, ASKED, is_kept=False))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _added(client: str, pieces: list[bytes]) -> int:
    """Return how much more memory a stream without an end marker takes with streamspan than without."""
    with Replay(pieces) as replay:
        CLIENTS[client][1]("POST", replay.url, {})  # what is made once
        bare = _peak(client, f"{replay.url}{PATH}")
        told = Told()
        told.instrument()
        seen = _peak(client, f"{replay.url}{PATH}")
        told.finish()
    assert told.summary.outcome == "truncated"
    return seen - bare


@_EVERY_CLIENT
def test_a_giant_event_takes_bounded_memory(client: str) -> None:
    """64 MB are not held."""
    assert _added(client, [b"data: ", *[b"x" * 2**20] * 64]) < 40 * 2**20


def test_tiny_events_take_bounded_memory() -> None:
    """Of 10,000 that were read only the last piece is held."""
    assert _added("httpx", [_TINY * 50] * 200) < 2**19


def test_an_event_that_never_ends_takes_bounded_memory() -> None:
    """64 MB of one line, and of one array element, are not held."""
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=read_anything)
    piece = b"x" * 2**20
    for content_type, start in (("text/event-stream", b"data: "), ("application/json", b'[{"a": "')):
        reader = WireReader(endpoint, content_type, "", is_stream=True)
        tracemalloc.start()
        for data in (start, *[piece] * 64, FLUSH):
            reader.read(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 40 * 2**20


@pytest.mark.parametrize(
    "nonsense",
    [
        b"data: {not json}\n\n",
        b"data: " + b"[" * 100_000 + b"\n\n",
        b"data: null\n\ndata: 3\n\ndata: []\n\ndata: {}\n\n",
        b'data: {"choices": 3}\n\ndata: {"choices": [null]}\n\n',
        b"data: \xff\xfe\x00\n\n",
        b"\xff\xfe\x00" * 100 + b"\n\n",
        b"no field at all\n\n\n\n: comment\n\nevent: x\n\n",
    ],
    ids=["no-json", "deep", "no-objects", "no-choices", "no-utf-8", "no-text", "no-data"],
)
@_EVERY_CLIENT
def test_malformed_events_cost_nothing_but_themselves(client: str, nonsense: bytes) -> None:
    """What comes before and after them is read."""
    got, told = played(client, [STREAM[0], nonsense, *STREAM[1:]])
    assert got == b"".join([STREAM[0], nonsense, *STREAM[1:]])
    assert told.summary.outcome == "completed"
    assert told.summary.output_characters == 5


def _line(text: str, **more: Any) -> bytes:
    return json.dumps({"model": "m1", "message": {"content": text}, "done": bool(more), **more}).encode() + b"\n"


def _element(text: str, **more: Any) -> bytes:
    return json.dumps({"candidates": [{"index": 0, "content": {"parts": [{"text": text}]}, **more}]}).encode()


def _said(text: str) -> bytes:
    return event_frame("contentBlockDelta", json.dumps({"contentBlockIndex": 0, "delta": {"text": text}}))


_LINES = "/api/chat", "application/x-ndjson"
_ARRAY = "/v1beta/models/m1:streamGenerateContent", "application/json"
_FRAMES = "/model/m1/converse-stream", "application/vnd.amazon.eventstream"
_STOP = event_frame("messageStop", json.dumps({"stopReason": "end_turn"}))
_LAST = _line("", done_reason="stop")
_FRAME = _said("lo")
_OTHER_FRAMINGS: dict[str, tuple[tuple[str, str], list[bytes], tuple[str, int]]] = {
    "line-no-json": (_LINES, [_line("Hal"), b"{not json\n\n", _line("lo"), _LAST], ("completed", 5)),
    "line-no-object": (_LINES, [_line("Hal"), b"null\n[3]\n", _line("lo"), _LAST], ("completed", 5)),
    "line-without-end": (_LINES, [_line("Hallo"), _LAST.strip()], ("completed", 5)),
    "line-cut": (_LINES, [_line("Hallo"), _LAST[:20]], ("truncated", 5)),
    "element-no-json": (_ARRAY, [b"[", _element("Hal"), b",{no: json},", _element("lo", finishReason="STOP"), b"]"], ("completed", 5)),
    "element-no-object": (_ARRAY, [b"[", _element("Hal"), b",3,null,[],", _element("lo", finishReason="STOP"), b"]"], ("completed", 5)),
    "array-without-end": (_ARRAY, [b"[", _element("Hallo", finishReason="STOP")], ("completed", 5)),
    "array-cut": (_ARRAY, [b"[", _element("Hallo"), b',{"candidates": [{"ind'], ("truncated", 5)),
    "frame-wrong-checksum": (_FRAMES, [_said("Hal"), _FRAME[:-1] + b"!", _STOP], ("completed", 5)),
    "frame-no-json": (_FRAMES, [_said("Hallo"), event_frame("contentBlockDelta", "{not json"), _STOP], ("completed", 5)),
    "frame-unknown": (_FRAMES, [_said("Hallo"), event_frame("news", "{}"), _STOP], ("completed", 5)),
    "frame-wrong-headers": (_FRAMES, [_said("Hallo"), _FRAME[:12] + b"\xff" * (len(_FRAME) - 12), _STOP], ("completed", 5)),
    "frame-wrong-length": (_FRAMES, [_said("Hallo"), b"\0\0\0\1" * 8, _STOP], ("truncated", 5)),
    "frame-cut": (_FRAMES, [_said("Hallo"), _STOP[:-3]], ("truncated", 5)),
}  # fmt: skip


@pytest.mark.parametrize("case", _OTHER_FRAMINGS)
@_EVERY_CLIENT
def test_malformed_frames_cost_nothing_but_themselves(client: str, case: str) -> None:
    """Lines, array elements and binary messages too; where the framing itself is lost, the rest of the stream is."""
    (path, content_type), pieces, (ending, characters) = _OTHER_FRAMINGS[case]
    got, told = played(client, pieces, path=path, content_type=content_type)
    assert got == b"".join(pieces)
    assert (told.summary.outcome, told.summary.output_characters) == (ending, characters)


@_EVERY_CLIENT
def test_a_broken_chunk_of_http_is_the_librarys_error(client: str) -> None:
    """By the name that the caller gets."""
    seen, told = played(client, STREAM[:1], end="nonsense")
    assert (told.summary.outcome, told.summary.error_type) == ("error", seen[0])


@_EVERY_CLIENT
def test_a_half_open_connection_ends_by_the_callers_timeout(client: str) -> None:
    """The server is gone without a word."""
    seen, told = played(client, STREAM[:1], end="silence", how={"timeout": 0.2})
    assert (told.summary.outcome, told.summary.error_type) == ("timeout", seen[0])
    assert told.summary.chunk_count == 1


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/vnd.amazon.eventstream"])
@_EVERY_CLIENT
def test_a_wrong_content_type_hides_the_events_and_no_more(client: str, content_type: str) -> None:
    """The stream cannot be read, so its end without a marker is what there is to tell."""
    got, told = played(client, STREAM, content_type=content_type)
    assert got == b"".join(STREAM)
    assert told.summary.outcome == "truncated"


@_EVERY_CLIENT
def test_an_ordinary_answer_under_a_streams_content_type_is_truncated(client: str) -> None:
    """There was no event in it."""
    got, told = played(client, [b'{"choices": []}'])
    assert got == b'{"choices": []}'
    assert (told.summary.outcome, told.summary.chunk_count) == ("truncated", 0)


@_EVERY_CLIENT
def test_an_error_between_the_events_is_an_error(client: str) -> None:
    """Gemini says so without any framing, on several lines."""
    error = json.dumps({"error": {"code": "overloaded", "message": "later"}}, indent=2).encode()
    _, told = played(client, [STREAM[0], error])
    assert (told.summary.outcome, told.summary.error_type) == ("error", "overloaded")


# --- how the caller reads --------------------------------------------------------------------------------------------


def _decoded(response: Any) -> Any:
    response.encoding = "utf-8"
    return list(response.iter_lines(decode_unicode=True))


def _copied(response: Any) -> Any:
    copy = io.BytesIO()
    shutil.copyfileobj(response.raw, copy)
    return copy.getvalue()


_REQUESTS: dict[str, Callable[[Any], Any]] = {
    "iter_lines": lambda response: list(response.iter_lines()),
    "iter_lines-small": lambda response: list(response.iter_lines(chunk_size=5)),
    "iter_lines-decoded": _decoded,
    "iter_content": lambda response: list(response.iter_content()),
    "iter_content-none": lambda response: list(response.iter_content(None)),
    "iteration": list,
    "content": lambda response: response.content,
    "text": lambda response: response.text,
    "raw.read": lambda response: response.raw.read(),
    "raw.read-decoded": lambda response: response.raw.read(decode_content=True),
    "raw.read-some": lambda response: list(iter(lambda: response.raw.read(7), b"")),
    "raw.readline": lambda response: list(iter(response.raw.readline, b"")),
    "raw.stream": lambda response: list(response.raw.stream()),
    "raw.read_chunked": lambda response: list(response.raw.read_chunked()),
    "raw-iteration": lambda response: list(response.raw),
    "raw.data": lambda response: response.raw.data,
    "raw-as-a-file": _copied,
    "raw-as-text": lambda response: io.TextIOWrapper(response.raw).read(),
}


@pytest.mark.parametrize("reader", _REQUESTS)
def test_every_reader_of_requests_is_seen(reader: str) -> None:
    """Same items, and a complete stream."""
    requests = pytest.importorskip("requests")
    with Replay(STREAM) as replay:

        def program() -> Any:
            url = f"{replay.url}/v1/chat/completions"
            with requests.post(url, json=ASKED, stream=True, timeout=5) as response:
                return _REQUESTS[reader](response)

        _, told = twice(program)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)
    assert told.summary.output_characters == 5


async def _until_empty(read: Callable[[], Any]) -> Any:
    found = []
    while True:
        item = await read()
        found.append(item)
        if item in (b"", (b"", False)):
            return found


async def _nowait(response: Any) -> Any:
    content, data = response.content, b""
    while not content.at_eof():
        await asyncio.sleep(0.01)
        data += content.read_nowait()
    await content.read()
    return data


async def _listed(items: Any) -> Any:
    return [item async for item in items]


_AIOHTTP: dict[str, Callable[[Any], Any]] = {
    "lines": lambda response: _listed(response.content),
    "iter_any": lambda response: _joined(response.content.iter_any()),
    "iter_chunked": lambda response: _joined(response.content.iter_chunked(10)),
    "iter_chunks": lambda response: _listed(response.content.iter_chunks()),
    "response.read": lambda response: response.read(),
    "response.text": lambda response: response.text(),
    "read": lambda response: response.content.read(),
    "read-some": lambda response: _joined_until_empty(lambda: response.content.read(7)),
    "readany": lambda response: _joined_until_empty(response.content.readany),
    "readline": lambda response: _until_empty(response.content.readline),
    "readuntil": lambda response: _until_empty(lambda: response.content.readuntil(b"\n\n")),
    "readchunk": lambda response: _until_empty(response.content.readchunk),
    "readexactly": lambda response: response.content.readexactly(sum(map(len, STREAM))),
    "read_nowait": _nowait,
}


async def _joined(items: Any) -> Any:
    return b"".join(await _listed(items))


async def _joined_until_empty(read: Callable[[], Any]) -> Any:
    return b"".join(await _until_empty(read))


@pytest.mark.parametrize("reader", _AIOHTTP)
def test_every_reader_of_aiohttp_is_seen(reader: str) -> None:
    """Same items, and a complete stream."""
    aiohttp = pytest.importorskip("aiohttp")
    with Replay(STREAM) as replay:

        async def main() -> Any:
            url = f"{replay.url}/v1/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=ASKED) as response:
                return await _AIOHTTP[reader](response)

        _, told = twice(lambda: asyncio.run(main()))
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)
    assert told.summary.output_characters == 5


def test_the_reader_of_aiohttp_is_what_it_was() -> None:
    """By its class's name, its text and every attribute."""
    aiohttp = pytest.importorskip("aiohttp")
    with Replay(STREAM) as replay:

        async def main() -> Any:
            url = f"{replay.url}/v1/chat/completions"
            async with aiohttp.ClientSession() as session, session.post(url, json=ASKED) as response:
                content = response.content
                await response.read()
                names = [name for name in dir(aiohttp.StreamReader) if not name.startswith("__")]
                facts = {name: type(getattr(content, name)).__name__ for name in names}
                kind = type(content)
                return facts, kind.__name__, kind.__module__, repr(content), content.total_bytes, content.is_eof()

        twice(lambda: asyncio.run(main()))
