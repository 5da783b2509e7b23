"""One request and the whole body of its streamed answer, by each HTTP library that is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

Fetch = Callable[..., bytes]


def _sync_httpx(name: str) -> Fetch:
    def fetch(method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        with import_module(name).Client() as client, client.stream(method, url, json=body) as response:
            return b"".join(response.iter_raw())

    return fetch


def _async_httpx(name: str) -> Fetch:
    def fetch(method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
        async def main() -> bytes:
            async with import_module(name).AsyncClient() as client, client.stream(method, url, json=body) as response:
                return b"".join([piece async for piece in response.aiter_raw()])

        return asyncio.run(main())

    return fetch


def _requests(method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
    requests = import_module("requests")
    with requests.Session() as session, session.request(method, url, json=body, stream=True) as response:
        return b"".join(response.iter_content(chunk_size=None))


def _aiohttp(method: str, url: str, body: Mapping[str, Any] | None = None) -> bytes:
    async def main() -> bytes:
        async with (
            import_module("aiohttp").ClientSession() as session,
            session.request(method, url, json=body) as response,
        ):
            return b"".join([piece async for piece in response.content.iter_any()])

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
