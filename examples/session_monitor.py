"""Statistics of every stream as it ends, without a line in the code that reads it."""

from __future__ import annotations

from demo_model import demo_unless_key
from openai import APIError, OpenAI

import streamspan


def show(summary: streamspan.SessionSummary) -> None:
    first, rate = summary.time_to_first_token, summary.character_rate
    print(
        f"session {summary.session_id}:",
        f"ttft {'-' if first is None else f'{first:.2f} s'}, total {summary.duration:.2f} s,",
        f"throughput {'-' if rate is None else f'{rate:.0f} characters/s'}, {summary.chunk_count} chunks,",
        f"error {summary.error_type or 'none'}, cancelled {summary.cancel_reason or 'no'}",
    )


def ask(client: OpenAI, most: int | None) -> None:
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": "Why is the sky blue?"}], stream=True
    ) as stream:
        for number, _ in enumerate(stream, start=1):
            if number == most:
                break


if __name__ == "__main__":
    streamspan.instrument(on_session_end=show)
    with demo_unless_key("late") as play:
        for number, scenario, most in ((1, "late", None), (2, "slow", 5), (3, "error_event", None), (4, "short", None)):
            play(scenario)
            try:
                with streamspan.session(f"session_{number}"), OpenAI() as client:
                    ask(client, most)
            except APIError as exc:
                print(f"the application sees {type(exc).__name__}")
