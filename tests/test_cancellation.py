"""Cancellations that are timeouts in disguise, and closes that nobody asked for."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from streamspan._cancellation import is_finalizer, is_timeout, on_exit, on_timeout, patches
from streamspan._patching import Patches

asyncio_timeout: Any = getattr(asyncio, "timeout", None)
has_timeout = pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")


@pytest.fixture
def _watched() -> Iterator[None]:
    """The timer of asyncio is patched."""
    patched = Patches(patches())
    patched.apply()
    yield
    patched.undo()


async def verdict(seen: list[bool]) -> None:
    """Wait for ever, and note what the cancellation is taken for."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as exc:
        seen.append(is_timeout(exc))
        raise


def test_a_message_about_a_deadline_is_a_timeout() -> None:
    """The library anyio says so; without a message or a task there is nothing to tell by."""
    assert is_timeout(asyncio.CancelledError("Cancelled via cancel scope 7f; reason: deadline exceeded"))
    assert not is_timeout(asyncio.CancelledError("Cancelled via cancel scope 7f"))
    assert not is_timeout(asyncio.CancelledError())
    assert not is_timeout(asyncio.CancelledError(3))


def test_an_anyio_deadline_is_a_timeout_and_an_anyio_cancel_is_not() -> None:
    """By the words of the anyio that is installed."""
    seen: list[bool] = []

    async def main() -> None:
        with anyio.move_on_after(0.01):
            await verdict(seen)
        with anyio.CancelScope() as scope:
            asyncio.get_running_loop().call_soon(scope.cancel)
            await verdict(seen)

    asyncio.run(main())
    assert seen == [True, False]


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_a_timeout_within_does_not_end_the_one_around() -> None:
    """A library may have a timeout of its own in there; leaving that block is not leaving the caller's."""
    seen: list[bool] = []

    async def library() -> None:
        try:
            async with asyncio_timeout(60):
                await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            seen.append(is_timeout(exc))
            raise

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01):
                await library()

    asyncio.run(main())
    assert seen == [True]


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_an_asyncio_timeout_is_a_timeout_for_as_long_as_its_block_lasts() -> None:
    """A later cancellation of the same task is another one."""
    seen: list[bool] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01):
                await verdict(seen)
        task: Any = asyncio.current_task()
        asyncio.get_running_loop().call_soon(task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await verdict(seen)
        task.uncancel()

    asyncio.run(main())
    assert seen == [True, False]


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_an_outer_timeout_is_seen_inside_an_inner_one() -> None:
    """Whichever timer it is, the cancellation is a timeout; a timer that does not fire changes nothing."""
    seen: list[bool] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01), asyncio_timeout(60):
                await verdict(seen)

    asyncio.run(main())
    assert seen == [True]


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_a_cancel_inside_a_timeout_block_is_a_cancel() -> None:
    """The timer was there and has not fired."""
    seen: list[bool] = []

    async def read() -> None:
        async with asyncio_timeout(60):
            await verdict(seen)

    async def main() -> None:
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert seen == [False]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="asyncio.wait_for has a timeout inside from Python 3.12")
@pytest.mark.usefixtures("_watched")
def test_wait_for_is_a_timeout() -> None:
    """From the Python that makes it of `asyncio.timeout`."""
    seen: list[bool] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(verdict(seen), 0.01)

    asyncio.run(main())
    assert seen == [True]


@has_timeout
def test_the_patches_go_without_a_trace() -> None:
    """The very originals are back."""
    timeout = vars(sys.modules["asyncio.timeouts"])["Timeout"]
    before = dict(vars(timeout))
    patched = Patches(patches())
    patched.apply()
    assert vars(timeout)["_on_timeout"] is not before["_on_timeout"]
    patched.undo()
    assert dict(vars(timeout)) == before
    assert patched.missing == []


def test_another_asyncio_breaks_nothing() -> None:
    """A timer without the task that we know is called as it is."""
    called: list[str] = []
    on_timeout(lambda: called.append("timeout"), object(), (), {})
    assert on_exit(lambda *_: "left", object(), (None,), {}) == "left"
    assert called == ["timeout"]


# --- finalizers ------------------------------------------------------------------------------------------------------------


async def watched(seen: list[bool]) -> AsyncIterator[int]:
    """Yield, and note who closes it."""
    try:
        yield 1
        yield 2
    finally:
        seen.append(is_finalizer())


def test_a_close_of_the_callers_is_no_finalizer() -> None:
    """By hand, by a block that is left, in the main task or another."""
    seen: list[bool] = []

    async def close() -> None:
        items = watched(seen)
        await items.__anext__()
        await items.aclose()  # type: ignore[attr-defined]

    async def main() -> None:
        await close()
        await asyncio.create_task(close())

    asyncio.run(main())
    assert seen == [False, False]


def test_a_collected_generator_is_closed_by_a_finalizer() -> None:
    """The loop makes a task of the close."""
    seen: list[bool] = []

    async def main() -> None:
        items = watched(seen)
        await items.__anext__()
        del items
        gc.collect()
        for _ in range(5):
            await asyncio.sleep(0)

    asyncio.run(main())
    assert seen == [True]


def test_the_loops_shutdown_is_a_finalizer() -> None:
    """A generator that is still suspended when the loop ends."""
    seen: list[bool] = []
    kept: list[Any] = []

    async def main() -> None:
        items = watched(seen)
        await items.__anext__()
        kept.append(items)

    asyncio.run(main())
    assert seen == [True]


@pytest.mark.parametrize(
    "close",
    [
        lambda items: asyncio.create_task(items.aclose()),
        lambda items: asyncio.gather(items.aclose()),
        lambda items: asyncio.wait_for(items.aclose(), 5),
    ],
    ids=["create_task", "gather", "wait_for"],
)
def test_a_task_that_the_caller_makes_of_a_close_is_no_finalizer(close: Callable[[Any], Any]) -> None:
    """The generator is at the bottom of that task as well, but the loop still counts it among the living."""
    seen: list[bool] = []

    async def main() -> None:
        items = watched(seen)
        await items.__anext__()
        await close(items)

    asyncio.run(main())
    assert seen == [False]


def test_outside_of_any_loop_there_is_no_finalizer() -> None:
    """As in trio, or in a plain thread."""
    assert not is_finalizer()


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_a_deadline_reaches_the_task_that_is_waited_for() -> None:
    """A framework that reads in a task of its own passes the cancellation on."""
    seen: list[bool] = []

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01):
                await asyncio.create_task(verdict(seen))

    asyncio.run(main())
    assert seen == [True]


@has_timeout
@pytest.mark.usefixtures("_watched")
def test_a_cancel_beside_a_deadline_is_none() -> None:
    """Another task's deadline is not the cause."""
    seen: list[bool] = []

    async def main() -> None:
        other = asyncio.create_task(verdict(seen))

        async def cancels_the_other() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                other.cancel()
                await asyncio.wait([other])

        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01):
                await cancels_the_other()

    asyncio.run(main())
    assert seen == [False]
