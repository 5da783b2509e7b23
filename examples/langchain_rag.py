"""Retrieval-augmented generation with LangChain: the answer is a stream, and its span is inside the application's own."""

from __future__ import annotations

from collections import Counter

from demo_model import demo_unless_key
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_openai import ChatOpenAI
from opentelemetry import trace

import streamspan

streamspan.instrument(on_session_end=lambda session: print(f"\n({session.chunk_count} chunks, {session.outcome})"))
FACTS = ("A stream is read piece by piece.", "A span has a start and an end.", "A metric is a number over time.")
PROMPT = ChatPromptTemplate.from_template("Answer from this: {fact}\n\nQuestion: {question}")


def embed(text: str) -> Counter[str]:
    """Stand in for an embedding model: count the words."""
    return Counter(text.lower().strip(".?").split())


def retrieve(question: str) -> dict[str, str]:
    return {"question": question, "fact": max(FACTS, key=lambda fact: (embed(fact) & embed(question)).total())}


def main() -> None:
    chain = RunnableLambda(retrieve) | PROMPT | ChatOpenAI(model="gpt-4o-mini") | StrOutputParser()
    with trace.get_tracer("app").start_as_current_span("answer a question"):
        for text in chain.stream("What is a stream?"):
            print(text, end="", flush=True)


if __name__ == "__main__":
    with demo_unless_key():
        main()
