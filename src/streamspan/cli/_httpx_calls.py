"""How a scene is played without any SDK: through httpx, or its fork httpx2, as far as there is a stream to read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from streamspan.cli._scenes import QUESTION, Scene

BASE = "/v1"

_http: Any = import_module("httpx" if find_spec("httpx") is not None else "httpx2")


def client(url: str, *, is_async: bool) -> Any:
    """Make a client."""
    return (_http.AsyncClient if is_async else _http.Client)(base_url=url)


def warm_up(client: Any) -> None:
    """Import what is imported at first use: nothing."""


def ask(client: Any, scene: Scene, url: str, timeout: float | None) -> Any:
    """Make the call."""
    body: dict[str, Any] = {"model": scene.model, "stream": True}
    if scene.surface == "responses":
        path, body["input"] = "/responses", QUESTION
    else:
        path, body["messages"] = "/chat/completions", [{"role": "user", "content": QUESTION}]
        body["stream_options"] = {"include_usage": True}
    request = client.build_request("POST", f"{url}{path}", json=body, timeout=timeout or 60.0)
    if isinstance(client, _http.AsyncClient):
        return _aask(client, request)
    return _Events(client.send(request, stream=True))


async def _aask(client: Any, request: Any) -> Any:
    return _AsyncEvents(await client.send(request, stream=True))


class _Events:
    """The events of a response, one `data:` line each."""

    def __init__(self, response: Any) -> None:
        self._response = response
        response.raise_for_status()

    def __iter__(self) -> Iterator[str]:
        return (line for line in self._response.iter_lines() if line.startswith("data:"))

    def close(self) -> None:
        self._response.close()


class _AsyncEvents:
    """The same, asynchronously."""

    def __init__(self, response: Any) -> None:
        self._response = response
        response.raise_for_status()

    async def __aiter__(self) -> AsyncIterator[str]:
        async for line in self._response.aiter_lines():
            if line.startswith("data:"):
                yield line
