"""What a stream costs once: opening and ending its session, without what its chunks cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import subjects
from benchmarks.measures.taps import open_call, tapped
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes
from benchmarks.streams import chunk_objects

_TITLE = "CPU per stream, session alone"
_BUDGET_US = 250.0
_COUNTS = (0, 1, 32)
_LONGEST = 200


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    subjects.SUBJECTS[subject]()
    answers = {str(count): _answer(count) for count in _COUNTS}
    long = _answer(_LONGEST)
    return lambda: {
        **{count: _cost(answer, sizes["streams"]) for count, answer in answers.items()},
        "add_event": _event_cost(sizes["streams"]),
        "chunk": _chunk_cost(long),
    }


def _answer(count: int) -> list[Any]:
    """Return the chunks of a whole answer: the finish reason is in the last one of `count`."""
    return chunk_objects(max(count, 2))[-count:] if count else []


def _cost(answer: list[Any], streams: int) -> float:
    """Return the CPU nanoseconds of a stream: opened, read to its end, recorded."""
    started = time.process_time_ns()
    for _ in range(streams):
        for _item in tapped(answer, open_call()):
            pass
    return (time.process_time_ns() - started) / streams


def _event_cost(count: int) -> float:
    """Return the CPU nanoseconds of one `add_event` with the attributes of a chunk event."""
    from streamspan import _semconv as names  # noqa: PLC0415 - the parent process has no OpenTelemetry

    tracer = subjects.telemetry()["tracer_provider"].get_tracer("benchmarks")
    attributes: dict[str, str | float] = {names.CHUNK_INDEX: 1, names.CHUNK_COUNT: 1, names.OUTPUT_CHARACTERS: 7}
    attributes |= {names.WAIT_MAX: 0.01, names.OUTPUT_KIND: "text"}
    span = tracer.start_span("benchmark")
    started = time.process_time_ns()
    for _ in range(count):
        span.add_event(names.EVENT_CHUNK, attributes, 1_700_000_000_000_000_000)
    cost = (time.process_time_ns() - started) / count
    span.end()
    return cost


def _chunk_cost(answer: list[Any]) -> float:
    items = tapped(answer, open_call())
    started = time.process_time_ns()
    for _ in range(len(answer) - 1):
        next(items)
    cost = (time.process_time_ns() - started) / (len(answer) - 1)
    for _item in items:
        pass
    return cost


def _once(sample: Sample, count: int, events: int) -> float:
    return (sample[str(count)] - count * sample["chunk"] - events * sample["add_event"]) / 1000


def _rows(samples: Samples) -> list[Row]:
    rows: list[Row] = []
    for subject in MEASURE.subjects:
        for count in _COUNTS:
            events = 0 if subject == subjects.LEAN else count
            less = f", less {count} chunks and {events} add_event" if count else ""
            values = [_once(sample, count, events) for sample in samples[subject]]
            rows.append(
                Row(
                    measure=_TITLE,
                    what=f"{subject}, {count} chunks{less}",
                    unit="µs",
                    figure=Figure.of(values),
                    limit=_BUDGET_US,
                )
            )
    event = Figure.of([sample["add_event"] / 1000 for sample in samples[subjects.NO_GAP]])
    return [*rows, Row(measure=_TITLE, what="one add_event, for comparison", unit="µs", figure=event)]


MEASURE = Measure(
    name="stream",
    subjects=(subjects.NO_GAP, subjects.LEAN),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 41, "streams": 50},
    quick={"rounds": 5, "streams": 20},
)
