"""A WebSocket connection on a span of its own: INTERNAL, around the turns that it carries.

One of the modules that touch OpenTelemetry's signals. It is no session: it has no outcome and no metrics, for those
are the turns'.
"""

from __future__ import annotations

from collections.abc import Callable

from opentelemetry.context import Context, get_current
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context

from streamspan import _semconv as names
from streamspan._attributes import metric_attributes, span_name, start_attributes
from streamspan._guard import Guard
from streamspan._identity import Identity
from streamspan._records import AttributeValue, ConnectionSummary, Request


class ConnectionSpan:
    """The span of one connection.

    Args:
        tracer: makes it.
        request: whose connection it is and where it goes.
        identity: whose turns they are.
        started_unix_ns: when the connection was asked for.
        scrub: takes secrets out of error messages.
        guard: the fence.
    """

    def __init__(
        self,
        tracer: Tracer,
        request: Request,
        identity: Identity | None,
        *,
        started_unix_ns: int,
        scrub: Callable[[str], str],
        guard: Guard,
    ) -> None:
        self.context: Context = get_current()
        """The context that was current, with the connection's span in it."""
        self._request = request
        self._model = request.model
        self._scrub = scrub
        self._guard = guard
        self._span: Span | None = guard.call(self._start, tracer, identity, started_unix_ns)
        if self._span is not None:
            self.context = set_span_in_context(self._span, self.context)

    def _start(self, tracer: Tracer, identity: Identity | None, started_unix_ns: int) -> Span:
        attributes = start_attributes(self._request, identity)
        of_turns = {names.REQUEST_STREAM, *self._request.attributes} - metric_attributes(self._request).keys()
        return tracer.start_span(
            span_name(self._request),
            context=self.context,
            kind=SpanKind.INTERNAL,
            attributes={name: value for name, value in attributes.items() if name not in of_turns},
            start_time=started_unix_ns,
        )

    def named(self, model: str) -> None:
        """Take the model, which some providers learn from the first message only."""
        if self._span is not None and model and model != self._model:
            self._model = model
            self._guard.call(self._rename, self._span, model)

    def _rename(self, span: Span, model: str) -> None:
        span.update_name(f"{self._request.operation} {model}")
        span.set_attribute(names.REQUEST_MODEL, model)

    def ended(self, summary: ConnectionSummary) -> None:
        """Say how it was, and end."""
        span, self._span = self._span, None
        if span is not None:
            self._guard.call(self._describe, span, summary)
            self._guard.call(span.end, summary.ended_unix_ns)

    def _describe(self, span: Span, summary: ConnectionSummary) -> None:
        attributes: dict[str, AttributeValue] = {
            names.REALTIME_SESSION_ID: summary.session_id,
            names.TURN_COUNT: summary.turn_count,
            names.INTERRUPTION_COUNT: summary.interruption_count,
        }
        if summary.connect_time is not None:
            attributes[names.CONNECT_TIME] = summary.connect_time
        if summary.close_code is not None:
            attributes[names.CLOSE_CODE] = summary.close_code
        failure = summary.failure
        if failure is not None:
            attributes[names.ERROR_TYPE] = failure.type
            said = self._scrub(failure.message) if failure.message else ""
            span.set_status(StatusCode.ERROR, said if said != failure.type else None)
        span.set_attributes(attributes)
