"""Memory of an open stream: everything that exists because it is recorded, its span included."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import subjects
from benchmarks.measures.taps import open_call, tapped
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes, figure
from benchmarks.streams import chunk_objects

_TITLE = "Memory per open stream"
_BUDGET_KIB = 8.0
_SHORT, _LONG = 100, 20_000


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    subjects.SUBJECTS[subject]()
    tracer = subjects.telemetry()["tracer_provider"].get_tracer("benchmarks")
    chunks = chunk_objects(100)[1:-1]
    _open(chunks, 10, 1)  # what is made once, by the first stream
    return lambda: {
        "short": _bytes_each(lambda: _open(chunks, _SHORT, 1), sizes["streams"]),
        "long": _bytes_each(lambda: _open(chunks, _LONG, 1), sizes["long_streams"]),
        "short_source": _bytes_each(lambda: _source(chunks, _SHORT), sizes["streams"]),
        "long_source": _bytes_each(lambda: _source(chunks, _LONG), sizes["long_streams"]),
        "span": _bytes_each(lambda: tracer.start_span("benchmark"), sizes["streams"]),
    }


def _bytes_each(make: Callable[[], Any], count: int) -> float:
    """Return the bytes that one of `count` objects keeps."""
    kept: list[Any] = [None] * count
    _settle()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for n in range(count):
        kept[n] = make()
    _settle()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    return used / count


def _settle() -> None:
    """Let what was dropped before be recorded and sent off now, and not while something else is measured."""
    from streamspan import _api  # noqa: PLC0415 - the parent process has no OpenTelemetry

    gc.collect()
    _api.drain(10.0)
    subjects.telemetry()["tracer_provider"].force_flush()


def _source(chunks: list[Any], length: int) -> Iterator[Any]:
    """Return what stands for the SDK's iterator, begun, so that it is of its full size."""
    source = (chunks[n % len(chunks)] for n in range(length + 1))
    next(source)
    return source


def _open(chunks: list[Any], length: int, ahead: int) -> Iterator[Any]:
    """Open a stream, read `length` chunks of it and leave it open."""
    items = tapped(_source(chunks, length + ahead), open_call())
    for _ in range(length):
        next(items)
    return items


def _rows(samples: Samples) -> list[Row]:
    rows: list[Row] = []
    for subject in MEASURE.subjects:
        for key, length in (("short", _SHORT), ("long", _LONG)):
            used = Figure.of([(sample[key] - sample[f"{key}_source"]) / 1024 for sample in samples[subject]])
            what = f"{subject}, after {length:,} chunks"
            rows.append(Row(measure=_TITLE, what=what, unit="KiB", figure=used, limit=_BUDGET_KIB))
        span = figure(samples, subject, "span", 1 / 1024)
        rows.append(Row(measure=_TITLE, what="of which: a span of the OpenTelemetry SDK", unit="KiB", figure=span))
    return rows


MEASURE = Measure(
    name="memory",
    subjects=(subjects.FULL,),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 3, "streams": 1000, "long_streams": 10},
    quick={"rounds": 1, "streams": 200, "long_streams": 2},
)
