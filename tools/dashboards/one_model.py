"""The dashboard *One model / one provider*: everything that is measured of one model, or of all models of a provider."""

from __future__ import annotations

from tools.dashboards import queries as q
from tools.dashboards.grafana import (
    Json,
    Query,
    Row,
    dashboard,
    datasource_variable,
    graph,
    heatmap,
    link,
    number,
    variable,
)
from tools.dashboards.overview import ONE_MODEL_UID
from tools.dashboards.panels import ACTIVE, BY_OUTCOME, CALLS, FIRST_TOKEN_P95, quantiles

_SERVICE = ("service_name",)
_SELECTED = 'service_name=~"$service"'

_NUMBERS = (
    ACTIVE,
    CALLS,
    number(
        "Completed",
        "Share of calls that came to their end marker.",
        Query(q.share("completed", window=q.RANGE), shape="value"),
        unit="percentunit",
    ),
    number(
        "First token, p50",
        "Every other stream had its first output within this time.",
        Query(q.quantile(0.5, q.FIRST_TOKEN, window=q.RANGE), shape="value"),
        unit="s",
    ),
    FIRST_TOKEN_P95,
    number(
        "Output rate, p50",
        "Tokens per second while output comes.",
        Query(q.quantile(0.5, q.OUTPUT_RATE, window=q.RANGE), shape="value"),
        unit="tokens/s",
    ),
)

_ENDINGS = (
    BY_OUTCOME,
    graph(
        "Failed, cancelled, truncated",
        "Shares of all calls; truncated ones are among the failed.",
        Query(q.share(q.FAILED), "failed"),
        Query(q.share("cancelled"), "cancelled"),
        Query(q.share("truncated"), "truncated"),
        unit="percentunit",
    ),
    graph(
        "Error types",
        "What failed calls say, per minute.",
        Query(q.per_minute(f"{q.CALLS}_count", (q.ERROR_TYPE,), f'{q.ERROR_TYPE}!=""'), "{{error_type}}"),
        unit="cpm",
        stacked=True,
    ),
)

_WAITING = (
    heatmap(
        "Time to first token, spread",
        "Where the waits lie. The points are traces.",
        Query(q.rate(f"{q.FIRST_TOKEN}_bucket", ("le",)), exemplar=True),
    ),
    graph(
        "Time to first token",
        "The wait for the first output of any kind.",
        *quantiles(q.FIRST_TOKEN, (), ""),
        unit="s",
        width=12,
    ),
    graph(
        "Time to first answer",
        "The wait for output that is not reasoning.",
        *quantiles(q.FIRST_ANSWER, (), ""),
        unit="s",
    ),
    graph(
        "Time to first chunk",
        "The wait for anything at all from the provider; what lies between this and the first token is its preface.",
        *quantiles(q.FIRST_CHUNK, (), ""),
        unit="s",
    ),
    graph(
        "Retries",
        "Requests that were sent again, per minute.",
        Query(q.per_minute(q.RETRIES, _SERVICE), "{{service_name}}"),
        unit="cpm",
        stacked=True,
    ),
)

_FLOW = (
    graph(
        "Duration by outcome",
        "19 of 20 calls with this outcome were over within this time.",
        Query(q.quantile(0.95, q.CALLS, (q.OUTCOME,)), "p95 {{streamspan_outcome}}", exemplar=True),
        unit="s",
    ),
    graph(
        "Time between chunks",
        "How evenly output comes.",
        *quantiles(q.GAPS, (), ""),
        unit="s",
    ),
    graph(
        "Longest wait of a stream",
        "The longest pause in each stream after its first chunk.",
        *quantiles(q.WAIT_MAX, (), ""),
        unit="s",
    ),
    graph(
        "Stalls",
        "Waits of STREAMSPAN_STALL_SECONDS and more, per minute.",
        Query(q.per_minute(q.STALLS, _SERVICE), "{{service_name}}"),
        unit="cpm",
        stacked=True,
    ),
    graph(
        "Output rate",
        "Tokens per second while output comes: the median, and the slow end.",
        Query(q.quantile(0.5, q.OUTPUT_RATE), "p50", exemplar=True),
        Query(q.quantile(0.05, q.OUTPUT_RATE), "p5", exemplar=True),
        unit="tokens/s",
    ),
    graph(
        "Character rate",
        "Characters per second, for providers that report no tokens too.",
        Query(q.quantile(0.5, q.CHARACTER_RATE), "p50", exemplar=True),
        Query(q.quantile(0.05, q.CHARACTER_RATE), "p5", exemplar=True),
        unit="short",
    ),
)

_CALLERS = (
    graph(
        "Calls by service",
        "Who calls, per minute.",
        Query(q.per_minute(f"{q.CALLS}_count", _SERVICE), "{{service_name}}"),
        unit="cpm",
        stacked=True,
    ),
    graph(
        "Active streams, by service",
        "Streams that are open, by service.",
        Query(q.total(q.series(q.ACTIVE), _SERVICE), "{{service_name}}"),
    ),
    graph(
        "Consumer share",
        "Share of the calls' time that was spent in the application's own loop.",
        Query(q.consumer_share(_SERVICE), "{{service_name}}"),
        unit="percentunit",
    ),
    graph(
        "Tokens",
        "Tokens per minute, as the provider reported them.",
        Query(q.tokens(), "{{gen_ai_token_type}}"),
        stacked=True,
        width=12,
    ),
    graph(
        "Chunks per stream",
        "The mean, by outcome: how far streams get that do not complete.",
        Query(q.mean(q.CHUNKS, (q.OUTCOME,)), "{{streamspan_outcome}}"),
        width=12,
    ),
)


def one_model() -> Json:
    """Return the dashboard."""
    selected = f'{_SELECTED},gen_ai_provider_name=~"$provider"'
    return dashboard(
        ONE_MODEL_UID,
        "One model / one provider",
        "One model, or all models of one provider, in detail. From the metrics of streamspan.",
        rows=(
            Row("At a glance", _NUMBERS),
            Row("Endings", _ENDINGS),
            Row("Waiting", _WAITING),
            Row("Flow", _FLOW),
            Row("Callers and cost", _CALLERS),
        ),
        variables=[
            datasource_variable(),
            variable("service", "Service", q.values("service_name"), is_many=True),
            variable("provider", "Provider", q.values("gen_ai_provider_name", _SELECTED), is_many=False, has_all=False),
            variable("model", "Model", q.values("gen_ai_request_model", selected), is_many=False),
        ],
        links=[link("More of streamspan", tag="streamspan")],
    )
