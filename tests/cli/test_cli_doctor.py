"""`streamspan doctor`: what is wrong is found, what is right is not, and the status says which."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli.process import Cli
from otlp_sink import OtlpSink
from streamspan import _api
from streamspan._patching import Patch, Patches
from streamspan.cli import _checks, main
from streamspan.cli._findings import Check
from streamspan.cli.doctor import text
from streamspan.integrations import Integration

Report = Callable[..., dict[str, Any]]


@pytest.fixture
def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Report:
    """Examine this process, with variables; return the report as it is printed for machines, and the exit status."""

    def examine(**variables: str) -> dict[str, Any]:
        for name, value in {"OTEL_TRACES_EXPORTER": "none", **variables}.items():
            monkeypatch.setenv(name, value)
        status = main(["doctor", "--json"])
        told = capsys.readouterr()
        assert told.err == ""
        return {**json.loads(told.out), "status": status}

    return examine


def worries(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(check["mark"], check["title"]) for check in found["checks"] if check["mark"] in {"warn", "fail"}]


def test_all_is_well_when_the_endpoint_takes_the_test_span(cli: Cli) -> None:
    """With a receiver the status is 0, every seam of the SDK is patched, and exactly one span has arrived."""
    with OtlpSink("http") as sink:
        done = cli("doctor", OTEL_EXPORTER_OTLP_ENDPOINT=sink.endpoint, OTEL_TRACES_EXPORTER="otlp")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.endswith("took a test span by http/protobuf\n\nAll is well.\n")
        assert [span["name"] for span in sink.spans] == ["streamspan doctor"]
    assert "patched in openai._base_client" in done.stdout


def test_an_endpoint_that_refuses_is_a_failure(report: Report) -> None:
    """Where nothing listens the status is 1, and the report says where and what to do."""
    found = report(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", OTEL_TRACES_EXPORTER="otlp")
    assert (found["status"], found["is_well"], worries(found)) == (1, False, [("fail", "endpoint")])
    assert "127.0.0.1:1 refuses connections" in found["checks"][-1]["detail"]
    assert found["checks"][-1]["remedy"]


def test_nothing_to_send_is_nothing_to_complain_of(report: Report) -> None:
    """With OTEL_TRACES_EXPORTER=none the endpoint is not tried."""
    found = report()
    assert (found["status"], found["is_well"], worries(found)) == (0, True, [])


def test_telemetry_that_is_switched_off_is_told(report: Report) -> None:
    """OTEL_SDK_DISABLED is a warning: nothing is recorded however well it all works."""
    assert worries(report(OTEL_SDK_DISABLED="true")) == [("warn", "telemetry")]


def test_options_are_shown_with_their_source(report: Report) -> None:
    """A variable that is set is in force; one that is malformed is not, and is warned of once."""
    found = report(STREAMSPAN_STALL_SECONDS="never", STREAMSPAN_EVENTS="both", OTEL_EXPORTER_OTLP_PROTOCOL="quic")
    shown = {check["title"]: check["detail"] for check in found["checks"] if check["section"] == "Configuration"}
    assert shown["events"] == "both  (environment, STREAMSPAN_EVENTS)"
    assert shown["stall_seconds"] == "5  (default, STREAMSPAN_STALL_SECONDS)"
    assert worries(found) == [("warn", "STREAMSPAN_STALL_SECONDS"), ("warn", "OTEL_EXPORTER_OTLP_PROTOCOL")]
    assert found["status"] == 1


def test_libraries_that_are_left_out_are_named(report: Report) -> None:
    """What the configuration leaves out is no failure, and shown as such."""
    found = report(STREAMSPAN_LIBRARIES="httpx")
    openai = next(check for check in found["checks"] if check["title"] == "openai")
    assert openai["mark"] == "none"
    assert openai["detail"].endswith("left out by STREAMSPAN_LIBRARIES or STREAMSPAN_EXCLUDE")


def test_another_instrumentation_of_the_same_sdk_is_a_warning(
    report: Report, monkeypatch: pytest.MonkeyPatch, distribution: Callable[..., Path]
) -> None:
    """An entry point for the same SDK doubles every call; its name in the variable of the remedy settles it."""
    site = distribution(
        "opentelemetry-instrumentation-openai",
        "0.62.4",
        "[opentelemetry_instrumentor]\nopenai = opentelemetry.instrumentation.openai:OpenAIInstrumentor\n",
    )
    monkeypatch.syspath_prepend(str(site))
    found = report()
    assert (found["status"], worries(found)) == (1, [("warn", "openai")])
    warning = next(check for check in found["checks"] if check["mark"] == "warn")
    assert warning["remedy"] == "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai"
    assert worries(report(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="openai")) == []


@pytest.mark.parametrize(
    ("name", "value", "is_double"),
    [
        ("openai", "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor", True),
        ("openai-v2", "somewhere.else:Instrumentor", True),
        ("genai-openai", "somewhere.else:Instrumentor", True),
        ("oi", "openinference.instrumentation.openai:OpenAIInstrumentor", True),
        ("openai_agents", "opentelemetry.instrumentation.openai_agents:OpenAIAgentsInstrumentor", False),
        ("httpx", "opentelemetry.instrumentation.httpx:HTTPXClientInstrumentor", False),
        ("streams", "opentelemetry.instrumentation.redis:RedisInstrumentor", False),
    ],
)
def test_doubles_are_recognised_by_name_or_module(name: str, value: str, is_double: bool) -> None:
    """An entry point is a double if its name or its module is an SDK that is recorded anyway."""
    assert _checks.is_double(name, value, ["openai"]) is is_double


def test_an_instrumentation_that_is_called_is_a_note(
    distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages that instrument only when the application says so are named with that call, and are no warning."""
    monkeypatch.syspath_prepend(str(distribution("logfire", "9.9")))
    found = [check for check in _checks.doubles() if check.title == "logfire"]
    assert [check.mark for check in found] == ["none"]
    assert "logfire.instrument_openai()" in found[0].detail


def test_a_library_that_is_too_old_is_a_warning(
    distribution: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An older version than the oldest supported one is told with what to install; a newer one is not."""
    monkeypatch.syspath_prepend(str(distribution("fakelib", "1.9.3")))

    def mark(oldest: str) -> tuple[str, str]:
        check = _checks._library(Integration("fake", "fakelib", oldest, lambda *_: []), is_wanted=True)
        return check.mark, check.remedy

    assert mark("1.10") == ("warn", 'pip install "fakelib>=1.10"')
    assert mark("1.9") == ("ok", "")


def test_a_seam_that_is_gone_is_a_failure() -> None:
    """A name that a module lacks is a failure, unless it is one that only some versions have."""
    patches = Patches(
        [
            Patch("json", "no_such_name", lambda *_: None),
            Patch("json", "neither_this", lambda *_: None, is_optional=True),
            Patch("no_such_module", "name", lambda *_: None),
            Patch("no_such_module.inside", "name", lambda *_: None, is_optional=True),
        ]
    )
    found = list(_checks._seams(patches))
    assert [check.mark for check in found] == ["fail", "none", "fail", "none"]
    assert [found[1].detail, found[3].detail] == [
        "json of this version has no such seam", "no_such_module is not installed",
    ]  # fmt: skip
    assert found[2].detail.startswith("no_such_module cannot be imported")


def test_nothing_stays_patched() -> None:
    """Looking at the seams leaves the SDK as it was."""
    import openai._base_client  # noqa: PLC0415 - what is looked at

    before = openai._base_client.SyncAPIClient.__dict__["request"]
    assert [check.mark for check in _checks.libraries() if check.mark == "fail"] == []
    assert openai._base_client.SyncAPIClient.__dict__["request"] is before
    assert _api.runtime() is None


def test_what_an_agent_has_instrumented_is_left_in_place() -> None:
    """In a process that is instrumented already the patches in place are shown, and stay."""
    _api.instrument()
    runtime = _api.runtime()
    assert [check for check in _checks.libraries() if check.mark in {"warn", "fail"}] == []
    assert _api.runtime() is runtime


def test_the_report_is_plain_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Colours are for terminals; marks are words either way, and the last line adds up."""
    found = [
        Check(section="A", mark="ok", title="fine", detail="1"),
        Check(section="A", mark="none", title="absent"),
        Check(section="B", mark="warn", title="odd", detail="2", remedy="mend it"),
        Check(section="B", mark="fail", title="broken", detail="3"),
    ]
    assert text(found) == (
        "A\n  ok    fine    1\n  -     absent\n\nB\n  warn  odd     2\n        mend it\n  fail  broken  3\n\n"
        "1 failure and 1 warning."
    )
    assert "\x1b[31mfail\x1b[0m" in text(found, is_coloured=True)
    assert capsys.readouterr().out == ""
    assert sys.stdout.isatty() is False
