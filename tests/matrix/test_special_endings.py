"""Endings that need more than a scenario and an act: time limits, closed ports, late failures, odd transports.

What they need of a vendor is in `support.special`; what is tried with one SDK only is below.
"""

from __future__ import annotations

import asyncio
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from inspect import isfunction
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

import streamspan
from streamspan import _api
from streamspan._session import Session
from streamspan.demo import DemoProvider
from support.caller import Caller, Held
from support.replay import Replay
from support.seen import TLS, plain
from support.special import Special
from support.surface import Surface
from support.surfaces import each
from support.surfaces.openai import CHAT, MESSAGES, MODEL
from support.telemetry import Told
from support.twice import drive, run_twice

pytestmark = [
    pytest.mark.usefixtures("_quick_retries"),
    # Of old SDKs: google-genai 1.56, and mistralai 1.5 with a pydantic of today.
    pytest.mark.filterwarnings("ignore:Granular retry options:UserWarning"),
    pytest.mark.filterwarnings("ignore:Async interactions client cannot use aiohttp:UserWarning"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'"),
]
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_GATE = "gate;chunks=4"
_OK = "ok;chunks=4"
_SPECIALS: tuple[Special, ...] = each("SPECIAL")


def _vendors(
    *,
    of: Callable[[Special], bool] = lambda _: True,
    surfaces: Callable[[Special], Iterable[Surface]] = lambda special: (special.surface,),
) -> pytest.MarkDecorator:
    """Run a test with the surfaces of every vendor that it makes sense for, in all their colours."""
    cases = [
        pytest.param(special, surface, is_async, id=f"{surface.layer}-{surface.name}-{'async' if is_async else 'sync'}")
        for special in _SPECIALS
        if of(special)
        for surface in surfaces(special)
        for is_async in special.colours
    ]
    return pytest.mark.parametrize(("special", "surface", "is_async"), cases)


_EVERYBODY = _vendors()


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


def _run(coroutine: Any, *, is_async: bool) -> Any:
    return asyncio.run(coroutine) if is_async else drive(coroutine)


async def _read(caller: Caller, surface: Surface, scenario: str = _OK) -> None:
    async with caller.noting():
        held = await caller.open(surface, scenario)
        await caller.read(held, surface)
    caller.ended()


async def _read_all(caller: Caller, surface: Surface, client: Any) -> None:
    """Read a stream of a client that was made elsewhere."""
    made = surface.start(client)
    stream = surface.view(await caller.wait(made) if surface.awaits_start else made)
    iterator = stream if caller.is_async else iter(stream)
    while (await anext(iterator, None) if caller.is_async else next(iterator, None)) is not None:
        pass


def _is_noisy(surface: Surface) -> bool:
    return "noisy" in surface.traits


async def _close_all(caller: Caller) -> None:
    for client in caller.clients:
        await caller.wait(client.close())


# --- B4: held ----------------------------------------------------------------------------------------------------


@_vendors(surfaces=lambda special: special.held)
def test_a_stream_that_is_broken_off_and_held_stays_open(
    server: DemoProvider, told: Told, special: Special, surface: Surface, is_async: bool
) -> None:
    """It is counted as open for as long as the caller holds it, and ends by whatever comes first."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=lambda: len(told.spans))
        held = await caller.open(surface, _GATE)
        async for _ in caller.reading(held, surface):
            if caller.taken == 3:
                break
        await caller.collect()
        assert told.spans == []
        assert told.active == 1
        await caller.close(held)
        assert len(told.spans) == 1
        assert told.active == 0
        await _close_all(caller)

    _run(program(), is_async=is_async)
    assert told.attributes["streamspan.cancel.reason"] == "closed"


@_EVERYBODY
def test_streams_that_are_open_at_exit_end_then(
    server: DemoProvider, told: Told, special: Special, surface: Surface, is_async: bool
) -> None:
    """What is still held when the process ends is ended by the exit hook, at the time of the last chunk."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        held = await caller.open(surface, _GATE)
        await caller.take(held, surface)
        lifecycle = _api._state.lifecycle
        assert lifecycle is not None
        lifecycle._end_open()
        assert told.attributes["streamspan.cancel.reason"] == "exit"
        await caller.close(held)
        await _close_all(caller)

    _run(program(), is_async=is_async)
    assert told.span.end_time == pytest.approx(told.events("streamspan.chunk")[-1].timestamp, abs=2)
    assert told.active == 0


# --- D: before and after the stream ------------------------------------------------------------------------------


@_EVERYBODY
def test_a_refused_connection_is_an_error(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """Nobody listens: all attempts of the SDK, one span."""

    async def program(caller: Caller) -> None:
        await _read(caller, surface)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = {"base_url": f"http://127.0.0.1:{port}{special.base}"}
    told = run_twice(server, program, is_noisy=_is_noisy(surface), is_async=is_async, options=options)
    assert told.attributes["streamspan.outcome"] == "error"
    assert told.attributes["error.type"] == special.refused
    assert told.attributes.get("http.request.resend_count", 0) == (
        2 if surface.resends and special.resends_refused else 0
    )
    assert told.attributes["gen_ai.request.stream"] is True
    assert "gen_ai.response.finish_reasons" not in told.attributes
    assert "gen_ai.response.time_to_first_chunk" not in told.attributes


@_vendors(of=lambda special: bool(special.unpooled))
def test_no_free_connection_is_a_timeout(
    server: DemoProvider, told: Told, special: Special, surface: Surface, is_async: bool
) -> None:
    """The pool has one connection, and a held stream has it."""

    async def program() -> None:
        kind = special.http.AsyncClient if is_async else special.http.Client
        limits, timeout = special.http.Limits(max_connections=1), special.http.Timeout(5.0, pool=0.05)
        client = special.client(
            kind(verify=TLS, limits=limits, timeout=timeout), server.url(_GATE, base=special.base), is_async=is_async
        )
        caller = Caller(server, is_async=is_async, ended_spans=None)
        first = await caller.wait(surface.start(client))
        async with caller.noting():
            await caller.wait(surface.start(client))
        assert told.attributes["streamspan.outcome"] == "timeout"
        assert told.attributes["error.type"] == special.unpooled
        stream = surface.view(first)
        await caller.close(Held(stream, stream, surface.closer(first, stream), None, surface))
        await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert len(told.spans) == 2
    assert told.active == 0


@_vendors(of=lambda special: special.on is not None)
def test_a_connection_that_cannot_be_made_in_time_is_a_timeout(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """The connect timeout of the transport."""

    def refuse(request: Any) -> Any:
        raise special.http.ConnectTimeout("too slow", request=request)

    async def program(caller: Caller) -> None:
        client = special.client(_mock_http(special, refuse, is_async=is_async), "http://localhost", is_async=is_async)
        caller.clients.append(client)
        async with caller.noting():
            await _read_all(caller, surface, client)
        caller.ended()

    told = run_twice(server, program, is_noisy=_is_noisy(surface), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "timeout"
    assert told.attributes["error.type"] == special.unconnected
    assert told.attributes.get("http.request.resend_count", 0) == (2 if special.resends_unconnected else 0)


def _mock_http(special: Special, handler: Callable[[Any], Any], *, is_async: bool) -> Any:
    transport = special.http.MockTransport(handler)
    return (special.http.AsyncClient if is_async else special.http.Client)(transport=transport)


@_vendors(of=lambda special: special.frame is not None)
def test_a_reset_while_the_end_is_drained_spoils_nothing(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """A failure after the terminal marker is not the stream's."""

    async def program(caller: Caller) -> None:
        await _read(caller, surface)

    with Replay(special.wire(server), end="reset", content_type=special.content_type) as replay:
        told = run_twice(
            server,
            program,
            is_noisy=_is_noisy(surface),
            is_async=is_async,
            options={"base_url": f"{replay.url}{special.base}"},
        )
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.span.status.status_code is StatusCode.UNSET


@_vendors(of=lambda special: special.markers > 0)
def test_a_connection_lost_between_finish_reason_and_marker(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """The answer is complete when all its choices have a finish reason; the caller still sees the SDK's exception."""

    async def program(caller: Caller) -> None:
        await _read(caller, surface)

    wire = special.wire(server)[: -special.markers]
    with Replay(wire, end="close", content_type=special.content_type) as replay:
        told = run_twice(
            server,
            program,
            is_noisy=_is_noisy(surface),
            is_async=is_async,
            options={"base_url": f"{replay.url}{special.base}"},
        )
    assert told.attributes["streamspan.outcome"] == special.lost


@_EVERYBODY
def test_a_stream_that_times_out_in_a_stall_has_that_stall(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """The wait that never ended counts as a stall, at the index of the chunk that never came."""

    async def program(caller: Caller) -> None:
        await _read(caller, surface, "hang;chunks=4")

    options = {"read_timeout": 0.3, "max_retries": 0}
    config = streamspan.Config(stall_seconds=0.1)
    told = run_twice(server, program, is_noisy=_is_noisy(surface), is_async=is_async, options=options, config=config)
    assert told.attributes["streamspan.outcome"] == "timeout"
    assert told.attributes["streamspan.stall.time"] >= 0.3
    stall = told.events("streamspan.stall")[-1]
    assert stall.attributes is not None
    assert stall.attributes["streamspan.chunk.index"] == told.attributes["streamspan.chunk.count"] > 0


# --- F: runtime --------------------------------------------------------------------------------------------------


# boto3 leaves the connection of a stream that has failed to the garbage collector: here, and not in the next test.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@_EVERYBODY
@pytest.mark.parametrize("scenario", [_OK, "error_event;chunks=4", "short;chunks=4"])
def test_a_failing_exporter_is_not_the_callers_business(
    server: DemoProvider, special: Special, surface: Surface, scenario: str, is_async: bool
) -> None:
    """What a span processor raises at the end of a span never reaches the stream."""

    class Broken(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise RuntimeError("broken exporter")

    def items(*, has_streamspan: bool) -> list[Any]:
        server.clear()
        told = Told()
        told.tracers.add_span_processor(Broken())
        if has_streamspan:
            told.instrument()
        caller = Caller(server, is_async=is_async, ended_spans=None)

        async def program() -> None:
            await _read(caller, surface, scenario)
            await _close_all(caller)

        _run(program(), is_async=is_async)
        told.finish()
        gc.collect()
        if has_streamspan:
            assert told.active == 0
            assert _api.open_sessions() == []
        return caller.seen.notes

    assert _without_ids(items(has_streamspan=True)) == _without_ids(items(has_streamspan=False))


def _without_ids(notes: list[Any]) -> list[Any]:
    return [note for note in notes if note[0] not in {"response", "raised"}]


@_EVERYBODY
def test_a_failing_callback_is_not_the_callers_business(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What `on_session_end` raises is logged once and goes no further."""

    def fail(_: object) -> None:
        raise RuntimeError("broken callback")

    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, on_session_end=fail)

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        for _ in range(2):
            await _read(caller, surface)
        assert [note for note in caller.seen.notes if note[0] == "raised"] == [("raised", None)] * 2
        await _close_all(caller)

    _run(program(), is_async=is_async)
    told.finish()
    assert len(told.spans) == 2
    assert len([record for record in caplog.records if record.name == "streamspan"]) == 1


@asynccontextmanager
async def _holding(caller: Caller, surface: Surface, scenario: str) -> AsyncIterator[Held]:
    """Hold a stream in its `with`, or close it in the end where it has none."""
    if "with" in surface.traits:
        async with caller.holding(surface, scenario) as held:
            yield held
        return
    held = await caller.open(surface, scenario)
    try:
        yield held
    finally:
        await caller.close(held)


# `arrived` is left out: a clock reading and two stores, where a fence would cost more than what it fences.
_ENTRIES = sorted(
    name for name, value in vars(Session).items() if isfunction(value) and name[0] != "_" and name != "arrived"
)


@_vendors(surfaces=lambda special: special.faulty)
@pytest.mark.parametrize("entry", _ENTRIES)
def test_a_fault_of_ours_is_not_the_callers_business(
    server: DemoProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    entry: str,
    special: Special,
    surface: Surface,
    is_async: bool,
) -> None:
    """Whichever step of ours fails, in whatever ending, the caller sees what it sees without us."""

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async def program(caller: Caller) -> None:
        for scenario in (_OK, "error_event;chunks=4", "flaky;chunks=4"):
            async with caller.noting(), _holding(caller, surface, scenario) as held:
                await caller.read(held, surface)
        async with _holding(caller, surface, _GATE) as held:
            await caller.take(held, surface)
        await _close_all(caller)

    def run() -> Any:
        server.clear()
        caller = Caller(server, is_async=is_async, ended_spans=None)
        _run(program(caller), is_async=is_async)
        return caller.seen.notes

    bare = run()
    told = Told()
    told.instrument()
    monkeypatch.setattr(Session, entry, fail)
    seen = run()
    monkeypatch.undo()
    told.finish()
    for session in _api.open_sessions():  # a session whose ending has failed stays open
        session.forget()
        _api._lifecycle().closed(session)
    assert seen == bare
    assert {record.levelname for record in caplog.records if record.name == "streamspan"} <= {"WARNING"}


@_EVERYBODY
def test_cancelled_spans_can_be_marked_as_errors(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """For those who want it: status ERROR and `error.type` `cancelled`."""

    async def program(caller: Caller) -> None:
        held = await caller.open(surface, _GATE)
        await caller.take(held, surface)
        await caller.close(held)
        caller.ended()

    told = run_twice(
        server, program, is_noisy=_is_noisy(surface), is_async=is_async, config=streamspan.Config(cancel_status="error")
    )
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["error.type"] == "cancelled"
    assert told.span.status.status_code is StatusCode.ERROR


# --- odd transports ----------------------------------------------------------------------------------------------


def _in_memory(special: Special, body: bytes, *, is_async: bool) -> Any:
    kept = {"content-type": special.content_type}

    def handler(_: Any) -> Any:
        return special.http.Response(200, headers=kept, content=body)

    return special.client(_mock_http(special, handler, is_async=is_async), "http://localhost", is_async=is_async)


_MOCKED = _vendors(of=lambda special: special.on is not None and special.frame is not None)


@_MOCKED
@pytest.mark.parametrize("outcome", ["completed", "truncated"])
def test_a_body_in_memory_is_recorded_like_any_other(
    server: DemoProvider, special: Special, surface: Surface, outcome: str, is_async: bool
) -> None:
    """A mock transport may answer with bytes that need no reading."""
    wire = special.wire(server)
    body = b"".join(wire if outcome == "completed" else wire[: -1 - special.markers])

    async def program(caller: Caller) -> None:
        client = _in_memory(special, body, is_async=is_async)
        caller.clients.append(client)
        async with caller.noting():
            await _read_all(caller, surface, client)
        caller.ended()

    told = run_twice(server, program, is_noisy=_is_noisy(surface), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == outcome
    assert told.attributes["streamspan.output.characters"] > 0


@_MOCKED
def test_a_body_in_memory_that_is_broken_off_ends(
    server: DemoProvider, special: Special, surface: Surface, is_async: bool
) -> None:
    """Nothing has to be closed there; it is cancelled when the `with` is left, or at the latest when it is dropped."""
    body = b"".join(special.wire(server))
    told = Told()
    told.instrument()

    async def program() -> None:
        client = _in_memory(special, body, is_async=is_async)
        caller = Caller(server, is_async=is_async, ended_spans=None)
        made = surface.start(client)
        stream = await caller.wait(made) if surface.awaits_start else made
        await anext(stream) if is_async else next(stream)
        await caller.close(Held(stream, stream, surface.closer(stream, stream), None, surface))
        del stream, made
        await caller.collect()
        _api.drain()
        await caller.wait(client.close())

    _run(program(), is_async=is_async)
    told.finish()
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.active == 0


# --- one SDK -----------------------------------------------------------------------------------------------------


@_COLOURS
@pytest.mark.parametrize("way", ["plain", "raw", "streaming"])
def test_a_call_without_a_stream_is_one_span(server: DemoProvider, way: str, is_async: bool) -> None:
    """It has duration, usage and finish reason, and none of what only streams have."""

    async def program(caller: Caller) -> None:
        client = CHAT.client(caller, _OK)
        caller.clients.append(client)
        completions = client.chat.completions
        arguments: dict[str, Any] = {"model": MODEL, "messages": MESSAGES}
        if way == "plain":
            answer = await caller.wait(completions.create(**arguments))
        elif way == "raw":
            answer = (await caller.wait(completions.with_raw_response.create(**arguments))).parse()
        else:
            manager = completions.with_streaming_response.create(**arguments)
            response = await caller.enter(manager)
            answer = await caller.wait(response.parse())
            await caller.wait(manager.__aexit__(None, None, None) if is_async else manager.__exit__(None, None, None))
        caller.seen.note("answer", plain(answer))
        caller.ended()

    told = run_twice(server, program, is_async=is_async)
    attributes = told.attributes
    assert attributes["gen_ai.request.stream"] is False
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert attributes["gen_ai.usage.output_tokens"] > 0
    stream_only = ("streamspan.chunk", "streamspan.time_to", "streamspan.wait", "streamspan.provider_time")
    assert not [name for name in attributes if name.startswith((*stream_only, "gen_ai.response.time_to_first_chunk"))]
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert "streamspan.active" not in told.metrics
    assert told.events("streamspan.chunk") == []


@_COLOURS
def test_a_raw_response_may_be_parsed_much_later(server: DemoProvider, told: Told, is_async: bool) -> None:
    """In another context than the call's, and after other calls: the response knows whose it is."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        client = CHAT.client(caller, _OK)
        raw = client.chat.completions.with_raw_response
        response = await caller.wait(raw.create(model="early", messages=MESSAGES, stream=True))
        other = await caller.wait(client.chat.completions.create(model="other", messages=MESSAGES, stream=True))
        while (await anext(other, None) if is_async else next(other, None)) is not None:
            pass
        stream = response.parse()
        while (await anext(stream, None) if is_async else next(stream, None)) is not None:
            pass
        await caller.wait(client.close())

    _run(program(), is_async=is_async)
    counts = {
        (span.attributes or {})["gen_ai.request.model"]: (span.attributes or {})["streamspan.chunk.count"]
        for span in told.spans
    }
    assert counts == {"early": 6, "other": 6}
