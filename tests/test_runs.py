"""Runs of a framework: which one the code is in, and what it learns of sessions below."""

from __future__ import annotations

from contextvars import copy_context
from typing import Any, cast

from streamspan._runs import Run, current_run


class _Session:
    """Stands for a session, which a run only refers to."""


def _run() -> Run:
    return Run({})


def test_runs_are_nested() -> None:
    """The innermost counts; when it is left, the one around it does."""
    outer, inner = _run(), _run()
    outer.enter()
    inner.enter()
    assert current_run() is inner
    inner.leave()
    assert current_run() is outer
    outer.leave()
    assert current_run() is None


def test_a_run_that_is_left_in_another_context_is_left_everywhere() -> None:
    """As when its callbacks are shielded in a task of their own."""
    run = _run()
    run.enter()
    copy_context().run(run.leave)
    assert current_run() is None


def test_the_code_of_an_earlier_run_can_be_told_from_that_of_a_later_one() -> None:
    """A framework may begin several before it does the work of the first."""
    one, two = _run(), _run()
    one.enter()
    two.enter()
    with one.inside():
        assert current_run() is one
    assert current_run() is two
    two.leave()
    one.leave()


def test_a_session_tells_of_all_runs_around_it() -> None:
    """Each is told, and refers to the session without keeping it."""
    outer, inner = _run(), _run()
    told: list[str] = []
    outer.on_recorded = lambda: told.append("outer")
    inner.on_recorded = lambda: told.append("inner")
    outer.enter()
    inner.enter()
    session: Any = _Session()
    inner.recorded(cast("Any", session))
    assert told == ["inner", "outer"]
    assert (outer.is_recorded, inner.is_recorded) == (True, True)
    assert inner.session() is outer.session() is session
    del session
    assert inner.session() is None
    inner.leave()
    outer.leave()


def test_who_only_hears_of_a_run_is_of_none() -> None:
    """Not of the one around it either, and afterwards all is as before."""
    outer, inner = _run(), _run()
    outer.enter()
    inner.enter()
    with inner.outside():
        assert current_run() is None
    assert current_run() is inner
    inner.leave()
    outer.leave()
