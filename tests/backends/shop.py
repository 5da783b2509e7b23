"""An application that streams with the real SDK and sends what is recorded to a collector, and keeps a copy of it.

Knows one session for each ending; refuses to know what comes after the exporters.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import openai
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import streamspan
from backends.collectors import Collector
from backends.programs import until
from otlp_sink import Protocol
from streamspan.demo import DemoProvider

QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]


class Shop:
    """An application and its OpenTelemetry.

    Args:
        collector: where its telemetry goes.
        protocol: by which it goes there.
        service: its name.
        config: of streamspan.
    """

    def __init__(
        self,
        collector: Collector,
        protocol: Protocol = "http",
        service: str = "shop",
        config: streamspan.Config | None = None,
    ) -> None:
        self._config = config or CONFIG
        self._kept = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        spans, metrics, logs = _exporters(protocol, collector.at(protocol))
        resource = Resource.create({"service.name": service, "deployment.environment.name": "test"})
        self.tracers = TracerProvider(resource=resource, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracers.add_span_processor(BatchSpanProcessor(spans))
        readers = [self._reader, PeriodicExportingMetricReader(metrics)]
        self.meters = MeterProvider(readers, resource, shutdown_on_exit=False)
        self.loggers = LoggerProvider(resource, shutdown_on_exit=False)
        self.loggers.add_log_record_processor(BatchLogRecordProcessor(logs))

    def __enter__(self) -> Shop:
        streamspan.instrument(
            tracer_provider=self.tracers,
            meter_provider=self.meters,
            logger_provider=self.loggers,
            config=self._config,
        )
        return self

    def __exit__(self, *exc: object) -> None:
        streamspan.uninstrument()
        for provider in (self.tracers, self.meters, self.loggers):
            provider.shutdown()

    @property
    def spans(self) -> list[ReadableSpan]:
        """Every span that it has made."""
        return list(self._kept.get_finished_spans())

    @property
    def metrics(self) -> MetricsData:
        """Its metrics, as they are now."""
        found = self._reader.get_metrics_data()
        assert found is not None
        return found

    def flush(self) -> None:
        """Send everything that is not sent yet."""
        for provider in (self.tracers, self.meters, self.loggers):
            assert provider.force_flush()

    def open(self, provider: DemoProvider) -> None:
        """Make one session for each ending, each below a span of the application, and send everything."""
        tracer = self.tracers.get_tracer("shop")
        for name, session in SESSIONS.items():
            with tracer.start_as_current_span(f"answer {name}"), suppress(openai.OpenAIError):
                session(provider, name)
        until(lambda: len(self.spans) >= 2 * len(SESSIONS))  # what was dropped is noticed by a thread
        self.flush()


def _exporters(protocol: Protocol, endpoint: str) -> tuple[SpanExporter, MetricExporter, Any]:
    if protocol == "grpc":
        return GrpcSpanExporter(endpoint), GrpcMetricExporter(endpoint), GrpcLogExporter(endpoint)
    urls = (f"{endpoint}/v1/{name}" for name in ("traces", "metrics", "logs"))
    return HttpSpanExporter(next(urls)), HttpMetricExporter(next(urls)), HttpLogExporter(next(urls))


@contextmanager
def _stream(provider: DemoProvider, name: str, scenario: str, **options: Any) -> Iterator[Any]:
    with ExitStack() as stack:
        client = stack.enter_context(
            openai.OpenAI(base_url=provider.url(scenario), api_key="demo", **{"max_retries": 0} | options)
        )
        messages: Any = QUESTION
        yield client.chat.completions.create(model=f"gpt-{name}", messages=messages, stream=True)


def _read(scenario: str, **options: Any) -> Callable[[DemoProvider, str], None]:
    def session(provider: DemoProvider, name: str) -> None:
        with _stream(provider, name, scenario, **options) as chunks:
            for _ in chunks:
                pass

    return session


def _close(provider: DemoProvider, name: str) -> None:
    with _stream(provider, name, "ok;chunks=50") as chunks:
        next(iter(chunks))
        chunks.close()


def _drop(provider: DemoProvider, name: str) -> None:
    with _stream(provider, name, "ok;chunks=50") as chunks:
        next(iter(chunks))
        del chunks
    gc.collect()


SESSIONS: dict[str, Callable[[DemoProvider, str], None]] = {
    "completed": _read("ok;chunks=60"),
    "tools": _read("tools"),
    "retried": _read("flaky", max_retries=2),
    "stalled": _read("stall"),
    "cancelled": _close,
    "dropped": _drop,
    "truncated": _read("short"),
    "error": _read("status_500"),
    "error-in-stream": _read("error_event"),
    "timeout": _read("hang", timeout=0.2),
}
"""One session for each ending, by name; its model has the same name after `gpt-`. The pause of a stall is 0.5 s."""
CONFIG = streamspan.Config(stall_seconds=0.4, include_usage=True)
"""Calls that pause a stall, and asks for counts of tokens."""
OUTCOMES = {
    "completed": "completed",
    "tools": "completed",
    "retried": "completed",
    "stalled": "completed",
    "cancelled": "cancelled",
    "dropped": "cancelled",
    "truncated": "truncated",
    "error": "error",
    "error-in-stream": "error",
    "timeout": "timeout",
}
"""How each of them ends."""
