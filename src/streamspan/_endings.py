"""The rule of endings, as one table: the state of a session and the signal that it is over, to its outcome.

After the terminal marker nothing can spoil a stream any more: a caller who closes it then has not cancelled. After an
error event nothing can mend it.
"""

from __future__ import annotations

from enum import Enum, auto

from streamspan._records import CancelReason, Ending, Failure, Outcome, ProviderError


class State(Enum):
    """Where a session is between the call and its ending."""

    REQUESTED = auto()
    OPEN = auto()
    STREAMING = auto()
    FINISHED = auto()
    FAULTED = auto()
    ENDED = auto()


class Signal(Enum):
    """The ways in which a session can be told that it is over."""

    EXHAUSTED = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    CLOSED = auto()
    TASK_CANCELLED = auto()
    INTERRUPTED = auto()
    DROPPED = auto()
    EXIT = auto()


BEFORE_CHUNKS = (State.REQUESTED, State.OPEN)
UNFINISHED = (State.REQUESTED, State.OPEN, State.STREAMING)

_OUTCOMES: dict[Signal, Outcome] = {
    Signal.EXHAUSTED: "truncated",
    Signal.FAILED: "error",
    Signal.TIMED_OUT: "timeout",
    Signal.CLOSED: "cancelled",
    Signal.TASK_CANCELLED: "cancelled",
    Signal.INTERRUPTED: "cancelled",
    Signal.DROPPED: "cancelled",
    Signal.EXIT: "cancelled",
}

ENDINGS: dict[tuple[State, Signal], Outcome] = {
    **{(state, signal): outcome for state in UNFINISHED for signal, outcome in _OUTCOMES.items()},
    **{(State.FINISHED, signal): "completed" for signal in Signal},
    **{(State.FAULTED, signal): "error" for signal in Signal},
}
"""State and ending signal to outcome. (ENDED, anything) is absent: first ending wins."""

_CANCEL_REASONS: dict[Signal, CancelReason] = {
    Signal.CLOSED: "closed",
    Signal.TASK_CANCELLED: "task_cancelled",
    Signal.INTERRUPTED: "interrupted",
    Signal.DROPPED: "dropped",
    Signal.EXIT: "exit",
}

# The caller is done with it, without a word of trouble.
LET_GO = frozenset({Signal.CLOSED, Signal.DROPPED})

# Noticed long after the fact: such a session ended when it last moved.
NOTICED_LATE = frozenset({Signal.DROPPED, Signal.EXIT})

_TRUNCATED = "the stream ended without its terminal marker"


def ending(
    outcome: Outcome,
    signal: Signal,
    at_ns: int,
    *,
    failure: Failure | None = None,
    fault: ProviderError | None = None,
    cause: str | None = None,
) -> Ending:
    """Put an outcome into words.

    Args:
        outcome: what the table says.
        signal: what it was told by.
        at_ns: when, on the session's clock.
        failure: what the read or the call raised.
        fault: the provider's own word for it, which beats the exception that an SDK made of it.
        cause: type of the exception in the caller's code that made it close the stream.
    """
    if outcome == "cancelled":
        return Ending(outcome, at_ns, cancel_reason=_CANCEL_REASONS[signal], cancel_exception=cause)
    if outcome == "truncated":
        return Ending(outcome, at_ns, error_type="truncated", error_message=_TRUNCATED)
    if outcome == "completed":
        return Ending(outcome, at_ns)
    seen = failure or Failure("_OTHER")
    return Ending(
        outcome,
        at_ns,
        error_type=fault.type if fault is not None else seen.type,
        error_message=(fault.message if fault is not None else "") or seen.message,
        exception=seen.exception,
    )
