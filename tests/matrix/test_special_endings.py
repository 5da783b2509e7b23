"""Endings that need more than a scenario and an act: time limits, closed ports, late failures, odd transports."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from inspect import isfunction
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.trace import StatusCode

import streamspan
from streamspan import _api
from streamspan._session import Session
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.openai_sdk import http
from support.replay import Replay
from support.seen import TLS, plain
from support.surface import Surface
from support.surfaces.openai import CHAT, HELPER, LINES, MESSAGES, MODEL, RAW, RESPONSES
from support.telemetry import Told
from support.twice import drive, run_twice

pytestmark = pytest.mark.usefixtures("_quick_retries")
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_GATE = "gate;chunks=4"
_OK = "ok;chunks=4"


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


def _run(coroutine: Any, *, is_async: bool) -> Any:
    return asyncio.run(coroutine) if is_async else drive(coroutine)


async def _read(caller: Caller, surface: Surface = CHAT, scenario: str = _OK) -> None:
    async with caller.noting():
        held = await caller.open(surface, scenario)
        await caller.read(held, surface)
    caller.ended()


# --- B4: held ----------------------------------------------------------------------------------------------------


@_COLOURS
@pytest.mark.parametrize("surface", [CHAT, RAW, HELPER, RESPONSES], ids=lambda surface: surface.name)
def test_a_stream_that_is_broken_off_and_held_stays_open(
    server: DemoProvider, told: Told, surface: Surface, is_async: bool
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
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert told.attributes["streamspan.cancel.reason"] == "closed"


@_COLOURS
def test_streams_that_are_open_at_exit_end_then(server: DemoProvider, told: Told, is_async: bool) -> None:
    """What is still held when the process ends is ended by the exit hook, at the time of the last chunk."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        held = await caller.open(CHAT, _GATE)
        await caller.take(held, CHAT)
        lifecycle = _api._state.lifecycle
        assert lifecycle is not None
        lifecycle._end_open()
        assert told.attributes["streamspan.cancel.reason"] == "exit"
        await caller.close(held)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert told.span.end_time == pytest.approx(told.events("streamspan.chunk")[-1].timestamp, abs=2)
    assert told.active == 0


# --- D: before and after the stream ------------------------------------------------------------------------------


@_COLOURS
def test_a_refused_connection_is_an_error(server: DemoProvider, is_async: bool) -> None:
    """Nobody listens: three attempts, one span."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    told = run_twice(server, _read, is_async=is_async, options={"base_url": f"http://127.0.0.1:{port}/v1"})
    assert told.attributes["streamspan.outcome"] == "error"
    assert told.attributes["error.type"] == "openai.APIConnectionError"
    assert told.attributes["http.request.resend_count"] == 2
    assert told.attributes["gen_ai.request.stream"] is True
    assert "gen_ai.response.finish_reasons" not in told.attributes
    assert "gen_ai.response.time_to_first_chunk" not in told.attributes


@_COLOURS
def test_no_free_connection_is_a_timeout(server: DemoProvider, told: Told, is_async: bool) -> None:
    """The pool has one connection, and a held stream has it."""

    async def program() -> None:
        client_http: Any = (openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient)(
            verify=TLS, limits=http.Limits(max_connections=1)
        )
        kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        timeout = http.Timeout(5.0, pool=0.05)
        client = kind(
            base_url=server.url(_GATE), api_key="key", http_client=client_http, timeout=timeout, max_retries=0
        )
        caller = Caller(server, is_async=is_async, ended_spans=None)
        first = await caller.wait(client.chat.completions.create(model="first", messages=MESSAGES, stream=True))
        with pytest.raises(openai.APITimeoutError):
            await caller.wait(client.chat.completions.create(model="second", messages=MESSAGES, stream=True))
        assert told.attributes["gen_ai.request.model"] == "second"
        assert told.attributes["streamspan.outcome"] == "timeout"
        assert told.attributes["error.type"] == "openai.APITimeoutError"
        await caller.wait(first.close())
        await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert len(told.spans) == 2
    assert told.active == 0


@_COLOURS
def test_a_connection_that_cannot_be_made_in_time_is_a_timeout(server: DemoProvider, is_async: bool) -> None:
    """The connect timeout of the transport."""

    def refuse(request: Any) -> Any:
        raise http.ConnectTimeout("too slow", request=request)

    async def program(caller: Caller) -> None:
        transport = http.MockTransport(refuse)
        client_http: Any = http.AsyncClient(transport=transport) if is_async else http.Client(transport=transport)
        kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
        client = kind(base_url="http://localhost", api_key="key", http_client=client_http)
        async with caller.noting():
            await caller.wait(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        caller.ended()

    told = run_twice(server, program, is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "timeout"
    assert told.attributes["http.request.resend_count"] == 2


@_COLOURS
def test_a_reset_while_the_end_is_drained_spoils_nothing(server: DemoProvider, is_async: bool) -> None:
    """A failure after the terminal marker is not the stream's."""
    body = (
        b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
        b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b"data: [DONE]\n\n"
    )
    with Replay([body], end="reset") as replay:
        told = run_twice(server, _read, is_async=is_async, options={"base_url": f"{replay.url}/v1"})
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.span.status.status_code is StatusCode.UNSET


@_COLOURS
def test_a_connection_lost_between_finish_reason_and_marker_spoils_nothing(
    server: DemoProvider, is_async: bool
) -> None:
    """The answer is complete when all its choices have a finish reason; the caller still sees the SDK's exception."""
    body = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":"stop"}]}\n\n'
    with Replay([body], end="close") as replay:
        told = run_twice(server, _read, is_async=is_async, options={"base_url": f"{replay.url}/v1"})
    assert told.attributes["streamspan.outcome"] == "completed"


@_COLOURS
def test_a_stream_that_times_out_in_a_stall_has_that_stall(server: DemoProvider, is_async: bool) -> None:
    """The wait that never ended counts as a stall, at the index of the chunk that never came."""

    async def program(caller: Caller) -> None:
        await _read(caller, CHAT, "hang;chunks=4")

    options = {"read_timeout": 0.3, "max_retries": 0}
    config = streamspan.Config(stall_seconds=0.1)
    told = run_twice(server, program, is_async=is_async, options=options, config=config)
    assert told.attributes["streamspan.outcome"] == "timeout"
    assert told.attributes["streamspan.stall.count"] == 1
    assert told.attributes["streamspan.stall.time"] >= 0.3
    (stall,) = told.events("streamspan.stall")
    assert stall.attributes is not None
    assert stall.attributes["streamspan.chunk.index"] == 3


# --- F: runtime --------------------------------------------------------------------------------------------------


@_COLOURS
@pytest.mark.parametrize("scenario", [_OK, "error_event;chunks=4", "short;chunks=4"])
def test_a_failing_exporter_is_not_the_callers_business(server: DemoProvider, scenario: str, is_async: bool) -> None:
    """What a span processor raises at the end of a span never reaches the stream."""

    class Broken(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise RuntimeError("broken exporter")

    def items(*, has_streamspan: bool) -> list[Any]:
        told = Told()
        told.tracers.add_span_processor(Broken())
        if has_streamspan:
            told.instrument()
        caller = Caller(server, is_async=is_async, ended_spans=None)

        async def program() -> None:
            await _read(caller, CHAT, scenario)
            for client in caller.clients:
                await caller.wait(client.close())

        _run(program(), is_async=is_async)
        told.finish()
        if has_streamspan:
            assert told.active == 0
            assert _api.open_sessions() == []
        return caller.seen.notes

    assert _without_ids(items(has_streamspan=True)) == _without_ids(items(has_streamspan=False))


def _without_ids(notes: list[Any]) -> list[Any]:
    return [note for note in notes if note[0] not in {"response", "raised"}]


@_COLOURS
def test_a_failing_callback_is_not_the_callers_business(
    server: DemoProvider, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """What `on_session_end` raises is logged once and goes no further."""

    def fail(_: object) -> None:
        raise RuntimeError("broken callback")

    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, on_session_end=fail)

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        for _ in range(2):
            await _read(caller)
        assert len([note for note in caller.seen.notes if note[0] == "item"]) == 12
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    told.finish()
    assert len(told.spans) == 2
    assert len([record for record in caplog.records if record.name == "streamspan"]) == 1


# `arrived` is left out: a clock reading and two stores, where a fence would cost more than what it fences.
_ENTRIES = sorted(
    name for name, value in vars(Session).items() if isfunction(value) and name[0] != "_" and name != "arrived"
)


@_COLOURS
@pytest.mark.parametrize("surface", [CHAT, LINES], ids=lambda surface: surface.name)
@pytest.mark.parametrize("entry", _ENTRIES)
def test_a_fault_of_ours_is_not_the_callers_business(
    server: DemoProvider,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    entry: str,
    surface: Surface,
    is_async: bool,
) -> None:
    """Whichever step of ours fails, in whatever ending, the caller sees what it sees without us."""

    def fail(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async def program(caller: Caller) -> None:
        for scenario in (_OK, "error_event;chunks=4", "flaky;chunks=4"):
            async with caller.noting(), caller.holding(surface, scenario) as held:
                await caller.read(held, surface)
        async with caller.holding(surface, _GATE) as held:
            await caller.take(held, surface)
        for client in caller.clients:
            await caller.wait(client.close())

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


# --- odd transports and whole answers ----------------------------------------------------------------------------


def _in_memory(body: bytes, *, is_async: bool) -> Any:
    def handler(_: Any) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    transport = http.MockTransport(handler)
    client_http: Any = http.AsyncClient(transport=transport) if is_async else http.Client(transport=transport)
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url="http://localhost", api_key="key", http_client=client_http)


_HELLO = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'
_STOP = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


@_COLOURS
@pytest.mark.parametrize(("body", "outcome"), [(_HELLO + _STOP, "completed"), (_HELLO, "truncated")])
def test_a_body_in_memory_is_recorded_like_any_other(
    server: DemoProvider, told: Told, body: bytes, outcome: str, is_async: bool
) -> None:
    """A mock transport may answer with bytes that need no reading."""

    async def program() -> None:
        client = _in_memory(body, is_async=is_async)
        caller = Caller(server, is_async=is_async, ended_spans=None)
        stream = await caller.wait(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        while (await anext(stream, None) if is_async else next(stream, None)) is not None:
            pass
        assert len(told.spans) == 1

    _run(program(), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == outcome
    assert told.attributes["streamspan.output.characters"] == 2


@_COLOURS
def test_a_body_in_memory_that_is_broken_off_ends(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Nothing has to be closed there; it is cancelled when the `with` is left, or at the latest when it is dropped."""

    async def program() -> None:
        client = _in_memory(_HELLO * 3 + _STOP, is_async=is_async)
        caller = Caller(server, is_async=is_async, ended_spans=None)
        stream = await caller.wait(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        await anext(stream) if is_async else next(stream)
        await caller.wait(stream.close())
        del stream
        await caller.collect()
        _api.drain()

    _run(program(), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.active == 0


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
def test_cancelled_spans_can_be_marked_as_errors(server: DemoProvider, is_async: bool) -> None:
    """For those who want it: status ERROR and `error.type` `cancelled`."""

    async def program(caller: Caller) -> None:
        held = await caller.open(CHAT, _GATE)
        await caller.take(held, CHAT)
        await caller.close(held)
        caller.ended()

    told = run_twice(server, program, is_async=is_async, config=streamspan.Config(cancel_status="error"))
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["error.type"] == "cancelled"
    assert told.span.status.status_code is StatusCode.ERROR


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
