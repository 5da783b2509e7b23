"""What an exception out of a WebSocket's read or send means: the connection is over, or only the read was given up.

Looks at shapes, so that no library has to be imported: `websockets` raises a `ConnectionClosed` with the close frames
in `rcvd` and `sent`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from streamspan._cancellation import is_timeout
from streamspan._endings import Signal
from streamspan._failures import describe, message, qualified_name
from streamspan._records import Failure
from streamspan._session import Session

_NORMAL = frozenset({1000, 1001})


@dataclass(frozen=True, slots=True)
class Parting:
    """How a connection or a read ended.

    Args:
        signal: what it is for the turns that are open.
        failure: what was raised, if that is a failure.
        code: of the provider's close frame.
    """

    signal: Signal
    failure: Failure | None = None
    code: int | None = None

    @classmethod
    def of(cls, exc: BaseException) -> Parting | None:
        """Return the end of the connection that an exception tells of, None if it tells of none."""
        if not any(base.__name__ == "ConnectionClosed" for base in type(exc).__mro__):
            return None
        received: Any = getattr(exc, "rcvd", None)
        code = getattr(received, "code", None)
        reason = str(getattr(received, "reason", ""))
        if code in _NORMAL:
            return cls(Signal.EXHAUSTED, None, code)
        if code is None:
            failure = Failure(qualified_name(type(exc)), message(exc), exception=exc)
        else:  # the provider's own word for it
            failure = Failure(str(code), reason or message(exc), is_from_provider=True, exception=exc)
        return cls(Signal.FAILED, failure, code)

    def tell(self, session: Session) -> None:
        """Tell a turn that is open."""
        if self.failure is not None:
            session.failed(self.failure)
        elif self.signal is Signal.EXHAUSTED:
            session.exhausted()
        else:
            session.stopped(self.signal)


def read_stopped(exc: BaseException) -> Parting | None:
    """Return what a read that was given up means if nobody reads on; None if it means nothing.

    Giving up a read does no harm to the connection: programs do so to look after something else in between.
    """
    if isinstance(exc, asyncio.CancelledError):
        if is_timeout(exc):
            return Parting(Signal.TIMED_OUT, _deadline(None))
        return Parting(Signal.TASK_CANCELLED)
    if isinstance(exc, TimeoutError):
        return Parting(Signal.TIMED_OUT, _deadline(exc))
    if isinstance(exc, KeyboardInterrupt | SystemExit):
        return Parting(Signal.INTERRUPTED)
    return None


def _deadline(exc: TimeoutError | None) -> Failure:
    failure = Failure(qualified_name(TimeoutError), "a deadline of the caller passed", is_timeout=True)
    return failure if exc is None else describe(exc)
