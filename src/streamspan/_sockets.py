"""The taps on one WebSocket of the `websockets` library, in both colours.

They are attributes of the connection object, set when a connection turns out to be a model's: a connection that is
not, and every connection of a server, runs the library's own methods. `async for`, `with` and the SDKs above all go
through `recv`, `send` and `close` of the object. Deliver first, observe second. When the connection is over they are
taken off again; until then the library keeps the object alive anyway, by its transport or its thread.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from streamspan._connection import Connection
from streamspan._ownership import async_reader, sync_reader
from streamspan._turns import Turn


def tap(websocket: Any, connection: Connection, *, is_async: bool) -> None:
    """Watch a connection that has just been opened, until it is over."""
    taps = (_AsyncTaps if is_async else _SyncTaps)(websocket, connection)
    websocket.recv, websocket.send, websocket.close = taps.recv, taps.send, taps.close
    # An event loop that ends with the connection open leaves it to the garbage collector.
    connection.handle = weakref.ref(websocket, lambda _reference: connection.lifecycle.dropped(connection))


class _Taps:
    """What both colours share. Each method calls the one of the object's class, whoever has patched that."""

    def __init__(self, websocket: Any, connection: Connection) -> None:
        self._websocket = websocket
        self._kind: Any = type(websocket)
        self._connection = connection

    def _leave(self) -> None:
        """Take the taps off a connection that is over."""
        self._connection.handle = None
        for name in ("recv", "send", "close"):
            self._websocket.__dict__.pop(name, None)

    def _sending(self, frame: object) -> Turn | None:
        connection = self._connection
        return None if connection.is_ended else connection.guard.call(connection.sending, frame)

    def _sent(self, turn: Turn | None) -> None:
        if turn is not None:
            self._connection.guard.call(self._connection.sent, turn)

    def _pull(self, reader: int) -> None:
        connection = self._connection
        if not connection.is_ended:
            connection.guard.call(connection.pull, reader)

    def _received(self, frame: Any) -> None:
        connection = self._connection
        if not connection.is_ended and isinstance(frame, str | bytes):
            connection.guard.call(connection.received, frame)

    def _failed(self, exc: BaseException) -> None:
        connection = self._connection
        if not connection.is_ended:
            connection.guard.call(connection.failed, exc)
        if connection.is_ended:
            self._leave()

    def _closing(self, reader: int) -> None:
        connection = self._connection
        if not connection.is_ended:
            connection.guard.call(connection.closing, reader)

    def _closed(self) -> None:
        connection = self._connection
        if not connection.is_ended:
            connection.guard.call(connection.closed, self._websocket.protocol.close_code)
        self._leave()


class _AsyncTaps(_Taps):
    async def recv(self, *args: Any, **kwargs: Any) -> Any:
        self._pull(async_reader())
        try:
            frame = await self._kind.recv(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._received(frame)
        return frame

    async def send(self, *args: Any, **kwargs: Any) -> None:
        turn = self._sending(args[0] if args else kwargs.get("message"))
        try:
            await self._kind.send(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._sent(turn)

    async def close(self, *args: Any, **kwargs: Any) -> None:
        self._closing(async_reader())
        try:
            await self._kind.close(self._websocket, *args, **kwargs)
        finally:
            self._closed()


class _SyncTaps(_Taps):
    def __init__(self, websocket: Any, connection: Connection) -> None:
        super().__init__(websocket, connection)
        # From 17.1 the first use may warn, of the line that called it: to be asked from as deep as the method itself.
        self._warn: Callable[[], None] = getattr(websocket, "maybe_raise_legacy_warning", _nothing)

    def recv(self, *args: Any, **kwargs: Any) -> Any:
        self._warn()
        self._pull(sync_reader())
        try:
            frame = self._kind.recv(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._received(frame)
        return frame

    def send(self, *args: Any, **kwargs: Any) -> None:
        self._warn()
        turn = self._sending(args[0] if args else kwargs.get("message"))
        try:
            self._kind.send(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._sent(turn)

    def close(self, *args: Any, **kwargs: Any) -> None:
        self._warn()
        self._closing(sync_reader())
        try:
            self._kind.close(self._websocket, *args, **kwargs)
        finally:
            self._closed()


def _nothing() -> None:
    """Have nothing to warn of."""
