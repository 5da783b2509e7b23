"""What the tests of LangChain share: models over the loopback provider, and what was told of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from streamspan.demo import DemoProvider
from support.telemetry import Told

if TYPE_CHECKING:
    from support.langchain_models import Models


@pytest.fixture
def told() -> Iterator[Told]:
    """Streamspan, in place for this test."""
    found = Told()
    found.instrument()
    yield found
    if not found._is_finished:
        found.finish()


@pytest.fixture
def models(server: DemoProvider) -> Iterator[Models]:
    """Make models of a vendor."""
    pytest.importorskip("langchain_openai")
    from support.langchain_models import Models  # noqa: PLC0415 - only where its packages are

    made = Models(server)
    yield made
    for client in made.clients:
        client.close()
