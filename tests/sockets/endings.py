"""The endings of a turn on a WebSocket, as one table: what is played, what the caller does, what must be recorded."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sockets import talks
from sockets.surfaces import TALKERS, Talker

BROKEN = "websockets.exceptions.ConnectionClosedError"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One ending.

    Args:
        name: how the test is called.
        scenario: what the demo provider plays.
        act: what the caller does.
        outcome: of the turn; its cancel reason after a space.
        error: `error.type`, or a neutral word of the surface's `errors`.
        exception: `streamspan.cancel.exception`.
        finish: the word of the surface's `finishes` for the finish reason; `error` for one that never came.
        needs: traits that the surface must have.
        lacks: traits that it must not have.
        only_async: only for this colour.
        close_code: that came in the provider's close frame; None without one, `any` where each SDK has its own.
        connection_error: `error.type` of the connection.
    """

    name: str
    scenario: str
    act: talks.Act
    outcome: str
    error: str | None = None
    exception: str | None = None
    finish: str | None = "error"
    needs: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()
    only_async: bool = False
    close_code: int | Literal["any"] | None = 1000
    connection_error: str | None = None

    def fits(self, talker: Talker, *, is_async: bool) -> bool:
        """Tell whether the surface can have this ending."""
        return (
            is_async in talker.colours
            and self.needs <= talker.traits
            and not self.lacks & talker.traits
            and (is_async or not self.only_async)
        )


def _of(*traits: str) -> frozenset[str]:
    return frozenset(traits)


_HAS_TIMEOUT = sys.version_info >= (3, 11)

CASES = [
    Case(name="complete", scenario="ok", act=talks.turn, outcome="completed", finish="ok"),
    Case(name="slow", scenario="slow;chunks=5", act=talks.turn, outcome="completed", finish="ok"),
    Case(name="complete, many chunks", scenario="ok;chunks=200", act=talks.turn, outcome="completed", finish="ok"),
    Case(
        name="tool calls", scenario="tools", act=talks.turn, outcome="completed", finish="ok", needs=_of("events")
    ),
    Case(name="incomplete", scenario="response_incomplete", act=talks.turn, outcome="completed", finish="incomplete"),
    Case(name="failed", scenario="response_failed", act=talks.turn, outcome="error", error="server_error",
         needs=_of("events")),
    Case(name="barge-in", scenario="barge_in", act=talks.turn, outcome="cancelled closed", finish="barge-in",
         needs=_of("barge-in")),
    Case(name="error event, then left", scenario="error_event", act=talks.leave_at_error, outcome="error",
         error="error_event", lacks=_of("is-http-too"), close_code="any"),
    Case(name="refused", scenario="refused", act=talks.leave_at_error, outcome="error", error="rate_limit_exceeded",
         finish=None, needs=_of("refusal")),
    Case(name="error about something else", scenario="unrelated_error", act=talks.turn, outcome="completed",
         finish="ok", needs=_of("refusal")),
    Case(name="go-away", scenario="go_away", act=talks.turn, outcome="completed", finish="ok", needs=_of("go-away")),
    Case(name="closed with 1000 in the middle", scenario="short", act=talks.turn, outcome="truncated",
         error="truncated"),
    Case(name="closed with 1011 in the middle", scenario="close_1011", act=talks.turn, outcome="error", error="1011",
         close_code=1011, connection_error="1011"),
    Case(name="dropped in the middle", scenario="drop", act=talks.turn, outcome="error", error=BROKEN,
         close_code=None, connection_error=BROKEN),
    Case(name="reset in the middle", scenario="rst", act=talks.turn, outcome="error", error=BROKEN,
         close_code=None, connection_error=BROKEN),
    Case(name="ended inside a frame", scenario="eof", act=talks.turn, outcome="error", error=BROKEN,
         close_code=None, connection_error=BROKEN),
    # Few messages: the library's synchronous close waits for ten seconds where more than its queue holds are unread.
    Case(name="no JSON", scenario="garbage;chunks=2", act=talks.turn, outcome="error", error="json.decoder.JSONDecodeError",
         close_code="any", lacks=_of("raw")),
    Case(name="left", scenario="hang", act=talks.leave, outcome="cancelled closed"),
    Case(name="closed by the caller", scenario="hang", act=talks.close, outcome="cancelled closed"),
    Case(name="never read", scenario="hang", act=talks.unread, outcome="cancelled closed", finish=None),
    Case(name="the application fails", scenario="hang", act=talks.fail_inside, outcome="cancelled closed",
         exception="LookupError", close_code="any"),
    Case(name="task cancelled while reading", scenario="hang", act=talks.cancel_reading,
         outcome="cancelled task_cancelled", only_async=True, close_code="any"),
    *(
        [Case(name="deadline while reading", scenario="hang", act=talks.deadline, outcome="timeout",
              error="TimeoutError", only_async=True, close_code="any")]
        if _HAS_TIMEOUT else []
    ),
]  # fmt: skip


def cases() -> Iterator[tuple[str, Case, Talker, bool]]:
    """Yield every ending of every surface in every colour that has it."""
    for talker in TALKERS:
        for case in CASES:
            for is_async in (False, True):
                if case.fits(talker, is_async=is_async):
                    yield f"{talker.name}-{case.name}-{'async' if is_async else 'sync'}", case, talker, is_async
