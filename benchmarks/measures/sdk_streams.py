"""Whole streams through the OpenAI SDK: CPU per chunk and per stream, time to the first chunk, memory of the process."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import subjects
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, added, figure, ratio
from benchmarks.streams import MESSAGES, body, client_of_memory, long_answer, provider, read

_ALL = (
    subjects.BARE,
    subjects.FULL,
    subjects.NO_GAP,
    subjects.LEAN,
    subjects.UNSAMPLED,
    subjects.OTHER,
)


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    import openai  # noqa: PLC0415 - the parent process has no SDK

    subjects.SUBJECTS[subject]()
    url = provider()
    memory, short = client_of_memory(body(sizes["chunks"])), client_of_memory(body(2))
    loopback = openai.OpenAI(base_url=long_answer(url, sizes["chunks"]), api_key="none")
    nearby = openai.OpenAI(base_url=f"{url}/ok/v1", api_key="none")
    for client in (short, nearby) * 5:
        read(client)
    grown = _growth(client_of_memory(body(sizes["long"])))

    def sample() -> Sample:
        return {
            "memory": _cpu_per_chunk(memory),
            "rss": grown,
            "loopback": _cpu_per_chunk(loopback),
            "stream": _cpu(lambda: [read(short) for _ in range(sizes["streams"])])[0] / sizes["streams"],
            "first": median(_first_chunk(nearby) for _ in range(sizes["firsts"])),
        }

    return sample


def _growth(client: Any) -> float:
    """Return the KiB by which reading one long stream makes the process grow at its peak."""
    before = _peak_kib()
    read(client)
    return _peak_kib() - before


def _cpu(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time_ns()
    result = work()
    return time.process_time_ns() - started, result


def _cpu_per_chunk(client: Any) -> float:
    cost, chunks = _cpu(lambda: read(client))
    return cost / float(chunks)


def _peak_kib() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 if sys.platform == "darwin" else float(peak)


def _first_chunk(client: Any) -> float:
    started = time.perf_counter_ns()
    with client.chat.completions.create(model="bench-1", messages=MESSAGES, stream=True) as stream:
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


def _rows(samples: Samples) -> list[Row]:
    return [
        *_group(samples, "CPU per chunk through the SDK, from memory", "memory", "µs", 1e-3),
        *_group(samples, "CPU per chunk through the SDK, over loopback", "loopback", "µs", 1e-3),
        *_group(samples, "CPU per stream of 2 chunks through the SDK", "stream", "µs", 1e-3),
        *_group(samples, "Time to the first chunk, loopback", "first", "ms", 1e-6),
        *_peaks(samples),
    ]


def _peaks(samples: Samples) -> list[Row]:
    title = "Growth of the process over one long stream"
    return [
        Row(measure=title, what=subject, unit="KiB", figure=figure(samples, subject, "rss"))
        for subject in (subjects.BARE, subjects.FULL, subjects.OTHER)
        if subject in samples
    ]


MEASURE = Measure(
    name="sdk",
    subjects=_ALL,
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 21, "long": 20_000, "chunks": 2000, "streams": 25, "firsts": 9},
    quick={"rounds": 3, "long": 2000, "chunks": 500, "streams": 10, "firsts": 5},
)
