"""Which requests of an HTTP library are model streams: those, with everything about them, and no others."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry import trace

import streamspan
from streamspan._config import Config, HostPattern
from streamspan._guard import Guard
from streamspan._raw import UNREAD, RawStreams
from streamspan._registry import all_providers
from streamspan.demo import DemoProvider
from support.feeding import Feed
from support.http_clients import CLIENTS
from support.replay import Replay
from support.telemetry import Told

ASKED = {"model": "gpt-demo", "messages": [{"role": "user", "content": "What is a stream?"}], "stream": True}
EVENTS = [
    b'data: {"id": "1", "choices": [{"index": 0, "delta": {"content": "Hallo"}}]}\n\n',
    b'data: {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\n',
    b"data: [DONE]\n\n",
]
_EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    told.instrument()
    yield told
    streamspan.uninstrument()


def assert_untouched(told: Told) -> None:
    """Nothing was recorded: no span, no value of any metric, no open stream."""
    told.finish()
    assert told.spans == []
    assert told.summaries == []
    assert told.active == 0
    assert [name for name in told.metrics if name != "streamspan.active"] == []


# --- what is none ----------------------------------------------------------------------------------------------------

_RPC = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "search"}}
_NONE = {
    "an MCP server": ("POST", "/mcp", _RPC, "text/event-stream"),
    "an MCP server at a vendor's path": ("POST", "/v1/messages", {**_RPC, "model": "m", "stream": True}, "text/event-stream"),
    "other events": ("GET", "/events", None, "text/event-stream"),
    "events of another service": ("POST", "/notifications", {"stream": True, "model": "m"}, "text/event-stream"),
    "a chat of people": ("POST", "/api/chat", {"room": 7}, "text/event-stream"),
    "a download": ("GET", "/file.bin", None, "application/octet-stream"),
    "an answer in one piece": ("POST", "/v1/chat/completions", {**ASKED, "stream": False}, "text/event-stream"),
    "text that was asked for as a stream": ("POST", "/v1/chat/completions", ASKED, "text/plain"),
    "the wrong method": ("GET", "/v1/chat/completions", None, "text/event-stream"),
    "a list of models": ("GET", "/v1/models", None, "text/event-stream"),
}  # fmt: skip


@pytest.mark.parametrize("case", _NONE)
@_EVERY_CLIENT
def test_what_is_no_model_stream_is_left_alone(told: Told, client: str, case: str) -> None:
    """The caller has the bytes, and there is no span and no metric, whatever the content type says."""
    method, path, body, content_type = _NONE[case]
    with Replay(EVENTS, content_type=content_type) as replay:
        got = CLIENTS[client][1](method, f"{replay.url}{path}", body)
    assert got == b"".join(EVENTS)
    assert_untouched(told)


def test_what_is_not_streamed_is_left_alone(told: Told, server: DemoProvider) -> None:
    """`client.post()` and its kin read the whole answer inside the library: that is no stream of the caller's."""
    url = f"{server.url('ok;chunks=2')}/chat/completions"
    with httpx.Client() as client:
        client.post(url, json=ASKED)
    requests = pytest.importorskip("requests")
    requests.post(url, json=ASKED, timeout=5)
    assert_untouched(told)


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.openai.com", "/v1/files/f/content"),
        ("api.anthropic.com", "/v1/models"),
        ("example.com", "/"),
        ("api.example.com", "/completions/of/tasks"),
    ],
)
def test_a_providers_host_alone_is_not_enough(host: str, path: str) -> None:
    """Providers have other streams too: without a path that is an inference nothing is known of what they say."""
    raw = RawStreams("test", Feed().sessions, Guard("test"), all_providers)
    assert raw.look(None, "POST", (host, 443, path), json.dumps(ASKED).encode()) is None


@pytest.mark.parametrize(
    ("host", "path", "provider"),
    [
        ("api.openai.com", "/v1/chat/completions", "openai"),
        ("me.openai.azure.com", "/openai/deployments/d/chat/completions", "azure.ai.openai"),
        ("api.groq.com", "/openai/v1/chat/completions", "groq"),
        ("api.anthropic.com", "/v1/messages", "anthropic"),
        ("localhost", "/v1/chat/completions", "openai"),
        ("gateway.example.com", "/anthropic/v1/messages", "anthropic"),
    ],
)
def test_the_provider_is_told_by_host_or_path(host: str, path: str, provider: str) -> None:
    """A known host names it; on others the end of the path does."""
    feed = Feed()
    raw = RawStreams("test", feed.sessions, Guard("test"), all_providers)
    watch = raw.look(None, "POST", (host, 443, path), json.dumps(ASKED).encode())
    assert watch is not None
    assert watch.call is not None
    assert (feed.note.request.provider, feed.note.request.layer) == (provider, "test")
    assert (feed.note.request.server_address, feed.note.request.model) == (host, "gpt-demo")


@pytest.mark.parametrize(
    ("body", "is_open", "may_open"),
    [
        (ASKED, True, True),
        (json.dumps(ASKED), True, True),
        ({**ASKED, "stream": False}, False, False),
        ({"model": "m"}, False, True),
        ({"messages": []}, False, False),
        (b"--boundary: a form", False, True),
        (b"[1]", False, False),
        (b"[" * 100_000, False, True),
        (UNREAD, False, True),
        (b" " * (8 * 2**20 + 1), False, True),
        (None, False, False),
    ],
)
def test_a_session_opens_at_the_request_only_if_that_leaves_no_doubt(body: Any, is_open: bool, may_open: bool) -> None:
    """What says nothing of a stream waits for the response; what says no is left alone."""
    raw = RawStreams("test", Feed().sessions, Guard("test"), all_providers)
    watch = raw.look(None, "POST", ("localhost", 80, "/v1/chat/completions"), body)
    assert (watch is not None) is may_open
    assert (watch is not None and watch.call is not None) is is_open


_MESSAGES = {"messages": [{"role": "user", "content": "Hi"}]}
_OPENS, _WAITS, _LEFT = "a session opens", "the response decides", "left alone"


@pytest.mark.parametrize(
    ("path", "body", "what"),
    [
        ("/api/chat", {"model": "m", **_MESSAGES}, _OPENS),
        ("/api/chat", {"model": "m", **_MESSAGES, "stream": True}, _OPENS),
        ("/api/chat", {"model": "m", **_MESSAGES, "stream": False}, _LEFT),
        ("/api/chat", UNREAD, _WAITS),
        ("/api/chat", {"room": 7}, _LEFT),  # of somebody else's
        ("/api/generate", {"model": "m", "prompt": "Hi"}, _OPENS),
        ("/api/generate", {"model": "m", "prompt": "Hi", "stream": False}, _LEFT),
        ("/v1beta/models/m:streamGenerateContent", {"contents": []}, _OPENS),
        ("/v1beta/models/m:generateContent", {"contents": []}, _LEFT),
        ("/v1/projects/p/locations/l/publishers/google/models/m:streamGenerateContent", {"contents": []}, _OPENS),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/m:streamRawPredict", _MESSAGES, _OPENS),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", _MESSAGES, _LEFT),
        ("/model/m/converse-stream", _MESSAGES, _OPENS),
        ("/model/m/converse", _MESSAGES, _LEFT),
        ("/model/m/invoke-with-response-stream", _MESSAGES, _OPENS),
        ("/model/m/invoke", _MESSAGES, _LEFT),
        ("/v2/chat", {"model": "m", **_MESSAGES}, _WAITS),
        ("/v1/messages", {"model": "m", **_MESSAGES}, _WAITS),
        ("/v1beta/interactions", {"model": "m", "input": "Hi"}, _WAITS),
        ("/v1/chat/completions", {"model": "m", **_MESSAGES}, _WAITS),
    ],
)
def test_what_a_provider_streams_without_being_asked_is_known(path: str, body: Any, what: str) -> None:
    """By the path, or because it is what it does unless it is told not to; else the response has the last word."""
    raw = RawStreams("test", Feed().sessions, Guard("test"), all_providers)
    watch = raw.look(None, "POST", ("localhost", 80, path), body)
    assert what == (_LEFT if watch is None else _WAITS if watch.call is None else _OPENS)


# --- what is one -----------------------------------------------------------------------------------------------------


@_EVERY_CLIENT
def test_a_model_stream_is_recorded(told: Told, server: DemoProvider, client: str) -> None:
    """One span of the library's layer, with the request's and the response's attributes, and the metrics once."""
    library, fetch = CLIENTS[client]
    fetch("POST", f"{server.url('ok;chunks=4')}/chat/completions", {**ASKED, "temperature": 0.5})
    told.finish()
    attributes = told.attributes
    assert attributes["streamspan.layer"] == library
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["gen_ai.request.model"] == "gpt-demo"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert attributes["gen_ai.response.id"] == "chatcmpl-demo"
    assert attributes["server.port"] == server.port
    assert str(attributes["streamspan.request_id"]).startswith("req_demo")
    assert told.count_of("gen_ai.client.operation.duration") == 1


@_EVERY_CLIENT
def test_the_users_hosts_are_model_streams(server: DemoProvider, client: str) -> None:
    """`STREAMSPAN_HOSTS` names hosts and paths that nobody else knows, and what to call the provider."""
    told = Told()
    told.instrument(Config(hosts=(HostPattern("127.0.0.1", "/generate", "acme"),)))
    with Replay([b'data: {"text": "Hal"}\n\n', b'data: {"text": "lo"}\n\n']) as replay:
        CLIENTS[client][1]("POST", f"{replay.url}/generate/stream", {"prompt": "Hi"})
        CLIENTS[client][1]("POST", f"{replay.url}/other", {"prompt": "Hi"})
    told.finish()
    assert told.attributes["gen_ai.provider.name"] == "acme"
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.output.characters"] == 5
    assert told.attributes["streamspan.chunk.count"] == 2


def test_a_users_host_may_speak_a_known_wire_format(server: DemoProvider) -> None:
    """The provider that a pattern names, or the path, says how its events are read."""
    told = Told()
    told.instrument(Config(hosts=(HostPattern("127.0.0.1", "", "openai"),)))
    with Replay(EVENTS) as replay:
        CLIENTS["httpx"][1]("POST", f"{replay.url}/gateway", ASKED)
    told.finish()
    assert told.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert told.attributes["gen_ai.request.model"] == "gpt-demo"


@pytest.mark.parametrize("client", ["httpx", "requests", "aiohttp"])
def test_a_body_that_is_made_while_it_is_sent_stays_unread(told: Told, server: DemoProvider, client: str) -> None:
    """The stream is recorded from its response on, with the request's clock, and without a model of the request."""
    url, sent = f"{server.url('ok;chunks=2')}/chat/completions", json.dumps(ASKED).encode()
    headers = {"content-type": "application/json"}

    def pieces() -> Iterator[bytes]:
        yield sent[:10]
        yield sent[10:]

    if client == "httpx":
        with httpx.Client() as http, http.stream("POST", url, content=pieces(), headers=headers) as response:
            response.read()
    elif client == "requests":
        requests = pytest.importorskip("requests")
        with requests.post(url, data=pieces(), headers=headers, stream=True, timeout=5) as response:
            assert response.content
    else:
        aiohttp = pytest.importorskip("aiohttp")

        async def main() -> None:
            async def apieces() -> Any:
                for piece in pieces():
                    yield piece

            async with (
                aiohttp.ClientSession() as session,
                session.post(url, data=apieces(), headers=headers) as response,
            ):
                await response.read()

        asyncio.run(main())
    told.finish()
    assert server.exchanges[-1].body == ASKED
    attributes = told.attributes
    assert "gen_ai.request.model" not in attributes
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["streamspan.time_to_headers"] > 0
    assert attributes["gen_ai.response.model"] == "gpt-demo"


def test_the_span_is_current_while_the_transport_runs_and_at_no_other_time(told: Told) -> None:
    """So HTTP spans of others are its children, and what the caller's code does is not."""
    seen: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(trace.get_current_span().get_span_context().span_id)
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=iter(EVENTS))

    with told.tracers.get_tracer("app").start_as_current_span("app") as outer:
        client = httpx.Client(transport=httpx.MockTransport(answer))
        with client, client.stream("POST", "https://api.openai.com/v1/chat/completions", json=ASKED) as response:
            assert trace.get_current_span() is outer
            for _ in response.iter_lines():
                assert trace.get_current_span() is outer
        told.finish()
        span = told.span
        assert span.parent is not None
        assert span.parent.span_id == outer.get_span_context().span_id
    assert seen == [span.context.span_id if span.context else 0]


def test_content_is_captured_as_through_an_sdk(server: DemoProvider) -> None:
    """The prompt is read from the request's body, and the answer from the bytes."""
    told = Told()
    told.instrument(Config(capture_content="SPAN_ONLY"))
    CLIENTS["httpx"][1]("POST", f"{server.url('one_chunk')}/chat/completions", ASKED)
    told.finish()
    assert "What is a stream?" in str(told.attributes["gen_ai.input.messages"])
    assert "A stream is" in str(told.attributes["gen_ai.output.messages"])


def test_a_body_that_was_in_memory_is_read_at_once(told: Told) -> None:
    """As of the transports of test libraries: nobody will read or close it any more."""
    body = b"".join(EVENTS)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    with client, client.stream("POST", "https://api.openai.com/v1/chat/completions", json=ASKED) as response:
        assert b"".join(response.iter_bytes()) == body
    told.finish()
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.chunk.count"] == 2


@pytest.mark.parametrize("is_streamed", [True, False])
def test_a_call_of_an_sdk_is_counted_once(told: Told, server: DemoProvider, is_streamed: bool) -> None:
    """The HTTP layer below adds to the SDK's session and opens none."""
    openai = pytest.importorskip("openai")
    with openai.OpenAI(base_url=server.url("ok;chunks=2"), api_key="key") as client:
        answer = client.chat.completions.create(model="gpt-demo", messages=ASKED["messages"], stream=is_streamed)
        list(answer)
    told.finish()
    assert told.attributes["streamspan.layer"] == "openai"


def test_a_library_that_only_helps_records_nothing_of_its_own(server: DemoProvider) -> None:
    """`libraries=["openai"]` brings httpx for the SDK's attempts, and means no raw stream."""
    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, libraries=["openai"])
    for _, fetch in CLIENTS.values():
        fetch("POST", f"{server.url('ok;chunks=2')}/chat/completions", ASKED)
    assert_untouched(told)


@pytest.mark.parametrize(
    ("agent", "library"),
    [
        ("OpenAI/Python 3.54.0", "openai"),
        ("AsyncAzureOpenAI/Python 2.54.0", "openai"),
        ("AsyncAnthropicBedrock/Python 2.12.0", "anthropic"),
        ("google-genai-sdk/3.4.0 gl-python/3.11", "google_genai"),
        ("ollama-python/0.6.3 (x86_64 linux) Python/3.11.7", "ollama"),
        ("unknown/None; hf_hub/1.33.0; python/3.11.7", "huggingface_hub"),
    ],
)
def test_an_sdk_that_is_left_out_does_not_come_back(agent: str, library: str) -> None:
    """Its requests are known by their user agent; other ones to the same place are recorded."""
    where, body = ("localhost", 80, "/v1/chat/completions"), json.dumps(ASKED).encode()
    left_out = RawStreams("test", Feed(Config(exclude=(library,))).sessions, Guard("test"), all_providers)
    assert left_out.look(None, "POST", where, body, headers={"User-Agent": agent}) is None
    assert left_out.look(None, "POST", where, body, headers={"User-Agent": "python-httpx/0.28.1"}) is not None
    wanted = RawStreams("test", Feed().sessions, Guard("test"), all_providers)
    assert wanted.look(None, "POST", where, body, headers={"User-Agent": agent}) is not None


def test_openai_can_be_left_out(server: DemoProvider) -> None:
    """Then nothing of its streams is recorded, and what others stream is."""
    openai = pytest.importorskip("openai")
    told = Told()
    told.instrument(Config(exclude=("openai",)))
    with openai.OpenAI(base_url=server.url("ok;chunks=2"), api_key="key") as client:
        list(client.chat.completions.create(model="gpt-demo", messages=ASKED["messages"], stream=True))
    assert told.spans == []
    CLIENTS["httpx"][1]("POST", f"{server.url('ok;chunks=2')}/chat/completions", ASKED)
    told.finish()
    assert told.attributes["streamspan.layer"] == "httpx"


def test_a_refusal_is_an_error_in_the_providers_words(told: Told, server: DemoProvider) -> None:
    """Its code if the body is read, else the status."""
    url = f"{server.url('status_429')}/chat/completions"
    with httpx.Client() as client:
        with client.stream("POST", url, json=ASKED) as response:
            response.read()
        with client.stream("POST", url, json=ASKED):
            pass
    told.finish()
    assert [dict(span.attributes or {})["error.type"] for span in told.spans] == ["rate_limit_exceeded", "429"]
    assert {summary.outcome for summary in told.summaries} == {"error"}


@_EVERY_CLIENT
def test_aws_says_what_is_wrong_in_a_header(told: Told, server: DemoProvider, client: str) -> None:
    """The body has the message and no code; a code in it would not go before the header's, as with boto3."""
    url = server.url("status_429", base="/model/us.anthropic.demo-v1:0/converse-stream")
    CLIENTS[client][1]("POST", url, {"messages": []})
    told.finish()
    assert told.attributes["error.type"] == "ThrottlingException"
    assert told.span.status.description == "The request failed with 429."


def test_the_header_is_enough(told: Told, server: DemoProvider) -> None:
    """Nobody need read the body."""
    url = server.url("status_400", base="/model/us.anthropic.demo-v1:0/invoke-with-response-stream")
    with httpx.Client() as client, client.stream("POST", url, json={}):
        pass
    told.finish()
    assert told.attributes["error.type"] == "ValidationException"


@pytest.mark.parametrize("path", ["/chat", "/generate"])
@_EVERY_CLIENT
def test_a_stream_that_nobody_had_to_ask_for_may_be_refused(
    told: Told, server: DemoProvider, client: str, path: str
) -> None:
    """Ollama streams unless it is told not to, so a request that says nothing asks for a stream."""
    url = server.url("status_404", base="/api") + path
    fetch = CLIENTS[client][1]
    fetch("POST", url, {"model": "m1", "stream": False})
    assert told.spans == []
    fetch("POST", url, {"model": "m1"})
    told.finish()
    assert (told.summary.outcome, told.summary.error_type) == ("error", "404")


@_EVERY_CLIENT
def test_an_ollama_that_answers_in_one_piece_leaves_nothing(told: Told, client: str) -> None:
    """As it does when it is only to load a model."""
    with Replay([b'{"model":"m1","done":true,"done_reason":"load"}'], content_type="application/json") as replay:
        CLIENTS[client][1]("POST", f"{replay.url}/api/generate", {"model": "m1"})
    assert_untouched(told)


# --- one client object -----------------------------------------------------------------------------------------------


def _instrument(told: Told, *clients: object) -> None:
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, clients=clients)


@pytest.mark.parametrize("library", ["httpx", "httpx2", "requests"])
def test_one_client_object_can_be_recorded_alone(server: DemoProvider, library: str) -> None:
    """The streams of all others, of its library too, are left alone."""
    module = pytest.importorskip(library)
    url = f"{server.url('ok;chunks=2')}/chat/completions"
    told = Told()
    make: Callable[[], Any] = module.Session if library == "requests" else module.Client
    with make() as mine, make() as other:
        _instrument(told, mine)
        for client in (other, mine, other):
            if library == "requests":
                with client.post(url, json=ASKED, stream=True) as response:
                    assert response.content
            else:
                with client.stream("POST", url, json=ASKED) as response:
                    response.read()
    told.finish()
    assert told.attributes["streamspan.layer"] == library


def test_one_session_of_aiohttp_can_be_recorded_alone(server: DemoProvider) -> None:
    """As the clients of the other libraries."""
    aiohttp = pytest.importorskip("aiohttp")
    told = Told()

    async def main() -> None:
        async with aiohttp.ClientSession() as mine, aiohttp.ClientSession() as other:
            _instrument(told, mine)
            for session in (other, mine):
                async with session.post(f"{server.url('ok;chunks=2')}/chat/completions", json=ASKED) as response:
                    await response.read()

    asyncio.run(main())
    told.finish()
    assert told.attributes["streamspan.layer"] == "aiohttp"


def test_one_client_of_an_sdk_can_be_recorded_alone(server: DemoProvider) -> None:
    """With the copies that it makes of itself for other options, and without another client's calls."""
    openai = pytest.importorskip("openai")
    told = Told()
    url = server.url("ok;chunks=2")
    with openai.OpenAI(base_url=url, api_key="key") as mine, openai.OpenAI(base_url=url, api_key="key") as other:
        _instrument(told, mine)
        for client in (mine, mine.with_options(timeout=5), other):
            list(client.chat.completions.create(model="gpt-demo", messages=ASKED["messages"], stream=True))
    told.finish()
    assert len(told.spans) == 2


def test_a_client_is_not_kept_by_being_recorded() -> None:
    """It goes when its owner lets go of it."""
    client = httpx.Client()
    _instrument(Told(), client)
    runtime = streamspan._api.runtime()
    assert runtime is not None
    assert runtime.arguments.clients is not None
    (reference,) = runtime.arguments.clients
    client.close()
    del client
    gc.collect()
    assert reference() is None


@pytest.mark.parametrize("clients", [3, [3], "no"])
def test_clients_that_are_none_are_a_config_error(clients: Any) -> None:
    """It says what is allowed."""
    with pytest.raises(streamspan.ConfigError, match="a list of client objects or None"):
        streamspan.instrument(clients=clients)


# --- redirects -------------------------------------------------------------------------------------------------------


class _Redirecting(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        is_here = self.path.startswith("/here")
        body = b"" if not is_here else b"".join(EVENTS)
        self.send_response(200 if is_here else 307)
        self.send_header("content-type", "text/event-stream")
        if not is_here:
            self.send_header("location", f"/here{self.path}")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.mark.parametrize("library", ["httpx", "requests", "aiohttp"])
def test_redirects_are_part_of_one_session(told: Told, library: str) -> None:
    """One span, with the status of the response that the caller gets; a body with a known length is read as any other."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Redirecting) as redirecting:
        threading.Thread(target=redirecting.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{redirecting.server_port}/v1/chat/completions"
        if library == "httpx":
            with httpx.Client(follow_redirects=True) as client, client.stream("POST", url, json=ASKED) as response:
                response.read()
        else:
            pytest.importorskip(library)
            CLIENTS[library][1]("POST", url, ASKED)
        redirecting.shutdown()
    told.finish()
    assert told.attributes["http.response.status_code"] == 200
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.chunk.count"] == 2
