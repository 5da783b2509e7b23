"""The dashboards on real data: every query of every panel says what the sessions were.

Applications stream with the real SDK from the demo provider; the library sends to a real collector with the `local`
configuration, and that to a real Prometheus. What is expected is computed from the sessions, not from metrics.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tools.dashboards.__main__ import FOLDER, PAGE, ROOT, dashboards, main

from backends.collectors import Collector
from backends.dash_panels import BOUNDED, ONE_MODEL, OVERVIEW
from backends.dash_prometheus import Api, ShippedPrometheus, Vector
from backends.dash_stage import SERVICES, Picture, Played, play
from backends.dash_truth import RANGE, RATE_INTERVAL, Expectation, Truth, differences, series_name
from backends.programs import until
from streamspan import _semconv
from streamspan._semconv import Metric

# The first test waits for three applications to play.
pytestmark = pytest.mark.timeout(300)

Json = Mapping[str, Any]
FILES = {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / FOLDER).glob("*.json"))}
EXPECTATIONS: dict[str, dict[str, Expectation]] = {"streams-overview.json": OVERVIEW, "one-model.json": ONE_MODEL}
# What is chosen at the top of a dashboard, with the fields of the sessions that it chooses.
ONE = {"provider": "openai", "model": "gpt-4o"}
METRICS = [
    metric
    for value in vars(_semconv).values()
    for metric in (value.values() if isinstance(value, dict) else [value])
    if isinstance(metric, Metric)
]


def panels(name: str) -> list[Json]:
    """Return the panels of a dashboard, without headings."""
    return [panel for panel in FILES[name]["panels"] if panel["type"] != "row"]


ALL_PANELS = [
    pytest.param(name, panel, id=f"{name.removesuffix('.json')}-{panel['title']}")
    for name in FILES
    for panel in panels(name)
]


def filled_in(expr: str, *, service: str = ".*", provider: str = ".*", model: str = ".*") -> str:
    """Return a query as Grafana sends it."""
    variables = {
        "service": service,
        "provider": provider,
        "model": model,
        "__rate_interval": f"{RATE_INTERVAL}s",
        "__range": f"{RANGE}s",
    }
    return re.sub(r"\$(\w+)", lambda match: variables[match[1]], expr)


def chosen(name: str, played: Played) -> tuple[dict[str, str], Truth]:
    """Return what is chosen in a dashboard to look at one application, and the sessions that this means."""
    truth = Truth(played.service, played.sessions)
    if name == "one-model.json":
        return {"service": played.service, **ONE}, truth.only(**ONE)
    return {"service": played.service}, truth


def found_by(picture: Picture, played: Played, panel: Json, choice: Mapping[str, str]) -> list[Vector]:
    """Return what each query of a panel says at the time of an application's last export."""
    queries = (filled_in(target["expr"], **choice) for target in panel["targets"])
    return [picture.prometheus.query(query, played.ended_at) for query in queries]


def faults(picture: Picture, played: Played, name: str, panel: Json) -> list[str]:
    """Return in what a panel is wrong about an application."""
    choice, truth = chosen(name, played)
    answers = found_by(picture, played, panel, choice)
    if bounds := BOUNDED.get(panel["title"]):
        values = [value for answer in answers for value in answer.values()]
        is_fine = len(values) == len(answers) and values == sorted(values) and bounds[0] < min(values)
        return [] if is_fine and values[-1] <= bounds[1] else [f"found {values}"]
    expected = EXPECTATIONS[name][panel["title"]](truth)
    assert len(expected) == len(answers), "every query has its expectation"
    return [line for pair in zip(answers, expected, strict=True) for line in differences(*pair)]


# --- what needs no programs ----------------------------------------------------------------------------------------------


def test_the_files_are_up_to_date() -> None:
    """The JSON is what the code says; `python -m tools.dashboards` writes it."""
    assert main(["--check"]) == 0
    assert set(FILES) == set(dashboards())


def test_a_stale_file_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that was edited by hand fails the check, and is written anew without it."""
    for path in (*(FOLDER / name for name in FILES), PAGE):
        (tmp_path / path.parent).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / path, tmp_path / path)
    assert main(["--check"], root=tmp_path) == 0
    edited = {FOLDER / "one-model.json": ("$service", "shop"), PAGE: ("Retries", "Repetitions")}
    for path, (right, wrong) in edited.items():
        text = (tmp_path / path).read_text(encoding="utf-8")
        assert right in text
        (tmp_path / path).write_text(text.replace(right, wrong), encoding="utf-8")
    assert main(["--check"], root=tmp_path) == 1
    assert capsys.readouterr().err == f"stale: {', '.join(path.as_posix() for path in edited)}\n"
    assert main([], root=tmp_path) == 0
    assert main(["--check"], root=tmp_path) == 0


@pytest.mark.parametrize("name", FILES)
def test_every_panel_has_an_expectation_and_says_what_it_answers(name: str) -> None:
    """No panel is left out here, none is expected that there is not, and none is without words."""
    titles = [panel["title"] for panel in panels(name)]
    assert sorted(titles) == sorted({*EXPECTATIONS[name], *(BOUNDED if name == "one-model.json" else ())})
    assert [panel["title"] for panel in panels(name) if not panel["description"].endswith(".")] == []


@pytest.mark.parametrize("name", FILES)
def test_every_metric_and_bound_exists(name: str) -> None:
    """Every name in a query is one that the library records, and rates over time follow the width of the panel."""
    exprs = [target["expr"] for panel in panels(name) for target in panel["targets"]]
    parts = ("", "_bucket", "_count", "_sum")
    known = {series_name(metric) + part for metric in METRICS for part in parts}
    named = {found for expr in exprs for found in re.findall(r"\b(?:streamspan|gen_ai_client)_\w+(?=\{)", expr)}
    assert named - known == set()
    assert {window for expr in exprs for window in re.findall(r"\[(.*?)\]", expr)} <= {"$__rate_interval", "$__range"}


@pytest.mark.parametrize("name", FILES)
def test_panels_do_not_overlap(name: str) -> None:
    """Every place of the grid has one panel at most, and none is outside of it."""
    taken = [
        (x, y)
        for panel in FILES[name]["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    numbers = [panel["id"] for panel in FILES[name]["panels"]]
    assert len(numbers) == len(set(numbers))


def test_dashboards_lead_to_each_other() -> None:
    """Each has a link to all with the same tag, and a click on a model opens the other with that model."""
    uids = {dashboard["uid"] for dashboard in FILES.values()}
    for dashboard in FILES.values():
        (link,) = dashboard["links"]
        assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
        assert all(set(link["tags"]) <= set(other["tags"]) for other in FILES.values())
    urls = re.findall(r'"url": "(/d/[^"]+)"', json.dumps(FILES["streams-overview.json"]))
    assert urls
    for url in urls:
        uid, _, query = url.removeprefix("/d/").partition("?")
        assert uid in uids
        variables = {each["name"] for each in FILES["one-model.json"]["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) | set(re.findall(r"\{(\w+):queryparam\}", query)) == variables


# --- on real data --------------------------------------------------------------------------------------------------------


def test_the_applications_did_everything(picture: Picture) -> None:
    """Every outcome, stalls, retries and several models and providers: no panel can be right by being empty."""
    for played in picture.applications.values():
        assert {call["outcome"] for call in played.sessions} == {
            "completed", "cancelled", "truncated", "error", "timeout",
        }  # fmt: skip
        assert {call["provider"] for call in played.sessions} == {"openai", "acme"}
        assert len({call["model"] for call in played.sessions}) == 4
        assert sum(call["stall_count"] for call in played.sessions) >= 6
        assert sum(call["resend_count"] for call in played.sessions) == 3


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(("name", "panel"), ALL_PANELS)
def test_a_panel_shows_what_the_sessions_were(picture: Picture, service: str, name: str, panel: Json) -> None:
    """Every query returns exactly the numbers that the sessions imply, by either naming of the conventions."""
    assert faults(picture, picture.applications[service], name, panel) == []


@pytest.mark.parametrize(("name", "panel"), ALL_PANELS)
def test_a_panel_is_drawn_for_everything(picture: Picture, name: str, panel: Json) -> None:
    """With nothing chosen each query has points over time, as Grafana asks for them."""
    end = max(played.ended_at for played in picture.applications.values())
    for target in panel["targets"]:
        lines = picture.prometheus.over_time(filled_in(target["expr"]), picture.started_at, end)
        assert lines, target["expr"]
        assert any(value >= 0 for values in lines.values() for value in values)


@pytest.mark.parametrize("service", SERVICES)
def test_open_streams_are_shown_while_they_are_open(picture: Picture, service: str) -> None:
    """At the export before the last one stream was open, of the model that it was."""
    played = picture.applications[service]
    by_title = {panel["title"]: panel for panel in panels("streams-overview.json")}
    (number,) = by_title["Active streams"]["targets"]
    (line,) = by_title["Active streams, by model"]["targets"]
    total = picture.prometheus.query(filled_in(number["expr"], service=service), played.held_at)
    assert list(total.values()) == [1]
    by_model = picture.prometheus.query(filled_in(line["expr"], service=service), played.held_at)
    open_models = {dict(labels)["gen_ai_request_model"]: value for labels, value in by_model.items() if value}
    assert open_models == {"gpt-4o": 1}


@pytest.mark.parametrize("name", FILES)
def test_exemplars_lead_to_the_traces_of_sessions(picture: Picture, name: str) -> None:
    """Each query that shows exemplars has some, and their trace ids are those of sessions."""
    traces = {call["trace_id"] for played in picture.applications.values() for call in played.sessions}
    end = max(played.ended_at for played in picture.applications.values()) + 1
    asked = [target for panel in panels(name) for target in panel["targets"] if target["exemplar"]]
    assert len(asked) > 10
    for target in asked:
        found = picture.prometheus.exemplars(filled_in(target["expr"]), picture.started_at, end)
        assert found, target["expr"]
        assert {exemplar["labels"]["trace_id"] for exemplar in found} <= traces


def test_an_exemplar_opens_the_trace_of_its_stream(picture: Picture) -> None:
    """Jaeger has the trace, and the span that the exemplar names has the value of the exemplar."""
    played = picture.applications["shop"]
    selector = 'streamspan_time_to_first_token_seconds_bucket{service_name="shop"}'
    found = picture.prometheus.exemplars(selector, picture.started_at, played.ended_at + 1)
    assert found
    for exemplar in found:
        trace = until(partial(picture.jaeger.trace, exemplar["labels"]["trace_id"]))
        (span,) = (span for span in trace if span.span_id == exemplar["labels"]["span_id"])
        assert span.service == "shop"
        assert span.tags["streamspan.time_to_first_token"] == pytest.approx(float(exemplar["value"]))


@pytest.mark.parametrize("name", FILES)
def test_variables_offer_what_there_is(picture: Picture, name: str) -> None:
    """Services, providers and models can be chosen, by either naming."""
    offered: dict[str, set[str]] = {}
    for variable in FILES[name]["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match is not None
            offered[variable["name"]] = picture.prometheus.label_values(filled_in(match[1]), match[2])
    assert offered == {
        "service": set(SERVICES),
        "provider": {"openai", "acme"},
        "model": {"gpt-4o", "o3", "acme-slow", "acme-fast"},
    }


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Api, Played]]:
    """A Prometheus that scrapes the collector as docs/dashboards.md says, and an application."""
    directory = tmp_path_factory.mktemp("scraped")
    (snippet,) = re.findall(r"```yaml\n(.*?)```", (ROOT / PAGE).read_text(encoding="utf-8"), re.DOTALL)
    variables = {"METRICS_EXPORTERS": "[prometheus]", "TRACES_EXPORTERS": "[debug]"}
    with Collector("local", directory / "collector", **variables) as collector:
        assert "8889" in snippet
        snippet = snippet.replace("8889", str(collector.ports["SCRAPE"]))
        with ShippedPrometheus(directory, snippet) as prometheus:
            yield prometheus.api, play("shop", "released", collector.http, prometheus.api, directory)


@pytest.mark.parametrize("name", FILES)
def test_scraping_gives_the_same_names_and_labels(scraped: tuple[Api, Played], name: str) -> None:
    """Whatever a query selects is there too where the collector is scraped, with the labels that it is summed by."""
    prometheus, played = scraped
    for target in (target for panel in panels(name) for target in panel["targets"]):
        query = filled_in(target["expr"], service="shop")
        by = {label for labels in re.findall(r"by \((.*?)\)", query) for label in labels.split(", ")}
        for selector in set(re.findall(r"\w+\{[^}]*\}", query)):
            if "_inference_" not in selector:
                found = prometheus.samples(selector, played.ended_at)
                assert found, selector
                assert by - {"error_type"} <= {label for series in found for label, _ in series}


def test_scraping_counts_the_same(scraped: tuple[Api, Played]) -> None:
    """The counts, and the bounds that rules and panels name, are those of the sessions."""
    prometheus, played = scraped
    count = "sum by (service_name, streamspan_outcome) (gen_ai_client_operation_duration_seconds_count)"
    truth = Truth("shop", played.sessions).count(("service_name", "streamspan_outcome"))
    assert differences(prometheus.query(count, played.ended_at), truth) == []
    bounds = prometheus.label_values("streamspan_time_to_first_token_seconds_bucket", "le")
    assert bounds == {*(f"{bound:g}" for bound in _semconv.METRIC_TIME_TO_FIRST_TOKEN.buckets), "+Inf"}


# --- the tests themselves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "title", "right", "wrong"),
    [
        ("streams-overview.json", "Calls by outcome", "streamspan_outcome", "outcome"),
        ("streams-overview.json", "Retries", "streamspan_retries_total", "streamspan_retries"),
        ("streams-overview.json", "Time to first token", "0.95", "0.9"),
        ("streams-overview.json", "Failed", "|truncated", ""),
        ("streams-overview.json", "Output rate", "_per_second", "_per_seconds"),
        ("one-model.json", "Calls", '=~"$model"', '=~".*"'),
        ("one-model.json", "Time between chunks", "_seconds_bucket", "_bucket"),
        ("one-model.json", "Time to first token, spread", "by (le)", "by (gen_ai_provider_name)"),
    ],
)
def test_a_fault_in_a_panel_is_caught(picture: Picture, name: str, title: str, right: str, wrong: str) -> None:
    """A wrong label, name, quantile or filter makes the panel wrong about its sessions."""
    (panel,) = (deepcopy(panel) for panel in panels(name) if panel["title"] == title)
    played = picture.applications["shop"]
    assert faults(picture, played, name, panel) == []
    for target in panel["targets"]:
        assert right in target["expr"] or title == "Time to first token"
        target["expr"] = target["expr"].replace(right, wrong)
    assert faults(picture, played, name, panel) != []
