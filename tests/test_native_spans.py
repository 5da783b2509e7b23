"""The Anthropic SDK's own tracing: one span per call with `replace`, and with `keep` its span as it is, as the parent."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.context import attach, detach, set_value
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import format_span_id, format_trace_id

import streamspan
from streamspan.demo import DemoProvider
from support.seen import TLS
from support.telemetry import Told, scope_of

anthropic = pytest.importorskip("anthropic")
pytest.importorskip("anthropic._tracing", reason="this version of anthropic does not trace itself")

pytestmark = pytest.mark.usefixtures("_quick_retries")

MODEL = "claude-demo"
ASKED: Any = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "What is a stream?"}]}
REPLACE, KEEP = streamspan.Config(native_spans="replace"), streamspan.Config(native_spans="keep")
BOTH = pytest.mark.parametrize("config", [REPLACE, KEEP], ids=["replace", "keep"])


@pytest.fixture
def told() -> Iterator[Told]:
    """Everything that is exported, by the SDK and by streamspan."""
    made = Told()
    yield made
    streamspan.uninstrument()


@pytest.fixture(autouse=True)
def _clients() -> Iterator[None]:
    """Clients are closed, as their sockets would be reported else."""
    yield
    while _CLIENTS:
        _CLIENTS.pop().close()


_CLIENTS: list[Any] = []


def _client(server: DemoProvider, told: Told | None, scenario: str = "ok;chunks=4", **options: Any) -> Any:
    tracing: Any = {} if told is None else {"open_telemetry": {"tracer_provider": told.tracers}}
    server.clear()
    client = anthropic.Anthropic(
        base_url=server.url(scenario, base=""),
        api_key="key",
        http_client=anthropic.DefaultHttpxClient(verify=TLS),
        **tracing | options,
    )
    _CLIENTS.append(client)
    return client


def _native(told: Told) -> list[ReadableSpan]:
    return [span for span in told.all_spans if scope_of(span).startswith("com.anthropic")]


def _parent(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    identity: int = span.context.span_id
    return identity


def _traceparent(span: ReadableSpan) -> str:
    context = span.context
    assert context is not None
    flags = f"{context.trace_flags:02x}"
    return f"00-{format_trace_id(context.trace_id)}-{format_span_id(context.span_id)}-{flags}"


def _sent(server: DemoProvider) -> list[str | None]:
    return [exchange.headers.get("traceparent") for exchange in server.exchanges]


# --- ways to use a client ----------------------------------------------------------------------------------------


def _create(client: Any) -> None:
    for _ in client.messages.create(**ASKED, stream=True):
        pass


def _whole(client: Any) -> None:
    client.messages.create(**ASKED)


def _text(client: Any) -> None:
    with client.messages.stream(**ASKED) as stream:
        assert "".join(stream.text_stream)


def _final(client: Any) -> None:
    with client.messages.stream(**ASKED) as stream:
        assert stream.get_final_message().content


def _beta(client: Any) -> None:
    with client.beta.messages.stream(**ASKED) as stream:
        stream.until_done()


def _raw(client: Any) -> None:
    for _ in client.messages.with_raw_response.create(**ASKED, stream=True).parse():
        pass


def _lines(client: Any) -> None:
    with client.messages.with_streaming_response.create(**ASKED, stream=True) as response:
        assert list(response.iter_lines())


USES: list[Callable[[Any], None]] = [_create, _whole, _text, _final, _beta, _raw, _lines]
EVERY_USE = pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__.strip("_"))


def _break(client: Any) -> None:
    stream = client.messages.create(**ASKED, stream=True)
    next(stream)
    stream.close()


def _drop(client: Any) -> None:
    next(client.messages.create(**ASKED, stream=True))
    gc.collect()


def _fail(client: Any) -> None:
    with pytest.raises(anthropic.APIStatusError):
        _create(client)


EVERY_ENDING = pytest.mark.parametrize(
    ("use", "scenario", "outcome"),
    [
        *[(use, "ok;chunks=4", "completed") for use in USES],
        (_create, "tools;chunks=2", "completed"),
        (_create, "short;chunks=4", "truncated"),
        (_break, "gate;chunks=4", "cancelled"),
        (_drop, "gate;chunks=4", "cancelled"),
        (_fail, "error_event;chunks=4", "error"),
        (_fail, "status_400", "error"),
        (_create, "flaky;chunks=4", "completed"),
    ],
)


# --- replace -----------------------------------------------------------------------------------------------------


@EVERY_USE
def test_ours_is_the_only_span(server: DemoProvider, told: Told, use: Callable[[Any], None]) -> None:
    """By default the SDK makes none, and the server gets the context of ours."""
    told.instrument()
    use(_client(server, told))
    assert _native(told) == []
    assert told.attributes["streamspan.outcome"] == "completed"
    assert _sent(server) == [_traceparent(told.span)]


@EVERY_ENDING
def test_every_ending_is_ours_alone(
    server: DemoProvider, told: Told, use: Callable[[Any], None], scenario: str, outcome: str
) -> None:
    """However a stream ends, ours says so, and there is no other span."""
    told.instrument(REPLACE)
    use(_client(server, told, scenario))
    streamspan._api.drain()
    assert _native(told) == []
    assert told.attributes["streamspan.outcome"] == outcome
    assert set(_sent(server)) == {_traceparent(told.span)}


def test_it_is_the_only_one_in_async_code_too(server: DemoProvider, told: Told) -> None:
    """The same in the other colour."""
    told.instrument(REPLACE)

    async def program() -> None:
        kind: Any = anthropic.AsyncAnthropic
        url = server.url("ok;chunks=4", base="")
        server.clear()
        tracing = {"tracer_provider": told.tracers}
        async with (
            kind(base_url=url, api_key="key", open_telemetry=tracing) as client,
            client.messages.stream(**ASKED) as stream,
        ):
            await stream.get_final_text()

    asyncio.run(program())
    assert _native(told) == []
    assert _sent(server) == [_traceparent(told.span)]


def test_every_attempt_carries_our_context(server: DemoProvider, told: Told) -> None:
    """Retries belong to the same call."""
    told.instrument()
    _create(_client(server, told, "flaky;chunks=4"))
    assert _native(told) == []
    assert _sent(server) == [_traceparent(told.span)] * 3
    assert told.attributes["http.request.resend_count"] == 2


def test_a_client_that_exists_already_is_served(server: DemoProvider, told: Told) -> None:
    """And gets its own tracing back when streamspan is taken away."""
    client = _client(server, told)
    _create(client)
    assert len(_native(told)) == 1
    told.instrument()
    _create(client)
    assert (len(_native(told)), len(told.spans)) == (1, 1)
    streamspan.uninstrument()
    _create(client)
    assert (len(_native(told)), len(told.spans)) == (2, 1)
    assert _sent(server)[2] == _traceparent(_native(told)[-1])


def test_the_parent_is_the_callers_span(server: DemoProvider, told: Told) -> None:
    """Ours stands where the SDK's would."""
    told.instrument()
    with told.tracers.get_tracer("mine").start_as_current_span("mine") as mine:
        _create(_client(server, told))
    assert told.span.parent is not None
    assert told.span.parent.span_id == mine.get_span_context().span_id


@pytest.mark.parametrize(
    "options",
    [
        {"open_telemetry": False},
        {"open_telemetry": {"traces": False}},
        {},  # no provider: its tracer is idle
    ],
    ids=["off", "no-traces", "no-provider"],
)
@BOTH
def test_no_context_is_sent_where_the_sdk_would_send_none(
    server: DemoProvider, told: Told, options: dict[str, Any], config: streamspan.Config
) -> None:
    """The request on the wire is what it is without streamspan."""
    _create(_client(server, None, **options))
    assert _sent(server) == [None]
    told.instrument(config)
    _create(_client(server, None, **options))
    assert _sent(server) == [None]
    assert told.attributes["streamspan.outcome"] == "completed"


@BOTH
def test_no_context_is_sent_if_the_client_does_not_want_to(
    server: DemoProvider, told: Told, config: streamspan.Config
) -> None:
    """`propagation` is the application's decision."""
    told.instrument(config)
    _create(_client(server, None, open_telemetry={"tracer_provider": told.tracers, "propagation": False}))
    assert _sent(server) == [None]
    assert len(_native(told)) == (config is KEEP)
    assert len(told.spans) == 1


@BOTH
def test_without_a_provider_the_sdk_hands_on_what_is_current(
    server: DemoProvider, told: Told, config: streamspan.Config
) -> None:
    """Then the server gets the context of our span with `replace`, and the caller's with `keep`."""
    told.instrument(config)
    with told.tracers.get_tracer("mine").start_as_current_span("mine"):
        _create(_client(server, None))
    mine = next(span for span in told.all_spans if span.name == "mine")
    assert _sent(server) == [_traceparent(told.span if config is REPLACE else mine)]


def test_requests_that_no_method_makes_carry_no_context(server: DemoProvider, told: Told) -> None:
    """The SDK does not trace `client.post`; we do, and leave the request alone."""
    told.instrument()
    body = {**ASKED, "stream": True}
    kind: Any = anthropic.Stream[anthropic.types.RawMessageStreamEvent]
    stream = _client(server, told).post(
        "/v1/messages", body=body, cast_to=anthropic.types.Message, stream=True, stream_cls=kind
    )
    assert len(list(stream)) > 3
    assert _sent(server) == [None]
    assert told.attributes["streamspan.outcome"] == "completed"


def test_spans_that_are_nobodys_double_stay(server: DemoProvider, told: Told) -> None:
    """Counting tokens is no inference: the SDK's span of it is the only one."""
    told.instrument()
    client = _client(server, told)
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model=MODEL, messages=ASKED["messages"])
    (native,) = _native(told)
    assert native.name == "anthropic.messages.count_tokens"
    assert told.spans == []


def test_an_unsampled_call_says_so_to_the_server(server: DemoProvider) -> None:
    """The context of a span that is not recorded is sent with its flag down."""
    told = Told(ALWAYS_OFF)
    told.instrument()
    _create(_client(server, told))
    streamspan.uninstrument()
    (sent,) = _sent(server)
    assert sent is not None
    assert int(sent[-2:], 16) & 1 == 0
    assert told.all_spans == []


def test_the_sdk_traces_where_nothing_of_ours_is_recorded(server: DemoProvider, told: Told) -> None:
    """A call that we were asked to leave alone has the SDK's span, as without us."""
    told.instrument()
    token = attach(set_value("suppress_language_model_instrumentation", True))
    try:
        _create(_client(server, told))
    finally:
        detach(token)
    assert (len(_native(told)), len(told.spans)) == (1, 0)


# --- keep --------------------------------------------------------------------------------------------------------


@EVERY_USE
def test_its_span_stays_the_parent(server: DemoProvider, told: Told, use: Callable[[Any], None]) -> None:
    """With `keep` there are two, ours is the child, and the server gets the context of the SDK's."""
    told.instrument(KEEP)
    with told.tracers.get_tracer("mine").start_as_current_span("mine") as mine:
        use(_client(server, told))
    (native,) = _native(told)
    assert _parent(told.span) == _id(native)
    assert _parent(native) == mine.get_span_context().span_id
    assert _sent(server) == [_traceparent(native)]
    assert told.attributes["streamspan.outcome"] == "completed"


_VARYING = frozenset({"gen_ai.response.time_to_first_chunk", "server.port", "url.full"})


@EVERY_ENDING
def test_its_span_is_not_touched(
    server: DemoProvider, told: Told, use: Callable[[Any], None], scenario: str, outcome: str
) -> None:
    """With `keep` the SDK's span is what it is without us, at every ending; and ours says how it ended."""
    use(_client(server, told, scenario))
    (bare,) = _native(told)
    told.instrument(KEEP)
    use(_client(server, told, scenario))
    streamspan._api.drain()
    _, native = _native(told)
    assert _told_by(native) == _told_by(bare)
    assert told.attributes["streamspan.outcome"] == outcome
    assert _parent(told.span) == _id(native)


def _told_by(span: ReadableSpan) -> tuple[Any, ...]:
    attributes = {name: value for name, value in (span.attributes or {}).items() if name not in _VARYING}
    return span.name, span.kind, attributes, span.status.status_code, len(span.events), len(span.links)


def test_a_client_that_exists_already_is_kept_too(server: DemoProvider, told: Told) -> None:
    """`keep` needs no new client, and leaves none changed."""
    client = _client(server, told)
    told.instrument(KEEP)
    _create(client)
    assert (len(_native(told)), len(told.spans)) == (1, 1)
    streamspan.uninstrument()
    _create(client)
    assert (len(_native(told)), len(told.spans)) == (2, 1)


@BOTH
@pytest.mark.parametrize("is_helper", [False, True], ids=["create", "helper"])
def test_nothing_is_current_in_the_callers_code(
    server: DemoProvider, told: Told, config: streamspan.Config, is_helper: bool
) -> None:
    """Neither span is current while the caller reads, nor afterwards."""
    told.instrument(config)
    tracer = told.tracers.get_tracer("mine")
    with tracer.start_as_current_span("mine") as mine:
        client = _client(server, told)
        stream = client.messages.stream(**ASKED) if is_helper else client.messages.create(**ASKED, stream=True)
        with stream as events:
            for _ in events:
                tracer.start_span("inside").end()
        tracer.start_span("after").end()
    for span in told.all_spans:
        if span.name in {"inside", "after"}:
            assert _parent(span) == mine.get_span_context().span_id
