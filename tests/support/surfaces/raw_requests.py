"""Streams that are read with requests alone, as data: every way to read, every wire format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import requests

from support.caller import Caller
from support.raw import CHAT, COMPLETIONS, IN_PIECES, OTHERS, RESPONSES, Wire, surface_of
from support.seen import headers, steady
from support.surface import Surface


class _Session(requests.Session):
    """A session that knows where its requests go and how long they may take."""

    base_url = ""
    patience = (5.0, 5.0)


def _client(wire: Wire, caller: Caller, scenario: str) -> Any:
    session = _Session()
    session.base_url = caller.options.get("base_url") or caller.server.url(scenario, base=wire.base)
    session.patience = (5.0, caller.options.get("read_timeout") or 5.0)
    return session


def _post(wire: Wire, client: _Session) -> Any:
    url = f"{client.base_url}{wire.path}"
    return client.post(url, json=dict(wire.body), stream=True, timeout=client.patience)


def _head(response: Any) -> tuple[Any, ...]:
    kind = f"{type(response.raw).__module__}.{type(response.raw).__qualname__}"
    return response.status_code, headers(response.headers), response.raw.closed, kind, response.elapsed is not None


def _progress(response: Any, client: _Session) -> tuple[Any, ...]:
    """Return how far it has been read, and what the connection pools hold."""
    raw = response.raw
    adapters: Any = client.adapters.values()
    pools = [adapter.poolmanager.pools for adapter in adapters]
    kept = [[item is not None for item in pools[key].pool.queue] for pools in pools for key in pools.keys()]  # noqa: SIM118 - no dict
    return raw.tell(), raw.closed, raw._connection is None, response._content_consumed, steady(repr(kept))


def _events(response: Any) -> Any:
    return import_module("sseclient").SSEClient(response).events()


def _is_event(event: Any) -> int:
    return int(event.data != "[DONE]")


def _surface(
    wire: Wire,
    way: str,
    *,
    traits: frozenset[str] = frozenset(),
    other_errors: Mapping[str, str] = MappingProxyType({}),
    **more: Any,
) -> Surface:
    errors = {
        **wire.errors,
        "connection-failed": "requests.exceptions.ConnectionError",
        "lost-connection": "requests.exceptions.ChunkedEncodingError",
        "broken-read": "requests.exceptions.ChunkedEncodingError",
        "read-timed-out": "requests.exceptions.ConnectionError",
        "headers-timed-out": "requests.exceptions.ReadTimeout",
        **other_errors,
    }
    made: dict[str, Any] = {
        "layer": "requests",
        "start": partial(_post, wire),
        "client": partial(_client, wire),
        "head": _head,
        "progress": _progress,
        "whole": lambda response: response.content,
        "errors": errors,
        # A close waits for the reader of another thread in `http.client`.
        "traits": frozenset({"wire", "server", "sync", "with", "blocking-close"}) | wire.traits | traits,
    }
    return surface_of(wire, way, **made | more)


_LINES: dict[str, Any] = {"view": lambda response: response.iter_lines()}
_CONTENT: dict[str, Any] = {"view": lambda response: response.iter_content(chunk_size=None)}
_RAW = {"lost-connection": "urllib3.exceptions.ProtocolError", "broken-read": "urllib3.exceptions.ProtocolError"}

SURFACES: tuple[Surface, ...] = (
    _surface(CHAT, "lines", traits=frozenset({"full"}), weight=CHAT.ends_event, **_LINES),
    _surface(CHAT, "content", weight=CHAT.events_in, **_CONTENT),
    _surface(
        CHAT,
        "pieces",
        weight=CHAT.events_in,
        view=lambda response: response.raw.stream(),
        other_errors=_RAW,
    ),
    _surface(COMPLETIONS, "lines", weight=COMPLETIONS.ends_event, **_LINES),
    _surface(RESPONSES, "lines", traits=frozenset({"full"}), weight=RESPONSES.ends_event, **_LINES),
    *(_surface(wire, "lines", weight=wire.ends_event, **_LINES) for wire in OTHERS if wire not in IN_PIECES),
    *(_surface(wire, "content", weight=wire.events_in, **_CONTENT) for wire in IN_PIECES),
    *([_surface(CHAT, "sseclient", weight=_is_event, view=_events)] if find_spec("sseclient") is not None else []),
)
