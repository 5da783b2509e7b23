"""One request and the body of its streamed answer, by each HTTP library that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

Fetch = Callable[..., bytes]


@dataclass(frozen=True, kw_only=True)
class How:
    """How the body is read.

    Args:
        timeout: for each read.
        is_decoded: httpx and httpx2 undo the content coding, as the other libraries always do.
        is_kept: the pieces are returned; else they are let go of.
    """

    timeout: float = 10.0
    is_decoded: bool = False
    is_kept: bool = True

    @property
    def reader(self) -> str:
        """The reader of httpx and httpx2."""
        return "iter_bytes" if self.is_decoded else "iter_raw"


def _sync_httpx(name: str) -> Fetch:
    def fetch(method: str, url: str, body: Mapping[str, Any] | None = None, **how: Any) -> bytes:
        asked = How(**how)
        with (
            import_module(name).Client(timeout=asked.timeout) as client,
            client.stream(method, url, json=body) as response,
        ):
            return b"".join(piece for piece in getattr(response, asked.reader)() if asked.is_kept)

    return fetch


def _async_httpx(name: str) -> Fetch:
    async def main(method: str, url: str, body: Mapping[str, Any] | None, asked: How) -> bytes:
        async with (
            import_module(name).AsyncClient(timeout=asked.timeout) as client,
            client.stream(method, url, json=body) as response,
        ):
            return b"".join([piece async for piece in getattr(response, f"a{asked.reader}")() if asked.is_kept])

    def fetch(method: str, url: str, body: Mapping[str, Any] | None = None, **how: Any) -> bytes:
        return asyncio.run(main(method, url, body, How(**how)))

    return fetch


def _requests(method: str, url: str, body: Mapping[str, Any] | None = None, **how: Any) -> bytes:
    requests, asked = import_module("requests"), How(**how)
    with (
        requests.Session() as session,
        session.request(method, url, json=body, stream=True, timeout=asked.timeout) as response,
    ):
        return b"".join(piece for piece in response.iter_content(chunk_size=None) if asked.is_kept)


def _aiohttp(method: str, url: str, body: Mapping[str, Any] | None = None, **how: Any) -> bytes:
    aiohttp, asked = import_module("aiohttp"), How(**how)

    async def main() -> bytes:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(sock_read=asked.timeout)) as session,
            session.request(method, url, json=body) as response,
        ):
            return b"".join([piece async for piece in response.content.iter_any() if asked.is_kept])

    return asyncio.run(main())


_ALL: dict[str, tuple[str, Fetch]] = {
    "httpx": ("httpx", _sync_httpx("httpx")),
    "httpx-async": ("httpx", _async_httpx("httpx")),
    "httpx2": ("httpx2", _sync_httpx("httpx2")),
    "httpx2-async": ("httpx2", _async_httpx("httpx2")),
    "requests": ("requests", _requests),
    "aiohttp": ("aiohttp", _aiohttp),
}
CLIENTS: dict[str, tuple[str, Fetch]] = {
    name: (library, fetch) for name, (library, fetch) in _ALL.items() if find_spec(library) is not None
}
"""Name to the library, which is the layer of its sessions, and to what fetches."""
