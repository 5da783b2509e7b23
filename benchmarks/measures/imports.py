"""What it takes to import streamspan, and to call `instrument()`, in a fresh interpreter."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable

from benchmarks import subjects
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, figure

_TITLE = "Import and start"
_BUDGET_MS = 50.0
_API = ("opentelemetry.trace", "opentelemetry.metrics", "opentelemetry._logs", "opentelemetry.context")


def _prepare(_: str, __: Sizes) -> Callable[[], Sample]:
    return _sample


def _sample() -> Sample:
    for name in _API:
        importlib.import_module(name)
    start = time.perf_counter_ns()
    import streamspan  # noqa: PLC0415 - this is what is measured

    imported = time.perf_counter_ns()
    instrument = streamspan.instrument  # the package is lazy: the first use imports what it needs
    used = time.perf_counter_ns()
    importlib.import_module("openai")
    arguments = subjects.telemetry()
    before = time.perf_counter_ns()
    instrument(**arguments)
    done = time.perf_counter_ns()
    return {"import": imported - start, "use": used - start, "instrument": done - before}


def _rows(samples: Samples) -> list[Row]:
    def row(key: str, what: str, limit: float | None = None) -> Row:
        took = figure(samples, subjects.FULL, key, 1e-6)
        return Row(measure=_TITLE, what=what, unit="ms", figure=took, limit=limit)

    return [
        row("import", "import streamspan, over opentelemetry-api", _BUDGET_MS),
        row("use", "import and first use of streamspan.instrument", _BUDGET_MS),
        row("instrument", "instrument(), the OpenAI SDK being imported"),
    ]


MEASURE = Measure(
    name="import",
    subjects=(subjects.FULL,),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 9},
    quick={"rounds": 3},
    is_fresh=True,
)
