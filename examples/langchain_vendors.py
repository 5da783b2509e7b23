"""OpenAI, Anthropic and Gemini through LangChain, as far as they are installed: three wire formats, one kind of span."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import streamspan
from streamspan.demo import DemoProvider

streamspan.instrument(
    on_session_end=lambda session: print(
        f"\n({session.provider} {session.model}: {session.chunk_count} chunks, "
        f"first token after {session.time_to_first_token or 0:.2f} s, {session.outcome})"
    )
)
# Package, class, model, and where its API begins; without the loopback provider an API key is all that is needed.
MODELS = (
    ("langchain_openai", "ChatOpenAI", "gpt-4o-mini", "/v1"),
    ("langchain_anthropic", "ChatAnthropic", "claude-haiku-4-5", ""),
    ("langchain_google_genai", "ChatGoogleGenerativeAI", "gemini-2.5-flash", "/"),
)


def main(server: DemoProvider) -> None:
    for package, name, model, base in MODELS:
        if find_spec(package) is not None:
            chat: Any = getattr(import_module(package), name)
            for chunk in chat(model=model, api_key="demo", base_url=server.url("slow", base=base)).stream("Hello!"):
                print(chunk.text if isinstance(chunk.text, str) else chunk.text(), end="", flush=True)


if __name__ == "__main__":
    with DemoProvider() as provider:
        main(provider)
