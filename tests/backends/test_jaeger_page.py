"""The pictures of docs/jaeger.md are what a real Jaeger answers today, but for the times."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backends import jaeger_page
from backends.programs import binary


def _block(page: str, name: str) -> list[str]:
    """Return the lines of a picture, without numbers and the widths that depend on them."""
    found = re.search(rf"<!-- picture: {name} -->\n```\n(.*?)\n```\n", page, re.DOTALL)
    assert found is not None
    lines = re.sub(r"req_demo\d+|[0-9.]+|━+", "#", found[1]).splitlines()
    return [re.sub(r"\s+", " ", line) for line in lines]


@pytest.fixture(scope="module")
def anew(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page with pictures that were made just now."""
    binary("jaeger")
    binary("otelcol")
    home: Path = tmp_path_factory.mktemp("page")
    page = home / "jaeger.md"
    page.write_text(jaeger_page.PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    jaeger_page.write(page, jaeger_page.pictures(home))
    return page.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["search", "trace"])
def test_the_page_shows_what_jaeger_answers(anew: str, name: str) -> None:
    """`python tests/backends/jaeger_page.py` would change nothing but numbers."""
    page = jaeger_page.PAGE.read_text(encoding="utf-8")
    assert _block(page, name) == _block(anew, name)
    assert len(_block(page, name)) > 5
