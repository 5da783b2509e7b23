"""A chat with history: one line of input is one turn, and the spans of a chat share its conversation id."""

from __future__ import annotations

import sys
from uuid import uuid4

from demo_model import demo_unless_key
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

import streamspan

streamspan.instrument()


def turn(client: OpenAI, history: list[ChatCompletionMessageParam]) -> str:
    words: list[str] = []
    with client.chat.completions.create(model="gpt-4o-mini", messages=history, stream=True) as stream:
        for chunk in stream:
            if chunk.choices and (text := chunk.choices[0].delta.content):
                words.append(text)
                print(text, end="", flush=True)
    return "".join(words)


def main() -> None:
    history: list[ChatCompletionMessageParam] = []
    print("Ask something; an empty line ends the chat.")
    with OpenAI() as client, streamspan.session(f"chat-{uuid4()}"):
        while question := sys.stdin.readline().strip():
            history.append({"role": "user", "content": question})
            history.append({"role": "assistant", "content": turn(client, history)})
            print(f"\n({len(history)} messages)")


if __name__ == "__main__":
    with demo_unless_key():
        main()
