"""Streams that are read with httpx or httpx2 alone, as data: every way to read, every wire format.

Both libraries have the same names, so every surface is there for each of them that is installed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from support.caller import Caller
from support.raw import (
    CHAT,
    COMPLETIONS,
    CONTENT_ARRAY,
    CONVERSE,
    IN_PIECES,
    OLLAMA,
    OTHERS,
    RESPONSES,
    Wire,
    surface_of,
)
from support.seen import TLS, steady
from support.surface import TIMEOUTS, Surface, progress_of

# Generators of the library's hold one another, and what is left to the loop's end it closes in any order.
_BASE = frozenset({"wire", "server", "noisy"})


def _client(library: Any, wire: Wire, caller: Caller, scenario: str, **more: Any) -> Any:
    read = caller.options.get("read_timeout")
    timeout = library.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
    url = caller.options.get("base_url") or caller.server.url(scenario, base=wire.base)
    kind = _closing(library.AsyncClient) if caller.is_async else library.Client
    return kind(base_url=url, timeout=timeout, verify=TLS, **more)


def _closing(kind: type[Any]) -> type[Any]:
    """Return the client with `close`, as every other one has it."""

    class Client(kind):  # type: ignore[misc] # of either library
        async def close(self) -> None:
            await self.aclose()

    return Client


def _mock_client(library: Any, wire: Wire, caller: Caller, scenario: str) -> Any:
    """Make a client whose transport has the whole answer in memory, as those of test libraries have."""
    with library.Client(verify=TLS) as client:
        got = client.post(f"{caller.server.url(scenario, base=wire.base)}{wire.path}", json=wire.body)
    kept = {"content-type": got.headers["content-type"], "x-request-id": got.headers["x-request-id"]}

    def handler(request: Any) -> Any:
        return library.Response(got.status_code, headers=kept, content=got.content)

    async def ahandler(request: Any) -> Any:
        return handler(request)

    transport = library.MockTransport(ahandler if caller.is_async else handler)
    return _client(library, wire, caller, scenario, transport=transport)


def _stream(wire: Wire, client: Any) -> Any:
    return client.stream("POST", wire.path, json=dict(wire.body))


def _send(wire: Wire, client: Any) -> Any:
    return client.send(client.build_request("POST", wire.path, json=dict(wire.body)), stream=True)


def _progress(response: Any, client: Any) -> tuple[Any, ...]:
    """Return how far it has been read, how long it took, and what the connection pool holds."""
    transport = client._transport
    pool = getattr(transport, "_pool", None)
    elapsed = response.elapsed.total_seconds() > 0 if response.is_closed and hasattr(response, "_elapsed") else None
    connections = [] if pool is None else sorted(steady(repr(each)) for each in pool.connections)
    return *progress_of(response, client), elapsed, connections


def _reader(name: str) -> Callable[[Any], Any]:
    """Return what reads a response, in its colour."""
    return lambda response: getattr(response, f"a{name}" if hasattr(response.stream, "__aiter__") else name)()


def _sse(client: Any, wire: Wire) -> Any:
    sse: Any = import_module("httpx_sse")
    connect = sse.aconnect_sse if hasattr(client, "aclose") else sse.connect_sse
    return connect(client, "POST", wire.path, json=dict(wire.body))


def _events(source: Any) -> Any:
    return source.aiter_sse() if hasattr(source.response.stream, "__aiter__") else source.iter_sse()


def _own_events(source: Any) -> Any:
    return source.__aiter__() if hasattr(source.response.stream, "__aiter__") else iter(source)


def _is_event(event: Any) -> int:
    return int(event.data != "[DONE]")


# One format of each framing in full, once: what the two libraries do differently, OpenAI's show.
_FRAMINGS = (OLLAMA, CONTENT_ARRAY, CONVERSE)
_FRAMINGS_BY = "httpx" if find_spec("httpx2") is None else "httpx2"


def _surfaces(library: Any) -> list[Surface]:
    name = library.__name__

    def surface(wire: Wire, way: str, *, traits: frozenset[str], make: Any = _client, **more: Any) -> Surface:
        errors = {
            **wire.errors,
            "connection-failed": f"{name}.ReadError",
            "lost-connection": f"{name}.RemoteProtocolError",
            "broken-read": f"{name}.ReadError",
            "read-timed-out": f"{name}.ReadTimeout",
            "headers-timed-out": f"{name}.ReadTimeout",
        }
        made: dict[str, Any] = {
            "layer": name,
            "start": partial(_stream, wire),
            "client": partial(make, library, wire),
            "progress": _progress,
            "errors": errors,
            "traits": (traits if "mock" in traits else _BASE | traits) | wire.traits,
        }
        return surface_of(wire, way, **made | more)

    with_ = frozenset({"with", "generator-manager"})
    full = with_ | {"full"}
    lines: dict[str, Any] = {"view": _reader("iter_lines")}
    found = [
        surface(CHAT, "lines", traits=full, weight=CHAT.ends_event, **lines),
        surface(CHAT, "bytes", traits=with_, weight=CHAT.events_in, view=_reader("iter_bytes")),
        surface(CHAT, "raw", traits=with_, weight=CHAT.events_in, view=_reader("iter_raw")),
        surface(CHAT, "text", traits=with_, weight=CHAT.events_in_text, view=_reader("iter_text")),
        surface(
            CHAT,
            "send",
            traits=frozenset(),
            weight=CHAT.ends_event,
            start=partial(_send, CHAT),
            is_manager=False,
            **lines,
        ),
        surface(COMPLETIONS, "lines", traits=with_, weight=COMPLETIONS.ends_event, **lines),
        surface(RESPONSES, "lines", traits=full, weight=RESPONSES.ends_event, **lines),
        surface(
            CHAT, "in-memory", traits=frozenset({"wire", "mock"}), make=_mock_client, weight=CHAT.ends_event, **lines
        ),
    ]
    for wire in OTHERS:
        traits = full if name == _FRAMINGS_BY and wire in _FRAMINGS else with_
        if wire in IN_PIECES:
            found.append(surface(wire, "raw", traits=traits, weight=wire.events_in, view=_reader("iter_raw")))
        else:
            found.append(surface(wire, "lines", traits=traits, weight=wire.ends_event, **lines))
    events: dict[str, Any] = {
        "weight": _is_event,
        "response": lambda source: source.response,
        "traits": with_ | {"strict"},
    }
    events["closer"] = lambda source, _: source.response
    if name == "httpx" and find_spec("httpx_sse") is not None:
        found.append(surface(CHAT, "httpx-sse", start=partial(_sse, wire=CHAT), view=_events, **events))
    if hasattr(library.Client, "sse"):
        own = lambda client: client.sse(CHAT.path, method="POST", json=dict(CHAT.body))  # noqa: E731 - one of many
        found.append(surface(CHAT, "own-sse", start=own, view=_own_events, **events))
    return found


SURFACES = tuple(
    surface
    for library in ("httpx", "httpx2")
    if find_spec(library) is not None
    for surface in _surfaces(import_module(library))
)
