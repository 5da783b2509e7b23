"""Help for tests of applications: what streamspan records, as plain data.

from streamspan.testing import capture

with capture() as captured:
    answer()
assert captured.summaries[0].outcome == "completed"
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from streamspan import _api
from streamspan._config import ConfigError
from streamspan._records import SessionSummary

_PROVIDERS = {"tracer_provider", "meter_provider", "logger_provider"}


@dataclass(slots=True)
class Captured:
    """What was recorded so far."""

    summaries: list[SessionSummary] = field(default_factory=list[SessionSummary])
    span_exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    log_exporter: InMemoryLogRecordExporter = field(default_factory=InMemoryLogRecordExporter)
    metric_reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)

    @property
    def spans(self) -> list[ReadableSpan]:
        """The finished spans, dropped streams included."""
        _api.drain()
        return list(self.span_exporter.get_finished_spans())

    @property
    def logs(self) -> list[Any]:
        """The log records."""
        _api.drain()
        return [item.log_record for item in self.log_exporter.get_finished_logs()]

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics by name, each as OpenTelemetry's own data."""
        _api.drain()
        data = self.metric_reader.get_metrics_data()
        if data is None:
            return {}
        return {
            metric.name: metric
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def clear(self) -> None:
        """Forget the spans, logs and summaries so far; metrics are cumulative and stay."""
        _api.drain()
        self.span_exporter.clear()
        self.log_exporter.clear()
        self.summaries.clear()


@contextmanager
def capture(**arguments: Any) -> Generator[Captured, None, None]:
    """Instrument with in-memory providers inside the block, and undo it afterwards.

    What the application has instrumented itself is set aside for so long, and put back.

    Args:
        **arguments: further arguments of `streamspan.instrument`.

    Raises:
        ConfigError: an argument that it cannot take.
    """
    on_session_end: Callable[[SessionSummary], object] | None = arguments.pop("on_session_end", None)
    if on_session_end is not None and not callable(on_session_end):
        raise ConfigError(
            f"capture(on_session_end={on_session_end!r}): allowed is a callable that takes a SessionSummary"
        )
    if given := _PROVIDERS & arguments.keys():
        raise ConfigError(f"capture() brings providers of its own, leave out {', '.join(sorted(given))}")
    captured = Captured()
    interrupted = _api.runtime()
    _api.uninstrument()

    def collect(summary: SessionSummary) -> None:
        captured.summaries.append(summary)
        if on_session_end is not None:
            on_session_end(summary)

    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(captured.span_exporter))
    logger_provider = LoggerProvider(shutdown_on_exit=False)
    logger_provider.add_log_record_processor(SimpleLogRecordProcessor(captured.log_exporter))
    meter_provider = MeterProvider([captured.metric_reader], shutdown_on_exit=False)
    try:
        _api.instrument(
            tracer_provider=tracer_provider,
            meter_provider=meter_provider,
            logger_provider=logger_provider,
            on_session_end=collect,
            **arguments,
        )
        yield captured
    finally:
        _api.drain()
        _api.uninstrument()
        if interrupted is not None:
            _api.instrument(**interrupted.arguments._asdict())
        for provider in (tracer_provider, logger_provider, meter_provider):
            provider.shutdown()
