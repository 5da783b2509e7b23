"""One signal on its way to its endpoint: what arrived, what did not, and the one warning that says why.

Knows the two ways in which the OTLP exporters tell a cause: the HTTP session that we hand to them, and their log
lines. The lines of an export of ours are swallowed and read; those of an application's own exporters, which share
the same loggers, pass. Refuses to know how exporters are made.
"""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable, Generator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from streamspan._guard import Guard
from streamspan._otlp.problems import OVERFLOW, TIMED_OUT, UNEXPLAINED, Problem, of_exception, of_http, of_text
from streamspan._otlp.settings import Target

_ITEMS = {"traces": "span", "metrics": "point", "logs": "log record"}
_FIRST_REDIRECT, _FIRST_ERROR = 300, 400

_logger = logging.getLogger("streamspan")


class Attempt:
    """One export of ours in progress in this context, and what is known of its failure so far."""

    def __init__(self, on_problem: Callable[[Problem], object] = lambda _: None) -> None:
        self.problem: Problem | None = None
        self.doubt: Problem | None = None
        """Why an answer that says success may be none."""
        self.is_redirected = False
        self.is_given_up = False
        """No further request shall be sent for it."""
        self._is_witnessed = False
        self._outer = sys.exc_info()[1]  # of the caller, no business of the export
        self._on_problem = on_problem

    def run(self, export: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Call `export` as this attempt; None if the request failed with an exception."""
        with exporting(self):
            try:
                return export(batch, *args, **kwargs)
            except OSError as exc:  # the HTTP exporters before 1.40 let those of requests out
                self.failed(exc)
                return None

    def failed(self, exc: BaseException) -> None:
        """Take the exception of a request."""
        self._is_witnessed = True
        self._note(of_exception(exc))

    def answered(self, status: int, reason: str) -> None:
        """Take the answer to a request; exporters count a redirect as success (1.45), so it is kept apart."""
        self._is_witnessed = True
        self.is_redirected = _FIRST_REDIRECT <= status < _FIRST_ERROR
        self.problem = None
        if status >= _FIRST_REDIRECT:
            self._note(of_http(status, reason))

    def heard(self, record: logging.LogRecord) -> None:
        """Take a log line of the exporter; the gRPC exporter tells a cause in no other way (1.37 to 1.45).

        It writes while it handles the exception, so the cause is at hand. The first line counts: later ones speak of
        retries that are given up.
        """
        if self._is_witnessed or self.problem:
            return
        exc = sys.exc_info()[1]
        if exc is None or exc is self._outer:
            exc = next((arg for arg in record.args or () if isinstance(arg, BaseException)), None)
        self._note(of_exception(exc) if exc else of_text(record.getMessage()))

    def _note(self, problem: Problem) -> None:
        self.problem = problem
        self._on_problem(problem)


_current: ContextVar[Attempt | None] = ContextVar("streamspan_export", default=None)


@contextmanager
def exporting(attempt: Attempt) -> Generator[None, None, None]:
    """Mark what runs inside as an export of ours."""
    token = _current.set(attempt)
    try:
        yield
    finally:
        _current.reset(token)


def current_attempt() -> Attempt | None:
    """Return the export of ours that runs in this context, if any."""
    return _current.get()


class _OurLines(logging.Filter):
    """Swallows the warnings of our own exports and lets the export know of them."""

    def filter(self, record: logging.LogRecord) -> bool:
        attempt = _current.get()
        if attempt is None or record.levelno < logging.WARNING:
            return True
        attempt.heard(record)
        return False


def silence(names: set[str]) -> None:
    """Swallow the lines that exports of ours write to the loggers `names`."""
    for name in names:
        logger = logging.getLogger(name)
        if not any(isinstance(known, _OurLines) for known in logger.filters):
            # In front: OpenTelemetry's filter against repetitions must not see a line of ours, or it would take
            # the same line of an application's own exporter for a repetition.
            logger.filters.insert(0, _OurLines())


class Notices:
    """What has been said: each cause once per endpoint, and once that the endpoint is back."""

    def __init__(self) -> None:
        # `dict.setdefault` decides between threads without a lock.
        self._told: dict[tuple[str, ...], object] = {}

    def tell(self, target: Target, problem: Problem, consequence: str) -> bool:
        """Warn of a problem, unless its cause is known already; tell whether it was new."""
        place = f"{target.shown} {target.signal}" if problem.is_of_signal else target.base
        if not self._is_new(place, problem.kind, problem.code):
            return False
        _logger.warning("streamspan: %s: %s. %s", problem.sentence(target), consequence, problem.advice(target))
        return True

    def back(self, target: Target) -> None:
        """Say that an endpoint that was out of reach takes telemetry again."""
        if self._is_new(target.base, "back"):
            _logger.info("streamspan: %s takes telemetry again", target.base)

    def _is_new(self, *key: str) -> bool:
        mine = object()
        return self._told.setdefault(key, mine) is mine


class Delivery:
    """One signal's way to one endpoint.

    Args:
        target: where it goes.
        notices: shared by the signals, so that a cause they have in common is told once.
    """

    def __init__(self, target: Target, notices: Notices) -> None:
        self.target = target
        self.is_closing = False
        self.abort: Callable[[], object] = lambda: None
        """Ends an export in progress; the exporter takes nothing afterwards."""
        self._notices = notices
        self._is_over = False
        self._guard = Guard(f"the export of {target.signal}")
        self.forget()

    def forget(self) -> None:
        """Count from zero: a forked child answers for what is its own."""
        # Not a lock: a finalizer that ends a span may interrupt the holder in its own thread.
        self._taken = itertools.count()
        self._delivered = 0
        self.problem: Problem | None = None
        self._attempt: Attempt | None = None

    def take(self) -> None:
        """Count an item that waits for delivery."""
        next(self._taken)

    def send(self, export: Callable[..., Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
        """Call `export` and keep account of the items of `batch`; do nothing after `give_up`.

        Returns what `export` returned, None if it did not take place: the SDK's callers look at neither (1.37 to 1.45).
        """
        if self._is_over:
            return None
        self._attempt = attempt = Attempt(self._noticed)
        result = self._guard.call(attempt.run, export, batch, *args, **kwargs)
        self._attempt = None
        if getattr(result, "name", "") == "SUCCESS" and not attempt.is_redirected:
            self._succeeded(len(batch) if isinstance(batch, Sized) else 0)
        else:
            self._failed(attempt.problem or UNEXPLAINED)
        return result

    def close(self) -> None:
        """From now on the process is ending: what is hopeless is not waited for, also if it was known before."""
        self.is_closing = True
        if (attempt := self._attempt) and attempt.problem:
            self._noticed(attempt.problem)

    def give_up(self) -> None:
        """End the export in progress, if it can be ended, and refuse later ones."""
        self._is_over = True
        if attempt := self._attempt:
            attempt.is_given_up = True
            self.problem = self.problem or attempt.problem or TIMED_OUT
        with exporting(Attempt()):
            self.abort()

    @contextmanager
    def queueing(self) -> Generator[None, None, None]:
        """Hear of a queue that is full; the SDK would say it again every 20 seconds."""
        attempt = Attempt()
        with exporting(attempt):
            yield
        if attempt.problem and not self.problem and not self.is_closing:
            self._notices.tell(self.target, OVERFLOW, f"{self.target.signal} are lost")

    def conclude(self) -> None:
        """Say what was not delivered in the end: with the cause if that is news, else only how much."""
        lost = next(self._taken) - self._delivered
        what = f"{lost} {_ITEMS[self.target.signal]}{'s' * (lost != 1)}" if lost else self.target.signal
        problem = self.problem or (UNEXPLAINED if lost and self._is_over else None)
        consequence = f"{what} could not be delivered"
        is_news = problem is not None and self._notices.tell(self.target, problem, consequence)
        if lost and not is_news:
            _logger.info("streamspan: %s to %s in all", consequence, self.target.base)

    def _noticed(self, problem: Problem) -> None:
        if self.is_closing and not self._is_over:
            self.problem = problem
            if problem.is_hopeless:
                self.give_up()  # nobody shall wait for retries at exit

    def _succeeded(self, count: int) -> None:
        self._delivered += count
        if self.problem and not self._is_over:
            self.problem = None
            self._notices.back(self.target)

    def _failed(self, problem: Problem) -> None:
        if self._is_over:  # the failure is our own doing
            return
        self.problem = problem
        if not self.is_closing:  # at the end it is told with the count
            self._notices.tell(self.target, problem, f"{self.target.signal} are lost until it takes them")
