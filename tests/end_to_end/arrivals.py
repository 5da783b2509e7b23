"""What arrived at an OTLP receiver: the messages as they were, and as the objects that `conformance` looks at."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, StatusCode

from otlp_sink import Mode, OtlpSink

_STATUSES = {0: StatusCode.UNSET, 1: StatusCode.OK, 2: StatusCode.ERROR}


class Arrivals(OtlpSink):
    """A receiver that keeps the messages themselves."""

    def __enter__(self) -> Arrivals:
        return self

    def receive(self, signal: str, request: Any, headers: dict[str, str], path: str, peer: str) -> Mode:
        """Take a request, and keep it."""
        self.messages.append((signal, request))
        return super().receive(signal, request, headers, path, peer)

    @property
    def messages(self) -> list[tuple[str, Any]]:
        """Everything that was sent, by signal."""
        kept: list[tuple[str, Any]] = self.__dict__.setdefault("_messages", [])
        return kept

    @property
    def raw(self) -> bytes:
        """Everything that was sent, as the bytes that it was (without compression)."""
        return b"\n".join(request.SerializeToString() for _, request in self.messages)

    @property
    def scopes(self) -> set[tuple[str, str, str]]:
        """Signal, name and version of each scope."""
        return {(signal, scope.name, scope.version) for signal, scope, _ in self._scoped()}

    def _scoped(self) -> Iterator[tuple[str, Any, Any]]:
        for signal, request in list(self.messages):
            for resource in _field(request, "resource_"):
                for scoped in _field(resource, "scope_"):
                    yield signal, scoped.scope, scoped

    # --- as the SDK has it -------------------------------------------------------------------------------------------

    def exported_spans(self) -> list[Any]:
        """Return the spans as `conformance` takes them."""
        return [
            _span(span, scope)
            for signal, scope, scoped in self._scoped()
            if signal == "traces"
            for span in scoped.spans
        ]

    def exported_logs(self) -> list[Any]:
        """Return the log records as `conformance` takes them."""
        return [
            _log(record) for signal, _, scoped in self._scoped() if signal == "logs" for record in scoped.log_records
        ]

    def exported_metrics(self) -> MetricsData:
        """Return the metrics as a reader collects them."""
        data: dict[str, Any] = {}
        for signal, _, scoped in self._scoped():
            for metric in scoped.metrics if signal == "metrics" else ():
                found = _metric(metric)
                if metric.name in data:
                    data[metric.name].data.data_points.extend(found.data.data_points)
                else:
                    data[metric.name] = found
        scope = ScopeMetrics(InstrumentationScope("streamspan"), list(data.values()), "")
        return MetricsData([ResourceMetrics(Resource({}), [scope], "")])


def _field(message: Any, begin: str) -> Any:
    """Return the repeated field whose name begins so, such as `resource_spans` or `scope_metrics`."""
    (name,) = (each.name for each in message.DESCRIPTOR.fields if each.name.startswith(begin))
    return getattr(message, name)


def _span(span: Any, scope: Any) -> Any:
    return SimpleNamespace(
        name=span.name,
        kind=SpanKind[trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")],
        context=SimpleNamespace(trace_id=_number(span.trace_id), span_id=_number(span.span_id)),
        start_time=span.start_time_unix_nano,
        end_time=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=[
            SimpleNamespace(name=event.name, timestamp=event.time_unix_nano, attributes=_attributes(event.attributes))
            for event in span.events
        ],
        dropped_attributes=span.dropped_attributes_count,
        dropped_events=span.dropped_events_count,
        status=SimpleNamespace(
            status_code=_STATUSES[span.status.code],
            description=span.status.message or None,
        ),
        instrumentation_scope=InstrumentationScope(scope.name, scope.version),
    )


def _log(record: Any) -> Any:
    return SimpleNamespace(
        log_record=SimpleNamespace(
            event_name=record.event_name,
            trace_id=_number(record.trace_id),
            span_id=_number(record.span_id),
            severity_number=SeverityNumber(record.severity_number),
            attributes=_attributes(record.attributes),
        )
    )


def _metric(metric: Any) -> Metric:
    kind = metric.WhichOneof("data")
    points = getattr(metric, kind).data_points
    if kind == "histogram":
        data: Any = Histogram([_histogram_point(point) for point in points], AggregationTemporality.CUMULATIVE)
    else:
        numbers = [
            NumberDataPoint(
                attributes=_attributes(point.attributes),
                start_time_unix_nano=point.start_time_unix_nano,
                time_unix_nano=point.time_unix_nano,
                value=getattr(point, point.WhichOneof("value")),
            )
            for point in points
        ]
        data = Sum(numbers, AggregationTemporality.CUMULATIVE, metric.sum.is_monotonic)
    assert getattr(metric, kind).aggregation_temporality == metrics_pb2.AGGREGATION_TEMPORALITY_CUMULATIVE
    return Metric(name=metric.name, description=metric.description, unit=metric.unit, data=data)


def _histogram_point(point: Any) -> HistogramDataPoint:
    return HistogramDataPoint(
        attributes=_attributes(point.attributes),
        start_time_unix_nano=point.start_time_unix_nano,
        time_unix_nano=point.time_unix_nano,
        count=point.count,
        sum=point.sum,
        bucket_counts=list(point.bucket_counts),
        explicit_bounds=list(point.explicit_bounds),
        min=point.min,
        max=point.max,
    )


def _number(identifier: bytes) -> int:
    return int.from_bytes(identifier, "big")


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    """Return a value as the SDK has it: sequences are tuples."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return tuple(_value(item) for item in value.array_value.values)
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)
