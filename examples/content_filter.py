"""Filter an answer while it streams: mask what must not be shown, and stop at what must not be said at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from demo_model import demo_unless_key
from openai import OpenAI

import streamspan

streamspan.instrument(on_session_end=lambda session: print(f"\n({session.outcome}, {session.chunk_count} chunks)"))
MASKED, FORBIDDEN = re.compile(r"\bpromise\b"), re.compile(r"\bnaïve\b")


def filtered(pieces: Iterable[str]) -> Iterator[str]:
    """Yield whole words, because a chunk may end inside of one; end before the first forbidden one."""
    rest = ""
    for piece in pieces:
        ready, space, rest = (rest + piece).rpartition(" ")
        if FORBIDDEN.search(ready):
            return
        yield MASKED.sub("*****", ready) + space
    yield MASKED.sub("*****", rest)


def main(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "What is a stream?"}], stream=True
    ) as stream:  # leaving the block early closes the stream: it is `cancelled`, and no error
        for text in filtered(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices):
            print(text, end="", flush=True)


if __name__ == "__main__":
    with demo_unless_key(), OpenAI() as client:
        main(client)
