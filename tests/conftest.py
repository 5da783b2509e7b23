"""What the tests share: the loopback provider, a clean environment, quick retries."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

from streamspan.demo import DemoProvider

pytest.register_assert_rewrite("support")


@pytest.fixture(scope="session")
def server() -> Iterator[DemoProvider]:
    """The loopback provider."""
    with DemoProvider() as provider:
        yield provider


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the machine is set up with may change a test."""
    for name in list(os.environ):
        if name.startswith(("OTEL_", "STREAMSPAN_", "OPENAI_", "AZURE_OPENAI_")) and name != "STREAMSPAN_RECORDINGS":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _uninstrumented() -> Iterator[None]:
    """A test that leaves streamspan in place must not reach the next one."""
    yield
    api = sys.modules.get("streamspan._api")
    if api is not None:
        api.uninstrument()


@pytest.fixture
def _quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenAI waits half a second before it tries again; not here."""
    import openai._base_client  # noqa: PLC0415 - only for tests that call it

    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
