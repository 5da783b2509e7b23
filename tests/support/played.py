"""A chat's stream, played to HTTP clients without and with streamspan: what they get must be the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from support.http_clients import CLIENTS
from support.replay import Replay
from support.seen import fault
from support.telemetry import Told

PATH = "/v1/chat/completions"
ASKED = {"model": "m1", "messages": [{"role": "user", "content": "Hi"}], "stream": True}


def chunk(text: str, finish: str | None = None) -> bytes:
    """Return a chunk of a chat as it stands on the wire."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "1", "model": "m1", "choices": [choice]}).encode() + b"\n\n"


STREAM = [chunk("Hal"), chunk("lo", "stop"), b"data: [DONE]\n\n"]


def outcome(program: Callable[[], Any]) -> Any:
    """Return what a program returns, or what it raises as plain data."""
    try:
        return program()
    except Exception as exc:  # noqa: BLE001 - of any library
        return fault(exc)


def twice(program: Callable[[], Any]) -> tuple[Any, Told]:
    """Run a program without and with streamspan; return what it gave or raised, and what was told."""
    bare = outcome(program)
    told = Told()
    told.instrument()
    try:
        seen = outcome(program)
    finally:
        told.finish()
    assert seen == bare
    assert told.active == 0
    return seen, told


def played(
    client: str,
    pieces: list[bytes],
    *,
    path: str = PATH,
    how: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[Any, Told]:
    """Play pieces to a client; return what it got or raised, and what was told.

    Args:
        client: a name of `CLIENTS`.
        pieces: the body.
        path: what is asked for.
        how: how the body is read, see `http_clients.How`.
        options: of `Replay`.
    """
    with Replay(pieces, **options) as replay:
        return twice(lambda: CLIENTS[client][1]("POST", f"{replay.url}{path}", ASKED, **how or {}))
