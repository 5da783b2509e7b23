"""Library, collector, Prometheus: the same names and numbers by OTLP and by scraping, and no series too many."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import HistogramDataPoint, MetricsData, NumberDataPoint

from backends.collectors import Collector
from backends.programs import until
from backends.prometheuses import Prometheus
from backends.shop import OUTCOMES, SESSIONS, Shop
from streamspan.demo import DemoProvider

_SUFFIXES = {"s": "_seconds", "{token}/s": "_per_second", "{character}/s": "_per_second"}
_COUNTERS = {"streamspan.stalls", "streamspan.retries"}
_COUNTS = {
    "gen_ai_client_operation_duration_seconds_count": float(len(SESSIONS)),
    "traces_span_metrics_calls_total": 2.0 * len(SESSIONS),
}
_OURS = "(gen_ai|streamspan)_.*"


@dataclass
class Played:
    """What the application has recorded, and both Prometheuses that have it."""

    recorded: MetricsData
    pushed: Prometheus
    scraped: Prometheus

    def each(self) -> tuple[Prometheus, Prometheus]:
        """Both of them."""
        return self.pushed, self.scraped


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """One session for each ending; the collector both pushes and is scraped."""
    home = tmp_path_factory.mktemp("prometheus")
    with Prometheus(home / "pushed") as pushed, DemoProvider() as provider:
        variables = {
            "PROMETHEUS_ENDPOINT": pushed.otlp,
            "METRICS_EXPORTERS": "[otlp_http/prometheus, prometheus]",
            "TRACES_EXPORTERS": "[debug]",
            "SPAN_METRICS_INTERVAL": "200ms",
        }
        with (
            Collector("local", home / "collector", **variables) as collector,
            Prometheus(home / "scraped", collector.ports["SCRAPE"]) as scraped,
            Shop(collector) as shop,
        ):
            shop.open(provider)
            recorded = shop.metrics
            for prometheus in (pushed, scraped):
                for name, count in _COUNTS.items():
                    until(partial(prometheus.total, name), count.__eq__)
            yield Played(recorded, pushed, scraped)


def test_the_names_are_the_same_by_both_ways(played: Played) -> None:
    """And they are the ones that the units and kinds of the instruments give."""
    expected = set()
    for metric in _metrics(played.recorded):
        name = metric.name.replace(".", "_") + _SUFFIXES.get(metric.unit, "")
        if isinstance(metric.data.data_points[0], HistogramDataPoint):
            expected |= {f"{name}_{part}" for part in ("bucket", "count", "sum")}
        else:
            expected.add(f"{name}_total" if metric.name in _COUNTERS else name)
    assert "streamspan_output_rate_per_second_bucket" in expected
    assert played.pushed.names(_OURS) == expected
    assert played.scraped.names(_OURS) == expected


def test_the_numbers_are_those_of_the_application(played: Played) -> None:
    """Every count and every sum, by either way."""
    for metric in _metrics(played.recorded):
        name = metric.name.replace(".", "_") + _SUFFIXES.get(metric.unit, "")
        points = metric.data.data_points
        for prometheus in played.each():
            if isinstance(points[0], HistogramDataPoint):
                assert prometheus.total(f"{name}_count") == sum(point.count for point in points)
                assert prometheus.total(f"{name}_sum") == pytest.approx(sum(point.sum for point in points))
            else:
                assert isinstance(points[0], NumberDataPoint)
                counter = f"{name}_total" if metric.name in _COUNTERS else name
                assert prometheus.total(counter) == sum(point.value for point in points)


def test_bounds_and_labels_are_the_same_by_both_ways(played: Played) -> None:
    """A rule that is written for one of them holds for the other: same `le`, same names of labels."""
    for name in ("streamspan_time_to_first_token_seconds_bucket", "streamspan_chunks_bucket"):
        pushed, scraped = (prometheus.query(name) for prometheus in played.each())
        assert {labels["le"] for labels, _ in pushed} == {labels["le"] for labels, _ in scraped}
        by_label = [
            sorted((labels["gen_ai_request_model"], labels["le"], value) for labels, value in series)
            for series in (pushed, scraped)
        ]
        assert by_label[0] == by_label[1]
    for prometheus in played.each():
        for labels, _ in prometheus.query("gen_ai_client_operation_duration_seconds_count"):
            assert (labels["job"], labels["service_name"], labels["deployment_environment_name"]) == (
                "shop",
                "shop",
                "test",
            )


def test_sessions_can_be_counted_by_outcome(played: Played) -> None:
    """The question of the first panel."""
    for prometheus in played.each():
        found = prometheus.query("sum by (streamspan_outcome) (gen_ai_client_operation_duration_seconds_count)")
        counts = {labels["streamspan_outcome"]: value for labels, value in found}
        assert counts == {outcome: list(OUTCOMES.values()).count(outcome) for outcome in OUTCOMES.values()}
        assert prometheus.total("streamspan_active") == 0
        assert prometheus.total("streamspan_stalls_total") == 1
        assert prometheus.total("streamspan_retries_total") == 2


def test_exemplars_lead_to_traces(played: Played) -> None:
    """By either way a bucket names a trace that was recorded."""
    for prometheus in played.each():
        found = prometheus.exemplars("gen_ai_client_operation_duration_seconds_bucket")
        traces = {exemplar["labels"]["trace_id"] for exemplar in found}
        assert traces
        assert all(len(trace) == 32 for trace in traces)


def test_calls_of_every_span_are_counted_for_the_monitor_tab(played: Played) -> None:
    """Also spans that are no streams, by service and kind."""
    for prometheus in played.each():
        found = prometheus.query("sum by (service_name, span_kind) (traces_span_metrics_calls_total)")
        kinds = {(labels["service_name"], labels["span_kind"]): value for labels, value in found}
        number = len(SESSIONS)
        assert kinds == {("shop", "SPAN_KIND_CLIENT"): number, ("shop", "SPAN_KIND_INTERNAL"): number}
        assert prometheus.names("traces_span_metrics_.*") == {
            "traces_span_metrics_calls_total",
            "traces_span_metrics_duration_seconds_bucket",
            "traces_span_metrics_duration_seconds_count",
            "traces_span_metrics_duration_seconds_sum",
        }


def _metrics(data: MetricsData) -> Iterator[Any]:
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            assert scope.scope.name == "streamspan"
            yield from scope.metrics
