"""`streamspan.session`: what streams inside the block carry, in threads, tasks and nested blocks."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from streamspan._config import ConfigError
from streamspan._identity import Identity, current_identity, session


def test_inside_the_block_there_is_an_identity_and_outside_none() -> None:
    """The ids and attributes are those given, for as long as the block lasts."""
    assert current_identity() is None
    with session("s-1", user_id="u-1", plan="pro", seats=3, beta=True, share=0.5):
        assert current_identity() == Identity("s-1", "u-1", {"plan": "pro", "seats": 3, "beta": True, "share": 0.5})
    assert current_identity() is None


def test_an_inner_block_takes_over_what_it_does_not_set() -> None:
    """User and attributes are inherited and can be overwritten; leaving the block brings the outer ones back."""
    with session("outer", user_id="u-1", plan="pro", team="a"):
        with session("inner", team="b"):
            assert current_identity() == Identity("inner", "u-1", {"plan": "pro", "team": "b"})
        with session("inner", user_id="u-2"):
            assert current_identity() == Identity("inner", "u-2", {"plan": "pro", "team": "a"})
        assert current_identity() == Identity("outer", "u-1", {"plan": "pro", "team": "a"})


def test_the_block_is_left_by_an_exception_too() -> None:
    """The exception goes on, the identity does not."""
    with pytest.raises(KeyError, match="x"), session("s-1"):
        raise KeyError("x")
    assert current_identity() is None


def test_one_object_can_be_entered_again() -> None:
    """A `session` may be kept and used for many blocks, even within itself."""
    kept = session("s-1")
    with kept, kept:
        assert current_identity() == Identity("s-1")
    with kept:
        assert current_identity() == Identity("s-1")
    assert current_identity() is None


def test_tasks_have_their_own() -> None:
    """`async with` works, and concurrent tasks do not see each other's ids."""

    async def one(name: str) -> list[Identity | None]:
        async with session(name):
            seen = [current_identity()]
            await asyncio.sleep(0)
            return [*seen, current_identity()]

    async def both() -> list[list[Identity | None]]:
        return list(await asyncio.gather(one("a"), one("b")))

    assert asyncio.run(both()) == [[Identity("a")] * 2, [Identity("b")] * 2]


def test_threads_get_it_through_a_copied_context() -> None:
    """A new thread has no identity; one that runs in a copy of the context has."""
    seen: list[Identity | None] = []

    def look() -> None:
        seen.append(current_identity())

    with session("s-1"):
        context = contextvars.copy_context()
        for target in (look, lambda: context.run(look)):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()
    assert seen == [None, Identity("s-1")]


def test_a_generator_closed_in_another_context_is_no_fault() -> None:
    """An event loop closes a forgotten async generator in a context of its own; leaving the block there raises nothing."""
    closed: list[bool] = []

    async def stream() -> AsyncIterator[int]:
        with session("s-1"):
            try:
                yield 1
            finally:
                closed.append(True)

    async def main() -> None:
        generator: Any = stream()
        await contextvars.Context().run(lambda: asyncio.ensure_future(anext(generator)))
        await generator.aclose()

    asyncio.run(main())
    assert closed == [True]
    assert current_identity() is None


def test_a_list_is_copied() -> None:
    """Changing the list afterwards does not change what streams carry."""
    tags = ["a", "b"]
    with session("s-1", tags=tags):
        tags.append("c")
        assert current_identity() == Identity("s-1", None, {"tags": ("a", "b")})


@pytest.mark.parametrize(
    ("session_id", "arguments", "named"),
    [
        (5, {}, "session_id=5"),
        (None, {}, "session_id=None"),
        ("", {}, "session_id=''"),
        ("s", {"user_id": 7}, "user_id=7"),
        ("s", {"user_id": ""}, "user_id=''"),
        ("s", {"plan": None}, "plan=None"),
        ("s", {"plan": {"a": 1}}, "plan={'a': 1}"),
        ("s", {"plan": b"x"}, "plan=b'x'"),
        ("s", {"plan": ["a", None]}, r"plan=\['a', None\]"),
        ("s", {"plan": object}, "plan=<class 'object'>"),
    ],
)
def test_other_values_are_refused_at_once(session_id: Any, arguments: dict[str, Any], named: str) -> None:
    """A `ConfigError` names the argument, its value and what is allowed."""
    with pytest.raises(ConfigError, match=rf"session\({named}\): allowed (is|are) "):
        session(session_id, **arguments)
