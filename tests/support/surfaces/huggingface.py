"""The surfaces of Hugging Face's InferenceClient that give a stream: generators of OpenAI's chunks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from typing import Any

import huggingface_hub
from huggingface_hub import AsyncInferenceClient, InferenceClient

from support.caller import Caller
from support.surface import TIMEOUTS, Surface

MODEL = "demo/llama"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


def _client(caller: Caller, scenario: str) -> Any:
    """Make a client of the caller's colour, on connections of its own."""
    huggingface_hub.close_session()
    kind: Any = AsyncInferenceClient if caller.is_async else InferenceClient
    url = caller.options.get("base_url") or caller.server.url(scenario)
    return kind(base_url=url, api_key="key", timeout=caller.options.get("read_timeout") or TIMEOUTS["read"])


CHAT = Surface(
    name="chat",
    layer="huggingface_hub",
    start=lambda client: client.chat_completion(MESSAGES, model=MODEL, stream=True),
    client=_client,
    response=None,
    bases=(Generator, AsyncGenerator),
    model=MODEL,
    finishes={"token-limit": ("length",), "tools": ("tool_calls",), "two-choices": ("stop", "length")},
    errors={
        "connection-failed": "httpx.ReadError",
        "headers-timed-out": "httpx.ReadTimeout",
        "error-event": "huggingface_hub.errors.UnknownError",
        "garbage": "json.decoder.JSONDecodeError",
        "lost-connection": "httpx.RemoteProtocolError",
        "broken-read": "httpx.ReadError",
        "read-timed-out": "httpx.ReadTimeout",
        **{f"status-{status}": str(status) for status in (400, 401, 404, 429, 500, 503)},
    },
    resends=False,
    traits=frozenset({"items", "server", "done", "create", "generator", "full", "exit-stack", "one-line"}),
)
CREATE = replace(
    CHAT,
    name="chat-completions-create",
    start=lambda client: client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True),
    traits=CHAT.traits - {"full"},
)
# Before version 1 it is on requests and aiohttp, which is not supported; others' packages bring it.
SURFACES = (CHAT, CREATE) if int(huggingface_hub.__version__.split(".")[0]) >= 1 else ()
