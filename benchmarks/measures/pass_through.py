"""What a call that is no model call pays for being patched: `Client.send` of httpx2 with nothing behind it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from benchmarks import subjects
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    import httpx2  # noqa: PLC0415 - the parent process has no SDK
    import openai  # noqa: F401, PLC0415 - its presence brings the patches of the HTTP layer below it

    def send(_self: object, _request: object) -> None:
        return None

    class Bare:
        send: Callable[..., None]

    subjects.SUBJECTS[subject]()
    patched = httpx2.Client.__dict__["send"]

    class Patched:
        send: Callable[..., None]

    Bare.send = send
    # The same wrapper around a function that does nothing, so that only the way through is measured.
    Patched.send = type(patched)(send, patched._self_wrapper)  # noqa: SLF001 - wrapt's name for it
    return lambda: {"bare": _cost(Bare(), sizes["calls"]), "patched": _cost(Patched(), sizes["calls"])}


def _cost(client: Any, calls: int) -> float:
    started = time.process_time_ns()
    for _ in range(calls):
        client.send(None)
    return (time.process_time_ns() - started) / calls


def _rows(samples: Samples) -> list[Row]:
    more = Figure.of([sample["patched"] - sample["bare"] for sample in samples[subjects.FULL]])
    return [Row(measure="Calls that are not recorded", what="Client.send, sync: added", unit="ns", figure=more)]


MEASURE = Measure(
    name="pass-through",
    subjects=(subjects.FULL,),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 51, "calls": 5000},
    quick={"rounds": 11, "calls": 1000},
)
