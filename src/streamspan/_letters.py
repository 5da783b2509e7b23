"""A message that the caller sends over a WebSocket: whole, or in pieces that the library takes one after the other.

The caller's iterable is asked by nobody but the library, when the library wants the next piece. What it has given is
read when it has no more to give, before the message's last frame is on its way.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, TypeAlias

from streamspan._turns import Pieces, Turn

Look: TypeAlias = Callable[[object], Turn | None]
"""Takes a whole message, returns the turn that it asks for."""

_WHOLE = (str, bytes, bytearray, memoryview, Mapping)
"""What the library does not iterate over; it takes a mapping for a mistake."""


class Letter:
    """A message on its way out.

    Args:
        look: reads it.
        message: what the caller sends.
    """

    __slots__ = ("_items", "_look", "_message", "_pieces", "turn")

    def __init__(self, look: Look, message: Any) -> None:
        self._look = look
        self._message = message
        self._items: Any = None
        self._pieces = Pieces()
        self.turn: Turn | None = None
        """The turn that it asks for, as soon as it is known to."""

    def read(self) -> None:
        """Read a message that is whole."""
        self.turn = self._look(self._message)

    def _joined(self) -> None:
        if self._pieces.is_whole:
            self.turn = self._look(self._pieces.joined())


class InPieces(Letter):
    """A message in pieces, in the place of the caller's iterable."""

    __slots__ = ()

    def __iter__(self) -> InPieces:
        if self._items is None:  # an iterator is its own: the library asks twice
            self._items = iter(self._message)
        return self

    def __next__(self) -> Any:
        try:
            piece = next(self._items)
        except StopIteration:
            self._joined()
            raise
        self._pieces.add(piece)
        return piece


class AsyncInPieces(Letter):
    """The same for an asynchronous iterable."""

    __slots__ = ()

    def __aiter__(self) -> AsyncInPieces:
        if self._items is None:
            self._items = aiter(self._message)
        return self

    async def __anext__(self) -> Any:
        try:
            piece = await anext(self._items)
        except StopAsyncIteration:
            self._joined()
            raise
        self._pieces.add(piece)
        return piece


def letter_of(message: Any, look: Look, *, is_async: bool) -> Letter:
    """Return a message as the library would take it; a whole one has been read."""
    if not isinstance(message, _WHOLE):
        if isinstance(message, Iterable):
            return InPieces(look, message)
        if is_async and isinstance(message, AsyncIterable):
            return AsyncInPieces(look, message)
    letter = Letter(look, message)
    letter.read()
    return letter
