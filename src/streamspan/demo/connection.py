"""One TCP connection: requests come off it one after the other, answers go onto it, and its end is noticed.

Knows asyncio and sockets, and how an answer's end looks on them. Refuses to know scenarios and vendors.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, cast

from streamspan.demo import http11


class Host(Protocol):
    """Who answers, and who wants to know."""

    async def serve(self, connection: Connection, request: http11.Request) -> None:
        """Answer one request; cancelled when the client goes or the server stops."""

    def opened(self, connection: Connection) -> None:
        """Learn of a new connection."""

    def client_gone(self, connection: Connection) -> None:
        """Learn that the client left in the middle of an answer."""

    def lost(self, connection: Connection) -> None:
        """Learn of a connection's end."""

    def failed(self, defect: BaseException) -> None:
        """Learn of a defect of the server itself."""


class Connection(asyncio.Protocol):
    """A client's connection; its requests are answered one after the other."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._reader = http11.RequestReader()
        self._requests: deque[http11.Request] = deque()
        self._task: asyncio.Task[None] | None = None
        self._receive: Callable[[bytes], None] | None = None
        self._writable: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Make the connection tell how much the socket has taken, and send small writes at once."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._socket = cast("socket.socket", transport.get_extra_info("socket"))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._host.opened(self)

    def data_received(self, data: bytes) -> None:
        """Collect requests, or pass on what is none any more."""
        if self._receive is not None:
            self._receive(data)
            return
        try:
            self._requests.extend(self._reader.feed(data))
        except ValueError:
            self._transport.write(http11.head(400, {"content-length": "0", "connection": "close"}))
            self._transport.close()
            return
        self._next()

    def eof_received(self) -> None:
        """Take the client's end of sending for its leaving: no SDK half-closes."""
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Notice the end of the connection, whoever made it."""
        self._gone()
        self._host.lost(self)

    def pause_writing(self) -> None:
        """Make `write` wait until the socket has taken everything."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """Let `write` go on."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    async def write(self, data: bytes) -> None:
        """Return when the socket has taken `data`."""
        self._transport.write(data)
        if self._writable is not None:
            await self._writable

    def write_now(self, data: bytes) -> None:
        """Send without waiting for the socket to take it."""
        self._transport.write(data)

    def take_over(self, receive: Callable[[bytes], None]) -> None:
        """Pass what comes from now on to `receive`: it is no HTTP any more."""
        self._receive = receive

    async def idle(self) -> None:
        """Wait until the client goes or the server stops."""
        await asyncio.get_running_loop().create_future()

    def close(self) -> None:
        """Close after what was written."""
        self._transport.close()

    def abort(self, *, reset: bool = False) -> None:
        """Close at once; with `reset` the peer gets a TCP reset instead of an end."""
        if reset:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def stop(self) -> asyncio.Task[None] | None:
        """Cancel what is being served and close; return the task to wait for."""
        if self._task is not None:
            self._task.cancel()
        self._transport.abort()
        return self._task

    def _gone(self) -> None:
        if self._task is None:
            return
        self._host.client_gone(self)
        self._requests.clear()
        self._task.cancel()

    def _next(self) -> None:
        if self._task is None and self._requests and not self._transport.is_closing():
            self._task = asyncio.get_running_loop().create_task(self._answer(self._requests.popleft()))
            self._task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        defect = None if task.cancelled() else task.exception()
        if defect is not None:
            self._transport.abort()
            self._host.failed(defect)

    async def _answer(self, request: http11.Request) -> None:
        try:
            await self._host.serve(self, request)
            if request.is_last:
                self._transport.close()
        finally:
            self._task = None
        self._next()


class Body:
    """A chunked response body on a connection.

    Args:
        coding: `gzip` or nothing.
        split: bytes per write and chunk; 0 to write as given.
    """

    def __init__(self, connection: Connection, *, coding: str = "", split: int = 0) -> None:
        self._connection = connection
        self._gzip = http11.Gzip() if coding else None
        self._split = split

    async def write(self, data: bytes) -> None:
        """Send a piece; it is with the socket when this returns."""
        if self._gzip is not None:
            data = self._gzip.piece(data)
        if not self._split:
            await self._connection.write(http11.chunk(data))
            return
        for at in range(0, len(data), self._split):
            await self._connection.write(http11.chunk(data[at : at + self._split]))
            await asyncio.sleep(0)

    async def end(self) -> None:
        """End the body as the framing wants it."""
        tail = http11.chunk(self._gzip.end()) if self._gzip is not None else b""
        await self._connection.write(tail + http11.LAST_CHUNK)

    async def hang(self) -> None:
        """Send no more and keep the connection."""
        await self._connection.idle()

    async def drop(self) -> None:
        """Close the connection between two chunks."""
        self._connection.abort()

    async def rst(self) -> None:
        """Reset the connection."""
        self._connection.abort(reset=True)

    async def eof(self) -> None:
        """Close the connection inside a chunk."""
        await self._connection.write(b'40\r\ndata: {"id"')
        self._connection.close()


ENDINGS: Mapping[str, Callable[[Body], Awaitable[None]]] = {
    "end": Body.end,
    "hang": Body.hang,
    "drop": Body.drop,
    "rst": Body.rst,
    "eof": Body.eof,
    "close_1011": Body.drop,  # only a WebSocket has close codes
}
"""What becomes of the connection after a scenario's last step."""
