"""Stop a LangChain stream early: by a flag that another thread sets, and after a number of chunks."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import closing
from typing import Any, cast

from demo_model import demo_unless_key
from langchain_openai import ChatOpenAI

import streamspan

streamspan.instrument(on_session_end=lambda session: print(f"{session.outcome} ({session.cancel_reason})"))


def read(model: ChatOpenAI, stop: threading.Event, limit: int) -> int:
    count = 0
    stream = cast("Generator[Any]", model.stream("Tell me a long story."))
    with closing(stream):  # the connection is closed here, and not when the garbage is collected
        for count, _ in enumerate(stream, start=1):
            if stop.is_set() or count == limit:
                break
    return count


def main() -> None:
    model, stop = ChatOpenAI(model="gpt-4o-mini"), threading.Event()
    print(f"by the limit after {read(model, stop, limit=5)} chunks")
    threading.Timer(0.3, stop.set).start()
    print(f"by the flag after {read(model, stop, limit=1000)} chunks")


if __name__ == "__main__":
    with demo_unless_key("slow;chunks=500"):
        main()
