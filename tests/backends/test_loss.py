"""Nothing is lost: collectors that are stopped or killed, backends that are away, and a burst of long streams."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from backends.collectors import Collector
from backends.jaegers import Jaeger
from backends.programs import free_ports, until
from backends.prometheuses import Prometheus
from otlp_sink import OtlpSink

BURST = Path(__file__).with_name("burst.py")
SESSIONS, CHUNKS = 1000, 2000


def start_burst(collector: Collector, sessions: int, chunks: int, **variables: str) -> subprocess.Popen[str]:
    """Start the application that reads many streams at once."""
    own = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OTEL_SERVICE_NAME": "burst",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.http,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    command = [sys.executable, str(BURST), str(sessions), str(chunks)]
    return subprocess.Popen(command, env=os.environ | own | variables, stderr=subprocess.PIPE, text=True)


def finish(application: subprocess.Popen[str]) -> None:
    """Wait until an application has ended, which has no complaint but that it had to try again."""
    _, stderr = application.communicate(timeout=300)
    complaints = [line for line in stderr.splitlines() if not line.startswith("Transient error")]
    assert (application.returncode, complaints) == (0, [])


@pytest.mark.timeout(300)
def test_a_burst_survives_backends_that_are_away_and_a_collector_that_is_killed(tmp_path: Path) -> None:
    """1,000 sessions of 2,000 chunks: every span and every count is there in the end, and nothing twice."""
    jaeger, prometheus = Jaeger(tmp_path / "jaeger"), Prometheus(tmp_path / "prometheus")
    variables = {"JAEGER_ENDPOINT": jaeger.address, "PROMETHEUS_ENDPOINT": prometheus.otlp}
    with Collector("local", tmp_path / "collector", **variables) as collector:
        finish(start_burst(collector, SESSIONS, CHUNKS))
        collector.kill()  # with everything in its queue: nobody was there to take it
        collector.start()
        collector.stop()
        collector.start()
        with jaeger, prometheus:
            spans = until(lambda: jaeger.spans("burst"), lambda found: len(found) >= SESSIONS)
            assert Counter(span.tags["gen_ai.conversation.id"] for span in spans) == Counter(map(str, range(SESSIONS)))
            assert {span.tags["streamspan.chunk.count"] for span in spans} == {CHUNKS}
            assert {
                sum(
                    event.get("streamspan.chunk.count", 0)
                    for event in span.events
                    if event["event"] == "streamspan.chunk"
                )
                for span in spans
            } == {CHUNKS}
            until(lambda: prometheus.total("gen_ai_client_operation_duration_seconds_count") == SESSIONS)
            assert prometheus.total("streamspan_chunks_sum") == SESSIONS * CHUNKS
            gaps = SESSIONS * (CHUNKS - 1)
            assert prometheus.total("gen_ai_client_operation_time_per_output_chunk_seconds_count") == gaps
            assert prometheus.total("streamspan_active") == 0


def test_a_backend_that_comes_and_goes_gets_everything(tmp_path: Path) -> None:
    """What is sent while it refuses, and while nobody is there at all, arrives when it is back."""
    (port,) = free_ports(1)
    variables = {
        "BACKEND_ENDPOINT": f"http://127.0.0.1:{port}",
        "TRACES_EXPORTERS": "[otlp_http/backend]",
        "METRICS_EXPORTERS": "[otlp_http/backend]",
    }
    with Collector("local", tmp_path, **variables) as collector:
        finish(start_burst(collector, 10, 100))
        with OtlpSink(port=port) as first:
            first.wait_until(lambda: len(first.spans) == 10)
            first.mode = 503
            finish(start_burst(collector, 20, 100))
            first.wait_until(lambda: len(first.requests) > 3)
        finish(start_burst(collector, 30, 100))
        with OtlpSink(port=port) as second:
            second.wait_until(lambda: len(second.spans) == 50)
            second.wait_until(lambda: _sessions(first, second) == 60)
        assert collector.stop() == 0
    assert len(first.spans) == 10


def _sessions(*sinks: OtlpSink) -> int:
    """Return how many sessions the metrics that arrived count: the last number of each process and model."""
    counts = {
        (metric["resource"]["service.instance.id"], point["attributes"]["gen_ai.request.model"]): point["count"]
        for sink in sinks
        for metric in list(sink.metrics)
        if metric["name"] == "gen_ai.client.operation.duration"
        for point in metric["points"]
    }
    return sum(counts.values())


def test_an_application_waits_for_a_collector_that_is_restarted(tmp_path: Path) -> None:
    """A collector that is away for a moment costs nothing: the exporter tries again."""
    with OtlpSink() as backend:
        variables = {"BACKEND_ENDPOINT": backend.endpoint, "TRACES_EXPORTERS": "[otlp_http/backend]"}
        collector = Collector("local", tmp_path, METRICS_EXPORTERS="[otlp_http/backend]", **variables)
        with collector:
            finish(start_burst(collector, 10, 10))
            collector.stop()
            with OtlpSink(mode=503, port=collector.ports["HTTP"]) as nobody:
                # More patience than by default: how long a collector takes to start is the machine's business.
                application = start_burst(collector, 10, 10, OTEL_EXPORTER_OTLP_TIMEOUT="60")
                nobody.wait_until(lambda: len(nobody.requests) > 0)
            collector.start()
            finish(application)
            backend.wait_until(lambda: len(backend.spans) == 20)
            backend.wait_until(lambda: _sessions(backend) == 20)


def test_an_agent_that_is_killed_keeps_what_no_gateway_has_taken(tmp_path: Path) -> None:
    """While all gateways are away it fills its queue; killed and started again it delivers all of it, once."""
    ports = free_ports(2)
    addresses = ", ".join(f"127.0.0.1:{port}" for port in ports)
    with Collector("agent", tmp_path, GATEWAYS=f"[{addresses}]") as agent:
        finish(start_burst(agent, 40, 100))
        agent.kill()
        agent.start()
        with OtlpSink("grpc", port=ports[0]) as first, OtlpSink("grpc", port=ports[1]) as second:
            until(lambda: len(first.spans) + len(second.spans) >= 40)
            agent.drain()
            numbers = [span["attributes"]["gen_ai.conversation.id"] for span in first.spans + second.spans]
            assert Counter(numbers) == Counter(map(str, range(40)))
            assert first.spans
            assert second.spans
            assert _sessions(first, second) == 40
            # All metrics of a service are with one gateway, so that the points of a series stay in their order.
            assert not first.metrics or not second.metrics
