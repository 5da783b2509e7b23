"""The clocks: exact where a fake clock can tell, bounded by the server's and the test's own readings elsewhere."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

import openai
import pytest

import streamspan
from streamspan import _api
from streamspan._sessions import Sessions
from streamspan.demo import DemoProvider, Exchange
from support.caller import Caller
from support.clocked import Clock, Clocked
from support.openai_sdk import http
from support.surface import Surface
from support.surfaces import each
from support.surfaces.openai import MESSAGES, MODEL
from support.telemetry import Told
from support.twice import drive

pytestmark = [
    pytest.mark.usefixtures("_quick_retries"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'"),  # older LangChain on newer pydantic
]


def _name(value: Any) -> str:
    surface = value.surface if isinstance(value, Clocked) else value
    return f"{surface.layer}-{surface.name}"


_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_VENDORS = pytest.mark.parametrize("vendor", each("CLOCKED"), ids=_name)
# Where nothing is sent before the first read, there is no time between the call and it.
_EAGER = pytest.mark.parametrize("vendor", [vendor for vendor in each("CLOCKED") if not vendor.is_lazy], ids=_name)
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


async def _read(
    caller: Caller, surface: Surface, scenario: str, *, before: float = 0.0, between: float = 0.0
) -> Readings:
    """Read a stream and the clock; sleep before the first read and between any two."""
    readings, is_async = Readings(), caller.is_async
    client = surface.client(caller, scenario)
    readings.called_ns = time.monotonic_ns()
    opening = surface.start(client)
    stream = await caller.wait(opening)
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
    server: DemoProvider, vendor: Clocked, scenario: str, *, is_async: bool, **sleeps: float
) -> tuple[Readings, list[Exchange]]:
    server.clear()
    caller = Caller(server, is_async=is_async, ended_spans=None)
    coroutine = _read(caller, vendor.surface, scenario, **sleeps)
    readings: Readings = asyncio.run(coroutine) if is_async else drive(coroutine)
    return readings, list(server.exchanges)


def _sent(vendor: Clocked, exchange: Exchange) -> list[tuple[int, str]]:
    """Return when what the SDK hands out was sent, and the kind of output in it."""
    handed = [(at, payload) for at, payload in exchange.sent if vendor.surface.hands_out(payload)]
    return [(at, vendor.says(payload)) for at, payload in handed]


def _first(sent: list[tuple[int, str]], *kinds: str) -> int:
    """Return the index of the first chunk with output of one of these kinds."""
    return next(n for n, (_, kind) in enumerate(sent) if kind in kinds)


def _ns(told: Told, name: str) -> int:
    seconds: float = told.attributes[name]
    return round(seconds * _SECOND)


@_EAGER
@_COLOURS
def test_first_chunk_and_first_token_are_told_apart(
    server: DemoProvider, told: Told, vendor: Clocked, is_async: bool
) -> None:
    """What has no output comes at once, the first token after the server's pause: both as the server sent them."""
    readings, (exchange,) = _measure(server, vendor, "late;pause=0.1", is_async=is_async)
    sent = _sent(vendor, exchange)
    at = _first(sent, "text")
    role_ns, token_ns = sent[0][0], sent[at][0]
    assert token_ns - role_ns >= 0.1 * _SECOND

    chunk, token = _ns(told, "gen_ai.response.time_to_first_chunk"), _ns(told, "streamspan.time_to_first_token")
    headers = _ns(told, "streamspan.time_to_headers")
    # The call was entered before the server had the request, and after the test's reading.
    assert exchange.headers_ns is not None
    assert exchange.headers_ns - exchange.received_ns <= headers <= readings.opened_ns - readings.called_ns
    assert role_ns - exchange.received_ns <= chunk <= readings.got_ns[0] - readings.called_ns
    assert token_ns - exchange.received_ns <= token <= readings.got_ns[at] - readings.called_ns
    assert token - chunk >= token_ns - readings.got_ns[0]
    assert headers <= chunk < token
    assert told.attributes["streamspan.time_to_first_answer"] == told.attributes["streamspan.time_to_first_token"]


@_VENDORS
@_COLOURS
def test_first_answer_comes_after_the_thoughts(
    server: DemoProvider, told: Told, vendor: Clocked, is_async: bool
) -> None:
    """Reasoning is the first token, the first answer is what follows it."""
    _, (exchange,) = _measure(server, vendor, "reasoning;delay=0.005;chunks=4", is_async=is_async)
    sent = _sent(vendor, exchange)
    answer_ns, thought_ns = sent[_first(sent, "text")][0], sent[_first(sent, "reasoning")][0]
    token, answer = _ns(told, "streamspan.time_to_first_token"), _ns(told, "streamspan.time_to_first_answer")
    assert token < answer
    assert token >= thought_ns - exchange.received_ns
    assert answer >= answer_ns - exchange.received_ns


@_EAGER
@_COLOURS
def test_the_callers_time_is_not_the_providers(
    server: DemoProvider, told: Told, vendor: Clocked, is_async: bool
) -> None:
    """A caller that sleeps between reads has slept for itself: provider and consumer time lie within its own readings."""
    readings, _ = _measure(server, vendor, "ok;chunks=4", is_async=is_async, between=0.01)
    consumer, provider = _ns(told, "streamspan.consumer_time"), _ns(told, "streamspan.provider_time")
    assert readings.kept_ns >= 5 * 0.01 * _SECOND
    assert consumer >= readings.kept_ns
    assert 0 < provider <= readings.waited_ns
    assert consumer + provider <= readings.got_ns[-1] - readings.called_ns


@_EAGER
@_COLOURS
def test_reading_that_starts_late_is_the_callers_delay(
    server: DemoProvider, told: Told, vendor: Clocked, is_async: bool
) -> None:
    """A chunk cannot arrive before it is read; the time until then is the consumer's."""
    readings, (exchange,) = _measure(server, vendor, "ok;chunks=4", is_async=is_async, before=0.05)
    chunk = _ns(told, "gen_ai.response.time_to_first_chunk")
    assert chunk >= readings.asked_ns[0] - exchange.received_ns
    assert _ns(told, "streamspan.consumer_time") >= readings.asked_ns[0] - readings.opened_ns >= 0.05 * _SECOND
    assert _ns(told, "streamspan.provider_time") <= readings.waited_ns


@_VENDORS
@_COLOURS
def test_retries_count_from_the_entry_of_the_call(
    server: DemoProvider, told: Told, vendor: Clocked, is_async: bool
) -> None:
    """Failed attempts and the waits between them are part of the time to the first token."""
    readings, exchanges = _measure(server, vendor, "flaky;chunks=4", is_async=is_async)
    first, _, last = exchanges
    sent = _sent(vendor, last)
    at = _first(sent, "text")
    assert [each.status for each in exchanges] == [503, 503, 200]
    token = _ns(told, "streamspan.time_to_first_token")
    assert sent[at][0] - first.received_ns <= token <= readings.got_ns[at] - readings.called_ns
    retries = told.events("streamspan.retry")
    assert [event.attributes["http.request.resend_count"] for event in retries if event.attributes] == [1, 2]
    for event in retries:
        assert event.attributes is not None
        assert event.attributes["http.response.status_code"] == 503
        delay = event.attributes["streamspan.retry.delay"]
        assert isinstance(delay, float)
        assert delay >= 0.01  # what the server's retry-after-ms says


@_VENDORS
@_COLOURS
def test_events_have_the_times_of_arrival(server: DemoProvider, told: Told, vendor: Clocked, is_async: bool) -> None:
    """Chunk events come in order, between the server's sending and the caller's getting."""
    readings, (exchange,) = _measure(server, vendor, "slow;chunks=4", is_async=is_async)
    start = told.span.start_time or 0
    sent = [at for at, _ in _sent(vendor, exchange)]
    events = told.events("streamspan.chunk")
    assert len(events) == len(sent)
    for event, sent_ns, got_ns in zip(events, sent, readings.got_ns, strict=False):
        assert sent_ns - exchange.received_ns <= event.timestamp - start <= got_ns - readings.called_ns


# --- on a clock of the test's own -------------------------------------------------------------------------------


_HEADERS = 1.0
_IDLE = 0.75
"""Seconds that the caller takes after opening, and after each chunk these; then none."""
_CONSUMER = (4.0, 0.5, 1.5, 0.0, 3.0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of every session that is opened from now on."""
    clock = Clock()
    monkeypatch.setattr(_api, "Sessions", partial(Sessions, clock=clock))
    return clock


async def _items(caller: Caller, way: Surface, client: Any) -> AsyncIterator[Any]:
    """Yield when the stream is open, and for each chunk."""
    made = way.start(client)
    entered = await caller.enter(made) if way.is_manager else await caller.wait(made)
    yield "opened"
    stream = way.view(entered)
    reading = stream.__aiter__() if caller.is_async else iter(stream)
    while True:
        item = await anext(reading, None) if caller.is_async else next(reading, None)
        if item is None:
            break
        if way.weight(item):
            yield item
    if way.is_manager:
        await caller.wait(made.__aexit__(None, None, None) if caller.is_async else made.__exit__(None, None, None))


_WAYS = pytest.mark.parametrize(
    ("vendor", "way"),
    [(vendor, way) for vendor in each("CLOCKED") for way in vendor.ways],
    ids=_name,
)


async def _consume(server: DemoProvider, clock: Clock, vendor: Clocked, way: Surface, *, is_async: bool) -> None:
    caller = Caller(server, is_async=is_async, ended_spans=None)
    client = vendor.client(vendor.http_client(clock, _HEADERS, is_async=is_async), is_async)
    pauses = iter((_IDLE, *_CONSUMER))
    async for _ in _items(caller, way, client):
        clock.pass_(next(pauses, 0.0))


def _play(
    server: DemoProvider,
    clock: Clock,
    vendor: Clocked,
    way: Surface,
    *,
    is_async: bool,
    config: streamspan.Config | None = None,
) -> Told:
    told = Told()
    told.instrument(config)
    coroutine = _consume(server, clock, vendor, way, is_async=is_async)
    asyncio.run(coroutine) if is_async else drive(coroutine)
    told.finish()
    return told


def _idle(vendor: Clocked) -> float:
    """Return the seconds that the caller takes after opening, as far as the session sees them."""
    return 0.0 if vendor.is_lazy else _IDLE


def _arrivals(vendor: Clocked) -> list[tuple[float, str]]:
    """Return when each chunk arrives, in seconds from the call, and what it says."""
    now, arrived = _HEADERS + _idle(vendor), []
    pauses = iter(_CONSUMER)
    for piece in vendor.pieces:
        now += piece.wait
        if piece.is_chunk:
            arrived.append((now, piece.text))
            now += next(pauses, 0.0)
    return arrived


@_WAYS
@_COLOURS
def test_every_clock_is_exact(
    server: DemoProvider, clock: Clock, vendor: Clocked, way: Surface, is_async: bool
) -> None:
    """On a clock that stands still unless told otherwise every number is exactly what it should be."""
    told = _play(server, clock, vendor, way, config=streamspan.Config(stall_seconds=2.0), is_async=is_async)
    attributes = told.attributes
    arrivals = _arrivals(vendor)
    said = [(at, text) for at, text in arrivals if text]
    (token, first_text), (last, _) = said[0], said[-1]
    duration = _HEADERS + _idle(vendor) + sum(vendor.waits) + sum(_CONSUMER)
    expected = {
        "streamspan.time_to_headers": _HEADERS,
        "gen_ai.response.time_to_first_chunk": arrivals[0][0],
        "streamspan.time_to_first_token": token,
        "streamspan.time_to_first_answer": token,
        "streamspan.provider_time": _HEADERS + sum(vendor.waits),
        "streamspan.consumer_time": _idle(vendor) + sum(_CONSUMER),
        "streamspan.wait.max": 2.0,
        "streamspan.stall.count": 1,
        "streamspan.stall.time": 2.0,
        "streamspan.output_rate": (7 - 1) / (last - token),
        "streamspan.character_rate": len("".join(text for _, text in said)[len(first_text) :]) / (last - token),
        "streamspan.chunk.count": len(arrivals),
    }
    assert {name: attributes.get(name) for name in expected} == expected
    span = told.span
    assert (span.end_time or 0) - (span.start_time or 0) == round(duration * _SECOND)
    assert expected["streamspan.provider_time"] + expected["streamspan.consumer_time"] == duration
    assert told.summary.duration == duration


@_WAYS
@_COLOURS
def test_gaps_are_from_arrival_to_arrival(
    server: DemoProvider, clock: Clock, vendor: Clocked, way: Surface, is_async: bool
) -> None:
    """The conventions' time per output chunk contains the caller's share; ours keeps it apart."""
    told = _play(server, clock, vendor, way, is_async=is_async)
    arrivals = _arrivals(vendor)
    points: Any = told.metrics["gen_ai.client.operation.time_per_output_chunk"].data.data_points
    assert sum(each.count for each in points) == len(arrivals) - 1
    assert sum(each.sum for each in points) == arrivals[-1][0] - arrivals[0][0]


@_VENDORS
@_COLOURS
def test_provider_and_consumer_time_add_up_when_the_caller_stops(clock: Clock, vendor: Clocked, is_async: bool) -> None:
    """Also of a stream that was closed early: what is not the provider's is the caller's."""

    async def consume() -> None:
        client = vendor.client(vendor.http_client(clock, _HEADERS, is_async=is_async), is_async)
        made = vendor.surface.start(client)
        stream = await made if is_async and vendor.surface.awaits_start else made
        clock.pass_(_IDLE)
        await anext(stream) if is_async else next(stream)
        clock.pass_(2.0)
        await (stream.aclose if vendor.is_lazy else stream.close)() if is_async else stream.close()
        clock.pass_(9.0)

    told = Told()
    told.instrument()
    asyncio.run(consume()) if is_async else drive(consume())
    told.finish()
    assert told.summary.provider_time == _HEADERS + vendor.waits[0]
    assert told.summary.consumer_time == _idle(vendor) + 2.0
    assert told.summary.duration == _HEADERS + vendor.waits[0] + _idle(vendor) + 2.0


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
