"""Reading one raw stream with requests and with aiohttp, in a way that the test chooses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from support.played import ASKED
from support.telemetry import Told


def with_requests(read: Callable[[Any], Any], url: str, **options: Any) -> Any:
    """Return what `read` makes of the response; `hooks` are its response hooks."""
    requests = pytest.importorskip("requests")
    with requests.Session() as session:
        session.hooks["response"].extend(options.pop("hooks", ()))
        with session.post(url, json=options.pop("body", ASKED), stream=True, timeout=10) as response:
            return read(response)


def with_aiohttp(read: Callable[[Any], Any], url: str, *, body: Any = ASKED, **options: Any) -> Any:
    """Return what `read` makes of the response; the options are the session's."""
    aiohttp = pytest.importorskip("aiohttp")

    async def main() -> Any:
        async with aiohttp.ClientSession(**options) as session, session.post(url, json=body) as response:
            return await read(response)

    return asyncio.run(main())


def seen(told: Told) -> tuple[str, int]:
    """Return how the only session ended, and how many chunks it had."""
    return told.summary.outcome, told.summary.chunk_count
