"""An application that streams with the openai SDK; all that it knows of telemetry is one call.

    python application.py PLAN REPORT

The plan says what to call and what to do with each stream; the report says what the application saw, and what
`on_session_end` told it. Knows nothing of the tests: it runs alone, also under other starters.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import hashlib
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from operator import attrgetter
from pathlib import Path
from typing import Any

import openai

_AT_ONCE = 6
_TAKEN = 3
_left_open: list[Any] = []


class AppError(Exception):
    """The application's own trouble while it reads."""


class Call:
    """What the application sees of one call."""

    def __init__(self) -> None:
        self.items = 0
        self.raised: list[str] | None = None
        self._digest = hashlib.sha256()

    def take(self, item: Any) -> bool:
        """Take what came out of the stream; tell whether it was the last one that is wanted of a stream cut short."""
        self.items += 1
        data = item if isinstance(item, bytes) else item.encode() if isinstance(item, str) else _dump(item)
        self._digest.update(b"%d:%b" % (len(data), data))
        return self.items == _TAKEN

    def failed(self, exc: BaseException) -> None:
        """Take an exception."""
        self.raised = [type(exc).__name__, str(exc)]

    def seen(self) -> dict[str, Any]:
        """Return it as plain data; equal when every item was."""
        return {"items": self.items, "raised": self.raised, "digest": self._digest.hexdigest()}


def _dump(item: Any) -> bytes:
    text: str = item.model_dump_json(warnings="none")
    return text.encode()


def client_of(job: dict[str, Any], http: Any, *, is_async: bool) -> Any:
    """Make the client that a job asks for."""
    common = {
        "api_key": job["api_key"],
        "http_client": http,
        "max_retries": job["retries"],
        "timeout": job["timeout"],
        "default_headers": job["headers"],
        "default_query": job["query"],
    }
    if job["is_azure"]:
        azure: Any = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return azure(azure_endpoint=job["url"], api_version="2025-01-01", **common)
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=job["url"], **common)


def view_of(job: dict[str, Any], entered: Any) -> Any:
    """Return what is iterated over."""
    return attrgetter(job["view"])(entered)() if job["view"] else entered


# --- sync ------------------------------------------------------------------------------------------------------------


def play(job: dict[str, Any], http: Any) -> dict[str, Any]:
    """Make a call, and do with its stream what the job says."""
    call = Call()
    try:
        made = attrgetter(job["call"])(client_of(job, http, is_async=False))(**job["arguments"])
        if job["is_manager"]:
            with made as entered:
                _ACTS[job["act"]](view_of(job, entered), call)
        else:
            _ACTS[job["act"]](made, call)
            del made
            gc.collect(0)
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what the application sees
        call.failed(exc)
    return call.seen()


def _read(stream: Any, call: Call) -> None:
    for item in stream:
        call.take(item)


def _whole(answer: Any, call: Call) -> None:
    call.take(answer)


def _take(stream: Any, call: Call) -> None:
    for item in stream:
        if call.take(item):
            return


def _close(stream: Any, call: Call) -> None:
    _take(stream, call)
    stream.close()


def _leave(stream: Any, call: Call) -> None:
    with stream:
        _take(stream, call)


def _raise(stream: Any, call: Call) -> None:
    with stream:
        _take(stream, call)
        raise AppError


def _keep(stream: Any, call: Call) -> None:
    iterator = iter(stream)
    for _ in range(_TAKEN):
        call.take(next(iterator))
    _left_open.extend((stream, iterator))


_ACTS: dict[str, Callable[[Any, Call], None]] = {
    "read": _read,
    "whole": _whole,
    "close": _close,
    "leave": _leave,
    "drop": _take,
    "raise": _raise,
    "keep": _keep,
}


# --- async -----------------------------------------------------------------------------------------------------------


async def play_async(job: dict[str, Any], http: Any) -> dict[str, Any]:
    """Make a call, and do with its stream what the job says."""
    call = Call()
    try:
        made = attrgetter(job["call"])(client_of(job, http, is_async=True))(**job["arguments"])
        if job["is_manager"]:
            async with made as entered:
                await _ASYNC_ACTS[job["act"]](view_of(job, entered), call)
        else:
            stream = await made
            await _ASYNC_ACTS[job["act"]](stream, call)
            del made, stream
            gc.collect(0)
    except Exception as exc:  # noqa: BLE001 - as above
        call.failed(exc)
    return call.seen()


async def _read_async(stream: Any, call: Call) -> None:
    async for item in stream:
        call.take(item)


async def _whole_async(answer: Any, call: Call) -> None:
    call.take(answer)


async def _take_async(stream: Any, call: Call) -> None:
    async for item in stream:
        if call.take(item):
            return


async def _close_async(stream: Any, call: Call) -> None:
    await _take_async(stream, call)
    await stream.close()


async def _leave_async(stream: Any, call: Call) -> None:
    async with stream:
        await _take_async(stream, call)


async def _raise_async(stream: Any, call: Call) -> None:
    async with stream:
        await _take_async(stream, call)
        raise AppError


async def _cancel_async(stream: Any, call: Call) -> None:
    are_taken = asyncio.Event()

    async def read() -> None:
        async for item in stream:
            if call.take(item):
                are_taken.set()

    task = asyncio.create_task(read())
    await are_taken.wait()
    task.cancel()
    await asyncio.wait([task])


_ASYNC_ACTS: dict[str, Callable[[Any, Call], Any]] = {
    "read": _read_async,
    "whole": _whole_async,
    "close": _close_async,
    "leave": _leave_async,
    "drop": _take_async,
    "raise": _raise_async,
    "cancel": _cancel_async,
}


# --- the application -------------------------------------------------------------------------------------------------


async def play_all_async(jobs: dict[str, Any], calls: dict[str, Any]) -> None:
    """Play all jobs, some at once."""
    places = asyncio.Semaphore(_AT_ONCE)

    async with openai.DefaultAsyncHttpxClient() as http:

        async def one(name: str, job: dict[str, Any]) -> None:
            async with places:
                calls[name] = await play_async(job, http)

        await asyncio.gather(*(one(name, job) for name, job in jobs.items()))
        gc.collect()


def write(report: dict[str, Any], out: Path) -> None:
    """Write the report, with the time at which everything else of the exit was over."""
    report["left_ns"] = time.monotonic_ns()
    out.write_text(json.dumps(report), encoding="utf-8")


def main() -> None:
    """Play the plan."""
    plan, out = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path(sys.argv[2])
    report: dict[str, Any] = {"calls": {"sync": {}, "async": {}}, "summaries": []}
    # Exit hooks run last in, first out: this one after those of `instrument()`.
    atexit.register(write, report, out)
    if plan["is_instrumented"]:
        import streamspan  # noqa: PLC0415 - the application may know nothing of it

        streamspan.instrument(on_session_end=lambda summary: report["summaries"].append(asdict(summary)))
    http = openai.DefaultHttpxClient()
    for name, job in plan["sync"].items():
        report["calls"]["sync"][name] = play(job, http)
    gc.collect()
    if plan["async"]:
        asyncio.run(play_all_async(plan["async"], report["calls"]["async"]))
    report["ended_ns"] = time.monotonic_ns()


if __name__ == "__main__":
    main()
