"""Read two streams with httpx, without an SDK: one to its end, and one that the caller closes early."""

from __future__ import annotations

import json
import os
from collections.abc import Generator

import httpx
from demo_model import demo_unless_key

import streamspan

streamspan.instrument()


def ask(client: httpx.Client, question: str) -> Generator[str, None, None]:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}], "stream": True}
    with client.stream("POST", "/chat/completions", json=body, timeout=60) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line.removeprefix("data: "))["choices"]:
                    yield choice["delta"].get("content") or ""


if __name__ == "__main__":
    with demo_unless_key():
        url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}) as client:
            print("".join(ask(client, "What is a stream?")))
            pieces = ask(client, "And what is a long one?")
            print("stopped after:", "".join(next(pieces) for _ in range(6)))
            pieces.close()
