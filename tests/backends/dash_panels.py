"""What every panel of the dashboards has to show, as a function of the sessions: one vector for each of its queries."""

from __future__ import annotations

from collections.abc import Sequence

from backends.dash_prometheus import Vector
from backends.dash_truth import (
    MODEL,
    RATE_INTERVAL,
    Expectation,
    Truth,
    buckets,
    mean,
    per_minute,
    quantile,
    scaled,
    summed,
)
from streamspan import _semconv as names
from streamspan._semconv import Metric

FAILED = "error|timeout|truncated"
OUTCOME = ("streamspan_outcome",)
SERVICE = ("service_name",)
_THREE = (0.5, 0.95, 0.99)


def _quantiles(metric: Metric, field: str, by: Sequence[str] = (), qs: Sequence[float] = _THREE) -> Expectation:
    return lambda truth: [quantile(q, metric, truth.values(field), by) for q in qs]


def _rates(metric: Metric, field: str, by: Sequence[str] = ()) -> Expectation:
    return _quantiles(metric, field, by, (0.5, 0.05))


def _none_open(by: Sequence[str] = ()) -> Expectation:
    """Expect zeros for every model that has streamed: at the end no stream is open."""
    return lambda truth: [scaled(summed(((stream, 1) for stream in truth.streams), by), 0)]


def _stalls_per_stream(truth: Truth) -> Vector:
    return {frozenset(): sum(stream["stall_count"] for stream in truth.streams) / len(truth.streams)}


def _models(truth: Truth) -> list[Vector]:
    tokens = names.METRIC_TIME_TO_FIRST_TOKEN
    return [
        truth.count(MODEL),
        truth.share(FAILED, MODEL),
        truth.share("cancelled", MODEL),
        *(quantile(q, tokens, truth.values("time_to_first_token"), MODEL) for q in _THREE),
        quantile(0.95, names.METRIC_TIME_TO_FIRST_ANSWER, truth.values("time_to_first_answer"), MODEL),
        quantile(0.95, names.METRIC_WAIT_MAX, truth.values("wait_max"), MODEL),
        quantile(0.5, names.METRIC_OUTPUT_RATE, truth.values("output_rate"), MODEL),
    ]


_FIRST_TOKEN = names.METRIC_TIME_TO_FIRST_TOKEN
_SPREAD: Expectation = lambda truth: [buckets(_FIRST_TOKEN, truth.values("time_to_first_token"))]  # noqa: E731
_BOTH: dict[str, Expectation] = {
    "Active streams": _none_open(),
    "Calls": lambda truth: [truth.count()],
    "First token, p95": _quantiles(_FIRST_TOKEN, "time_to_first_token", qs=(0.95,)),
    "Calls by outcome": lambda truth: [per_minute(truth.count(OUTCOME))],
    "Time to first token, spread": _SPREAD,
    "Consumer share": lambda truth: [truth.consumer_share()],
    "Tokens": lambda truth: [per_minute(truth.tokens())],
}

OVERVIEW: dict[str, Expectation] = {
    **_BOTH,
    "Failed": lambda truth: [truth.share(FAILED)],
    "Cancelled": lambda truth: [truth.share("cancelled")],
    "Stalls per stream": lambda truth: [_stalls_per_stream(truth)],
    "Cancelled and truncated": lambda truth: [truth.share("cancelled"), truth.share("truncated")],
    "Failed by provider": lambda truth: [truth.share(FAILED, MODEL[:1])],
    "Error types": lambda truth: [per_minute(truth.count((MODEL[0], "error_type"), has_error=True))],
    "Retries": lambda truth: [per_minute(truth.counted("resend_count", MODEL))],
    "Time to first token": _quantiles(_FIRST_TOKEN, "time_to_first_token", MODEL),
    "Time to first answer": _quantiles(names.METRIC_TIME_TO_FIRST_ANSWER, "time_to_first_answer", MODEL),
    "Longest wait of a stream": _quantiles(names.METRIC_WAIT_MAX, "wait_max", MODEL),
    "Output rate": _rates(names.METRIC_OUTPUT_RATE, "output_rate", MODEL),
    "Stalls": lambda truth: [per_minute(truth.counted("stall_count", MODEL))],
    "Active streams, by model": _none_open(MODEL),
    "Models": _models,
}

ONE_MODEL: dict[str, Expectation] = {
    **_BOTH,
    "Completed": lambda truth: [truth.share("completed")],
    "First token, p50": _quantiles(_FIRST_TOKEN, "time_to_first_token", qs=(0.5,)),
    "Output rate, p50": _quantiles(names.METRIC_OUTPUT_RATE, "output_rate", qs=(0.5,)),
    "Failed, cancelled, truncated": lambda truth: [truth.share(each) for each in (FAILED, "cancelled", "truncated")],
    "Error types": lambda truth: [per_minute(truth.count(("error_type",), has_error=True))],
    "Time to first token": _quantiles(_FIRST_TOKEN, "time_to_first_token"),
    "Time to first answer": _quantiles(names.METRIC_TIME_TO_FIRST_ANSWER, "time_to_first_answer"),
    "Time to first chunk": _quantiles(names.METRIC_TIME_TO_FIRST_CHUNK, "time_to_first_chunk"),
    "Retries": lambda truth: [per_minute(truth.counted("resend_count", SERVICE))],
    "Duration by outcome": lambda truth: [quantile(0.95, names.METRIC_DURATION, truth.durations(), OUTCOME)],
    "Longest wait of a stream": _quantiles(names.METRIC_WAIT_MAX, "wait_max"),
    "Stalls": lambda truth: [per_minute(truth.counted("stall_count", SERVICE))],
    "Output rate": _rates(names.METRIC_OUTPUT_RATE, "output_rate"),
    "Character rate": _rates(names.METRIC_CHARACTER_RATE, "character_rate"),
    "Calls by service": lambda truth: [per_minute(truth.count(SERVICE))],
    "Active streams, by service": _none_open(SERVICE),
    "Chunks per stream": lambda truth: [mean(truth.values("chunk_count"), OUTCOME)],
}

# What sessions do not tell one by one: how far it may be from anything.
BOUNDED = {"Time between chunks": (0.0, names.METRIC_TIME_PER_OUTPUT_CHUNK.buckets[-1])}

assert RATE_INTERVAL > 60, "shorter than the applications run"
