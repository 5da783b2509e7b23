"""How a scene is played through google-genai."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from google.genai import Client, types

from streamspan.cli._scenes import QUESTION, Scene

# With its slash: the SDK takes what follows a semicolon in the last segment for parameters of the whole path.
BASE = "/"


def client(url: str, *, is_async: bool) -> Any:
    """Make a client."""
    return _async_client(url) if is_async else _client(url)


def _client(url: str) -> Client:
    return Client(api_key="demo", http_options=types.HttpOptions(base_url=url))


@asynccontextmanager
async def _async_client(url: str) -> AsyncGenerator[Any, None]:
    whole = _client(url)  # the asynchronous one is a part of it, and does not keep it
    async with whole.aio as client:
        yield client


def warm_up(client: Any) -> None:
    """Import what the SDK imports at first use."""
    _ = client.models


def ask(client: Any, scene: Scene, url: str, timeout: float | None) -> Any:
    """Make the call."""
    options = types.HttpOptions(base_url=url, timeout=None if timeout is None else int(timeout * 1000))
    call = client.models.generate_content_stream if scene.is_stream else client.models.generate_content
    return call(model=scene.model, contents=QUESTION, config=types.GenerateContentConfig(http_options=options))
