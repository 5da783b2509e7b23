"""A LangChain chat, streamed and not: each call of the model is one span, which says what LangChain calls the run."""

from __future__ import annotations

from demo_model import demo_unless_key
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

import streamspan

streamspan.instrument(
    on_session_end=lambda session: print(f"\n({session.layer} {session.outcome}, stream: {session.is_stream})")
)


def main() -> None:
    model = ChatOpenAI(model="gpt-4o-mini").with_config(run_name="tutor", tags=["demo"])
    print(model.invoke("What is a stream?").content, end="")

    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")])
    chain = prompt | model | StrOutputParser()
    for text in chain.stream({"question": "What is a stream?"}):
        print(text, end="", flush=True)


if __name__ == "__main__":
    with demo_unless_key():
        main()
