"""The fence: a fault of ours is logged once per place, never raised, and switches its part off when it repeats."""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from streamspan._guard import FAULT_LIMIT, Guard


def broken(*_args: Any, **_kwargs: Any) -> int:
    raise ValueError("boom")


def broken_too(_argument: Any) -> int:
    raise ValueError("bang")


def stopped(_argument: Any = None) -> int:
    raise KeyboardInterrupt


def fault_messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [message for message in caplog.messages if "internal fault in" in message]


def said(part: str, place: str) -> str:
    return (
        f"streamspan: internal fault in {part} ({place}); the stream is not affected, its telemetry may be incomplete"
    )


def test_what_works_passes_through() -> None:
    """Arguments go in, the result comes out, by each of the three ways."""
    guard = Guard("part")
    assert guard.call(divmod, 7, 2) == (3, 1)
    assert guard.call(dict, a=1) == {"a": 1}
    assert guard.wrap(divmod, otherwise=None)(7, 2) == (3, 1)
    assert guard.wrap_reader(len, otherwise=0)("abc") == 3


def test_a_fault_gives_the_other_value(caplog: pytest.LogCaptureFixture) -> None:
    """None for `call`; what was agreed for the wrapped ones."""
    guard = Guard("part")
    assert guard.call(broken) is None
    assert guard.wrap(broken)(1, b=2) is None
    assert guard.wrap(broken, otherwise="else")() == "else"
    assert guard.wrap_reader(broken, otherwise=())(1) == ()
    assert fault_messages(caplog) == [said("part", "broken")]


def test_the_log_line_has_the_traceback_and_the_librarys_name(caplog: pytest.LogCaptureFixture) -> None:
    """One WARNING of the logger `streamspan`, with the exception."""
    Guard("part").call(broken)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("streamspan", logging.WARNING)
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)


def test_each_place_and_kind_of_fault_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """Repetitions are silent; another place or another exception is news."""
    guard = Guard("part")
    for _ in range(3):
        guard.call(broken)
        guard.call(broken_too, 1)
        guard.fault(broken, KeyError("x"))
    assert fault_messages(caplog) == [said("part", "broken"), said("part", "broken_too"), said("part", "broken")]


def test_a_partial_is_named_by_its_function(caplog: pytest.LogCaptureFixture) -> None:
    """Two partials of one function are one place, and its name has no address in it."""
    guard = Guard("part")
    guard.call(functools.partial(broken, 1))
    guard.call(functools.partial(broken, 2))
    assert fault_messages(caplog) == [said("part", "broken")]


def test_a_place_may_be_anything(caplog: pytest.LogCaptureFixture) -> None:
    """Words are shown as they are; a thing without a name as what it is, never by its content."""
    Guard("part").fault("the third step", ValueError("x"))
    Guard("part").fault(["what the model said"], ValueError("x"))
    assert fault_messages(caplog) == [said("part", "the third step"), said("part", "list")]


def test_a_part_that_keeps_failing_is_switched_off_once(caplog: pytest.LogCaptureFixture) -> None:
    """At the limit the part is off and says so, one time; before it is not."""
    guard = Guard("part")
    for _ in range(FAULT_LIMIT - 1):
        guard.call(broken)
    assert not guard.is_off
    for _ in range(5):
        guard.call(broken)
    assert guard.is_off
    assert caplog.messages == [
        said("part", "broken"),
        f"streamspan: part is switched off after {FAULT_LIMIT} internal faults; please report the first one logged above",
    ]


def test_what_the_application_gave_is_named_as_such_and_never_switched_off(caplog: pytest.LogCaptureFixture) -> None:
    """A callback that raises is the application's own: one line, and it is called again."""
    guard = Guard("on_session_end", is_ours=False)
    for _ in range(FAULT_LIMIT + 5):
        guard.call(broken)
    assert not guard.is_off
    assert caplog.messages == ["streamspan: on_session_end (broken) raised; the stream is not affected"]


def test_guards_count_for_themselves() -> None:
    """One part's faults are not another's."""
    first, second = Guard("first"), Guard("second")
    for _ in range(FAULT_LIMIT):
        first.call(broken)
    second.call(broken)
    assert (first.is_off, second.is_off) == (True, False)


def test_what_stops_the_program_is_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    """KeyboardInterrupt and its like go through every fence."""
    guard = Guard("part")
    calls: tuple[Callable[[], object], ...] = (
        lambda: guard.call(stopped),
        guard.wrap(stopped),
        lambda: guard.wrap_reader(stopped, otherwise=0)(1),
    )
    for call in calls:
        with pytest.raises(KeyboardInterrupt):
            call()
    assert guard.takes("somewhere", KeyboardInterrupt()) is False
    assert caplog.messages == []


def test_a_hot_path_can_hand_its_exception_in(caplog: pytest.LogCaptureFixture) -> None:
    """`takes` says whether the exception was a fault of ours, and logs it if so."""
    guard = Guard("part")
    assert guard.takes(broken, ValueError("x")) is True
    assert fault_messages(caplog) == [said("part", "broken")]


def test_faults_of_many_threads_are_all_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Racing threads neither raise nor log a place without end."""
    guard = Guard("part")
    threads = [threading.Thread(target=lambda: [guard.call(broken) for _ in range(FAULT_LIMIT)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert guard.is_off
    assert 1 <= len(fault_messages(caplog)) <= 4
