"""Retries around a whole async stream: each attempt is a stream of its own, with its own span and its own ending."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from demo_model import demo_unless_key
from openai import APIConnectionError, AsyncOpenAI
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_exponential

import streamspan

streamspan.instrument(on_session_end=lambda summary: print(f"{summary.outcome} after {summary.chunk_count} chunks"))


async def ask() -> str:
    async with (
        AsyncOpenAI() as client,
        await client.responses.create(model="gpt-4o-mini", input="Why is the sky blue?", stream=True) as stream,
    ):
        return "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])


async def main(mend: Callable[[], None]) -> None:
    attempts = AsyncRetrying(
        retry=retry_if_exception_type(APIConnectionError),
        stop=stop_after_attempt(3),
        wait=wait_exponential(0.1),
        before_sleep=lambda _: mend(),
        reraise=True,
    )
    print(await attempts(ask))


if __name__ == "__main__":
    with demo_unless_key("rst") as play:
        asyncio.run(main(lambda: play("ok")))  # the demo's line is cut in the middle, and good again afterwards
