"""Three streams at the same time in one event loop: one span each, under the span of the request that they serve."""

from __future__ import annotations

import asyncio

from demo_model import demo_unless_key
from openai import AsyncOpenAI
from opentelemetry import trace

import streamspan

streamspan.instrument()


async def answer(client: AsyncOpenAI, question: str) -> int:
    async with await client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
    ) as stream:
        return sum([len(chunk.choices[0].delta.content or "") async for chunk in stream if chunk.choices])


async def main() -> None:
    questions = ("Why is the sky blue?", "Why is grass green?", "Why is snow white?")
    with trace.get_tracer("example").start_as_current_span("three questions"):
        async with AsyncOpenAI() as client:
            lengths = await asyncio.gather(*(answer(client, question) for question in questions))
    for question, length in zip(questions, lengths, strict=True):
        print(f"{question}  {length} characters")


if __name__ == "__main__":
    with demo_unless_key():
        asyncio.run(main())
