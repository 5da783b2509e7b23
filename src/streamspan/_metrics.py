"""The instruments, and what of a session goes into which of them.

Knows OpenTelemetry's metrics and the two sets of names that the conventions have; refuses to know spans. Whatever is
recorded is recorded with the context of the session's span, so that exemplars lead to the trace.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeAlias

from opentelemetry.context import Context
from opentelemetry.metrics import Counter, Histogram, Meter, UpDownCounter

from streamspan import _semconv as names
from streamspan._attributes import with_response_model
from streamspan._config import Config
from streamspan._guard import Guard
from streamspan._records import Attributes, SessionSummary
from streamspan._session import Session

RecordGap: TypeAlias = Callable[[float, Attributes, Context], object]

_TOKEN_TYPES = (("input", "input_tokens"), ("output", "output_tokens"))

# Instrument to field of the summary. Recorded for every stream whose field is not None.
_OF_STREAMS = (
    (names.METRIC_TIME_TO_FIRST_TOKEN, "time_to_first_token"),
    (names.METRIC_TIME_TO_FIRST_ANSWER, "time_to_first_answer"),
    (names.METRIC_OUTPUT_RATE, "output_rate"),
    (names.METRIC_CHARACTER_RATE, "character_rate"),
    (names.METRIC_CONSUMER_TIME, "consumer_time"),
)
_OF_STREAMS_BY_OUTCOME = (
    (names.METRIC_WAIT_MAX, "wait_max"),
    (names.METRIC_CHUNKS, "chunk_count"),
)


class Instruments:
    """Every instrument of streamspan, made once per meter.

    Args:
        meter: who makes them.
        config: which names to use, and whether gaps are recorded.
    """

    __slots__ = (
        "_active",
        "_durations",
        "_of_streams",
        "_of_streams_by_outcome",
        "_operation_tokens",
        "_retries",
        "_stalls",
        "_token_usage",
        "_usage",
        "record_gap",
    )

    def __init__(self, meter: Meter, config: Config) -> None:
        released, latest = config.semconv != "latest", config.semconv != "released"
        self._durations = _either(meter, config, names.METRIC_DURATION, names.LATEST_DURATION)
        firsts = _either(meter, config, names.METRIC_TIME_TO_FIRST_CHUNK, names.LATEST_TIME_TO_FIRST_CHUNK)
        self._of_streams = [(histogram, "time_to_first_chunk") for histogram in firsts]
        self._of_streams += [(_histogram(meter, metric), field) for metric, field in _OF_STREAMS]
        self._of_streams_by_outcome = [(_histogram(meter, metric), field) for metric, field in _OF_STREAMS_BY_OUTCOME]
        self._token_usage = _histogram(meter, names.METRIC_TOKEN_USAGE) if released else None
        self._operation_tokens: dict[str, Histogram] = {}
        self._usage: dict[str, Counter] = {}
        if latest:
            self._operation_tokens = {s: _histogram(meter, m) for s, m in names.LATEST_OPERATION_TOKENS.items()}
            self._usage = {s: _counter(meter, m) for s, m in names.LATEST_USAGE.items()}
        self._stalls = _counter(meter, names.METRIC_STALLS)
        self._retries = _counter(meter, names.METRIC_RETRIES)
        active = names.METRIC_ACTIVE
        self._active = meter.create_up_down_counter(active.name, active.unit, active.description)
        self.record_gap: RecordGap | None = None
        """Takes the seconds between two chunks; None when that is switched off."""
        if config.chunk_metric:
            gaps = _either(meter, config, names.METRIC_TIME_PER_OUTPUT_CHUNK, names.LATEST_TIME_PER_OUTPUT_CHUNK)
            self.record_gap = _record_all(gaps)

    def opened(self, attributes: Attributes, context: Context) -> UpDownCounter | None:
        """Count a stream that has started; return who counted it, for only there may it be taken back.

        The API's stand-in forgets what it is given until there is a provider, and then passes on to that, also to
        another one later. `_real_instrument` is its private name, the same in opentelemetry-api 1.39 to 1.45.
        """
        counter: UpDownCounter | None = getattr(self._active, "_real_instrument", self._active)
        if counter is not None:
            counter.add(1, attributes, context)
        return counter

    def finished(
        self, summary: SessionSummary, attributes: Attributes, context: Context, *, error_type: str | None
    ) -> None:
        """Record a finished call.

        Args:
            summary: what there is to record.
            attributes: what every metric carries.
            context: holds the span.
            error_type: the span's `error.type`.
        """
        by_outcome = {**attributes, names.OUTCOME: summary.outcome}
        error = {} if error_type is None else {names.ERROR_TYPE: error_type}
        for duration in self._durations:
            duration.record(summary.duration, {**by_outcome, **error}, context)
        if self._token_usage is not None:
            self._record_released_tokens(self._token_usage, summary.usage, attributes, context)
        if self._usage:
            self._record_latest_tokens(summary.usage, attributes, error, context)
        if summary.is_stream:
            _record_fields(self._of_streams, summary, attributes, context)
            _record_fields(self._of_streams_by_outcome, summary, by_outcome, context)
            if summary.stall_count:
                self._stalls.add(summary.stall_count, attributes, context)
            if summary.resend_count:
                self._retries.add(summary.resend_count, attributes, context)

    @staticmethod
    def _record_released_tokens(
        histogram: Histogram, usage: Mapping[str, int], attributes: Attributes, context: Context
    ) -> None:
        for token_type, suffix in _TOKEN_TYPES:
            if suffix in usage:
                histogram.record(usage[suffix], {**attributes, names.TOKEN_TYPE: token_type}, context)

    def _record_latest_tokens(
        self, usage: Mapping[str, int], attributes: Attributes, error: Attributes, context: Context
    ) -> None:
        # The development conventions want every call counted here, with 0 where no usage came.
        for suffix, histogram in self._operation_tokens.items():
            histogram.record(usage.get(suffix, 0), {**attributes, **error}, context)
        for suffix, counter in self._usage.items():
            for modality, count in _by_modality(usage, suffix):
                counter.add(count, {**attributes, names.TOKEN_MODALITY: modality}, context)


class Gaps:
    """The times between a stream's chunks: the only calls of OpenTelemetry's while a stream is read.

    Args:
        record: takes a gap.
        attributes: what the metrics of the stream carry from the start.
        context: holds the span.
        guard: the fence.
    """

    __slots__ = ("_attributes", "_context", "_guard", "_last_at", "_record", "session")

    def __init__(self, record: RecordGap, attributes: Attributes, context: Context, guard: Guard) -> None:
        self.session: Session | None = None
        """Whose response model the gaps carry, once it is known."""
        self._record = record
        self._attributes = attributes
        self._context = context
        self._guard = guard
        self._last_at: int | None = None

    def __call__(self, arrivals: Sequence[int]) -> None:
        """Record the gap before each chunk, unless it is the stream's first."""
        self._guard.call(self._record_all, arrivals)

    def _record_all(self, arrivals: Sequence[int]) -> None:
        last = self._last_at
        if last is not None and arrivals[0] < last:
            return  # told already: an exit hook or a signal handler ends a session that another thread is reading
        self._last_at = arrivals[-1]
        record, context = self._record, self._context
        attributes = with_response_model(self._attributes, self.session.response_model if self.session else None)
        for at_ns in arrivals:
            if last is not None:
                record((at_ns - last) / 1e9, attributes, context)
            last = at_ns


def _by_modality(usage: Mapping[str, int], suffix: str) -> Iterator[tuple[str, int]]:
    """Split a token count by modality; what the provider did not assign, also a count that never came, is unknown."""
    total = usage.get(suffix, 0)
    rest = total
    for modality in names.MODALITIES:
        if count := usage.get(f"{modality}.{suffix}", 0):
            rest -= count
            yield modality, count
    if rest > 0 or not total:
        yield names.UNKNOWN_MODALITY, max(rest, 0)


def _record_fields(
    histograms: Sequence[tuple[Histogram, str]], summary: SessionSummary, attributes: Attributes, context: Context
) -> None:
    for histogram, field in histograms:
        value: float | None = getattr(summary, field)
        if value is not None:
            histogram.record(value, attributes, context)


def _record_all(histograms: Sequence[Histogram]) -> RecordGap:
    if len(histograms) == 1:
        return histograms[0].record

    def record(seconds: float, attributes: Attributes, context: Context) -> None:
        for histogram in histograms:
            histogram.record(seconds, attributes, context)

    return record


def _either(meter: Meter, config: Config, released: names.Metric, latest: names.Metric) -> list[Histogram]:
    """Make the instrument under the names that the configuration asks for."""
    metrics = {"released": (released,), "latest": (latest,), "both": (released, latest)}[config.semconv]
    return [_histogram(meter, metric) for metric in metrics]


def _histogram(meter: Meter, metric: names.Metric) -> Histogram:
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


def _counter(meter: Meter, metric: names.Metric) -> Counter:
    return meter.create_counter(metric.name, metric.unit, metric.description)
