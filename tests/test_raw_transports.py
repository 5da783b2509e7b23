"""Raw streams over other transports than sockets with HTTP/1.1: HTTP/2, and those that somebody has made himself."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any

import pytest

from support.played import ASKED, PATH, STREAM, twice

_EVENTS = {"content-type": "text/event-stream"}
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_MODULES = pytest.mark.parametrize("module", ["httpx", "httpx2"])


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


def _streams(client: Any, url: str, count: int) -> list[Any]:
    """Read streams one after the other; return the version of HTTP and the lines of each."""

    def read() -> list[Any]:
        with client:
            return [_lines(client, url) for _ in range(count)]

    async def aread() -> list[Any]:
        async with client:
            return [await _alines(client, url) for _ in range(count)]

    return asyncio.run(aread()) if hasattr(client, "aclose") else read()


def _lines(client: Any, url: str) -> Any:
    with client.stream("POST", f"{url}{PATH}", json=ASKED) as response:
        return response.http_version, *response.iter_lines()


async def _alines(client: Any, url: str) -> Any:
    async with client.stream("POST", f"{url}{PATH}", json=ASKED) as response:
        return response.http_version, *[line async for line in response.aiter_lines()]


@_COLOURS
@_MODULES
def test_streams_over_http2_are_recorded(module: str, is_async: bool) -> None:
    """Two of them on one connection."""
    library = pytest.importorskip(module)
    pytest.importorskip("h2")
    with _Http2() as server:
        kind = library.AsyncClient if is_async else library.Client
        seen, told = twice(lambda: _streams(kind(http1=False, http2=True), server.url, 2))
    assert seen[0][0] == "HTTP/2"
    assert [(each.outcome, each.chunk_count) for each in told.summaries] == [("completed", 2)] * 2


def _transport(library: Any, pieces: list[bytes], error: Exception | None) -> Any:
    """Make a transport of both colours."""

    class Body(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc] # of either library
        def __iter__(self) -> Iterator[bytes]:
            yield from pieces
            if error is not None:
                raise error

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self:
                yield piece

    class SyncBody(library.SyncByteStream):  # type: ignore[misc] # as above
        __iter__ = Body.__iter__

    class AsyncBody(library.AsyncByteStream):  # type: ignore[misc] # as above
        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in SyncBody():
                yield piece

    class Transport(library.BaseTransport, library.AsyncBaseTransport):  # type: ignore[misc] # as above
        def handle_request(self, request: Any) -> Any:
            return library.Response(200, headers=_EVENTS, stream=SyncBody())

        async def handle_async_request(self, request: Any) -> Any:
            return library.Response(200, headers=_EVENTS, stream=AsyncBody())

    return Transport()


@pytest.mark.parametrize(
    ("pieces", "error", "ending"),
    [(STREAM, None, ("completed", None)), (STREAM[:1], ValueError("mine"), ("error", "ValueError"))],
    ids=["complete", "broken"],
)
@_COLOURS
@_MODULES
def test_a_custom_transport_is_as_good_as_any(
    module: str, is_async: bool, pieces: list[bytes], error: Exception | None, ending: tuple[str, str | None]
) -> None:
    """What it yields is the stream, and what it raises is the error."""
    library = pytest.importorskip(module)
    kind = library.AsyncClient if is_async else library.Client
    _, told = twice(lambda: _streams(kind(transport=_transport(library, pieces, error)), "http://localhost", 1))
    assert (told.summary.outcome, told.summary.error_type) == ending
    assert told.summary.chunk_count == min(2, len(pieces))


def _adapter(raw: Any) -> Any:
    """Make an adapter of requests that answers by itself, as those of caches and of test libraries do."""
    adapters: Any = import_module("requests.adapters")
    models: Any = import_module("requests.models")

    class Adapter(adapters.BaseAdapter):  # type: ignore[misc] # of a library that is imported when it is there
        def send(self, request: Any, **_: Any) -> Any:
            response = models.Response()
            response.status_code, response.url, response.request = 200, request.url, request
            response.headers.update(_EVENTS)
            response.raw = raw(b"".join(STREAM))
            return response

        def close(self) -> None:
            pass

    return Adapter()


def _of_urllib3(body: bytes) -> Any:
    kind = import_module("urllib3").HTTPResponse
    return kind(io.BytesIO(body), headers=_EVENTS, status=200, preload_content=False)


def _post(adapter: Any) -> Any:
    with import_module("requests").Session() as session:
        session.mount("http://", adapter)
        with session.post(f"http://localhost{PATH}", json=ASKED, stream=True, timeout=5) as response:
            return list(response.iter_lines())


def test_an_adapter_of_requests_with_a_response_of_urllib3_is_as_good_as_any() -> None:
    """Its `raw` is what is read, wherever its bytes come from."""
    pytest.importorskip("requests")
    _, told = twice(lambda: _post(_adapter(_of_urllib3)))
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)


def test_an_adapter_of_requests_with_anything_else_leaves_nothing() -> None:
    """There is nothing to hold on to in a file: the caller reads it as ever, and no stream is claimed."""
    pytest.importorskip("requests")
    lines, told = twice(lambda: _post(_adapter(io.BytesIO)))
    assert lines[-2] == b"data: [DONE]"
    assert told.spans == []
