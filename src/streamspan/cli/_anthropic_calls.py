"""How a scene is played through the Anthropic SDK."""

from __future__ import annotations

from typing import Any

import anthropic

from streamspan.cli._scenes import QUESTION, Scene

BASE = ""


def client(url: str, *, is_async: bool) -> Any:
    """Make a client."""
    return (anthropic.AsyncAnthropic if is_async else anthropic.Anthropic)(base_url=url, api_key="demo")


def warm_up(client: Any) -> None:
    """Import what the SDK imports at first use."""
    _ = client.messages


def ask(client: Any, scene: Scene, url: str, timeout: float | None) -> Any:
    """Make the call."""
    client = client.with_options(base_url=url, **({} if timeout is None else {"timeout": timeout}))
    return client.messages.create(
        model=scene.model,
        max_tokens=1024,
        messages=[{"role": "user", "content": QUESTION}],
        stream=scene.is_stream,
    )
