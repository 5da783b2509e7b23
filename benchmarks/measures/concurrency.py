"""Many concurrent streams on one event loop: throughput over that of the bare SDK."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from typing import Any

from benchmarks import subjects
from benchmarks.records import Figure, Measure, Row, Sample, Samples, Sizes, figure, ratio
from benchmarks.streams import MESSAGES, long_answer, provider

_FLOORS = {subjects.FULL: 90.0, subjects.LEAN: 95.0}
_FILES = 8192


def _prepare(subject: str, sizes: Sizes) -> Callable[[], Sample]:
    _allow_files()
    subjects.SUBJECTS[subject]()
    url = provider()
    return lambda: asyncio.run(_throughput(url, sizes))


def _allow_files() -> None:
    """Raise the limit of open files as far as is allowed and needed; the provider inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def _throughput(url: str, sizes: Sizes) -> Sample:
    import httpx2  # noqa: PLC0415 - the parent process has no SDK
    import openai  # noqa: PLC0415

    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    async with (
        openai.DefaultAsyncHttpxClient(limits=limits, timeout=300) as http,
        openai.AsyncOpenAI(base_url=long_answer(url, sizes["chunks"]), api_key="none", http_client=http) as client,
    ):
        started, cpu = time.perf_counter(), time.process_time()
        chunks = sum(await asyncio.gather(*(_read(client) for _ in range(sizes["streams"]))))
        return {
            "throughput": chunks / (time.perf_counter() - started),
            "per_cpu_second": chunks / (time.process_time() - cpu),
        }


async def _read(client: Any) -> int:
    chunks = 0
    async for _ in await client.chat.completions.create(model="bench-1", messages=MESSAGES, stream=True):
        chunks += 1
    return chunks


def _rows(samples: Samples) -> list[Row]:
    title = "Throughput of concurrent async streams"
    rows = [Row(measure=title, what="bare SDK", unit="chunks/s", figure=figure(samples, subjects.BARE, "throughput"))]
    for subject in samples:
        if subject == subjects.BARE:
            continue
        wall = _percent(ratio(samples, subject, "throughput"))
        cpu = _percent(ratio(samples, subject, "per_cpu_second"))
        what = f"{subject}: of the bare SDK's"
        rows.append(Row(measure=title, what=what, unit="%", figure=wall, limit=_FLOORS.get(subject), is_floor=True))
        rows.append(Row(measure=title, what=f"{what}, per second of CPU", unit="%", figure=cpu))
    return rows


def _percent(value: Figure) -> Figure:
    return Figure(value.median * 100, value.low * 100, value.high * 100, value.runs)


MEASURE = Measure(
    name="concurrency",
    subjects=(subjects.BARE, subjects.FULL, subjects.LEAN, subjects.OTHER),
    prepare=_prepare,
    rows=_rows,
    sizes={"rounds": 4, "streams": 1000, "chunks": 30},
    quick={"rounds": 2, "streams": 50, "chunks": 30},
)
