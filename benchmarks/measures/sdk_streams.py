"""Whole streams through an SDK: CPU per chunk and per stream, time to the first chunk, memory of the process."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from statistics import median
from typing import Any

from benchmarks import subjects
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, added, figure, ratio
from benchmarks.streams import long_scenario, provider
from benchmarks.vendors import ANTHROPIC, GEMINI, OPENAI, Vendor


def _prepare(vendor: Vendor, subject: str, sizes: Sizes) -> Callable[[], Sample]:
    subjects.SUBJECTS[subject]()
    url = provider()
    memory, short = vendor.of_memory(sizes["chunks"]), vendor.of_memory(2)
    loopback = vendor.of_provider(url, long_scenario(sizes["chunks"]))
    nearby = vendor.of_provider(url, "ok")
    for client in (short, nearby) * 5:
        vendor.read(client)
    grown = _growth(vendor, vendor.of_memory(sizes["long"]))

    def sample() -> Sample:
        return {
            "memory": _cpu_per_chunk(vendor, memory),
            "rss": grown,
            "loopback": _cpu_per_chunk(vendor, loopback),
            "stream": _cpu(lambda: [vendor.read(short) for _ in range(sizes["streams"])])[0] / sizes["streams"],
            "first": median(_first_chunk(vendor, nearby) for _ in range(sizes["firsts"])),
        }

    return sample


def _growth(vendor: Vendor, client: Any) -> float:
    """Return the KiB by which reading one long stream makes the process grow at its peak."""
    before = _peak_kib()
    vendor.read(client)
    return _peak_kib() - before


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time_ns()
    result = work()
    return time.process_time_ns() - started, result


def _cpu_per_chunk(vendor: Vendor, client: Any) -> float:
    cost, chunks = _cpu(lambda: vendor.read(client))
    return cost / float(chunks)


def _peak_kib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


def _first_chunk(vendor: Vendor, client: Any) -> float:
    started = time.perf_counter_ns()
    with closing(vendor.open(client)) as stream:  # a generator is no context manager
        next(iter(stream))
        took = time.perf_counter_ns() - started
        for _ in stream:
            pass
    return took


def _group(samples: Samples, title: str, key: str, unit: str, scale: float) -> list[Row]:
    """Return a row for each subject, the bare one as it is and the others by what they add."""
    rows = [Row(measure=title, what="bare SDK", unit=unit, figure=figure(samples, subjects.BARE, key, scale))]
    for subject in samples:
        if subject != subjects.BARE:
            more = added(samples, subject, key, scale)
            times = ratio(samples, subject, key).median
            rows.append(Row(measure=title, what=f"{subject}: added", unit=unit, figure=more, ratio=times))
    return rows


def _rows(vendor: Vendor, samples: Samples) -> list[Row]:
    name = vendor.name
    return [
        *_group(samples, f"{name}: CPU per chunk through the SDK, from memory", "memory", "µs", 1e-3),
        *_group(samples, f"{name}: CPU per chunk through the SDK, over loopback", "loopback", "µs", 1e-3),
        *_group(samples, f"{name}: CPU per short stream through the SDK", "stream", "µs", 1e-3),
        *_group(samples, f"{name}: time to the first chunk, loopback", "first", "ms", 1e-6),
        *_peaks(vendor, samples),
    ]


def _peaks(vendor: Vendor, samples: Samples) -> list[Row]:
    title = f"{vendor.name}: growth of the process over one long stream"
    return [
        Row(measure=title, what=subject, unit="KiB", figure=figure(samples, subject, "rss"))
        for subject in (subjects.BARE, subjects.FULL, *vendor.subjects[len(subjects.OURS) :])
        if subject in samples
    ]


def _measure(name: str, vendor: Vendor) -> Measure:
    return Measure(
        name=name,
        subjects=vendor.subjects,
        prepare=partial(_prepare, vendor),
        rows=partial(_rows, vendor),
        sizes={"rounds": 21, "long": 20_000, "chunks": 2000, "streams": 25, "firsts": 9},
        quick={"rounds": 3, "long": 2000, "chunks": 500, "streams": 10, "firsts": 5},
    )


MEASURES = (_measure("sdk", OPENAI), _measure("sdk-anthropic", ANTHROPIC), _measure("sdk-gemini", GEMINI))
"""One for each SDK."""
