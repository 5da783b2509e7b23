"""Groq's surfaces that give a stream: OpenAI's wire format through a Stainless SDK on httpx."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import groq
import httpx

from support.caller import Caller
from support.seen import TLS
from support.special import Special
from support.surface import TIMEOUTS, Surface

MODEL = "llama-demo"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


def _client(caller: Caller, scenario: str) -> Any:
    """Make a client of the caller's colour."""
    http_client: Any = (groq.DefaultAsyncHttpxClient if caller.is_async else groq.DefaultHttpxClient)(verify=TLS)
    kind: Any = groq.AsyncGroq if caller.is_async else groq.Groq
    read = caller.options.get("read_timeout")
    timeout = httpx.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
    url = caller.options.get("base_url") or caller.server.url(scenario, base="")
    retries = caller.options.get("max_retries", 2)
    return kind(base_url=url, api_key="key", http_client=http_client, timeout=timeout, max_retries=retries)


_ERRORS = {
    "connection-failed": "groq.APIConnectionError",
    "headers-timed-out": "groq.APITimeoutError",
    "garbage": "json.decoder.JSONDecodeError",
    "error-event": "overloaded",
    "lost-connection": "httpx.RemoteProtocolError",
    "broken-read": "httpx.ReadError",
    "read-timed-out": "httpx.ReadTimeout",
    "status-400": "invalid_value",
    "status-401": "invalid_api_key",
    "status-404": "model_not_found",
    "status-429": "rate_limit_exceeded",
    "status-500": "server_error",
    "status-503": "overloaded",
}

CHAT = Surface(
    name="chat",
    layer="groq",
    start=lambda client: client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True),
    client=_client,
    bases=(groq.Stream, groq.AsyncStream),
    model=MODEL,
    finishes={"token-limit": ("length",), "tools": ("tool_calls",), "two-choices": ("stop", "length")},
    errors=_ERRORS,
    traits=frozenset({"items", "with", "server", "chat", "done", "create", "full"}),
)
RAW = replace(
    CHAT,
    name="chat-raw-parse",
    start=lambda client: client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True),
    view=lambda response: response.parse(),
    awaits_view=True,
    response=lambda response: response.http_response,
    traits=CHAT.traits - {"create", "full"},
)
SURFACES = (CHAT, RAW)


def _on(http_client: Any, url: str, is_async: bool) -> Any:
    return (groq.AsyncGroq if is_async else groq.Groq)(base_url=url, api_key="key", http_client=http_client)


SPECIAL = (
    Special(
        surface=CHAT,
        held=(CHAT, RAW),
        faulty=(CHAT,),
        refused="groq.APIConnectionError",
        markers=1,
        lost="completed",
        on=_on,
        http=httpx,
        unconnected="groq.APITimeoutError",
        resends_unconnected=True,
        unpooled="groq.APITimeoutError",
    ),
)
