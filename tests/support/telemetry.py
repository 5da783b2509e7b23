"""OpenTelemetry in memory: everything that a run exported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, MetricsData
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

import streamspan
from streamspan import _api
from streamspan._records import SessionSummary

# Finding out about the process takes 4 ms per provider.
_RESOURCE = Resource({})


class Told:
    """What streamspan told in one run."""

    def __init__(self, sampler: Sampler = ALWAYS_ON) -> None:
        self._spans = InMemorySpanExporter()
        self._logs = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=sampler, resource=_RESOURCE, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader], resource=_RESOURCE, shutdown_on_exit=False)
        self.loggers = LoggerProvider(resource=_RESOURCE, shutdown_on_exit=False)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self._logs))
        self.summaries: list[SessionSummary] = []
        self._collected: MetricsData | None = None
        self._is_finished = False

    def instrument(self, config: streamspan.Config | None = None) -> None:
        """Instrument, with everything going here."""
        streamspan.instrument(
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            logger_provider=self.loggers,
            config=config,
            on_session_end=self.summaries.append,
        )

    @property
    def all_spans(self) -> list[ReadableSpan]:
        """The spans exported so far, whoever made them."""
        return list(self._spans.get_finished_spans())

    @property
    def spans(self) -> list[ReadableSpan]:
        """Our spans exported so far."""
        return [span for span in self.all_spans if scope_of(span) == "streamspan"]

    @property
    def span(self) -> ReadableSpan:
        """Our only span."""
        (span,) = self.spans
        return span

    @property
    def attributes(self) -> Mapping[str, Any]:
        """The attributes of our only span."""
        return dict(self.span.attributes or {})

    @property
    def summary(self) -> SessionSummary:
        """The only summary."""
        (summary,) = self.summaries
        return summary

    @property
    def logs(self) -> list[ReadableLogRecord]:
        """The log records exported so far."""
        return list(self._logs.get_finished_logs())

    def events(self, name: str) -> list[Event]:
        """Return the events of our only span that have this name."""
        return [event for event in self.span.events if event.name == name]

    @property
    def metrics_data(self) -> MetricsData | None:
        """The metrics, collected now, or when everything was over."""
        if not self._is_finished:
            self._collected = self._reader.get_metrics_data() or self._collected
        return self._collected

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics, collected now, by name."""
        data = self.metrics_data
        resources = [] if data is None else data.resource_metrics
        return {m.name: m for resource in resources for scope in resource.scope_metrics for m in scope.metrics}

    @property
    def active(self) -> int:
        """How many streams are counted as open."""
        metric = self.metrics.get("streamspan.active")
        points: Any = [] if metric is None else metric.data.data_points
        return sum(point.value for point in points)

    def count_of(self, name: str) -> int:
        """Return how many values a histogram has."""
        metric = self.metrics.get(name)
        points: Any = [] if metric is None else metric.data.data_points
        return sum(point.count for point in points)

    def finish(self) -> None:
        """Uninstrument, when everything that was dropped has been recorded; nothing more will be."""
        _api.drain()
        streamspan.uninstrument()
        self._collected = self.metrics_data
        self._is_finished = True


def scope_of(span: ReadableSpan) -> str:
    """Return the name of the scope that made a span."""
    scope = span.instrumentation_scope
    return "" if scope is None else scope.name
