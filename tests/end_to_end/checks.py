"""Compares what arrived with what the application was told and saw, and with what the provider sent.

Every name is written down here a second time; nothing is taken from streamspan's own code.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from end_to_end.arrivals import Arrivals
from end_to_end.stage import Cast, Ended, Stage
from otlp_sink import Item
from support.truth import Truth, called, said

Key: TypeAlias = "tuple[str | None, int]"
Summary: TypeAlias = "dict[str, Any]"

SUMMARIZED = {
    "gen_ai.operation.name": "operation",
    "gen_ai.provider.name": "provider",
    "gen_ai.request.model": "model",
    "gen_ai.response.model": "response_model",
    "gen_ai.response.id": "response_id",
    "gen_ai.request.stream": "is_stream",
    "streamspan.layer": "layer",
    "streamspan.outcome": "outcome",
    "streamspan.cancel.reason": "cancel_reason",
    "streamspan.cancel.exception": "cancel_exception",
    "error.type": "error_type",
    "http.response.status_code": "status_code",
    "streamspan.request_id": "request_id",
}
SUMMARIZED_OF_STREAMS = {
    "streamspan.time_to_headers": "time_to_headers",
    "gen_ai.response.time_to_first_chunk": "time_to_first_chunk",
    "streamspan.time_to_first_token": "time_to_first_token",
    "streamspan.time_to_first_answer": "time_to_first_answer",
    "streamspan.provider_time": "provider_time",
    "streamspan.consumer_time": "consumer_time",
    "streamspan.wait.p50": "wait_p50",
    "streamspan.wait.p95": "wait_p95",
    "streamspan.wait.max": "wait_max",
    "streamspan.chunk.count": "chunk_count",
    "streamspan.output.characters": "output_characters",
    "streamspan.reasoning.characters": "reasoning_characters",
    "streamspan.output_rate": "output_rate",
    "streamspan.character_rate": "character_rate",
}
IF_ANY = {
    "streamspan.tool_call.count": "tool_call_count",
    "streamspan.stall.count": "stall_count",
    "streamspan.stall.time": "stall_time",
    "http.request.resend_count": "resend_count",
}
CONTENT = {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"}
DETAILS = "gen_ai.client.inference.operation.details"
LOG_NAMES = {"exception": "gen_ai.client.operation.exception"}


@dataclass
class Performance:
    """A play that was put on: who played, what became of it, and what arrived of it."""

    stage: Stage
    ended: Ended
    arrived: Arrivals

    def __post_init__(self) -> None:
        """Find each job's span and summary; there is exactly one of each."""
        cast = {(each.model, each.port): each for each in self.stage.cast}
        assert len(cast) == len(self.stage.cast)
        spans = Counter(key_of(span["attributes"]) for span in self.arrived.spans)
        assert spans == Counter(dict.fromkeys(cast, 1))
        summaries = {summary["span_id"]: summary for summary in self.ended.report["summaries"]}
        assert len(summaries) == len(self.ended.report["summaries"])
        assert {span["span_id"] for span in self.arrived.spans} == set(summaries)
        self.streams = [
            Stream(self, cast[key_of(span["attributes"])], span, summaries[span["span_id"]])
            for span in self.arrived.spans
        ]

    def stream(self, name: str, colour: str = "sync") -> Stream:
        """Return the stream of one job."""
        (found,) = (each for each in self.streams if (each.cast.job.name, each.cast.colour) == (name, colour))
        return found


@dataclass
class Stream:
    """One job, and everything that is known of it."""

    performance: Performance
    cast: Cast
    span: Item
    summary: Summary

    @property
    def attributes(self) -> Item:
        """The span's attributes."""
        attributes: Item = self.span["attributes"]
        return attributes

    @property
    def call(self) -> dict[str, Any]:
        """What the application saw."""
        call: dict[str, Any] = self.performance.ended.calls[self.cast.colour][self.cast.job.name]
        return call

    @property
    def truth(self) -> Truth:
        """What the provider said, as far as it arrived."""
        job, sent = self.cast.job, self.performance.stage.sent(self.cast)
        if job.is_raw:
            return job.read(sent)
        taken = self.call["items"] + job.hidden
        if not job.is_cut:
            assert taken == sum(event.data is not None for event in sent), "the application has what was sent"
        assert taken <= len(sent)
        return job.read(sent[:taken])


def key_of(attributes: Mapping[str, Any]) -> Key:
    """Return what tells the jobs apart."""
    return attributes.get("gen_ai.request.model"), attributes["server.port"]


def present(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is there."""
    return {name: value for name, value in values.items() if value is not None}


# --- spans -----------------------------------------------------------------------------------------------------------


def check_span(stream: Stream) -> None:
    """The span is that of the summary, to the nanosecond and the last digit."""
    span, summary, attributes = stream.span, stream.summary, stream.attributes
    model = summary["model"]
    assert span["name"] == (f"{summary['operation']} {model}" if model else summary["operation"])
    assert (span["kind"], span["parent_id"], span["dropped_events"]) == ("CLIENT", "", 0)
    assert (span["trace_id"], span["span_id"]) == (summary["trace_id"], summary["span_id"])
    assert span["start"] == summary["started_unix_ns"]
    assert span["end"] - span["start"] == round(summary["duration"] * 1e9)
    assert span["status"] == ("UNSET" if summary["error_type"] is None else "ERROR")
    fields = SUMMARIZED | (SUMMARIZED_OF_STREAMS if summary["is_stream"] else {})
    expected = {name: summary[field] for name, field in fields.items()}
    expected |= {name: summary[field] or None for name, field in IF_ANY.items()}
    expected["gen_ai.response.finish_reasons"] = summary["finish_reasons"] or None
    expected |= {f"gen_ai.usage.{suffix}": count for suffix, count in summary["usage"].items()}
    told = {name: attributes.get(name) for name in expected}
    told |= {name: value for name, value in attributes.items() if name.startswith(("streamspan.", "gen_ai.usage."))}
    assert told == expected


def check_truth(stream: Stream) -> None:
    """The span is what the job, the provider and the application's own eyes say."""
    job, truth, attributes = stream.cast.job, stream.truth, stream.attributes
    status = stream.performance.stage.status(stream.cast)
    finish = (truth.finish or {0: "error"}) if status == 200 else {}  # no answer, no choice
    expected = {
        "gen_ai.operation.name": job.operation,
        "gen_ai.request.stream": True,
        "server.address": "127.0.0.1",
        "streamspan.layer": "openai",
        "streamspan.outcome": job.outcome,
        "error.type": job.error,
        "streamspan.cancel.exception": "__main__.AppError" if job.act == "raise" else None,
        "gen_ai.response.id": truth.id or None,
        "gen_ai.response.model": truth.model or None,
        "gen_ai.response.finish_reasons": [finish[index] for index in sorted(finish)] or None,
        "streamspan.chunk.count": truth.chunks - job.hidden,
        "streamspan.output.characters": truth.characters,
        "streamspan.reasoning.characters": len(truth.reasoning),
        "streamspan.tool_call.count": len(truth.tools) or None,
        "http.request.resend_count": stream.performance.stage.resends(stream.cast) or None,
        "http.response.status_code": status,
    }
    assert {name: attributes.get(name) for name in expected} == expected
    assert attributes.get("streamspan.cancel.reason") in (job.reasons or (None,))
    usage = {
        name.removeprefix("gen_ai.usage."): n for name, n in attributes.items() if name.startswith("gen_ai.usage.")
    }
    assert usage == truth.usage
    if not job.is_raw:
        assert stream.call["items"] == attributes["streamspan.chunk.count"]


def check_content(stream: Stream) -> None:
    """The question is the caller's; the answer is what arrived, joined, also of a stream that was cut short."""
    truth, attributes = stream.truth, stream.attributes
    arguments = stream.cast.plan["arguments"]
    if any(name in arguments for name in ("messages", "input", "prompt")):
        assert "gen_ai.input.messages" in attributes
    messages = json.loads(attributes.get("gen_ai.output.messages", "[]"))
    text = truth.text + truth.refusal
    if len(messages) > 1:  # the truth's text is in order of arrival, the messages are by choice
        assert sorted(said(messages, "text")) == sorted(text)
    else:
        assert said(messages, "text") == text
    assert said(messages, "reasoning") == truth.reasoning
    assert called(messages) == truth.calls


# --- events and logs -------------------------------------------------------------------------------------------------


def check_events(stream: Stream) -> None:
    """The events of the span add up to its totals, and lie in it."""
    attributes, events = stream.attributes, stream.span["events"]
    by_name: dict[str, list[Item]] = defaultdict(list)
    for event in events:
        by_name[event["name"]].append(event["attributes"])
    chunks = by_name.pop("streamspan.chunk", [])
    assert sum(chunk["streamspan.chunk.count"] for chunk in chunks) == attributes["streamspan.chunk.count"]
    for name in ("streamspan.output.characters", "streamspan.reasoning.characters"):
        assert sum(chunk.get(name, 0) for chunk in chunks) == attributes[name]
    assert len(chunks) <= 32
    outcome = attributes["streamspan.outcome"]
    expected = {
        "streamspan.first_token": int("streamspan.time_to_first_token" in attributes),
        "streamspan.cancelled": int(outcome == "cancelled"),
        "streamspan.stall": attributes.get("streamspan.stall.count", 0),
        "streamspan.retry": attributes.get("http.request.resend_count", 0),
        "exception": int(outcome in {"error", "timeout"}),
    }
    assert {name: len(found) for name, found in by_name.items() if found} == {n: c for n, c in expected.items() if c}
    times = [event["time"] for event in events]
    assert times == sorted(times)
    assert all(stream.span["start"] <= at <= stream.span["end"] for at in times)


def check_logs(streams: Iterable[Stream], logs: Iterable[Item]) -> None:
    """Each event of each span is one log event, each span has one with its details, and there are no others."""
    by_span: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for record in logs:
        by_span[record["trace_id"], record["span_id"]].append(record)
    for stream in streams:
        mine = by_span.pop((stream.span["trace_id"], stream.span["span_id"]))
        (details,) = (record for record in mine if record["event_name"] == DETAILS)
        told = [(r["event_name"], r["time"], r["attributes"], r["severity"]) for r in mine if r is not details]
        events = [(LOG_NAMES.get(e["name"], e["name"]), e["time"], e["attributes"]) for e in stream.span["events"]]
        severities = ["WARN" if name == LOG_NAMES["exception"] else "INFO" for name, _, _ in events]
        assert told == [(*event, severity) for event, severity in zip(events, severities, strict=True)]
        assert {n: v for n, v in details["attributes"].items() if n not in CONTENT} == {
            n: v for n, v in stream.attributes.items() if n not in CONTENT
        }
        assert {n: v for n, v in details["attributes"].items() if n in CONTENT} == {
            n: json.loads(v) for n, v in stream.attributes.items() if n in CONTENT
        }
    assert by_span == {}


# --- metrics ---------------------------------------------------------------------------------------------------------


def check_metrics(streams: Iterable[Stream], metrics: Iterable[Item]) -> None:
    """Each histogram has as many values as there are streams that should have one, and adds up to theirs."""
    counts: dict[str, Counter[Key]] = defaultdict(Counter)
    sums: dict[str, dict[Key, float]] = defaultdict(lambda: defaultdict(float))
    for metric in metrics:
        series = [json.dumps(point["attributes"], sort_keys=True) for point in metric["points"]]
        assert len(series) == len(set(series)), metric["name"]
        for point in metric["points"]:
            key = key_of(point["attributes"])
            counts[metric["name"]][key] += point.get("count", 0)
            sums[metric["name"]][key] += point.get("sum", point.get("value"))
    expected_counts: dict[str, Counter[Key]] = defaultdict(Counter)
    expected_sums: dict[str, dict[Key, float]] = defaultdict(lambda: defaultdict(float))
    for stream in streams:
        key = key_of(stream.attributes)
        for name, values in _due(stream).items():
            expected_counts[name][key] += len(values)
            expected_sums[name][key] += sum(values)
        for name, value in _counted(stream).items():
            expected_sums[name][key] += value
    gaps = counts.pop("gen_ai.client.operation.time_per_output_chunk")
    sums.pop("gen_ai.client.operation.time_per_output_chunk")
    assert gaps == Counter({key_of(s.attributes): max(0, s.summary["chunk_count"] - 1) for s in streams})
    assert {name: +found for name, found in counts.items() if +found} == {
        name: +found for name, found in expected_counts.items() if +found
    }
    assert set(sums) == set(expected_sums)
    for name, found in sums.items():
        assert set(found) <= set(expected_sums[name]), name
        for key, value in expected_sums[name].items():
            assert abs(found[key] - value) <= 1e-9 * max(1, abs(value)), (name, key)


def _due(stream: Stream) -> dict[str, list[Any]]:
    """Return the values that each histogram should have of a stream: as the application, and the provider, have them."""
    summary = stream.summary
    usage = stream.truth.usage if stream.cast.job.is_stream else summary["usage"]
    values = {
        "gen_ai.client.operation.duration": [summary["duration"]],
        "gen_ai.client.token.usage": [usage[name] for name in ("input_tokens", "output_tokens") if name in usage],
    }
    if not summary["is_stream"]:
        return values
    chunks = stream.truth.chunks - stream.cast.job.hidden
    own = ("time_to_first_token", "time_to_first_answer", "output_rate", "character_rate", "consumer_time")
    found = {f"streamspan.{name}": summary[name] for name in own}
    found |= {"streamspan.wait.max": summary["wait_max"], "streamspan.chunks": chunks}
    found["gen_ai.client.operation.time_to_first_chunk"] = summary["time_to_first_chunk"]
    return values | {name: [value] for name, value in found.items() if value is not None}


def _counted(stream: Stream) -> dict[str, float]:
    """Return what the counters should have of a stream; `active` is back to zero."""
    if not stream.summary["is_stream"]:
        return {}
    counted: dict[str, float] = {"streamspan.active": 0}
    if stream.summary["stall_count"]:
        counted["streamspan.stalls"] = stream.summary["stall_count"]
    if resends := stream.performance.stage.resends(stream.cast):
        counted["streamspan.retries"] = resends
    return counted


# --- everything ------------------------------------------------------------------------------------------------------


def shape(performance: Performance) -> dict[tuple[str, str], Any]:
    """Return what does not differ from run to run: two ways to the same end must agree in it."""
    whole = (stream for stream in performance.streams if not stream.cast.job.is_cut)
    return {(stream.cast.job.name, stream.cast.colour): shape_of(stream.span) for stream in whole}


def shape_of(span: Item) -> tuple[Any, ...]:
    """Return what does not differ from run to run of a span."""
    varying = ("time_to", "_time", ".wait.", "_rate", "server.port", "stall", "request_id")
    attributes = {n: v for n, v in span["attributes"].items() if not any(part in n for part in varying)}
    names = [event["name"] for event in span["events"] if event["name"] != "streamspan.stall"]
    return span["name"], span["kind"], span["status"], attributes, names
