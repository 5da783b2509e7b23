"""HTTP traffic that is no model stream, out of memory: the same three exchanges through each HTTP library.

Not over a socket, so that what is added is not lost in the noise of the network: each library gets the piece below it
from here that it lets its users bring along (a transport, an adapter, a connector).
"""

from __future__ import annotations

import asyncio
import atexit
import io
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

PIECE = b"data: x\n\n"
PIECES = 64
_BASE = "http://127.0.0.1:9"
_TYPES = {"/file": "application/octet-stream", "/events": "text/event-stream"}
_ANSWER = {"answer": 42}
Work = Callable[[int], None]
"""Does an exchange so many times."""


def through_httpx2() -> Mapping[str, Work]:
    """Return a JSON call, a download and an event stream through httpx2, from a mock transport."""
    import httpx2  # noqa: PLC0415 - the parent process has no HTTP library

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter([PIECE] * PIECES)

    def answer(request: Any) -> Any:
        kind = _TYPES.get(request.url.path)
        if kind is None:
            return httpx2.Response(200, json=_ANSWER)
        return httpx2.Response(200, headers={"content-type": kind}, stream=Body())

    client = httpx2.Client(transport=httpx2.MockTransport(answer), base_url=_BASE)

    def call() -> None:
        client.post("/tasks", json={"name": "one"}).json()

    def read(path: str) -> Callable[[], None]:
        def once() -> None:
            with client.stream("GET", path) as response:
                for _ in response.iter_raw():
                    pass

        return once

    return _each(_often, call, read)


def through_requests() -> Mapping[str, Work]:
    """Return the same through requests, from an adapter whose bodies are urllib3's, as they always are."""
    import requests  # noqa: PLC0415 - as above
    from requests.adapters import BaseAdapter  # noqa: PLC0415
    from urllib3 import HTTPResponse  # noqa: PLC0415

    class Adapter(BaseAdapter):
        def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
            kind = _TYPES.get(request.path_url)
            body = json.dumps(_ANSWER).encode() if kind is None else PIECE * PIECES
            response = requests.Response()
            response.status_code, response.url, response.request = 200, request.url or "", request
            response.headers["content-type"] = kind or "application/json"
            response.raw = HTTPResponse(io.BytesIO(body), status=200, preload_content=False)
            return response

        def close(self) -> None:
            pass

    session = requests.Session()
    session.mount("http://", Adapter())

    def call() -> None:
        session.post(f"{_BASE}/tasks", json={"name": "one"}).json()

    def read(path: str) -> Callable[[], None]:
        def once() -> None:
            with session.get(f"{_BASE}{path}", stream=True) as response:
                for _ in response.iter_content(len(PIECE)):
                    pass

        return once

    return _each(_often, call, read)


def through_aiohttp() -> Mapping[str, Work]:
    """Return the same through aiohttp, from a connector whose connections are `_Wire`s."""
    import aiohttp  # noqa: PLC0415 - as above

    class Connector(aiohttp.BaseConnector):
        async def _create_connection(self, *_: Any, **__: Any) -> Any:
            protocol = self._factory()
            protocol.connection_made(_Wire(protocol))
            return protocol

    async def make() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(connector=Connector())

    loop = asyncio.new_event_loop()
    session = loop.run_until_complete(make())
    atexit.register(lambda: loop.run_until_complete(session.close()))

    async def call() -> None:
        async with session.post(f"{_BASE}/tasks", json={"name": "one"}) as response:
            await response.json()

    def read(path: str) -> Callable[[], Awaitable[None]]:
        async def once() -> None:
            async with session.get(f"{_BASE}{path}") as response:
                async for _ in response.content.iter_any():
                    pass

        return once

    def often(exchange: Callable[[], Awaitable[None]]) -> Work:
        async def some(count: int) -> None:
            for _ in range(count):
                await exchange()

        return lambda count: loop.run_until_complete(some(count))

    return _each(often, call, read)


def _often(exchange: Callable[[], None]) -> Work:
    def some(count: int) -> None:
        for _ in range(count):
            exchange()

    return some


def _each(often: Callable[[Any], Work], call: Any, read: Callable[[str], Any]) -> Mapping[str, Work]:
    return {"json": often(call), "download": often(read("/file")), "events": often(read("/events"))}


class _Wire(asyncio.Transport):
    """The other end of a connection of aiohttp's: answers each request, one piece per turn of the event loop."""

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._asked = b""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        self._asked += bytes(data)
        head, end, body = self._asked.partition(b"\r\n\r\n")
        if not end or (head.startswith(b"POST") and not body):
            return
        self._asked = b""
        kind = _TYPES.get(head.split(b" ", 2)[1].decode())
        self._send(iter(_whole() if kind is None else _chunks(kind)))

    def _send(self, pieces: Iterator[bytes]) -> None:
        piece = next(pieces, None)
        if piece is not None:
            self._protocol.data_received(piece)
            asyncio.get_running_loop().call_soon(self._send, pieces)

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        asyncio.get_running_loop().call_soon(self._protocol.connection_lost, None)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


def _whole() -> list[bytes]:
    body = json.dumps(_ANSWER).encode()
    return [b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body]


def _chunks(kind: str) -> list[bytes]:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    return [head, *[b"%x\r\n%b\r\n" % (len(PIECE), PIECE)] * PIECES, b"0\r\n\r\n"]
