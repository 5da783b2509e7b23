"""What traffic that is no model stream pays: ordinary JSON calls, downloads and other event streams, by HTTP library."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks import subjects, traffic
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, added, figure

_TITLE = "Traffic that is no model stream, through {} from memory"
_KINDS = {
    "json": "JSON call",
    "download": f"download of {traffic.PIECES} pieces",
    "events": f"other event stream of {traffic.PIECES} pieces",
}
_LIBRARIES = {
    "httpx2": traffic.through_httpx2,
    "requests": traffic.through_requests,
    "aiohttp": traffic.through_aiohttp,
}


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    subjects.SUBJECTS[subject]()
    work = {f"{name} {kind}": each for name, make in _LIBRARIES.items() for kind, each in make().items()}
    for each in work.values():
        each(20)
    return lambda: {name: _cost(each, sizes["calls"]) for name, each in work.items()}


def _cost(work: traffic.Work, calls: int) -> float:
    started = time.process_time_ns()
    work(calls)
    return (time.process_time_ns() - started) / calls


def _rows(samples: Samples) -> list[Row]:
    rows = []
    for name in _LIBRARIES:
        title = _TITLE.format(name)
        for kind, what in _KINDS.items():
            bare = figure(samples, subjects.BARE, f"{name} {kind}", 1e-3)
            rows.append(Row(measure=title, what=f"{what}: bare", unit="µs", figure=bare))
            more = added(samples, subjects.FULL, f"{name} {kind}", 1e-3)
            rows.append(Row(measure=title, what=f"{what}: added", unit="µs", figure=more))
    return rows


MEASURE = Measure(
    name="untouched",
    subjects=(subjects.BARE, subjects.FULL),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 21, "calls": 300},
    quick={"rounds": 5, "calls": 100},
)
