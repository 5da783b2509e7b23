"""Checks everything that was exported against the conventions and against streamspan's own rules.

    assert conformance.findings(spans=..., metrics=..., logs=...) == []

A finding is one sentence that names the span, event, metric or log record and what is wrong with it. The rules need no
knowledge of what the program under test did: each is about how the parts of the telemetry must agree.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.trace import SpanKind, StatusCode

import conformance_table as table
from conformance_metrics import metric_findings
from streamspan._config import Config

_SCOPE = "streamspan"
_MOST_STALLS, _MOST_RETRIES = 8, 16
_TYPES: dict[str, tuple[type, ...]] = {"string": (str,), "int": (int,), "double": (int, float)}
_SEVERITIES = {"gen_ai.client.operation.exception": 13, table.DETAILS: 5}


def findings(
    *,
    spans: Sequence[Any] = (),
    metrics: MetricsData | None = None,
    logs: Sequence[Any] = (),
    config: Config | None = None,
    free: Collection[str] = (),
    has_every_span: bool = True,
) -> list[str]:
    """Return what is wrong; empty when nothing is.

    Args:
        spans: finished spans, those of other scopes are ignored.
        metrics: what a reader collected, cumulative from the start.
        logs: exported log records.
        config: how streamspan was configured.
        free: names of free attributes that the application set by `streamspan.session`.
        has_every_span: whether every session's span is in `spans`; only then are metrics compared with them.
    """
    config = config or Config()
    ours = [s for s in spans if s.instrumentation_scope is not None and s.instrumentation_scope.name == _SCOPE]
    connections = [s for s in ours if s.name.split(" ")[0] == table.CONNECTION]
    ours = [s for s in ours if s not in connections]
    found = [f"span {s.name!r}: {finding}" for s in connections for finding in _connection(s, free)]
    for span in ours:
        found += (f"span {span.name!r}: {finding}" for finding in _span(span, config, free))
    by_id = {(s.context.trace_id, s.context.span_id): s for s in ours}
    found += _logs(logs, by_id, config, free)
    if metrics is not None:
        found += metric_findings(metrics, ours if has_every_span else None, config)
    return found


# --- attributes ------------------------------------------------------------------------------------------------------


def _fits(kind: str, value: object) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if kind == "string[]":
        return isinstance(value, tuple) and all(isinstance(item, str) for item in cast("tuple[object, ...]", value))
    return kind == "any" or isinstance(value, _TYPES[kind])


def _attributes(attributes: Mapping[str, object], types: Mapping[str, str], required: Iterable[str]) -> Iterator[str]:
    for name in required:
        if name not in attributes:
            yield f"required_attribute_not_present: {name}"
    for name, value in attributes.items():
        if name not in types:
            yield f"missing_attribute: {name} is in no registry"
        elif not _fits(types[name], value):
            yield f"type_mismatch: {name}={value!r} is no {types[name]}"


# --- spans -----------------------------------------------------------------------------------------------------------


def _connection(span: Any, free: Collection[str]) -> Iterator[str]:
    attributes = {name: value for name, value in span.attributes.items() if name not in free}
    if span.kind is not SpanKind.INTERNAL:
        yield f"its kind is {span.kind.name}"
    if (span.status.status_code is StatusCode.ERROR) != ("error.type" in attributes):
        yield "its status and error.type contradict each other"
    required = ("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.realtime_session.id", "streamspan.layer")
    yield from _attributes(attributes, table.CONNECTION_ATTRIBUTES, required)


def _span(span: Any, config: Config, free: Collection[str]) -> Iterator[str]:
    attributes = dict(span.attributes)
    model = attributes.get("gen_ai.request.model")
    operation = attributes.get("gen_ai.operation.name")
    if span.name != (f"{operation} {model}" if model else operation):
        yield "its name is not operation and model"
    if span.kind is not SpanKind.CLIENT:
        yield f"its kind is {span.kind.name}"
    if span.end_time is None or span.end_time < span.start_time:
        yield "it does not end after its start"
        return
    if span.dropped_attributes or span.dropped_events:
        yield "it lost attributes or events to a limit"
    known = {name: value for name, value in attributes.items() if name not in free}
    yield from _span_attributes(known, config)
    yield from _status(span, attributes, config)
    yield from _cancel(attributes)
    yield from _stream(attributes) if attributes.get("gen_ai.request.stream") else _no_stream(attributes)
    events = [(e.name, e.timestamp, dict(e.attributes)) for e in span.events]
    yield from _events(events, span, attributes)
    if config.events in {"span", "both"}:
        yield from _event_totals(events, attributes, config)


def _span_attributes(attributes: Mapping[str, object], config: Config) -> Iterator[str]:
    types = {name: kind for name, (kind, _) in table.SPAN_ATTRIBUTES.items()}
    required = [name for name, (_, level) in table.SPAN_ATTRIBUTES.items() if level == "required"]
    yield from _attributes(attributes, types, [*required, "gen_ai.request.stream"])
    if "server.address" in attributes and "server.port" not in attributes:
        yield "server.port is missing beside server.address"
    if attributes.get("gen_ai.request.choice.count") == 1:
        yield "gen_ai.request.choice.count is only for more than one choice"
    for name in table.CONTENT:
        if name not in attributes:
            continue
        if config.capture_content not in {"SPAN_ONLY", "SPAN_AND_EVENT"}:
            yield f"{name} is there although content is not captured on spans"
        elif not isinstance(json.loads(str(attributes[name])), list):
            yield f"{name} is no JSON list"


def _status(span: Any, attributes: Mapping[str, object], config: Config) -> Iterator[str]:
    status, description = span.status.status_code, span.status.description
    outcome = str(attributes.get("streamspan.outcome"))
    if outcome not in table.OUTCOMES:
        yield f"undefined_enum_variant: streamspan.outcome={outcome}"
        return
    is_error = table.OUTCOMES[outcome] or (outcome == "cancelled" and config.cancel_status == "error")
    if status is not (StatusCode.ERROR if is_error else StatusCode.UNSET):
        yield f"status {status.name} for the outcome {outcome}"
    if is_error != ("error.type" in attributes):
        yield "error.type is not there exactly when the status is ERROR"
    if description is not None and description == attributes.get("error.type"):
        yield "the status description only repeats error.type"
    if outcome == "truncated" and attributes.get("error.type") != "truncated":
        yield "error.type of a truncated stream"


def _cancel(attributes: Mapping[str, object]) -> Iterator[str]:
    reason = attributes.get("streamspan.cancel.reason")
    if (reason is not None) != (attributes.get("streamspan.outcome") == "cancelled"):
        yield "streamspan.cancel.reason is not there exactly when it was cancelled"
    if reason is not None and reason not in table.CANCEL_REASONS:
        yield f"undefined_enum_variant: streamspan.cancel.reason={reason}"
    if "streamspan.cancel.exception" in attributes and reason != "closed":
        yield "streamspan.cancel.exception without a close"


def _no_stream(attributes: Mapping[str, object]) -> Iterator[str]:
    for name in table.STREAM_ONLY:
        if name in attributes:
            yield f"{name} on a call without a stream"


def _stream(attributes: Mapping[str, Any]) -> Iterator[str]:
    for name in table.STREAM_ALWAYS:
        if name not in attributes:
            yield f"required_attribute_not_present: {name}"
    chunks = attributes.get("streamspan.chunk.count", 0)
    if (chunks > 0) != ("gen_ai.response.time_to_first_chunk" in attributes):
        yield "time_to_first_chunk is not there exactly when there is a chunk"
    has_wait = chunks > 1 or (chunks == 1 and "streamspan.stall.count" in attributes)
    if has_wait != ("streamspan.wait.max" in attributes):
        yield "waits are not there exactly when a second chunk came or was waited for too long"
    clocks = [
        attributes[name]
        for name in (
            "streamspan.time_to_headers",
            "gen_ai.response.time_to_first_chunk",
            "streamspan.time_to_first_token",
            "streamspan.time_to_first_answer",
        )
        if name in attributes
    ]
    if clocks != sorted(clocks):
        yield f"its clocks run backwards: {clocks}"
    for name in ("streamspan.tool_call.count", "streamspan.stall.count", "streamspan.stall.time"):
        if attributes.get(name) == 0:
            yield f"{name} is only for more than none"


# --- events ----------------------------------------------------------------------------------------------------------


def _events(
    events: Sequence[tuple[str, int, dict[str, Any]]], span: Any, attributes: Mapping[str, Any]
) -> Iterator[str]:
    times = [at for _, at, _ in events]
    if times != sorted(times):
        yield "its events are not in the order of time"
    if times and not span.start_time <= times[0] <= times[-1] <= span.end_time:
        yield "an event lies outside of the span"
    for name, _, fields in events:
        if name not in table.EVENTS:
            yield f"missing_event: {name}"
            continue
        event = table.EVENTS[name]
        yield from (f"event {name}: {finding}" for finding in _attributes(fields, event.attributes, event.required))
        if not set(str(fields.get("streamspan.output.kind", "text")).split(",")) <= set(table.OUTPUT_KINDS):
            yield f"event {name}: undefined_enum_variant: streamspan.output.kind"
    if not attributes.get("gen_ai.request.stream") and any(name == "streamspan.chunk" for name, _, _ in events):
        yield "chunk events on a call without a stream"


def _event_totals(
    events: Sequence[tuple[str, int, dict[str, Any]]], attributes: Mapping[str, Any], config: Config
) -> Iterator[str]:
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for name, _, fields in events:
        by_name[name].append(fields)
    outcome = attributes.get("streamspan.outcome")
    due = {
        "streamspan.first_token": "streamspan.time_to_first_token" in attributes,
        "streamspan.cancelled": outcome == "cancelled",
        "streamspan.stall": min(attributes.get("streamspan.stall.count", 0), _MOST_STALLS),
        "streamspan.retry": min(attributes.get("http.request.resend_count", 0), _MOST_RETRIES),
        "streamspan.hop": min(attributes.get("streamspan.hop.count", 0), _MOST_RETRIES),
    }
    for name, count in due.items():
        if len(by_name[name]) != count:
            yield f"{len(by_name[name])} {name} events instead of {int(count)}"
    if len(by_name["exception"]) > (outcome in {"error", "timeout"}):
        yield "an exception event too many"
    if chunks := by_name["streamspan.chunk"]:
        yield from _chunk_totals(chunks, attributes, config)


def _chunk_totals(chunks: Sequence[Mapping[str, Any]], attributes: Mapping[str, Any], config: Config) -> Iterator[str]:
    if len(chunks) > config.chunk_events:
        yield f"{len(chunks)} chunk events with a budget of {config.chunk_events}"
    index = 0
    for chunk in chunks:
        if chunk["streamspan.chunk.index"] != index:
            yield f"chunk {index} is in no chunk event, or in two"
        index = chunk["streamspan.chunk.index"] + chunk["streamspan.chunk.count"]
    for name in ("streamspan.chunk.count", "streamspan.output.characters", "streamspan.reasoning.characters"):
        total = sum(chunk.get(name, 0) for chunk in chunks)
        if total != attributes[name]:
            yield f"{name} of the chunk events adds up to {total}, not {attributes[name]}"


# --- logs ------------------------------------------------------------------------------------------------------------


def _logs(
    logs: Sequence[Any], spans: Mapping[tuple[int, int], Any], config: Config, free: Collection[str]
) -> Iterator[str]:
    known = {table.LOG_NAMES.get(name, name): event for name, event in table.EVENTS.items()}
    for record in (log.log_record for log in logs):
        name, where = record.event_name, f"log event {record.event_name}"
        span = spans.get((record.trace_id, record.span_id))
        if span is None:
            yield f"{where}: belongs to no span"
        if record.severity_number.value != _SEVERITIES.get(name, 9):
            yield f"{where}: severity {record.severity_number.value}"
        if name == table.DETAILS:
            yield from (f"{where}: {finding}" for finding in _details(record.attributes, span, config, free))
        elif name in known:
            event = known[name]
            fields = _attributes(dict(record.attributes), event.attributes, event.required)
            yield from (f"{where}: {finding}" for finding in fields)
        else:
            yield f"missing_event: {name}"


def _details(attributes: Mapping[str, Any], span: Any, config: Config, free: Collection[str]) -> Iterator[str]:
    said = {name: value for name, value in attributes.items() if name not in {*table.CONTENT, *free}}
    if span is not None:
        shown = dict(span.attributes)
        if said != {name: value for name, value in shown.items() if name not in {*table.CONTENT, *free}}:
            yield "its attributes are not those of the span"
    for name in table.CONTENT:
        if name not in attributes:
            continue
        if config.capture_content not in {"EVENT_ONLY", "SPAN_AND_EVENT"}:
            yield f"{name} is there although content is not captured in events"
        elif not isinstance(attributes[name], tuple):
            yield f"{name} is not structured"
