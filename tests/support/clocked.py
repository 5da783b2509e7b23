"""What `matrix/test_clocks.py` needs of a vendor: what is in a payload, and a stream whose every wait is known."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from support.surface import Surface

_SECOND = 1_000_000_000


class Clock:
    """Nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * _SECOND)


class Piece(NamedTuple):
    """One event of the stream.

    Args:
        wait: seconds that the provider takes before it.
        data: its bytes.
        text: what it says.
        is_chunk: whether the SDK hands it out.
    """

    wait: float
    data: bytes
    text: str = ""
    is_chunk: bool = True


@dataclass(frozen=True, kw_only=True)
class Clocked:
    """A vendor's side of the clocks.

    Args:
        surface: how a stream is read from the server.
        says: the kind of output in a payload; empty for none.
        ways: surfaces that read the stream whose waits are known: by items, by bytes, through a helper.
        pieces: that stream; its usage says 7 output tokens.
        client: makes the client for it, given an HTTP client and the colour.
        http: the SDK's HTTP library.
    """

    surface: Surface
    says: Callable[[str], str]
    ways: tuple[Surface, ...]
    pieces: tuple[Piece, ...]
    client: Callable[[Any, bool], Any]
    http: Any

    @property
    def is_lazy(self) -> bool:
        """Whether nothing is sent, and no clock runs, before the first read."""
        return "lazy" in self.surface.traits

    @property
    def waits(self) -> list[float]:
        """Seconds that the provider takes before each event."""
        return [piece.wait for piece in self.pieces]

    def http_client(self, clock: Clock, headers: float, *, is_async: bool) -> Any:
        """Return an HTTP client that plays the pieces, `headers` seconds after the request."""
        about = {"content-type": "text/event-stream"}
        http = self.http

        def body() -> Iterator[bytes]:
            for piece in self.pieces:
                clock.pass_(piece.wait)
                yield piece.data

        async def abody() -> AsyncIterator[bytes]:
            for data in body():
                yield data

        def handler(_: Any) -> Any:
            clock.pass_(headers)
            return http.Response(200, headers=about, content=body())

        async def ahandler(_: Any) -> Any:
            clock.pass_(headers)
            return http.Response(200, headers=about, content=abody())

        if is_async:
            return http.AsyncClient(transport=http.MockTransport(ahandler))
        return http.Client(transport=http.MockTransport(handler))
