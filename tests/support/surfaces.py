"""The public surfaces that give a stream, as data: a new provider adds entries.

Knows how each is called, what is iterated over, what is closed, and what a complete stream of it says. The waits and
the endings are in `support.caller` and in the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

from support.caller import Caller
from support.sdk import VERSION, has_argument, http
from support.seen import TLS

MODEL = "gpt-demo"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]
READ_TIMEOUT = 0.3
_TIMEOUT = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def _same(value: Any) -> Any:
    return value


def _one(_: Any) -> int:
    return 1


def _response(entered: Any) -> Any:
    return entered.response


def _stream(_: Any, stream: Any) -> Any:
    return stream


def _entered(entered: Any, _: Any) -> Any:
    return entered


def openai_client(caller: Caller, scenario: str) -> Any:
    """Make a client of the caller's colour."""
    http_client: Any = (openai.DefaultAsyncHttpxClient if caller.is_async else openai.DefaultHttpxClient)(verify=TLS)
    return _openai(caller, scenario, http_client)


def _openai(caller: Caller, scenario: str, http_client: Any) -> Any:
    kind: Any = openai.AsyncOpenAI if caller.is_async else openai.OpenAI
    read = caller.options.get("read_timeout")
    timeout = http.Timeout(**(_TIMEOUT | ({"read": read} if read else {})))
    retries = caller.options.get("max_retries", 2)
    url = caller.options.get("base_url") or caller.server.url(scenario)
    return kind(base_url=url, api_key="key", http_client=http_client, timeout=timeout, max_retries=retries)


def _azure_client(caller: Caller, scenario: str) -> Any:
    http_client: Any = (openai.DefaultAsyncHttpxClient if caller.is_async else openai.DefaultHttpxClient)(verify=TLS)
    kind: Any = openai.AsyncAzureOpenAI if caller.is_async else openai.AzureOpenAI
    endpoint = caller.options.get("base_url") or caller.server.url(scenario, base="")
    return kind(azure_endpoint=endpoint, api_key="key", api_version="2025-01-01", http_client=http_client)


def _legacy_client(caller: Caller, scenario: str) -> Any:
    client: Any = httpx.AsyncClient if caller.is_async else httpx.Client
    return _openai(caller, scenario, client(verify=TLS, follow_redirects=True))


def _aiohttp_client(caller: Caller, scenario: str) -> Any:
    return _openai(caller, scenario, openai.DefaultAioHttpClient(verify=TLS))


def _mock_client(caller: Caller, scenario: str) -> Any:
    """Make a client whose transport plays what the server sends, one piece per event."""
    with http.Client(verify=TLS) as client:
        request = {"model": MODEL, "messages": MESSAGES, "stream": True}
        got = client.post(f"{caller.server.url(scenario)}/chat/completions", json=request)
    return _openai(caller, scenario, _mock_http(caller, got))


def _mock_http(caller: Caller, got: Any) -> Any:
    pieces = [piece + b"\n\n" for piece in got.content.split(b"\n\n")[:-1]]
    kept = {"content-type": got.headers["content-type"], "x-request-id": got.headers["x-request-id"]}

    def handler(request: Any) -> Any:
        return http.Response(got.status_code, headers=kept, content=iter(pieces))

    async def ahandler(request: Any) -> Any:
        async def content() -> Any:
            for piece in pieces:
                yield piece

        return http.Response(got.status_code, headers=kept, content=content())

    if caller.is_async:
        return http.AsyncClient(transport=http.MockTransport(ahandler))
    return http.Client(transport=http.MockTransport(handler))


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One way to get a stream.

    Args:
        name: how the test is called.
        start: client to what the SDK returns: a stream, its awaitable, or a manager.
        client: makes the client.
        view: what was returned or entered, to what is iterated over.
        awaits_view: whether that has to be awaited in the async colour.
        is_manager: whether `start` returns a context manager.
        closer: what has `close`.
        response: what was entered, to the HTTP response.
        weight: how many events of the wire an item completes.
        operation, model: as the span has them.
        finish: finish reasons of a complete stream; empty where there are none.
        traits: what applies to it, see `matrix.endings`.
    """

    name: str
    start: Callable[[Any], Any]
    client: Callable[[Caller, str], Any] = openai_client
    view: Callable[[Any], Any] = _same
    awaits_view: bool = False
    is_manager: bool = False
    closer: Callable[[Any, Any], Any] = _stream
    response: Callable[[Any], Any] = _response
    weight: Callable[[Any], int] = _one
    operation: str = "chat"
    model: str | None = MODEL
    finish: tuple[str, ...] = ("stop",)
    traits: frozenset[str] = frozenset()

    @property
    def missing(self) -> tuple[str, ...]:
        """Finish reasons of a stream that was cut off."""
        return ("error",) if self.finish else ()


def _chat(client: Any, **more: Any) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, **more)


def chat_helper(client: Any) -> Any:
    """Return the manager of the chat convenience stream, which was in beta before openai 1.92."""
    completions = (
        client.chat.completions if hasattr(client.chat.completions, "stream") else client.beta.chat.completions
    )
    return completions.stream(model=MODEL, messages=MESSAGES)


def _parsed(response: Any) -> Any:
    return response.parse()


def _http(response: Any) -> Any:
    return response.http_response


def _is_chunk(event: Any) -> int:
    return int(event.type == "chunk")


def _ends_event(line: str) -> int:
    return int(not line)


def _events_in(data: bytes) -> int:
    return data.count(b"\n\n")


def _lines(response: Any) -> Any:
    # The same name in both colours where it is an SDK's object; httpx has two.
    return response.iter_lines()


def _http_lines(response: Any) -> Any:
    return response.aiter_lines() if hasattr(response.stream, "__aiter__") else response.iter_lines()


def _runs(client: Any) -> Any:
    return client.beta.threads.runs.create(thread_id="thread_demo", assistant_id="asst_demo", model=MODEL, stream=True)


def _assistant_response(handler: Any) -> Any:
    names = ("_AssistantEventHandler__stream", "_AsyncAssistantEventHandler__stream")
    return next(getattr(handler, name) for name in names if hasattr(handler, name)).response


def _post(client: Any, **more: Any) -> Any:
    body = {"model": MODEL, "messages": MESSAGES, "stream": True}
    return client.post("/chat/completions", body=body, stream=True, **more)


def _post_parsed(client: Any) -> Any:
    kind: Any = openai.AsyncStream if isinstance(client, openai.AsyncOpenAI) else openai.Stream
    return _post(client, cast_to=ChatCompletionChunk, stream_cls=kind[ChatCompletionChunk])


_ITEMS = frozenset({"items", "with", "server"})
_CHAT = _ITEMS | {"chat", "done", "create"}
_ALL = frozenset({"full"})

CHAT = Surface(name="chat", start=_chat, traits=_CHAT | _ALL)
RAW = Surface(
    name="chat-raw-parse",
    start=lambda client: client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True),
    view=_parsed,
    response=_http,
    traits=(_CHAT - {"create"}) | _ALL,
)
STREAMING = Surface(
    name="chat-streaming-parse",
    start=lambda client: client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=MESSAGES, stream=True
    ),
    is_manager=True,
    view=_parsed,
    awaits_view=True,
    closer=_entered,
    response=_http,
    traits=(_CHAT - {"create"}) | _ALL,
)
LINES = replace(
    STREAMING,
    name="chat-streaming-lines",
    view=_lines,
    awaits_view=False,
    weight=_ends_event,
    traits=frozenset({"wire", "with", "server", "chat", "done", "full"}),
)
BYTES = replace(
    LINES,
    name="chat-streaming-bytes",
    view=lambda response: response.iter_bytes(),
    weight=_events_in,
    traits=LINES.traits - {"full"},
)
HELPER = Surface(
    name="chat-helper",
    start=chat_helper,
    is_manager=True,
    response=lambda stream: stream._response,
    weight=_is_chunk,
    traits=_ITEMS | {"chat", "done", "helper", "chat-helper", "full"},
)
RESPONSES = Surface(
    name="responses",
    start=lambda client: client.responses.create(model=MODEL, input="What is a stream?", stream=True),
    finish=("completed",),
    traits=_ITEMS | {"responses", "create"} | _ALL,
)
RESPONSES_LINES = replace(
    LINES,
    name="responses-streaming-lines",
    start=lambda client: client.responses.with_streaming_response.create(
        model=MODEL, input="What is a stream?", stream=True
    ),
    finish=("completed",),
    traits=frozenset({"wire", "with", "server", "responses"}),
)
RESPONSES_HELPER = Surface(
    name="responses-helper",
    start=lambda client: client.responses.stream(model=MODEL, input="What is a stream?"),
    is_manager=True,
    response=lambda stream: stream._response,
    finish=("completed",),
    traits=_ITEMS | {"responses", "helper", "responses-helper", "full"},
)
RETRIEVE = Surface(
    name="responses-retrieve",
    start=lambda client: client.responses.retrieve("resp_demo", stream=True),
    operation="fetch_response",
    model=None,
    finish=("completed",),
    traits=_ITEMS | {"responses"},
)
COMPLETIONS = Surface(
    name="completions",
    start=lambda client: client.completions.create(model=MODEL, prompt="What is a stream?", stream=True),
    operation="text_completion",
    traits=_ITEMS | {"done", "completions"},
)
RUNS = Surface(
    name="runs",
    start=_runs,
    operation="invoke_agent",
    finish=("completed",),
    traits=_ITEMS | {"done", "runs"},
)
RUNS_HELPER = replace(
    RUNS,
    name="runs-helper",
    start=lambda client: client.beta.threads.runs.stream(
        thread_id="thread_demo", assistant_id="asst_demo", model=MODEL
    ),
    is_manager=True,
    response=_assistant_response,
    traits=_ITEMS | {"done", "runs", "helper", "runs-helper"},
)
IMAGES = Surface(
    name="images",
    start=lambda client: client.images.generate(prompt="a stream", model=MODEL, stream=True, partial_images=3),
    operation="image_generation",
    finish=(),
    traits=_ITEMS | {"media"},
)
TRANSCRIPTIONS = Surface(
    name="transcriptions",
    start=lambda client: client.audio.transcriptions.create(file=("a.wav", b"RIFF"), model=MODEL, stream=True),
    operation="transcription",
    finish=(),
    traits=_ITEMS | {"media"},
)
POST = replace(CHAT, name="post-stream-cls", start=_post_parsed, traits=_CHAT - {"create"})
POST_RESPONSE = Surface(
    name="post-response",
    start=lambda client: _post(client, cast_to=http.Response),
    view=_http_lines,
    closer=_entered,
    response=_same,
    weight=_ends_event,
    traits=frozenset({"wire", "server", "chat", "done"}),
)
AZURE = replace(CHAT, name="azure", client=_azure_client, traits=_CHAT - {"create"} | {"azure"})
LEGACY = replace(CHAT, name="legacy-httpx-client", client=_legacy_client, traits=_CHAT - {"create"} | {"legacy"})
AIOHTTP = replace(
    CHAT, name="aiohttp-transport", client=_aiohttp_client, traits=_CHAT - {"create"} | {"async", "aiohttp"}
)
MOCK = replace(CHAT, name="mock-transport", client=_mock_client, traits=_CHAT - {"create", "server"} | {"mock"})

# What some versions of the SDK do not have; the aiohttp transport is an extra.
_AVAILABLE = {
    RESPONSES_HELPER.name: has_argument("responses", "Responses.stream", "model"),
    RETRIEVE.name: has_argument("responses", "Responses.retrieve", "stream"),
    IMAGES.name: has_argument("images", "Images.generate", "stream"),
    TRANSCRIPTIONS.name: has_argument("audio", "Transcriptions.create", "stream"),
    LEGACY.name: http is not httpx,
    AIOHTTP.name: VERSION >= (3, 0) and hasattr(openai, "DefaultAioHttpClient"),
}
EVERY_SURFACE: tuple[Surface, ...] = (
    CHAT,
    RAW,
    STREAMING,
    LINES,
    BYTES,
    HELPER,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_LINES,
    RESPONSES_HELPER,
    RETRIEVE,
    RUNS,
    RUNS_HELPER,
    IMAGES,
    TRANSCRIPTIONS,
    POST,
    POST_RESPONSE,
    AZURE,
    LEGACY,
    AIOHTTP,
    MOCK,
)
SURFACES = tuple(surface for surface in EVERY_SURFACE if _AVAILABLE.get(surface.name, True))
