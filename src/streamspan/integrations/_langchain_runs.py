"""Listens to one run of a LangChain model, and records it if nobody below does.

Whether a vendor's session will be opened in a run is not known when it starts. So its start is kept, and a session of
our own is opened in the past at the first token, or at the end, unless a vendor's session has told of the run by then.
Knows LangChain's callbacks by their names; imports nothing of it.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any

from streamspan._cancellation import current_task, is_timeout
from streamspan._guard import Guard
from streamspan._ownership import Call, sync_reader
from streamspan._runs import Run
from streamspan._sessions import Opening, Sessions, Started, Target
from streamspan._taps import tell, told_cancelled
from streamspan.providers import Endpoint
from streamspan.providers.langchain import LANGCHAIN, provider_name, read_end

_NOWHERE = Target("", None, "")
_TOKENS, _EVENTS = "tokens", "events"


@dataclass(frozen=True, slots=True)
class Begun:
    """What is kept of a run's start.

    Args:
        endpoint: which kind of model it is.
        started: when the run was begun.
        context: where, before the run was entered: what is current there is the parent.
        body: what was asked.
    """

    endpoint: Endpoint
    started: Started
    context: Context
    body: Mapping[str, Any]


class Listener:
    """A LangChain callback handler for one run; the only one who hears of it.

    Args:
        run: the run, for the sessions below.
        begun: its start.
        manager: LangChain's run manager.
        sessions, guard: as everywhere.
    """

    # What LangChain asks a handler. Inline: in the thread and in the context of the model's own code, and no hop to an
    # executor and back for each token.
    run_inline = True
    raise_error = False
    ignore_llm = False
    ignore_retry = ignore_chain = ignore_agent = ignore_retriever = ignore_chat_model = ignore_custom_event = True

    def __init__(self, run: Run, begun: Begun, manager: Any, sessions: Sessions, guard: Guard) -> None:
        self.run = run
        self.is_generating = False
        """LangChain collects the answer itself: no code of the caller but its handlers runs before it is whole."""
        self._begun: Begun | None = begun
        self._manager = weakref.ref(manager)  # which holds this object
        task = current_task()
        self._task = None if task is None else weakref.ref(task)
        self._sessions = sessions
        self._guard = guard
        self._call: Call | None = None
        self._heard = ""
        self._is_over = False
        run.on_recorded = partial(_give_up, weakref.ref(self))  # weak: the run stays in the context of its caller

    # --- LangChain's side ------------------------------------------------------------------------------------------

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        """Take a token; the chunk that it came in says more."""
        self._guard.call(self._arrived, token if chunk is None else chunk, _TOKENS)

    def on_stream_event(self, event: Any, **_: Any) -> None:
        """Take an event of the protocol of `stream_events(version="v3")`."""
        self._guard.call(self._arrived, event, _EVENTS)

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Take the result."""
        self._guard.call(self._ended, response)

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        """Take what was raised: also when the caller closes the stream, or is cancelled."""
        self._guard.call(self._failed, error)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("on_"):
            return _nothing
        raise AttributeError(name)

    # --- our side --------------------------------------------------------------------------------------------------

    def _arrived(self, chunk: Any, kind: str) -> None:
        if not self.is_generating:
            self.run.leave()  # the caller gets this token, and what its code calls from now on is not of this run
        call = self._call or self._open(is_stream=True)
        if call is None or call.session.is_ended:
            self._stop()
            return
        # Behind the bridge of v3 some models tell of their tokens as well: only what came first is counted.
        self._heard = self._heard or kind
        if kind == self._heard:
            call.session.arrived(chunk)
            call.session.pull(sync_reader())

    def _ended(self, result: Any) -> None:
        if self._call is not None:
            session = self._call.session
            session.settle()
            session.take(read_end(result))
            session.exhausted()
        elif (call := self._open(is_stream=False)) is not None:
            call.session.answered(result)
        self._stop()

    def _failed(self, error: BaseException) -> None:
        call = self._call or self._open(is_stream=not self.is_generating)
        if call is not None:
            if isinstance(error, asyncio.CancelledError):
                # LangChain shields its callbacks: this is another task than the one that was cancelled.
                task = None if self._task is None else self._task()
                told_cancelled(call.session, is_timeout=is_timeout(error, task))
            else:
                tell(call, error)
        self._stop()

    def _open(self, *, is_stream: bool) -> Call | None:
        begun, self._begun = self._begun, None
        if begun is None or self._is_over or self.run.is_recorded:
            return None
        opening = Opening(
            layer="langchain",
            provider=LANGCHAIN,
            endpoint=begun.endpoint,
            target=_NOWHERE,
            is_stream=is_stream,
            body=begun.body,
            provider_name=provider_name(begun.body["metadata"]),
        )
        self._call = begun.context.run(self._sessions.open, opening, self._guard, begun.started)
        if self._call is not None and is_stream:
            self._call.session.accepted()
        return self._call

    def give_up(self) -> None:
        """Leave the run to a session below, which tells more of it."""
        call, self._call, self._begun = self._call, None, None
        if call is not None and not call.session.is_ended:
            call.abandon()

    def _stop(self) -> None:
        """Hear nothing more: the rest of the tokens costs nothing."""
        self._is_over, self._begun = True, None
        self.run.leave()
        manager = self._manager()
        if manager is not None:
            # A new list: LangChain may be on its way through this one.
            manager.handlers = [handler for handler in manager.handlers if handler is not self]

    def __del__(self) -> None:
        run = self.__dict__.get("run")
        if run is not None:
            run.is_left = True  # LangChain has let go of a run without a word: nothing that is called now is of it
        call = self.__dict__.get("_call")
        if call is not None and not call.session.is_ended:
            call.lifecycle.dropped(call.session)


def _give_up(listener: weakref.ref[Listener]) -> None:
    found = listener()
    if found is not None:
        found.give_up()


def _nothing(*_: Any, **__: Any) -> None:
    """Hear of something that has nothing to do with tokens."""
