"""The clocks: exact where a fake clock can tell, bounded by the server's and the test's own readings elsewhere."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Any

import openai
import pytest

import streamspan
from streamspan import _api
from streamspan._sessions import Sessions
from streamspan.demo import DemoProvider, Exchange
from support.sdk import http
from support.surfaces import MESSAGES, MODEL, chat_helper
from support.telemetry import Told
from support.twice import drive

pytestmark = pytest.mark.usefixtures("_quick_retries")
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_SECOND = 1_000_000_000


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


# --- against the server's clock ---------------------------------------------------------------------------------


class Readings:
    """What the test itself reads from the clock around its calls."""

    def __init__(self) -> None:
        self.called_ns = 0
        self.opened_ns = 0
        self.asked_ns: list[int] = []
        self.got_ns: list[int] = []

    @property
    def waited_ns(self) -> int:
        """Time in the SDK: opening and every read."""
        reads = sum(got - asked for asked, got in zip(self.asked_ns, self.got_ns, strict=True))
        return self.opened_ns - self.called_ns + reads

    @property
    def kept_ns(self) -> int:
        """Time in the test's own code, from the opening to the last read."""
        starts = [self.opened_ns, *self.got_ns]
        return sum(asked - start for start, asked in zip(starts, self.asked_ns, strict=False))


async def _read(url: str, *, is_async: bool, before: float = 0.0, between: float = 0.0) -> Readings:
    """Read a stream and the clock; sleep before the first read and between any two."""
    readings = Readings()
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    client = kind(base_url=url, api_key="key")
    readings.called_ns = time.monotonic_ns()
    opening = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    stream = await opening if is_async else opening
    readings.opened_ns = time.monotonic_ns()
    time.sleep(before)  # noqa: ASYNC251 - the caller is busy, in either colour
    while True:
        readings.asked_ns.append(time.monotonic_ns())
        item = await anext(stream, None) if is_async else next(stream, None)
        readings.got_ns.append(time.monotonic_ns())
        if item is None:
            break
        time.sleep(between)  # noqa: ASYNC251
    await client.close() if is_async else client.close()
    return readings


def _measure(
    server: DemoProvider, scenario: str, *, is_async: bool, **sleeps: float
) -> tuple[Readings, list[Exchange]]:
    server.clear()
    coroutine = _read(server.url(scenario), is_async=is_async, **sleeps)
    readings: Readings = asyncio.run(coroutine) if is_async else drive(coroutine)
    return readings, list(server.exchanges)


def _ns(told: Told, name: str) -> int:
    seconds: float = told.attributes[name]
    return round(seconds * _SECOND)


@_COLOURS
def test_first_chunk_and_first_token_are_told_apart(server: DemoProvider, told: Told, is_async: bool) -> None:
    """The role chunk comes at once, the first token after the server's pause: both as the server sent them."""
    readings, (exchange,) = _measure(server, "late;pause=0.1", is_async=is_async)
    role_ns, token_ns = exchange.sent[0][0], exchange.sent[1][0]
    assert token_ns - role_ns >= 0.1 * _SECOND

    chunk, token = _ns(told, "gen_ai.response.time_to_first_chunk"), _ns(told, "streamspan.time_to_first_token")
    headers = _ns(told, "streamspan.time_to_headers")
    # The call was entered before the server had the request, and after the test's reading.
    assert exchange.headers_ns is not None
    assert exchange.headers_ns - exchange.received_ns <= headers <= readings.opened_ns - readings.called_ns
    assert role_ns - exchange.received_ns <= chunk <= readings.got_ns[0] - readings.called_ns
    assert token_ns - exchange.received_ns <= token <= readings.got_ns[1] - readings.called_ns
    assert token - chunk >= token_ns - readings.got_ns[0]
    assert headers <= chunk < token
    assert told.attributes["streamspan.time_to_first_answer"] == told.attributes["streamspan.time_to_first_token"]


@_COLOURS
def test_first_answer_comes_after_the_thoughts(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Reasoning is the first token, the first answer is what follows it."""
    _, (exchange,) = _measure(server, "reasoning;delay=0.005;chunks=4", is_async=is_async)
    answer_ns = next(at for at, payload in exchange.sent if _content_of(payload))
    thought_ns = next(at for at, payload in exchange.sent if _content_of(payload, "reasoning_content"))
    token, answer = _ns(told, "streamspan.time_to_first_token"), _ns(told, "streamspan.time_to_first_answer")
    assert token < answer
    assert token >= thought_ns - exchange.received_ns
    assert answer >= answer_ns - exchange.received_ns


def _content_of(payload: str, name: str = "content") -> str:
    data = json.loads(payload) if payload.startswith("{") else {"choices": []}
    return "".join(choice["delta"].get(name) or "" for choice in data["choices"])


@_COLOURS
def test_the_callers_time_is_not_the_providers(server: DemoProvider, told: Told, is_async: bool) -> None:
    """A caller that sleeps between reads has slept for itself: provider and consumer time lie within its own readings."""
    readings, _ = _measure(server, "ok;chunks=4", is_async=is_async, between=0.01)
    consumer, provider = _ns(told, "streamspan.consumer_time"), _ns(told, "streamspan.provider_time")
    assert readings.kept_ns >= 5 * 0.01 * _SECOND
    assert consumer >= readings.kept_ns
    assert 0 < provider <= readings.waited_ns
    assert consumer + provider <= readings.got_ns[-1] - readings.called_ns


@_COLOURS
def test_reading_that_starts_late_is_the_callers_delay(server: DemoProvider, told: Told, is_async: bool) -> None:
    """A chunk cannot arrive before it is read; the time until then is the consumer's."""
    readings, (exchange,) = _measure(server, "ok;chunks=4", is_async=is_async, before=0.05)
    chunk = _ns(told, "gen_ai.response.time_to_first_chunk")
    assert chunk >= readings.asked_ns[0] - exchange.received_ns
    assert _ns(told, "streamspan.consumer_time") >= readings.asked_ns[0] - readings.opened_ns >= 0.05 * _SECOND
    assert _ns(told, "streamspan.provider_time") <= readings.waited_ns


@_COLOURS
def test_retries_count_from_the_entry_of_the_call(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Failed attempts and the waits between them are part of the time to the first token."""
    readings, exchanges = _measure(server, "flaky;chunks=4", is_async=is_async)
    first, _, last = exchanges
    assert [each.status for each in exchanges] == [503, 503, 200]
    token = _ns(told, "streamspan.time_to_first_token")
    assert last.sent[1][0] - first.received_ns <= token <= readings.got_ns[1] - readings.called_ns
    retries = told.events("streamspan.retry")
    assert [event.attributes["http.request.resend_count"] for event in retries if event.attributes] == [1, 2]
    for event in retries:
        assert event.attributes is not None
        assert event.attributes["http.response.status_code"] == 503
        delay = event.attributes["streamspan.retry.delay"]
        assert isinstance(delay, float)
        assert delay >= 0.01  # what the server's retry-after-ms says


@_COLOURS
def test_events_have_the_times_of_arrival(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Chunk events come in order, between the server's sending and the caller's getting."""
    readings, (exchange,) = _measure(server, "slow;chunks=4", is_async=is_async)
    start = told.span.start_time or 0
    sent = [at for at, payload in exchange.sent if payload != "[DONE]"]
    events = told.events("streamspan.chunk")
    assert len(events) == len(sent)
    for event, sent_ns, got_ns in zip(events, sent, readings.got_ns, strict=False):
        assert sent_ns - exchange.received_ns <= event.timestamp - start <= got_ns - readings.called_ns


# --- on a clock of the test's own -------------------------------------------------------------------------------


class Clock:
    """Nanoseconds that pass only when told to."""

    def __init__(self) -> None:
        self.now = 1000

    def __call__(self) -> int:
        return self.now

    def pass_(self, seconds: float) -> None:
        """Let time pass."""
        self.now += round(seconds * _SECOND)


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return f"data: {json.dumps(data)}\n\n".encode()


_USAGE = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
# Seconds that the provider takes before each piece, and the piece.
_PIECES = (
    (0.5, _chunk({"role": "assistant", "content": ""})),
    (0.25, _chunk({"content": "Hello"})),
    (2.0, _chunk({"content": ", "})),
    (0.125, _chunk({"content": "world"})),
    (0.0625, _chunk({}, "stop", usage=_USAGE)),
    (0.03125, b"data: [DONE]\n\n"),
)
_HEADERS = 1.0
_CONSUMER = (4.0, 0.5, 1.5, 0.0, 3.0)
"""Seconds that the caller takes after opening is `_IDLE`, and after each chunk these."""
_IDLE = 0.75


def _http(clock: Clock, *, is_async: bool) -> Any:
    headers = {"content-type": "text/event-stream"}

    def body() -> Iterator[bytes]:
        for wait, piece in _PIECES:
            clock.pass_(wait)
            yield piece

    async def abody() -> AsyncIterator[bytes]:
        for piece in body():
            yield piece

    def handler(_: Any) -> Any:
        clock.pass_(_HEADERS)
        return http.Response(200, headers=headers, content=body())

    async def ahandler(_: Any) -> Any:
        clock.pass_(_HEADERS)
        return http.Response(200, headers=headers, content=abody())

    if is_async:
        return http.AsyncClient(transport=http.MockTransport(ahandler))
    return http.Client(transport=http.MockTransport(handler))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every session that is opened from now on."""
    clock = Clock()
    monkeypatch.setattr(_api, "Sessions", partial(Sessions, clock=clock))
    return clock


async def _items(client: Any, *, is_async: bool) -> AsyncIterator[Any]:
    made = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    stream = await made if is_async else made
    yield "opened"
    if is_async:
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


async def _lines(client: Any, *, is_async: bool) -> AsyncIterator[Any]:
    manager = client.chat.completions.with_streaming_response.create(model=MODEL, messages=MESSAGES, stream=True)
    response = await manager.__aenter__() if is_async else manager.__enter__()
    yield "opened"
    if is_async:
        async for piece in response.iter_bytes():
            yield piece
        await manager.__aexit__(None, None, None)
        return
    for piece in response.iter_bytes():
        yield piece
    manager.__exit__(None, None, None)


async def _helper(client: Any, *, is_async: bool) -> AsyncIterator[Any]:
    manager = chat_helper(client)
    stream = await manager.__aenter__() if is_async else manager.__enter__()
    yield "opened"
    if is_async:
        async for event in stream:
            if event.type == "chunk":
                yield event
        await manager.__aexit__(None, None, None)
        return
    for event in stream:
        if event.type == "chunk":
            yield event
    manager.__exit__(None, None, None)


_WAYS = pytest.mark.parametrize("way", [_items, _lines, _helper], ids=["items", "bytes", "helper"])


async def _consume(clock: Clock, way: Callable[..., AsyncIterator[Any]], *, is_async: bool) -> None:
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    client = kind(api_key="key", http_client=_http(clock, is_async=is_async))
    pauses = iter((_IDLE, *_CONSUMER))
    async for _ in way(client, is_async=is_async):
        clock.pass_(next(pauses, 0.0))


def _play(clock: Clock, way: Callable[..., AsyncIterator[Any]], config: streamspan.Config, *, is_async: bool) -> Told:
    told = Told()
    told.instrument(config)
    coroutine = _consume(clock, way, is_async=is_async)
    asyncio.run(coroutine) if is_async else drive(coroutine)
    told.finish()
    return told


@_WAYS
@_COLOURS
def test_every_clock_is_exact(clock: Clock, way: Any, is_async: bool) -> None:
    """On a clock that stands still unless told otherwise every number is exactly what it should be."""
    told = _play(clock, way, streamspan.Config(stall_seconds=2.0), is_async=is_async)
    attributes = told.attributes
    waits = [wait for wait, _ in _PIECES]
    first = _HEADERS + _IDLE + waits[0]
    token = first + _CONSUMER[0] + waits[1]
    last = token + sum(_CONSUMER[1:3]) + sum(waits[2:4])  # the last chunk with output
    duration = _HEADERS + _IDLE + sum(waits) + sum(_CONSUMER)
    expected = {
        "streamspan.time_to_headers": _HEADERS,
        "gen_ai.response.time_to_first_chunk": first,
        "streamspan.time_to_first_token": token,
        "streamspan.time_to_first_answer": token,
        "streamspan.provider_time": _HEADERS + sum(waits),
        "streamspan.consumer_time": _IDLE + sum(_CONSUMER),
        "streamspan.wait.max": 2.0,
        "streamspan.stall.count": 1,
        "streamspan.stall.time": 2.0,
        "streamspan.output_rate": (7 - 1) / (last - token),
        "streamspan.character_rate": len(", world") / (last - token),
        "streamspan.chunk.count": 5,
    }
    assert {name: attributes.get(name) for name in expected} == expected
    span = told.span
    assert (span.end_time or 0) - (span.start_time or 0) == round(duration * _SECOND)
    assert expected["streamspan.provider_time"] + expected["streamspan.consumer_time"] == duration
    assert told.summary.duration == duration


@_WAYS
@_COLOURS
def test_gaps_are_from_arrival_to_arrival(clock: Clock, way: Any, is_async: bool) -> None:
    """The conventions' time per output chunk contains the caller's share; ours keeps it apart."""
    told = _play(clock, way, streamspan.Config(), is_async=is_async)
    waits = [wait for wait, _ in _PIECES]
    points: Any = told.metrics["gen_ai.client.operation.time_per_output_chunk"].data.data_points
    assert sum(each.count for each in points) == 4
    assert sum(each.sum for each in points) == sum(waits[1:5]) + sum(_CONSUMER[:4])


@_COLOURS
def test_provider_and_consumer_time_add_up_when_the_caller_stops(clock: Clock, is_async: bool) -> None:
    """Also of a stream that was closed early: what is not the provider's is the caller's."""

    async def consume() -> None:
        kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        client = kind(api_key="key", http_client=_http(clock, is_async=is_async))
        made = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        stream = await made if is_async else made
        clock.pass_(_IDLE)
        await anext(stream) if is_async else next(stream)
        clock.pass_(2.0)
        await stream.close() if is_async else stream.close()
        clock.pass_(9.0)

    told = Told()
    told.instrument()
    asyncio.run(consume()) if is_async else drive(consume())
    told.finish()
    assert told.summary.provider_time == _HEADERS + _PIECES[0][0]
    assert told.summary.consumer_time == _IDLE + 2.0
    assert told.summary.duration == _HEADERS + _PIECES[0][0] + _IDLE + 2.0


def test_the_span_of_a_closed_stream_ends_at_the_close(server: DemoProvider, told: Told) -> None:
    """A close from another thread ends the span there and then, although the reader stays blocked."""
    client = openai.OpenAI(base_url=server.url("gate;key=closed-here"), api_key="key", max_retries=0)
    server.clear()
    called_ns = time.monotonic_ns()
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    got: list[Any] = []

    def read() -> None:
        try:
            got.extend(stream)
        except (openai.APIConnectionError, http.HTTPError) as exc:
            got.append(exc)

    reader = threading.Thread(target=read)
    reader.start()
    server.wait_for(lambda: server.exchanges and server.exchanges[0].is_held)
    before_ns = time.monotonic_ns()
    stream.close()
    after_ns = time.monotonic_ns()
    span = told.span
    server.release("closed-here")
    reader.join()
    assert told.span is span
    length = (span.end_time or 0) - (span.start_time or 0)
    assert before_ns - server.exchanges[0].received_ns <= length <= after_ns - called_ns
