"""How a scene is played through the OpenAI SDK."""

from __future__ import annotations

from typing import Any

import openai

from streamspan.cli._scenes import QUESTION, Scene

BASE = "/v1"


def client(url: str, *, is_async: bool) -> Any:
    """Make a client."""
    return (openai.AsyncOpenAI if is_async else openai.OpenAI)(base_url=url, api_key="demo")


def warm_up(client: Any) -> None:
    """Import what the SDK imports at first use."""
    _ = client.chat.completions, client.responses


def ask(client: Any, scene: Scene, url: str, timeout: float | None) -> Any:
    """Make the call."""
    # A read that waits longer than the timeout is not retried once the stream has begun.
    client = client.with_options(base_url=url, **({} if timeout is None else {"timeout": timeout}))
    if scene.surface == "responses":
        return client.responses.create(model=scene.model, input=QUESTION, stream=scene.is_stream)
    return client.chat.completions.create(
        model=scene.model, messages=[{"role": "user", "content": QUESTION}], stream=scene.is_stream
    )
