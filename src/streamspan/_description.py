"""A finished session on its span and in the log: attributes, status, events, content.

One of the modules that touch OpenTelemetry's signals. What is said is decided in the pure modules (`_attributes`,
`_events`), where it is said in `_routes`; this one says it, each part behind the fence, so that a fault in one does
not cost the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from opentelemetry._logs import Logger, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.trace import Span, StatusCode
from opentelemetry.util.types import AnyValue

from streamspan import _semconv as names
from streamspan._attributes import end_attributes, start_attributes
from streamspan._config import Config
from streamspan._content import OutputAssembler, bounded, to_json
from streamspan._events import Event, ending_events, events_of, exception_attributes
from streamspan._guard import Guard
from streamspan._identity import Identity
from streamspan._records import Attributes, SessionSummary
from streamspan._redaction import Redactor
from streamspan._routes import Routes
from streamspan._session import Session
from streamspan._summary import ending_of

Content: TypeAlias = Mapping[str, object]
"""Captured content by attribute name."""

_MARGIN = 1024
_DEFAULT_EVENT_LIMIT = 128
"""The specification's default, for spans that do not tell theirs."""


class Describer:
    """Writes finished sessions to their spans and to the log.

    Args:
        logger: takes the log events.
        routes: which signal takes what.
        chunk_events: most chunk events of a session.
        scrub: takes secrets out of error messages and stack traces; must not raise.
        finish_content: redacts and bounds captured content; where it fails there is none.
        guard: the fence.
    """

    def __init__(
        self,
        logger: Logger,
        routes: Routes,
        *,
        chunk_events: int,
        scrub: Callable[[str], str],
        finish_content: Callable[[Content], Content],
        guard: Guard,
    ) -> None:
        self._logger = logger
        self._routes = routes
        self._chunk_events = chunk_events
        self._scrub = scrub
        self._finish_content = finish_content
        self._guard = guard

    def use(self, logger: Logger) -> None:
        """Go over to another logger."""
        self._logger = logger

    def describe(
        self,
        session: Session,
        summary: SessionSummary,
        *,
        span: Span,
        context: Context,
        identity: Identity | None,
        error_type: str | None,
    ) -> None:
        """Say everything about a session that has ended; the span must still be recording.

        Args:
            session: the session.
            summary: its summary.
            span: its span.
            context: holds the span.
            identity: whose session it is.
            error_type: `error.type`; the status is ERROR exactly when there is one.
        """
        call = self._guard.call
        attributes = end_attributes(summary, session.attributes, error_type)
        call(span.set_attributes, attributes)
        if error_type is not None:
            call(_set_error, span, error_type, summary.error_message or summary.cancel_reason)
        call(self._tell_events, session, span, context)
        content = call(self._content, session) or {}
        if content and self._routes.content_on_span:
            call(span.set_attributes, {name: to_json(value) for name, value in content.items()})
        if self._routes.has_details:
            details = {**start_attributes(session.request, identity), **attributes}
            call(self._emit_details, session, context, details, content if self._routes.content_in_details else {})

    # --- events ----------------------------------------------------------------------------------------------------

    def _tell_events(self, session: Session, span: Span, context: Context) -> None:
        routes, ending = self._routes, ending_of(session)
        exception: Attributes | None = None
        if ending.outcome in {"error", "timeout"} and (routes.exceptions_on_span or routes.exceptions_in_log):
            exception = self._guard.call(exception_attributes, ending, self._scrub)
            exception = exception or {names.EXCEPTION_TYPE: ending.error_type or "_OTHER"}
        on_span = exception if routes.exceptions_on_span else None
        zero_unix_ns = session.unix_ns(0)
        for event in self._events(session, on_span, has_events=routes.events_on_span, room=_event_room(span)):
            span.add_event(event.name, event.attributes, zero_unix_ns + event.at_ns)
        in_log = exception if routes.exceptions_in_log else None
        for event in self._events(session, in_log, has_events=routes.events_in_log, room=None):
            self._emit_event(event, session.unix_ns(event.at_ns), context)

    def _events(
        self, session: Session, exception: Attributes | None, *, has_events: bool, room: int | None
    ) -> list[Event]:
        if has_events:
            return events_of(session, budget=self._chunk_events, room=room, exception=exception)
        return [] if exception is None else ending_events(session, exception)

    def _emit_event(self, event: Event, unix_ns: int, context: Context) -> None:
        if event.name == names.EVENT_EXCEPTION:
            self._emit(names.EVENT_EXCEPTION_LOG, SeverityNumber.WARN, event.attributes, unix_ns, context)
        else:
            self._emit(event.name, SeverityNumber.INFO, event.attributes, unix_ns, context)

    def _emit(
        self, name: str, severity: SeverityNumber, attributes: Mapping[str, object], unix_ns: int, context: Context
    ) -> None:
        self._logger.emit(
            timestamp=unix_ns,
            context=context,
            severity_number=severity,
            severity_text=severity.name,
            event_name=name,
            attributes=cast("Mapping[str, AnyValue]", attributes),
        )

    # --- content ---------------------------------------------------------------------------------------------------

    def _content(self, session: Session) -> Content:
        routes = self._routes
        if not (routes.content_on_span or routes.content_in_details):
            return {}
        content: dict[str, object] = dict(session.request.content)
        if isinstance(session.output, OutputAssembler):
            content[names.OUTPUT_MESSAGES] = session.output.messages(session.finish_reasons)
        return self._finish_content({name: value for name, value in content.items() if value})

    def _emit_details(self, session: Session, context: Context, attributes: Attributes, content: Content) -> None:
        unix_ns = session.unix_ns(ending_of(session).at_ns)
        self._emit(names.EVENT_DETAILS, SeverityNumber.DEBUG, {**attributes, **content}, unix_ns, context)


def _set_error(span: Span, error_type: str, message: str | None) -> None:
    # The conventions want no description that only repeats error.type.
    span.set_status(StatusCode.ERROR, message if message and message != error_type else None)


def _event_room(span: Span) -> int | None:
    """Return how many events the span still takes without dropping its first ones; None for any number.

    Not part of OpenTelemetry's API: the SDK's spans keep their limits in `_limits`, and past the limit they are a
    ring that drops the oldest event.
    """
    limits = getattr(span, "_limits", None)
    limit = getattr(limits, "max_events", getattr(limits, "max_span_events", _DEFAULT_EVENT_LIMIT))
    return None if limit is None else max(0, limit - len(getattr(span, "events", ())))


def finisher(config: Config, redact: Callable[[str], str] | None) -> Callable[[Content], Content]:
    """Return what redacts and bounds captured content."""
    own = redact if isinstance(redact, Redactor) else Redactor((), redact) if redact is not None else None
    built_in = Redactor(config.redactions)

    def finish(content: Content) -> Content:
        # The application's redaction sees the whole text: a cut could leave half a secret that it does not recognise.
        # The built-in patterns are of known length, so for them a cut with a margin comes first: a prompt of megabytes
        # is not searched in the caller's time, and what the cut goes through is dropped.
        whole = content if own is None else own.apply(content)
        return bounded(built_in.apply(bounded(whole, config.content_max_bytes + _MARGIN)), config.content_max_bytes)

    return finish
