"""What the tests of the libraries above the SDKs share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.telemetry import Told


@pytest.fixture
def told() -> Iterator[Told]:
    """Streamspan, in place for this test."""
    found = Told()
    found.instrument()
    yield found
    if not found._is_finished:
        found.finish()
