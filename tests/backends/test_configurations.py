"""The bundled configurations in a real collector: valid, current, and nothing is lost or changed on the way."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from backends.collectors import CONFIGURATIONS, Collector, Configuration
from backends.jaegers import Jaeger
from backends.programs import FILES, binary, until
from otlp_sink import OtlpSink, Protocol

_TO_BACKEND = dict.fromkeys(("TRACES_EXPORTERS", "METRICS_EXPORTERS", "LOGS_EXPORTERS"), "[otlp_http/backend]")
_HARMLESS = re.compile(r"^\S+\twarn\t.*ui assets not embedded in the binary")


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_configuration_is_valid(name: str) -> None:
    """`validate` accepts it as it is, without any variable: no unknown key, no dangling reference, no word of warning."""
    command = [binary("otelcol"), "validate", "--config", str(FILES / f"{name}.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_planted_fault_is_found(tmp_path: Path) -> None:
    """The test above can fail: a key that does not exist is one too many."""
    text = (FILES / "gateway.yaml").read_text(encoding="utf-8")
    (tmp_path / "faulty.yaml").write_text(text.replace("decision_wait:", "decision_weight:"), encoding="utf-8")
    command = [binary("otelcol"), "validate", "--config", str(tmp_path / "faulty.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "decision_weight" in done.stderr


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_it_starts_works_and_stops_without_a_complaint(tmp_path: Path, name: Configuration) -> None:
    """No warning in its log, deprecated names included, and SIGTERM ends it with success."""
    with OtlpSink("grpc") as backend:
        variables = {"JAEGER_ENDPOINT": f"127.0.0.1:{backend.port}", "GATEWAYS": f"[127.0.0.1:{backend.port}]"}
        with Collector(name, tmp_path, METRICS_EXPORTERS="[debug]", DECISION_WAIT="1s", **variables) as collector:
            _send(collector, "http", failed=True)
            backend.wait_until(lambda: len(backend.spans) == 1)
            assert collector.stop() == 0
            assert collector.levels == {"info"}, collector.log
            assert "deprecat" not in collector.log.lower()


def test_jaeger_starts_without_a_complaint(tmp_path: Path) -> None:
    """Nor does its log name anything unknown or deprecated; that a built one has no pages is no fault."""
    with Jaeger(tmp_path) as jaeger:
        assert jaeger.stop() == 0
        lines = jaeger.log.splitlines()
        assert [line for line in lines if "\twarn\t" in line and not _HARMLESS.match(line)] == []
        assert [line for line in lines if "\terror\t" in line or "deprecat" in line] == []


def test_shared_parts_are_the_same_everywhere() -> None:
    """What protects content and memory is written down in each file, because each is used alone."""
    read = {name: yaml.safe_load((FILES / f"{name}.yaml").read_text(encoding="utf-8")) for name in CONFIGURATIONS}
    shared = ("memory_limiter", "transform/content", "redaction/secrets", "transform/status")
    for first, second in itertools.pairwise(CONFIGURATIONS):
        assert [read[first]["processors"][part] for part in shared] == [
            read[second]["processors"][part] for part in shared
        ]
    for name, pipeline in ((n, p) for n in read for p in read[n]["service"]["pipelines"].items()):
        receives_otlp = "otlp" in pipeline[1]["receivers"]
        assert not receives_otlp or pipeline[1]["processors"][0] == "memory_limiter", (name, pipeline[0])


def test_every_variable_is_in_the_manual() -> None:
    """Name and default of each, as the files have them."""
    manual = (FILES / "README.md").read_text(encoding="utf-8")
    files = [FILES / f"{name}.yaml" for name in CONFIGURATIONS] + [FILES / "jaeger" / "jaeger.yaml"]
    used = {
        found for file in files for found in re.findall(r"\$\{env:(\w+):-([^}]*)\}", file.read_text(encoding="utf-8"))
    }
    assert len(used) > 20
    rows = [line for line in manual.splitlines() if line.startswith("| `")]
    for variable, default in sorted(used):
        (row,) = (row for row in rows if row.startswith(f"| `{variable}` |"))
        assert f"`{default}`" in row, (variable, default)
    named = {match for row in rows for match in re.findall(r"^\| `([A-Z_]+)` \|", row)}
    assert named - {variable for variable, _ in used} == set()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_request_of_many_megabytes_arrives_in_parts_that_backends_take(tmp_path: Path, protocol: Protocol) -> None:
    """Twenty MiB, more than a receiver takes by default, to a backend that takes four at once: nothing is refused."""
    with OtlpSink("grpc") as backend:
        variables = {"JAEGER_ENDPOINT": f"127.0.0.1:{backend.port}", "METRICS_EXPORTERS": "[debug]"}
        with Collector("local", tmp_path, **variables) as collector:
            tracers = _tracers(collector, protocol)
            for number in range(400):
                tracers.get_tracer("test").start_span(f"{number}", attributes={"long": f"{number:04}" * 2**14}).end()
            tracers.shutdown()
            backend.wait_until(lambda: len(backend.spans) == 400)
            assert collector.own("otelcol_receiver_refused_spans") == 0
        assert {span["name"] for span in backend.spans} == {f"{number}" for number in range(400)}
        assert len(backend.requests) > 5


def test_debug_writes_what_passes(tmp_path: Path) -> None:
    """The debug exporter is one variable away."""
    variables = {"TRACES_EXPORTERS": "[debug]", "METRICS_EXPORTERS": "[debug]", "DEBUG_VERBOSITY": "detailed"}
    with Collector("local", tmp_path, **variables) as collector:
        _send(collector, "http")
        until(lambda: collector.log, lambda log: "seen in passing" in log)


def test_headers_for_a_backend_come_from_a_variable(tmp_path: Path) -> None:
    """A credential is in no file."""
    with OtlpSink() as backend:
        variables = {"BACKEND_ENDPOINT": backend.endpoint, "BACKEND_HEADERS": '{x-api-key: "a b"}'} | _TO_BACKEND
        with Collector("local", tmp_path, **variables) as collector:
            _send(collector, "http")
            backend.wait_until(lambda: len(backend.spans) == 1)
        headers: dict[str, Any] = backend.requests[0]["headers"]
        assert {name.lower(): value for name, value in headers.items()}["x-api-key"] == "a b"


def _tracers(collector: Collector, protocol: Protocol) -> TracerProvider:
    kind = GrpcSpanExporter if protocol == "grpc" else HttpSpanExporter
    endpoint = collector.grpc if protocol == "grpc" else f"{collector.http}/v1/traces"
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(kind(endpoint)))
    return provider


def _send(collector: Collector, protocol: Protocol, *, failed: bool = False) -> None:
    tracers = _tracers(collector, protocol)
    outcome = "error" if failed else "completed"
    tracers.get_tracer("test").start_span("seen in passing", attributes={"streamspan.outcome": outcome}).end()
    tracers.shutdown()


def test_the_command_validates_them(tmp_path: Path) -> None:
    """`streamspan collector --check` finds the three configurations, and nothing else to check."""
    out = tmp_path / "out"
    environment = os.environ | {
        "STREAMSPAN_OTELCOL": binary("otelcol"),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [sys.executable, "-m", "streamspan", "collector", "--out", str(out), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert checked == [str(out / f"{name}.yaml") for name in sorted(CONFIGURATIONS)]
