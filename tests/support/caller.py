"""A caller of an SDK in either colour: one program serves both, and notes all that it sees.

Programs are coroutines. In the sync colour nothing in them ever waits, so they are driven without an event loop.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable, Generator
from inspect import isawaitable
from types import TracebackType
from typing import TYPE_CHECKING, Any

from streamspan import _api
from streamspan.demo import DemoProvider, Exchange
from support.seen import Seen, fault, plain, type_name

if TYPE_CHECKING:
    from support.surface import Surface


class Held:
    """What the caller holds of an open stream.

    Args:
        stream: what is iterated over.
        manager: what `with` is applied to.
        closer: what is closed.
        response: the HTTP response.
        surface: what it is a stream of.
    """

    __slots__ = ("__weakref__", "closer", "iterator", "manager", "response", "stream", "surface")

    def __init__(self, stream: Any, manager: Any, closer: Any, response: Any, surface: Surface) -> None:
        self.stream, self.manager, self.closer, self.response = stream, manager, closer, response
        self.surface = surface
        self.iterator: Any = None


class Caller:
    """Calls an SDK and notes what it sees.

    Args:
        server: who answers.
        is_async: the colour.
        ended_spans: tells how many spans have ended so far; None without streamspan.
    """

    def __init__(self, server: DemoProvider, *, is_async: bool, ended_spans: Callable[[], int] | None) -> None:
        self.server = server
        self.is_async = is_async
        self.seen = Seen()
        self.taken = 0
        self.ended_at_ending: int | None = None
        self.kept: list[Any] = []
        self.clients: list[Any] = []
        self.options: dict[str, Any] = {}
        self._ended_spans = ended_spans

    async def wait(self, value: Any) -> Any:
        """Return the value, or what it is awaited for in the async colour."""
        return await value if self.is_async and isawaitable(value) else value

    async def pause(self) -> None:
        """Let others run."""
        if self.is_async:
            await asyncio.sleep(0.001)
        else:
            time.sleep(0.001)  # noqa: ASYNC251 - there is no event loop in this colour

    async def until(self, predicate: Callable[[], object]) -> None:
        """Return when something is true."""
        while not predicate():
            await self.pause()

    @property
    def exchange(self) -> Exchange:
        """The last request, as the server saw it."""
        return self.server.exchanges[-1]

    # --- opening -------------------------------------------------------------------------------------------------

    async def open(self, surface: Surface, scenario: str) -> Held:
        """Make the surface's call."""
        client = surface.client(self, scenario)
        self.clients.append(client)
        made = surface.start(client)
        if surface.is_manager:
            entered = await self.enter(made)
        else:
            entered = await self.wait(made) if surface.awaits_start else made
        stream = await self.wait(surface.view(entered)) if surface.awaits_view else surface.view(entered)
        manager = made if surface.is_manager else stream
        response = None if surface.response is None else surface.response(entered)
        held = Held(stream, manager, surface.closer(entered, stream), response, surface)
        self._note_opened(held, surface)
        return held

    def _note_opened(self, held: Held, surface: Surface) -> None:
        response, stream = held.response, held.stream
        self.seen.note("opened", _kind(stream), isinstance(stream, surface.bases))
        self.seen.note("iterator", _kind(stream.__aiter__() if self.is_async else iter(stream)))
        if response is not None:
            self.seen.note("response", type_name(response), *surface.head(response))

    async def enter(self, manager: Any) -> Any:
        """Enter a manager as `with` does."""
        return await manager.__aenter__() if self.is_async else manager.__enter__()

    def holding(self, surface: Surface, scenario: str) -> Holding:
        """Return the call for use in `with`."""
        return Holding(self, surface, scenario)

    # --- reading -------------------------------------------------------------------------------------------------

    def reading(self, held: Held, surface: Surface) -> Reading:
        """Return an iterator over the stream that notes every item."""
        return Reading(self, held.stream, surface)

    async def read(self, held: Held, surface: Surface) -> None:
        """Read to the end."""
        async for _ in self.reading(held, surface):
            pass
        self.progress(held)

    async def take(self, held: Held, surface: Surface, count: int = 3, *, is_exact: bool = True) -> None:
        """Read until `count` events of the wire are there, one `next` after the other."""
        wanted = self.taken + count
        if held.iterator is None:
            held.iterator = Reading(self, held.stream, surface, is_next=True)
        while self.taken < wanted:
            await held.iterator.__anext__()
        if is_exact:
            self.progress(held)

    def progress(self, held: Held) -> None:
        """Note how far the response has been read."""
        response = held.response
        if response is not None:
            self.seen.note("progress", *held.surface.progress(response, self.clients[-1]))

    async def close(self, held: Held) -> None:
        """Close the stream."""
        closer = held.closer
        # An HTTP response has two names for it and a generator only the other one; SDK objects have one in both colours.
        is_other = type_name(closer).startswith(("httpx.", "httpx2.")) or not hasattr(closer, "close")
        await self.wait(closer.aclose() if self.is_async and is_other else closer.close())

    async def close_response(self, held: Held) -> None:
        """Close the HTTP response under the stream."""
        response = held.response
        await self.wait(response.aclose() if hasattr(response, "aclose") and self.is_async else response.close())

    # --- endings -------------------------------------------------------------------------------------------------

    def noting(self) -> Noting:
        """Return a block that notes the exception that leaves it."""
        return Noting(self.seen)

    def ended(self) -> None:
        """Say that the stream has just ended: the span must have ended too."""
        if self._ended_spans is not None:
            self.ended_at_ending = self._ended_spans()

    async def collect(self) -> None:
        """Collect garbage, and let everything that follows from it happen."""
        for _ in range(4 if self.is_async else 2):  # what one collection frees may finalize more
            gc.collect()
            for _ in range(10 if self.is_async else 0):
                await asyncio.sleep(0)
        if self._ended_spans is not None:
            _api.drain()


def _kind(stream: Any) -> str:
    """Name the type of a stream; a generator may be any class that is one, for nobody can make another generator."""
    return "a generator" if isinstance(stream, Generator | AsyncGenerator) else type_name(stream)


class Holding:
    """The call in a `with`."""

    def __init__(self, caller: Caller, surface: Surface, scenario: str) -> None:
        self._caller, self._surface, self._scenario = caller, surface, scenario
        self._manager: Any = None

    async def __aenter__(self) -> Held:
        caller = self._caller
        held = await caller.open(self._surface, self._scenario)
        self._manager = held.manager
        if not self._surface.is_manager:
            caller.seen.note("entered itself", await caller.enter(held.manager) is held.stream)
        return held

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        manager = self._manager
        if self._caller.is_async:
            await manager.__aexit__(kind, exc, tb)
        else:
            manager.__exit__(kind, exc, tb)


class Reading:
    """Iterates over a stream in either colour, as `for` does or by `next`, and notes the items."""

    def __init__(self, caller: Caller, stream: Any, surface: Surface, *, is_next: bool = False) -> None:
        self._caller, self._surface = caller, surface
        if is_next and hasattr(stream, "__anext__" if caller.is_async else "__next__"):
            self._iterator = stream
        else:
            self._iterator = stream.__aiter__() if caller.is_async else iter(stream)

    def __aiter__(self) -> Reading:
        return self

    async def __anext__(self) -> Any:
        caller = self._caller
        try:
            item = await self._iterator.__anext__() if caller.is_async else next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None
        caller.seen.note("item", plain(item))
        caller.taken += self._surface.weight(item)
        return item


class Noting:
    """Notes the exception that leaves its block, and ends it there."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    async def __aenter__(self) -> Noting:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> bool:
        self._seen.note("raised", None if exc is None else fault(exc))
        return True
