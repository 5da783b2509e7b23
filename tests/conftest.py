"""What the tests share: the loopback provider, a clean environment, quick retries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec

import pytest

from streamspan.demo import DemoProvider

pytest.register_assert_rewrite("support")


@pytest.fixture(scope="session")
def server() -> Iterator[DemoProvider]:
    """The loopback provider."""
    with DemoProvider() as provider:
        yield provider


_SETTINGS = (
    "ANTHROPIC_", "AWS_", "AZURE_OPENAI_", "COHERE_", "CO_API_", "GEMINI_", "GOOGLE_", "GROQ_", "HF_", "LANGCHAIN_",
    "LANGSMITH_", "MISTRAL_", "OLLAMA_", "OPENAI_", "OTEL_", "STREAMSPAN_",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the machine is set up with may change a test."""
    for name in list(os.environ):
        if name.startswith(_SETTINGS) and name != "STREAMSPAN_RECORDINGS":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _uninstrumented() -> Iterator[None]:
    """A test that leaves streamspan in place must not reach the next one."""
    yield
    api = sys.modules.get("streamspan._api")
    if api is not None:
        api.uninstrument()


_STAINLESS = ("openai", "anthropic", "groq")


@pytest.fixture
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """SDKs wait half a second before they try again; not here."""
    for name in _STAINLESS:
        if find_spec(name) is not None:
            monkeypatch.setattr(import_module(f"{name}._base_client"), "INITIAL_RETRY_DELAY", 0.01)
