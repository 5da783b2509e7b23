"""With streamspan in place, objects and connections live as long as without it: not longer, and not shorter."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamspan.demo import DemoProvider
from support.caller import Caller
from support.surface import Surface
from support.surfaces import SURFACES, each
from support.surfaces.openai import CHAT
from support.twice import run_twice, settle

_GATE = "gate;chunks=4"
_CASES = [
    pytest.param(surface, is_async, id=f"{surface.layer}-{surface.name}-{'async' if is_async else 'sync'}")
    for surface in each("LIFETIMES")
    if surface in SURFACES
    for is_async in (False, True)
]
_EVERYWHERE = pytest.mark.parametrize(("surface", "is_async"), _CASES)
Use = Callable[[Caller, Surface, Any], Awaitable[None]]


async def _nothing(caller: Caller, surface: Surface, held: Any) -> None:
    """Never read it."""


async def _three(caller: Caller, surface: Surface, held: Any) -> None:
    """Read three events."""
    await caller.take(held, surface)


async def _three_in_for(caller: Caller, surface: Surface, held: Any) -> None:
    """Break out of a `for` after three events."""
    async for _ in caller.reading(held, surface):
        if caller.taken == 3:
            break


async def _close(caller: Caller, surface: Surface, held: Any) -> None:
    """Read three events, then close."""
    await caller.take(held, surface)
    await caller.close(held)


async def _everything(caller: Caller, surface: Surface, held: Any) -> None:
    """Read to the end, whatever it is."""
    async with caller.noting():
        await caller.read(held, surface)


class Probe:
    """Notes what is alive, and whether the server still has its connection."""

    def __init__(self, caller: Caller, held: Any) -> None:
        self._caller = caller
        kept = {"stream": held.stream, "response": held.response}
        self._refs = {name: weakref.ref(each) for name, each in kept.items() if each is not None}

    async def note(self, when: str) -> None:
        """Note everything, once the server has seen what happened."""
        caller = self._caller
        for _ in range(10 if caller.is_async else 0):
            await asyncio.sleep(0)
        settle(caller.server)
        asked = [each for each in caller.server.exchanges if each.path != "/barrier"][:1]  # none of one that is lazy
        is_open = [each.client_gone_ns is None and each.finished_ns is None for each in asked]
        caller.seen.note(when, {name: ref() is not None for name, ref in self._refs.items()}, is_open)


@pytest.mark.parametrize(
    ("scenario", "use"),
    [
        (_GATE, _nothing),
        (_GATE, _three),
        (_GATE, _three_in_for),
        (_GATE, _close),
        ("ok;chunks=4", _everything),
        ("short;chunks=4", _everything),
        ("error_event;chunks=4", _everything),
        ("drop;chunks=4", _everything),
    ],
    ids=["unread", "three", "break", "closed", "complete", "short", "error", "drop"],
)
@_EVERYWHERE
def test_what_is_dropped_lives_as_long_as_without_us(
    server: DemoProvider, surface: Surface, is_async: bool, scenario: str, use: Use
) -> None:
    """Without the cycle collector the same things are freed, and the same connections closed, at the same moments."""

    async def program(caller: Caller) -> None:
        gc.disable()
        try:
            held = await caller.open(surface, scenario)
            probe = Probe(caller, held)
            await use(caller, surface, held)
            await probe.note("used")
            del held
            await probe.note("dropped")
        finally:
            gc.enable()
        await caller.collect()
        await probe.note("collected")
        caller.ended()
        # Barriers are not what the caller asked for.
        caller.server.exchanges[:] = [each for each in caller.server.exchanges if each.path != "/barrier"]

    is_called = use is not _nothing or "lazy" not in surface.traits
    run_twice(server, program, is_async=is_async, spans=int(is_called))


@pytest.mark.parametrize("surface", each("CHUNK_LIFETIMES"), ids=lambda surface: f"{surface.layer}-{surface.name}")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_chunks_are_freed_as_without_us(server: DemoProvider, surface: Surface, is_async: bool) -> None:
    """When the stream is over no chunk is kept, although the stream is."""

    async def program(caller: Caller) -> None:
        held = await caller.open(surface, "ok;chunks=4")
        refs = []
        reading = held.stream.__aiter__() if is_async else iter(held.stream)
        while True:
            item = await anext(reading, None) if is_async else next(reading, None)
            if item is None:
                break
            refs.append(weakref.ref(item))
        caller.ended()
        caller.kept.append(held)
        caller.seen.note("alive", [ref() is not None for ref in refs])
        await caller.collect()
        caller.seen.note("alive", [ref() is not None for ref in refs])

    run_twice(server, program, is_async=is_async)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_an_open_stream_keeps_one_chunk_at_most(server: DemoProvider, is_async: bool) -> None:
    """What is read in the shadow of the next wait is one chunk, never more."""

    async def program(caller: Caller) -> None:
        held = await caller.open(CHAT, _GATE)
        refs = []
        for _ in range(3):
            item = await anext(held.stream) if is_async else next(held.stream)
            refs.append(weakref.ref(item))
            del item
        alive = [ref() is not None for ref in refs]
        assert alive[:2] == [False, False]
        await caller.close(held)
        caller.ended()
        caller.seen.note("alive", [ref() is not None for ref in refs])

    run_twice(server, program, is_async=is_async)
