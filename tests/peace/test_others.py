"""Other instrumentations of the same libraries: recognised by their modules, and only while they are active."""

from __future__ import annotations

import logging
import sys
from types import ModuleType
from typing import Any

import pytest

from streamspan._others import Neighbours, Other, active_others, library_of

_LIBRARIES = frozenset({"openai", "anthropic"})


@pytest.mark.parametrize(
    ("module", "library"),
    [
        ("opentelemetry.instrumentation.openai", "openai"),
        ("opentelemetry.instrumentation.openai_v2", "openai"),
        ("opentelemetry.instrumentation.genai.anthropic", "anthropic"),
        ("openinference.instrumentation.langchain", "langchain"),
        ("opentelemetry.instrumentation.google_generativeai", "google_genai"),
        ("opentelemetry.instrumentation.genai.openai.patch", None),
        ("opentelemetry.sdk.trace", None),
        ("openai", None),
    ],
)
def test_a_module_tells_what_it_is_about(module: str, library: str | None) -> None:
    """The packages of three projects follow the same pattern."""
    assert library_of(module) == library


def _package(monkeypatch: pytest.MonkeyPatch, name: str, *, is_active: bool, is_genai: bool = False) -> None:
    module: Any = ModuleType(name)
    module.Instrumentor = type("Instrumentor", (), {"__module__": name, "_instance": None})
    if is_active:
        module.Instrumentor._instance = module.Instrumentor()
        module.Instrumentor._instance._is_instrumented_by_opentelemetry = True
    if is_genai:
        module.Handler = type("Handler", (), {"__module__": "opentelemetry.util.genai.handler"})
    monkeypatch.setitem(sys.modules, name, module)


def test_only_what_is_active_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imported package that instruments nothing is no neighbour; a library that is left out here is not either."""
    _package(monkeypatch, "opentelemetry.instrumentation.openai", is_active=False)
    _package(monkeypatch, "openinference.instrumentation.anthropic", is_active=True)
    _package(monkeypatch, "opentelemetry.instrumentation.cohere", is_active=True)
    name = "openinference.instrumentation.anthropic.Instrumentor"
    assert list(active_others(_LIBRARIES)) == [Other("anthropic", name, keeps_contract=False)]


def test_a_neighbour_is_named_once_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning for each, also for one that came after the first call."""
    caplog.set_level(logging.WARNING, "streamspan")
    neighbours = Neighbours(_LIBRARIES)
    neighbours.look("openai")
    assert caplog.messages == []
    _package(monkeypatch, "opentelemetry.instrumentation.openai", is_active=True)
    for layer in ("openai", "anthropic", "anthropic", "manual"):
        neighbours.look(layer)
    (message,) = caplog.messages
    assert message == (
        "opentelemetry.instrumentation.openai.Instrumentor records openai too: each call is two spans, and its tokens "
        "are counted twice; keep one of them: leave out Instrumentor().instrument() or set "
        "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS=openai, or set STREAMSPAN_EXCLUDE=openai"
    )


def test_who_keeps_the_contract_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its spans are enriched, not doubled, and the warning says so."""
    _package(monkeypatch, "opentelemetry.instrumentation.genai.openai", is_active=True, is_genai=True)
    (other,) = active_others(_LIBRARIES)
    assert other.keeps_contract
    assert "one span per call" in other.effect
