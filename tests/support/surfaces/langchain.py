"""LangChain's surfaces over a vendor's SDK, as data: generators, for which nothing is sent before the first read.

The vendor's session is the only one, so each expects what its vendor's own surface expects.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from functools import partial
from typing import Any

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI

from support.caller import Caller
from support.surface import Surface
from support.surfaces import openai as vendor

QUESTION = "What is a stream?"
# LangChain's own would differ from run to run, and it is the id of every chunk.
RUN: dict[str, Any] = {"run_id": uuid.UUID(int=1)}


class Model:
    """A model and the client below it, which the test closes."""

    def __init__(self, model: Any, client: Any) -> None:
        self.model, self.close = model, client.close


def openai_model(caller: Caller, scenario: str, **more: Any) -> Model:
    """Make a ChatOpenAI over a client of the caller's colour."""
    client = vendor.openai_client(caller, scenario)
    name = "http_async_client" if caller.is_async else "http_client"
    model = ChatOpenAI(
        model=vendor.MODEL,
        base_url=str(client.base_url),
        api_key="key",  # type: ignore[arg-type] # a string is taken for a secret
        max_retries=client.max_retries,
        timeout=client.timeout,
        **{name: client._client},
        **more,
    )
    return Model(model, client)


def _is_chunk(item: Any) -> int:
    """Count what comes from the wire: LangChain adds an empty chunk at the end, unless the model has marked its own."""
    return int(getattr(item, "chunk_position", None) != "last" or bool(item.response_metadata))


def _is_chunk_event(event: Any) -> int:
    return int(event["event"] == "on_chat_model_stream" and _is_chunk(event["data"]["chunk"]))


def _stream(runnable: Any, asked: Any, *, is_async: bool) -> Any:
    return (runnable.astream if is_async else runnable.stream)(asked, config=RUN)


def _is_async(held: Model) -> bool:
    return held.model.http_async_client is not None


def _chain(held: Model) -> Any:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    return _stream(prompt | held.model | StrOutputParser(), {"question": QUESTION}, is_async=_is_async(held))


_surface = partial(
    Surface,
    layer="openai",
    client=openai_model,
    awaits_start=False,
    response=None,
    bases=(Generator, AsyncGenerator),
    model=vendor.MODEL,
    finishes=vendor.CHAT.finishes,
    errors=vendor.CHAT.errors,
)

# `ChatOpenAI` waits for each chunk with `asyncio.wait_for`.
_WAITS = frozenset({"wait-for"}) if sys.version_info < (3, 12) else frozenset[str]()
STREAM = _surface(
    name="langchain-stream",
    start=lambda held: _stream(held.model, QUESTION, is_async=_is_async(held)),
    weight=_is_chunk,
    traits=frozenset({"items", "server", "chat", "done", "lazy", "generator", "swallows", "full"}) | _WAITS,
)
# A chain that is closed reads its model's stream to the end, and leaves the generators in it to asyncio's finalizers.
CHAIN = replace(
    STREAM,
    name="langchain-chain",
    start=_chain,
    weight=lambda _: 1,
    traits=STREAM.traits - {"full"} | {"drains", "noisy"},
)
EVENTS = replace(
    STREAM,
    name="langchain-events-v2",
    start=lambda held: held.model.astream_events(QUESTION, version="v2", config=RUN),
    weight=_is_chunk_event,
    traits=STREAM.traits - {"full"} | {"async", "own-task"},
)
SURFACES = (STREAM, CHAIN, EVENTS)
