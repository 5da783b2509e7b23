"""The real other instrumentations, before and after us: the caller's stream intact, right parents, said once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import openai
import pytest

import streamspan
from streamspan.demo import DemoProvider
from support.openai_sdk import http
from support.telemetry import Told

_TESTS = Path(__file__).parents[1]
# Name of the case: module, class, whether it keeps to one span per call with us.
_OTHERS = {
    "official": ("opentelemetry.instrumentation.genai.openai", "OpenAIInstrumentor", True),
    "openllmetry": ("opentelemetry.instrumentation.openai", "OpenAIInstrumentor", False),
    "openinference": ("openinference.instrumentation.openai", "OpenAIInstrumentor", False),
}
_HTTP = {"httpx": "HTTPXClientInstrumentor", "httpx2": "HTTPX2ClientInstrumentor"}[http.__name__]
_BEFORE_AND_AFTER = pytest.mark.parametrize("is_first", [True, False], ids=["before-us", "after-us"])


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is absent
        return False


def _run(module: str, kind: str, scenario: str, *, is_first: bool, is_suppressed: bool = False) -> dict[str, Any]:
    if not _is_installed(module):
        pytest.skip(f"{module} is not installed")
    options = [name for name, wanted in (("--first", is_first), ("--suppressed", is_suppressed)) if wanted]
    done = subprocess.run(
        [sys.executable, "-m", "peace.application", module, kind, scenario, *options],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _split(found: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the application's span, ours, and the other one's."""
    (app,) = [span for span in found["spans"] if span["scope"] == "app"]
    ours = [span for span in found["spans"] if span["scope"] == "streamspan"]
    return app, ours, [span for span in found["spans"] if span["scope"] not in {"app", "streamspan"}]


@_BEFORE_AND_AFTER
@pytest.mark.parametrize("case", _OTHERS)
@pytest.mark.parametrize(("scenario", "outcome"), [("ok;chunks=4", "completed"), ("short;chunks=4", "truncated")])
def test_other_instrumentation_of_openai(case: str, is_first: bool, scenario: str, outcome: str) -> None:
    """The chunks are those of the bare SDK; one span of ours, or ours in theirs; the double is said once."""
    module, kind, keeps_contract = _OTHERS[case]
    found = _run(module, kind, scenario, is_first=is_first)
    assert found["seen"] == found["bare"]
    assert found["is_app_current"]
    assert found["active"] == 0
    app, ours, theirs = _split(found)
    assert len(theirs) == 2
    assert len(ours) == found["chunks"] == (0 if keeps_contract else 2)
    assert [span["outcome"] for span in (theirs if keeps_contract else ours)] == [outcome] * 2
    assert found["outcomes"] == [outcome] * 2
    assert {span["parent"] for span in ours} <= {app["id"], None, *(span["id"] for span in theirs)}
    assert all(span["status"] == ("ERROR" if outcome == "truncated" else "UNSET") for span in ours)
    (warned,) = found["warned"]
    assert warned.startswith(f"{module}.{kind} records openai too")
    assert "STREAMSPAN_EXCLUDE=openai" in warned


@_BEFORE_AND_AFTER
def test_http_spans_are_inside_ours(is_first: bool) -> None:
    """OpenTelemetry's instrumentation of the HTTP client: each attempt is a child of the stream's span, no warning."""
    found = _run("opentelemetry.instrumentation.httpx", _HTTP, "flaky;fails=1;chunks=4", is_first=is_first)
    app, ours, attempts = _split(found)
    assert [span["parent"] for span in ours] == [app["id"], None]
    assert {span["parent"] for span in attempts} == {span["id"] for span in ours}
    assert found["warned"] == []


@_BEFORE_AND_AFTER
def test_openinference_suppression_is_honoured(is_first: bool) -> None:
    """What an application hides from OpenInference is hidden from us too."""
    found = _run(*_OTHERS["openinference"][:2], "ok;chunks=4", is_first=is_first, is_suppressed=True)
    assert found["seen"] == found["bare"]
    assert found["outcomes"] == []
    assert [span for span in found["spans"] if span["scope"] != "app"] == []


def test_a_wrapper_in_a_subclass_is_neither_passed_by_nor_lost(server: DemoProvider) -> None:
    """OpenInference puts the base class's `request`, wrapped, into `OpenAI`: ours goes around it, and off again."""

    class Client(openai.OpenAI):
        request = openai.OpenAI.request  # what a wrapper made before us amounts to

    own = vars(Client)["request"]
    told = Told()
    told.instrument()
    with Client(base_url=server.url("ok;chunks=4"), api_key="key") as client:
        list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))
    streamspan.uninstrument()
    told.finish()
    assert told.attributes["streamspan.outcome"] == "completed"
    assert vars(Client)["request"] is own
