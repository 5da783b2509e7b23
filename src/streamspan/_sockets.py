"""The taps on one WebSocket of the `websockets` library, in both colours.

They are attributes of the connection object, set when a connection turns out to be a model's: a connection that is
not, and every connection of a server, runs the library's own methods. `async for`, `with` and the SDKs above all go
through `recv`, `recv_streaming`, `send` and `close` of the object. Deliver first, observe second. When the connection
is over they are taken off again; until then the library keeps the object alive anyway, by its transport or its thread.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, TypeAlias

from streamspan._connection import Connection
from streamspan._letters import Letter, letter_of
from streamspan._ownership import async_reader, sync_reader
from streamspan._partings import code_of
from streamspan._turns import Pieces, Turn

_METHODS = ("recv", "recv_streaming", "send", "close")
_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]


def tap(websocket: Any, connection: Connection, *, is_async: bool) -> None:
    """Watch a connection that has just been opened, until it is over."""
    taps = (_AsyncTaps if is_async else _SyncTaps)(websocket, connection)
    for name in _METHODS:
        setattr(websocket, name, getattr(taps, name))
    # An event loop that ends with the connection open leaves it to the garbage collector.
    connection.handle = weakref.ref(websocket, lambda _reference: connection.lifecycle.dropped(connection))


class _Taps:
    """What both colours share; in a `with` it tells of what is raised.

    Each method calls the one of the object's class, whoever has patched that.
    """

    def __init__(self, websocket: Any, connection: Connection) -> None:
        self._websocket = websocket
        self._kind: Any = type(websocket)
        self._connection = connection

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if exc is not None:
            self._failed(exc)

    def _leave(self) -> None:
        """Take the taps off a connection that is over."""
        self._connection.handle = None
        for name in _METHODS:
            self._websocket.__dict__.pop(name, None)

    def _posting(self, args: _Args, kwargs: _Kwargs, *, is_async: bool) -> tuple[Letter, _Args, _Kwargs]:
        """Return what is sent, and the arguments with it in the place of a message in pieces."""
        letter = letter_of(args[0] if args else kwargs.get("message"), self._sending, is_async=is_async)
        if type(letter) is Letter:
            return letter, args, kwargs
        return (letter, (letter, *args[1:]), kwargs) if args else (letter, args, {**kwargs, "message": letter})

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

    def _lent(self, pieces: Pieces, piece: Any) -> None:
        connection = self._connection
        if not connection.is_ended:
            pieces.add(piece)
            connection.guard.call(connection.lent)

    def _received(self, frame: Any, size: int = 0) -> None:
        connection = self._connection
        if not connection.is_ended and isinstance(frame, str | bytes):
            connection.guard.call(connection.received, frame, size)

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
            connection.guard.call(connection.closed, code_of(self._websocket.protocol.close_rcvd))
        self._leave()


class _AsyncTaps(_Taps):
    async def recv(self, *args: Any, **kwargs: Any) -> Any:
        self._pull(async_reader())
        try:  # no `with self`: that is two calls more per message
            frame = await self._kind.recv(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._received(frame)
        return frame

    async def recv_streaming(self, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        self._pull(async_reader())
        pieces = Pieces()
        with self:
            async with aclosing(self._kind.recv_streaming(self._websocket, *args, **kwargs)) as stream:
                async for piece in stream:
                    self._lent(pieces, piece)
                    yield piece
                    self._pull(async_reader())
        self._received(pieces.joined(), pieces.size)

    async def send(self, *args: Any, **kwargs: Any) -> None:
        letter, args, kwargs = self._posting(args, kwargs, is_async=True)
        with self:
            await self._kind.send(self._websocket, *args, **kwargs)
        self._sent(letter.turn)

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
        try:  # no `with self`: that is two calls more per message
            frame = self._kind.recv(self._websocket, *args, **kwargs)
        except BaseException as exc:
            self._failed(exc)
            raise
        self._received(frame)
        return frame

    def recv_streaming(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        self._warn()
        self._pull(sync_reader())
        pieces = Pieces()
        with self, closing(self._kind.recv_streaming(self._websocket, *args, **kwargs)) as stream:
            for piece in stream:
                self._lent(pieces, piece)
                yield piece
                self._pull(sync_reader())
        self._received(pieces.joined(), pieces.size)

    def send(self, *args: Any, **kwargs: Any) -> None:
        self._warn()
        letter, args, kwargs = self._posting(args, kwargs, is_async=False)
        with self:
            self._kind.send(self._websocket, *args, **kwargs)
        self._sent(letter.turn)

    def close(self, *args: Any, **kwargs: Any) -> None:
        self._warn()
        self._closing(sync_reader())
        try:
            self._kind.close(self._websocket, *args, **kwargs)
        finally:
            self._closed()


def _nothing() -> None:
    """Have nothing to warn of."""
