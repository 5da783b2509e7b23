"""The messages of a WebSocket, whole or in pieces, read when there is time for it, and the turns that they belong to.

A turn is a session; this module knows what is true of one beyond that: which answer of the provider's it waits for,
and what has been said against it. Which message belongs to which turn is the connection's business.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from io import BytesIO, StringIO
from typing import Any, cast

from streamspan._failures import qualified_name
from streamspan._ownership import Call
from streamspan._records import Delta, ProviderError
from streamspan.providers.sockets import Received, Sent, Socket

_HEAD = 4096
"""Characters of a message that are looked at before it is decoded."""
_MOST_DECODED = 1024 * 1024
"""Longer messages would hold the caller's event loop up for milliseconds: only what their head says is taken."""


def head_of(frame: str | bytes) -> str:
    """Return the first characters of a message."""
    head = frame[:_HEAD]
    return head if isinstance(head, str) else head.decode("utf-8", "replace")


def decoded(frame: str | bytes) -> dict[str, Any]:
    """Return the JSON object that a message is, empty if it is JSON of another kind.

    Raises:
        ValueError: it is no JSON.
    """
    value = json.loads(frame)
    return cast("dict[str, Any]", value) if type(value) is dict else {}


def _flat(frame: Any) -> Any:
    """Return what lies in a buffer, which may change; anything else is what it is."""
    return bytes(frame) if type(frame) in (bytearray, memoryview) else frame


def sent_of(socket: Socket, frame: Any) -> Sent | None:
    """Return what a message of the client means, None if it means nothing, or nobody can tell."""
    frame = _flat(frame)
    if not isinstance(frame, str | bytes) or len(frame) > _MOST_DECODED or not socket.is_sent(head_of(frame)):
        return None
    try:
        message = decoded(frame)
    except ValueError:  # the provider will say so
        return None
    return socket.sent(message)


class Pieces:
    """A message that comes or goes in pieces of one kind: joined, as far as it would be decoded."""

    __slots__ = ("_kept", "_room", "size")

    def __init__(self) -> None:
        self._kept: Any = None
        self._room = _MOST_DECODED
        self.size = 0
        """Of the whole message, kept or not."""

    def add(self, piece: Any) -> None:
        """Take a piece; one of another kind is an error that the library finds too."""
        piece = _flat(piece)
        if self._kept is None:
            self._kept = StringIO(newline="") if isinstance(piece, str) else BytesIO()
        if isinstance(piece, str | bytes) and isinstance(piece, str) is isinstance(self._kept, StringIO):
            self._room -= self._kept.write(piece[: self._room])
            self.size += len(piece)

    @property
    def is_whole(self) -> bool:
        """Whether nothing had to be left out."""
        return self.size <= _MOST_DECODED

    def joined(self) -> str | bytes:
        """Return the message, or its beginning if it is very long."""
        joined: str | bytes = "" if self._kept is None else self._kept.getvalue()
        return joined


class Message:
    """A message of the provider; decoded at most once, and not before somebody asks.

    Args:
        socket: who reads it.
        frame: as it came.
        size: its length, where `frame` is only its beginning.
    """

    __slots__ = ("_frame", "_head", "_said", "_size", "_socket", "is_taken")

    def __init__(self, socket: Socket, frame: str | bytes, size: int = 0) -> None:
        self._socket = socket
        self._frame = frame
        self._size = size or len(frame)
        self._head = head_of(frame)
        self._said: Received | None = None
        self.is_taken = False
        """The connection has looked at it."""

    @property
    def is_turn(self) -> bool:
        """Whether it may be more than a piece of an answer."""
        return self._socket.is_turn(self._head, self._size)

    @property
    def said(self) -> Received:
        """What it means."""
        said = self._said
        if said is None:
            said = self._said = self._read()
            self._frame = b""  # it may be large, and the caller has it
        return said

    def _read(self) -> Received:
        if self._size >= self._socket.glance_from and (seen := self._socket.glance(self._head)) is not None:
            return seen
        if self._size > _MOST_DECODED:
            return Received(Delta())
        try:
            message = decoded(self._frame)
        except ValueError as exc:
            # Whoever reads it gets an error; that it is one of this turn shows when nothing better ends it.
            return Received(error=ProviderError(qualified_name(type(exc)), "a message that is no JSON"))
        return self._socket.received(message)


class Turn:
    """One turn of a connection.

    Args:
        call: its session.
        sent: the message that asked for it.
    """

    __slots__ = ("answer", "call", "doubt", "event_id", "has_begun", "is_interrupted", "is_over", "lane", "session")

    def __init__(self, call: Call, sent: Sent) -> None:
        self.call = call
        self.session = call.session
        self.lane = sent.lane
        self.event_id = sent.event_id
        self.answer = ""
        """The provider's id of the answer, where answers have one."""
        self.has_begun = False
        self.is_over = False
        """The provider has said its last word of it."""
        self.is_interrupted = False
        self.doubt: ProviderError | None = None
        """An error that may be this turn's: it is, if the turn does not end well after all."""

    def begun(self, answer: str) -> None:
        """The provider has begun to answer."""
        self.answer = self.answer or answer
        self.has_begun = True
        self.session.accepted()

    def take(self, said: Received, delta: Delta) -> None:
        """Take a message that is about this turn."""
        if not self.has_begun:
            self.begun(said.answer)
        self.is_over |= said.ends
        if self.is_interrupted:  # what says that it is over does not make it whole
            delta.finish_reason, delta.is_terminal = "", False
        self.is_interrupted |= delta.is_interrupted

    def concluded(self) -> bool:
        """End the turn if it is known how it ended, whatever the connection does; return whether it was."""
        session = self.session
        if self.is_interrupted:
            session.closed()
        elif self.is_over:
            session.exhausted()
        elif self.doubt is not None:
            session.faulted(self.doubt)
            session.exhausted()
        else:
            return False
        return True


def accused(turns: Iterable[Turn], said: Received) -> Turn | None:
    """Return the turn that an error is about, None if it does not say so."""
    named = next((turn for turn in turns if said.error_of and turn.event_id == said.error_of), None)
    if named is None and said.is_refusal:
        named = next((turn for turn in turns if not turn.has_begun), None)
    if named is None and said.ends:
        named = next(iter(turns), None)
    return named
