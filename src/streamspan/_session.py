"""One streaming session as a state machine: facts in, one ending out. Knows no I/O, no vendor, no OpenTelemetry.

                                     chunk               marker
        requested ──headers──► open ──────► streaming ──────────► finished
            │                   │               │  └──error chunk──► faulted
            └───────────────────┴───────────────┴─────────┬─────────────┘
                                    any ending signal: first one wins
                                                          ▼
                                                        ended

What an ending signal means depends on the state that it meets: `_endings.ENDINGS`.
The chunk path is two calls, made by a tap:
    pull()          before the read: the last chunk is read for its content now, in the shadow of the next wait
    arrived(chunk)  after the read: one clock reading and two stores, then the caller has the chunk

Any thread, task, finalizer or exit hook may end a session; `_claim` lets exactly one through without a lock, which a
finalizer in the middle of the same thread's code could never take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, cast

from streamspan._answer import OutputSink
from streamspan._endings import BEFORE_CHUNKS, ENDINGS, LET_GO, NOTICED_LATE, UNFINISHED, Signal, State, ending
from streamspan._records import TEXT, Delta, Ending, Failure, ProviderError, Request
from streamspan._timeline import Timeline

_NOTHING: Any = object()


class Observer(Protocol):
    """Who listens to a session. Called at most once per chunk, and never before the caller has the chunk."""

    @property
    def arrivals(self) -> Callable[[Sequence[int]], object] | None:
        """Takes the next chunks' arrivals on the session's clock, each once; None when nobody wants to know."""
        ...

    def ended(self, session: Session) -> None:
        """Take the finished session; called exactly once, unless the session was forgotten after a fork."""

    def forgotten(self) -> None:
        """Take back what was counted for a session that belongs to the parent process."""


class Session(Timeline):
    """One model response, from the call to its ending.

    Args:
        request: what was asked.
        clock: monotonic nanoseconds.
        observer: who listens.
        read: pure and fenced reader of a chunk, to one `Delta` or to several where a chunk is a piece of the wire.
        started_unix_ns: wall clock of the call.
        stall_ns, chunk_budget, has_finish_reasons, output, text_of: as `Timeline` and `Answer`.
        marker_is_reliable: whether a stream without its terminal marker was cut short. If not, the end of the stream
            is the marker.

    `reader` is the thread or task that is inside a read now, 0 if none is. A tap on the bytes sets `was_done`, which
    tells whether the marker that an SDK keeps to itself (`[DONE]`) has been on the wire, and `last_words`, which reads
    the last bytes when the SDK raised instead of handing out what they say.
    """

    __slots__ = (
        "__weakref__", "_carried_wait_ns", "_claim_token", "_has_returned", "_marker_is_reliable", "_pending", "_rest",
        "ending", "fault", "is_accepted", "is_ended", "last_words", "observer", "read", "reader", "state", "was_done",
    )  # fmt: skip

    def __init__(
        self,
        request: Request,
        *,
        clock: Callable[[], int],
        observer: Observer,
        read: Callable[[Any], Delta | Iterable[Delta]],
        started_unix_ns: int,
        stall_ns: int = 5_000_000_000,
        chunk_budget: int = 32,
        marker_is_reliable: bool = True,
        has_finish_reasons: bool = True,
        output: OutputSink | None = None,
        text_of: Callable[[Any], str | None] | None = None,
    ) -> None:
        super().__init__(
            request,
            clock=clock,
            started_unix_ns=started_unix_ns,
            stall_ns=stall_ns,
            chunk_budget=chunk_budget,
            on_arrivals=observer.arrivals if request.is_stream else None,
            has_finish_reasons=has_finish_reasons,
            output=output,
            text_of=text_of,
        )
        self.read = read
        self.observer = observer
        self._marker_is_reliable = marker_is_reliable
        self.state = State.REQUESTED
        self.is_ended, self._claim_token = False, [True]
        self.ending: Ending | None = None
        self.fault: ProviderError | None = None
        self.was_done: Callable[[], bool] | None = None
        self.last_words: Callable[[], Iterable[Delta]] | None = None
        self.reader, self._has_returned, self.is_accepted = 0, False, False
        self._pending, self._rest, self._carried_wait_ns = _NOTHING, _NOTHING, 0

    def headers(self, status_code: int | None, request_id: str | None) -> None:
        """The response headers have arrived."""
        if not self.is_accepted:
            self.headers_at = self.clock()
        self.status_code = status_code
        self.request_id = request_id or None
        self.accepted()

    def accepted(self) -> None:
        """An answer is on its way."""
        self.is_accepted = True
        if self.state is State.REQUESTED:
            self.state = State.OPEN

    def returned(self) -> None:
        """The call, or a read of half a line, is back: its time belongs to the next chunk's wait, what follows not."""
        now = self.clock()
        self._carried_wait_ns += now - self._pulled_at
        self._pulled_at, self.reader = now, 0
        self._has_returned = True

    def pull(self, reader: int) -> None:
        """The caller asks for the next chunk; `reader` names the thread or task that will wait for it (not 0)."""
        now = self.clock()
        pulled_at, self._pulled_at = self._pulled_at, now
        self.reader = reader
        chunk, self._pending = self._pending, _NOTHING
        if chunk is not _NOTHING:
            self._read(chunk, pulled_at)

    def arrived(self, chunk: Any) -> None:
        """A chunk is there; it is read for its content later, so that the caller has it now."""
        self._arrived_at = self.clock()
        self._pending = chunk
        self.reader = 0

    def parsed(self, chunk: Any) -> None:
        """Take what the SDK has made of what arrived last; None if it made nothing of it, and the caller gets nothing."""
        if self._pending is not _NOTHING:
            self._pending = _NOTHING if chunk is None else chunk

    def settle(self) -> None:
        """Read the chunk that arrived last, if that is still to do."""
        chunk, self._pending = self._pending, _NOTHING
        if chunk is not _NOTHING:
            self._read(chunk, self._pulled_at)

    def _read(self, chunk: Any, pulled_at: int) -> None:
        at_ns = self._arrived_at
        wait = at_ns - pulled_at + self._carried_wait_ns
        if self._kept is not None:
            at_ns -= self._kept_back(chunk)
        text = self._shortcut(chunk) if self._shortcut is not None else None
        if text is not None:
            self._carried_wait_ns = 0
            self.take_text(text)
            self.count(at_ns, wait, len(text), 0, TEXT)
            return
        delta = self.read(chunk)
        if type(delta) is Delta:
            self._carried_wait_ns = 0
            self.take_chunk(delta, at_ns, wait)
            return
        # A piece of the wire: any number of events. Where there is none (keep-alive, half an event), the wait goes on.
        self._carried_wait_ns = wait
        for each in cast("Iterable[Delta]", delta):
            self.take_chunk(each, at_ns, self._carried_wait_ns)
            self._carried_wait_ns = 0

    def leftover(self, rest: Any) -> None:
        """Read what the reader still holds when the stream is over; it arrived with the last piece."""
        for delta in cast("Iterable[Delta]", self.read(rest)):  # only wire readers hold anything back
            self.take_chunk(delta, self._arrived_at, self._carried_wait_ns)
            self._carried_wait_ns = 0

    def read_wire(self, read: Callable[[Any], Iterable[Delta]], rest: Any = _NOTHING) -> None:
        """From now on what arrives are pieces of the wire; at an end before theirs, `rest` asks what is open there."""
        self.read, self._rest = read, rest
        self._text_of = self._shortcut = None

    def answered(self, response: Any) -> None:
        """The whole answer of a call without a stream is there: read it, and end."""
        if not self.is_accepted:
            self.headers(None, None)
        self.heard_all(response)
        self.marked()
        self._end(Signal.EXHAUSTED)

    def heard_all(self, response: Any) -> None:
        """Take what a whole answer says, without an ending."""
        deltas = self.read(response)
        for delta in (deltas,) if isinstance(deltas, Delta) else deltas:
            self.take(delta)

    def first_chunk(self, at_ns: int) -> None:
        """The first chunk is there."""
        super().first_chunk(at_ns)
        if self.state in BEFORE_CHUNKS:
            self.state = State.STREAMING

    def marked(self) -> None:
        """The terminal marker was seen."""
        if self.state in UNFINISHED:
            self.state = State.FINISHED

    def faulted(self, error: ProviderError) -> None:
        """The provider reported a failure inside the stream."""
        if self.fault is None:
            self.fault = error
        if not self.is_ended:
            self.state = State.FAULTED

    def another(self, *, counts_anew: bool) -> None:
        """A further request of the same call is on its way: what looked like the end of the answer was none."""
        super().another(counts_anew=counts_anew)
        if self.state is State.FINISHED:
            self.state = State.STREAMING

    def exhausted(self) -> None:
        """The stream has nothing more to give and raised nothing."""
        self._end(Signal.EXHAUSTED)

    def failed(self, failure: Failure) -> None:
        """A read, or the call itself, raised."""
        self._end(Signal.TIMED_OUT if failure.is_timeout else Signal.FAILED, failure=failure)

    def closed(self, cause: str | None = None) -> None:
        """The caller closed the stream, because of an exception of type `cause` in its own code if that is given."""
        self._end(Signal.CLOSED, cause=cause)

    def stopped(self, signal: Signal) -> None:
        """The caller stopped it in another way than by closing, or nobody can read it any more."""
        self._end(signal)

    def forget(self) -> None:
        """End without telling anybody: the session belongs to the process that this one was forked from."""
        if self._claim():
            self.is_ended, self.state = True, State.ENDED

    def _claim(self) -> bool:
        try:
            return self._claim_token.pop()
        except IndexError:
            return False

    def _end(self, signal: Signal, *, failure: Failure | None = None, cause: str | None = None) -> None:
        now = self.clock()
        if not self._claim():
            return
        try:
            self.settle()
            if self._rest is not _NOTHING:
                self.leftover(self._rest)
        finally:  # a reader's fault must not cost the ending
            self._conclude(signal, now, failure, cause)

    def _conclude(self, signal: Signal, now: int, failure: Failure | None, cause: str | None) -> None:
        if signal is Signal.EXHAUSTED and not self._marker_is_reliable:
            self.marked()  # the end is the marker
        if (signal is Signal.EXHAUSTED or self._rest is not _NOTHING) and self.was_done and self.was_done():
            self.marked()  # only the bytes had it; before their end an SDK may not have come to it
        if signal in LET_GO and self.is_answered:
            self.marked()  # a reader that has the whole answer does not wait for Anthropic's `message_stop` (LiteLLM)
        at_ns = (self.last_chunk_at or self.headers_at or self.started_at) if signal in NOTICED_LATE else now
        self._close_the_books(at_ns)
        outcome = ENDINGS[self.state, signal]
        self.ending = ending(outcome, signal, at_ns, failure=failure, fault=self.fault, cause=cause)
        self.is_ended, self.state = True, State.ENDED
        self.tell_arrivals()
        self.observer.ended(self)
        if self.ending.exception is not None:
            # Its traceback holds the frames that hold the stream: kept, it would keep the connection until a collection.
            self.ending = self.ending._replace(exception=None)

    def _close_the_books(self, at_ns: int) -> None:
        """Give the time since the last chunk to whom it belongs."""
        if self._has_returned and not self.reader:
            self.provider_ns += self._carried_wait_ns
        else:
            wait = max(0, min(at_ns, self._lent_at or at_ns) - self._pulled_at) + self._carried_wait_ns
            self.provider_ns += wait
            if self.chunk_count and wait >= self._stall_ns:
                self.stalled(self.chunk_count, wait, at_ns)
                self.waits.max_ns = max(self.waits.max_ns, wait)  # type: ignore[union-attr] # there were chunks
        # What is not the provider's is the caller's; counting it chunk by chunk would say the same.
        self.consumer_ns = max(0, at_ns - self.started_at - self.provider_ns)

    @property
    def finish_reasons(self) -> tuple[str, ...]:
        """The provider's finish reasons by choice; `error` where one was due and never came."""
        return self.reasons(is_started=self.is_accepted)
