"""What the tests of LangChain share: models over the loopback provider, and what was told of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from streamspan.demo import DemoProvider
from support.langchain_models import OPENAI, VENDORS, Models
from support.telemetry import Told


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
    """Make models of OpenAI."""
    pytest.importorskip(OPENAI.package)
    made = Models(server)
    yield made
    made.close()


@pytest.fixture(params=VENDORS, ids=lambda vendor: vendor.layer)
def vendor(request: pytest.FixtureRequest, server: DemoProvider) -> Iterator[Models]:
    """Make models of each vendor in turn."""
    made = Models(server, request.param)
    yield made
    made.close()
