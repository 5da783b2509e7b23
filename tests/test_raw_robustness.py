"""Raw streams in trouble: the caller has what the bare library gives, and the session ends truthfully.

Each program runs without and with streamspan, and what it returns or raises is compared.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import shutil
import socket
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import httpx
import pytest

from streamspan._wire import FLUSH, WireReader
from streamspan.providers import Endpoint
from streamspan.providers._generic import read_anything
from support.http_clients import CLIENTS
from support.replay import Replay, cut
from support.seen import fault
from support.telemetry import Told

ASKED = {"model": "m1", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
_EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)


def chunk(text: str, finish: str | None = None) -> bytes:
    """Return a chunk of a chat as it stands on the wire."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "1", "model": "m1", "choices": [choice]}).encode() + b"\n\n"


STREAM = [chunk("Hal"), chunk("lo", "stop"), b"data: [DONE]\n\n"]


def twice(program: Callable[[], Any]) -> tuple[Any, Told]:
    """Run a program without and with streamspan; return what it gave, and what was told."""

    def outcome() -> Any:
        try:
            return program()
        except Exception as exc:  # noqa: BLE001 - of any library
            return fault(exc)

    bare = outcome()
    told = Told()
    told.instrument()
    try:
        seen = outcome()
    finally:
        told.finish()
    assert seen == bare
    assert told.active == 0
    return seen, told


def played(client: str, pieces: list[bytes], **options: Any) -> tuple[Any, Told]:
    """Play pieces to a client; return what it got or raised, and what was told."""
    with Replay(pieces, **options) as replay:
        return twice(lambda: CLIENTS[client][1]("POST", f"{replay.url}/v1/chat/completions", ASKED))


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


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_a_hundred_thousand_tiny_events_are_counted(client: str) -> None:
    """All of them, and the span stays as small as any."""
    pytest.importorskip(client)
    tiny = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\n' * 1000
    _, told = played(client, [*[tiny] * 100, *STREAM])
    assert (told.summary.chunk_count, told.summary.output_characters) == (100_002, 100_005)
    assert len(told.span.events) <= 33


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
@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_malformed_events_cost_nothing_but_themselves(client: str, nonsense: bytes) -> None:
    """What comes before and after them is read."""
    pytest.importorskip(client)
    got, told = played(client, [STREAM[0], nonsense, *STREAM[1:]])
    assert got == b"".join([STREAM[0], nonsense, *STREAM[1:]])
    assert told.summary.outcome == "completed"
    assert told.summary.output_characters == 5


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
def test_a_compressed_stream_is_read(client: str) -> None:
    """Whether the library hands out the bytes before or after decoding."""
    _, told = played(client, cut(gzip.compress(b"".join(STREAM)), 10), headers=["content-encoding: gzip"])
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)


@pytest.mark.parametrize(("module", "error"), [("httpx", "httpx.DecodingError"), ("httpx2", "_OTHER")])
def test_a_body_that_is_not_in_its_coding_is_the_librarys_error(module: str, error: str) -> None:
    """It decodes above the bytes; what it raises is no cancel of the caller's. httpx2 closes before it can be seen."""
    library = pytest.importorskip(module)
    with Replay(STREAM, headers=["content-encoding: gzip"]) as replay:

        def program() -> Any:
            url = f"{replay.url}/v1/chat/completions"
            with library.Client() as client, client.stream("POST", url, json=ASKED) as response:
                return b"".join(response.iter_bytes())

        seen, told = twice(program)
    assert seen[0] == f"{module}.DecodingError"
    assert (told.summary.outcome, told.summary.error_type) == ("error", error)


@pytest.mark.parametrize(
    ("client", "error"),
    [
        ("requests", "requests.exceptions.ContentDecodingError"),
        ("aiohttp", "aiohttp.client_exceptions.ClientPayloadError"),
    ],
)
def test_so_it_is_where_the_library_decodes_below(client: str, error: str) -> None:
    """By the name that the caller gets."""
    pytest.importorskip(client)
    seen, told = played(client, STREAM, headers=["content-encoding: gzip"])
    assert seen[0] == error
    assert (told.summary.outcome, told.summary.error_type) == ("error", error)


def test_bytes_in_a_coding_that_nobody_knows_are_passed_on() -> None:
    """What is in them cannot be told; that they came to their end can."""
    got, told = played("httpx", STREAM, headers=["content-encoding: secret"])
    assert got == b"".join(STREAM)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 0)


def test_an_error_between_the_events_is_an_error() -> None:
    """Gemini says so without any framing, on several lines."""
    error = json.dumps({"error": {"code": "overloaded", "message": "later"}}, indent=2).encode()
    _, told = played("httpx", [STREAM[0], error])
    assert (told.summary.outcome, told.summary.error_type) == ("error", "overloaded")


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
def test_a_half_open_connection_ends_by_the_callers_timeout(module: str) -> None:
    """The server is gone without a word."""
    library = pytest.importorskip(module)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            connection.recv(65536)
            head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
            connection.sendall(head + b"%x\r\n%b\r\n" % (len(STREAM[0]), STREAM[0]))
            held.append(connection)

    held: list[socket.socket] = []
    threading.Thread(target=serve, daemon=True).start()

    def program() -> Any:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1/chat/completions"
        with library.Client(timeout=0.2) as client, client.stream("POST", url, json=ASKED) as response:
            return response.read()

    seen, told = twice(program)
    for connection in (*held, listener):
        connection.close()
    assert seen[0] == f"{module}.ReadTimeout"
    assert (told.summary.outcome, told.summary.chunk_count) == ("timeout", 1)


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


def test_a_raw_body_that_is_compressed_is_read_as_it_comes() -> None:
    """`raw` hands out what is on the wire unless it is asked to decode."""
    requests = pytest.importorskip("requests")
    with Replay(cut(gzip.compress(b"".join(STREAM)), 9), headers=["content-encoding: gzip"]) as replay:

        def program() -> Any:
            url = f"{replay.url}/v1/chat/completions"
            with requests.post(url, json=ASKED, stream=True, timeout=5) as response:
                return response.raw.read()

        seen, told = twice(program)
    assert gzip.decompress(seen) == b"".join(STREAM)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)


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


# --- HTTP/2 ----------------------------------------------------------------------------------------------------------


class _Http2:
    """A server of HTTP/2 without TLS that answers every request with the stream, one frame per event."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> _Http2:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        h2, events = import_module("h2.connection"), import_module("h2.events")
        state = h2.H2Connection(import_module("h2.config").H2Configuration(client_side=False))
        state.initiate_connection()
        with connection:
            connection.sendall(state.data_to_send())
            while data := connection.recv(65536):
                for event in state.receive_data(data):
                    if isinstance(event, events.StreamEnded):
                        head = [(":status", "200"), ("content-type", "text/event-stream")]
                        state.send_headers(event.stream_id, head)
                        for piece in STREAM:
                            state.send_data(event.stream_id, piece)
                        state.end_stream(event.stream_id)
                connection.sendall(state.data_to_send())


@pytest.mark.parametrize("module", ["httpx", "httpx2"])
def test_streams_over_http2_are_recorded(module: str) -> None:
    """Two of them on one connection."""
    library = pytest.importorskip(module)
    pytest.importorskip("h2")
    with _Http2() as server:

        def program() -> Any:
            with library.Client(http1=False, http2=True) as client:
                return [_lines(client, server.url) for _ in range(2)]

        seen, told = twice(program)
    assert seen[0][0] == "HTTP/2"
    assert [(each.outcome, each.chunk_count) for each in told.summaries] == [("completed", 2)] * 2


def _lines(client: Any, url: str) -> Any:
    with client.stream("POST", f"{url}/v1/chat/completions", json=ASKED) as response:
        return response.http_version, *response.iter_lines()


def test_a_custom_transport_is_as_good_as_any() -> None:
    """What it yields is the stream, and what it raises is the error."""

    class Body(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield STREAM[0]
            raise ValueError("mine")

    class Transport(httpx.BaseTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())

    def program() -> Any:
        client, url = httpx.Client(transport=Transport()), "http://localhost/v1/chat/completions"
        with client, client.stream("POST", url, json=ASKED) as response:
            return response.read()

    _, told = twice(program)
    assert (told.summary.outcome, told.summary.error_type) == ("error", "ValueError")
