"""The fence around our own faults: the only place that may catch every `Exception`.

A fault of streamspan must never reach the caller's stream. It is logged once per place; a part that keeps failing
is switched off. What a guarded call returns after a fault is its `otherwise` value.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Generic, ParamSpec, TypeVar

P = ParamSpec("P")
A = TypeVar("A")
T = TypeVar("T")
U = TypeVar("U")

FAULT_LIMIT = 20
"""Faults of one guard after which its part is switched off."""

_logger = logging.getLogger("streamspan")


class Guard:
    """Counts the faults of one part (an integration, the recorder) and switches it off when they repeat.

    Args:
        part: what the log calls it.
        is_ours: whether its faults are streamspan's; what the application has given is never switched off.
    """

    __slots__ = ("_faults", "_is_ours", "_seen", "is_off", "part")

    def __init__(self, part: str, *, is_ours: bool = True) -> None:
        self.part = part
        self._is_ours = is_ours
        self.is_off = False
        self._faults = 0
        self._seen: set[tuple[str, type[BaseException]]] = set()

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Call `function`; on a fault of ours log it and return None."""
        try:
            return function(*args, **kwargs)
        except Exception as exc:  # noqa: BLE001 - this module is the one fence
            self.fault(function, exc)
            return None

    def wrap(self, function: Callable[P, T], otherwise: U = None) -> Callable[P, T | U]:  # type: ignore[assignment] # mypy does not bind U to its default
        """Return `function` with the fence built in, for calls that are made per chunk."""

        def fenced(*args: P.args, **kwargs: P.kwargs) -> T | U:
            try:
                return function(*args, **kwargs)
            except Exception as exc:  # noqa: BLE001
                self.fault(function, exc)
                return otherwise

        return fenced

    def wrap_reader(self, function: Callable[[A], T], otherwise: U) -> Callable[[A], T | U]:
        """As `wrap`, for the one-argument call of the chunk path: `*args` and `**kwargs` would cost 0.1 microseconds."""
        return _Reader(self, function, otherwise)

    def takes(self, place: object, exc: BaseException) -> bool:
        """Log an exception if it is a fault of ours; for code too hot for a fence of its own."""
        if not isinstance(exc, Exception):
            return False
        self.fault(place, exc)
        return True

    def fault(self, place: object, exc: Exception) -> None:
        """Log a fault once per place and kind, and switch the part off after `FAULT_LIMIT` of them."""
        place = getattr(place, "func", place)  # of a partial, whose own name holds addresses
        name = place if isinstance(place, str) else str(getattr(place, "__qualname__", type(place).__qualname__))
        self._faults += 1
        if (name, type(exc)) not in self._seen:
            self._seen.add((name, type(exc)))
            self._log(name, exc)
        if self._is_ours and self._faults >= FAULT_LIMIT and not self.is_off:
            self.is_off = True
            _logger.warning(
                "streamspan: %s is switched off after %d internal faults; please report the first one logged above",
                self.part,
                self._faults,
            )

    def _log(self, name: str, exc: Exception) -> None:
        if self._is_ours:
            said = "internal fault in %s (%s); the stream is not affected, its telemetry may be incomplete"
        else:
            said = "%s (%s) raised; the stream is not affected"
        _logger.warning("streamspan: " + said, self.part, name, exc_info=exc)  # noqa: G003 - one of two texts


class _Reader(Generic[A, T, U]):
    """A fenced function of one argument. Every open stream has one: a closure would be five times as large."""

    __slots__ = ("_function", "_guard", "_otherwise")

    def __init__(self, guard: Guard, function: Callable[[A], T], otherwise: U) -> None:
        self._guard = guard
        self._function = function
        self._otherwise = otherwise

    def __call__(self, argument: A, /) -> T | U:
        try:
            return self._function(argument)
        except Exception as exc:  # noqa: BLE001
            self._guard.fault(self._function, exc)
            return self._otherwise
