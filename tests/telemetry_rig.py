"""A recorder with OpenTelemetry's in-memory exporters, a clock that a test sets, and sessions to drive by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from opentelemetry.sdk._logs import LoggerProvider, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider, TraceBasedExemplarFilter
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, Metric, MetricsData
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

import conformance
from streamspan._config import Config
from streamspan._recorder import Recorder, SessionTelemetry
from streamspan._records import Delta, Failure, Request, SessionSummary, ToolCallDelta
from streamspan._session import Session

START_NS = 1_700_000_000_000_000_000
"""Wall clock of every call in the tests."""
READER = 1

REQUEST = Request(
    operation="chat",
    provider="openai",
    layer="openai",
    model="gpt-4o",
    server_address="api.openai.com",
    server_port=443,
)

Step: TypeAlias = tuple[float, Delta]
"""Seconds to wait for a chunk, and the chunk."""


def text(characters: str, **fields: Any) -> Delta:
    """Return a chunk of answer text for the first choice."""
    return Delta(text=characters, choice=0, **fields)


DONE = Delta(choice=0, finish_reason="stop", usage={"input_tokens": 7, "output_tokens": 5}, is_terminal=True)
ROLE = Delta(choice=0, response_id="resp-1", response_model="gpt-4o-2024-08-06")
HELLO: tuple[Step, ...] = ((0.25, ROLE), (0.25, text("Hel")), (0.5, text("lo")), (0.5, DONE))
"""A stream of four chunks; each arrives the given time after the one before."""


class Clock:
    """Monotonic nanoseconds that move when told to; exact in steps of 1/1024 s."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        """Return the time."""
        return self.now

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * 1e9)


class Rig:
    """Everything between a session and what was exported of it."""

    class Broken(Exception):  # noqa: N818 - reads as `Rig.Broken`
        """An exception with a module and a qualified name of its own."""

    def __init__(
        self,
        config: Config | None = None,
        *,
        sampler: Sampler = ALWAYS_ON,
        limits: SpanLimits | None = None,
        on_session_end: Callable[[SessionSummary], object] | None = None,
        has_all_exemplars: bool = False,
        **arguments: Any,
    ) -> None:
        self.config = config or Config()
        self.free: set[str] = set()
        """Names of free attributes that the test sets."""
        self.is_checked = True
        """Whether what was exported must conform."""
        self.has_every_span = True
        """Whether every session of the test is seen as a span."""
        self.clock = Clock()
        self.summaries: list[SessionSummary] = []
        self.span_exporter = InMemorySpanExporter()
        self.log_exporter = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call] # its __init__ has no types
        self.reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=sampler, span_limits=limits, shutdown_on_exit=False)
        self.tracers.add_span_processor(SimpleSpanProcessor(self.span_exporter))
        exemplars = AlwaysOnExemplarFilter() if has_all_exemplars else TraceBasedExemplarFilter()
        self.meters = MeterProvider([self.reader], exemplar_filter=exemplars, shutdown_on_exit=False)
        self.loggers = LoggerProvider(shutdown_on_exit=False)
        self.loggers.add_log_record_processor(SimpleLogRecordProcessor(self.log_exporter))
        signals: dict[str, Any] = {
            "tracer": self.tracers.get_tracer("streamspan"),
            "meter": self.meters.get_meter("streamspan"),
            "logger": self.loggers.get_logger("streamspan"),
        }
        self.recorder = Recorder(
            config=self.config, on_session_end=on_session_end or self.summaries.append, **(signals | arguments)
        )

    def open(self, request: Request = REQUEST, *, follows: bool = True, **arguments: Any) -> Session:
        """Start a session."""
        telemetry = self.recorder.start(request, START_NS)
        session = Session(
            request,
            clock=self.clock,
            observer=telemetry,
            read=_same,
            started_unix_ns=START_NS,
            chunk_budget=arguments.pop("chunk_budget", self.config.chunk_events),
            **arguments,
        )
        if follows:
            telemetry.follow(session)
        return session

    def stream(self, steps: Iterable[Step] = HELLO, request: Request = REQUEST, **arguments: Any) -> Session:
        """Start a session whose headers come at once, and feed it chunks; it is not ended."""
        session = self.open(request, **arguments)
        session.headers(200, "req-1")
        session.returned()
        self.feed(session, steps)
        return session

    def feed(self, session: Session, steps: Iterable[Step]) -> None:
        """Let chunks arrive; the caller takes no time between them."""
        for seconds, chunk in steps:
            session.pull(READER)
            self.clock.wait(seconds)
            session.arrived(chunk)

    def complete(self, steps: Iterable[Step] = HELLO, request: Request = REQUEST, **arguments: Any) -> Session:
        """Run a whole stream to its end."""
        session = self.stream(steps, request, **arguments)
        session.exhausted()
        return session

    @property
    def spans(self) -> list[ReadableSpan]:
        """The spans exported so far."""
        return list(self.span_exporter.get_finished_spans())

    @property
    def span(self) -> ReadableSpan:
        """The only span exported so far."""
        (span,) = self.spans
        return span

    @property
    def logs(self) -> list[ReadableLogRecord]:
        """The log records exported so far."""
        return list(self.log_exporter.get_finished_logs())

    def metrics_data(self) -> MetricsData | None:
        """Collect the metrics."""
        return self.reader.get_metrics_data()

    def findings(self) -> list[str]:
        """Check everything that was exported; see `conformance.findings`."""
        return conformance.findings(
            spans=self.spans,
            metrics=self.metrics_data(),
            logs=self.logs,
            config=self.config,
            free=self.free,
            has_every_span=self.has_every_span,
        )

    def metrics(self) -> dict[str, Metric]:
        """Collect the metrics, by name."""
        return by_name(self.metrics_data())


def checked_rigs() -> Iterator[Callable[..., Rig]]:
    """Be a fixture that makes rigs, and checks in the end that everything they exported conforms."""
    rigs: list[Rig] = []

    def new(*args: Any, **kwargs: Any) -> Rig:
        rigs.append(Rig(*args, **kwargs))
        return rigs[-1]

    yield new
    for rig in rigs:
        assert not rig.is_checked or rig.findings() == []


def by_name(data: MetricsData | None) -> dict[str, Metric]:
    """Return collected metrics by their names."""
    if data is None:
        return {}
    return {m.name: m for resource in data.resource_metrics for scope in resource.scope_metrics for m in scope.metrics}


def point(metric: Metric) -> Any:
    """Return the only data point of a metric."""
    (only,) = metric.data.data_points
    return only


def attributes_of(thing: Any) -> dict[str, object]:
    """Return the attributes of a span, an event, a log record or a data point."""
    return dict(thing.attributes or {})


def event_list(span: ReadableSpan) -> list[tuple[str, float, dict[str, object]]]:
    """Return a span's events as name, seconds since the call, attributes."""
    return [(e.name, (e.timestamp - START_NS) / 1e9, attributes_of(e)) for e in span.events]


def events_named(span: ReadableSpan, name: str) -> list[Mapping[str, object]]:
    """Return the attributes of a span's events of one name."""
    return [attributes_of(e) for e in span.events if e.name == name]


def telemetry_of(session: Session) -> SessionTelemetry:
    """Return the observer of a session of the rig."""
    assert isinstance(session.observer, SessionTelemetry)
    return session.observer


def tool_call(name: str, arguments: str, index: int = 0) -> Delta:
    """Return a chunk with a piece of a tool call."""
    return Delta(choice=0, tool_calls=[ToolCallDelta(index=index, id=f"call-{index}", name=name, arguments=arguments)])


def failure(kind: str = "ConnectionError", message: str = "connection lost", **fields: Any) -> Failure:
    """Return what an exception means."""
    return Failure(kind, message, **fields)


def raised(exc: Exception) -> Exception:
    """Return an exception with a traceback."""
    try:
        raise exc  # noqa: TRY301 - to have a traceback
    except Exception as caught:  # noqa: BLE001 - whatever it is given
        return caught


def _same(chunk: Delta) -> Delta:
    return chunk
