"""Gemini's generators: nothing before the first read, and one session for all the requests that a call comes to."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

import streamspan
from streamspan.demo import DemoProvider
from support.telemetry import Told
from support.twice import drive

pytest.importorskip("google.genai")

from google.genai import errors, types

from support.caller import Caller
from support.shown import shown
from support.surface import Surface
from support.surfaces.gemini import CONTEXTS, MODEL, QUESTION, VERSION, gemini_client

_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_HANDS_OUT_ALL = pytest.mark.skipif(VERSION < (3,), reason="google-genai keeps the first answer to itself before 3.0")


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


class Calls:
    """Makes one call in either colour, with a client of its own.

    Args:
        server: who answers.
        scenario: what is answered.
        is_async: the colour.
    """

    def __init__(self, server: DemoProvider, scenario: str, *, is_async: bool) -> None:
        self._caller = Caller(server, is_async=is_async, ended_spans=None)
        self._scenario = scenario

    def run(self, use: Any) -> Any:
        """Run `use(client, self)`."""

        async def life() -> Any:
            client = gemini_client(self._caller, self._scenario)
            try:
                return await use(client, self)
            finally:
                await self.wait(client.close())

        return asyncio.run(life()) if self._caller.is_async else drive(life())

    async def wait(self, value: Any) -> Any:
        """Return the value, or what it is awaited for."""
        return await self._caller.wait(value)

    async def read(self, made: Any) -> list[Any]:
        """Read a stream to its end."""
        stream = await self.wait(made)
        return [item async for item in stream] if self._caller.is_async else list(stream)


def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    assert not trace.get_current_span().get_span_context().is_valid  # the application's code: no span of ours
    return f"sunny in {city}"


get_weather.__annotations__.update(city=str)  # older versions of the SDK cannot read an annotation that is text
_WITH_FUNCTION = types.GenerateContentConfig(tools=[get_weather])


def _hops(told: Told) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in told.events("streamspan.hop")]


@_HANDS_OUT_ALL
@pytest.mark.parametrize("way", ["models", "chat"])
@_COLOURS
def test_functions_that_the_sdk_calls(server: DemoProvider, told: Told, way: str, is_async: bool) -> None:
    """The model's call and its answer after it are one session; tokens are those of both requests."""
    server.clear()
    calls = Calls(server, "tools;chunks=4", is_async=is_async)

    async def use(client: Any, calls: Calls) -> list[Any]:
        if way == "chat":
            chat = client.chats.create(model=MODEL, config=_WITH_FUNCTION)
            return await calls.read(chat.send_message_stream(QUESTION))
        made = client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=_WITH_FUNCTION)
        return await calls.read(made)

    items = calls.run(use)
    assert len(server.exchanges) == 2
    attributes = told.attributes
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["streamspan.hop.count"] == 1
    assert attributes["streamspan.tool_call.count"] == 2
    assert attributes["streamspan.chunk.count"] == len(items) == 8
    assert attributes["gen_ai.response.finish_reasons"] == ("STOP",)
    assert attributes["gen_ai.usage.output_tokens"] == 2 + 4
    assert "http.request.resend_count" not in attributes
    assert _hops(told) == [{"streamspan.hop.number": 1, "streamspan.chunk.index": 3}]
    assert told.events("streamspan.retry") == []


@pytest.mark.parametrize("way", ["models", "chat"])
@_COLOURS
def test_functions_without_a_stream(server: DemoProvider, told: Told, way: str, is_async: bool) -> None:
    """Without a stream it is one session too, with the tokens of both requests."""
    server.clear()

    async def use(client: Any, calls: Calls) -> Any:
        if way == "chat":
            return await calls.wait(client.chats.create(model=MODEL, config=_WITH_FUNCTION).send_message(QUESTION))
        made = client.models.generate_content(model=MODEL, contents=QUESTION, config=_WITH_FUNCTION)
        return await calls.wait(made)

    assert Calls(server, "tools;chunks=4", is_async=is_async).run(use).text
    assert len(server.exchanges) == 2
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["gen_ai.request.stream"]) == ("completed", False)
    assert (attributes["streamspan.hop.count"], attributes["gen_ai.usage.output_tokens"]) == (1, 2 + 4)
    assert len(_hops(told)) == 1


@_HANDS_OUT_ALL
def test_what_a_function_asks_meanwhile_is_no_hop(server: DemoProvider, told: Told) -> None:
    """Counting tokens, or embedding a query, is no request of the stream's, and adds nothing to its tokens."""
    calls = Calls(server, "tools;chunks=4", is_async=False)

    async def use(client: Any, calls: Calls) -> list[Any]:
        def get_weather(city: str) -> str:
            with pytest.raises(errors.ClientError):  # the demo provider counts nothing
                client.models.count_tokens(model=MODEL, contents=city)
            return "sunny"

        get_weather.__annotations__.update(city=str)
        config = types.GenerateContentConfig(tools=[get_weather])
        return await calls.read(client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=config))

    calls.run(use)
    assert told.attributes["streamspan.hop.count"] == 1
    assert told.attributes["gen_ai.usage.output_tokens"] == 2 + 4


@_COLOURS
def test_a_function_may_ask_a_model_itself(server: DemoProvider, told: Told, is_async: bool) -> None:
    """A call that the application's function makes is a session of its own, and no part of the one around it."""

    async def use(client: Any, calls: Calls) -> Any:
        other = Calls(server, "ok;chunks=2", is_async=False)

        def ask(city: str) -> str:
            """Ask another model."""

            async def inner(client: Any, calls: Calls) -> str:
                return str(client.models.generate_content(model="gemini-inner", contents=city).text)

            return str(other.run(inner))

        ask.__annotations__.update(city=str)
        config = types.GenerateContentConfig(tools=[ask])
        return await calls.wait(client.chats.create(model=MODEL, config=config).send_message(QUESTION))

    Calls(server, "tools;chunks=4", is_async=is_async).run(use)
    told.finish()
    assert sorted(str(summary.model) for summary in told.summaries) == [MODEL, "gemini-inner", "gemini-inner"]


@pytest.mark.skipif(VERSION < (3, 1), reason="google-genai goes on by itself only in later versions")
@_COLOURS
def test_continuation(server: DemoProvider, told: Told, is_async: bool) -> None:
    """An answer that the SDK goes on with is one session; the SDK adds the tokens up, and they are not added twice."""

    async def use(client: Any, calls: Calls) -> list[Any]:
        return await calls.read(client.models.generate_content_stream(model=MODEL, contents=QUESTION))

    items = Calls(server, "continuation;chunks=3", is_async=is_async).run(use)
    attributes = told.attributes
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["streamspan.hop.count"] == 1
    assert attributes["gen_ai.response.finish_reasons"] == ("STOP",)
    assert attributes["gen_ai.usage.output_tokens"] == items[-1].usage_metadata.candidates_token_count == 6


@_HANDS_OUT_ALL
@_COLOURS
def test_a_failure_after_the_first_answer_is_one(server: DemoProvider, told: Told, is_async: bool) -> None:
    """The end of the first answer does not make a later failure a success."""

    async def use(client: Any, calls: Calls) -> None:
        made = client.models.generate_content_stream(model=MODEL, contents=QUESTION, config=_WITH_FUNCTION)
        with pytest.raises(Exception, match=r"peer closed|payload|RESOURCE|UNAVAILABLE|not completed"):
            await calls.read(made)

    # The first request is answered in full, the second one is cut in its middle.
    Calls(server, "drop;after=3;chunks=9", is_async=is_async).run(use)
    assert told.attributes["streamspan.outcome"] == "error"


@_COLOURS
def test_never_read_is_no_session(server: DemoProvider, told: Told, is_async: bool) -> None:
    """A generator that nobody reads asks nothing of a model: no request, no span, no metric."""
    if is_async and VERSION < (2, 12):
        pytest.skip("the await sends the request before google-genai 2.12 unless functions are called")
    server.clear()

    async def use(client: Any, calls: Calls) -> None:
        made = client.models.generate_content_stream(model=MODEL, contents=QUESTION)
        stream = await calls.wait(made)
        await calls.wait(stream.aclose() if is_async else stream.close())
        with pytest.raises((StopIteration, StopAsyncIteration)):
            await calls.wait(stream.__anext__() if is_async else next(stream))
        dropped = await calls.wait(client.models.generate_content_stream(model=MODEL, contents=QUESTION))
        del dropped
        gc.collect()

    Calls(server, "ok", is_async=is_async).run(use)
    told.finish()
    assert (server.exchanges, list(told.spans), told.active) == ([], [], 0)


@_COLOURS
def test_clocks_run_from_the_first_read(server: DemoProvider, told: Told, is_async: bool) -> None:
    """What the application does between the call and the first read is no part of the session."""
    if is_async and VERSION < (2, 12):
        pytest.skip("the await sends the request before google-genai 2.12 unless functions are called")

    async def use(client: Any, calls: Calls) -> None:
        stream = await calls.wait(client.models.generate_content_stream(model=MODEL, contents=QUESTION))
        time.sleep(0.3)  # noqa: ASYNC251 - nothing else runs
        await calls.read(ready(stream) if is_async else stream)

    async def ready(stream: Any) -> Any:
        return stream

    Calls(server, "ok;chunks=2", is_async=is_async).run(use)
    assert told.attributes["streamspan.time_to_headers"] < 0.3
    assert told.attributes["streamspan.consumer_time"] < 0.3


@_COLOURS
def test_dropped_generators_end_when_they_are_let_go(server: DemoProvider, told: Told, is_async: bool) -> None:
    """A generator that is let go is a dropped stream at once, whenever Python may come to close what is inside."""

    async def use(client: Any, calls: Calls) -> None:
        stream = await calls.wait(client.models.generate_content_stream(model=MODEL, contents=QUESTION))
        await calls.wait(stream.__anext__() if is_async else next(stream))
        del stream

    scenario = "gate;after=1;chunks=4;key=dropped"
    Calls(server, scenario, is_async=is_async).run(use)
    told.finish()
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["streamspan.cancel.reason"] == "dropped"


# --- which generators -------------------------------------------------------------------------------------------------


async def _made(client: Any, calls: Calls, way: str) -> Any:
    """Make a stream that has not been read."""
    if way == "chat":
        return await calls.wait(client.chats.create(model=MODEL).send_message_stream(QUESTION))
    return await calls.wait(client.models.generate_content_stream(model=MODEL, contents=QUESTION))


@pytest.mark.parametrize("way", ["models", "chat"])
@_COLOURS
def test_made_before_uninstrument_and_read_after_it(server: DemoProvider, told: Told, way: str, is_async: bool) -> None:
    """Nothing has been sent when it is made, so there is no stream yet: it comes out whole, and nobody records it."""
    if is_async and VERSION < (2, 12):
        pytest.skip("the await sends the request before google-genai 2.12 unless functions are called")

    async def use(client: Any, calls: Calls) -> int:
        stream = await _made(client, calls, way)
        streamspan.uninstrument()
        return len([item async for item in stream] if is_async else list(stream))

    assert Calls(server, "ok;chunks=3", is_async=is_async).run(use) == 4
    told.finish()
    assert (list(told.spans), told.summaries, told.active) == ([], [], 0)


@_COLOURS
def test_made_before_instrument_and_read_after_it(server: DemoProvider, is_async: bool) -> None:
    """It is the SDK's own generator; only a chat's makes its call of the model at the first read."""
    told = Told()

    async def use(client: Any, calls: Calls) -> int:
        stream = await _made(client, calls, "models")
        told.instrument(streamspan.Config(exclude=("httpx", "httpx2")))  # else it is a stream of the HTTP library's
        return len([item async for item in stream] if is_async else list(stream))

    assert Calls(server, "ok;chunks=3", is_async=is_async).run(use) == 4
    told.finish()
    assert list(told.spans) == []


@pytest.mark.parametrize("way", ["models", "chat"])
@_COLOURS
def test_a_generator_is_one_to_whoever_asks(server: DemoProvider, told: Told, way: str, is_async: bool) -> None:
    """`inspect` and `isinstance` know it for a generator, and it cannot be copied; asking it changes nothing."""

    async def use(client: Any, calls: Calls) -> dict[str, str]:
        stream = await _made(client, calls, way)
        said = shown(stream)
        await calls.wait(stream.__anext__() if is_async else next(stream))
        said |= {f"then {name}": word for name, word in shown(stream).items()}
        gc.collect()
        assert len([item async for item in stream] if is_async else list(stream)) == 3
        return said

    calls = Calls(server, "ok;chunks=3", is_async=is_async)
    ours = calls.run(use)
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.chunk.count"] == 4
    streamspan.uninstrument()
    assert ours == calls.run(use)


# The older client of Interactions has something to say of the options that all clients here are given.
@pytest.mark.filterwarnings("ignore:Granular retry options", "ignore:Async interactions client")
@pytest.mark.parametrize("surface", CONTEXTS, ids=lambda surface: surface.name)
@_COLOURS
def test_one_client_object_alone(server: DemoProvider, surface: Surface, is_async: bool) -> None:
    """With `clients=` only what is asked through the SDK's own client object is recorded."""
    told, caller = Told(), Caller(server, is_async=is_async, ended_spans=None)

    async def life() -> None:
        mine, other = (surface.client(caller, "ok;chunks=2") for _ in range(2))
        streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, clients=[mine._client])
        for client in (other, mine, other):
            stream = await caller.wait(surface.start(client))
            assert [item async for item in stream] if is_async else list(stream)
        for client in (mine, other):
            await caller.wait(client.close())

    asyncio.run(life()) if is_async else drive(life())
    told.finish()
    assert len(told.spans) == 1
