"""Whether a cancellation is a timeout in disguise (and a close nobody's): `asyncio.timeout`, `asyncio.wait_for`, anyio's scopes.

All of them cancel the task, so the read sees a `CancelledError` like any other. anyio says in its message that a
deadline passed (from 4.11). asyncio says nothing, so its timer is watched: `Timeout._on_timeout` (Python 3.11 and
later; `wait_for` uses it from 3.12) notes the task that it is about to cancel.
"""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from inspect import isasyncgen
from typing import Any

from streamspan._patching import Patch

_MOST_TASKS = 32

_timed_out: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def is_timeout(exc: asyncio.CancelledError, task: asyncio.Task[Any] | None = None) -> bool:
    """Tell whether a deadline caused this cancellation of the current task, or of another one that is given."""
    if any("deadline exceeded" in str(arg) for arg in exc.args):
        return True
    task = task or current_task()
    return task is not None and any(_waits_for(each, task) for each in _snapshot())


def _waits_for(waiting: Any, task: asyncio.Task[Any]) -> bool:
    """Tell whether a task waits for another one, or for one that does: a cancellation is passed on that way."""
    for _ in range(_MOST_TASKS):
        if waiting is task:
            return True
        waiting = getattr(waiting, "_fut_waiter", None)  # of both of asyncio's implementations of a task
    return False


def _snapshot() -> list[asyncio.Task[Any]]:
    try:
        return list(_timed_out)
    except RuntimeError:  # another thread's event loop has just changed it
        return []


def current_task() -> asyncio.Task[Any] | None:
    """Return the task that is running, None outside of asyncio."""
    # Documented for frameworks; `asyncio.current_task()` alone raises where there is none, which costs a microsecond.
    loop = asyncio._get_running_loop()  # noqa: SLF001
    return None if loop is None else asyncio.current_task(loop)


def patches() -> list[Patch]:
    """Return the patches of asyncio's timer; Python 3.10 has none to patch."""
    return [
        Patch("asyncio.timeouts", "Timeout._on_timeout", on_timeout, is_optional=True),
        Patch("asyncio.timeouts", "Timeout.__aexit__", on_exit, is_optional=True),
    ]


def is_finalizer() -> bool:
    """Tell whether the event loop is closing an async generator that nobody holds: the caller asked for no close.

    asyncio wraps the generator's own `aclose()` in a task for that, when it is collected and when the loop shuts down;
    a close that the caller awaits has the caller's coroutine at the bottom.
    """
    task = current_task()
    coroutine: Any = None if task is None else task.get_coro()
    if task is None or type(coroutine).__name__ != "async_generator_athrow":
        return False
    # A task around `aclose()` may be the caller's too (`create_task`, `gather`, `wait_for` up to Python 3.11). asyncio
    # strikes a generator off the loop's list before it closes it; uvloop's list has the same name.
    listed = getattr(task.get_loop(), "_asyncgens", None)
    return listed is None or not any(each in listed for each in gc.get_referents(coroutine) if isasyncgen(each))


def on_timeout(wrapped: Callable[[], None], instance: Any, args: Any, kwargs: Any) -> None:
    """Note the task that an `asyncio.timeout` cancels now; the wrapper of `Timeout._on_timeout`."""
    task = getattr(instance, "_task", None)
    if task is not None:
        _timed_out.add(task)
    wrapped(*args, **kwargs)


def on_exit(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    """Forget the task when the block of the timeout that cancelled it is left: a later cancellation is another one."""
    task = getattr(instance, "_task", None)
    if task is not None and instance.expired():  # the block of another one may be inside (`websockets` has its own)
        _timed_out.discard(task)
    return wrapped(*args, **kwargs)
