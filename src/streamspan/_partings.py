"""What an exception out of a WebSocket means: it is over, it never was, or only a read was given up.

Looks at shapes, so that no library has to be imported: `websockets` raises a `ConnectionClosed` with the close frames
in `rcvd` and `sent`, and an `InvalidStatus` with the response to the handshake.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from streamspan._cancellation import is_timeout
from streamspan._endings import Signal
from streamspan._failures import describe, message, provider_error, qualified_name
from streamspan._records import Failure
from streamspan._session import Session

_NORMAL = frozenset({1000, 1001, None})
_MADE_UP = frozenset({1005, 1006, 1015})
"""Never in a frame (RFC 6455, section 7.4.1): a library's own words for a frame without a code, or for no frame."""


def code_of(frame: Any) -> int | None:
    """Return the code that came in the provider's close frame, None without a frame or a code in it."""
    code = getattr(frame, "code", None)
    return None if code is None or code in _MADE_UP else int(code)


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
        if received is None:
            return cls(Signal.FAILED, Failure(qualified_name(type(exc)), message(exc), exception=exc))
        code = code_of(received)
        if code in _NORMAL:
            return cls(Signal.EXHAUSTED, None, code)
        said = str(received.reason) or message(exc)  # the provider's own word for it
        return cls(Signal.FAILED, Failure(str(code), said, is_from_provider=True, exception=exc), code)

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


def never_opened(exc: BaseException) -> Failure | None:
    """Return why there is no connection; None if nobody wanted it any more."""
    if (stop := read_stopped(exc)) is not None:
        return stop.failure
    if not isinstance(exc, Exception):
        return None
    try:
        refused = provider_error(json.loads(getattr(getattr(exc, "response", None), "body", None) or b"null"))
    except (ValueError, RecursionError):  # no JSON: a proxy's page
        refused = None
    if refused is None:
        return describe(exc)
    return Failure(refused.type, refused.message or message(exc), is_from_provider=True, exception=exc)


def _deadline(exc: TimeoutError | None) -> Failure:
    failure = Failure(qualified_name(TimeoutError), "a deadline of the caller passed", is_timeout=True)
    return failure if exc is None else describe(exc)
