"""From the settings of a signal to its provider: exporters, the queues in front of them, and who keeps account.

Knows the SDK's processors and readers. Refuses to know global providers and the end of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricReader, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from streamspan._otlp.delivery import Delivery, Notices
from streamspan._otlp.exporters import other_exporters, otlp_exporter
from streamspan._otlp.settings import OTLP, SignalSettings

T = TypeVar("T")

# What the SDK takes when its variables are not set.
_SPAN_QUEUE = {"max_queue_size": 2048, "schedule_delay_millis": 5000, "max_export_batch_size": 512}
_LOG_QUEUE = {"max_queue_size": 2048, "schedule_delay_millis": 1000, "max_export_batch_size": 512}
_METRIC_READER = {"export_interval_millis": 60_000, "export_timeout_millis": 30_000}

_logger = logging.getLogger("streamspan")


class Pipelines:
    """Makes providers, and remembers the deliveries that they feed."""

    def __init__(self, resource: Resource) -> None:
        self.deliveries: list[Delivery] = []
        self._resource = resource
        self._notices = Notices()

    def tracer_provider(self, settings: SignalSettings) -> TracerProvider:
        """Return a provider whose spans go where `settings` say."""
        provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        for exporter, delivery in self._exporters(settings):
            queue = partial(_SpanQueue, delivery, exporter) if delivery else partial(BatchSpanProcessor, exporter)
            provider.add_span_processor(_made(queue, _SPAN_QUEUE, "OTEL_BSP_*"))
        return provider

    def meter_provider(self, settings: SignalSettings) -> MeterProvider:
        """Return a provider whose metrics go where `settings` say."""
        readers: list[MetricReader] = []
        for exporter, _ in self._exporters(settings):
            if isinstance(exporter, MetricReader):  # such as the Prometheus exporter, which is asked and does not send
                readers.append(exporter)
            else:
                reader = partial(PeriodicExportingMetricReader, exporter)
                readers.append(_made(reader, _METRIC_READER, "OTEL_METRIC_EXPORT_*"))
        return MeterProvider(readers, self._resource, shutdown_on_exit=False)

    def logger_provider(self, settings: SignalSettings) -> LoggerProvider:
        """Return a provider whose log records go where `settings` say."""
        provider = LoggerProvider(self._resource, shutdown_on_exit=False)
        for exporter, delivery in self._exporters(settings):
            queue = partial(_LogQueue, delivery, exporter) if delivery else partial(BatchLogRecordProcessor, exporter)
            provider.add_log_record_processor(_made(queue, _LOG_QUEUE, "OTEL_BLRP_*"))
        return provider

    def _exporters(self, settings: SignalSettings) -> Iterator[tuple[Any, Delivery | None]]:
        # OTLP comes last: the SDK shuts down one after the other, and only OTLP can hang.
        for exporter in other_exporters(settings.target.signal, [n for n in settings.exporters if n != OTLP]):
            yield exporter, None
        if OTLP in settings.exporters:
            yield from self._otlp(settings)

    def _otlp(self, settings: SignalSettings) -> Iterator[tuple[Any, Delivery]]:
        target = settings.target
        delivery = Delivery(target, self._notices)
        try:
            exporter = otlp_exporter(target, delivery.send)
        except ImportError:
            package = f"opentelemetry-exporter-otlp-proto-{target.protocol.partition('/')[0]}"
            _logger.warning(
                "streamspan: no %s are sent, because OTLP by %s needs a package that is not installed; run: pip install %s",
                target.signal,
                target.protocol,
                package,
            )
        except (ValueError, OSError, RuntimeError) as exc:
            _logger.warning(
                "streamspan: no %s are sent, because the OTLP exporter cannot be made: %s; check the OTEL_EXPORTER_OTLP_*"
                " variables",
                target.signal,
                exc,
            )
        else:
            delivery.abort = exporter.shutdown
            self.deliveries.append(delivery)
            yield exporter, delivery


class _SpanQueue(BatchSpanProcessor):
    """The SDK's queue, with an eye on what goes in."""

    def __init__(self, delivery: Delivery, exporter: Any, **options: Any) -> None:
        super().__init__(exporter, **options)
        self._delivery = delivery

    def on_end(self, span: ReadableSpan) -> None:
        if span.context and span.context.trace_flags.sampled:
            self._delivery.take()
        with self._delivery.queueing():
            super().on_end(span)


class _LogQueue(BatchLogRecordProcessor):
    """The SDK's queue, with an eye on what goes in."""

    def __init__(self, delivery: Delivery, exporter: Any, **options: Any) -> None:
        super().__init__(exporter, **options)
        self._delivery = delivery

    def on_emit(self, log_record: Any) -> None:  # its class has had several names
        self._delivery.take()
        with self._delivery.queueing():
            super().on_emit(log_record)


def _made(make: Callable[..., T], defaults: Mapping[str, int], variables: str) -> T:
    """Call `make`, which reads `variables` itself; with `defaults` if it cannot do with them."""
    try:
        return make()
    except ValueError as exc:
        _logger.warning("%s: %s; the defaults are used", variables, " ".join(str(exc).split()))
        return make(**defaults)
