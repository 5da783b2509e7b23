"""LangChain's ways to a stream, as surfaces over any vendor's SDK: `stream`, a chain, and events of version 2 and 3.

Nothing is sent before the first read. The vendor's session is the only one, so each surface expects what the vendor's
own expects.
"""

from __future__ import annotations

import asyncio
import uuid
import warnings
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from support.clocked import Clocked
from support.shapes import Shape
from support.surface import Surface, same, stream_of

QUESTION = "What is a stream?"
# LangChain's own would differ from run to run, and it is the id of every chunk.
RUN: dict[str, Any] = {"run_id": uuid.UUID(int=1)}
HAS_VERSION_3 = hasattr(BaseChatModel, "stream_events")
"""From langchain-core 1.4 on."""


async def _say_once_async(model: BaseChatModel) -> None:
    await model.astream_events("", version="v3")


def _say_once() -> None:
    """Let LangChain say what it says of experimental features, and only the first time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GenericFakeChatModel(messages=iter(()))
        model.stream_events("", version="v3")
        asyncio.run(_say_once_async(model))


if HAS_VERSION_3:
    _say_once()


MakeModel: TypeAlias = Callable[[Any, bool], Any]


class Model:
    """A model and the client below it, which the test closes."""

    def __init__(self, model: Any, close: Callable[[], Any], *, is_async: bool) -> None:
        self.model, self.close, self.is_async = model, close, is_async

    @staticmethod
    def over(client: Any, make: MakeModel, *, is_async: bool) -> Model:
        """Make a model over a vendor's client."""
        return Model(make(client, is_async), client.close, is_async=is_async)

    def stream(self, runnable: Any, asked: Any) -> Any:
        """Return a runnable's stream in the caller's colour."""
        return (runnable.astream if self.is_async else runnable.stream)(asked, config=RUN)


def _chain(held: Model) -> Any:
    prompt = ChatPromptTemplate.from_messages([("human", "{question}")])
    return held.stream(prompt | held.model | StrOutputParser(), {"question": QUESTION})


@dataclass(frozen=True)
class Pace:
    """How many events of the wire are there when LangChain hands something out.

    Args:
        opening: before the first text.
        text: with each text, the first one at least.
    """

    opening: int
    text: int = 1

    def of_chunk(self, item: Any) -> int:
        """Count a message: LangChain adds an empty one at the end, unless the model has marked its own."""
        is_langchains = getattr(item, "chunk_position", None) == "last" and not item.response_metadata
        return 0 if is_langchains else self.of_text(item.content)

    def of_text(self, item: str) -> int:
        """Count what a parser makes of a message."""
        return self.text if item else 1

    def of_event(self, event: Any) -> int:
        """Count an event of version 2."""
        return self.of_chunk(event["data"]["chunk"]) if event["event"] == "on_chat_model_stream" else 0

    def of_protocol(self, event: Any) -> int:
        """Count an event of version 3; the last ones come when the stream has been read to its end."""
        return {"message-start": self.opening, "content-block-delta": self.text, "content-block-finish": 1}.get(
            event["event"], 0
        )


def surfaces(
    vendor: Surface, model: MakeModel, pace: Pace, traits: frozenset[str] = frozenset()
) -> tuple[Surface, ...]:
    """Return LangChain's surfaces over a vendor's own: `stream`, a chain, and events.

    Args:
        vendor: the vendor's own surface.
        model: makes LangChain's model, given the vendor's client and the colour.
        pace: what its items stand for.
        traits: beside the vendor's.
    """
    stream = replace(
        vendor,
        name="langchain-stream",
        client=lambda caller, scenario: Model.over(vendor.client(caller, scenario), model, is_async=caller.is_async),
        start=lambda held: held.stream(held.model, QUESTION),
        awaits_start=False,
        view=same,
        closer=stream_of,
        response=None,
        bases=(Generator, AsyncGenerator),
        weight=pace.of_chunk,
        traits=(vendor.traits - {"with"}) | {"lazy", "generator"} | traits,
    )
    # A chain that is closed reads its model's stream to the end, and leaves the generators in it to asyncio's finalizers.
    chain = replace(
        stream,
        name="langchain-chain",
        start=_chain,
        weight=pace.of_text,
        traits=stream.traits | {"drains", "noisy"},
    )
    events = replace(
        stream,
        name="langchain-events-v2",
        start=lambda held: held.model.astream_events(QUESTION, version="v2", config=RUN),
        weight=pace.of_event,
        traits=stream.traits | {"async", "own-task"},
    )
    # Of version 3, the stream that is read is no generator, and cannot be closed in the sync colour.
    stream_events = replace(
        stream,
        name="langchain-stream-events-v3",
        start=lambda held: held.model.stream_events(QUESTION, version="v3", config=RUN),
        bases=(),
        weight=pace.of_protocol,
        traits=stream.traits | {"sync", "no-close"},
    )
    # In the async colour LangChain reads in a task of its own, which goes on without its reader.
    astream_events = replace(
        stream_events,
        name="langchain-astream-events-v3",
        start=lambda held: held.model.astream_events(QUESTION, version="v3", config=RUN),
        awaits_start=True,
        traits=stream.traits | {"async", "own-task", "detached"},
    )
    protocol = (stream_events, astream_events) if HAS_VERSION_3 else ()
    return stream, chain, events, *protocol


def shapes(vendor: Surface, of_vendor: Iterable[Shape], stream: Surface) -> tuple[Shape, ...]:
    """Return the shapes that are tried on the vendor's own surface."""
    return tuple(each._replace(surfaces=(stream,)) for each in of_vendor if vendor in each.surfaces)


def clocked(of_vendor: Clocked, model: MakeModel, stream: Surface, *ways: Surface) -> Clocked:
    """Return the vendor's clocks for LangChain's stream; what is there at once must be one event in the ways."""

    def client(http_client: Any, is_async: bool) -> Model:
        return Model.over(of_vendor.client(http_client, is_async), model, is_async=is_async)

    return replace(of_vendor, surface=stream, ways=ways, client=client)
