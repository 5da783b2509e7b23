"""Record what was said, with secrets taken out before anything leaves the process. Content is off by default."""

from __future__ import annotations

import re

from demo_model import demo_unless_key
from openai import OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import streamspan

spans = InMemorySpanExporter()  # an application has its own exporter here
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
streamspan.instrument(
    tracer_provider=provider,
    config=streamspan.Config(capture_content="SPAN_ONLY"),
    redact=lambda text: re.sub(r"ACME-\d+", "[customer]", text),
)


def main(client: OpenAI) -> None:
    question = "I am customer ACME-4711, jane@example.com, card 4111 1111 1111 1111. Why is the sky blue?"
    with client.chat.completions.create(
        model="gpt-4o-mini", messages=[{"role": "user", "content": question}], stream=True
    ) as stream:
        for _ in stream:
            pass
    for name, value in (spans.get_finished_spans()[0].attributes or {}).items():
        if name.endswith(".messages"):
            print(f"{name}: {value!r}")


if __name__ == "__main__":
    with demo_unless_key("ok"), OpenAI() as client:
        main(client)
