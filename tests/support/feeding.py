"""The feeding side without a library and without OpenTelemetry: calls made by hand, and notes of what they told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.context import Context

from streamspan._config import Config
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._ownership import Call
from streamspan._records import ConnectionSummary, Delta, Ending, Request
from streamspan._session import Session
from streamspan._sessions import Sessions
from streamspan.providers import Endpoint, Provider

REQUEST = Request("chat", "acme", "test", model="m1")


class Clock:
    """Nanoseconds that move when they are looked at, by one second: every moment is another one."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        """Return the time."""
        self.now += 1_000_000_000
        return self.now


@dataclass
class Note:
    """The telemetry of one session: what it was told."""

    request: Request
    context: Context = field(default_factory=Context)
    arrivals: Callable[[Sequence[int]], object] | None = None
    is_recording: bool = True
    session: Session | None = None
    endings: list[Ending] = field(default_factory=list[Ending])
    forgotten_count: int = 0

    def follow(self, session: Session) -> None:
        """Take the session."""
        self.session = session

    def ended(self, session: Session) -> None:
        """Take the ending."""
        assert session.ending is not None
        self.endings.append(session.ending)

    def forgotten(self) -> None:
        """Count."""
        self.forgotten_count += 1

    @property
    def ending(self) -> tuple[str, str | None, str | None]:
        """The only ending: outcome, cancel reason, and the type of the error or of the caller's exception."""
        (ending,) = self.endings
        return ending.outcome, ending.cancel_reason, ending.error_type or ending.cancel_exception


@dataclass
class ConnectionNote:
    """The telemetry of a connection: what it was told."""

    request: Request
    context: Context = field(default_factory=Context)
    model: str = ""
    summary: ConnectionSummary | None = None

    def named(self, model: str) -> None:
        """Take the model."""
        self.model = model

    def ended(self, summary: ConnectionSummary) -> None:
        """Take the end."""
        assert self.summary is None
        self.summary = summary


@dataclass
class Notes:
    """A recorder that takes notes; of spans that record, unless told otherwise."""

    is_recording: bool = True
    notes: list[Note] = field(default_factory=list[Note])
    connections: list[ConnectionNote] = field(default_factory=list[ConnectionNote])

    def start(self, request: Request, started_unix_ns: int) -> Note:
        """Start the notes of a session."""
        assert started_unix_ns > 0
        self.notes.append(Note(request, is_recording=self.is_recording))
        return self.notes[-1]

    def connecting(self, request: Request, started_unix_ns: int) -> ConnectionNote:
        """Start the notes of a connection."""
        assert started_unix_ns > 0
        self.connections.append(ConnectionNote(request))
        return self.connections[-1]


class Feed:
    """Opens sessions by hand.

    Args:
        config: the configuration.
        options: further arguments of `Sessions`.
    """

    def __init__(self, config: Config | None = None, **options: Any) -> None:
        self.recorder = Notes()
        self.flushed: list[bool] = []
        self.guard = Guard("test")
        self.lifecycle = Lifecycle(Guard("lifecycle"), self.flushed.append)
        self.sessions = Sessions(
            config=config or Config(),
            recorder=self.recorder,
            lifecycle=self.lifecycle,
            guard=Guard("recorder"),
            **{"clock": Clock()} | options,
        )

    def call(self, *, request: Request = REQUEST, provider: Provider | None = None, **endpoint: Any) -> Call:
        """Open a session; a chunk is its own delta unless `read` says otherwise."""
        given: dict[str, Any] = {"name": "test", "operation": "chat", "paths": (), "read": as_it_is}
        made = Endpoint(**given | endpoint)
        provider = provider or Provider(name="acme", endpoints=(made,))
        call = self.sessions.begin(request, endpoint=made, provider=provider, guard=self.guard)
        assert call is not None
        return call

    @property
    def note(self) -> Note:
        """The notes of the latest session, dropped ones included."""
        self.lifecycle.drain()
        return self.recorder.notes[-1]


def as_it_is(chunk: Any) -> Delta:
    """Read a text as a chunk of text; deltas are what they are."""
    return chunk if isinstance(chunk, Delta) else Delta(str(chunk), 0)


DONE = Delta(choice=0, finish_reason="stop")


def source(*items: Any) -> Iterator[Any]:
    """Yield the items; raise those that are exceptions."""
    for item in items:
        if isinstance(item, BaseException):
            raise item
        yield item


class AsyncSource:
    """The same, asynchronously; no generator, so that nothing closes it but its owner."""

    def __init__(self, *items: Any) -> None:
        self._items = iter(items)
        self.is_closed = False

    def __aiter__(self) -> AsyncSource:
        return self

    async def __anext__(self) -> Any:
        for item in self._items:
            if isinstance(item, BaseException):
                raise item
            return item
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Note it."""
        self.is_closed = True
