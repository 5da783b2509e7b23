"""One WebSocket connection to a model as a state machine: facts in, turns out. Knows no I/O and no library.

    connected ─► sending, sent ─► pull, received ─► … ─► failed | closing ─► closed
                    │                 │
                 a turn is         a turn begins, goes on, ends
                 asked for

A turn is a `Session` of its own. A message that is a piece of an answer is stored by the sessions and read at the next
pull, like the chunk of any stream; one that may begin or end a turn is read at once, for the caller may never pull
again. Client and server speak at the same time, in other tasks or threads: nothing here takes a lock, each step is one
operation on a list, and whatever ends a turn first has ended it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from opentelemetry.context import attach, detach

from streamspan import _semconv as names
from streamspan._endings import Signal
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._partings import Parting, never_opened, read_stopped
from streamspan._records import ConnectionSummary, Delta, Failure
from streamspan._sessions import Sessions, Started
from streamspan._taps import told_closed
from streamspan._terms import Address, Terms
from streamspan._turns import Message, Turn, accused, sent_of
from streamspan.providers.sockets import Received, Sent, Socket


class Connection:
    """A connection, from its opening to its end.

    Args:
        socket: what its messages mean.
        address: where it goes.
        sessions: who opens the turns.
        guard: the fence of the integration that watches it.
    """

    def __init__(self, socket: Socket, address: Address, *, sessions: Sessions, guard: Guard) -> None:
        self.guard = guard
        self.lifecycle: Lifecycle = sessions.lifecycle
        self.handle: object = None
        """Watches whether the caller can still reach the connection."""
        self.is_ended = False
        self._claim_token = [True]
        self._socket, self._sessions = socket, sessions
        self._terms = Terms(socket, address, guard)
        self._started = sessions.now()
        self._last_at = self._started.at_ns
        self._connect_time: float | None = None
        self._session_id = uuid.uuid4().hex  # until the provider tells its own
        self._turns: list[Turn] = []
        self._spoken: Started | None = None
        self._stop: tuple[int, Parting] | None = None
        self._reader = 0
        self._turn_count = self._interruption_count = 0
        self._telemetry = sessions.connecting(self._terms.connecting(), self._started)
        self.lifecycle.opened(self)

    # --- what the client does ------------------------------------------------------------------------------------

    def connected(self) -> None:
        """The connection is open."""
        self._connect_time = (self._sessions.now().at_ns - self._started.at_ns) / 1e9

    def sending(self, frame: object) -> Turn | None:
        """Take a message before it is sent; return the turn that it asks for."""
        if (sent := sent_of(self._socket, frame)) is None:
            return None
        if sent.settings:
            self._settle_on(sent.settings)
        if sent.input and self._sessions.captures_content:
            self._terms.tell(sent.input)
        if sent.ends_speech:
            self._spoken = self._sessions.now()
        if sent.stops and (turn := self._first(sent.lane)) is not None:
            self._finish(turn, Signal.CLOSED)
        return self._asked(sent) if sent.asks else None

    def sent(self, turn: Turn | None) -> None:
        """The message is on its way."""
        if turn is not None:
            turn.session.returned()
            turn.session.reader = self._reader  # somebody may be waiting for an answer already

    def pull(self, reader: int) -> None:
        """The caller asks for the next message; `reader` names the thread or task that will wait for it."""
        self._reader = reader
        self._stop = None
        for turn in tuple(self._turns):
            turn.session.pull(reader)
            if turn.is_over:
                self._finish(turn, Signal.EXHAUSTED)

    # --- what the provider does ----------------------------------------------------------------------------------

    def lent(self) -> None:
        """The caller has a piece of a message: until it asks for the next one, the time is its own."""
        self._reader = 0
        for turn in tuple(self._turns):
            turn.session.returned()
            turn.session.reader = 0

    def received(self, frame: str | bytes, size: int = 0) -> None:
        """A message is there; a mere piece of an answer is read later, so that the caller has it now."""
        self._reader = 0
        turns = tuple(self._turns)
        message = Message(self._socket, frame, size)
        for turn in turns:
            turn.session.arrived(message)
        if not turns or message.is_turn:
            self._take(message, turns)

    def _take(self, message: Message, stored: tuple[Turn, ...]) -> None:
        said, message.is_taken = message.said, True
        self._last_at = self._sessions.now().at_ns
        self._learn(said)
        turn = self._meant(said)
        if turn is None and said.begins and said.delta is not None:
            turn = self._answering(said)
            if turn is not None and turn not in stored:
                turn.session.arrived(message)
        if turn is not None:
            turn.session.settle()
            if turn.is_over:
                self._finish(turn, Signal.EXHAUSTED)

    def _learn(self, said: Received) -> None:
        """Take what a message says of the connection, or against a turn."""
        if said.session_id:
            self._session_id = said.session_id
            for turn in tuple(self._turns):
                turn.session.attributes[names.REALTIME_SESSION_ID] = said.session_id
        if said.settings:
            self._settle_on(said.settings)
        if said.speech:
            self._spoken = self._sessions.now() if said.speech == "ended" else None
        if said.error is not None:
            self._erred(said)

    def _erred(self, said: Received) -> None:
        mine = [turn for turn in self._turns if turn.lane == said.lane]
        its = accused(mine, said)
        for turn in mine if its is None else (its,):
            turn.doubt = said.error
        if its is not None:
            self._finish(its, Signal.EXHAUSTED)

    def _settle_on(self, settings: Mapping[str, Any]) -> None:
        self._terms.settle_on(settings)
        self._telemetry.named(self._terms.model)

    # --- turns ---------------------------------------------------------------------------------------------------

    def _asked(self, sent: Sent) -> Turn | None:
        waiting = self._first(sent.lane)
        if self._socket.merges and waiting is not None and not waiting.has_begun:
            return None
        return self._begin(sent, None)

    def _answering(self, said: Received) -> Turn | None:
        """Return the turn that an answer belongs to that has just begun."""
        waiting = next((turn for turn in self._turns if turn.lane == said.lane and not turn.has_begun), None)
        if waiting is None:
            waiting = self._begin(Sent(lane=said.lane), self._spoken)
        self._spoken = None
        if waiting is not None:
            waiting.begun(said.answer)
        return waiting

    def _begin(self, sent: Sent, since: Started | None) -> Turn | None:
        token = attach(self._telemetry.context)  # its span is the parent
        try:
            call = self._sessions.begin(
                self._terms.asking(sent.body, captures_content=self._sessions.captures_content),
                endpoint=self._socket.endpoint,
                provider=self._socket.provider,
                guard=self.guard,
                started=since,
            )
        finally:
            detach(token)
        if call is None:
            return None
        turn = Turn(call, sent)
        turn.session.attributes[names.REALTIME_SESSION_ID] = self._session_id
        turn.session.read_wire(self.guard.wrap_reader(partial(self._read, turn), otherwise=()))
        self._turns.append(turn)
        self._turn_count += 1
        return turn

    def _read(self, turn: Turn, message: Message) -> Iterable[Delta]:
        """Return what a message says of a turn: the reader of the turn's session."""
        said = message.said
        if said.error is not None and not message.is_taken:  # no JSON, as it turns out
            turn.doubt = said.error
        if said.delta is None or self._meant(said) is not turn:
            return ()
        turn.take(said, said.delta)
        return (said.delta,)

    def _meant(self, said: Received) -> Turn | None:
        """Return the turn that a message is about."""
        if said.delta is None or not said.answer:
            return None if said.delta is None else self._first(said.lane)
        return next((turn for turn in self._turns if turn.answer == said.answer), None)

    def _first(self, lane: str) -> Turn | None:
        return next((turn for turn in self._turns if turn.lane == lane), None)

    # --- endings -------------------------------------------------------------------------------------------------

    def _finish(self, turn: Turn, signal: Signal, parting: Parting | None = None) -> None:
        """End a turn: as what was said of it says, else as the connection did."""
        session = turn.session
        session.settle()  # while it is among the turns that a message can be meant for
        if turn in self._turns:
            self._turns.remove(turn)
            self._interruption_count += turn.is_interrupted
        if session.is_ended or turn.concluded():
            return
        if parting is not None:
            parting.tell(session)
        elif signal is Signal.CLOSED:
            told_closed(turn.call)
        else:
            session.stopped(signal)

    def failed(self, exc: BaseException) -> None:
        """A read or a send raised."""
        reader, self._reader = self._reader, 0
        for turn in self._turns:
            turn.session.reader = 0
        parting = Parting.of(exc)
        if parting is None:
            stop = read_stopped(exc)
            self._stop = None if stop is None else (reader, stop)
            return
        for turn in tuple(self._turns):
            self._finish(turn, Signal.FAILED, parting)
        self._end(parting.code, parting.failure)

    def closing(self, reader: int) -> None:
        """The caller closes the connection; the read that the same thread or task has given up before says why."""
        stop = self._stop[1] if self._stop is not None and self._stop[0] == reader else None
        for turn in tuple(self._turns):
            self._finish(turn, Signal.CLOSED, stop)

    def closed(self, code: int | None) -> None:
        """The connection is closed by the caller; `code` came in the provider's close frame."""
        self._end(code, None)

    def refused(self, exc: BaseException) -> None:
        """There never was a connection."""
        self._end(None, never_opened(exc))

    def stopped(self, signal: Signal) -> None:
        """Nobody can use the connection any more, or the process ends."""
        for turn in tuple(self._turns):
            self._finish(turn, signal)
        self._end(None, None, at_ns=self._last_at)

    def forget(self) -> None:
        """End without a word: the connection belongs to the process that this one was forked from."""
        self.is_ended, self._claim_token = True, []

    @property
    def observer(self) -> Connection:
        """Nobody has counted it but itself."""
        return self

    def forgotten(self) -> None:
        """Have nothing to take back: connections are not counted."""

    def _end(self, code: int | None, failure: Failure | None, at_ns: int | None = None) -> None:
        try:
            self._claim_token.pop()
        except IndexError:
            return
        self.is_ended = True
        self.lifecycle.closed(self)
        now = self._sessions.now()
        self._telemetry.ended(
            ConnectionSummary(
                session_id=self._session_id,
                ended_unix_ns=now.unix_ns if at_ns is None else self._started.unix_ns + at_ns - self._started.at_ns,
                connect_time=self._connect_time,
                turn_count=self._turn_count,
                interruption_count=self._interruption_count,
                close_code=code,
                failure=failure,
            )
        )
