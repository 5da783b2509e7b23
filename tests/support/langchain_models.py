"""LangChain's models over the loopback provider, of every vendor, with clients that the test closes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from streamspan.demo import DemoProvider
from support.seen import TLS


class Made(NamedTuple):
    """A model, and how its clients of both colours are closed; LangChain's own would be shared by all event loops."""

    chat: Any
    close: Callable[[], None]
    aclose: Callable[[], Awaitable[None]]


def _openai(server: DemoProvider, scenario: str, more: Mapping[str, Any]) -> Made:
    http: Any = import_module("support.openai_sdk").http
    client, async_client = http.Client(verify=TLS), http.AsyncClient(verify=TLS)
    settings: dict[str, Any] = {"base_url": server.url(scenario), "api_key": "key", "max_retries": 0} | dict(more)
    chat = import_module("langchain_openai").ChatOpenAI
    return Made(chat(http_client=client, http_async_client=async_client, **settings), client.close, async_client.aclose)


def _anthropic(server: DemoProvider, scenario: str, more: Mapping[str, Any]) -> Made:
    """`ChatAnthropic` takes no client, and keeps its own in cached properties."""
    sdk, chat = import_module("anthropic"), import_module("langchain_anthropic").ChatAnthropic
    settings: dict[str, Any] = {"base_url": server.url(scenario, base=""), "api_key": "key", "max_retries": 0}
    client = sdk.Anthropic(http_client=sdk.DefaultHttpxClient(verify=TLS), **settings)
    async_client = sdk.AsyncAnthropic(http_client=sdk.DefaultAsyncHttpxClient(verify=TLS), **settings)
    made = chat(**settings, **more)
    made.__dict__.update(_client=client, _async_client=async_client)
    return Made(made, client.close, async_client.close)


def _google(server: DemoProvider, scenario: str, more: Mapping[str, Any]) -> Made:
    chat = import_module("langchain_google_genai").ChatGoogleGenerativeAI
    settings: dict[str, Any] = {"google_api_key": "key", "max_retries": 1, "client_args": {"verify": TLS}}
    made = chat(base_url=server.url(scenario, base="/"), **settings, **more)
    return Made(made, made.client.close, made.client.aio.aclose)


@dataclass(frozen=True)
class Vendor:
    """What LangChain has a model of.

    Args:
        package: LangChain's package for it.
        layer: who owns the sessions.
        model, finish: as the span of a complete stream has them.
        make: makes a model, given the server, a scenario and settings.
    """

    package: str
    layer: str
    model: str
    finish: str
    make: Callable[[DemoProvider, str, Mapping[str, Any]], Made]


OPENAI = Vendor("langchain_openai", "openai", "gpt-demo", "stop", _openai)
ANTHROPIC = Vendor("langchain_anthropic", "anthropic", "claude-demo", "end_turn", _anthropic)
GOOGLE = Vendor("langchain_google_genai", "google_genai", "gemini-demo", "STOP", _google)
VENDORS = [each for each in (OPENAI, ANTHROPIC, GOOGLE) if find_spec(each.package) is not None]
"""Those whose packages are installed."""


class Models:
    """Makes models of a vendor, and closes their clients."""

    def __init__(self, server: DemoProvider, vendor: Vendor = OPENAI) -> None:
        self.server, self.vendor = server, vendor
        self._made: list[Made] = []

    def __call__(self, scenario: str = "ok;chunks=4", **more: Any) -> Any:
        made = self.vendor.make(self.server, scenario, {"model": self.vendor.model} | more)
        self._made.append(made)
        return made.chat

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in an event loop, whose connections are closed in it."""

        async def run() -> Any:
            try:
                return await coroutine
            finally:
                for each in self._made:
                    await each.aclose()

        return asyncio.run(run())

    def close(self) -> None:
        """Close the clients of the sync colour."""
        for each in self._made:
            each.close()
