"""The same question with a stream and without one: both make a span, so that they can be compared."""

from __future__ import annotations

from demo_model import demo_unless_key
from openai import OpenAI
from openai.types.chat import ChatCompletionUserMessageParam

import streamspan


def show(summary: streamspan.SessionSummary) -> None:
    kind = "streamed" if summary.is_stream else "not streamed"
    first = "" if summary.time_to_first_token is None else f", first token after {summary.time_to_first_token:.2f} s"
    print(f"{kind}: {summary.outcome}, whole answer after {summary.duration:.2f} s{first}")


streamspan.instrument(on_session_end=show)


def main(client: OpenAI) -> None:
    messages: list[ChatCompletionUserMessageParam] = [{"role": "user", "content": "Why is the sky blue?"}]
    answer = client.chat.completions.create(model="gpt-4o-mini", messages=messages)
    print(answer.choices[0].message.content)
    with client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True) as stream:
        for _ in stream:
            pass


if __name__ == "__main__":
    with demo_unless_key(), OpenAI() as client:
        main(client)
