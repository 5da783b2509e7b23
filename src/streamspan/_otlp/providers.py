"""The three providers that streamspan makes when the application has none: adopted as global ones, ended in time.

Knows global providers, threads and forks. Refuses to know sessions, and how telemetry gets from a provider away.

The SDK's shutdown waits up to 30 seconds for each signal in turn and cannot be told otherwise (1.45). So each
provider has a thread that does nothing but shut it down, and `shutdown` waits for all of them together. They are
started in advance, because Python 3.12 and later start no thread once exit hooks run.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import TypeVar

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.resources import Resource

from streamspan._guard import Guard
from streamspan._otlp.delivery import Attempt, exporting
from streamspan._otlp.pipelines import Pipelines
from streamspan._otlp.settings import SignalName, read_settings

T = TypeVar("T")

_LAST_SECONDS = 0.2  # of the bound, for what was given up to come to rest
_ADOPTION_SECONDS = 1.0


class OwnProviders:
    """Providers that send where the environment says.

    After `adopt` the global providers are the ones to use, whoever set them.
    """

    def __init__(self, *, logs_needed: bool) -> None:
        signals: tuple[SignalName, ...] = ("traces", "metrics", "logs") if logs_needed else ("traces", "metrics")
        settings = read_settings(signals)
        pipelines = Pipelines(Resource.create())
        self.tracer_provider = pipelines.tracer_provider(settings["traces"])
        self.meter_provider = pipelines.meter_provider(settings["metrics"])
        self.logger_provider = pipelines.logger_provider(settings["logs"]) if logs_needed else None
        self._deliveries = pipelines.deliveries
        self._closers = [_Closer(self.tracer_provider.shutdown), _Closer(self.meter_provider.shutdown)]
        if self.logger_provider:
            self._closers.append(_Closer(self.logger_provider.shutdown))
        self._claims: dict[str, object] = {}
        self._is_adopted = threading.Event()
        after_fork = weakref.WeakMethod(self._after_fork_in_child)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: (own := after_fork()) and own())

    def adopt(self) -> None:
        """Make them the global providers, if the application has set none for any signal.

        An application that sets its own later still can, and they are used from then on. Called before each session;
        later calls do nothing, simultaneous ones wait for the first.
        """
        if self._is_adopted.is_set():
            return
        if not self._is_first("adopt"):
            self._is_adopted.wait(_ADOPTION_SECONDS)
            return
        if all(map(_is_unset, (trace.get_tracer_provider, metrics.get_meter_provider, _logs.get_logger_provider))):
            trace.set_tracer_provider(self.tracer_provider)
            metrics.set_meter_provider(self.meter_provider)
            if self.logger_provider:
                _logs.set_logger_provider(self.logger_provider)
            for module, name in _SET_ONCE:
                _allow_another(sys.modules.get(module), name)
        self._is_adopted.set()

    def shutdown(self, seconds: float = 2.0) -> None:
        """Send off what is left and shut down, within `seconds` in total whatever the endpoint does.

        Says once what could not be delivered. Never raises; later calls do nothing.
        """
        if not self._is_first("shutdown"):
            return
        deadline = time.monotonic() + seconds
        for delivery in self._deliveries:
            delivery.close()
        for closer in self._closers:
            closer.go()
        if not _all_done(self._closers, deadline - min(_LAST_SECONDS, seconds / 2)):
            for delivery in self._deliveries:
                delivery.give_up()
            _all_done(self._closers, deadline)
        for delivery in self._deliveries:
            delivery.conclude()

    def _is_first(self, what: str) -> bool:
        mine = object()
        return self._claims.setdefault(what, mine) is mine  # decides between threads without a lock

    def _after_fork_in_child(self) -> None:
        # Threads do not survive a fork; the SDK restarts its own. Spans of the parent are the parent's to deliver.
        for delivery in self._deliveries:
            delivery.forget()
        self._closers = [closer.again() for closer in self._closers]


class _Closer:
    """A thread that waits to do one thing."""

    def __init__(self, close: Callable[[], object]) -> None:
        self._close = close
        self._is_wanted = threading.Event()
        self._is_done = threading.Event()
        threading.Thread(target=self._run, name="streamspan-shutdown", daemon=True).start()

    def go(self) -> None:
        self._is_wanted.set()

    def done_by(self, deadline: float) -> bool:
        return self._is_done.wait(max(deadline - time.monotonic(), 0))

    def again(self) -> _Closer:
        return self if self._is_wanted.is_set() else _Closer(self._close)

    def _run(self) -> None:
        self._is_wanted.wait()
        with exporting(Attempt()):  # what exporters say about being shut down twice is nobody's business
            Guard("the shutdown of telemetry").call(self._close)
        self._is_done.set()


def _all_done(closers: Iterable[_Closer], deadline: float) -> bool:
    return all(closer.done_by(deadline) for closer in closers)


def _is_unset(get: Callable[[], object]) -> bool:
    # The API has no public question for its own stand-in, but its classes are called so for all three signals.
    return type(get()).__name__.lstrip("_").startswith("Proxy")


# The API takes one provider per signal and process, and refuses the next with a warning. Ours only stand in for those
# of an application that has none: without this, one that sets its own after the first stream would lose all its spans.
# The names are private and the same in opentelemetry-api 1.38 to 1.45; where they are not, the API's rule stays.
_SET_ONCE = (
    ("opentelemetry.trace", "_TRACER_PROVIDER_SET_ONCE"),
    ("opentelemetry.metrics._internal", "_METER_PROVIDER_SET_ONCE"),
    ("opentelemetry._logs._internal", "_LOGGER_PROVIDER_SET_ONCE"),
)


def _allow_another(module: object, name: str) -> None:
    once = getattr(module, name, None)
    if hasattr(once, "_done"):
        once._done = False  # type: ignore[union-attr] # noqa: SLF001 - see above
