"""Whose parent is whose: the caller's spans, ours, and those of the HTTP client, in every kind of concurrency."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import NoOpTracerProvider, Tracer

import streamspan
from streamspan import _api
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.openai_sdk import VERSION, http
from support.seen import TLS
from support.surface import Surface
from support.surfaces import each
from support.surfaces.openai import CHAT, MESSAGES, MODEL
from support.telemetry import Told, scope_of
from support.twice import drive, run_twice

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # older LangChain on newer pydantic
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_SURFACES = pytest.mark.parametrize("surface", each("CONTEXTS"), ids=lambda surface: f"{surface.layer}-{surface.name}")
_OK = "ok;chunks=4"


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


@pytest.fixture
def tracer(told: Told) -> Tracer:
    """The application's own tracer."""
    return told.tracers.get_tracer("app")


def _run(coroutine: Any, *, is_async: bool) -> Any:
    return asyncio.run(coroutine) if is_async else drive(coroutine)


def _client(server: DemoProvider, scenario: str = _OK, **options: Any) -> openai.OpenAI:
    client_http = openai.DefaultHttpxClient(verify=TLS, **options)
    return openai.OpenAI(base_url=server.url(scenario), api_key="key", http_client=client_http)


def _aclient(server: DemoProvider, scenario: str = _OK, **options: Any) -> openai.AsyncOpenAI:
    client_http = openai.DefaultAsyncHttpxClient(verify=TLS, **options)
    return openai.AsyncOpenAI(base_url=server.url(scenario), api_key="key", http_client=client_http)


def _open(client: Any, model: str = "m") -> Any:
    return client.chat.completions.create(model=model, messages=MESSAGES, stream=True)


def _id(span: Any) -> int | None:
    return (
        None if span is None else (span.context if isinstance(span, ReadableSpan) else span.get_span_context()).span_id
    )


def _parent_id(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def _models(told: Told) -> dict[str, ReadableSpan]:
    return {str((span.attributes or {})["gen_ai.request.model"]): span for span in told.spans}


# --- the caller's span -------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Granular retry options:UserWarning")  # both of google-genai 1.56
@pytest.mark.filterwarnings("ignore:Async interactions client cannot use aiohttp:UserWarning")
@_SURFACES
@_COLOURS
def test_the_current_span_is_the_callers(
    server: DemoProvider, told: Told, tracer: Tracer, surface: Surface, is_async: bool
) -> None:
    """While the caller's code runs its own span is current; ours is a child of the one that was at the call."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        with tracer.start_as_current_span("caller") as mine:
            held = await caller.open(surface, _OK)
            assert trace.get_current_span() is mine
            async for _ in caller.reading(held, surface):
                assert trace.get_current_span() is mine
                with tracer.start_as_current_span("inside"):
                    pass
            assert trace.get_current_span() is mine
            await caller.close(held)
            assert trace.get_current_span() is mine
        assert trace.get_current_span() is trace.INVALID_SPAN
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    (mine,) = (span for span in told.all_spans if span.name == "caller")
    inside = [span for span in told.all_spans if span.name == "inside"]
    assert inside
    assert {_parent_id(span) for span in inside} == {_id(mine)}
    assert _parent_id(told.span) == _id(mine)


@_COLOURS
@pytest.mark.parametrize("scenario", ["error_event", "drop", "status_400", "short"])
def test_the_current_span_is_the_callers_after_a_failure(
    server: DemoProvider, told: Told, tracer: Tracer, scenario: str, is_async: bool
) -> None:
    """Whatever fails, the caller's span is current again, and the context is the same object as before."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        with tracer.start_as_current_span("caller"):
            before = otel_context.get_current()
            async with caller.noting():
                held = await caller.open(CHAT, scenario)
                await caller.read(held, CHAT)
            assert otel_context.get_current() == before
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert len(told.spans) == 1


@_COLOURS
def test_the_parent_is_the_span_at_the_call(server: DemoProvider, told: Told, tracer: Tracer, is_async: bool) -> None:
    """Reading under another span, or none, does not change whose child the stream is."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        with tracer.start_as_current_span("asking"):
            held = await caller.open(CHAT, _OK)
        await caller.take(held, CHAT, 1)
        with tracer.start_as_current_span("reading"):
            await caller.read(held, CHAT)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    (asking,) = (span for span in told.all_spans if span.name == "asking")
    assert _parent_id(told.span) == _id(asking)
    assert (told.span.end_time or 0) > (asking.end_time or 0)


@_COLOURS
def test_a_call_outside_of_any_span_is_a_root(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Without a span there is no parent."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        held = await caller.open(CHAT, _OK)
        await caller.read(held, CHAT)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert told.span.parent is None


# --- the HTTP client's spans ------------------------------------------------------------------------------------


class TracingTransport(http.HTTPTransport):  # type: ignore[misc] # of whichever library it is
    """Starts a span around each request, as HTTP instrumentations do."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(verify=TLS)
        self._tracer = tracer

    def handle_request(self, request: Any) -> Any:
        with self._tracer.start_as_current_span("HTTP"):
            return super().handle_request(request)


class AsyncTracingTransport(http.AsyncHTTPTransport):  # type: ignore[misc]
    """The same for asyncio."""

    def __init__(self, tracer: Tracer) -> None:
        super().__init__(verify=TLS)
        self._tracer = tracer

    async def handle_async_request(self, request: Any) -> Any:
        with self._tracer.start_as_current_span("HTTP"):
            return await super().handle_async_request(request)


@pytest.mark.usefixtures("_quick_retries")
@_COLOURS
@pytest.mark.parametrize(("scenario", "attempts"), [(_OK, 1), ("flaky;chunks=4", 3), ("status_400", 1)])
def test_spans_of_the_http_client_are_our_children(
    server: DemoProvider, told: Told, tracer: Tracer, scenario: str, attempts: int, is_async: bool
) -> None:
    """Every attempt's HTTP span is a child of the session's span, which is a child of the caller's."""
    server.clear()

    async def program() -> None:
        made: Any = AsyncTracingTransport(tracer) if is_async else TracingTransport(tracer)
        client: Any = (_aclient if is_async else _client)(server, scenario, transport=made)
        caller = Caller(server, is_async=is_async, ended_spans=None)
        with tracer.start_as_current_span("caller"):
            async with caller.noting():
                stream = await caller.wait(_open(client))
                async for _ in stream if is_async else _aiter(stream):
                    pass
        await caller.wait(client.close())

    _run(program(), is_async=is_async)
    spans = {name: [span for span in told.all_spans if span.name == name] for name in ("HTTP", "caller")}
    assert len(spans["HTTP"]) == attempts
    assert {_parent_id(span) for span in spans["HTTP"]} == {_id(told.span)}
    assert _parent_id(told.span) == _id(spans["caller"][0])


class _aiter:  # noqa: N801 - stands in for a built-in
    """Iterates over something synchronous in an `async for`."""

    def __init__(self, iterable: Any) -> None:
        self._iterator = iter(iterable)

    def __aiter__(self) -> _aiter:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None


# --- several at once --------------------------------------------------------------------------------------------


def test_nested_streams_are_siblings(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """A stream that is opened inside another one's loop is a child of the caller's span too, and nothing mixes."""
    client = _client(server)
    with tracer.start_as_current_span("caller") as mine:
        for outer, _ in enumerate(_open(client, "outer")):
            if outer == 1:
                assert len(list(_open(client, "inner"))) == 6
    client.close()
    spans = _models(told)
    assert {name: _parent_id(span) for name, span in spans.items()} == {"outer": _id(mine), "inner": _id(mine)}
    assert {(span.attributes or {})["gen_ai.response.model"] for span in told.spans} == {"outer", "inner"}
    assert {(span.attributes or {})["streamspan.chunk.count"] for span in told.spans} == {6}
    assert told.active == 0


def test_alternating_streams_do_not_mix(server: DemoProvider, told: Told) -> None:
    """Two streams that are read in turns have their own counts and endings."""
    client = _client(server)
    one, two = _open(client, "one"), _open(client, "two")
    assert told.active == 2
    for _ in range(3):
        next(one), next(two)
    one.close()
    assert told.active == 1
    list(two)
    client.close()
    attributes = {name: dict(span.attributes or {}) for name, span in _models(told).items()}
    assert attributes["one"]["streamspan.outcome"] == "cancelled"
    assert attributes["one"]["streamspan.chunk.count"] == 3
    assert attributes["two"]["streamspan.outcome"] == "completed"
    assert attributes["two"]["streamspan.chunk.count"] == 6
    assert told.active == 0


def test_a_held_stream_does_not_swallow_later_calls(server: DemoProvider, told: Told) -> None:
    """A stream that was broken off and is still referenced takes nothing of the calls after it."""
    client = _client(server)
    held = _open(client, "held")
    next(held)
    for number in range(3):
        list(_open(client, f"later-{number}"))
    assert sorted(_models(told)) == ["later-0", "later-1", "later-2"]
    assert told.active == 1
    held.close()
    client.close()
    assert len(told.spans) == 4
    assert told.active == 0


def test_fifty_streams_at_once(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """Each of 50 tasks has its own span with its own parent."""

    async def read(client: Any, number: int) -> int | None:
        with tracer.start_as_current_span(f"task-{number}") as mine:
            async for _ in await _open(client, f"m{number}"):
                assert trace.get_current_span() is mine
        return _id(mine)

    async def program() -> list[int | None]:
        async with _aclient(server, "slow;chunks=3;delay=0.001") as client:
            return await asyncio.gather(*(read(client, number) for number in range(50)))

    parents = asyncio.run(program())
    assert {name: _parent_id(span) for name, span in _models(told).items()} == {
        f"m{number}": parent for number, parent in enumerate(parents)
    }
    assert told.active == 0


def test_streams_in_threads(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """Each of 16 threads has its own span with its own parent."""
    client = _client(server, "slow;chunks=3;delay=0.001")

    def read(number: int) -> int | None:
        with tracer.start_as_current_span(f"thread-{number}") as mine:
            for _ in _open(client, f"m{number}"):
                assert trace.get_current_span() is mine
        return _id(mine)

    with ThreadPoolExecutor(16) as pool:
        parents = list(pool.map(read, range(16)))
    client.close()
    assert {name: _parent_id(span) for name, span in _models(told).items()} == {
        f"m{number}": parent for number, parent in enumerate(parents)
    }
    assert told.active == 0


def test_a_stream_that_moves_to_another_thread(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """Opened in one thread, read in another: one span, its parent from the first, no context left in either."""
    client = _client(server)
    with tracer.start_as_current_span("opener") as mine:
        stream = _open(client)
    current: list[Any] = []

    def read() -> None:
        current.extend(trace.get_current_span() for _ in stream)

    reader = threading.Thread(target=read)
    reader.start()
    reader.join()
    client.close()
    assert current == [trace.INVALID_SPAN] * 6
    assert _parent_id(told.span) == _id(mine)
    assert told.attributes["streamspan.outcome"] == "completed"


def test_a_stream_that_moves_to_another_task(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """Created in one task, read in another that has a span of its own: the parent is from the first."""

    async def opened(client: Any) -> Any:
        with tracer.start_as_current_span("opener"):
            return await _open(client)

    async def read(stream: Any) -> None:
        with tracer.start_as_current_span("reader") as mine:
            async for _ in stream:
                assert trace.get_current_span() is mine

    async def program() -> None:
        async with _aclient(server) as client:
            stream = await asyncio.create_task(opened(client))
            await asyncio.create_task(read(stream))

    asyncio.run(program())
    (opener,) = (span for span in told.all_spans if span.name == "opener")
    assert _parent_id(told.span) == _id(opener)


def test_a_copied_context_carries_the_parent(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """In a thread that runs in a copy of the caller's context, the caller's span is the parent."""
    client = _client(server)
    with tracer.start_as_current_span("caller") as mine:
        copied = contextvars.copy_context()
    worker = threading.Thread(target=copied.run, args=(lambda: list(_open(client)),))
    worker.start()
    worker.join()
    client.close()
    assert _parent_id(told.span) == _id(mine)
    assert copied.run(trace.get_current_span) is mine


def test_many_event_loops(server: DemoProvider, told: Told) -> None:
    """Each loop's stream is recorded, and nothing of a loop that is gone is needed."""

    async def program(model: str) -> None:
        async with _aclient(server) as client:
            async for _ in await _open(client, model):
                pass

    for number in range(5):
        asyncio.run(program(f"m{number}"))
    assert sorted(_models(told)) == [f"m{number}" for number in range(5)]
    assert {(span.attributes or {})["streamspan.outcome"] for span in told.spans} == {"completed"}


@_COLOURS
def test_two_calls_are_two_spans(server: DemoProvider, told: Told, is_async: bool) -> None:
    """Retries of the caller's own are calls of their own."""

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        for scenario in ("drop", _OK):
            async with caller.noting():
                await caller.read(await caller.open(CHAT, scenario), CHAT)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert [(span.attributes or {})["streamspan.outcome"] for span in told.spans] == ["error", "completed"]


# --- nothing, or little, to record ------------------------------------------------------------------------------


async def _read_all(caller: Caller) -> None:
    held = await caller.open(CHAT, _OK)
    await caller.read(held, CHAT)
    caller.ended()


@_COLOURS
def test_suppressed_calls_are_not_recorded(server: DemoProvider, is_async: bool) -> None:
    """`suppress_instrumentation()` is honoured: no span, no metric, nothing open."""

    async def program(caller: Caller) -> None:
        with suppress_instrumentation():
            await _read_all(caller)

    told = run_twice(server, program, is_async=is_async, spans=0)
    assert told.metrics == {}
    assert told.summaries == []


@_COLOURS
def test_suppression_at_the_call_lasts_for_the_stream(server: DemoProvider, is_async: bool) -> None:
    """A stream that was opened under suppression and is read outside of it is not recorded."""

    async def program(caller: Caller) -> None:
        with suppress_instrumentation():
            held = await caller.open(CHAT, _OK)
        await caller.read(held, CHAT)
        caller.ended()

    told = run_twice(server, program, is_async=is_async, spans=0)
    assert told.metrics == {}


@_COLOURS
def test_an_unsampled_stream_has_metrics(server: DemoProvider, is_async: bool) -> None:
    """Under an unsampled parent there is no span, but all metrics and the summary."""
    told = Told(sampler=ParentBased(ALWAYS_OFF))
    told.instrument()

    async def program() -> None:
        caller = Caller(server, is_async=is_async, ended_spans=None)
        with told.tracers.get_tracer("app").start_as_current_span("caller"):
            await _read_all(caller)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    told.finish()
    assert told.all_spans == []
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("gen_ai.client.operation.time_per_output_chunk") == 5
    assert told.count_of("streamspan.time_to_first_token") == 1
    assert told.summary.outcome == "completed"
    assert told.active == 0


@_COLOURS
def test_without_a_real_provider_everything_works(
    server: DemoProvider, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """With no-op providers the caller gets its stream, the callback its summary, and nobody a log line."""
    summaries: list[Any] = []
    streamspan.instrument(
        tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider(), on_session_end=summaries.append
    )
    caller = Caller(server, is_async=is_async, ended_spans=None)

    async def program() -> None:
        await _read_all(caller)
        for client in caller.clients:
            await caller.wait(client.close())

    _run(program(), is_async=is_async)
    assert len([note for note in caller.seen.notes if note[0] == "item"]) == 6
    assert [summary.outcome for summary in summaries] == ["completed"]
    assert summaries[0].trace_id is None
    assert _api.open_sessions() == []
    assert [record for record in caplog.records if record.name == "streamspan"] == []


def test_every_span_is_of_our_scope(server: DemoProvider, told: Told) -> None:
    """The scope of our spans and metrics is `streamspan`, with its version."""
    client = _client(server)
    list(_open(client))
    client.close()
    assert [scope_of(span) for span in told.all_spans] == ["streamspan"]
    data = told.metrics_data
    assert data is not None
    scopes = [scope.scope for resource in data.resource_metrics for scope in resource.scope_metrics]
    assert {(scope.name, scope.version) for scope in scopes} == {("streamspan", streamspan.__version__)}


@pytest.mark.skipif(VERSION < (2, 0), reason="this SDK takes no callable as its key")
def test_a_callable_api_key_is_the_applications_code(server: DemoProvider, told: Told, tracer: Tracer) -> None:
    """It is called inside the SDK, and sees the application's span, as without us."""
    seen: list[Any] = []

    def key() -> str:
        seen.append(trace.get_current_span())
        return "key"

    url = server.url(_OK)
    with openai.OpenAI(base_url=url, api_key=key) as client, tracer.start_as_current_span("app") as app:
        list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
    assert seen == [app]
    assert told.span.parent == app.get_span_context()
