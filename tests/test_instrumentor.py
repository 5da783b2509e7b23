"""OpenTelemetry's own way in: the instrumentor, and the agent that finds it by its entry point."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamspan
from streamspan import StreamspanInstrumentor, _api
from support.telemetry import Told

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def instrumentor() -> Iterator[StreamspanInstrumentor]:
    made = StreamspanInstrumentor()
    yield made
    if made.is_instrumented_by_opentelemetry:
        made.uninstrument()


def test_it_takes_providers_and_is_undone(instrumentor: StreamspanInstrumentor) -> None:
    """As every OpenTelemetry instrumentation."""
    told = Told()
    instrumentor.instrument(tracer_provider=told.tracers, meter_provider=told.meters, logger_provider=told.loggers)
    assert list(streamspan.observe("ab", provider="acme")) == ["a", "b"]
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.count_of("gen_ai.client.operation.duration") == 1
    instrumentor.uninstrument()
    assert _api.runtime() is None
    list(streamspan.observe("ab", provider="acme"))
    assert len(told.spans) == 1


def test_it_takes_the_arguments_of_instrument(instrumentor: StreamspanInstrumentor) -> None:
    """And those that the agent adds, which concern only the agent."""
    told = Told()
    instrumentor.instrument(
        tracer_provider=told.tracers,
        meter_provider=told.meters,
        logger_provider=told.loggers,
        libraries=[],
        config=streamspan.Config(events="off"),
        on_session_end=told.summaries.append,
        skip_dep_check=True,
        raise_exception_on_conflict=True,
    )
    list(streamspan.observe("ab", provider="acme"))
    assert told.summary.outcome == "completed"
    assert told.span.events == ()


def test_a_wrong_argument_is_a_config_error_and_can_be_put_right(instrumentor: StreamspanInstrumentor) -> None:
    """The failed attempt does not count."""
    with pytest.raises(streamspan.ConfigError):
        instrumentor.instrument(libraries=["opnai"])
    told = Told()
    instrumentor.instrument(tracer_provider=told.tracers, meter_provider=told.meters, logger_provider=told.loggers)
    assert _api.runtime() is not None


def test_options_can_be_given_by_themselves(instrumentor: StreamspanInstrumentor) -> None:
    """As a declarative configuration file gives them; they beat nothing but the environment."""
    told = Told()
    instrumentor.instrument(
        tracer_provider=told.tracers,
        meter_provider=told.meters,
        logger_provider=told.loggers,
        events="off",
        libraries=["httpx"],
    )
    runtime = _api.runtime()
    assert runtime is not None
    assert runtime.config.events == "off"
    assert set(runtime.patches) == {"asyncio", "httpx"}


def test_options_beside_a_whole_configuration_are_a_config_error(instrumentor: StreamspanInstrumentor) -> None:
    """Either would be lost in silence."""
    with pytest.raises(streamspan.ConfigError) as raised:
        instrumentor.instrument(config=streamspan.Config(), events="off", console=True)
    assert str(raised.value) == "instrument(config=..., events, console=...): allowed is one or the other"
    with pytest.raises(streamspan.ConfigError, match="Config\\(events='nowhere'\\): allowed is"):
        instrumentor.instrument(events="nowhere")
    assert _api.runtime() is None


def test_it_depends_on_no_library(instrumentor: StreamspanInstrumentor) -> None:
    """Everything is patched when it is there; the agent must not skip it."""
    assert list(instrumentor.instrumentation_dependencies()) == []


# --- the agent -----------------------------------------------------------------------------------------------------------------

APPLICATION = """
    import openai, sys
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    import streamspan
    print(list(streamspan.observe("ab", provider="acme")))
    print([(span.name, span.attributes["streamspan.outcome"]) for span in exporter.get_finished_spans()])
    print(hasattr(openai._base_client.SyncAPIClient.request, "__wrapped__"))
    print([argument for argument in sys.argv[1:]])
"""


def agent(tmp_path: Path, *, how: str, **variables: str) -> Any:
    """Run an application under the agent; streamspan is installed by its metadata alone."""
    script = tmp_path / "app.py"
    script.write_text(textwrap.dedent(APPLICATION))
    info = tmp_path / "streamspan-0.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: streamspan\nVersion: 0.0.0\n")
    (info / "entry_points.txt").write_text(
        "[opentelemetry_instrumentor]\nstreamspan = streamspan.instrumentor:StreamspanInstrumentor\n"
    )
    command = {
        "script": [str(Path(sys.executable).parent / "opentelemetry-instrument")],
        "function": [sys.executable, "-c", "from opentelemetry.instrumentation.auto_instrumentation import run; run()"],
    }[how]
    path = os.pathsep.join([str(tmp_path), str(ROOT / "src"), *filter(None, sys.path)])
    return subprocess.run(
        [*command, sys.executable, str(script), "--flag"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], **_SILENT, **variables},
    )


_SILENT = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
_has_script = Path(sys.executable).with_name("opentelemetry-instrument").exists()


@pytest.mark.parametrize(
    "how",
    [
        "function",
        pytest.param("script", marks=pytest.mark.skipif(not _has_script, reason="the agent's script is not installed")),
    ],
)
def test_the_agent_finds_it(tmp_path: Path, how: str) -> None:
    """No line of code: the application's own provider, set later, gets the spans; arguments arrive, nothing is said."""
    result = agent(tmp_path, how=how)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["['a', 'b']", "[('chat', 'completed')]", "True", "['--flag']"]


def test_the_agent_can_be_told_to_leave_it_out(tmp_path: Path) -> None:
    """By the variable that works for every instrumentation."""
    result = agent(tmp_path, how="function", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="other, streamspan")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["['a', 'b']", "[]", "False", "['--flag']"]


def test_malformed_variables_do_not_stop_the_agent(tmp_path: Path) -> None:
    """One warning for each; the agent would give up on every instrumentation if ours raised."""
    result = agent(tmp_path, how="function", STREAMSPAN_CHUNK_EVENTS="²", STREAMSPAN_LIBRARIES="openai,opnai")
    assert result.returncode == 0
    assert result.stdout.splitlines() == ["['a', 'b']", "[('chat', 'completed')]", "True", "['--flag']"]
    assert [line.partition(" ")[0].partition("=")[0] for line in result.stderr.splitlines()] == [
        "STREAMSPAN_CHUNK_EVENTS", "STREAMSPAN_LIBRARIES",
    ]  # fmt: skip
