"""What traffic that is no model stream pays: ordinary JSON calls, downloads and other event streams, through httpx2.

Out of memory and not over a socket, so that what is added is not lost in the noise of the network.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import subjects
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, added, figure

_TITLE = "Traffic that is no model stream, through httpx2 from memory"
_KINDS = {"json": "JSON call", "download": "download of 64 pieces", "events": "other event stream of 64 pieces"}
_PIECES = 64


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    import httpx2  # noqa: PLC0415 - the parent process has no HTTP library

    subjects.SUBJECTS[subject]()
    client = httpx2.Client(transport=httpx2.MockTransport(_answer(httpx2)), base_url="http://127.0.0.1:9")

    def json_call() -> None:
        client.post("/tasks", json={"name": "one"}).json()

    def streamed(path: str) -> Callable[[], None]:
        def read() -> None:
            with client.stream("GET", path) as response:
                for _ in response.iter_raw():
                    pass

        return read

    work = {"json": json_call, "download": streamed("/file"), "events": streamed("/events")}
    for each in (*work.values(),) * 20:
        each()
    return lambda: {name: _cost(each, sizes["calls"]) for name, each in work.items()}


def _answer(http: Any) -> Callable[[Any], Any]:
    class Body(http.SyncByteStream):  # type: ignore[misc] # of a module that is known at run time
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"data: x\n\n"] * _PIECES)

    types = {"/file": "application/octet-stream", "/events": "text/event-stream"}

    def answer(request: Any) -> Any:
        kind = types.get(request.url.path)
        if kind is None:
            return http.Response(200, json={"answer": 42})
        return http.Response(200, headers={"content-type": kind}, stream=Body())

    return answer


def _cost(work: Callable[[], None], calls: int) -> float:
    started = time.process_time_ns()
    for _ in range(calls):
        work()
    return (time.process_time_ns() - started) / calls


def _rows(samples: Samples) -> list[Row]:
    rows = []
    for key, what in _KINDS.items():
        bare = figure(samples, subjects.BARE, key, 1e-3)
        rows.append(Row(measure=_TITLE, what=f"{what}: bare", unit="µs", figure=bare))
        more = added(samples, subjects.FULL, key, 1e-3)
        rows.append(Row(measure=_TITLE, what=f"{what}: added", unit="µs", figure=more))
    return rows


MEASURE = Measure(
    name="untouched",
    subjects=(subjects.BARE, subjects.FULL),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 21, "calls": 300},
    quick={"rounds": 5, "calls": 100},
)
