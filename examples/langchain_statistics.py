"""What a streaming callback handler is written for, without one: the statistics of each stream, when it ends."""

from __future__ import annotations

from demo_model import demo_unless_key
from langchain_openai import ChatOpenAI

import streamspan
from streamspan import SessionSummary


def show(session: SessionSummary) -> None:
    """Take the summary of a finished stream; called once for each, off the path of its chunks."""
    print(f"\n  model             {session.response_model}")
    print(f"  first token       {session.time_to_first_token or 0:.2f} s")
    print(f"  total             {session.duration:.2f} s")
    print(f"  chunks            {session.chunk_count}")
    print(f"  throughput        {session.character_rate or 0:.0f} characters/s")
    print(f"  longest wait      {session.wait_max or 0:.3f} s")
    print(f"  tokens            {dict(session.usage) or 'not told by the provider'}")
    print(f"  ended             {session.outcome}")


streamspan.instrument(on_session_end=show)


def main() -> None:
    for chunk in ChatOpenAI(model="gpt-4o-mini", stream_usage=True).stream("What is a stream?"):
        print(chunk.content, end="", flush=True)


if __name__ == "__main__":
    with demo_unless_key():
        main()
