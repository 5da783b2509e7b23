"""Mistral's surfaces that give a stream: OpenAI's wire format, handed out inside of events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from support.caller import Caller
from support.seen import TLS
from support.special import Special
from support.surface import Surface, stream_of

MODEL = "mistral-demo"
READ_LIMIT = 5.0
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]

# The package moved in version 2, and to httpx2 in version 3.
_HOME = "mistralai.client" if hasattr(import_module("mistralai.client"), "__path__") else "mistralai"
mistralai: Any = import_module(_HOME)
_events: Any = import_module(f"{_HOME}.utils.eventstreaming")
http: Any = _events.httpx
_NAME = http.__name__


class _Client:
    """The SDK's client, and the colour that its methods are called in; closed as other SDKs' clients are."""

    def __init__(self, caller: Caller, scenario: str) -> None:
        self.is_async = caller.is_async
        read = caller.options.get("read_timeout")
        self._http = (http.AsyncClient if caller.is_async else http.Client)(verify=TLS)
        self.sdk = mistralai.Mistral(
            api_key="key",
            server_url=caller.options.get("base_url") or caller.server.url(scenario, base=""),
            timeout_ms=round(1000 * (read or READ_LIMIT)),
            **{"async_client" if caller.is_async else "client": self._http},
        )

    def close(self) -> Any:
        return self._http.aclose() if self.is_async else self._http.close()


def _chat(client: _Client) -> Any:
    chat = client.sdk.chat
    return (chat.stream_async if client.is_async else chat.stream)(model=MODEL, messages=MESSAGES)


def _agents(client: _Client) -> Any:
    agents = client.sdk.agents
    return (agents.stream_async if client.is_async else agents.stream)(agent_id="agent-demo", messages=MESSAGES)


def _fim(client: _Client) -> Any:
    fim = client.sdk.fim
    return (fim.stream_async if client.is_async else fim.stream)(model=MODEL, prompt="def stream(")


def _response(entered: Any, _: Any) -> Any:
    return entered.response


def _unreadable() -> str:
    """Name what the SDK raises for what it cannot read; older versions leave it to pydantic."""
    for place in ("errors", "models"):
        found = (
            getattr(import_module(f"{_HOME}.{place}"), "ResponseValidationError", None)
            if find_spec(f"{_HOME}.{place}")
            else None
        )
        if found is not None:
            return f"{found.__module__}.{found.__qualname__}"
    return "pydantic_core._pydantic_core.ValidationError"


_UNREADABLE = _unreadable()
_ERRORS = {
    # What is no chunk of an answer the SDK cannot read, and it says no more than that.
    "error-event": _UNREADABLE,
    "garbage": _UNREADABLE,
    "connection-failed": f"{_NAME}.ReadError",
    "headers-timed-out": f"{_NAME}.ReadTimeout",
    "lost-connection": f"{_NAME}.RemoteProtocolError",
    "broken-read": f"{_NAME}.ReadError",
    "read-timed-out": f"{_NAME}.ReadTimeout",
    "status-400": "invalid_value",
    "status-401": "invalid_api_key",
    "status-404": "model_not_found",
    "status-429": "rate_limit_exceeded",
    "status-500": "server_error",
    "status-503": "overloaded",
}
_surface: Callable[..., Surface] = Surface
CHAT = _surface(
    name="chat",
    layer="mistralai",
    start=_chat,
    client=_Client,
    closer=stream_of if hasattr(_events.EventStream, "close") else _response,  # `close` came later than `with`
    bases=(_events.EventStream, _events.EventStreamAsync),
    model=MODEL,
    # Tool calls come whole from Mistral, and its SDK takes no pieces of them.
    finishes={"token-limit": ("length",), "two-choices": ("stop", "length")},
    errors=_ERRORS,
    resends=False,
    traits=frozenset({"items", "with", "server", "done", "create", "full"}),
)
AGENTS = replace(
    CHAT, name="agents", start=_agents, operation="invoke_agent", model=None, traits=CHAT.traits - {"full"}
)
FIM = replace(CHAT, name="fim", start=_fim, operation="text_completion", traits=CHAT.traits - {"full"})
SURFACES = (CHAT, FIM, AGENTS)


class _ClientOn(_Client):
    """The same on an HTTP client that somebody else has made."""

    def __init__(self, http_client: Any, url: str, is_async: bool) -> None:
        self.is_async = is_async
        self._http = http_client
        own = {"async_client" if is_async else "client": http_client}
        self.sdk = mistralai.Mistral(api_key="key", server_url=url, **own)


SPECIAL = (
    Special(
        surface=CHAT,
        held=(CHAT,),
        faulty=(CHAT,),
        refused=f"{_NAME}.ConnectError",
        markers=1,
        lost="completed",
        on=_ClientOn,
        http=http,
        unconnected=f"{_NAME}.ConnectTimeout",
    ),
)
