"""What Anthropic's SDK has beside streams of messages: platforms, tool runner, raw events, calls that are no inference."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import streamspan
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.seen import TLS
from support.telemetry import Told
from support.truth import called, messages_of, said
from support.twice import run_twice

pytest.importorskip("anthropic")

import anthropic

from support.anthropic_sdk import http

ASKED: Any = {
    "model": "claude-demo",
    "max_tokens": 64,
    "messages": [{"role": "user", "content": "What is a stream?"}],
}


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument(streamspan.Config(capture_content="SPAN_ONLY", redactions=()))
    yield told
    told.finish()


@pytest.fixture
def client(server: DemoProvider) -> Iterator[Callable[..., Any]]:
    """Makes clients, and closes them."""
    made: list[Any] = []

    def make(scenario: str = "ok;chunks=4", kind: str = "Anthropic", base: str = "", **more: Any) -> Any:
        server.clear()
        http = anthropic.DefaultHttpxClient(verify=TLS)
        common = {"base_url": server.url(scenario, base=base), "http_client": http, "api_key": "key"}
        given = {name: value for name, value in {**common, **more}.items() if value is not None}
        made.append(getattr(anthropic, kind)(**given))
        return made[-1]

    yield make
    for each in made:
        each.close()


_PLATFORMS: list[tuple[str, str, dict[str, Any], str]] = [
    ("Anthropic", "", {}, "anthropic"),
    (
        "AnthropicVertex",
        "/v1",
        {"api_key": None, "region": "here", "project_id": "mine", "access_token": "token"},
        "gcp.vertex_ai",
    ),
    ("AnthropicFoundry", "/anthropic", {}, "azure.ai.inference"),
    ("AnthropicBedrockMantle", "/anthropic", {"aws_region": "here"}, "aws.bedrock"),
    # Anthropic's own service, bought through a cloud.
    ("AnthropicAWS", "", {"aws_region": "here", "workspace_id": "mine", "skip_auth": True}, "anthropic"),
    (
        "AnthropicGoogleCloud",
        "",
        {"api_key": None, "project": "mine", "location": "here", "workspace_id": "mine", "skip_auth": True},
        "anthropic",
    ),
]


@pytest.mark.parametrize(("kind", "base", "options", "provider"), _PLATFORMS, ids=lambda value: str(value)[:30])
def test_a_platform_is_the_provider(
    client: Callable[..., Any], told: Told, kind: str, base: str, options: dict[str, Any], provider: str
) -> None:
    """The client's class tells it, whatever the host is; the model is the one that was asked for."""
    if not hasattr(anthropic, kind):
        pytest.skip(f"this version of anthropic has no {kind}")
    with client("ok;chunks=4", kind, base, **options).messages.stream(**ASKED) as stream:
        stream.until_done()
    assert told.attributes["gen_ai.provider.name"] == provider
    assert told.attributes["gen_ai.request.model"] == "claude-demo"
    assert told.attributes["streamspan.outcome"] == "completed"


def test_a_whole_answer_has_a_span_too(client: Callable[..., Any], told: Told, server: DemoProvider) -> None:
    """Without the attributes of streams, and with all that the answer says."""
    client("tools;chunks=2").messages.create(**ASKED)
    attributes = told.attributes
    assert attributes["gen_ai.request.stream"] is False
    assert attributes["gen_ai.request.max_tokens"] == 64
    assert attributes["gen_ai.response.finish_reasons"] == ("tool_use",)
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert attributes["streamspan.request_id"] == server.exchanges[0].request_id
    assert "streamspan.chunk.count" not in attributes
    assert called(messages_of(attributes)) == [
        ("get_weather", {"city": "Montréal", "unit": "celsius"}),
        ("get_local_time", {"city": "Montréal"}),
    ]


def test_a_stream_that_was_cut_short_has_no_output_tokens(client: Callable[..., Any], told: Told) -> None:
    """What its start says of them is a placeholder; the input tokens are real."""
    for _ in client("short;chunks=4").messages.create(**ASKED, stream=True):
        pass
    usage = [name for name in told.attributes if name.startswith("gen_ai.usage.")]
    assert "gen_ai.usage.input_tokens" in usage
    assert "gen_ai.usage.output_tokens" not in usage
    points: Any = told.metrics["gen_ai.client.token.usage"].data.data_points
    assert [point.attributes["gen_ai.token.type"] for point in points] == ["input"]


def test_a_refusal_counts_what_the_end_says(client: Callable[..., Any], told: Told) -> None:
    """No tokens, below the placeholder at the start."""
    for _ in client("refusal").messages.create(**ASKED, stream=True):
        pass
    assert told.attributes["gen_ai.usage.output_tokens"] == 0
    assert told.attributes["gen_ai.response.finish_reasons"] == ("refusal",)
    assert told.attributes["streamspan.outcome"] == "completed"


def test_a_compaction_is_said(client: Callable[..., Any], told: Told) -> None:
    """And its text is no output."""
    for _ in client("compaction;chunks=4").beta.messages.create(**ASKED, stream=True):
        pass
    assert told.attributes["gen_ai.conversation.compacted"] is True
    assert "They spoke" not in said(messages_of(told.attributes), "text")


def test_raw_events_are_a_stream_as_well(client: Callable[..., Any], told: Told) -> None:
    """They go past the SDK's own stream."""
    raw_events = getattr(anthropic.Stream, "raw_events", None)
    if raw_events is None:
        pytest.skip("this version of anthropic has no raw events")
    with client().messages.with_streaming_response.create(**ASKED, stream=True) as response:
        names = [event.event for event in raw_events(response.http_response)]
    assert names.count("ping") == 1
    assert told.attributes["streamspan.chunk.count"] == len(names) - 1
    assert told.attributes["streamspan.outcome"] == "completed"


def test_what_is_no_inference_is_left_alone(client: Callable[..., Any], told: Told) -> None:
    """Counting tokens, and the results of batches, which come as a stream of lines."""
    made = client()
    with pytest.raises(anthropic.APIError):
        made.messages.count_tokens(model="claude-demo", messages=ASKED["messages"])
    with pytest.raises((anthropic.APIError, anthropic.AnthropicError)):
        made.messages.batches.results("batch_demo")
    assert told.spans == []


@pytest.mark.skipif(not hasattr(anthropic, "WorkloadIdentityCredentials"), reason="this version fetches no tokens")
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("scenario", ["ok;chunks=2", "status_400"])
def test_fetching_a_token_on_the_way_is_no_request_of_the_call(
    server: DemoProvider, scenario: str, is_async: bool
) -> None:
    """It goes to the same host, inside the sending of the request: no headers of an answer, no attempt, no hop."""
    fetched: list[str] = []

    def token(request: Any) -> Any:
        fetched.append(request.url.path)
        said = {"access_token": "token", "token_type": "bearer", "expires_in": 3600}
        return http.Response(200, json=said, headers={"request-id": "req_token"})

    async def program(caller: Caller) -> None:
        with http.Client(transport=http.MockTransport(token)) as fetching:
            credentials = anthropic.WorkloadIdentityCredentials(
                identity_token_provider=lambda: "jwt",
                federation_rule_id="rule",
                organization_id="organization",
                http_client=fetching,
            )
            http_client: Any = anthropic.DefaultAsyncHttpxClient if is_async else anthropic.DefaultHttpxClient
            kind: Any = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
            url = server.url(scenario, base="")
            made = kind(base_url=url, credentials=credentials, http_client=http_client(verify=TLS))
            caller.clients.append(made)
            async with caller.noting():
                stream = await caller.wait(made.messages.create(**ASKED, stream=True))
                while (await anext(stream, None) if is_async else next(stream, None)) is not None:
                    pass
            caller.ended()

    told = run_twice(server, program, is_async=is_async)
    assert len(fetched) == 2
    assert fetched[0].endswith("/oauth/token")
    attributes = told.attributes
    is_refused = scenario == "status_400"
    assert attributes["streamspan.outcome"] == ("error" if is_refused else "completed")
    # Of a request that was not accepted no finish reason is due.
    assert attributes.get("gen_ai.response.finish_reasons") == (None if is_refused else ("end_turn",))
    assert attributes["streamspan.request_id"] != "req_token"
    assert "streamspan.hop.count" not in attributes
    assert "http.request.resend_count" not in attributes


def _get_weather(city: str, unit: str = "celsius") -> str:
    """Look up the weather.

    Args:
        city: where
        unit: of the temperature
    """
    return f"{city}: 20 {unit}"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_every_hop_of_the_tool_runner_is_a_session(server: DemoProvider, told: Told, is_async: bool) -> None:
    """The runner makes one call after the other; each has a span, and all have the caller's parent."""
    if not hasattr(anthropic, "beta_tool"):
        pytest.skip("this version of anthropic has no tool runner")
    server.clear()
    url = server.url("tools;chunks=2", base="")
    with told.tracers.get_tracer("mine").start_as_current_span("mine") as mine:
        if is_async:
            asyncio.run(_run_tools_async(url))
        else:
            _run_tools(url)
    assert len(server.exchanges) == 2
    assert [(span.attributes or {})["gen_ai.response.finish_reasons"] for span in told.spans] == [
        ("tool_use",),
        ("end_turn",),
    ]
    assert {(span.attributes or {})["streamspan.outcome"] for span in told.spans} == {"completed"}
    assert {span.parent.span_id for span in told.spans if span.parent} == {mine.get_span_context().span_id}


def _run_tools(url: str) -> None:
    tool = anthropic.beta_tool(_get_weather)
    with anthropic.Anthropic(base_url=url, api_key="key") as made:
        for stream in made.beta.messages.tool_runner(**ASKED, tools=[tool], stream=True):
            for _ in stream:
                pass


async def _run_tools_async(url: str) -> None:
    async def _look(city: str, unit: str = "celsius") -> str:
        return _get_weather(city, unit)

    _look.__name__, _look.__doc__ = "get_weather", _get_weather.__doc__
    tool = anthropic.beta_async_tool(_look)
    async with anthropic.AsyncAnthropic(base_url=url, api_key="key") as made:
        async for stream in made.beta.messages.tool_runner(**ASKED, tools=[tool], stream=True):
            async for _ in stream:
                pass
