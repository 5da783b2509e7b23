"""What callers do with a WebSocket to a model, in either colour: programs over any surface."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from sockets.surfaces import Talker
from support.caller import Caller
from support.seen import plain, steady

Act = Callable[[Caller, Talker, str], Awaitable[None]]


class Holding:
    """A connection in a `with`, of either colour; the caller keeps the library's record of what passed over it."""

    def __init__(self, caller: Caller, talker: Talker, scenario: str) -> None:
        self._caller, self._talker, self._scenario = caller, talker, scenario

    async def __aenter__(self) -> Any:
        self._manager = self._talker.open(self._caller, self._scenario)
        talk = await self._manager.__aenter__() if self._caller.is_async else self._manager.__enter__()
        self._caller.kept.append(self._talker.socket(talk).protocol)
        return talk

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> Any:
        # As `with` would have it: the exception is being handled while the block is left.
        if self._caller.is_async:
            return await self._manager.__aexit__(kind, exc, tb)
        return self._manager.__exit__(kind, exc, tb)


async def waited(value: Any) -> Any:
    """Return a value, awaited if it has to be."""
    return await value if inspect.isawaitable(value) else value


def note(caller: Caller, item: Any) -> None:
    """Note an item; ids that the client makes up differ from run to run."""
    caller.seen.note("item", steady(str(plain(item))))


async def read(caller: Caller, talker: Talker, talk: Any, most: int | None = None) -> None:
    """Read one turn, or `most` items of it."""
    items = talker.items(talk)
    iterator = items.__aiter__() if caller.is_async else iter(items)
    count = 0
    while most is None or count < most:
        try:
            item = await iterator.__anext__() if caller.is_async else next(iterator)
        except (StopIteration, StopAsyncIteration):
            return
        note(caller, item)
        count += 1
        if talker.is_last(item):
            return


async def ask(talker: Talker, talk: Any) -> None:
    """Ask for a turn."""
    await waited(talker.ask(talk))


# --- acts ------------------------------------------------------------------------------------------------------------


async def turn(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask, read the turn, leave."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        await read(caller, talker, talk)
    caller.ended()


async def two_turns(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask and read, twice."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        for _ in range(2):
            await ask(talker, talk)
            await read(caller, talker, talk)
    caller.ended()


async def leave(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask, read three messages, leave the `with`."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        await read(caller, talker, talk, 3)
    caller.ended()


async def close(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask, read three messages, close, and close again on leaving."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        await read(caller, talker, talk, 3)
        await waited(talk.close())
        caller.ended()


async def unread(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask and leave without reading."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
    caller.ended()


async def fail_inside(caller: Caller, talker: Talker, scenario: str) -> None:
    """Raise an exception of the application's own in the middle."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        await read(caller, talker, talk, 3)
        raise LookupError("the application's own")
    caller.ended()


async def cancel_reading(caller: Caller, talker: Talker, scenario: str) -> None:
    """Cancel the task that waits for a message."""

    async def job() -> None:
        async with Holding(caller, talker, scenario) as talk:
            await ask(talker, talk)
            await read(caller, talker, talk)

    task = asyncio.ensure_future(job())
    await caller.until(lambda: sum(note[0] == "item" for note in caller.seen.notes) >= 3)
    await asyncio.sleep(0.01)
    task.cancel()
    async with caller.noting():
        await task
    caller.ended()


async def deadline(caller: Caller, talker: Talker, scenario: str) -> None:
    """Read under `asyncio.timeout`."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        async with asyncio.timeout(0.1):  # type: ignore[attr-defined,unused-ignore] # Python 3.11
            await read(caller, talker, talk)
    caller.ended()


async def leave_at_error(caller: Caller, talker: Talker, scenario: str) -> None:
    """Ask, read until an error is said, leave."""
    async with caller.noting(), Holding(caller, talker, scenario) as talk:
        await ask(talker, talk)
        while True:
            item = await waited(talker.recv(talk))
            note(caller, item)
            if is_error(item):
                break
    caller.ended()


def is_error(item: Any) -> bool:
    """Tell whether a message is the error; google-genai 1.x makes an empty message of it."""
    is_empty = hasattr(item, "server_content") and not item.model_dump(exclude_none=True)
    return is_empty or getattr(item, "type", "") == "error" or '"error"' in str(item)
