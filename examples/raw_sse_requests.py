"""Read a stream with requests and sseclient-py, without an SDK: it is recorded all the same."""

from __future__ import annotations

import json
import os
from typing import Any

import requests
import sseclient
from demo_model import demo_unless_key

import streamspan

streamspan.instrument()


def ask(session: requests.Session, question: str) -> None:
    body: Any = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": question}], "stream": True}
    url = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1") + "/chat/completions"
    headers = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    with session.post(url, json=body, headers=headers, stream=True, timeout=60) as response:
        response.raise_for_status()
        pieces: Any = response  # what it asks for is what a response is: an iterable of bytes with `close`
        for event in sseclient.SSEClient(pieces).events():
            if event.data != "[DONE]":
                for choice in json.loads(event.data)["choices"]:
                    print(choice["delta"].get("content") or "", end="", flush=True)
    print()


if __name__ == "__main__":
    with demo_unless_key(), requests.Session() as session:
        ask(session, "What is a stream?")
