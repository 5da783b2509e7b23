"""Memory of an open stream: everything that exists because it is recorded, its span included."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

from benchmarks import subjects
from benchmarks.measures.taps import open_call, tapped
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes, figure
from benchmarks.streams import chunk_objects

_TITLE = "Memory per open stream"
_BUDGET_KIB = 8.0
_SHORT, _LONG = 100, 20_000


def _sample(subject: str, sizes: Sizes) -> Sample:
    subjects.SUBJECTS[subject]()
    chunks = chunk_objects(100)[1:-1]
    _open(chunks, 10, 1)  # what is made once, by the first stream
    return {
        "short": _bytes_per_stream(chunks, _SHORT, sizes["streams"]),
        "long": _bytes_per_stream(chunks, _LONG, sizes["long_streams"]),
    }


def _bytes_per_stream(chunks: list[Any], length: int, streams: int) -> float:
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    kept = _open(chunks, length, streams)
    gc.collect()
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    for call, items in kept:
        items.close()
        assert call.session.is_ended
    return used / streams


def _open(chunks: list[Any], length: int, streams: int) -> list[tuple[Any, Any]]:
    """Open streams and read `length` chunks of each."""
    kept: list[tuple[Any, Any]] = []
    for _ in range(streams):
        call = open_call()
        items = tapped((chunks[n % len(chunks)] for n in range(length + 1)), call)
        for _item in range(length):
            next(items)
        kept.append((call, items))
    return kept


def _rows(samples: Samples) -> list[Row]:
    rows: list[Row] = []
    for subject in MEASURE.subjects:
        for key, length in (("short", _SHORT), ("long", _LONG)):
            used = figure(samples, subject, key, 1 / 1024)
            what = f"{subject}, after {length:,} chunks"
            rows.append(Row(measure=_TITLE, what=what, unit="KiB", figure=used, limit=_BUDGET_KIB))
        grown = Figure.of([(sample["long"] - sample["short"]) / 1024 for sample in samples[subject]])
        rows.append(Row(measure=_TITLE, what=f"{subject}: growth from {_SHORT} to {_LONG:,}", unit="KiB", figure=grown))
    return rows


MEASURE = Measure(
    name="memory",
    subjects=(subjects.FULL,),
    sample=_sample,
    rows=_rows,
    sizes={"streams": 1000, "long_streams": 10},
    quick={"streams": 100, "long_streams": 1},
)
