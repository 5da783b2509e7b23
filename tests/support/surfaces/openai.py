"""OpenAI's surfaces that give a stream, as data.

Knows how each is called, what is iterated over, what is closed, and what a complete stream of it says. The waits and
the endings are in `support.caller` and in the matrix.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import Any

import httpx
import openai
from openai.types.chat import ChatCompletionChunk

from support import mocked
from support.caller import Caller
from support.clocked import Clocked, Piece
from support.openai_sdk import ERRORS, ERRORS_RAW, VERSION, has_argument, http
from support.seen import TLS
from support.shapes import Reading, Shape
from support.special import Special
from support.surface import TIMEOUTS, Surface, entered_of, same
from support.truth import of_chat, of_responses, of_run

MODEL = "gpt-demo"
MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


def openai_client(caller: Caller, scenario: str) -> Any:
    """Make a client of the caller's colour."""
    http_client: Any = (openai.DefaultAsyncHttpxClient if caller.is_async else openai.DefaultHttpxClient)(verify=TLS)
    return _openai(caller, scenario, http_client)


def _openai(caller: Caller, scenario: str, http_client: Any) -> Any:
    kind: Any = openai.AsyncOpenAI if caller.is_async else openai.OpenAI
    read = caller.options.get("read_timeout")
    timeout = http.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
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
    request = {"model": MODEL, "messages": MESSAGES, "stream": True}
    got = mocked.ask(http, f"{caller.server.url(scenario)}/chat/completions", request)
    return _openai(caller, scenario, mocked.replaying(http, got, is_async=caller.is_async))


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


_INCOMPLETE = {"token-limit": ("max_output_tokens",)}
_ITEMS = frozenset({"items", "with", "server"})
_CHAT = _ITEMS | {"chat", "done", "create"}
_ALL = frozenset({"full"})

_surface = partial(
    Surface,
    layer="openai",
    client=openai_client,
    bases=(openai.Stream, openai.AsyncStream),
    model=MODEL,
    finishes={"token-limit": ("length",), "tools": ("tool_calls",), "two-choices": ("stop", "length")},
    errors=ERRORS,
)

CHAT = _surface(name="chat", start=_chat, traits=_CHAT | _ALL)
RAW = _surface(
    name="chat-raw-parse",
    start=lambda client: client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES, stream=True),
    view=_parsed,
    response=_http,
    traits=(_CHAT - {"create"}) | _ALL,
)
STREAMING = _surface(
    name="chat-streaming-parse",
    start=lambda client: client.chat.completions.with_streaming_response.create(
        model=MODEL, messages=MESSAGES, stream=True
    ),
    is_manager=True,
    view=_parsed,
    awaits_view=True,
    closer=entered_of,
    response=_http,
    traits=(_CHAT - {"create"}) | _ALL,
)
LINES = replace(
    STREAMING,
    name="chat-streaming-lines",
    view=_lines,
    awaits_view=False,
    weight=_ends_event,
    errors=ERRORS_RAW,
    traits=frozenset({"wire", "with", "server", "chat", "done", "full"}),
)
BYTES = replace(
    LINES,
    name="chat-streaming-bytes",
    view=lambda response: response.iter_bytes(),
    weight=_events_in,
    traits=LINES.traits - {"full"},
)
HELPER = _surface(
    name="chat-helper",
    start=chat_helper,
    is_manager=True,
    response=lambda stream: stream._response,
    weight=_is_chunk,
    traits=_ITEMS | {"chat", "done", "helper", "chat-helper", "full"},
)
RESPONSES = _surface(
    name="responses",
    start=lambda client: client.responses.create(model=MODEL, input="What is a stream?", stream=True),
    finish=("completed",),
    finishes=_INCOMPLETE,
    traits=_ITEMS | {"responses", "create"} | _ALL,
)
RESPONSES_LINES = replace(
    LINES,
    name="responses-streaming-lines",
    start=lambda client: client.responses.with_streaming_response.create(
        model=MODEL, input="What is a stream?", stream=True
    ),
    finish=("completed",),
    finishes=_INCOMPLETE,
    traits=frozenset({"wire", "with", "server", "responses"}),
)
RESPONSES_HELPER = _surface(
    name="responses-helper",
    start=lambda client: client.responses.stream(model=MODEL, input="What is a stream?"),
    is_manager=True,
    response=lambda stream: stream._response,
    finish=("completed",),
    finishes=_INCOMPLETE,
    traits=_ITEMS | {"responses", "helper", "responses-helper", "full"},
)
RETRIEVE = _surface(
    name="responses-retrieve",
    start=lambda client: client.responses.retrieve("resp_demo", stream=True),
    operation="fetch_response",
    model=None,
    finish=("completed",),
    finishes=_INCOMPLETE,
    traits=_ITEMS | {"responses"},
)
COMPLETIONS = _surface(
    name="completions",
    start=lambda client: client.completions.create(model=MODEL, prompt="What is a stream?", stream=True),
    operation="text_completion",
    traits=_ITEMS | {"done", "completions"},
)
RUNS = _surface(
    name="runs",
    start=_runs,
    operation="invoke_agent",
    finish=("completed",),
    finishes={"token-limit": ("max_completion_tokens",)},
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
IMAGES = _surface(
    name="images",
    start=lambda client: client.images.generate(prompt="a stream", model=MODEL, stream=True, partial_images=3),
    operation="image_generation",
    finish=(),
    finishes={},
    traits=_ITEMS | {"media"},
)
TRANSCRIPTIONS = _surface(
    name="transcriptions",
    start=lambda client: client.audio.transcriptions.create(file=("a.wav", b"RIFF"), model=MODEL, stream=True),
    operation="transcription",
    finish=(),
    finishes={},
    traits=_ITEMS | {"media"},
)
POST = replace(CHAT, name="post-stream-cls", start=_post_parsed, traits=_CHAT - {"create"})
POST_RESPONSE = _surface(
    name="post-response",
    start=lambda client: _post(client, cast_to=http.Response),
    view=_http_lines,
    closer=entered_of,
    response=same,
    weight=_ends_event,
    errors=ERRORS_RAW,
    traits=frozenset({"wire", "server", "chat", "done"}),
)
AZURE = replace(CHAT, name="azure", client=_azure_client, traits=_CHAT - {"create"} | {"azure"})
LEGACY = replace(
    CHAT,
    name="legacy-httpx-client",
    client=_legacy_client,
    # Before openai 3.20 failures of the connection are named by the client's own library.
    errors={word: name.replace("httpx2.", "httpx.") for word, name in ERRORS.items()},
    traits=_CHAT - {"create"},
)
AIOHTTP = replace(
    CHAT,
    name="aiohttp-transport",
    client=_aiohttp_client,
    errors={**ERRORS, "lost-connection": ERRORS["broken-read"]},
    traits=_CHAT - {"create"} | {"async", "aiohttp"},
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

# For the other files of the matrix, as in `support.surfaces`.
_BOTH = (CHAT, LINES)
SHAPES: tuple[Shape, ...] = (
    Shape("ok", (CHAT, LINES, COMPLETIONS, RESPONSES, RESPONSES_LINES), "text"),
    Shape("tools", (CHAT, LINES, RESPONSES, RESPONSES_LINES), "tool_call"),
    Shape("reasoning", (CHAT, LINES, RESPONSES, RESPONSES_LINES), "reasoning"),
    Shape("refusal", (CHAT, LINES, RESPONSES, RESPONSES_LINES), "refusal"),
    Shape("audio", _BOTH, "text"),
    Shape("n2", _BOTH, "text"),
    Shape("one_chunk", (CHAT, LINES, RESPONSES), "text"),
    Shape("null_choices", _BOTH, "text"),
    Shape("empty_choices_first", _BOTH, "text"),
    Shape("no_delta", _BOTH, "text"),
    Shape("missing_tool_index", _BOTH, "tool_call"),
    Shape("cumulative_usage", _BOTH, "text"),
    Shape("usage_only", _BOTH, "text"),
    Shape("usage_on_finish", _BOTH, "text"),
    Shape("usage_after_finish", _BOTH, "text"),
    Shape("obfuscation", (CHAT, LINES, RESPONSES), "text"),
    Shape("keepalive", _BOTH, "text"),
)
TRUTHS: tuple[Reading, ...] = (
    ("chat", of_chat),
    ("completions", of_chat),
    ("responses", of_responses),
    ("runs", of_run),
)
LIFETIMES: tuple[Surface, ...] = (
    CHAT,
    RAW,
    STREAMING,
    LINES,
    HELPER,
    COMPLETIONS,
    RESPONSES,
    RESPONSES_HELPER,
    POST_RESPONSE,
)
CHUNK_LIFETIMES: tuple[Surface, ...] = (CHAT, RAW, RESPONSES, HELPER)
CONTEXTS: tuple[Surface, ...] = (CHAT, RAW, STREAMING, LINES, HELPER, RESPONSES)


def _says(payload: str) -> str:
    choices = json.loads(payload)["choices"] if payload.startswith("{") else []
    said = [name for choice in choices for name in ("content", "reasoning_content") if choice["delta"].get(name)]
    return {"content": "text", "reasoning_content": "reasoning"}[said[0]] if said else ""


def _piece(wait: float, delta: dict[str, Any], finish: str | None = None, **more: Any) -> Piece:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    data = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return Piece(wait, f"data: {json.dumps(data)}\n\n".encode(), delta.get("content", ""))


def _clocked_client(http_client: Any, is_async: bool) -> Any:
    kind: Any = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(api_key="key", http_client=http_client)


CLOCKED = (
    Clocked(
        surface=CHAT,
        says=_says,
        ways=(CHAT, BYTES, HELPER),
        pieces=(
            _piece(0.5, {"role": "assistant", "content": ""}),
            _piece(0.25, {"content": "Hello"}),
            _piece(2.0, {"content": ", "}),
            _piece(0.125, {"content": "world"}),
            _piece(0.0625, {}, "stop", usage={"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}),
            Piece(0.03125, b"data: [DONE]\n\n", is_chunk=False),
        ),
        client=_clocked_client,
        http=http,
    ),
)


def _on(http_client: Any, url: str, is_async: bool) -> Any:
    return (openai.AsyncOpenAI if is_async else openai.OpenAI)(base_url=url, api_key="key", http_client=http_client)


SPECIAL = (
    Special(
        surface=CHAT,
        held=(CHAT, RAW, HELPER, RESPONSES),
        faulty=(CHAT, LINES),
        base="/v1",
        refused="openai.APIConnectionError",
        markers=1,
        lost="completed",
        on=_on,
        http=http,
        unconnected="openai.APITimeoutError",
        resends_unconnected=True,
        unpooled="openai.APITimeoutError",
    ),
)
