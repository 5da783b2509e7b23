"""Library, collector, Prometheus, Jaeger: the real programs, with applications that have streamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from backends.collectors import Collector
from backends.dash_prometheus import Api, ShippedPrometheus
from backends.jaegers import Jaeger
from backends.programs import until

APPLICATION = Path(__file__).with_name("dash_application.py")
SERVICES = {"shop": "released", "lab": "latest", "both": "both"}
"""The applications, and which names of the conventions they use."""
_FOREIGN = ("OTEL_", "STREAMSPAN_", "OPENAI_")


@dataclass(frozen=True)
class Played:
    """What one application did, and when it sent what.

    Args:
        service: its name.
        sessions: what `on_session_end` told it.
        held_at: when it sent metrics while a stream was open.
        ended_at: when it sent them last; the values of that export are exactly those of the sessions.
    """

    service: str
    sessions: Sequence[Mapping[str, Any]]
    held_at: float
    ended_at: float


@dataclass(frozen=True)
class Picture:
    """A Prometheus and a Jaeger with what the applications sent."""

    prometheus: Api
    jaeger: Jaeger
    applications: Mapping[str, Played]
    started_at: float


def play(service: str, semconv: str, endpoint: str, prometheus: Api, directory: Path) -> Played:
    """Run the application and wait until Prometheus has all that it sent."""
    report = directory / f"{service}.json"
    base = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    path = os.pathsep.join(each for each in sys.path if each)
    own = {
        "PYTHONPATH": path,
        "OTEL_SERVICE_NAME": service,
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "STREAMSPAN_SEMCONV": semconv,
    }
    selector = f'streamspan_active{{service_name="{service}",gen_ai_request_model="gpt-4o"}}'
    with subprocess.Popen(
        [sys.executable, APPLICATION, report], env=base | own, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "sent\n"
        held_at = until(lambda: _last(prometheus, selector, 1))
        process.communicate("\n", timeout=60)
    assert process.returncode == 0
    ended_at = until(lambda: _last(prometheus, selector, 0))
    return Played(service, json.loads(report.read_text(encoding="utf-8")), held_at, ended_at)


def _last(prometheus: Api, selector: str, value: float) -> float:
    """Return the time of the newest sample, if that is the one that is waited for, else zero."""
    found = prometheus.samples(selector, time.time())
    newest = max((sample for samples in found.values() for sample in samples), default=None)
    return newest[0] if newest is not None and newest[1] == value else 0


@pytest.fixture(scope="session")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Picture]:
    """A Prometheus and a Jaeger that the applications have sent to, through a collector, one after the other."""
    directory = tmp_path_factory.mktemp("picture")
    started_at = time.time()
    with ShippedPrometheus(directory) as prometheus, Jaeger(directory / "jaeger") as jaeger:
        variables = {"PROMETHEUS_ENDPOINT": f"{prometheus.api.url}/api/v1/otlp", "JAEGER_ENDPOINT": jaeger.address}
        with Collector("local", directory / "collector", **variables) as collector:
            applications = {
                service: play(service, semconv, collector.http, prometheus.api, directory)
                for service, semconv in SERVICES.items()
            }
            yield Picture(prometheus.api, jaeger, applications, started_at)
