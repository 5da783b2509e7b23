"""What callers do with a stream: one coroutine per way of ending it, for both colours.

Each calls `caller.ended()` when the stream is over and the caller still holds it. `gate` is a stream whose server waits
after three events.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anyio

from support.caller import Caller, Held
from support.surface import Surface


class AppError(Exception):
    """The application's own failure."""


# --- A: to the end -----------------------------------------------------------------------------------------------


async def read_all(caller: Caller, surface: Surface, scenario: str) -> None:
    """Iterate to the end, without `with`; whatever is raised is noted."""
    async with caller.noting():
        held = await caller.open(surface, scenario)
        await caller.read(held, surface)
    caller.ended()


async def read_all_in_with(caller: Caller, surface: Surface, scenario: str) -> None:
    """Iterate to the end inside `with`."""
    async with caller.noting(), caller.holding(surface, scenario) as held:
        await caller.read(held, surface)
        caller.ended()


async def until_done(caller: Caller, surface: Surface, scenario: str) -> None:
    """Let the SDK read the stream."""
    async with caller.holding(surface, scenario) as held:
        await caller.wait(held.stream.until_done())
        caller.progress(held)
        caller.ended()


async def final_answer(caller: Caller, surface: Surface, scenario: str) -> None:
    """Ask the SDK for the whole answer."""
    names = ("get_final_completion", "get_final_response", "get_final_messages", "get_final_message")
    async with caller.holding(surface, scenario) as held:
        async with caller.noting():
            ask = next(getattr(held.stream, name) for name in names if hasattr(held.stream, name))
            answer = await caller.wait(ask())
            caller.seen.note("answer", repr(answer))
        caller.ended()


async def read_whole(caller: Caller, surface: Surface, scenario: str) -> None:
    """Read the whole body at once, unparsed."""
    async with caller.noting(), caller.holding(surface, scenario) as held:
        caller.seen.note("body", await caller.wait(surface.whole(held.response)))
        caller.ended()


async def _take_all(caller: Caller, surface: Surface, held: Held) -> None:
    """Read everything but the end of the iteration."""
    await caller.take(held, surface, 1, is_exact=False)
    await caller.until(lambda: caller.exchange.finished_ns)
    events = sum(surface.hands_out(payload) for _, payload in caller.exchange.sent)
    await caller.take(held, surface, events - 1, is_exact=False)


async def close_after_marker(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close when the terminal marker is there, before the iteration has ended."""
    held = await caller.open(surface, scenario)
    await _take_all(caller, surface, held)
    await caller.close(held)
    caller.ended()


async def leave_after_marker(caller: Caller, surface: Surface, scenario: str) -> None:
    """Leave the `with` when the terminal marker is there."""
    async with caller.holding(surface, scenario) as held:
        await _take_all(caller, surface, held)
    caller.ended()


async def drop_after_marker(caller: Caller, surface: Surface, scenario: str) -> None:
    """Let go of the stream when the terminal marker is there."""
    held = await caller.open(surface, scenario)
    await _take_all(caller, surface, held)
    del held
    await caller.collect()
    caller.ended()


async def raise_after_marker(caller: Caller, surface: Surface, scenario: str) -> None:
    """Raise inside `with` when the terminal marker is there."""
    async with caller.noting(), caller.holding(surface, scenario) as held:
        await _take_all(caller, surface, held)
        raise AppError("mine")
    caller.ended()


# --- B: the caller stops ----------------------------------------------------------------------------------------


async def take_and_close(caller: Caller, surface: Surface, scenario: str) -> None:
    """Break out of the loop, then close."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    await caller.close(held)
    caller.ended()
    caller.progress(held)


async def break_in_with(caller: Caller, surface: Surface, scenario: str) -> None:
    """Break out of a `for` inside `with`."""
    async with caller.holding(surface, scenario) as held:
        async for _ in caller.reading(held, surface):
            if caller.taken == 3:
                break
    caller.ended()
    caller.progress(held)


async def break_on_flag(caller: Caller, surface: Surface, scenario: str) -> None:
    """Break when another thread has set a flag, then close."""
    flag = threading.Event()
    held = await caller.open(surface, scenario)
    async for _ in caller.reading(held, surface):
        if caller.taken == 3:
            setter = threading.Thread(target=flag.set)
            setter.start()
            setter.join()
        if flag.is_set():
            break
    await caller.close(held)
    caller.ended()


async def drop(caller: Caller, surface: Surface, scenario: str) -> None:
    """Break out of the loop and let go of the stream."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    del held
    await caller.collect()
    caller.ended()


async def next_twice_and_close(caller: Caller, surface: Surface, scenario: str) -> None:
    """Call `next` twice, then close."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface, 2)
    await caller.close(held)
    caller.ended()


async def close_unread(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close without having read."""
    held = await caller.open(surface, scenario)
    await caller.close(held)
    caller.ended()
    caller.progress(held)


async def leave_unread(caller: Caller, surface: Surface, scenario: str) -> None:
    """Leave the `with` without having read."""
    async with caller.holding(surface, scenario) as held:
        pass
    caller.ended()
    caller.progress(held)


async def drop_unread(caller: Caller, surface: Surface, scenario: str) -> None:
    """Let go of the stream without having read."""
    held = await caller.open(surface, scenario)
    del held
    await caller.collect()
    caller.ended()


async def raise_in_with(caller: Caller, surface: Surface, scenario: str) -> None:
    """The application raises in the loop body inside `with`."""
    async with caller.noting(), caller.holding(surface, scenario) as held:
        async for _ in caller.reading(held, surface):
            if caller.taken == 3:
                raise AppError("mine")
    caller.ended()


async def close_while_handling(caller: Caller, surface: Surface, scenario: str) -> None:
    """The call is made and closed while an older exception is being handled: it has nothing to do with it."""
    try:
        int("older")
    except ValueError:
        async with caller.holding(surface, scenario) as held:
            await caller.take(held, surface)
        caller.ended()


async def raise_without_with(caller: Caller, surface: Surface, scenario: str) -> None:
    """The application raises in the loop body; nobody closes."""

    async def body() -> None:
        held = await caller.open(surface, scenario)
        async for _ in caller.reading(held, surface):
            if caller.taken == 3:
                raise AppError("mine")

    async with caller.noting():
        await body()
    await caller.collect()
    caller.ended()


async def close_response(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close the HTTP response under the stream."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    await caller.close_response(held)
    caller.ended()


async def close_from_thread(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close from another thread while the reader is blocked; it stays blocked until something comes."""
    held = await caller.open(surface, scenario)
    failed: list[Exception] = []

    def read() -> None:
        try:
            for item in held.stream:
                caller.taken += surface.weight(item)
        except Exception as exc:  # noqa: BLE001 - of the SDK or of its HTTP library; noted below
            failed.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    await caller.until(lambda: caller.taken == 3 and caller.exchange.is_held)
    await caller.pause()
    await caller.close(held)
    caller.ended()
    caller.server.release(scenario)
    reader.join()
    async with caller.noting():
        for exc in failed:
            raise exc


async def own_generator(caller: Caller, surface: Surface, scenario: str) -> None:
    """The caller's own generator wraps the stream, and is closed."""

    async def mine() -> Any:
        async with caller.holding(surface, scenario) as held:
            async for item in caller.reading(held, surface):
                yield item

    generator = mine()
    while caller.taken < 3:
        await generator.__anext__()
    await generator.aclose()
    caller.ended()


async def close_twice(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close, and close again."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    await caller.close(held)
    caller.ended()
    await caller.close(held)


async def close_in_finally(caller: Caller, surface: Surface, scenario: str) -> None:
    """Read to whatever end, then close in `finally`."""
    held = await caller.open(surface, scenario)
    try:
        async with caller.noting():
            await caller.read(held, surface)
        caller.ended()
    finally:
        await caller.close(held)


async def read_after_close(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close, and then ask for more."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    await caller.close(held)
    caller.ended()
    async with caller.noting():
        await caller.take(held, surface, 1, is_exact=False)


async def interrupted(caller: Caller, surface: Surface, scenario: str, kind: type[BaseException]) -> None:
    """Ctrl-C or `sys.exit` in the loop body, inside `with`."""
    async with caller.noting(), caller.holding(surface, scenario) as held:
        await caller.take(held, surface)
        raise kind
    caller.ended()


async def keyboard_interrupt(caller: Caller, surface: Surface, scenario: str) -> None:
    """Ctrl-C while the caller's code runs, inside `with`."""
    await interrupted(caller, surface, scenario, KeyboardInterrupt)


async def system_exit(caller: Caller, surface: Surface, scenario: str) -> None:
    """`sys.exit` in the loop body, inside `with`."""
    await interrupted(caller, surface, scenario, SystemExit)


# --- C: asyncio -------------------------------------------------------------------------------------------------


async def _reader(caller: Caller, surface: Surface, held: Held) -> asyncio.Task[None]:
    """Return a task that has read three events and is blocked in the read of the fourth."""
    task = asyncio.create_task(caller.read(held, surface))
    await caller.until(lambda: caller.taken == 3)
    return task


async def _noted(caller: Caller, task: asyncio.Task[None]) -> None:
    """Note what a task came to."""
    (outcome,) = await asyncio.gather(task, return_exceptions=True)
    async with caller.noting():
        if isinstance(outcome, BaseException):
            raise outcome


async def cancel_blocked(caller: Caller, surface: Surface, scenario: str) -> None:
    """Cancel the task that is blocked in the read."""
    held = await caller.open(surface, scenario)
    task = await _reader(caller, surface, held)
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


async def cancel_in_with(caller: Caller, surface: Surface, scenario: str) -> None:
    """Cancel the task that is blocked in the read inside `async with`."""

    async def body() -> None:
        async with caller.holding(surface, scenario) as held:
            caller.kept.append(held)
            await caller.read(held, surface)

    task = asyncio.create_task(body())
    await caller.until(lambda: caller.taken == 3)
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


async def cancel_busy(caller: Caller, surface: Surface, scenario: str) -> None:
    """Cancel the task while it does something else between two reads, inside `async with`."""
    busy = asyncio.Event()

    async def body() -> None:
        async with caller.holding(surface, scenario) as held:
            caller.kept.append(held)
            await caller.take(held, surface)
            busy.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(body())
    await busy.wait()
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


async def cancel_opening(caller: Caller, surface: Surface, scenario: str) -> None:
    """Cancel before there are headers."""

    async def body() -> None:
        await caller.open(surface, scenario)

    task = asyncio.create_task(body())
    await caller.until(lambda: caller.server.exchanges)
    await caller.pause()
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


async def cancel_first_read(caller: Caller, surface: Surface, scenario: str) -> None:
    """Cancel the first read before there are headers."""
    held = await caller.open(surface, scenario)
    task = asyncio.create_task(caller.read(held, surface))
    await caller.until(lambda: caller.server.exchanges)
    await caller.pause()
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


async def timeout_block(caller: Caller, surface: Surface, scenario: str) -> None:
    """`asyncio.timeout` around the loop; it runs out when the reader is blocked."""
    held = await caller.open(surface, scenario)
    async with caller.noting():
        async with asyncio.timeout(None) as deadline:  # type: ignore[attr-defined,unused-ignore] # Python 3.11
            async for _ in caller.reading(held, surface):
                if caller.taken == 3:
                    deadline.reschedule(asyncio.get_running_loop().time() + 0.001)
    caller.ended()


async def wait_for(caller: Caller, surface: Surface, scenario: str) -> None:
    """`asyncio.wait_for` around the loop."""
    held = await caller.open(surface, scenario)
    async with caller.noting():
        await asyncio.wait_for(caller.read(held, surface), 0.3)
    caller.ended()


async def move_on(caller: Caller, surface: Surface, scenario: str) -> None:
    """An anyio scope whose deadline passes when the reader is blocked."""
    held = await caller.open(surface, scenario)
    async with caller.noting():
        with anyio.CancelScope() as scope:
            async for _ in caller.reading(held, surface):
                if caller.taken == 3:
                    scope.deadline = anyio.current_time()
    caller.seen.note("moved on", scope.cancelled_caught)
    caller.ended()


async def scope_cancel(caller: Caller, surface: Surface, scenario: str) -> None:
    """An anyio scope that is cancelled by another task when the reader is blocked."""
    held = await caller.open(surface, scenario)
    scope = anyio.CancelScope()

    async def body() -> None:
        with scope:
            await caller.read(held, surface)

    task = asyncio.create_task(body())
    await caller.until(lambda: caller.taken == 3)
    scope.cancel()
    await asyncio.wait([task])
    caller.ended()


async def close_from_task(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close from another task while the reader is blocked."""
    held = await caller.open(surface, scenario)
    task = await _reader(caller, surface, held)
    await caller.close(held)
    caller.ended()
    await _noted(caller, task)


async def drop_until_loop_ends(caller: Caller, surface: Surface, scenario: str) -> None:
    """Break and let go of the stream; nothing is collected before the loop is shut down."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    del held


async def hold_until_loop_ends(caller: Caller, surface: Surface, scenario: str) -> None:
    """The loop is closed while the stream is held."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    caller.kept.append(held)


async def another_task(caller: Caller, surface: Surface, scenario: str) -> None:
    """Create the stream in one task and read it in another."""
    held = await asyncio.create_task(caller.open(surface, scenario))
    await asyncio.create_task(caller.read(held, surface))
    caller.ended()


async def swallow_cancel(caller: Caller, surface: Surface, scenario: str) -> None:
    """Swallow a cancel that came between two reads, and keep reading."""
    held = await caller.open(surface, scenario)
    busy = asyncio.Event()

    async def body() -> None:
        await caller.take(held, surface, 1, is_exact=False)
        busy.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            caller.seen.note("swallowed")
        await caller.read(held, surface)

    task = asyncio.create_task(body())
    await busy.wait()
    task.cancel()
    await asyncio.wait([task])
    caller.ended()
    await _noted(caller, task)


# --- F and D: threads, clients ----------------------------------------------------------------------------------


async def another_thread(caller: Caller, surface: Surface, scenario: str) -> None:
    """Open the stream in one thread and read it in another."""
    held = await caller.open(surface, scenario)

    def read() -> None:
        for item in held.stream:
            caller.taken += surface.weight(item)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    caller.progress(held)
    caller.ended()


async def close_client(caller: Caller, surface: Surface, scenario: str) -> None:
    """Close the client, and read on."""
    held = await caller.open(surface, scenario)
    await caller.take(held, surface)
    await caller.wait(caller.clients[-1].close())
    async with caller.noting():
        await caller.take(held, surface, 1, is_exact=False)
    caller.ended()


async def open_only(caller: Caller, surface: Surface, scenario: str) -> None:
    """Make a call that fails."""
    async with caller.noting():
        await caller.open(surface, scenario)
    caller.ended()
