"""Where the WebSocket examples get their model from: the vendor if there is a key, else the demo provider."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from google.genai import Client

from streamspan.demo import DemoProvider


@contextmanager
def realtime_url(model: str) -> Generator[str, None, None]:
    """Return the URL of a Realtime WebSocket: OpenAI's with OPENAI_API_KEY, else the demo provider's."""
    if "OPENAI_API_KEY" in os.environ:
        yield f"wss://api.openai.com/v1/realtime?model={model}"
        return
    os.environ.setdefault("STREAMSPAN_HOSTS", "127.0.0.1")  # the vendors' own are known
    with DemoProvider() as server:
        yield f"{server.url('slow;delay=0.005')}/realtime?model={model}".replace("http://", "ws://")


@contextmanager
def live_client() -> Generator[Client, None, None]:
    """Return a client for Gemini Live: Google's with GEMINI_API_KEY, else one that talks to the demo provider."""
    if "GEMINI_API_KEY" in os.environ:
        yield Client()
        return
    with DemoProvider() as server:
        client: Any = Client(api_key="demo")
        client._api_client._websocket_ssl_ctx = {}  # noqa: SLF001 - the SDK knows no WebSocket without TLS
        url = server.url("slow;delay=0.005", "").replace("http://", "ws://")
        client._api_client._websocket_base_url = lambda *_: url  # noqa: SLF001 # pyright: ignore[reportUnknownLambdaType]
        yield client
