"""What `matrix/test_special_endings.py` needs of a vendor, beside one of its surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamspan.demo import DemoProvider
from support.caller import Caller
from support.surface import Surface
from support.twice import drive


def sse(payload: str) -> bytes:
    """Put a payload on the wire as most vendors do."""
    return f"data: {payload}\n\n".encode()


@dataclass(frozen=True, kw_only=True)
class Special:
    """A vendor's side of the special endings.

    Args:
        surface: its main surface.
        held: those that are tried when they are broken off and held.
        faulty: those that are tried with faults of ours.
        base: what follows the host in the base URL.
        refused: `error.type` when nobody listens.
        resends_refused: whether the SDK tries again then, if it ever does.
        frame: puts a payload of the server's on the wire; None where that needs more than the payload.
        content_type: of that wire.
        markers: events after the one with the finish reason.
        lost: what has become of a stream that lost its connection before those.
        on: makes a client, given an HTTP client, a base URL and the colour; None where the SDK takes no HTTP client.
        http: the SDK's HTTP library.
        unconnected: `error.type` when a connection cannot be made in time.
        resends_unconnected: whether the SDK tries again then.
        unpooled: `error.type` when no connection is free in time; empty where the SDK waits for ever.
        colours: whether it is asynchronous, of each colour that it has.
    """

    surface: Surface
    held: tuple[Surface, ...] = ()
    faulty: tuple[Surface, ...] = ()
    base: str = ""
    refused: str
    resends_refused: bool = True
    frame: Callable[[str], bytes] | None = sse
    content_type: str = "text/event-stream"
    markers: int = 0
    lost: str = ""
    on: Callable[[Any, str, bool], Any] | None = None
    http: Any = None
    unconnected: str = ""
    resends_unconnected: bool = False
    unpooled: str = ""
    colours: tuple[bool, ...] = (False, True)

    def client(self, http_client: Any, url: str, *, is_async: bool) -> Any:
        """Make a client on an HTTP client."""
        assert self.on is not None
        return self.on(http_client, url, is_async)

    def wire(self, server: DemoProvider) -> list[bytes]:
        """Return a short complete stream, event by event, as the server sends it."""
        assert self.frame is not None
        server.clear()
        caller = Caller(server, is_async=False, ended_spans=None)

        async def program() -> None:
            held = await caller.open(self.surface, "ok;chunks=2")
            await caller.read(held, self.surface)
            for client in caller.clients:
                client.close()

        drive(program())
        server.wait_for(lambda: server.exchanges[-1].finished_ns, 5)
        return [self.frame(payload) for _, payload in server.exchanges[-1].sent]
