"""What sessions imply for a query: the same sums, shares and quantiles, computed from what `on_session_end` told.

Evaluated at the time of an application's last export, `increase` is exactly what was counted since its start, because
Prometheus starts every series with a zero at the time that OTLP names. So nothing here is about right; it is equal.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from math import inf
from typing import Any, TypeAlias

from backends.dash_prometheus import Labels, Vector
from streamspan._semconv import Metric

RATE_INTERVAL = 300
RANGE = 600

Session: TypeAlias = Mapping[str, Any]
Values: TypeAlias = Iterable[tuple[Session, float]]

_FIELDS = {
    "service_name": "service",
    "gen_ai_provider_name": "provider",
    "gen_ai_request_model": "model",
    "streamspan_outcome": "outcome",
    "error_type": "error_type",
}
MODEL = ("gen_ai_provider_name", "gen_ai_request_model")


def series_name(metric: Metric) -> str:
    """Return the name that Prometheus gives to a metric, without the suffix of its parts."""
    suffix = {"s": "_seconds", "{token}/s": "_per_second", "{character}/s": "_per_second"}.get(metric.unit, "")
    return metric.name.replace(".", "_") + suffix + ("_total" if metric.kind == "counter" else "")


class Truth:
    """The sessions that a dashboard has chosen."""

    def __init__(self, service: str, sessions: Iterable[Session]) -> None:
        self.calls = [{**session, "service": service} for session in sessions]
        self.streams = [session for session in self.calls if session["is_stream"]]

    def only(self, **fields: str) -> Truth:
        """Return the sessions with these fields."""
        chosen = [call for call in self.calls if all(call[name] == value for name, value in fields.items())]
        return Truth(chosen[0]["service"], chosen)

    def values(self, field: str) -> list[tuple[Session, float]]:
        """Return what a histogram of streams takes."""
        return [(stream, stream[field]) for stream in self.streams if stream[field] is not None]

    def count(self, by: Sequence[str] = (), *, outcomes: str = "", has_error: bool = False) -> Vector:
        """Return the number of calls."""
        wanted = outcomes.split("|") if outcomes else None
        return summed(
            ((call, 1) for call in self.calls if wanted is None or call["outcome"] in wanted), by, has_error=has_error
        )

    def share(self, outcomes: str, by: Sequence[str] = ()) -> Vector:
        """Return the share of calls with these outcomes."""
        part = self.count(by, outcomes=outcomes)
        return {key: part.get(key, 0) / whole for key, whole in self.count(by).items()}

    def counted(self, field: str, by: Sequence[str] = ()) -> Vector:
        """Return the sum of a counter, which exists from the first event on."""
        return summed(((stream, stream[field]) for stream in self.streams if stream[field]), by)

    def tokens(self) -> Vector:
        """Return the tokens by type."""
        return {
            frozenset({("gen_ai_token_type", kind)}): sum(call["usage"].get(f"{kind}_tokens", 0) for call in self.calls)
            for kind in ("input", "output")
        }

    def consumer_share(self) -> Vector:
        """Return the share of time in the application's code."""
        own = sum(stream["consumer_time"] for stream in self.streams)
        whole = summed(((call, call["duration"]) for call in self.calls), ("service_name",))
        return {key: own / value for key, value in whole.items()}

    def durations(self) -> list[tuple[Session, float]]:
        """Return the durations of all calls."""
        return [(call, call["duration"]) for call in self.calls]


def grouped(values: Values, by: Sequence[str], *, has_error: bool = False) -> dict[Labels, list[float]]:
    """Return values by labels; a label without a value is none."""
    found: dict[Labels, list[float]] = defaultdict(list)
    for session, value in values:
        if not has_error or session["error_type"]:
            named = ((label, session[_FIELDS[label]]) for label in by)
            found[frozenset((label, text) for label, text in named if text)].append(value)
    return found


def summed(values: Values, by: Sequence[str] = (), *, has_error: bool = False) -> Vector:
    """Return sums by labels."""
    return {key: float(sum(each)) for key, each in grouped(values, by, has_error=has_error).items()}


def mean(values: Values, by: Sequence[str] = ()) -> Vector:
    """Return means by labels."""
    return {key: sum(each) / len(each) for key, each in grouped(values, by).items()}


def scaled(vector: Vector, factor: float) -> Vector:
    """Return every value times a factor."""
    return {key: value * factor for key, value in vector.items()}


def per_minute(vector: Vector) -> Vector:
    """Return a number of events as a rate."""
    return scaled(vector, 60 / RATE_INTERVAL)


def quantile(q: float, metric: Metric, values: Values, by: Sequence[str] = ()) -> Vector:
    """Return what `histogram_quantile` makes of values in the buckets of a metric."""
    return {key: _quantile(q, metric.buckets, each) for key, each in grouped(values, by).items()}


def _quantile(q: float, bounds: Sequence[float], values: Sequence[float]) -> float:
    rank, seen = q * len(values), 0
    for lower, upper in pairwise((0.0, *bounds, inf)):
        inside = sum((value > lower or (lower == 0 and value == 0)) and value <= upper for value in values)
        if inside and seen + inside >= rank:
            return bounds[-1] if upper == inf else lower + (upper - lower) * (rank - seen) / inside
        seen += inside
    raise AssertionError("no values")


def buckets(metric: Metric, values: Values) -> Vector:
    """Return the rate of each bucket, cumulative as Prometheus has them."""
    plain = [value for _, value in values]
    named = ((f"{bound:g}" if bound != inf else "+Inf", bound) for bound in (*metric.buckets, inf))
    return {frozenset({("le", name)}): sum(value <= bound for value in plain) / RATE_INTERVAL for name, bound in named}


def differences(found: Vector, expected: Vector, rel: float = 1e-6) -> list[str]:
    """Return what differs, one line each; nothing at all where something is expected is a difference too."""
    keys = Counter([*found, *expected])
    return [
        f"{dict(key)}: found {found.get(key)}, expected {expected.get(key)}"
        for key in keys
        if key not in found or key not in expected or not _close(found[key], expected[key], rel)
    ] + ([] if found else ["the query returns nothing"])


def _close(one: float, other: float, rel: float) -> bool:
    return abs(one - other) <= rel * max(abs(one), abs(other), 1e-9)


Expectation: TypeAlias = Callable[[Truth], list[Vector]]
