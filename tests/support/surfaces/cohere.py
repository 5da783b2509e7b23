"""Cohere's surfaces that give a stream: generators of typed events."""

from __future__ import annotations

import warnings
from collections.abc import AsyncGenerator, Generator
from importlib import import_module
from typing import Any

import httpx

from support.caller import Caller
from support.seen import TLS
from support.special import Special
from support.surface import TIMEOUTS, Surface

with warnings.catch_warnings():  # older versions use what pydantic has deprecated
    warnings.simplefilter("ignore")
    import cohere

MODEL = "command-demo"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


# What it cannot read, the SDK hands out since it has a parser of events; before, it left it out.
_TAKES_ALL = hasattr(import_module("cohere.core.pydantic_utilities"), "parse_sse_obj")


def _is_handed_out(payload: str) -> bool:
    return _TAKES_ALL or payload != "{not json}"


class _Client:
    """The SDK's client; closed as other SDKs' clients are."""

    def __init__(self, caller: Caller, scenario: str) -> None:
        read = caller.options.get("read_timeout")
        timeout = httpx.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
        kind: Any = httpx.AsyncClient if caller.is_async else httpx.Client
        self._http = kind(verify=TLS, timeout=timeout)
        self.sdk: Any = (cohere.AsyncClientV2 if caller.is_async else cohere.ClientV2)(
            api_key="key",
            base_url=caller.options.get("base_url") or caller.server.url(scenario, base=""),
            timeout=read or TIMEOUTS["read"],
            httpx_client=self._http,
        )

    def close(self) -> Any:
        return self._http.aclose() if hasattr(self._http, "aclose") else self._http.close()


CHAT = Surface(
    name="chat",
    layer="cohere",
    start=lambda client: client.sdk.chat_stream(model=MODEL, messages=MESSAGES),
    client=_Client,
    awaits_start=False,
    response=None,
    bases=(Generator, AsyncGenerator),
    model=MODEL,
    finish=("COMPLETE",),
    finishes={"token-limit": ("MAX_TOKENS",), "tools": ("TOOL_CALL",)},
    errors={
        "connection-failed": "httpx.ReadError",
        "headers-timed-out": "httpx.ReadTimeout",
        "error-event": "ERROR",
        "lost-connection": "httpx.RemoteProtocolError",
        "broken-read": "httpx.ReadError",
        "read-timed-out": "httpx.ReadTimeout",
        **{f"status-{status}": str(status) for status in (400, 401, 404, 429, 500, 503)},
    },
    resends=False,
    hands_out=_is_handed_out,
    traits=frozenset({"items", "server", "lazy", "generator", "full", "interactions", "hands-out-garbage"}),
)
SURFACES = (CHAT,)


class _ClientOn(_Client):
    """The same on an HTTP client that somebody else has made."""

    def __init__(self, http_client: Any, url: str, is_async: bool) -> None:
        self._http = http_client
        kind: Any = cohere.AsyncClientV2 if is_async else cohere.ClientV2
        self.sdk = kind(api_key="key", base_url=url, httpx_client=http_client)


SPECIAL = (
    Special(
        surface=CHAT,
        held=(CHAT,),
        faulty=(CHAT,),
        refused="httpx.ConnectError",
        on=_ClientOn,
        http=httpx,
        unconnected="httpx.ConnectTimeout",
    ),
)
