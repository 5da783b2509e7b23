"""From a session to OpenTelemetry, and to everybody else who wants to know how it went.

With `_description` and `_metrics` the only place that touches OpenTelemetry's signals. Knows no vendor.

        start(request)        arrivals(at_ns…)          ended(session)
             │                       │                       │
      span starts, active +1   gap histogram     active -1 ► span described ► span ends ► metrics
                                                           ► on_session_end ► console
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry._logs import Logger
from opentelemetry.context import Context, get_current
from opentelemetry.metrics import Meter, UpDownCounter
from opentelemetry.trace import (
    INVALID_SPAN,
    Span,
    SpanKind,
    Tracer,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)

from streamspan import _console
from streamspan._attributes import end_attributes, metric_attributes, span_name, start_attributes, with_response_model
from streamspan._config import Config, environment
from streamspan._connection_span import ConnectionSpan
from streamspan._description import Describer, finisher
from streamspan._double_span import as_outer, outer_inference, own_attributes, publish
from streamspan._guard import Guard
from streamspan._identity import Identity, current_identity
from streamspan._metrics import Gaps, Instruments
from streamspan._records import Attributes, Request, SessionSummary
from streamspan._redaction import scrub_secrets
from streamspan._routes import routes_of
from streamspan._session import Session
from streamspan._summary import ending_of, pace, summarize

_NOT_SHOWN = "[not shown: it could not be checked for secrets]"


class Recorder:
    """Starts the telemetry of sessions. Nothing that it is given can make it raise.

    Args:
        config: the configuration.
        tracer, meter, logger: of the scope `streamspan`.
        on_session_end: the application's callback, called once per session, after the span has ended.
        redact: a `Redactor`, or the application's own redaction of captured content to go with the built-in patterns.
        identity: tells whose stream it is.
        scrub: takes secrets out of error messages and stack traces.
    """

    def __init__(
        self,
        *,
        config: Config,
        tracer: Tracer,
        meter: Meter,
        logger: Logger,
        on_session_end: Callable[[SessionSummary], object] | None = None,
        redact: Callable[[str], str] | None = None,
        identity: Callable[[], Identity | None] = current_identity,
        scrub: Callable[[str], str] = scrub_secrets,
    ) -> None:
        self.guard = Guard("recorder")
        self.instruments = Instruments(meter, config)
        self._config = config
        self._tracer = tracer
        self._on_session_end = on_session_end
        self._callback_guard = Guard("on_session_end", is_ours=False)
        self._identity = identity
        self._scrub = self.guard.wrap(scrub, otherwise=_NOT_SHOWN)
        self._describer = Describer(
            logger,
            routes_of(
                config,
                exception_opt_in=environment("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN"),
                emit_event=environment("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT"),
            ),
            chunk_events=config.chunk_events,
            scrub=self._scrub,
            finish_content=finisher(config, redact),
            guard=self.guard,
        )

    def use(self, tracer: Tracer, logger: Logger) -> None:
        """Go over to another tracer and logger; meters change their provider by themselves."""
        self._tracer = tracer
        self._describer.use(logger)

    def start(self, request: Request, started_unix_ns: int) -> SessionTelemetry | InnerTelemetry:
        """Start the span of a call, as a child of what is current now, and count it if it is a stream.

        If another instrumentation is recording this very call, there is no second span: what is known is added to its.
        """
        identity = self.guard.call(self._identity)
        parent = get_current()
        outer = self.guard.call(outer_inference, parent, request)
        if outer is not None:
            return InnerTelemetry(self, outer, identity, parent)
        span = self.guard.call(self._start_span, request, identity, parent, started_unix_ns)
        context = parent if span is None else set_span_in_context(span, parent)
        context = self.guard.call(as_outer, context) or context
        telemetry = SessionTelemetry(self, request, identity, INVALID_SPAN if span is None else span, context)
        if request.is_stream:
            telemetry.counter = self.guard.call(self.instruments.opened, telemetry.attributes, context)
        return telemetry

    def connecting(self, request: Request, started_unix_ns: int) -> ConnectionSpan:
        """Start the span of a connection, as a child of what is current now."""
        return ConnectionSpan(
            self._tracer,
            request,
            self.guard.call(self._identity),
            started_unix_ns=started_unix_ns,
            scrub=self._scrub,
            guard=self.guard,
        )

    def _start_span(self, request: Request, identity: Identity | None, parent: Context, started_unix_ns: int) -> Span:
        return self._tracer.start_span(
            span_name(request),
            context=parent,
            kind=SpanKind.CLIENT,
            attributes=start_attributes(request, identity),
            start_time=started_unix_ns,
        )

    def summarize(self, session: Session, span: Span, identity: Identity | None) -> SessionSummary:
        """Return the summary of a session, its error message without secrets."""
        ids = span.get_span_context()
        return summarize(
            session,
            identity=identity,
            trace_id=format_trace_id(ids.trace_id) if ids.is_valid else None,
            span_id=format_span_id(ids.span_id) if ids.is_valid else None,
            scrub=self._scrub,
        )

    def record(
        self,
        session: Session,
        summary: SessionSummary,
        *,
        span: Span,
        context: Context,
        identity: Identity | None,
        attributes: Attributes,
    ) -> None:
        """Record a session that has ended: on the span, which ends, in the metrics, and for the application."""
        error_type = summary.error_type
        if summary.outcome == "cancelled" and self._config.cancel_status == "error":
            error_type = "cancelled"
        if span.is_recording() and not self.guard.is_off:
            self._describer.describe(
                session, summary, span=span, context=context, identity=identity, error_type=error_type
            )
        span.end(session.unix_ns(ending_of(session).at_ns))
        self.guard.call(self.instruments.finished, summary, attributes, context, error_type=error_type)
        self.report(session, summary)

    def report(self, session: Session, summary: SessionSummary) -> None:
        """Tell the application of a session that has ended, and the console."""
        if self._on_session_end is not None and not self._callback_guard.is_off:
            self._callback_guard.call(self._on_session_end, summary)
        if self._config.console and summary.is_stream:
            self.guard.call(_console.show, summary, pace(session))


class SessionTelemetry:
    """What is recorded of one session; the session's observer."""

    __slots__ = (
        "_gaps",
        "_identity",
        "_is_over",
        "_recorder",
        "_request",
        "_span",
        "attributes",
        "context",
        "counter",
    )

    def __init__(
        self, recorder: Recorder, request: Request, identity: Identity | None, span: Span, context: Context
    ) -> None:
        self.context = context
        """The context that was current at the start, with the session's span in it."""
        self.attributes: Attributes = metric_attributes(request)
        """What every metric of the session carries from the start."""
        record_gap = recorder.instruments.record_gap if request.is_stream else None
        self._gaps = None if record_gap is None else Gaps(record_gap, self.attributes, context, recorder.guard)
        self._recorder = recorder
        self._request = request
        self._identity = identity
        self._span = span
        self._is_over = False
        self.counter: UpDownCounter | None = None
        """Who has counted it among the open streams."""

    @property
    def is_recording(self) -> bool:
        """Whether the span takes anything; what is only for the span need not be gathered else."""
        return self._span.is_recording()

    @property
    def arrivals(self) -> Callable[[Sequence[int]], object] | None:
        """Takes the arrivals of chunks; None when gaps are not recorded."""
        return self._gaps

    def follow(self, session: Session) -> None:
        """Let the gaps carry the response's model, as soon as the session knows it."""
        if self._gaps is not None:
            self._gaps.session = session

    def ended(self, session: Session) -> None:
        """Record the finished session. The first call counts, and the span ends whatever happens."""
        if self._is_over:
            return
        self._leave()
        guard = self._recorder.guard
        summary = guard.call(self._recorder.summarize, session, self._span, self._identity)
        if summary is not None:
            guard.call(
                self._recorder.record,
                session,
                summary,
                span=self._span,
                context=self.context,
                identity=self._identity,
                attributes=with_response_model(self.attributes, session.response_model),
            )
        if self._span.is_recording():
            guard.call(self._span.end, session.unix_ns(ending_of(session).at_ns))

    def forgotten(self) -> None:
        """Take back the count of open streams in a forked child; the span is the parent process's."""
        if not self._is_over:
            self._leave()

    def _leave(self) -> None:
        self._is_over = True
        if self._gaps is not None:
            self._gaps.session = None  # the session refers to this object: without the cycle both go at once
        if self.counter is not None:
            self._recorder.guard.call(self.counter.add, -1, self.attributes, self.context)


class InnerTelemetry:
    """What is told of a session whose span another instrumentation makes; the session's observer."""

    __slots__ = ("_identity", "_outer", "_recorder", "arrivals", "context")

    is_recording = False
    """No events and no content: they are the business of whose span it is."""

    def __init__(self, recorder: Recorder, outer: Any, identity: Identity | None, context: Context) -> None:
        self._recorder = recorder
        self._outer = outer
        self._identity = identity
        self.context = context
        self.arrivals: Callable[[Sequence[int]], object] | None = None

    def follow(self, session: Session) -> None:
        """Need nothing of the session before it ends."""

    def ended(self, session: Session) -> None:
        """Add to the other one's span, and tell the application."""
        recorder, span = self._recorder, get_current_span(self.context)
        summary = recorder.summarize(session, span, self._identity)
        attributes = end_attributes(summary, session.attributes, None)
        recorder.guard.call(publish, self._outer, attributes)
        # genai-anthropic 1.3b0 puts another dictionary in the place of the one that it let us publish into: what only we
        # know goes on the span itself.
        recorder.guard.call(span.set_attributes, own_attributes(attributes))
        recorder.report(session, summary)

    def forgotten(self) -> None:
        """Have nothing to take back."""
