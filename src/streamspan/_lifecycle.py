"""Which sessions are open, and what becomes of them when nobody ends them: finalizers, exit, fork, SIGTERM.

Knows processes and threads. Refuses to know what a session measures.

A finalizer may run in the middle of any code of its thread, also inside OpenTelemetry's locks and `threading`'s own;
so it never ends a session itself. It leaves that to a short-lived thread, started by the one call that takes no lock
(`_thread.start_new_thread`), so that no idle thread stays in the process: Python 3.12 warns of a fork beside one.
"""

from __future__ import annotations

import _thread
import atexit
import gc
import os
import queue
import signal
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any, Protocol

from streamspan._endings import Signal
from streamspan._guard import Guard
from streamspan._session import Session

_SIGNAL_SECONDS = 2.5  # the providers' own bound is 2 seconds


class Counting(Protocol):
    """Who has counted what is open."""

    def forgotten(self) -> None:
        """Take back what was counted."""


class Watched(Protocol):
    """What can be open, and has to end: a session, or the connection that carries some."""

    @property
    def is_ended(self) -> bool:
        """Whether it has ended."""
        ...

    def stopped(self, signal: Signal) -> None:
        """End it for a reason that lies outside of it."""

    def forget(self) -> None:
        """End it without telling anybody."""

    @property
    def observer(self) -> Counting:
        """Who has counted it."""
        ...


class Lifecycle:
    """The open sessions of this process.

    Args:
        guard: fence for what is done here outside of any caller's call.
        flush: sends off what is still in the process, bounded in time by itself; told whether the process dies without
            any other exit hook.
    """

    def __init__(self, guard: Guard, flush: Callable[[bool], None]) -> None:
        self._guard = guard
        self._flush = flush
        self._open: dict[int, Watched] = {}
        self._witnesses: dict[int, weakref.ref[Any]] = {}
        self._let_go: dict[int, Watched] = {}
        self._later: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
        self._busy: deque[None] = deque()
        os.register_at_fork(after_in_child=self._after_fork_in_child)

    def install(self) -> None:
        """Take up the exit hook, and SIGTERM unless the application handles it itself."""
        atexit.register(self._at_exit)
        if os.getpid() == 1:
            return  # the kernel lets the first process of a container live on after SIGTERM, whatever we do about it
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)

    def uninstall(self) -> None:
        """Give SIGTERM back; sessions that are open still end, at the latest at exit."""
        if (
            signal.getsignal(signal.SIGTERM) == self._on_sigterm
            and threading.current_thread() is threading.main_thread()
        ):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def sessions(self) -> list[Session]:
        """Return the open sessions, oldest first."""
        return [each for each in self._open.values() if isinstance(each, Session)]

    def opened(self, session: Watched) -> None:
        """Take note of a session; the first of several moves the exit hook to the front."""
        if not self._open:
            # Exit hooks run last in, first out: ours must run before that of a provider that was set meanwhile.
            atexit.unregister(self._at_exit)
            atexit.register(self._at_exit)
        self._open[id(session)] = session

    def closed(self, session: Watched) -> None:
        """Forget a session that has ended."""
        for known in (self._open, self._witnesses, self._let_go):
            known.pop(id(session), None)

    def leave_to(self, witness: object, session: Watched) -> None:
        """Let somebody else say why a session's stream is let go of, as long as the witness lives.

        A framework that is unwound drops the stream first, and says a moment later what unwound it.
        """
        key = id(session)
        self._witnesses[key] = weakref.ref(witness, lambda _: self._unwitnessed(key))

    def witnessed(self, session: Watched) -> None:
        """Wait no longer for a witness."""
        self._unwitnessed(id(session))

    def _unwitnessed(self, key: int) -> None:
        self._witnesses.pop(key, None)
        session = self._let_go.pop(key, None)
        if session is not None:
            self.dropped(session)

    def dropped(self, session: Watched) -> None:
        """Take a session whose stream was garbage-collected; safe in a finalizer."""
        if session.is_ended or sys.is_finalizing():
            return
        self._let_go[id(session)] = session  # before the look: the witness may die in another thread
        if id(session) not in self._witnesses:
            self._let_go.pop(id(session), None)
            self._do_later(partial(session.stopped, Signal.DROPPED))

    def drain(self, seconds: float = 1.0) -> None:
        """Return when every session dropped so far has ended, or after `seconds`."""
        self._do_now()
        deadline = time.monotonic() + seconds
        while self._busy and time.monotonic() < deadline:
            time.sleep(0.001)

    def _do_later(self, task: Callable[[], object]) -> None:
        self._later.put(task)
        try:
            _thread.start_new_thread(self._do_now, ())
        except RuntimeError:  # no new threads at interpreter shutdown: the exit hook does what is left
            return

    def _do_now(self) -> None:
        self._busy.append(None)
        try:
            while True:
                self._guard.call(self._later.get_nowait())
        except queue.Empty:
            return
        finally:
            self._busy.pop()

    # --- the end of the process ----------------------------------------------------------------------------------

    def _end_open(self) -> None:
        if self._open:
            gc.collect()  # a stream in a reference cycle is dropped, not open
        for key in list(self._let_go):
            self._unwitnessed(key)
        self.drain()
        for session in list(self._open.values()):  # a connection stands before its turns
            self._guard.call(session.stopped, Signal.EXIT)

    def _at_exit(self) -> None:
        self._end_open()
        self._guard.call(self._flush, False)

    def _at_sigterm(self) -> None:
        self._end_open()
        self._guard.call(self._flush, True)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        # The main thread may have been interrupted anywhere, also inside OpenTelemetry's locks: another thread does
        # the work, and is given up after a while.
        worker = threading.Thread(target=self._at_sigterm, daemon=True)
        worker.start()
        worker.join(_SIGNAL_SECONDS)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)  # die of it, as without us

    # --- fork ----------------------------------------------------------------------------------------------------

    def _after_fork_in_child(self) -> None:
        inherited = list(self._open.values())
        self._open, self._witnesses, self._let_go = {}, {}, {}
        self._later = queue.SimpleQueue()
        self._busy = deque()
        for session in inherited:
            session.forget()
            self._do_later(session.observer.forgotten)
