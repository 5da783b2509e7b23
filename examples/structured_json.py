"""Read structured output from a stream: the JSON arrives in pieces and is parsed into a model at the end."""

from __future__ import annotations

from demo_model import demo_unless_key
from openai import OpenAI
from pydantic import BaseModel

import streamspan

streamspan.instrument()


class Weather(BaseModel):
    """What the model is asked to fill in."""

    city: str
    celsius: float
    is_raining: bool


def main(client: OpenAI) -> None:
    pieces = 0
    with client.chat.completions.stream(
        model="gpt-4o-mini",
        messages=[{"role": "user", "content": "Make up the weather of a city."}],
        response_format=Weather,
    ) as stream:
        for event in stream:
            pieces += event.type == "content.delta"
        weather = stream.get_final_completion().choices[0].message.parsed
    print(f"{pieces} pieces")
    print(f"parsed: {weather!r}")


if __name__ == "__main__":
    with demo_unless_key(), OpenAI() as client:
        main(client)
