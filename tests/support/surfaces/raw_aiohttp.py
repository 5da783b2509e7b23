"""Streams that are read with aiohttp alone, as data: every way to read, every wire format."""

from __future__ import annotations

from functools import partial
from typing import Any

import aiohttp

from support.caller import Caller
from support.raw import ANTHROPIC, CHAT, COMPLETIONS, IN_PIECES, OTHERS, RESPONSES, Wire, surface_of
from support.seen import headers
from support.surface import Surface


def _client(wire: Wire, caller: Caller, scenario: str) -> Any:
    timeout = aiohttp.ClientTimeout(sock_connect=5.0, sock_read=caller.options.get("read_timeout") or 5.0)
    client: Any = aiohttp.ClientSession(timeout=timeout)
    # Not `base_url`, which must not have a path before aiohttp 3.12.
    caller.options["url"] = caller.options.get("base_url") or caller.server.url(scenario, base=wire.base)
    client.headers["x-demo"] = caller.options["url"]
    return client


def _url(client: Any) -> str:
    return str(client.headers["x-demo"])


def _post(wire: Wire, client: Any) -> Any:
    return client.post(f"{_url(client)}{wire.path}", json=dict(wire.body), headers={"x-demo": ""})


def _head(response: Any) -> tuple[Any, ...]:
    return response.status, headers(response.headers), isinstance(response.content, aiohttp.StreamReader)


def _progress(response: Any, client: Any) -> tuple[Any, ...]:
    """Return whether it is closed, what the reader says of that, and what the connection pool holds."""
    connector = client.connector
    kept = None if connector is None else (len(connector._acquired), sum(map(len, connector._conns.values())))
    return response.closed, response.connection is None, type(response.content.exception()).__name__, kept


# Its name before aiohttp 3.10.
_TIMEOUT_NAME = "SocketTimeoutError" if hasattr(aiohttp, "SocketTimeoutError") else "ServerTimeoutError"
_TIMEOUT = f"aiohttp.client_exceptions.{_TIMEOUT_NAME}"
# What nobody holds any more the transport holds, as long as the connection is open.
_TRAITS = frozenset({"wire", "server", "async", "with", "noisy", "held-by-transport"})


def _surface(
    wire: Wire, way: str, *, traits: frozenset[str] = frozenset(), without: frozenset[str] = frozenset(), **more: Any
) -> Surface:
    errors = {
        **wire.errors,
        "connection-failed": "aiohttp.client_exceptions.ClientOSError",
        "lost-connection": "aiohttp.client_exceptions.ClientPayloadError",
        "broken-read": "aiohttp.client_exceptions.ClientPayloadError",
        "read-timed-out": _TIMEOUT,
        "headers-timed-out": _TIMEOUT,
    }
    made: dict[str, Any] = {
        "layer": "aiohttp",
        "start": partial(_post, wire),
        "client": partial(_client, wire),
        "head": _head,
        "progress": _progress,
        "whole": lambda response: response.read(),
        "errors": errors,
        "traits": (_TRAITS | wire.traits | traits) - without,
    }
    return surface_of(wire, way, **made | more)


class _Chunks:
    """The chunks of a body; of which of them aiohttp knows that they are whole is a matter of time."""

    def __init__(self, response: Any) -> None:
        self._chunks = response.content.iter_chunks()

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        data = b""
        while not data:
            data, _ = await self._chunks.__anext__()
        return data


# A line is all that aiohttp reads, and the empty one that ends an event of Anthropic's ends a ping too.
_BY_CHUNKS = (*IN_PIECES, ANTHROPIC)
_LINES: dict[str, Any] = {"view": lambda response: response.content.__aiter__()}

SURFACES: tuple[Surface, ...] = (
    _surface(CHAT, "lines", traits=frozenset({"full"}), weight=CHAT.ends_event, **_LINES),
    # `iter_any` and `iter_chunked` are not here: what they join is a matter of time.
    _surface(
        CHAT,
        "awaited",
        weight=CHAT.ends_event,
        is_manager=False,
        without=frozenset({"with"}),
        **_LINES,
    ),
    _surface(COMPLETIONS, "lines", weight=COMPLETIONS.ends_event, **_LINES),
    _surface(RESPONSES, "lines", traits=frozenset({"full"}), weight=RESPONSES.ends_event, **_LINES),
    *(_surface(wire, "lines", weight=wire.ends_event, **_LINES) for wire in OTHERS if wire not in _BY_CHUNKS),
    *(_surface(wire, "chunks", weight=wire.events_in, view=_Chunks) for wire in _BY_CHUNKS),
)
