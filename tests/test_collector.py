"""The collector configuration in a real OpenTelemetry Collector: valid, current, and nothing is lost or changed.

The binary is the one that STREAMSPAN_OTELCOL names, or the one that .ci/build-collector has built.
"""

from __future__ import annotations

import hashlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.util.types import Attributes

from otlp_sink import Item, OtlpSink, Protocol

ROOT = Path(__file__).parent.parent
CONFIGURATION = ROOT / "collector" / "otelcol-core.yaml"
MANIFEST = ROOT / "collector" / "builder-core.yaml"
SPANS = 200
EVENTS = 40


def built_binary() -> Path:
    """Where .ci/build-collector puts what it builds."""
    cache = Path(os.environ.get("STREAMSPAN_CACHE") or Path.home() / ".cache" / "streamspan")
    return cache / "collector" / hashlib.sha256(MANIFEST.read_bytes()).hexdigest()[:16] / "otelcol-core"


@pytest.fixture(scope="session")
def otelcol() -> str:
    """The collector's binary."""
    path = Path(os.environ.get("STREAMSPAN_OTELCOL") or built_binary())
    if not path.is_file():
        missing = f"there is no collector at {path}; run .ci/build-collector, or name one by STREAMSPAN_OTELCOL"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return str(path)


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


class Collector:
    """A running collector: where it takes OTLP, and what it has written."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, ports: list[int]) -> None:
        self.process = process
        self._log = log
        self.endpoints: dict[Protocol, str] = {
            "grpc": f"http://127.0.0.1:{ports[0]}",
            "http": f"http://127.0.0.1:{ports[1]}",
        }

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while "Everything is ready" not in self.log:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def running(otelcol: str, directory: Path, **variables: str) -> Iterator[Collector]:
    """Run a collector with the configuration; it is ended with the block."""
    ports = free_ports(3)
    names = ("OTELCOL_GRPC_PORT", "OTELCOL_HTTP_PORT", "OTELCOL_METRICS_PORT")
    own = {name: str(port) for name, port in zip(names, ports, strict=True)}
    path = directory / "collector.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [otelcol, "--config", str(CONFIGURATION)], env=os.environ | own | variables, stderr=log
        )
    collector = Collector(process, path, ports)
    try:
        collector.wait_until_ready()
        yield collector
    finally:
        process.kill()
        process.wait()


def exporters(protocol: Protocol, endpoint: str) -> tuple[Any, Any, Any]:
    """OpenTelemetry's own exporters for the three signals."""
    if protocol == "grpc":
        return GrpcSpanExporter(endpoint), GrpcMetricExporter(endpoint), GrpcLogExporter(endpoint)
    urls = (f"{endpoint}/v1/{name}" for name in ("traces", "metrics", "logs"))
    return HttpSpanExporter(next(urls)), HttpMetricExporter(next(urls)), HttpLogExporter(next(urls))


class Sender:
    """An application that sends the same telemetry by each of its exporters."""

    def __init__(self, *targets: tuple[Protocol, str]) -> None:
        resource = Resource({"service.name": "shop", "deployment.environment.name": "test"})
        by_signal = list(zip(*(exporters(*target) for target in targets), strict=True))
        self.traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        for exporter in by_signal[0]:
            self.traces.add_span_processor(BatchSpanProcessor(exporter))
        self.metrics = MeterProvider(
            [PeriodicExportingMetricReader(exporter) for exporter in by_signal[1]], resource, shutdown_on_exit=False
        )
        self.logs = LoggerProvider(resource, shutdown_on_exit=False)
        for exporter in by_signal[2]:
            self.logs.add_log_record_processor(BatchLogRecordProcessor(exporter))

    def send(self) -> None:
        """Send spans like those of streams, histograms with exemplars, and log events."""
        tracer = self.traces.get_tracer("streamspan", "1.0")
        meter = self.metrics.get_meter("streamspan")
        wait = meter.create_histogram("streamspan.wait.max", "s", explicit_bucket_boundaries_advisory=[0.1, 1.5])
        active = meter.create_up_down_counter("streamspan.active", "{stream}")
        for number in range(SPANS):
            attributes: Attributes = {
                "gen_ai.request.model": "m1",
                "number": number,
                "finish": ["stop"],
                "share": number / 7,
            }
            span = tracer.start_span(f"chat {number}", kind=SpanKind.CLIENT, attributes=attributes)
            for index in range(EVENTS):
                span.add_event("streamspan.chunk", {"streamspan.chunk.index": index}, timestamp=1_000_000 + index)
            if number % 3 == 0:
                span.set_status(Status(StatusCode.ERROR, "reset"))
            context = set_span_in_context(span)
            wait.record(number / 100, {"gen_ai.request.model": "m1"}, context=context)
            active.add(1 if number % 2 else -1)
            self.logs.get_logger("streamspan").emit(
                event_name="streamspan.cancelled", severity_text="INFO", body={"n": number}, context=context
            )
            span.end()

    def shutdown(self) -> None:
        for provider in (self.traces, self.metrics, self.logs):
            provider.shutdown()


def in_order(items: list[Item]) -> list[Item]:
    """Sort items: batches may overtake each other."""
    return sorted(items, key=lambda item: (item.get("name", ""), item.get("span_id", ""), item.get("time", 0)))


def test_the_configuration_is_valid(otelcol: str) -> None:
    """`validate` accepts it: no unknown key, no dangling reference."""
    ended = subprocess.run(
        [otelcol, "validate", "--config", str(CONFIGURATION)], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_it_starts_works_and_stops_without_a_complaint(otelcol: str, tmp_path: Path) -> None:
    """No warning in its log, deprecated names included, and SIGTERM ends it with success."""
    with OtlpSink() as backend, running(otelcol, tmp_path, BACKEND_HTTP=backend.endpoint) as collector:
        sender = Sender(("http", collector.endpoints["http"]))
        sender.traces.get_tracer("test").start_span("one").end()
        sender.shutdown()
        # A collector listens for signals only after it has said that it is ready (0.159): not to be sent one before.
        backend.wait_until(lambda: len(backend.spans) == 1)
        assert collector.stop() == 0
        levels = [line.split("\t")[1] for line in collector.log.splitlines() if line.count("\t") > 2]
        assert set(levels) == {"info"}, collector.log
        assert "deprecat" not in collector.log.lower()


@pytest.mark.parametrize(("incoming", "outgoing"), [("http", "http"), ("grpc", "grpc")])
def test_what_is_sent_arrives_unchanged(otelcol: str, tmp_path: Path, incoming: Protocol, outgoing: Protocol) -> None:
    """200 spans of 40 events, their metrics and logs: the backend gets what it would get directly, all of it."""
    with OtlpSink(outgoing) as backend, OtlpSink(incoming) as direct:
        names = f"[otlp_{outgoing}]"
        variables = {
            "BACKEND_HTTP": backend.endpoint,
            "BACKEND_GRPC": f"127.0.0.1:{backend.port}",
            "TRACES_EXPORTERS": names,
            "METRICS_EXPORTERS": names,
            "LOGS_EXPORTERS": names,
        }
        with running(otelcol, tmp_path, **variables) as collector:
            sender = Sender((incoming, collector.endpoints[incoming]), (incoming, direct.endpoint))
            sender.send()
            sender.shutdown()
            # A collector that ends sends off what it still has: nothing has to be waited for.
            assert collector.stop() == 0
        assert [len(direct.items[name]) for name in ("traces", "logs")] == [SPANS, SPANS]
        assert sum(len(span["events"]) for span in backend.spans) == SPANS * EVENTS
        assert in_order(backend.spans) == in_order(direct.spans)
        assert in_order(backend.logs) == in_order(direct.logs)
        assert {metric["name"] for metric in backend.metrics} == {"streamspan.wait.max", "streamspan.active"}
        assert without_times(backend.metrics) == without_times(direct.metrics)


def test_a_request_of_many_megabytes_arrives_in_parts_that_backends_take(otelcol: str, tmp_path: Path) -> None:
    """Eight MiB by gRPC to a backend that takes four at once: nothing is refused on the way in or out."""
    with OtlpSink("grpc") as backend:
        variables = {"BACKEND_GRPC": f"127.0.0.1:{backend.port}", "TRACES_EXPORTERS": "[otlp_grpc]"}
        with running(otelcol, tmp_path, **variables) as collector:
            sender = Sender(("grpc", collector.endpoints["grpc"]))
            tracer = sender.traces.get_tracer("test")
            for number in range(128):
                tracer.start_span(f"{number}", attributes={"long": f"{number:04}" * 2**14}).end()
            sender.shutdown()
            assert collector.stop() == 0
        assert {span["name"] for span in backend.spans} == {f"{number}" for number in range(128)}
        assert len(backend.requests) > 2


def without_times(metrics: list[Item]) -> list[Item]:
    """Leave out when each reader collected: two readers have two times."""
    return in_order(
        [
            metric
            | {"points": [{key: value for key, value in point.items() if key != "time"} for point in metric["points"]]}
            for metric in metrics
        ]
    )


def test_debug_writes_what_passes(otelcol: str, tmp_path: Path) -> None:
    """The debug exporter is one variable away."""
    with OtlpSink() as backend:
        variables = {"TRACES_EXPORTERS": "[otlp_http, debug]", "DEBUG_VERBOSITY": "detailed"}
        with running(otelcol, tmp_path, BACKEND_HTTP=backend.endpoint, **variables) as collector:
            sender = Sender(("http", collector.endpoints["http"]))
            sender.traces.get_tracer("test").start_span("seen in passing").end()
            sender.shutdown()
            assert collector.stop() == 0
            assert "seen in passing" in collector.log
        assert [span["name"] for span in backend.spans] == ["seen in passing"]
