"""A provider of a third party, in a package of its own: found by its entry point, and as good as one of ours."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import streamspan
from support.http_clients import CLIENTS
from support.replay import Replay
from support.telemetry import Told

PACKAGE = Path(__file__).parent / "packages" / "acme_provider"
CHUNKS: list[dict[str, Any]] = [
    {"id": "a1", "token": "Hal"},
    {"id": "a1", "token": "lo"},
    {"usage": {"in": 3, "out": 2}, "stop": "end"},
]
ASKED = {"model": "acme-1", "prompt": "Hi", "stream": True}


@pytest.fixture(autouse=True)
def _installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the package as `pip` does: the code and the entry points of its `pyproject.toml` on the path."""
    (table,) = re.findall(r'entry-points\."streamspan.providers"\]\n(.*)', (PACKAGE / "pyproject.toml").read_text())
    info = tmp_path / "acme_provider-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-provider\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[streamspan.providers]\n{table.replace(chr(34), '')}\n")
    monkeypatch.syspath_prepend(PACKAGE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("acme_provider", None)


def wire(*chunks: dict[str, Any]) -> list[bytes]:
    """Return chunks as server-sent events."""
    return [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks]


@pytest.mark.parametrize("client", CLIENTS)
def test_its_raw_streams_are_recorded(client: str) -> None:
    """By the end of its path, without a word of configuration."""
    told = Told()
    told.instrument()
    with Replay(wire(*CHUNKS)) as replay:
        CLIENTS[client][1]("POST", f"{replay.url}/v2/acme/chat", ASKED)
    told.finish()
    attributes = told.attributes
    assert attributes["gen_ai.provider.name"] == "acme"
    assert attributes["gen_ai.request.model"] == "acme-1"
    assert attributes["gen_ai.response.id"] == "a1"
    assert attributes["gen_ai.response.finish_reasons"] == ("end",)
    assert attributes["gen_ai.usage.output_tokens"] == 2
    assert attributes["streamspan.outcome"] == "completed"


def test_its_rules_of_endings_count() -> None:
    """Without its end marker a stream is truncated, and its errors are errors."""
    told = Told()
    told.instrument()
    for chunks in (CHUNKS[:2], [CHUNKS[0], {"error": {"code": "busy", "message": "later"}}]):
        with Replay(wire(*chunks)) as replay:
            CLIENTS["httpx"][1]("POST", f"{replay.url}/v2/acme/chat", ASKED)
    told.finish()
    assert [(each.outcome, each.error_type) for each in told.summaries] == [
        ("truncated", "truncated"),
        ("error", "busy"),
    ]


def test_it_serves_observe_too() -> None:
    """The same function reads chunks that the application has already."""
    told = Told()
    told.instrument()
    assert list(streamspan.observe(CHUNKS, provider="acme", model="acme-1")) == CHUNKS
    told.finish()
    assert (told.summary.outcome, told.summary.output_characters, told.summary.layer) == ("completed", 5, "manual")
