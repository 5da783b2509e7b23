"""One line, and every stream is recorded."""

from __future__ import annotations

from demo_model import demo_unless_key
from openai import OpenAI

import streamspan

streamspan.instrument()


def main(client: OpenAI) -> None:
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Why is the sky blue?"}], stream=True
    ) as stream:
        for chunk in stream:
            if chunk.choices:
                print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()


if __name__ == "__main__":
    with demo_unless_key(), OpenAI() as client:
        main(client)
