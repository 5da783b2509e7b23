"""The steps that scenarios are made of: each takes events off the stream that is left and says what to do.

Knows an event by its kind. Refuses to know vendors, scenarios and sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from streamspan.demo.streams import Event, Reply


class Wait(NamedTuple):
    """Do nothing for some seconds."""

    seconds: float


class Hold(NamedTuple):
    """Do nothing until the gate is released."""


Action: TypeAlias = Event | Wait | Hold


@dataclass(frozen=True, slots=True)
class Playback:
    """A stream that is being played.

    Args:
        left: events that no step has taken yet.
        reply: the answer they are from.
        after: number of events before the fault or the pause.
        pause: seconds of the one long wait.
    """

    left: deque[Event]
    reply: Reply
    after: int
    pause: float


Step: TypeAlias = Callable[[Playback], Iterator[Action]]


def first(play: Playback) -> Iterator[Action]:
    """Send the first `after` events."""
    for _ in range(min(play.after, len(play.left))):
        yield play.left.popleft()


def opening(play: Playback) -> Iterator[Action]:
    """Send what comes before any output."""
    while play.left and play.left[0].kind == "start":
        yield play.left.popleft()


def three_deltas(play: Playback) -> Iterator[Action]:
    """Send until three pieces of output are out; of a tool call these are its name and two pieces of arguments."""
    wanted = 3
    while play.left and wanted:
        wanted -= play.left[0].kind == "delta"
        yield play.left.popleft()


def output(play: Playback) -> Iterator[Action]:
    """Send until nothing but the finish is left."""
    while play.left and play.left[0].kind in {"start", "delta"}:
        yield play.left.popleft()


def rest(play: Playback) -> Iterator[Action]:
    """Send all that is left."""
    while play.left:
        yield play.left.popleft()


def pause(play: Playback) -> Iterator[Action]:
    """Wait for `pause` seconds."""
    yield Wait(play.pause)


def hold(_: Playback) -> Iterator[Action]:
    """Wait at the gate."""
    yield Hold()


def one_by_one(play: Playback) -> Iterator[Action]:
    """Wait at the gate before every event."""
    while play.left:
        yield Hold()
        yield play.left.popleft()


def say(fault: str) -> Step:
    """Return a step that sends the vendor's events for a fault."""

    def said(play: Playback) -> Iterator[Action]:
        yield from play.reply.fault(fault)

    return said
