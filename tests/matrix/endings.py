"""The endings, as data: what happens, on which surfaces, and what must be recorded. New surfaces need no new line."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from matrix import acts
from support.caller import Caller
from support.surface import READ_TIMEOUT, Surface
from support.surfaces import SURFACES

Act = Callable[[Caller, Surface, str], Awaitable[None]]
GATE = "gate;chunks=4"
_FINISHES = ("complete", "missing", "none")
_CLOSING: frozenset[Act] = frozenset(
    {
        acts.take_and_close,
        acts.next_twice_and_close,
        acts.break_on_flag,
        acts.close_twice,
        acts.read_after_close,
    }
)
_IMPOSSIBLE: Mapping[str, frozenset[Act]] = {
    # There is nothing to close.
    "no-close": _CLOSING | {acts.close_after_marker, acts.close_in_finally},
    # Whoever reads has nothing to do with the stream: another task goes on with it.
    "detached": frozenset(
        {
            acts.cancel_blocked,
            acts.cancel_first_read,
            acts.scope_cancel,
            acts.timeout_block,
            acts.wait_for,
            acts.move_on,
            acts.drop,
            acts.drop_after_marker,
            acts.raise_without_with,
        }
    ),
    # Some events of the wire give no item, the end marker among them.
    "hides-events": frozenset({acts.next_twice_and_close, acts.close_after_marker, acts.drop_after_marker}),
    # What is closed or let go of is read to its end, which would never come; and a scope of anyio's cancels that, too.
    "drains": _CLOSING | {acts.close_after_marker, acts.drop, acts.raise_without_with, acts.move_on, acts.scope_cancel},
}
"""What a caller cannot do to surfaces with a trait, whatever comes of it."""


@dataclass(frozen=True, kw_only=True)
class Ending:
    """One ending.

    Args:
        name: identifier of the case, and words.
        act: what the caller does.
        scenario: what the server does.
        outcome: as recorded.
        reasons: cancel reasons that are right; one unless it depends on what is noticed first.
        cancel_exception: as recorded.
        error: `error.type`, or a word that each surface has its own name for, in `Surface.errors`.
        finish: `complete` (the surface's own), `missing`, `none`, or a word of `Surface.finishes`.
        chunks: count of chunks; None for all that the server sent.
        hidden: events of the server's that an SDK does not hand out (errors); they count on raw surfaces.
        needs: traits that the surface must have; of each group in `any_of` at least one.
        without: traits that it must not have.
        is_core: runs on every surface with these traits, not only on those in full.
        options: of the client.
        resends: `http.request.resend_count` where the surface tries again.
        is_late: the span ends at the last chunk.
        ends_with_loop: the ending is only there when the event loop is closed.
    """

    name: str
    act: Act
    scenario: str = "ok;chunks=4"
    outcome: str
    reasons: tuple[str, ...] = ()
    cancel_exception: str | None = None
    error: str | None = None
    finish: str = "missing"
    chunks: int | None = None
    hidden: int = 0
    needs: frozenset[str] = frozenset()
    any_of: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()
    is_core: bool = False
    colours: tuple[str, ...] = ("sync", "async")
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    resends: int | None = None
    status_code: int | None = 200
    is_late: bool = False
    ends_with_loop: bool = False

    def applies_to(self, surface: Surface) -> bool:
        """Tell whether the surface has this ending."""
        traits = surface.traits
        if self.finish not in _FINISHES and self.finish not in surface.finishes:
            return False
        if self.resends and self.outcome == "completed" and not surface.resends:
            return False
        if any(self.act in _IMPOSSIBLE.get(trait, ()) for trait in traits):
            return False
        if not (self.needs <= traits and not self.without & traits and (self.is_core or "full" in traits)):
            return False
        return not self.any_of or bool(self.any_of & traits)

    def error_of(self, surface: Surface) -> str | None:
        """Return the `error.type` to expect: what the surface calls it."""
        return None if self.error is None else surface.errors.get(self.error, self.error)

    def resends_of(self, surface: Surface) -> int | None:
        """Return how many more attempts there are, None if the surface makes none."""
        return self.resends if surface.resends else None

    def reasons_of(self, surface: Surface) -> tuple[str | None, ...]:
        """Return the cancel reasons that are right; a framework that reads in a task of its own closes by cancelling it."""
        is_cancelled = "own-task" in surface.traits and "closed" in self.reasons
        return (*self.reasons, "task_cancelled") if is_cancelled else self.reasons or (None,)

    def finish_of(self, surface: Surface) -> tuple[str, ...]:
        """Return the finish reasons to expect."""
        usual = {"complete": surface.finish, "missing": surface.missing, "none": ()}
        return usual[self.finish] if self.finish in usual else surface.finishes[self.finish]


def _ending(more: dict[str, Any], **usual: Any) -> Ending:
    return Ending(**(usual | more))


def _completed(name: str, act: Act, scenario: str = "ok;chunks=4", **more: Any) -> Ending:
    return _ending(more, name=name, act=act, scenario=scenario, outcome="completed", finish="complete")


def _cancelled(name: str, act: Act, *reasons: str, **more: Any) -> Ending:
    return _ending(more, name=name, act=act, reasons=reasons, scenario=GATE, outcome="cancelled", chunks=3)


def _error(name: str, scenario: str, error: str, act: Act = acts.read_all, **more: Any) -> Ending:
    return _ending(more, name=name, act=act, scenario=scenario, outcome="error", error=error)


def _truncated(name: str, scenario: str, act: Act = acts.read_all, **more: Any) -> Ending:
    return _ending(more, name=name, act=act, scenario=scenario, outcome="truncated", error="truncated")


def _timeout(name: str, act: Act, error: str, scenario: str = GATE, **more: Any) -> Ending:
    return _ending(more, name=name, act=act, scenario=scenario, outcome="timeout", error=error)


def _has(*traits: str) -> frozenset[str]:
    return frozenset(traits)


_SLOW: dict[str, Any] = {"read_timeout": READ_TIMEOUT, "max_retries": 0}
_OPENED: dict[str, Any] = {"chunks": 0, "finish": "missing"}
_REFUSED: dict[str, Any] = {"chunks": 0, "finish": "none", "needs": _has("server"), "without": _has("azure", "strict")}
_ASYNC: dict[str, Any] = {"colours": ("async",), "without": _has("mock")}
# A generator cannot be closed while it runs, and one that has not been read has not called anybody.
_ASYNC_CLOSABLE = _ASYNC | {"without": _has("mock", "generator")}
_ASYNC_INTERRUPTIBLE = _ASYNC | {"without": _has("mock", "generator", "holds-generator")}
_ASYNC_EAGER = _ASYNC | {"without": _has("mock", "lazy")}
# Up to Python 3.11 `wait_for` reads in a task of its own, whose cancellation says nothing of the caller's deadline.
_ASYNC_DIRECT = _ASYNC | {"without": _has("mock", "wait-for")}
_HAS_TIMEOUT = sys.version_info >= (3, 11)
_WAIT_FOR_HAS_TIMEOUT = sys.version_info >= (3, 12)

COMPLETIONS = (
    _completed("A1-exhausted", acts.read_all, is_core=True),
    _completed("A1-exhausted-in-with", acts.read_all_in_with, needs=_has("with"), is_core=True),
    _completed("A1-slow-server", acts.read_all, "slow;chunks=4"),
    _completed("A2-until-done", acts.until_done, needs=_has("helper"), is_core=True),
    _completed("A2-final-answer", acts.final_answer, needs=_has("helper"), is_core=True),
    # A raw response is not parsed by anybody, and what nobody asks for by name is read all the same.
    _completed("A3-whole-body", acts.read_whole, any_of=_has("wire"), needs=_has("with")),
    _completed("A4-close-after-marker", acts.close_after_marker, needs=_has("server"), is_core=True),
    _completed("A4-leave-after-marker", acts.leave_after_marker, needs=_has("with", "server")),
    _completed("A4-drop-after-marker", acts.drop_after_marker, needs=_has("server")),
    _completed("A4-raise-after-marker", acts.raise_after_marker, needs=_has("with", "server")),
    _completed("A5-no-done", acts.read_all, "no_done;chunks=4", needs=_has("done"), is_core=True),
    _completed("A6-done-only", acts.read_all, "done_only;chunks=4", finish="missing", needs=_has("done"), is_core=True),
    _completed(
        "A6-stop-only", acts.read_all, "done_only;chunks=4", finish="missing", needs=_has("messages"), is_core=True
    ),
    _completed("A7-one-chunk", acts.read_all, "one_chunk", any_of=_has("chat", "responses", "messages", "content")),
    _completed("A8-two-choices", acts.read_all, "n2;chunks=4", finish="two-choices"),
    _completed("A9-token-limit", acts.read_all, "response_incomplete;chunks=4", finish="token-limit", is_core=True),
    _completed("A9-tool-calls", acts.read_all, "tools;chunks=2", finish="tools"),
    _completed("C10-another-task", acts.another_task, is_core=True, **_ASYNC),
    _completed("C11-swallowed-cancel", acts.swallow_cancel, **_ASYNC),
    _completed("F13-another-thread", acts.another_thread, colours=("sync",), is_core=True),
    _completed("B18-close-in-finally", acts.close_in_finally),
    # google-genai takes a comment for JSON; Google sends none.
    _completed("H13-keepalive", acts.read_all, "keepalive;chunks=4", needs=_has("items"), without=_has("content")),
    _completed("H14-crlf", acts.read_all, "crlf;chunks=4", without=_has("wire", "mock")),
    _completed("H14-multiline", acts.read_all, "multiline;chunks=4", without=_has("wire", "mock", "one-line")),
    _completed("H14-split", acts.read_all, "split;chunks=4;split=3", without=_has("wire", "mock")),
    _completed("H15-gzip", acts.read_all, "gzip;chunks=4", without=_has("mock", "aws")),
    _completed(
        "M1-flaky",
        acts.read_all,
        "flaky;chunks=4",
        resends=2,
        needs=_has("server"),
        without=_has("azure"),
        is_core=True,
    ),
)

CANCELS = (
    _cancelled(
        "B1-close",
        acts.take_and_close,
        "closed",
        is_core=True,
        needs=_has("server"),
    ),
    _cancelled("B2-break-in-with", acts.break_in_with, "closed", needs=_has("with", "server"), is_core=True),
    _cancelled(
        "B3-dropped",
        acts.drop,
        "dropped",
        is_late=True,
        needs=_has("items", "server"),
        without=_has("generator"),
        is_core=True,
    ),
    # Python closes a generator that nobody holds: at once, or by a task of the event loop.
    _cancelled(
        "B3-dropped-generator",
        acts.drop,
        "closed",
        "dropped",
        needs=_has("generator", "server"),
        is_core=True,
    ),
    # httpx2 closes a response whose generator nobody holds any more: at once here, from a finalizer in asyncio.
    _cancelled(
        "B3-dropped-raw",
        acts.drop,
        "closed",
        "dropped",
        needs=_has("wire", "server"),
        without=_has("held-by-transport"),
        is_core=True,
    ),
    _cancelled(
        "B5-next-twice",
        acts.next_twice_and_close,
        "closed",
        scenario="gate;after=2;chunks=4",
        chunks=2,
        needs=_has("server"),
    ),
    _cancelled(
        "B6-closed-unread",
        acts.close_unread,
        "closed",
        chunks=0,
        needs=_has("server"),
        without=_has("lazy"),
        is_core=True,
    ),
    _cancelled(
        "B7-dropped-unread",
        acts.drop_unread,
        "dropped",
        chunks=0,
        is_late=True,
        needs=_has("server"),
        without=_has("lazy", "generator-manager", "held-by-transport"),
        is_core=True,
    ),
    # The manager is a generator of the library's: let go of, it closes the response as if the caller had asked for it.
    _cancelled(
        "B7-dropped-unread-manager",
        acts.drop_unread,
        "closed",
        "dropped",
        chunks=0,
        needs=_has("server", "generator-manager"),
        is_core=True,
    ),
    _cancelled(
        "B9-raise-in-with",
        acts.raise_in_with,
        "closed",
        cancel_exception="matrix.acts.AppError",
        needs=_has("with", "server"),
    ),
    _cancelled("B9-older-exception", acts.close_while_handling, "closed", needs=_has("with", "server")),
    _cancelled(
        "B10-raise-without-with",
        acts.raise_without_with,
        "dropped",
        is_late=True,
        needs=_has("items", "server"),
        without=_has("generator"),
    ),
    _cancelled(
        "B10-raise-without-with-raw",
        acts.raise_without_with,
        "closed",
        "dropped",
        needs=_has("wire", "server"),
        without=_has("held-by-transport"),
    ),
    _cancelled(
        "B10-raise-without-with-generator",
        acts.raise_without_with,
        "closed",
        "dropped",
        needs=_has("generator", "server"),
    ),
    _cancelled(
        "B11-response-closed",
        acts.close_response,
        "closed",
        needs=_has("server"),
        without=_has("generator", "no-response"),
        is_core=True,
    ),
    _cancelled("B13-with-unread", acts.leave_unread, "closed", chunks=0, needs=_has("with", "server"), is_core=True),
    _cancelled(
        "B14-thread-closes",
        acts.close_from_thread,
        "closed",
        colours=("sync",),
        needs=_has("server"),
        without=_has("generator", "holds-generator", "blocking-close"),
    ),
    _cancelled("B15-flag", acts.break_on_flag, "closed", needs=_has("server")),
    _cancelled("B16-own-generator", acts.own_generator, "closed", needs=_has("with", "server")),
    _cancelled("B18-closed-twice", acts.close_twice, "closed", needs=_has("server")),
    _cancelled("B18-read-after-close", acts.read_after_close, "closed", needs=_has("server", "items")),
    _cancelled("F4-ctrl-c-in-with", acts.keyboard_interrupt, "interrupted", needs=_has("with", "server")),
    _cancelled("F2-sys-exit-in-with", acts.system_exit, "interrupted", needs=_has("with", "server")),
    _cancelled("C1-cancel-blocked", acts.cancel_blocked, "task_cancelled", is_core=True, **_ASYNC),
    _cancelled("C2-cancel-in-with", acts.cancel_in_with, "task_cancelled", needs=_has("with"), **_ASYNC),
    _cancelled("C3-cancel-busy", acts.cancel_busy, "task_cancelled", needs=_has("with"), **_ASYNC),
    _cancelled(
        "C4-cancel-opening",
        acts.cancel_opening,
        "task_cancelled",
        scenario="hang_before",
        chunks=0,
        finish="none",
        status_code=None,
        is_core=True,
        **_ASYNC_EAGER,
    ),
    # Nothing has been sent before, so the first read is the call.
    _cancelled(
        "C4-cancel-first-read",
        acts.cancel_first_read,
        "task_cancelled",
        scenario="hang_before",
        chunks=0,
        finish="none",
        status_code=None,
        is_core=True,
        **_ASYNC | {"needs": _has("lazy", "content")},
    ),
    _cancelled("C7-scope-cancelled", acts.scope_cancel, "task_cancelled", **_ASYNC),
    _cancelled("C8-task-closes", acts.close_from_task, "closed", is_core=True, **_ASYNC_INTERRUPTIBLE),
    _cancelled(
        "C9-dropped-at-loop-end",
        acts.drop_until_loop_ends,
        "dropped",
        "closed",
        is_late=True,
        ends_with_loop=True,
        **_ASYNC_CLOSABLE,
    ),
    _cancelled(
        "F12-held-at-loop-end",
        acts.hold_until_loop_ends,
        "closed",
        "dropped",
        "task_cancelled",
        ends_with_loop=True,
        **_ASYNC,
    ),
)

FAILURES = (
    _error("D1-400", "status_400", "status-400", status_code=400, is_core=True, **_REFUSED),
    _error("D1-401", "status_401", "status-401", status_code=401, **_REFUSED),
    _error("D1-404", "status_404", "status-404", status_code=404, **_REFUSED),
    _error("D2-429", "status_429", "status-429", status_code=429, resends=2, is_core=True, **_REFUSED),
    _error("D2-500", "status_500", "status-500", status_code=500, resends=2, **_REFUSED),
    _error("D2-503", "status_503", "status-503", status_code=503, resends=2, **_REFUSED),
    _error(
        "D3-reset-before-headers",
        "reset_before",
        "connection-failed",
        status_code=None,
        resends=2,
        is_core=True,
        **_REFUSED | {"without": _has("azure", "aiohttp", "strict", "resends-answered", "implicit-resend")},
    ),
    _error(
        "D3-reset-before-headers-not-resent",
        "reset_before",
        "connection-failed",
        status_code=None,
        is_core=True,
        **_REFUSED | {"needs": _has("server", "resends-answered")},
    ),
    # The SDK's aiohttp transport takes every broken connection for a timeout.
    _timeout(
        "D3-reset-before-headers-aiohttp",
        acts.read_all,
        "headers-timed-out",
        "reset_before",
        status_code=None,
        resends=2,
        is_core=True,
        **_REFUSED | {"needs": _has("aiohttp"), "without": _has("resends-answered")},
    ),
    _error("D4-dropped", "drop;chunks=4", "lost-connection", needs=_has("server"), is_core=True),
    _error(
        "D4-dropped-after-stop-reason",
        "drop;chunks=4;after=9",
        "lost-connection",
        finish="complete",
        needs=_has("messages", "server"),
    ),
    _error("D4-reset", "rst;chunks=4", "broken-read", needs=_has("items", "server")),
    _error("D5-unfinished-chunk", "eof;chunks=4", "lost-connection", needs=_has("server"), is_core=True),
    _timeout(
        "D7-no-first-byte",
        acts.read_all,
        "read-timed-out",
        "hang_headers",
        options=_SLOW,
        needs=_has("items", "create"),
        **_OPENED,
    ),
    _timeout(
        "D8-stalled", acts.read_all, "read-timed-out", "hang;chunks=4", options=_SLOW, needs=_has("items", "create")
    ),
    _timeout("D8-stalled-raw", acts.read_all, "read-timed-out", "hang;chunks=4", options=_SLOW, needs=_has("wire")),
    _timeout(
        "D7-no-headers",
        acts.open_only,
        "headers-timed-out",
        "hang_before",
        options=_SLOW,
        needs=_has("create", "items"),
        without=_has("lazy"),
        chunks=0,
        finish="none",
        status_code=None,
    ),
    _timeout(
        "D7-no-headers-at-first-read",
        acts.read_all,
        "headers-timed-out",
        "hang_before",
        options=_SLOW,
        needs=_has("lazy", "content"),
        chunks=0,
        finish="none",
        status_code=None,
    ),
    _error(
        "D9-error-event", "error_event;chunks=4", "error-event", hidden=1, without=_has("interactions"), is_core=True
    ),
    _error(
        "D9-closed-after-error",
        "error_event;chunks=4",
        "error-event",
        acts.close_in_finally,
        hidden=1,
        without=_has("interactions"),
    ),
    _error(
        "D14-named-error-event",
        "error_event_named;chunks=4",
        "error-event",
        hidden=1,
        without=_has("interactions"),
    ),
    _error("D10-error-event-item", "error_event;chunks=4", "error-event", needs=_has("interactions"), is_core=True),
    _error("D10-error-item", "response_error_item;chunks=4", "server_error", needs=_has("responses"), is_core=True),
    _error("D11-failed-item", "response_failed;chunks=4", "server_error", needs=_has("responses"), is_core=True),
    _error("D11-failed-run", "response_failed;chunks=4", "server_error", needs=_has("runs"), is_core=True),
    _error("D13-error-with-choices", "openrouter_error;chunks=4", "502", needs=_has("chat"), hidden=1),
    _error(
        "D16-garbage",
        "garbage;chunks=4",
        "garbage",
        needs=_has("items"),
        without=_has("hands-out-garbage"),
        chunks=3,
        is_core=True,
    ),
    # The SDK hands out what it does not understand.
    _completed("D16-garbage-item", acts.read_all, "garbage;chunks=4", needs=_has("hands-out-garbage")),
    _completed("D16-garbage-raw", acts.read_all, "garbage;chunks=4", needs=_has("wire")),
    _error(
        "M3-dropped-with-retries",
        "drop;chunks=4",
        "lost-connection",
        options={"max_retries": 2},
        needs=_has("items", "server"),
    ),
    Ending(
        name="D19-client-closed",
        act=acts.close_client,
        scenario=GATE,
        outcome="error",
        error="broken-read",
        chunks=3,
        needs=_has("items", "server"),
        without=_has("aws", "exit-stack"),  # its open streams outlive it, or are closed with it
    ),
)

TRUNCATIONS = (
    _truncated("A11-empty", "empty", chunks=0, is_core=True),
    _truncated("E1-short", "short;chunks=4", is_core=True),
    _truncated("E9-whole-body", "short;chunks=4", acts.read_whole, needs=_has("wire", "with")),
    _truncated("E1-short-in-with", "short;chunks=4", acts.read_all_in_with, needs=_has("with")),
    _truncated("E7-role-only", "short_role", any_of=_has("chat", "responses", "messages")),
    _truncated("E7-inside-tool-call", "short_tool", any_of=_has("chat", "responses", "messages")),
    _truncated(
        "E2-final-answer", "short;chunks=4", acts.final_answer, any_of=_has("responses-helper", "messages-helper")
    ),
    _truncated("E2-finish-left-out", "done_only;chunks=4", needs=_has("responses"), is_core=True),
    # A stop reason is no end marker there: another one has to follow it.
    _truncated("E3-stop-left-out", "no_done;chunks=4", finish="complete", needs=_has("messages"), is_core=True),
    _truncated("E4-no-finish-reason", "done_only;chunks=4", needs=_has("content"), is_core=True),
)

TIMEOUTS = (
    *(
        (_timeout("C5-timeout", acts.timeout_block, "TimeoutError", chunks=3, is_core=True, **_ASYNC_DIRECT),)
        if _HAS_TIMEOUT
        else ()  # asyncio.timeout came with Python 3.11
    ),
    (
        _timeout("C6-wait-for", acts.wait_for, "TimeoutError", chunks=3, **_ASYNC)
        if _WAIT_FOR_HAS_TIMEOUT
        else _cancelled("C6-wait-for", acts.wait_for, "task_cancelled", **_ASYNC)
    ),
    _timeout("C7-move-on-after", acts.move_on, "TimeoutError", chunks=3, **_ASYNC_DIRECT),
)

ENDINGS: tuple[Ending, ...] = (*COMPLETIONS, *CANCELS, *FAILURES, *TRUNCATIONS, *TIMEOUTS)


def cases() -> Iterator[tuple[Surface, Ending, bool]]:
    """Yield every surface, ending and colour that belong together."""
    for surface in SURFACES:
        for ending in ENDINGS:
            for colour in ending.colours:
                is_async = colour == "async"
                other = "sync" if is_async else "async"  # a trait for what is there in one colour only
                if ending.applies_to(surface) and other not in surface.traits:
                    yield surface, ending, is_async
