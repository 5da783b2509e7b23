"""Two ways to stop a stream early: a flag that another thread sets, and a limit of chunks. Neither is an error."""

from __future__ import annotations

import threading

from demo_model import demo_unless_key
from openai import OpenAI

import streamspan

streamspan.instrument()


def read(client: OpenAI, stop: threading.Event, most: int | None = None) -> int:
    """Read a stream until the flag is set or `most` chunks are there; leaving the block closes the stream."""
    count = 0
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Tell me a long story."}], stream=True
    ) as stream:
        for _ in stream:
            count += 1
            if stop.is_set() or count == most:
                break
    return count


def main(client: OpenAI) -> None:
    button = threading.Event()
    threading.Timer(0.5, button.set).start()
    print("stopped by the flag after", read(client, button), "chunks")
    print("stopped by the limit after", read(client, threading.Event(), most=5), "chunks")


if __name__ == "__main__":
    with demo_unless_key("slow;delay=0.05"), OpenAI() as client:
        main(client)
