"""Say whose streams these are: every span inside the block carries the ids, also in threads that copy the context."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context

from demo_model import demo_unless_key
from openai import OpenAI

import streamspan

streamspan.instrument(on_session_end=lambda summary: print(summary.session_id, summary.user_id, summary.outcome))


def ask(client: OpenAI, question: str) -> None:
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
    ) as stream:
        for _ in stream:
            pass


def main(client: OpenAI) -> None:
    with streamspan.session("session_123", user_id="u1", plan="pro"), ThreadPoolExecutor() as pool:
        ask(client, "Why is the sky blue?")
        pool.submit(copy_context().run, ask, client, "Why is grass green?").result()
    ask(client, "Whose question is this?")


if __name__ == "__main__":
    with demo_unless_key("ok"), OpenAI() as client:
        main(client)
