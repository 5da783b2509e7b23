"""Runs over a WebSocket that is recorded, what they told, and servers for what the demo provider does not say."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import conformance
import streamspan
from sockets.surfaces import RAW
from streamspan.demo import DemoProvider
from support.telemetry import Told

ASK = json.dumps({"type": "response.create"})
REALTIME = "/v1/realtime?model=gpt-realtime"
LIVE = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"


def url(server: DemoProvider, scenario: str, path: str = REALTIME) -> str:
    return server.url(scenario, base=path).replace("http://", "ws://")


@contextmanager
def recording(config: streamspan.Config = RAW) -> Iterator[Told]:
    told = Told()
    told.instrument(config)
    try:
        yield told
    finally:
        told.finish()
    assert told.active == 0
    assert conformance.findings(spans=told.all_spans, metrics=told.metrics_data, logs=told.logs, config=config) == []


def run(talk: Callable[[], Awaitable[None]], config: streamspan.Config = RAW) -> Told:
    with recording(config) as told:
        asyncio.run(talk())  # type: ignore[arg-type] # a coroutine function
    return told


def turns(told: Told) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in told.spans if span.kind.name == "CLIENT"]


def connections(told: Told) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in told.spans if span.kind.name == "INTERNAL"]


def outcomes(told: Told) -> list[str]:
    return [f"{each['streamspan.outcome']} {each.get('streamspan.cancel.reason', '')}".strip() for each in turns(told)]


async def until(socket: Any, kind: str) -> dict[str, Any]:
    """Read until a message of a kind."""
    while True:
        message: dict[str, Any] = json.loads(await socket.recv())
        if message.get("type") == kind or kind in message or kind in message.get("serverContent", {}):
            return message


@contextmanager
def saying(
    *messages: str | bytes | Iterable[str | bytes], then: Callable[[Any], None] = lambda _socket: None
) -> Iterator[str]:
    """Serve a fixed list of messages to whoever asks; one that is a list of pieces goes out in them.

    `then` is what is done with the server's end of the connection after that.
    """
    from websockets.sync.server import serve  # noqa: PLC0415 - where it is installed

    def play(socket: Any) -> None:
        socket.recv()
        for message in messages:
            socket.send(message)
        then(socket)
        for _ in socket:
            pass

    with serve(play, "127.0.0.1", 0, max_size=None) as listener:
        thread = threading.Thread(target=listener.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.socket.getsockname()[1]}{REALTIME}"
        finally:
            listener.shutdown()
            thread.join()


def event(kind: str, **fields: object) -> str:
    return json.dumps({"type": kind, "response_id": "r1", **fields})


CREATED = json.dumps({"type": "response.created", "response": {"id": "r1"}})
DONE = json.dumps({"type": "response.done", "response": {"id": "r1", "status": "completed"}})
