"""The main job on real input: every stream of an application, all of it, once, as it was, at the other end of OTLP.

An application in a process of its own streams with the real SDK. What arrives, directly and through a real
OpenTelemetry Collector, is compared with what the application was told and saw, and with what the providers sent.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import conformance
from backends.collectors import Collector
from end_to_end import checks
from end_to_end.arrivals import Arrivals
from end_to_end.checks import Performance
from end_to_end.jobs import CHAT, OF_OTHERS, demo_jobs, recorded_jobs
from end_to_end.stage import Stage, to
from otlp_sink import Protocol
from streamspan import Config
from streamspan._version import version
from streamspan.demo import SCENARIOS

_EVERYTHING = {
    "OTEL_SERVICE_NAME": "shop",
    "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT",
    "STREAMSPAN_EVENTS": "both",
    "STREAMSPAN_REDACT": "off",
    "STREAMSPAN_CONTENT_MAX_BYTES": "1000000",
    "STREAMSPAN_STALL_SECONDS": "0.4",
}
_WAYS = ["http", "grpc", "http-collector", "grpc-collector"]


def _through(protocol: Protocol, backend: Arrivals) -> dict[str, str]:
    """Return the variables of a collector that passes everything on, content included, and adds nothing of its own."""
    exporter = "otlp_http/backend" if protocol == "http" else "otlp_grpc/jaeger"
    exporters = dict.fromkeys(("TRACES_EXPORTERS", "METRICS_EXPORTERS", "LOGS_EXPORTERS"), f"[{exporter}]")
    addresses = {"BACKEND_ENDPOINT": backend.endpoint, "JAEGER_ENDPOINT": f"127.0.0.1:{backend.port}"}
    return exporters | addresses | {"OTELCOL_CONTENT": "keep", "SPAN_METRICS_INTERVAL": "1h"}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """All jobs, with those who answer them."""
    with Stage([*demo_jobs(), *recorded_jobs()]) as stage:
        yield stage


@pytest.fixture(scope="module", params=_WAYS)
def performance(
    request: pytest.FixtureRequest, stage: Stage, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Performance]:
    """All jobs played once, with telemetry going one of the ways."""
    protocol: Protocol = "http" if request.param.startswith("http") else "grpc"
    directory = tmp_path_factory.mktemp(request.param)
    with Arrivals(protocol) as backend:
        if not request.param.endswith("collector"):
            ended = stage.play(directory, to(backend.endpoint, protocol, **_EVERYTHING))
        else:
            with Collector("local", directory, **_through(protocol, backend)) as collector:
                ended = stage.play(directory, to(collector.at(protocol), protocol, **_EVERYTHING))
                collector.drain()
                assert collector.stop() == 0
        assert (ended.status, ended.stderr) == (0, "")
        yield Performance(stage, ended, backend)


@pytest.fixture(scope="module")
def first_shape() -> dict[str, object]:
    """What the first way delivered, once there is one."""
    return {}


def test_every_scenario_is_played() -> None:
    """A scenario that the demo gets has to be written down here, with its outcome."""
    assert set(CHAT) | OF_OTHERS == set(SCENARIOS)
    assert not set(CHAT) & OF_OTHERS


def test_each_stream_has_one_span_that_says_what_its_summary_says(performance: Performance) -> None:
    """Nothing is lost, nothing is double, and no digit differs between the span and `on_session_end`."""
    for stream in performance.streams:
        checks.check_span(stream)


def test_the_spans_are_true(performance: Performance) -> None:
    """Outcome, counts, usage, finish reasons and retries are those of the providers and of the caller's eyes."""
    for stream in performance.streams:
        if stream.cast.job.is_stream:
            checks.check_truth(stream)
    whole = performance.stream("chat-whole")
    assert whole.attributes["gen_ai.request.stream"] is False
    assert whole.attributes["gen_ai.usage.input_tokens"] > 0


def test_the_answers_are_whole(performance: Performance) -> None:
    """The captured content is what arrived, joined, whatever became of the stream."""
    for stream in performance.streams:
        if stream.cast.job.is_stream:
            checks.check_content(stream)


def test_the_events_add_up(performance: Performance) -> None:
    """Every chunk is in one event, and every ending, stall, retry and first token has its own."""
    for stream in performance.streams:
        if stream.cast.job.is_stream:
            checks.check_events(stream)
    assert performance.stream("chat-stall").attributes["streamspan.stall.count"] >= 1


def test_the_log_events_are_those_of_the_spans(performance: Performance) -> None:
    """With STREAMSPAN_EVENTS=both each event is there twice, on the span and beside it, with the same attributes."""
    checks.check_logs(performance.streams, performance.arrived.logs)


def test_the_metrics_count_each_stream_once(performance: Performance) -> None:
    """Histograms have one value per stream that should have one, and no stream is open at the end."""
    checks.check_metrics(performance.streams, performance.arrived.metrics)


def test_everything_says_where_it_is_from(performance: Performance) -> None:
    """Resource and scope are there on every signal, and the same."""
    items = [item for items in performance.arrived.items.values() for item in items]
    assert {item["scope"] for item in items} == {"streamspan"}
    resources = {tuple(sorted(item["resource"].items())) for item in items}
    (resource,) = (dict(each) for each in resources)
    assert (resource["service.name"], resource["deployment.environment.name"]) == ("shop", "test")
    assert resource["telemetry.sdk.name"] == "opentelemetry"
    signals = ("traces", "metrics", "logs")
    assert performance.arrived.scopes == {(signal, "streamspan", version()) for signal in signals}


def test_everything_conforms(performance: Performance) -> None:
    """What arrived is what the conventions and the product's own rules allow."""
    arrived = performance.arrived
    found = conformance.findings(
        spans=arrived.exported_spans(),
        metrics=arrived.exported_metrics(),
        logs=arrived.exported_logs(),
        config=Config(events="both", capture_content="SPAN_AND_EVENT"),
    )
    assert found == [], "\n".join(found)


def test_every_way_delivers_the_same(performance: Performance, first_shape: dict[str, object]) -> None:
    """By either protocol, with or without a collector between: the same names, attributes, states and events."""
    shape = checks.shape(performance)
    assert len(shape) > len(CHAT)
    assert shape == first_shape.setdefault("shape", shape)
