"""Open sessions: who keeps them, and what becomes of those that nobody ends."""

from __future__ import annotations

import _thread
import gc
import os
import signal
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry._logs import NoOpLoggerProvider
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import TracerProvider

import streamspan
from streamspan import _api
from streamspan._endings import Signal
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._ownership import Call
from streamspan._records import Failure
from streamspan._session import Session
from support.feeding import DONE, Feed, Note, source

FIRST_WINS_ROUNDS, RACERS = 500, 8
MANY = 10_000


@pytest.fixture
def feed() -> Feed:
    return Feed()


@pytest.fixture
def _sigterm() -> Iterator[None]:
    """Leave the signal as it was."""
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def reasons(feed: Feed) -> list[tuple[str, str | None]]:
    return [(note.endings[0].outcome, note.endings[0].cancel_reason) for note in feed.recorder.notes]


# --- what is open ------------------------------------------------------------------------------------------------------


def test_sessions_are_listed_from_opening_to_ending(feed: Feed) -> None:
    """Oldest first; an ended one is forgotten."""
    first, second = feed.call(), feed.call()
    assert feed.lifecycle.sessions() == [first.session, second.session]
    first.session.closed()
    assert feed.lifecycle.sessions() == [second.session]
    second.session.exhausted()
    assert feed.lifecycle.sessions() == []
    feed.lifecycle.closed(second.session)


def test_the_list_is_a_copy(feed: Feed) -> None:
    """Ending sessions while going through it is safe."""
    for _ in range(3):
        feed.call()
    for session in feed.lifecycle.sessions():
        session.closed()
    assert feed.lifecycle.sessions() == []


# --- dropped -----------------------------------------------------------------------------------------------------------


def test_a_dropped_session_ends_soon(feed: Feed) -> None:
    """Not in the finalizer itself: by a thread, or by whoever waits for it."""
    call = feed.call()
    feed.lifecycle.dropped(call.session)
    feed.lifecycle.drain()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_a_session_that_has_ended_cannot_be_dropped(feed: Feed) -> None:
    """Nothing is queued."""
    call = feed.call()
    call.session.closed()
    feed.lifecycle.dropped(call.session)
    assert feed.lifecycle._later.empty()


class Witness:
    """Stands for a framework's object that lives as long as a run."""


def _dropped_before(feed: Feed) -> tuple[Session, Witness]:
    """Return a session that was dropped before its witness has spoken."""
    call, witness = feed.call(), Witness()
    feed.lifecycle.leave_to(witness, call.session)
    feed.lifecycle.dropped(call.session)
    feed.lifecycle.drain()
    assert feed.recorder.notes[0].endings == []
    return call.session, witness


def test_a_witness_says_what_the_drop_was(feed: Feed) -> None:
    """A stream that a framework lets go of because its caller has closed it was closed."""
    session, _witness = _dropped_before(feed)
    session.closed()
    feed.lifecycle.drain()
    assert reasons(feed) == [("cancelled", "closed")]
    assert feed.lifecycle._witnesses == feed.lifecycle._let_go == {}


def test_a_drop_that_no_witness_is_left_for_is_a_drop(feed: Feed) -> None:
    """It is gone without a word."""
    _, witness = _dropped_before(feed)
    del witness
    feed.lifecycle.drain()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_a_witness_that_has_nothing_to_say_is_not_waited_for(feed: Feed) -> None:
    """The drop counts at once."""
    session, _witness = _dropped_before(feed)
    feed.lifecycle.witnessed(session)
    feed.lifecycle.drain()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_at_exit_no_witness_is_waited_for(feed: Feed) -> None:
    """What was dropped is not open."""
    _, _witness = _dropped_before(feed)
    feed.lifecycle._at_exit()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_without_new_threads_the_drop_waits_for_the_exit_hook(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """At interpreter shutdown no thread can be started any more."""

    def refuse(*_args: Any) -> int:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    call = feed.call()
    feed.lifecycle.dropped(call.session)
    assert feed.recorder.notes[0].endings == []
    feed.lifecycle.drain()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_while_the_interpreter_ends_nothing_is_begun(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exit hook has run already."""
    call = feed.call()
    monkeypatch.setattr(sys, "is_finalizing", lambda: True)
    feed.lifecycle.dropped(call.session)
    assert feed.lifecycle._later.empty()


def test_a_fault_at_the_ending_does_not_stop_the_queue(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    """The next dropped session still ends."""
    first, second = feed.call(), feed.call()
    first.session.observer = None  # type: ignore[assignment]
    feed.lifecycle.dropped(first.session)
    feed.lifecycle.dropped(second.session)
    feed.lifecycle.drain()
    assert feed.recorder.notes[1].ending == ("cancelled", "dropped", None)
    assert len(caplog.messages) == 1


def test_draining_waits_for_a_thread_that_is_at_it(feed: Feed) -> None:
    """What a thread has taken from the queue is waited for."""
    begun, finish = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        finish.wait(10)
        done.append("done")

    done: list[str] = []
    feed.lifecycle._do_later(work)
    begun.wait(10)
    feed.lifecycle.drain(seconds=0)  # not for ever
    assert done == []
    finish.set()
    feed.lifecycle.drain(seconds=10)
    assert done == ["done"]


# --- the end of the process --------------------------------------------------------------------------------------------


def test_at_exit_open_sessions_end_and_everything_is_sent_off(feed: Feed) -> None:
    """In this order; the process has other exit hooks, so only our own providers are flushed."""
    feed.call()
    ended = feed.call()
    ended.session.exhausted()
    feed.lifecycle._at_exit()
    assert reasons(feed) == [("cancelled", "exit"), ("truncated", None)]
    assert feed.flushed == [False]


def test_at_exit_without_open_sessions_everything_is_still_sent_off(feed: Feed) -> None:
    """The spans of those that ended may still be on their way."""
    feed.lifecycle._at_exit()
    assert (feed.recorder.notes, feed.flushed) == ([], [False])


def test_at_exit_a_stream_in_a_cycle_is_dropped(feed: Feed) -> None:
    """Nobody can reach it: that is not the exit's doing."""

    class Cycle:
        def __init__(self, lifecycle: Lifecycle, call: Call) -> None:
            self.me, self.lifecycle, self.call = self, lifecycle, call

        def __del__(self) -> None:
            self.lifecycle.dropped(self.call.session)

    gc.disable()
    try:
        Cycle(feed.lifecycle, feed.call())
        feed.lifecycle._at_exit()
    finally:
        gc.enable()
    assert reasons(feed) == [("cancelled", "dropped")]


def test_at_exit_a_fault_costs_neither_the_other_sessions_nor_the_flush(caplog: pytest.LogCaptureFixture) -> None:
    """A flush that raises is logged, never raised."""

    def flush(_is_last: bool) -> None:
        raise OSError("no network")

    lifecycle = Lifecycle(Guard("lifecycle"), flush)
    feed = Feed()
    broken, good = feed.call(), feed.call()
    broken.session.observer = None  # type: ignore[assignment]
    for call in (broken, good):
        lifecycle.opened(call.session)
    lifecycle._at_exit()
    assert feed.recorder.notes[1].ending == ("cancelled", "exit", None)
    assert len(caplog.messages) == 2


@pytest.mark.usefixtures("_sigterm")
def test_sigterm_ends_everything_and_then_kills(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions end, providers are flushed as nobody else will, and the process dies of the signal."""
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    feed.call()
    feed.lifecycle.install()
    assert signal.getsignal(signal.SIGTERM) == feed.lifecycle._on_sigterm
    feed.lifecycle._on_sigterm(signal.SIGTERM, None)
    assert reasons(feed) == [("cancelled", "exit")]
    assert (feed.flushed, killed) == ([True], [(os.getpid(), signal.SIGTERM)])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("_sigterm")
def test_the_first_process_of_a_container_leaves_sigterm_alone(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel does not let it die of the default action, so it would go on in a half-ended state."""
    monkeypatch.setattr(os, "getpid", lambda: 1)
    feed.lifecycle.install()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


@pytest.mark.usefixtures("_sigterm")
def test_an_own_handler_is_left_alone(feed: Feed) -> None:
    """Whether it was there before, or came afterwards."""

    def own(_number: int, _frame: Any) -> None:
        raise AssertionError

    signal.signal(signal.SIGTERM, own)
    feed.lifecycle.install()
    assert signal.getsignal(signal.SIGTERM) is own
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    feed.lifecycle.install()
    signal.signal(signal.SIGTERM, own)
    feed.lifecycle.uninstall()
    assert signal.getsignal(signal.SIGTERM) is own


@pytest.mark.usefixtures("_sigterm")
def test_another_thread_than_the_main_one_leaves_signals_alone(feed: Feed) -> None:
    """Only the main thread may set them; nothing is raised."""
    raised: list[BaseException] = []

    def run(what: Any) -> None:
        def body() -> None:
            try:
                what()
            except BaseException as exc:  # noqa: BLE001 - all that is raised is the point
                raised.append(exc)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()

    run(feed.lifecycle.install)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    feed.lifecycle.install()
    run(feed.lifecycle.uninstall)
    assert signal.getsignal(signal.SIGTERM) == feed.lifecycle._on_sigterm
    feed.lifecycle.uninstall()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    assert raised == []


# --- fork ------------------------------------------------------------------------------------------------------------------


def test_a_forked_child_forgets_what_it_inherited(feed: Feed) -> None:
    """The sessions are the parent's: in the child they end silently, and only their count is taken back."""
    call = feed.call()
    feed.lifecycle._later.put(call.session.closed)  # queued in the parent, which does it itself
    feed.lifecycle._after_fork_in_child()
    feed.lifecycle.drain()
    (note,) = feed.recorder.notes
    assert (note.endings, note.forgotten_count) == ([], 1)
    assert feed.lifecycle.sessions() == []
    call.session.stopped(Signal.DROPPED)
    assert note.endings == []


# --- threads and memory ------------------------------------------------------------------------------------------------------


def test_of_many_endings_at_once_exactly_one_counts(feed: Feed) -> None:
    """Eight threads end the same session in every way, five hundred times: it is told once, each time."""
    barrier = threading.Barrier(RACERS)
    current: list[Session] = []
    ways = [
        lambda session: session.exhausted(),
        lambda session: session.closed(),
        lambda session: session.closed("builtins.KeyError"),
        lambda session: session.stopped(Signal.DROPPED),
        lambda session: session.stopped(Signal.EXIT),
        lambda session: session.stopped(Signal.TASK_CANCELLED),
        lambda session: session.stopped(Signal.INTERRUPTED),
        lambda session: session.failed(Failure("acme.Broken")),
    ]

    def race(number: int) -> None:
        for _ in range(FIRST_WINS_ROUNDS):
            if barrier.wait(30) == 0:
                current[:] = [feed.call().session]
            barrier.wait(30)
            ways[number](current[0])
            barrier.wait(30)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(RACERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    notes = feed.recorder.notes
    assert len(notes) == FIRST_WINS_ROUNDS
    assert [len(note.endings) for note in notes] == [1] * FIRST_WINS_ROUNDS
    assert feed.lifecycle.sessions() == []


def test_of_many_tellers_at_once_exactly_one_is_heard(feed: Feed) -> None:
    """As before, with the lifecycle's own queue in the race: never none and never two."""
    for _ in range(FIRST_WINS_ROUNDS // 5):
        session = feed.call().session
        ready = threading.Barrier(RACERS)

        def end(number: int, session: Session = session, ready: threading.Barrier = ready) -> None:
            ready.wait(30)
            if number % 2:
                feed.lifecycle.dropped(session)
            else:
                session.closed()

        threads = [threading.Thread(target=end, args=(number,)) for number in range(RACERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        feed.lifecycle.drain()
        assert len(feed.recorder.notes[-1].endings) == 1
    assert feed.lifecycle.sessions() == []


def count_ours() -> dict[str, int]:
    """Count the living objects of streamspan's per-stream classes."""
    gc.collect()
    names = ("Session", "Call", "SessionTelemetry", "Observed", "Arrivals", "Waits", "Gaps", "_Watched")
    counted = dict.fromkeys(names, 0)
    for item in gc.get_objects():
        kind = type(item)
        if kind.__name__ in counted and str(kind.__module__).startswith("streamspan."):
            counted[kind.__name__] += 1
    return counted


def test_ten_thousand_finished_streams_leave_nothing_behind() -> None:
    """Read to the end, closed, dropped and broken ones: no object of theirs lives on, and none is open."""
    # Real spans, as they hold the attributes; metrics are aggregates, and would only take time.
    tracers = TracerProvider(shutdown_on_exit=False)
    streamspan.instrument(
        tracer_provider=tracers, meter_provider=NoOpMeterProvider(), logger_provider=NoOpLoggerProvider()
    )
    before = count_ours()
    last: weakref.ref[Session] | None = None
    for number in range(MANY):
        stream = streamspan.observe(source("a", "b", KeyError("x")) if number % 4 == 3 else ["a", "b"], provider="acme")
        if number == MANY - 1:
            last = weakref.ref(_api.open_sessions()[-1])
        if number % 4 == 0:
            list(stream)
        elif number % 4 == 1:
            next(stream)
            stream.close()
        elif number % 4 == 2:
            next(stream)
        else:
            with pytest.raises(KeyError):
                list(stream)
        del stream
    _api.drain()
    assert _api.open_sessions() == []
    assert count_ours() == before
    assert last is not None
    assert last() is None


def test_a_session_that_ended_is_freed_without_the_garbage_collector(feed: Feed) -> None:
    """By reference counting, with everything that belongs to it."""
    gc.collect()
    gc.disable()
    try:
        call = feed.call()
        session, note = weakref.ref(call.session), feed.recorder.notes.pop()
        call.session.pull(1)
        call.session.arrived(DONE)
        call.session.exhausted()
        assert isinstance(note, Note)
        note.session = None
        del call, note
        assert session() is None
    finally:
        gc.enable()
