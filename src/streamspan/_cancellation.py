"""Whether a cancellation is a timeout in disguise (and a close nobody's): `asyncio.timeout`, `asyncio.wait_for`, anyio's scopes.

All of them cancel the task, so the read sees a `CancelledError` like any other. anyio says in its message that a
deadline passed (from 4.11). asyncio says nothing, so its timer is watched: `Timeout._on_timeout` (Python 3.11 and
later; `wait_for` uses it from 3.12) notes the task that it is about to cancel.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable
from typing import Any

from streamspan._patching import Patch

_timed_out: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()


def is_timeout(exc: asyncio.CancelledError) -> bool:
    """Tell whether a deadline caused this cancellation of the current task."""
    if any("deadline exceeded" in str(arg) for arg in exc.args):
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task in _timed_out


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
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and type(task.get_coro()).__name__ == "async_generator_athrow"


def on_timeout(wrapped: Callable[[], None], instance: Any, args: Any, kwargs: Any) -> None:
    """Note the task that an `asyncio.timeout` cancels now; the wrapper of `Timeout._on_timeout`."""
    task = getattr(instance, "_task", None)
    if task is not None:
        _timed_out.add(task)
    wrapped(*args, **kwargs)


def on_exit(wrapped: Callable[..., Any], instance: Any, args: Any, kwargs: Any) -> Any:
    """Forget the task when the timeout's block is left: a later cancellation is another one."""
    task = getattr(instance, "_task", None)
    if task is not None:
        _timed_out.discard(task)
    return wrapped(*args, **kwargs)
