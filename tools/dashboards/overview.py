"""The dashboard *Streams overview*: how all streams of all services are doing, and where to look next."""

from __future__ import annotations

from tools.dashboards import queries as q
from tools.dashboards.grafana import (
    Json,
    Panel,
    Query,
    Row,
    dashboard,
    data_link,
    datasource_variable,
    graph,
    heatmap,
    link,
    number,
    variable,
)
from tools.dashboards.panels import ACTIVE, BY_OUTCOME, CALLS, FIRST_TOKEN_P95, MODEL, QUANTILES, quantiles

UID = "streamspan-overview"
ONE_MODEL_UID = "streamspan-one-model"
_SELECTED = 'service_name=~"$service"'


def _this_model(provider: str, model: str) -> Json:
    """Return the link from a value to the dashboard of its model, with the same services and time."""
    url = (
        f"/d/{ONE_MODEL_UID}?${{datasource:queryparam}}&${{service:queryparam}}&${{__url_time_range}}"
        f"&var-provider=${{{provider}}}&var-model=${{{model}}}"
    )
    return data_link("Show this model", url)


_LEADS_TO = (_this_model("__field.labels.gen_ai_provider_name", "__field.labels.gen_ai_request_model"),)


_NUMBERS = (
    ACTIVE,
    CALLS,
    number(
        "Failed",
        "Share of calls that ended in an error, a timeout, or without their end marker.",
        Query(q.share(q.FAILED, window=q.RANGE), shape="value"),
        unit="percentunit",
        red_from=0.05,
    ),
    number(
        "Cancelled",
        "Share of calls that the application itself stopped. A user who gives up looks like this.",
        Query(q.share("cancelled", window=q.RANGE), shape="value"),
        unit="percentunit",
    ),
    FIRST_TOKEN_P95,
    number(
        "Stalls per stream",
        "Waits of STREAMSPAN_STALL_SECONDS and more after the first chunk, per stream.",
        Query(q.stalls_per_call(window=q.RANGE), shape="value"),
        red_from=0.05,
    ),
)

_ENDINGS = (
    BY_OUTCOME,
    graph(
        "Cancelled and truncated",
        "Share of calls that the application stopped, and of those whose stream ended without its end marker: half an answer that looks like a whole one.",
        Query(q.share("cancelled"), "cancelled"),
        Query(q.share("truncated"), "truncated"),
        unit="percentunit",
    ),
    graph(
        "Failed by provider",
        "Share of calls with an error, a timeout or a cut stream, by provider.",
        Query(q.share(q.FAILED, q.BY_MODEL[:1]), "{{gen_ai_provider_name}}"),
        unit="percentunit",
    ),
    graph(
        "Error types",
        "What failed calls say, per minute: the provider's own code, else the HTTP status, else the exception.",
        Query(
            q.per_minute(f"{q.CALLS}_count", (q.BY_MODEL[0], q.ERROR_TYPE), f'{q.ERROR_TYPE}!=""'),
            "{{gen_ai_provider_name}} {{error_type}}",
        ),
        unit="cpm",
        stacked=True,
        width=12,
    ),
    graph(
        "Retries",
        "Requests that were sent again before their stream began, per minute. Each of them costs its caller time.",
        Query(q.per_minute(q.RETRIES, q.BY_MODEL), MODEL),
        unit="cpm",
        stacked=True,
        width=12,
        leads_to=_LEADS_TO,
    ),
)

_WAITING = (
    graph(
        "Time to first token",
        "How long callers wait for the first output of any kind, reasoning included.",
        *quantiles(q.FIRST_TOKEN),
        unit="s",
        width=12,
        leads_to=_LEADS_TO,
    ),
    graph(
        "Time to first answer",
        "How long they wait for output that is not reasoning.",
        *quantiles(q.FIRST_ANSWER),
        unit="s",
        width=12,
        leads_to=_LEADS_TO,
    ),
    heatmap(
        "Time to first token, spread",
        "Where the waits lie; two bands are two kinds of calls. The points are traces.",
        Query(q.rate(f"{q.FIRST_TOKEN}_bucket", ("le",)), exemplar=True),
    ),
    graph(
        "Longest wait of a stream",
        "The longest pause in each stream after its first chunk.",
        *quantiles(q.WAIT_MAX),
        unit="s",
        width=12,
        leads_to=_LEADS_TO,
    ),
)

_FLOW = (
    graph(
        "Output rate",
        "Tokens per second while output comes: the median, and the slow end. Only from counts that the provider sent.",
        Query(q.quantile(0.5, q.OUTPUT_RATE, q.BY_MODEL), f"p50 {MODEL}", exemplar=True),
        Query(q.quantile(0.05, q.OUTPUT_RATE, q.BY_MODEL), f"p5 {MODEL}", exemplar=True),
        unit="tokens/s",
        leads_to=_LEADS_TO,
    ),
    graph(
        "Stalls",
        "Waits of STREAMSPAN_STALL_SECONDS and more, per minute.",
        Query(q.per_minute(q.STALLS, q.BY_MODEL), MODEL),
        unit="cpm",
        stacked=True,
        leads_to=_LEADS_TO,
    ),
    graph(
        "Consumer share",
        "Share of the calls' time that was spent in the application's own loop. Where it is high, a faster model does not help. Calls without a stream count as time of the provider.",
        Query(q.consumer_share(("service_name",)), "{{service_name}}"),
        unit="percentunit",
    ),
    graph(
        "Active streams, by model",
        "Streams that are open, by model. A line that only rises is a leak.",
        Query(q.total(q.series(q.ACTIVE), q.BY_MODEL), MODEL),
        width=12,
        leads_to=_LEADS_TO,
    ),
    graph(
        "Tokens",
        "Tokens per minute, as the providers reported them.",
        Query(q.tokens(), "{{gen_ai_token_type}}"),
        stacked=True,
        width=12,
    ),
)

# Title of the column, its query and unit.
_COLUMNS = (
    ("Calls", q.increase(f"{q.CALLS}_count", q.BY_MODEL), "short"),
    ("Failed", q.share(q.FAILED, q.BY_MODEL, q.RANGE), "percentunit"),
    ("Cancelled", q.share("cancelled", q.BY_MODEL, q.RANGE), "percentunit"),
    *(
        (f"First token {name}", q.quantile(value, q.FIRST_TOKEN, q.BY_MODEL, window=q.RANGE), "s")
        for name, value in QUANTILES
    ),
    ("First answer p95", q.quantile(0.95, q.FIRST_ANSWER, q.BY_MODEL, window=q.RANGE), "s"),
    ("Longest wait p95", q.quantile(0.95, q.WAIT_MAX, q.BY_MODEL, window=q.RANGE), "s"),
    ("Tokens/s p50", q.quantile(0.5, q.OUTPUT_RATE, q.BY_MODEL, window=q.RANGE), "short"),
)
_LABELS = {"gen_ai_provider_name": "Provider", "gen_ai_request_model": "Model"}


def _models() -> Panel:
    """Return the table of models: one row each, which leads to the other dashboard."""
    names = {f"Value #{chr(ord('A') + index)}": title for index, (title, _, _) in enumerate(_COLUMNS)}
    links = {"id": "links", "value": [_this_model("__data.fields.Provider", "__data.fields.Model")]}
    return Panel(
        "Models",
        "Each model over the chosen time. A click on its name shows it alone.",
        tuple(Query(expr, shape="table") for _, expr, _ in _COLUMNS),
        kind="table",
        width=24,
        overrides=(
            {"matcher": {"id": "byName", "options": "Model"}, "properties": [links]},
            *(
                {"matcher": {"id": "byName", "options": title}, "properties": _look(title, unit)}
                for title, _, unit in _COLUMNS
            ),
        ),
        options={"showHeader": True, "cellHeight": "sm"},
        transformations=(
            {"id": "merge", "options": {}},
            {
                "id": "organize",
                "options": {
                    "excludeByName": {"Time": True},
                    "indexByName": {name: place for place, name in enumerate((*_LABELS, *names))},
                    "renameByName": {**_LABELS, **names},
                },
            },
        ),
    )


def _look(title: str, unit: str) -> list[Json]:
    decimals = 0 if title == "Calls" else 2
    return [{"id": "unit", "value": unit}, {"id": "decimals", "value": decimals}]


def overview() -> Json:
    """Return the dashboard."""
    selected = f'{_SELECTED},gen_ai_provider_name=~"$provider"'
    return dashboard(
        UID,
        "Streams overview",
        "How streams of language models do: endings, waits, rates, costs. From the metrics of streamspan.",
        rows=(
            Row("At a glance", _NUMBERS),
            Row("Endings", _ENDINGS),
            Row("Waiting", _WAITING),
            Row("Flow and cost", _FLOW),
            Row("Models", (_models(),)),
        ),
        variables=[
            datasource_variable(),
            variable("service", "Service", q.values("service_name"), is_many=True),
            variable("provider", "Provider", q.values("gen_ai_provider_name", _SELECTED), is_many=True),
            variable("model", "Model", q.values("gen_ai_request_model", selected), is_many=True),
        ],
        links=[link("More of streamspan", tag="streamspan")],
    )
