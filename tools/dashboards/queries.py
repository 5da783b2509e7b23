"""The PromQL of the panels: what is asked of the metrics, by the names that Prometheus has for them.

Knows metric names and labels; refuses to know how an answer is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence

RATE = "$__rate_interval"
"""A window for what changes over time: at least four exports of the application."""
RANGE = "$__range"
"""The whole time that the dashboard shows."""

OUTCOME = "streamspan_outcome"
ERROR_TYPE = "error_type"
BY_MODEL = ("gen_ai_provider_name", "gen_ai_request_model")

CALLS = "gen_ai_client_operation_duration_seconds"
FIRST_CHUNK = "gen_ai_client_operation_time_to_first_chunk_seconds"
GAPS = "gen_ai_client_operation_time_per_output_chunk_seconds"
TOKENS = "gen_ai_client_token_usage"
FIRST_TOKEN = "streamspan_time_to_first_token_seconds"  # noqa: S105 - a metric
FIRST_ANSWER = "streamspan_time_to_first_answer_seconds"
OUTPUT_RATE = "streamspan_output_rate_per_second"
CHARACTER_RATE = "streamspan_character_rate_per_second"
WAIT_MAX = "streamspan_wait_max_seconds"
CONSUMER_TIME = "streamspan_consumer_time_seconds"
CHUNKS = "streamspan_chunks"
STALLS = "streamspan_stalls_total"
RETRIES = "streamspan_retries_total"
ACTIVE = "streamspan_active"

FAILED = "error|timeout|truncated"

_SELECTED = 'service_name=~"$service",gen_ai_provider_name=~"$provider",gen_ai_request_model=~"$model"'
_RELEASED, _LATEST = "gen_ai_client_operation_", "gen_ai_client_inference_"


def series(metric: str, matchers: str = "") -> str:
    """Return a selector of a metric's series, of the services, providers and models that are chosen."""
    return f"{metric}{{{_SELECTED}{',' if matchers else ''}{matchers}}}"


def total(inner: str, by: Sequence[str] = ()) -> str:
    """Return a sum, per label if there are any."""
    return f"sum by ({', '.join(by)}) ({inner})" if by else f"sum({inner})"


def rate(metric: str, by: Sequence[str] = (), matchers: str = "", window: str = RATE) -> str:
    """Return how many per second."""
    return total(f"rate({series(metric, matchers)}[{window}])", by)


def per_minute(metric: str, by: Sequence[str] = (), matchers: str = "") -> str:
    """Return how many per minute: streams are few compared with requests."""
    return f"60 * {rate(metric, by, matchers)}"


def increase(metric: str, by: Sequence[str] = (), matchers: str = "", window: str = RANGE) -> str:
    """Return how many in a window."""
    return total(f"increase({series(metric, matchers)}[{window}])", by)


def quantile(q: float, metric: str, by: Sequence[str] = (), matchers: str = "", window: str = RATE) -> str:
    """Return the quantile of a histogram."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', ('le', *by), matchers, window)})"


def ratio(part: str, whole: str) -> str:
    """Return the share of one thing in another, 0 where there is none of it: a label nobody has seen has no series."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def share(outcomes: str, by: Sequence[str] = (), window: str = RATE) -> str:
    """Return the share of calls that ended in one of the outcomes."""
    count = f"{CALLS}_count"
    return ratio(rate(count, by, f'{OUTCOME}=~"{outcomes}"', window), rate(count, by, window=window))


def mean(metric: str, by: Sequence[str] = (), window: str = RATE) -> str:
    """Return the mean of a histogram's values."""
    return f"{rate(f'{metric}_sum', by, window=window)} / ({rate(f'{metric}_count', by, window=window)} > 0)"


def consumer_share(by: Sequence[str] = ()) -> str:
    """Return the share of the calls' time that was spent in the application's own code."""
    return ratio(rate(f"{CONSUMER_TIME}_sum", by), rate(f"{CALLS}_sum", by))


def stalls_per_call(by: Sequence[str] = (), window: str = RATE) -> str:
    """Return stalls per stream."""
    return ratio(rate(STALLS, by, window=window), rate(f"{CHUNKS}_count", by, window=window))


def in_both_namings(expr: str) -> str:
    """Return a query that finds the metrics of either `STREAMSPAN_SEMCONV`; with `both` they count once."""
    if _RELEASED not in expr:
        return expr
    return f"({expr}) or ({expr.replace(_RELEASED, _LATEST)})"


def tokens(by: Sequence[str] = ()) -> str:
    """Return tokens per minute by type; the development conventions have a metric for each type."""
    label = "gen_ai_token_type"
    released = rate(f"{TOKENS}_sum", (label, *by))
    latest = (
        f'label_replace({rate(f"{_LATEST}operation_{kind}_tokens_sum", by)}, "{label}", "{kind}", "", "")'
        for kind in ("input", "output")
    )
    return f"60 * ({' or '.join((released, *latest))})"


def values(label: str, matchers: str = "") -> str:
    """Return the values of a label that calls have, for a variable."""
    names = f'__name__=~"(?:{_RELEASED}|{_LATEST})duration_seconds_count"'
    return f"label_values({{{names}{',' if matchers else ''}{matchers}}}, {label})"
