"""The metrics' part of `conformance`: each instrument by itself, and what it recorded against the spans."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from opentelemetry.sdk.metrics.export import Histogram as HistogramData
from opentelemetry.sdk.metrics.export import Metric as MetricData
from opentelemetry.sdk.metrics.export import MetricsData, Sum

import conformance_table as table
from streamspan._config import Config

_SCOPE = "streamspan"
Key: TypeAlias = frozenset[tuple[str, object]]
"""The attributes of a data point."""


def metric_findings(metrics: MetricsData, spans: Sequence[Any] | None, config: Config) -> list[str]:
    """Return what is wrong with the metrics; `spans` are all of streamspan's spans, or None to check without them."""
    collected = dict(_ours(metrics))
    found = list(_metrics(collected, config))
    if spans is not None:
        found += _metrics_against_spans(collected, spans, config)
    return found


def _ours(metrics: MetricsData) -> Iterator[tuple[str, MetricData]]:
    for resource in metrics.resource_metrics:
        for scope in resource.scope_metrics:
            if scope.scope.name == _SCOPE:
                yield from ((metric.name, metric) for metric in scope.metrics)


def _known_metrics(config: Config) -> dict[str, table.Metric]:
    released = table.RELEASED_METRICS if config.semconv != "latest" else {}
    latest = table.LATEST_METRICS if config.semconv != "released" else {}
    return {**released, **latest, **table.OWN_METRICS}


def _instrument(metric: MetricData) -> str:
    if isinstance(metric.data, HistogramData):
        return "histogram"
    return "counter" if isinstance(metric.data, Sum) and metric.data.is_monotonic else "up_down_counter"


def _metrics(collected: Mapping[str, MetricData], config: Config) -> Iterator[str]:
    known = _known_metrics(config)
    for name, metric in collected.items():
        if name not in known:
            yield f"missing_metric: {name}"
            continue
        if metric.unit != known[name].unit:
            yield f"metric {name}: unit_mismatch: {metric.unit}"
        if _instrument(metric) != known[name].instrument:
            yield f"metric {name}: unexpected_instrument: {_instrument(metric)}"
        for point in metric.data.data_points:
            yield from (f"metric {name}: {finding}" for finding in _point(point, known[name]))


def _point(point: Any, metric: table.Metric) -> Iterator[str]:
    attributes = dict(point.attributes)
    for name in (*table.COMMON_REQUIRED, *metric.required):
        if name not in attributes:
            yield f"required_attribute_not_present: {name}"
    for name, value in attributes.items():
        if name not in {*table.COMMON, *metric.extra}:
            yield f"missing_attribute: {name}"
        elif value is None:
            yield f"type_mismatch: {name} is None"
    if "server.address" in attributes and "server.port" not in attributes:
        yield "server.port is missing beside server.address"
    if metric.buckets and tuple(point.explicit_bounds) != tuple(float(bound) for bound in metric.buckets):
        yield f"buckets {point.explicit_bounds}"


# --- metrics against spans -------------------------------------------------------------------------------------------


def _metrics_against_spans(collected: Mapping[str, MetricData], spans: Sequence[Any], config: Config) -> Iterator[str]:
    for name, metric in _known_metrics(config).items():
        due: dict[Key, list[float]] = defaultdict(list)
        for span in spans:
            for extra, value in _due(name, span):
                kept = {k: v for k, v in span.attributes.items() if k in {*table.COMMON, *metric.extra}}
                due[frozenset({**kept, **extra}.items())].append(value)
        points: Sequence[Any] = collected[name].data.data_points if name in collected else ()
        if name.endswith("time_per_output_chunk"):
            yield from _compare_gaps(name, points, due, config)
        elif name == "streamspan.active":
            if any(point.value for point in points):
                yield f"metric {name}: streams are still open"
        else:
            yield from (f"metric {name}: {finding}" for finding in _compare(points, due, metric))


def _compare_gaps(name: str, points: Sequence[Any], due: Mapping[Key, list[float]], config: Config) -> Iterator[str]:
    # Gaps before the response's model is known do not carry it, and the sum of gaps is on no span.
    count = sum(point.count for point in points)
    wanted = int(sum(value for values in due.values() for value in values)) if config.chunk_metric else 0
    if count != wanted:
        yield f"metric {name}: recorded {count} times, not {wanted}"


def _compare(points: Iterable[Any], due: Mapping[Key, list[float]], metric: table.Metric) -> Iterator[str]:
    is_histogram = metric.instrument == "histogram"
    found = {frozenset(dict(p.attributes).items()): (p.count, p.sum) if is_histogram else (0, p.value) for p in points}
    for key in {*found, *due}:
        values = due.get(key, [])
        count, total = found.get(key, (0, 0))
        if is_histogram and count != len(values):
            yield f"recorded {count} times, the spans say {len(values)} times: {sorted(key, key=str)}"
        elif abs(total - sum(values)) > 1e-6 * max(1.0, abs(total)):
            yield f"adds up to {total}, the spans say {sum(values)}: {sorted(key, key=str)}"


_STREAM_VALUES = {
    "time_to_first_chunk": "gen_ai.response.time_to_first_chunk",
    "streamspan.time_to_first_token": "streamspan.time_to_first_token",
    "streamspan.time_to_first_answer": "streamspan.time_to_first_answer",
    "streamspan.output_rate": "streamspan.output_rate",
    "streamspan.character_rate": "streamspan.character_rate",
    "streamspan.wait.max": "streamspan.wait.max",
    "streamspan.consumer_time": "streamspan.consumer_time",
    "streamspan.chunks": "streamspan.chunk.count",
    "streamspan.stalls": "streamspan.stall.count",
    "streamspan.retries": "http.request.resend_count",
}


def _due(name: str, span: Any) -> Iterator[tuple[dict[str, object], float]]:
    """Say what a metric should have recorded for a span: attributes beyond the span's own, and the value."""
    attributes = span.attributes
    short = name.removeprefix("gen_ai.client.operation.").removeprefix("gen_ai.client.inference.")
    if short == "duration":
        yield {}, (span.end_time - span.start_time) / 1e9
    elif name == "gen_ai.client.token.usage":
        for token_type in ("input", "output"):
            if (count := attributes.get(f"gen_ai.usage.{token_type}_tokens")) is not None:
                yield {"gen_ai.token.type": token_type}, count
    elif short in {"operation.input_tokens", "operation.output_tokens"}:
        yield {}, attributes.get(f"gen_ai.usage.{short.removeprefix('operation.')}", 0)
    elif short.startswith("usage."):
        yield from _due_by_modality(short.removeprefix("usage."), attributes)
    elif attributes.get("gen_ai.request.stream"):
        if short == "time_per_output_chunk":
            yield {}, max(0, attributes.get("streamspan.chunk.count", 0) - 1)
        elif (value := attributes.get(_STREAM_VALUES.get(short, ""))) is not None:
            yield {}, value


def _due_by_modality(suffix: str, attributes: Mapping[str, Any]) -> Iterator[tuple[dict[str, object], float]]:
    rest = attributes.get(f"gen_ai.usage.{suffix}", 0)
    for modality in ("text", "image", "audio"):
        if count := attributes.get(f"gen_ai.usage.{modality}.{suffix}", 0):
            rest -= count
            yield {"gen_ai.token.modality": modality}, count
    if rest > 0 or not attributes.get(f"gen_ai.usage.{suffix}", 0):
        yield {"gen_ai.token.modality": "unknown"}, max(rest, 0)
