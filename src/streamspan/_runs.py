"""The run of a framework (LangChain) that the code is in: what the framework calls it goes on the span of the vendor's call.

A framework above the vendors' SDKs makes no span of its own where a vendor's session tells of the call. So it says here
which run it is in, and learns whether a session was opened for it. Knows no framework, no vendor and no telemetry.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from streamspan._records import Attributes
from streamspan._session import Session

_current: ContextVar[Run | None] = ContextVar("streamspan_run", default=None)


class Run:
    """One call of a model, as a framework sees it.

    Args:
        attributes: what the span of a session in it carries.
    """

    __slots__ = ("attributes", "is_left", "is_recorded", "latest", "on_recorded", "outer", "witness")

    def __init__(self, attributes: Attributes) -> None:
        self.attributes = attributes
        self.is_left = False
        """Whatever is called from now on is called by somebody else, whose code runs in the same context."""
        self.is_recorded = False
        """A session below tells of this run."""
        self.on_recorded: Callable[[], object] | None = None
        """Called when a session below is opened."""
        self.outer: Run | None = None
        """The run around it."""
        self.latest: weakref.ref[Session] | None = None
        """The session that was opened last."""
        self.witness: weakref.ref[Any] | None = None
        """Lives as long as the framework may yet say how the run ended."""

    def session(self) -> Session | None:
        """Return the latest session that tells of this run, None if there is none that anybody reads."""
        return None if self.latest is None else self.latest()

    def enter(self) -> None:
        """Begin the run in this context, inside of the one that it is in now."""
        self.outer = current_run()
        _current.set(self)

    def beside(self, outer: Run | None) -> None:
        """Begin the run inside of another one, without being in it yet: it is one of several."""
        self.outer = outer

    def leave(self) -> None:
        """The run is over, or hands control to its caller."""
        self.is_left = True
        self.on_recorded = None
        if _current.get() is self:
            _current.set(self.outer)

    @contextmanager
    def inside(self) -> Generator[None, None, None]:
        """The code inside the block belongs to this run, whatever else was begun in this context meanwhile."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    @contextmanager
    def outside(self) -> Generator[None, None, None]:
        """The code inside the block is of no run: it only hears of this one."""
        token = _current.set(None)
        try:
            yield
        finally:
            _current.reset(token)

    def recorded(self, session: Session) -> None:
        """Take note that a session tells of this run, and so of those around it."""
        run: Run | None = self
        while run is not None:
            run.is_recorded = True
            run.latest = weakref.ref(session)
            if run.on_recorded is not None:
                run.on_recorded()
            run = run.outer


def current_run() -> Run | None:
    """Return the innermost run that this code is in, None outside of any."""
    run = _current.get()
    while run is not None and run.is_left:
        run = run.outer
    return run
