"""Ollama's surfaces that give a stream: generators over lines of JSON."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from typing import Any

import httpx
import ollama

from support.caller import Caller
from support.seen import TLS
from support.special import Special
from support.surface import TIMEOUTS, Surface

MODEL = "llama-demo"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


class _Client:
    """The SDK's client; closed as other SDKs' clients are."""

    def __init__(self, caller: Caller, scenario: str) -> None:
        read = caller.options.get("read_timeout")
        timeout = httpx.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
        host = caller.options.get("base_url") or caller.server.url(scenario, base="")
        kind: Any = ollama.AsyncClient if caller.is_async else ollama.Client
        self.sdk = kind(host=host, timeout=timeout, verify=TLS)
        self._http = self.sdk._client

    def close(self) -> Any:
        return self._http.aclose() if hasattr(self._http, "aclose") else self._http.close()


CHAT = Surface(
    name="chat",
    layer="ollama",
    start=lambda client: client.sdk.chat(model=MODEL, messages=MESSAGES, stream=True),
    client=_Client,
    response=None,
    bases=(Generator, AsyncGenerator),
    model=MODEL,
    finishes={"token-limit": ("length",), "tools": ("stop",)},
    errors={
        "connection-failed": "httpx.ReadError",
        "headers-timed-out": "httpx.ReadTimeout",
        "garbage": "json.decoder.JSONDecodeError",
        "error-event": "ollama._types.ResponseError",
        "lost-connection": "httpx.RemoteProtocolError",
        "broken-read": "httpx.ReadError",
        "read-timed-out": "httpx.ReadTimeout",
        **{f"status-{status}": str(status) for status in (400, 401, 404, 429, 500, 503)},
    },
    resends=False,
    traits=frozenset({"items", "server", "lazy", "generator", "full"}),
)
GENERATE = replace(
    CHAT,
    name="generate",
    start=lambda client: client.sdk.generate(model=MODEL, prompt="What is a stream?", stream=True),
    operation="text_completion",
    traits=CHAT.traits - {"full"},
)
SURFACES = (CHAT, GENERATE)


def _line(payload: str) -> bytes:
    return f"{payload.strip()}\n".encode()


SPECIAL = (
    Special(
        surface=CHAT,
        held=(CHAT,),
        faulty=(CHAT,),
        refused="httpx.ConnectError",
        frame=_line,
        content_type="application/x-ndjson",
    ),
)
