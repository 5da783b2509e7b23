"""The tap's own cost per chunk, and how much later the caller has a chunk: no SDK, no socket.

The OpenAI SDK spends tens of microseconds on a chunk, in whose noise the one or two of a tap cannot be seen; so here
the tap runs over a list of chunk objects that were made before, against the same list without a tap.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from statistics import median
from typing import Any

from benchmarks import subjects
from benchmarks.measures.taps import check_completed, open_call, tapped
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes, figure
from benchmarks.streams import chunk_objects

_CHUNK = "CPU per chunk, tap alone"
_DELAY = "Delivery delay per chunk"
_CALLS = 5000
_BUDGET_NS, _DELAY_BUDGET_NS = 2000.0, 500.0


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    subjects.SUBJECTS[subject]()
    chunks = chunk_objects(sizes["chunks"])
    costs: dict[str, Callable[[], float]] = {
        "list": lambda: _cost(chunks, chunks),
        "tap": lambda: _tap_cost(chunks),
        "delay_list": lambda: _delay(chunks, None),
        "delay_tap": lambda: _delay(chunks, open_call),
        "record": _histogram_cost(sizes["records"]),
        "call": _call_cost,
    }
    return lambda: {name: cost() for name, cost in costs.items()}


def _cost(items: Iterable[Any], chunks: list[Any]) -> float:
    """Return the CPU nanoseconds per item, without those of the last two chunks, which end the stream."""
    count = len(chunks) - 2
    iterator = iter(items)
    started = time.process_time_ns()
    for _ in islice(iterator, count):
        pass
    cost = (time.process_time_ns() - started) / count
    for _ in iterator:
        pass
    return cost


def _tap_cost(chunks: list[Any]) -> float:
    call = open_call()
    cost = _cost(tapped(chunks, call), chunks)
    check_completed(call)
    return cost


class _Clocked(Iterator[Any]):
    """Notes when an item was available."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items = iter(items)
        self.at = 0

    def __next__(self) -> Any:
        item = next(self._items)
        self.at = time.perf_counter_ns()
        return item


def _delay(chunks: list[Any], open_session: Callable[[], Any] | None) -> float:
    """Return the median nanoseconds from an item's being available to the caller's having it."""
    source = _Clocked(chunks)
    items = source if open_session is None else tapped(source, open_session())
    clock = time.perf_counter_ns
    delays = [clock() - source.at for _ in items]
    return median(delays[1:-1])


def _histogram_cost(count: int) -> Callable[[], float]:
    """Return what measures one `Histogram.record`, with the boundaries and attributes that a gap is recorded with."""
    from streamspan import _semconv as names  # noqa: PLC0415 - the parent process has no OpenTelemetry

    gap = names.METRIC_TIME_PER_OUTPUT_CHUNK
    meter = subjects.telemetry()["meter_provider"].get_meter("benchmarks")
    histogram = meter.create_histogram(gap.name, gap.unit, explicit_bucket_boundaries_advisory=gap.buckets)
    call = open_call()
    attributes = {**call.session.observer.telemetry.attributes, names.RESPONSE_MODEL: "bench-1"}

    def cost() -> float:
        started = time.process_time_ns()
        for _ in range(count):
            histogram.record(0.0001, attributes, call.context)
        return (time.process_time_ns() - started) / count

    return cost


def _call_cost() -> float:
    """Return the CPU nanoseconds of calling a function that does nothing: how fast the machine is just now."""

    def nothing() -> None:
        return None

    started = time.process_time_ns()
    for _ in range(_CALLS):
        nothing()
    return (time.process_time_ns() - started) / _CALLS


def _added(samples: Samples, subject: str, name: str, base: str) -> Figure:
    return Figure.of([(sample[name] - sample[base]) / 1000 for sample in samples[subject]])


def _rows(samples: Samples) -> list[Row]:
    record = figure(samples, subjects.FULL, "record", 1 / 1000)
    limits = {subjects.FULL: _BUDGET_NS / 1000 + record.median, subjects.NO_GAP: _BUDGET_NS / 1000}
    rows = [
        Row(
            measure=_CHUNK,
            what=f"{subject}: added",
            unit="µs",
            figure=_added(samples, subject, "tap", "list"),
            limit=limits.get(subject),
        )
        for subject in MEASURE.subjects
    ]
    call = figure(samples, subjects.FULL, "call", 1 / 1000)
    rows.append(Row(measure=_CHUNK, what="one Histogram.record, for comparison", unit="µs", figure=record))
    rows.append(Row(measure=_CHUNK, what="one call of an empty function, for comparison", unit="µs", figure=call))
    for subject in (subjects.FULL, subjects.NO_GAP):
        late = _added(samples, subject, "delay_tap", "delay_list")
        rows.append(
            Row(measure=_DELAY, what=f"{subject}: added", unit="µs", figure=late, limit=_DELAY_BUDGET_NS / 1000)
        )
    return rows


MEASURE = Measure(
    name="chunk",
    subjects=(subjects.FULL, subjects.NO_GAP, subjects.LEAN, subjects.UNSAMPLED),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 61, "chunks": 2000, "records": 500},
    quick={"rounds": 11, "chunks": 1000, "records": 200},
)
