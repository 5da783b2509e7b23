"""WebSockets: client and server in one process, on a connection that is no model's and on one that is.

CPU per message of both ends together, so that what a server would pay is in it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import Callable
from typing import Any

from benchmarks import subjects
from benchmarks.records import Measure, Row, Sample, Samples, Sizes, added, ratio

_PATHS = {"other": "/chat", "model": "/v1/realtime?model=bench-1"}
_ASK = json.dumps({"type": "response.create"})
_CREATED = json.dumps({"type": "response.created", "response": {"id": "resp_bench"}})
_DELTA = json.dumps(
    {"type": "response.output_text.delta", "response_id": "resp_bench", "item_id": "item_bench", "delta": "a word "}
)
_DONE = json.dumps({"type": "response.done", "response": {"id": "resp_bench", "status": "completed"}})


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    if subject != subjects.BARE:
        from streamspan import HostPattern  # noqa: PLC0415 - the bare subject must not import it

        subjects.streamspan(hosts=(HostPattern("127.0.0.1", "/v1/realtime"),), chunk_metric=False)
    return lambda: asyncio.run(_both(sizes["messages"]))


async def _both(count: int) -> Sample:
    from websockets.asyncio.server import serve  # noqa: PLC0415 - the parent process has no packages

    async def answer(socket: Any) -> None:
        await socket.recv()
        await socket.send(_CREATED)
        for _ in range(count):
            await socket.send(_DELTA)
        await socket.send(_DONE)
        await socket.wait_closed()

    async with serve(answer, "127.0.0.1", 0, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        return {name: await _cost(f"ws://127.0.0.1:{port}{path}", count) for name, path in _PATHS.items()}


async def _cost(url: str, count: int) -> float:
    from websockets.asyncio.client import connect  # noqa: PLC0415

    async with connect(url, compression=None) as socket:
        gc.collect()
        started = time.process_time_ns()
        await socket.send(_ASK)
        for _ in range(count + 2):
            await socket.recv()
        return (time.process_time_ns() - started) / count


def _rows(samples: Samples) -> list[Row]:
    title = "Message of a WebSocket, both ends"
    return [
        Row(
            measure=title,
            what=f"{subjects.NO_GAP}, {what}: added",
            unit="µs",
            figure=added(samples, subjects.NO_GAP, key, 1e-3),
            ratio=ratio(samples, subjects.NO_GAP, key).median,
        )
        for key, what in (("other", "no model's connection"), ("model", "a model's"))
    ]


MEASURE = Measure(
    name="sockets",
    subjects=(subjects.BARE, subjects.NO_GAP),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 51, "messages": 2000},
    quick={"rounds": 15, "messages": 2000},
)
