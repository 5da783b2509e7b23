"""`streamspan doctor` in front of real programs: it says what is wrong, and what to do."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backends.collectors import Collector
from backends.jaegers import Jaeger
from backends.programs import free_ports
from streamspan.cli._findings import Check
from streamspan.cli._settings import delivery

# A gRPC server greets and closes: whether the greeting is seen before the end is a race.
_NO_HTTP = "closes the connection without an answer|does not speak HTTP/1.1, it looks like a gRPC port"


@dataclass
class Place:
    """A collector, a Jaeger, and a port at which nobody listens."""

    collector: Collector
    jaeger: Jaeger
    nobody: str

    def named(self, name: str) -> str:
        """Return an endpoint by its name in the tables below."""
        at = f"http://127.0.0.1:{self.collector.ports.get(name, 0)}"
        secure = self.collector.http.replace("http://", "https://")
        others = {
            "nobody": self.nobody,
            "jaeger": self.jaeger.url,
            "secure": secure,
            "path": f"{self.collector.http}/v1",
        }
        return others.get(name, at)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A collector and a Jaeger that run."""
    home = tmp_path_factory.mktemp("doctor")
    (port,) = free_ports(1)
    with (
        Jaeger(home / "jaeger") as jaeger,
        Collector(
            "local", home / "collector", TRACES_EXPORTERS="[debug]", METRICS_EXPORTERS="[debug, prometheus]"
        ) as collector,
    ):
        yield Place(collector, jaeger, f"http://127.0.0.1:{port}")


def told(monkeypatch: pytest.MonkeyPatch, endpoint: str, protocol: str) -> Check:
    """Return what the command says of delivery."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    if protocol:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    (check,) = delivery()
    return check


@pytest.mark.parametrize(("name", "protocol"), [("HTTP", "http/protobuf"), ("GRPC", "grpc"), ("HTTP", "")])
def test_a_collector_that_takes_it_is_fine(
    monkeypatch: pytest.MonkeyPatch, place: Place, name: str, protocol: str
) -> None:
    """The test span is taken, and passes."""
    check = told(monkeypatch, place.named(name), protocol)
    assert (check.mark, check.remedy) == ("ok", "")
    assert check.detail == f"took a test span by {protocol or 'http/protobuf'}"


@pytest.mark.parametrize(
    ("name", "protocol", "problem", "remedy"),
    [
        ("nobody", "http/protobuf", "refuses connections, nothing listens there", "Start an OpenTelemetry Collector"),
        ("nobody", "grpc", "refuses connections, nothing listens there", "Start an OpenTelemetry Collector"),
        (
            "HTTP",
            "grpc",
            "does not speak gRPC, it looks like an HTTP port",
            "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
        ),
        ("GRPC", "http/protobuf", _NO_HTTP, "4317 for OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("GRPC", "", _NO_HTTP, "4317 for OTEL_EXPORTER_OTLP_PROTOCOL=grpc"),
        ("secure", "http/protobuf", "fails the TLS handshake", "begin OTEL_EXPORTER_OTLP_ENDPOINT with http://"),
        ("secure", "grpc", "fails the TLS handshake", "begin OTEL_EXPORTER_OTLP_ENDPOINT with http://"),
        ("path", "http/protobuf", "/v1/v1/traces answers HTTP 404 Not Found", "Check the path"),
        ("METRICS", "http/protobuf", "answers HTTP 404 Not Found", "Check the path"),
        ("HEALTH", "http/protobuf", "answers with success, but with application/json", "4318"),
        ("SCRAPE", "http/protobuf", "answers HTTP 404 Not Found", "Check the path"),
        ("jaeger", "http/protobuf", "answers with success, but with text/html", "4318"),
        ("jaeger", "grpc", "does not speak gRPC, it looks like an HTTP port", "usual ports"),
    ],
)
def test_what_is_wrong_is_said(
    monkeypatch: pytest.MonkeyPatch, place: Place, name: str, protocol: str, problem: str, remedy: str
) -> None:
    """A wrong port, a wrong protocol, a wrong path, TLS where there is none, and a collector that is not there."""
    check = told(monkeypatch, place.named(name), protocol)
    assert check.mark == "fail"
    assert re.search(problem, check.detail), check.detail
    assert remedy in check.remedy
    assert place.named(name).partition("://")[2].partition("/")[0] in check.detail


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_a_collector_that_hangs_is_told(monkeypatch: pytest.MonkeyPatch, place: Place, protocol: str) -> None:
    """One that accepts connections and never answers is no riddle, and the command does not hang with it."""
    place.collector.send_signal(signal.SIGSTOP)
    try:
        check = told(monkeypatch, place.named("GRPC" if protocol == "grpc" else "HTTP"), protocol)
    finally:
        place.collector.send_signal(signal.SIGCONT)
    assert check.mark == "fail"
    assert "does not answer in time" in check.detail


def test_the_command_says_it(place: Place) -> None:
    """What is told above is what a person reads, and the status tells a script."""
    own = {"OTEL_EXPORTER_OTLP_ENDPOINT": place.nobody, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", "streamspan", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | own, timeout=100)
    assert done.returncode == 1
    assert f"{place.nobody} refuses connections, nothing listens there." in done.stdout
    assert "Start an OpenTelemetry Collector there" in done.stdout
