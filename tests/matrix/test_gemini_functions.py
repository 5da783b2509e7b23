"""Gemini's automatic function calling on a clock of the test's own: the application's functions are the caller's time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest

import streamspan
from streamspan import _api
from streamspan._sessions import Sessions
from support.clocked import Clock
from support.telemetry import Told
from support.twice import drive

pytest.importorskip("google.genai")

from google.genai import Client, types

from support.surfaces.gemini import MODEL, QUESTION, VERSION, http

_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_WAYS = pytest.mark.parametrize("way", ["models", "chat"])
_HANDS_OUT_ALL = VERSION >= (3,)
"""Else google-genai keeps the answer that asks for a function to itself."""

_HEADERS = 1.0
_FUNCTION = 7.0
_STALL = streamspan.Config(stall_seconds=5.0)


class Piece(NamedTuple):
    """A part of an answer, and the seconds that the model takes for it."""

    wait: float
    part: dict[str, Any]
    is_last: bool = False

    @property
    def data(self) -> dict[str, Any]:
        """What is on the wire."""
        candidate = {"content": {"role": "model", "parts": [self.part]}, "index": 0}
        return {"candidates": [{**candidate, **({"finishReason": "STOP"} if self.is_last else {})}]}


_CALL = {"functionCall": {"name": "get_weather", "args": {"city": "Rome"}}}
_ASKS = (Piece(0.5, _CALL, is_last=True),)
_ANSWERS = (Piece(0.25, {"text": "It is "}), Piece(2.0, {"text": "sunny"}), Piece(0.125, {"text": ""}, is_last=True))
_PROVIDER = 2 * _HEADERS + sum(piece.wait for piece in (*_ASKS, *_ANSWERS))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every session that is opened from now on."""
    clock = Clock()
    monkeypatch.setattr(_api, "Sessions", partial(Sessions, clock=clock))
    return clock


@pytest.fixture
def told(clock: Clock) -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument(_STALL)
    yield told
    told.finish()


def _response(clock: Clock, request: Any, said: str, *, is_async: bool) -> Any:
    """Answer a request on the clock: first with the call of a function, then with a text."""
    clock.pass_(_HEADERS)
    pieces = _ANSWERS if "functionResponse" in said else _ASKS
    if "stream" not in str(request.url):
        clock.pass_(sum(piece.wait for piece in pieces))
        return http.Response(200, json=pieces[0].data)

    def body() -> Iterator[bytes]:
        for piece in pieces:
            clock.pass_(piece.wait)
            yield f"data: {json.dumps(piece.data)}\n\n".encode()

    async def abody() -> AsyncIterator[bytes]:
        for data in body():
            yield data

    about = {"content-type": "text/event-stream"}
    return http.Response(200, headers=about, content=abody() if is_async else body())


def _client(clock: Clock, *, is_async: bool) -> Any:
    """Make a client of one colour that reaches nothing but the two answers."""

    def handler(request: Any) -> Any:
        return _response(clock, request, request.read().decode(), is_async=False)

    async def ahandler(request: Any) -> Any:
        return _response(clock, request, (await request.aread()).decode(), is_async=True)

    made: Any = (
        {"httpx_async_client": http.AsyncClient(transport=http.MockTransport(ahandler))}
        if is_async
        else {"httpx_client": http.Client(transport=http.MockTransport(handler))}
    )
    client = Client(api_key="key", http_options=types.HttpOptions(base_url="http://gemini.test/", **made))
    return client.aio if is_async else client


def _weather(does: Callable[[], object], *, is_async: bool) -> Any:
    """Return a function of the application that does something before it answers."""

    def get_weather(city: str) -> str:
        does()
        return f"sunny in {city}"

    async def aget_weather(city: str) -> str:
        does()
        return f"sunny in {city}"

    made: Any = aget_weather if is_async else get_weather
    made.__name__ = "get_weather"
    made.__annotations__.update(city=str)  # older versions of the SDK cannot read an annotation that is text
    return made


async def _ask(client: Any, way: str, function: Any, *, is_async: bool, is_stream: bool = True) -> list[Any]:
    """Make a call with a function, and read what comes."""
    config = types.GenerateContentConfig(tools=[function])
    ending = "_stream" if is_stream else ""
    if way == "chat":
        made = getattr(client.chats.create(model=MODEL, config=config), f"send_message{ending}")(QUESTION)
    else:
        made = getattr(client.models, f"generate_content{ending}")(model=MODEL, contents=QUESTION, config=config)
    got = await made if is_async else made
    if not is_stream:
        return [got]
    return [item async for item in got] if is_async else list(got)


def _run(coroutine: Any, *, is_async: bool) -> Any:
    return asyncio.run(coroutine) if is_async else drive(coroutine)


@_WAYS
@_COLOURS
def test_the_functions_time_is_the_callers(clock: Clock, told: Told, way: str, is_async: bool) -> None:
    """What the model asked for had arrived before its function was called; the function's time is no wait and no stall."""
    function = _weather(lambda: clock.pass_(_FUNCTION), is_async=is_async)
    items = _run(_ask(_client(clock, is_async=is_async), way, function, is_async=is_async), is_async=is_async)
    asked = _HEADERS + _ASKS[0].wait
    answered = asked + _FUNCTION + _HEADERS + _ANSWERS[0].wait
    expected = {
        "streamspan.outcome": "completed",
        "streamspan.hop.count": 1,
        "streamspan.chunk.count": len(items),
        "streamspan.provider_time": _PROVIDER,
        "streamspan.consumer_time": _FUNCTION,
        "streamspan.time_to_headers": _HEADERS,
        "gen_ai.response.time_to_first_chunk": asked if _HANDS_OUT_ALL else answered,
        "streamspan.time_to_first_token": asked if _HANDS_OUT_ALL else answered,
        "streamspan.wait.max": 2.0,
        "streamspan.stall.count": None,
    }
    assert {name: told.attributes.get(name) for name in expected} == expected
    assert told.summary.duration == _PROVIDER + _FUNCTION
    assert told.events("streamspan.stall") == []


@_WAYS
@_COLOURS
def test_the_functions_time_without_a_stream(clock: Clock, told: Told, way: str, is_async: bool) -> None:
    """As in a stream: only the requests are the provider's."""
    function = _weather(lambda: clock.pass_(_FUNCTION), is_async=is_async)
    client = _client(clock, is_async=is_async)
    _run(_ask(client, way, function, is_async=is_async, is_stream=False), is_async=is_async)
    summary = told.summary
    assert (summary.outcome, summary.provider_time, summary.consumer_time) == ("completed", _PROVIDER, _FUNCTION)


@_COLOURS
@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
def test_a_function_that_is_stopped(clock: Clock, told: Told, is_async: bool, is_stream: bool) -> None:
    """A call that is given up inside of a function ends there, and its time up to there is the caller's too."""
    stop: BaseException = asyncio.CancelledError() if is_async else KeyboardInterrupt()

    def does() -> None:
        clock.pass_(_FUNCTION)
        raise stop

    client = _client(clock, is_async=is_async)
    with pytest.raises(type(stop)):
        _run(
            _ask(client, "models", _weather(does, is_async=is_async), is_async=is_async, is_stream=is_stream),
            is_async=is_async,
        )
    told.finish()
    summary = told.summary
    assert (summary.outcome, summary.cancel_reason) == ("cancelled", "task_cancelled" if is_async else "interrupted")
    assert (summary.provider_time, summary.consumer_time) == (_HEADERS + _ASKS[0].wait, _FUNCTION)


@_COLOURS
def test_what_a_function_asks_through_a_client_that_is_not_watched(clock: Clock, is_async: bool) -> None:
    """It is nobody's: no session of its own, and no request of the one around it."""
    watched, other = _client(clock, is_async=is_async), _client(clock, is_async=False)
    told = Told()
    streamspan.instrument(
        tracer_provider=told.tracers,
        meter_provider=told.meters,
        on_session_end=told.summaries.append,
        clients=[watched],
    )

    def does() -> None:
        other.models.generate_content(model="gemini-inner", contents="functionResponse")

    function = _weather(does, is_async=is_async)
    _run(_ask(watched, "models", function, is_async=is_async, is_stream=False), is_async=is_async)
    told.finish()
    assert [summary.model for summary in told.summaries] == [MODEL]
    assert told.attributes["streamspan.hop.count"] == 1
    assert told.summary.provider_time == _PROVIDER
