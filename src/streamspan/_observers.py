"""Who listens to sessions and connections, as the feeding side sees them: what `_recorder` makes."""

from __future__ import annotations

from typing import Protocol

from opentelemetry.context import Context

from streamspan._records import ConnectionSummary, Request
from streamspan._session import Observer, Session


class Telemetry(Observer, Protocol):
    """The observer of one session, and the context that its span is in."""

    @property
    def context(self) -> Context:
        """OpenTelemetry context with the session's span."""
        ...

    @property
    def is_recording(self) -> bool:
        """Whether the span takes events and content."""
        ...

    def follow(self, session: Session) -> None:
        """Take the session that this is the telemetry of."""


class ConnectionTelemetry(Protocol):
    """What is told of a connection, and the context that its span is in."""

    @property
    def context(self) -> Context:
        """OpenTelemetry context with the connection's span."""
        ...

    def named(self, model: str) -> None:
        """Take the model, when it is known."""

    def ended(self, summary: ConnectionSummary) -> None:
        """Take the connection that is over."""


class Recorder(Protocol):
    """Who makes a session's telemetry."""

    def start(self, request: Request, started_unix_ns: int) -> Telemetry:
        """Start the span of a session."""
        ...

    def connecting(self, request: Request, started_unix_ns: int) -> ConnectionTelemetry:
        """Start the span of a connection."""
        ...
