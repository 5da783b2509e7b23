"""One test span, to see whether the endpoint takes it.

Knows how a failed export is explained. Refuses to know who asks: the result is data.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from streamspan._otlp.delivery import Attempt, exporting
from streamspan._otlp.exporters import otlp_exporter
from streamspan._otlp.problems import TIMED_OUT, UNEXPLAINED, Problem, of_text
from streamspan._otlp.settings import OTLP, Target, is_disabled, read_settings

SPAN_NAME = "streamspan doctor"
_MARGIN = 0.5  # of the bound, so that the exporter's own timeout comes first and is told as such


@dataclass(frozen=True, slots=True)
class EndpointReport:
    """What became of one test span.

    Args:
        endpoint: where it was sent, without credentials; empty when nothing is sent by OTLP.
        protocol: `http/protobuf` or `grpc`; `none` when nothing is sent by OTLP.
        is_ok: it arrived, or nothing was to be sent.
        problem: one sentence that says what happened; empty when it arrived.
        remedy: what to do about it, in sentences.
    """

    endpoint: str
    protocol: str
    is_ok: bool
    problem: str = ""
    remedy: str = ""


def check(seconds: float) -> EndpointReport:
    """Send one span as configured for traces; report within `seconds`."""
    settings = read_settings(("traces",))["traces"]
    if is_disabled() or OTLP not in settings.exporters:
        return EndpointReport("", "none", is_ok=True)
    target = settings.target
    problem = _problem_with(target, seconds)
    if problem is None:
        return EndpointReport(target.shown, target.protocol, is_ok=True)
    return EndpointReport(
        target.shown,
        target.protocol,
        is_ok=False,
        problem=f"{problem.sentence(target)}.",
        remedy=problem.advice(target),
    )


def _problem_with(target: Target, seconds: float) -> Problem | None:
    deadline = time.monotonic() + seconds
    probe = _Probe()
    try:
        exporter = otlp_exporter(replace(target, timeout=max(seconds - _MARGIN, 0.1)), probe.send)
    except (ImportError, ValueError, OSError, RuntimeError) as exc:
        return of_text(str(exc))
    thread = threading.Thread(target=_export, args=(exporter,), name="streamspan-check", daemon=True)
    thread.start()
    is_known = probe.is_known.wait(max(deadline - time.monotonic(), 0))
    with exporting(Attempt()):
        exporter.shutdown()
    thread.join(max(min(deadline - time.monotonic(), _MARGIN), 0))
    return probe.problem if is_known else TIMED_OUT


class _Probe:
    """Takes the first answer as the answer: a retry would tell the same, later."""

    def __init__(self) -> None:
        self.problem: Problem | None = None
        self.is_known = threading.Event()
        self._attempt = Attempt(self._found)

    def send(self, export: Callable[..., Any], batch: Any, /, *args: Any, **kwargs: Any) -> Any:
        result = self._attempt.run(export, batch, *args, **kwargs)
        if getattr(result, "name", "") != "SUCCESS":
            self._found(self._attempt.problem or UNEXPLAINED)
        elif self._attempt.doubt is not None:
            self._found(self._attempt.doubt)
        self.is_known.set()
        return result

    def _found(self, problem: Problem) -> None:
        if not self.is_known.is_set():
            self.problem = problem
            self.is_known.set()
        self._attempt.is_given_up = True


def _export(exporter: Any) -> None:
    with suppress_instrumentation():
        exporter.export((_test_span(),))


def _test_span() -> ReadableSpan:
    provider = TracerProvider(ALWAYS_ON, Resource.create(), shutdown_on_exit=False)
    span = provider.get_tracer("streamspan").start_span(SPAN_NAME)
    span.end()
    if not isinstance(span, ReadableSpan):
        raise TypeError(type(span).__name__)  # the SDK's spans are readable ones
    return span
