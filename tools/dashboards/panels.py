"""The panels that both dashboards have.

Knows how an answer is drawn; refuses to know how panels are laid out.
"""

from __future__ import annotations

from collections.abc import Sequence

from tools.dashboards import queries as q
from tools.dashboards.grafana import Query, graph, number

MODEL = "{{gen_ai_provider_name}} {{gen_ai_request_model}}"
QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


def quantiles(metric: str, by: Sequence[str] = q.BY_MODEL, legend: str = MODEL) -> list[Query]:
    """Return the median and the slow tail of a histogram, each with the traces behind it."""
    return [
        Query(q.quantile(value, metric, by), f"{name} {legend}".strip(), exemplar=True) for name, value in QUANTILES
    ]


ACTIVE = number(
    "Active streams",
    "Streams that are open now; it returns to zero when nothing is going on.",
    Query(q.total(q.series(q.ACTIVE)), shape="value"),
)
CALLS = number(
    "Calls",
    "Calls that ended in the chosen time, streamed or not.",
    Query(q.increase(f"{q.CALLS}_count"), shape="value"),
    decimals=0,  # `increase` extrapolates
)
FIRST_TOKEN_P95 = number(
    "First token, p95",
    "19 of 20 streams had their first output within this time.",
    Query(q.quantile(0.95, q.FIRST_TOKEN, window=q.RANGE), shape="value"),
    unit="s",
    red_from=2.5,
)
BY_OUTCOME = graph(
    "Calls by outcome",
    "How calls end, per minute.",
    Query(q.per_minute(f"{q.CALLS}_count", (q.OUTCOME,)), "{{streamspan_outcome}}"),
    unit="cpm",
    stacked=True,
)
