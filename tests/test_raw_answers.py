"""Raw requests for a stream that are answered in another way: in one piece, by an error in it, by a refusal."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest
from opentelemetry import trace

from streamspan._config import Config, HostPattern
from streamspan._ownership import current_call
from streamspan.demo import DemoProvider
from support.http_clients import CLIENTS
from support.played import ASKED, PATH, STREAM, chunk, played, twice
from support.raw_reads import seen, with_requests
from support.replay import Replay
from support.telemetry import Told

_EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)
_JSON = "application/json; charset=utf-8"
_CHAT = {
    "id": "1",
    "model": "m1",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "Hallo"}}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 5},
}
_OF_STREAMS = {"streamspan.chunk.count", "streamspan.time_to_headers", "streamspan.output.characters"}


# --- in one piece ----------------------------------------------------------------------------------------------------


@_EVERY_CLIENT
def test_an_answer_in_one_piece_is_a_call_without_a_stream(client: str) -> None:
    """Gateways that cannot stream do so: usage and reasons are there, and nothing that only streams have."""
    got, told = played(client, [b"\n ", json.dumps(_CHAT).encode()], content_type=_JSON)
    assert json.loads(got) == _CHAT
    assert (told.summary.outcome, told.summary.finish_reasons) == ("completed", ("stop",))
    assert told.summary.usage == {"input_tokens": 3, "output_tokens": 5}
    assert not _OF_STREAMS & told.attributes.keys()
    assert told.span.events == ()
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("streamspan.chunks") == 0


@pytest.mark.parametrize(
    ("answer", "error_type", "message"),
    [
        ({"error": {"message": "busy", "code": "overloaded"}}, "overloaded", "busy"),
        ({"error": {"message": "busy"}}, "_OTHER", "busy"),
        ({"error": "busy"}, "_OTHER", "busy"),
        ([{"error": {"message": "busy", "code": 503, "status": "UNAVAILABLE"}}], "UNAVAILABLE", "busy"),
    ],
)
@_EVERY_CLIENT
def test_an_error_with_a_good_status_is_an_error(client: str, answer: Any, error_type: str, message: str) -> None:
    """Gateways send such objects where a stream was asked for."""
    _, told = played(client, [json.dumps(answer).encode()], content_type=_JSON)
    assert (told.summary.outcome, told.summary.error_type) == ("error", error_type)
    assert message in told.summary.error_message


@_EVERY_CLIENT
def test_an_answer_that_is_too_much_to_read_is_complete_when_it_is_all_there(client: str) -> None:
    """Sound and images as text: nobody keeps so much, and its end is all that there is to go by."""
    answer = {**_CHAT, "audio": "a" * 5_000_000}
    _, told = played(client, [json.dumps(answer).encode()], content_type=_JSON)
    assert (told.summary.outcome, told.summary.usage) == ("completed", {})


def test_messages_have_errors_and_answers_too() -> None:
    """By the wire format's own words."""
    answer = {
        "type": "message",
        "id": "m1",
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 3, "output_tokens": 5},
    }
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    outcomes: list[Any] = []
    for document in (answer, error):
        _, told = played("httpx", [json.dumps(document).encode()], content_type=_JSON, path="/v1/messages")
        outcomes.append((told.summary.outcome, told.summary.error_type, told.summary.usage.get("output_tokens")))
    assert outcomes == [("completed", None, 5), ("error", "overloaded_error", None)]


@_EVERY_CLIENT
def test_events_that_are_called_json_are_a_stream(client: str) -> None:
    """What the body begins with says what it is."""
    got, told = played(client, STREAM, content_type=_JSON)
    assert got == b"".join(STREAM)
    assert seen(told) == ("completed", 2)


def test_an_answer_in_one_piece_that_was_cut_is_no_answer() -> None:
    """The last brace is its end marker."""
    _, told = played("httpx", [json.dumps(_CHAT).encode()[:-2]], content_type=_JSON)
    assert told.summary.outcome == "truncated"


def test_nobody_is_left_with_a_parent_that_was_never_told() -> None:
    """The span that was current while the request was sent is exported."""
    ids: list[int] = []

    def answer(request: httpx.Request) -> httpx.Response:
        ids.append(trace.get_current_span().get_span_context().span_id)
        return httpx.Response(200, json={"error": {"message": "busy"}})

    told = Told()
    told.instrument()
    client = httpx.Client(transport=httpx.MockTransport(answer))
    with client, client.stream("POST", f"https://api.openai.com{PATH}", json=ASKED) as response:
        response.read()
    told.finish()
    assert [span.context.span_id for span in told.spans if span.context] == ids


def test_nothing_is_no_stream() -> None:
    """A status that says that there is no content leaves nothing, whatever the type."""
    told = Told()
    told.instrument()
    empty = httpx.Response(204, headers={"content-type": "text/event-stream"})
    client = httpx.Client(transport=httpx.MockTransport(lambda _: empty))
    with client, client.stream("POST", f"https://api.openai.com{PATH}", json=ASKED):
        pass
    told.finish()
    assert told.spans == []


@_EVERY_CLIENT
def test_an_error_event_of_a_proxy_is_an_error(client: str) -> None:
    """It has its own words instead of JSON."""
    _, told = played(client, [chunk("Hal"), b"event: error\ndata: upstream timeout\n\n"])
    assert (told.summary.outcome, told.summary.error_type) == ("error", "_OTHER")
    assert told.summary.error_message == "upstream timeout"


# --- no model's ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["", "openai"])
@_EVERY_CLIENT
def test_a_tool_server_behind_the_users_gateway_is_none(client: str, provider: str) -> None:
    """MCP answers with events, and its requests say that they are JSON-RPC."""
    told = Told()
    told.instrument(Config(hosts=(HostPattern("127.0.0.1", "", provider),)))
    with Replay([b'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n']) as replay:
        CLIENTS[client][1]("POST", f"{replay.url}/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/call"})
        assert told.spans == []
        CLIENTS[client][1]("POST", f"{replay.url}/mcp", {"prompt": "Hi"})
    told.finish()
    assert len(told.spans) == 1


# --- refused, and sent again -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["session", "request"])
def test_a_refusal_that_aiohttp_raises_has_its_status(server: DemoProvider, where: str) -> None:
    """With `raise_for_status=True` nobody gets a response."""
    aiohttp = pytest.importorskip("aiohttp")
    told = Told()
    told.instrument()

    async def main() -> None:
        async with aiohttp.ClientSession(raise_for_status=where == "session") as session:
            options = {"raise_for_status": True} if where == "request" else {}
            with pytest.raises(aiohttp.ClientResponseError):
                await session.post(f"{server.url('status_429')}/chat/completions", json=ASKED, **options)

    asyncio.run(main())
    told.finish()
    assert (told.summary.outcome, told.summary.error_type, told.summary.status_code) == ("error", "429", 429)
    assert told.summary.request_id is not None


@pytest.mark.parametrize("library", ["httpx", "requests"])
def test_a_refusal_that_a_hook_raises_has_its_status(server: DemoProvider, library: str) -> None:
    """As many programs do it."""
    url = f"{server.url('status_429')}/chat/completions"

    def hook(response: Any, **_: Any) -> None:
        response.raise_for_status()

    def program() -> Any:
        if library == "requests":
            return with_requests(lambda _: None, url, hooks=[hook])
        with httpx.Client(event_hooks={"response": [hook]}) as client, client.stream("POST", url, json=ASKED):
            return None

    told = Told()
    told.instrument()
    with pytest.raises(Exception, match="429"):
        program()
    told.finish()
    assert (told.summary.outcome, told.summary.error_type, told.summary.status_code) == ("error", "429", 429)


class _Flaky(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    requests = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        type(self).requests += 1
        is_good = type(self).requests % 3 == 0
        body = b"".join(STREAM) if is_good else b"{}"
        self.send_response(200 if is_good else 503)
        self.send_header("content-type", "text/event-stream" if is_good else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def flaky() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Flaky) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}{PATH}"
        server.shutdown()


def test_what_urllib3_has_sent_again_is_told(flaky: str) -> None:
    """By its own history, which has no times."""
    requests = pytest.importorskip("requests")
    retry = pytest.importorskip("urllib3.util.retry").Retry

    def program() -> bytes:
        with requests.Session() as session:
            again = retry(total=5, status_forcelist=[503], allowed_methods=None, backoff_factor=0)
            session.mount("http://", requests.adapters.HTTPAdapter(max_retries=again))
            with session.post(flaky, json=ASKED, stream=True, timeout=10) as response:
                return bytes(response.content)

    got, told = twice(program)
    assert got == b"".join(STREAM)
    assert (told.summary.outcome, told.summary.resend_count) == ("completed", 2)
    assert [dict(event.attributes or {}) for event in told.events("streamspan.retry")] == [
        {"http.request.resend_count": number, "http.response.status_code": 503} for number in (1, 2)
    ]


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_request_of_a_hook_is_another_one(library: str) -> None:
    """On a path that nobody knows too: its headers are not those of the call."""
    module = pytest.importorskip(library)
    told = Told()
    told.instrument(Config(hosts=(HostPattern("api.example"),)))
    answered: list[bool] = []

    def answer(request: Any) -> Any:
        if request.url.path == "/token":
            return module.Response(200, headers={"x-request-id": "token"})
        call = current_call()
        assert call is not None
        answered.append(call.session.headers_at is not None)
        return module.Response(200, headers={"content-type": "text/event-stream"}, content=iter(STREAM))

    def hook(request: Any) -> None:
        if request.url.path != "/token":
            client.post("http://api.example/token")

    client = module.Client(transport=module.MockTransport(answer), event_hooks={"request": [hook]})
    with client, client.stream("POST", "http://api.example/stream", json=ASKED) as response:
        response.read()
    told.finish()
    assert answered == [False]
    assert (told.summary.outcome, told.summary.request_id) == ("completed", None)


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_a_stream_of_a_hook_is_another_one(library: str) -> None:
    """A guard that asks a model first, on the same endpoint."""
    module = pytest.importorskip(library)
    told = Told()
    told.instrument()

    def hook(request: Any) -> None:
        if "x-guard" not in request.headers:
            with client.stream("POST", request.url, json=ASKED, headers={"x-guard": "1"}) as response:
                response.read()

    def answer(_: Any) -> Any:
        return module.Response(200, headers={"content-type": "text/event-stream"}, content=iter(STREAM))

    client = module.Client(transport=module.MockTransport(answer), event_hooks={"request": [hook]})
    with client, client.stream("POST", f"https://api.openai.com{PATH}", json=ASKED) as response:
        response.read()
    told.finish()
    assert [summary.outcome for summary in told.summaries] == ["completed"] * 2
