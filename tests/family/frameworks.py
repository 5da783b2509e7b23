"""Libraries that call an SDK, as data: how each starts a stream, reads some of it, and stops.

Knows the libraries. Imports them only when they are used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from streamspan.demo import DemoProvider

QUESTION = "What is a stream?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]


@dataclass(frozen=True, kw_only=True)
class Framework:
    """One way to a model through a library.

    Args:
        name: how the test is called.
        package: what must be installed.
        run: reads a stream to the end, or so many items of it and stops.
        layer, provider, model: as the span has them.
    """

    name: str
    package: str
    run: Callable[[DemoProvider, str, int | None], Awaitable[None]]
    layer: str
    provider: str
    model: str


def _litellm(model: str, base: str, *, is_async: bool) -> Callable[[DemoProvider, str, int | None], Awaitable[None]]:
    async def run(server: DemoProvider, scenario: str, most: int | None) -> None:
        import litellm  # noqa: PLC0415

        asked = {
            "model": model,
            "messages": MESSAGES,
            "stream": True,
            "api_base": server.url(scenario, base=base),
            "api_key": "key",
            "num_retries": 0,
            "max_retries": 0,
        }
        seen = 0
        if is_async:
            stream: Any = await litellm.acompletion(**asked)
            async for _ in stream:
                seen += 1
                if seen == most:
                    break
            if most is not None:
                await stream.aclose()
            return
        stream = litellm.completion(**asked)
        for _ in stream:
            seen += 1
            if seen == most:
                break

    return run


async def _agents(server: DemoProvider, scenario: str, most: int | None) -> None:
    import agents  # noqa: PLC0415
    import openai  # noqa: PLC0415

    agents.set_tracing_disabled(disabled=True)
    async with openai.AsyncOpenAI(base_url=server.url(scenario), api_key="key", max_retries=0) as client:
        model = agents.OpenAIResponsesModel("gpt-demo", client)
        result = agents.Runner.run_streamed(agents.Agent("demo", model=model), QUESTION)
        seen = 0
        async for event in result.stream_events():
            seen += event.type == "raw_response_event"
            if seen == most:
                result.cancel()
                break


@asynccontextmanager
async def _run_stream(server: DemoProvider, scenario: str) -> AsyncIterator[Any]:
    import openai  # noqa: PLC0415
    from pydantic_ai import Agent  # noqa: PLC0415
    from pydantic_ai.models.openai import OpenAIChatModel  # noqa: PLC0415
    from pydantic_ai.providers.openai import OpenAIProvider  # noqa: PLC0415

    async with openai.AsyncOpenAI(base_url=server.url(scenario), api_key="key", max_retries=0) as client:
        model = OpenAIChatModel("gpt-demo", provider=OpenAIProvider(openai_client=client))
        async with Agent(model).run_stream(QUESTION) as result:
            yield result


async def _pydantic_ai(server: DemoProvider, scenario: str, most: int | None) -> None:
    seen = 0
    async with _run_stream(server, scenario) as result:
        async for _ in result.stream_text(delta=True, debounce_by=None):
            seen += 1
            if seen == most:
                break


FRAMEWORKS = (
    *(
        Framework(
            name=f"litellm-{vendor}-{'async' if is_async else 'sync'}",
            package="litellm",
            run=_litellm(f"{vendor}/{model}", base, is_async=is_async),
            layer=layer,
            provider=provider,
            model=model,
        )
        for vendor, model, base, layer, provider in (
            ("openai", "gpt-demo", "/v1", "openai", "openai"),
            ("anthropic", "claude-demo", "", "httpx", "anthropic"),
            ("gemini", "gemini-demo", "/v1beta", "httpx", "gcp.gemini"),
        )
        for is_async in (False, True)
    ),
    Framework(name="openai-agents", package="agents", run=_agents, layer="openai", provider="openai", model="gpt-demo"),
    Framework(
        name="pydantic-ai", package="pydantic_ai", run=_pydantic_ai, layer="openai", provider="openai", model="gpt-demo"
    ),
)
