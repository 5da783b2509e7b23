"""The other ways to start: an application that knows nothing of streamspan delivers the same spans."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from end_to_end import checks
from end_to_end.jobs import demo_jobs
from end_to_end.stage import Ended, Stage, to
from otlp_sink import Item, OtlpSink

_NAMES = {"chat-tools", "act-close", "chat-short", "chat-reasoning", "chat-status_429"}
_QUIET = ("-W", "ignore::DeprecationWarning")
_RUN = (sys.executable, *_QUIET, "-m", "streamspan", "run")
# What the script `opentelemetry-instrument` does.
_INSTRUMENT = "from opentelemetry.instrumentation.auto_instrumentation import run; run()"
_AGENT = (sys.executable, "-c", _INSTRUMENT, sys.executable, *_QUIET)
_ENTRY_POINT = "[opentelemetry_instrumentor]\nstreamspan = streamspan.instrumentor:StreamspanInstrumentor\n"
# What opentelemetry-distro registers: the SDK set up from the environment, before anything is instrumented.
_CONFIGURATOR = "[opentelemetry_configurator]\nsdk = opentelemetry.sdk._configuration:_OTelSDKConfigurator\n"
_WITH_SDK = {
    "OTEL_TRACES_EXPORTER": "otlp_proto_http",
    "OTEL_METRICS_EXPORTER": "otlp_proto_http",
    "OTEL_LOGS_EXPORTER": "otlp_proto_http",
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One scenario of each kind."""
    with Stage(job for job in demo_jobs() if job.name in _NAMES) as stage:
        assert len(stage.cast) == 2 * len(_NAMES)
        yield stage


@pytest.fixture(scope="module")
def expected(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> dict[checks.Key, object]:
    """What arrives when the application calls `streamspan.instrument()`."""
    with OtlpSink() as sink:
        ended = stage.play(tmp_path_factory.mktemp("own"), to(sink.endpoint, "http"))
        assert (ended.status, ended.stderr) == (0, "")
        return _shapes(sink.spans, stage)


def _shapes(spans: list[Item], stage: Stage) -> dict[checks.Key, object]:
    found: dict[checks.Key, object] = {checks.key_of(span["attributes"]): checks.shape_of(span) for span in spans}
    assert len(found) == len(spans) == len(stage.cast)
    return found


def _metadata(directory: Path, name: str, text: str) -> None:
    """Make an installed distribution that is nothing but entry points."""
    info = directory / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(text)


def _variables(endpoint: str, site: Path, *, has_sdk: bool) -> dict[str, str]:
    variables = to(endpoint, "http", **(_WITH_SDK if has_sdk else {}))
    site.mkdir()
    if "streamspan" not in entry_points(group="opentelemetry_instrumentor").names:  # run from a checkout
        _metadata(site, "streamspan", _ENTRY_POINT)
    if has_sdk:
        _metadata(site, "configurator", _CONFIGURATOR)
    return variables | {"PYTHONPATH": f"{site}:{variables['PYTHONPATH']}"}


def _play(stage: Stage, directory: Path, variables: dict[str, str], *starter: str) -> Ended:
    ended = stage.play(directory, variables, is_instrumented=False, starter=starter)
    assert (ended.status, ended.stderr) == (0, "")
    return ended


def test_streamspan_run_delivers_the_same_spans(
    stage: Stage, expected: dict[checks.Key, object], tmp_path: Path
) -> None:
    """`streamspan run application.py` is `streamspan.instrument()` without a change of the application."""
    with OtlpSink() as sink:
        _play(stage, tmp_path, to(sink.endpoint, "http"), *_RUN)
        assert _shapes(sink.spans, stage) == expected
        assert "gen_ai.client.operation.duration" in {metric["name"] for metric in sink.metrics}


@pytest.mark.parametrize("has_sdk", [False, True], ids=["alone", "with-sdk"])
def test_the_agent_delivers_the_same_spans(
    has_sdk: bool, stage: Stage, expected: dict[checks.Key, object], tmp_path: Path
) -> None:
    """`opentelemetry-instrument` finds the entry point, with and without a distribution that sets the SDK up."""
    with OtlpSink() as sink:
        variables = _variables(sink.endpoint, tmp_path / "site", has_sdk=has_sdk)
        _play(stage, tmp_path, variables, *_AGENT)
        assert _shapes(sink.spans, stage) == expected
        assert "gen_ai.client.operation.duration" in {metric["name"] for metric in sink.metrics}
