"""LangChain models over the loopback provider, with clients that the test closes."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from langchain_openai import ChatOpenAI

from streamspan.demo import DemoProvider
from support.openai_sdk import http
from support.seen import TLS


class Models:
    """Makes models, and closes their clients; LangChain's own would be shared by all event loops."""

    def __init__(self, server: DemoProvider) -> None:
        self.server = server
        self.clients: list[Any] = []
        self.async_clients: list[Any] = []

    def __call__(self, scenario: str = "ok;chunks=4", **more: Any) -> ChatOpenAI:
        client, async_client = http.Client(verify=TLS), http.AsyncClient(verify=TLS)
        self.clients.append(client)
        self.async_clients.append(async_client)
        settings: dict[str, Any] = {"base_url": self.server.url(scenario), "model": "gpt-demo", "api_key": "key"} | more
        return ChatOpenAI(max_retries=0, http_client=client, http_async_client=async_client, **settings)

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine in an event loop, whose connections are closed in it."""

        async def run() -> Any:
            try:
                return await coroutine
            finally:
                for client in self.async_clients:
                    await client.aclose()

        return asyncio.run(run())
