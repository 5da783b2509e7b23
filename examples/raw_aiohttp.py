"""Read three streams at the same time with aiohttp, without an SDK."""

from __future__ import annotations

import asyncio
import json
import os

import aiohttp
from demo_model import demo_unless_key

import streamspan

streamspan.instrument()


async def ask(session: aiohttp.ClientSession, question: str) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}], "stream": True}
    url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"
    answer = ""
    async with session.post(url, json=body, raise_for_status=True) as response:
        async for line in response.content:
            if line.startswith(b"data: {"):
                for choice in json.loads(line.removeprefix(b"data: "))["choices"]:
                    answer += choice["delta"].get("content") or ""
    print(f"{question}  {len(answer)} characters")


async def main() -> None:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}) as session:
        await asyncio.gather(*(ask(session, question) for question in ("Why?", "How?", "When?")))


if __name__ == "__main__":
    with demo_unless_key():
        asyncio.run(main())
