"""The messages of a WebSocket, read when there is time for it, and the turns that they belong to.

A turn is a session; this module knows what is true of one beyond that: which answer of the provider's it waits for,
and what has been said against it. Which message belongs to which turn is the connection's business.
"""

from __future__ import annotations

import json
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


class Message:
    """A message of the provider; decoded at most once, and not before somebody asks.

    Args:
        socket: who reads it.
        frame: as it came.
    """

    __slots__ = ("_frame", "_head", "_said", "_socket", "is_taken")

    def __init__(self, socket: Socket, frame: str | bytes) -> None:
        self._socket = socket
        self._frame = frame
        self._head = head_of(frame)
        self._said: Received | None = None
        self.is_taken = False
        """The connection has looked at it."""

    @property
    def is_turn(self) -> bool:
        """Whether it may be more than a piece of an answer."""
        return self._socket.is_turn(self._head, len(self._frame))

    @property
    def said(self) -> Received:
        """What it means."""
        said = self._said
        if said is None:
            said = self._said = self._read()
            self._frame = b""  # it may be large, and the caller has it
        return said

    def _read(self) -> Received:
        size = len(self._frame)
        if size >= self._socket.glance_from and (seen := self._socket.glance(self._head)) is not None:
            return seen
        if size > _MOST_DECODED:
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
