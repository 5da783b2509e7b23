"""Anthropic's surfaces that give a stream, as data.

Knows how each is called, what is iterated over, what is closed, and what a complete stream of it says. The waits and
the endings are in `support.caller` and in the matrix.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import anthropic
from anthropic.types import Message

from support import mocked
from support.anthropic_sdk import BEDROCK_KNOWS_EVENTS, ERRORS, RAW_IS_API_RESPONSE, has, http
from support.caller import Caller
from support.clocked import Clocked, Piece
from support.seen import TLS
from support.shapes import Reading, Shape
from support.special import Special
from support.surface import TIMEOUTS, Surface, entered_of, same
from support.truth import of_messages

MODEL = "claude-demo"
ASKED: Any = {"model": MODEL, "max_tokens": 64, "messages": [{"role": "user", "content": "What is a stream?"}]}


def _common(caller: Caller) -> dict[str, Any]:
    http_client: Any = anthropic.DefaultAsyncHttpxClient if caller.is_async else anthropic.DefaultHttpxClient
    read = caller.options.get("read_timeout")
    timeout = http.Timeout(**(TIMEOUTS | ({"read": read} if read else {})))
    retries = caller.options.get("max_retries", 2)
    return {"http_client": http_client(verify=TLS), "timeout": timeout, "max_retries": retries}


def _made(caller: Caller, name: str, **more: Any) -> Any:
    return getattr(anthropic, f"Async{name}" if caller.is_async else name)(**_common(caller) | more)


def anthropic_client(caller: Caller, scenario: str) -> Any:
    """Make a client of the caller's colour."""
    url = caller.options.get("base_url") or caller.server.url(scenario, base="")
    return _made(caller, "Anthropic", base_url=url, api_key="key")


def _vertex_client(caller: Caller, scenario: str) -> Any:
    url = caller.server.url(scenario)
    return _made(caller, "AnthropicVertex", base_url=url, region="here", project_id="mine", access_token="token")


def _foundry_client(caller: Caller, scenario: str) -> Any:
    url = caller.server.url(scenario, base="/anthropic")
    return _made(caller, "AnthropicFoundry", base_url=url, api_key="key")


def _played(caller: Caller, scenario: str) -> Any:
    """Return what the server answers."""
    return mocked.ask(http, f"{caller.server.url(scenario, base='')}/v1/messages", {**ASKED, "stream": True})


def _mock_client(caller: Caller, scenario: str) -> Any:
    """Make a client whose transport plays what the server sends, one piece per event."""
    made = mocked.replaying(http, _played(caller, scenario), "request-id", is_async=caller.is_async)
    return _made(caller, "Anthropic", base_url="http://127.0.0.1", api_key="key", http_client=made)


def _bedrock_client(caller: Caller, scenario: str) -> Any:
    """Make a client whose transport plays what the server sends in Bedrock's binary frames."""
    got = _played(caller, scenario)
    frames = [_frame(piece.partition(b"data: ")[2].strip()) for piece in mocked.pieces_of(got)]
    kept = {"content-type": "application/vnd.amazon.eventstream", "request-id": got.headers["request-id"]}
    made = mocked.client_of(http, got.status_code, kept, frames, is_async=caller.is_async)
    keys = {"aws_access_key": "key", "aws_secret_key": "secret", "aws_region": "here"}
    return _made(caller, "AnthropicBedrock", base_url="http://127.0.0.1", http_client=made, **keys)


def _frame(payload: bytes) -> bytes:
    """Return a chunk of an AWS event stream: lengths, checksum, headers, payload, checksum."""
    fields = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    named = ((name.encode(), value.encode()) for name, value in fields.items())
    headers = b"".join(
        bytes([len(name)]) + name + b"\7" + struct.pack("!H", len(value)) + value for name, value in named
    )
    body = json.dumps({"bytes": base64.b64encode(payload).decode()}).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


def _post(client: Any, **more: Any) -> Any:
    return client.post("/v1/messages", body={**ASKED, "stream": True}, stream=True, **more)


def _post_parsed(client: Any) -> Any:
    kind: Any = anthropic.AsyncStream if isinstance(client, anthropic.AsyncAnthropic) else anthropic.Stream
    return _post(client, cast_to=Message, stream_cls=kind[anthropic.types.RawMessageStreamEvent])


def _parsed(response: Any) -> Any:
    return response.parse()


def _http(response: Any) -> Any:
    return response.http_response


def _lines(response: Any) -> Any:
    return response.iter_lines()


def _http_lines(response: Any) -> Any:
    return response.aiter_lines() if hasattr(response.stream, "__aiter__") else response.iter_lines()


_PING = '{"type":"ping"}'


def _ends_event(line: str) -> int:
    # An event's last line but an empty one; a sign of life is no event.
    return int(line.startswith("data:") and _PING not in line)


def _events_in(data: bytes) -> int:
    return data.count(b"\n\n") - data.count(_PING.encode())


# What the convenience streams put between the events of the wire.
_SYNTHETIC = frozenset({"text", "input_json", "thinking", "citation", "signature", "compaction"})


def _of_the_wire(event: Any) -> int:
    return int(event.type not in _SYNTHETIC)


def _first_text(_: str) -> int:
    # Three events of the wire are there when the first text is.
    return 3


def _is_no_ping(payload: str) -> bool:
    return payload != _PING


_ITEMS = frozenset({"items", "with", "server", "messages"})
_ALL = frozenset({"full"})

_surface = partial(
    Surface,
    layer="anthropic",
    client=anthropic_client,
    bases=(anthropic.Stream, anthropic.AsyncStream),
    hands_out=_is_no_ping,
    model=MODEL,
    finish=("end_turn",),
    finishes={"token-limit": ("max_tokens",), "tools": ("tool_use",)},
    errors=ERRORS,
)

MESSAGES = _surface(
    name="messages",
    start=lambda client: client.messages.create(**ASKED, stream=True),
    traits=_ITEMS | _ALL | {"create"},
)
RAW = _surface(
    name="messages-raw-parse",
    start=lambda client: client.messages.with_raw_response.create(**ASKED, stream=True),
    view=_parsed,
    awaits_view=RAW_IS_API_RESPONSE,
    response=_http,
    traits=_ITEMS | _ALL,
)
STREAMING = _surface(
    name="messages-streaming-parse",
    start=lambda client: client.messages.with_streaming_response.create(**ASKED, stream=True),
    is_manager=True,
    view=_parsed,
    awaits_view=True,
    closer=entered_of,
    response=_http,
    traits=_ITEMS | _ALL,
)
LINES = replace(
    STREAMING,
    name="messages-streaming-lines",
    view=_lines,
    awaits_view=False,
    weight=_ends_event,
    traits=frozenset({"wire", "with", "server", "messages", "full"}),
)
BYTES = replace(
    LINES,
    name="messages-streaming-bytes",
    view=lambda response: response.iter_bytes(),
    weight=_events_in,
    traits=LINES.traits - {"full"},
)
HELPER = _surface(
    name="messages-helper",
    start=lambda client: client.messages.stream(**ASKED),
    is_manager=True,
    bases=(anthropic.MessageStream, anthropic.AsyncMessageStream),
    weight=_of_the_wire,
    traits=_ITEMS | {"helper", "messages-helper", "full"},
)
TEXT = replace(
    HELPER,
    name="messages-helper-text",
    view=lambda stream: stream.text_stream,
    closer=entered_of,
    weight=_first_text,
    traits=frozenset({"with", "messages", "text"}),
)
BETA = replace(
    MESSAGES,
    name="beta",
    start=lambda client: client.beta.messages.create(**ASKED, stream=True),
    traits=_ITEMS,
)
BETA_HELPER = replace(
    HELPER,
    name="beta-helper",
    start=lambda client: client.beta.messages.stream(**ASKED),
    bases=(),
    traits=_ITEMS | {"helper"},
)
POST = replace(MESSAGES, name="post-stream-cls", start=_post_parsed, traits=_ITEMS)
POST_RESPONSE = _surface(
    name="post-response",
    start=lambda client: _post(client, cast_to=http.Response),
    view=_http_lines,
    closer=entered_of,
    response=same,
    weight=_ends_event,
    traits=frozenset({"wire", "server", "messages"}),
)
VERTEX = replace(MESSAGES, name="vertex", client=_vertex_client, traits=_ITEMS)
FOUNDRY = replace(MESSAGES, name="foundry", client=_foundry_client, traits=_ITEMS)
MOCK = replace(MESSAGES, name="mock-transport", client=_mock_client, traits=_ITEMS - {"server"} | {"mock"})
BEDROCK = replace(MOCK, name="bedrock", client=_bedrock_client)

# What some versions of the SDK do not have; Bedrock's and Vertex' authentication are extras.
_AVAILABLE = {
    BEDROCK.name: find_spec("boto3") is not None and BEDROCK_KNOWS_EVENTS,
    VERTEX.name: find_spec("google") is not None and find_spec("google.auth") is not None,
    BETA_HELPER.name: has("beta.messages.stream"),
    FOUNDRY.name: hasattr(anthropic, "AnthropicFoundry"),
}
EVERY_SURFACE: tuple[Surface, ...] = (
    MESSAGES,
    RAW,
    STREAMING,
    LINES,
    BYTES,
    HELPER,
    TEXT,
    BETA,
    BETA_HELPER,
    POST,
    POST_RESPONSE,
    VERTEX,
    FOUNDRY,
    MOCK,
    BEDROCK,
)
SURFACES = tuple(surface for surface in EVERY_SURFACE if _AVAILABLE.get(surface.name, True))

# For the other files of the matrix, as in `support.surfaces`.
_BOTH = (MESSAGES, LINES)
SHAPES: tuple[Shape, ...] = (
    Shape("ok", (MESSAGES, LINES, HELPER, TEXT, BETA, VERTEX, BYTES), "text"),
    Shape("tools", (MESSAGES, LINES, HELPER), "tool_call"),
    Shape("reasoning", (MESSAGES, LINES, HELPER, TEXT), "reasoning"),
    Shape("redacted", _BOTH, "text"),
    Shape("server_tools", _BOTH, "tool_call"),
    Shape("citations", (MESSAGES, LINES, HELPER), "text"),
    Shape("compaction", (BETA,), "text"),
    Shape("cached", _BOTH, "text"),
    Shape("refusal", (MESSAGES, LINES, HELPER), ""),
    Shape("one_chunk", _BOTH, "text"),
    Shape("keepalive", _BOTH, "text"),
)
TRUTHS: tuple[Reading, ...] = (("messages", of_messages),)
LIFETIMES: tuple[Surface, ...] = (MESSAGES, RAW, STREAMING, LINES, HELPER, TEXT, POST_RESPONSE)
CHUNK_LIFETIMES: tuple[Surface, ...] = (MESSAGES, RAW, HELPER)
CONTEXTS: tuple[Surface, ...] = (MESSAGES, RAW, STREAMING, LINES, HELPER, TEXT)


def _says(payload: str) -> str:
    delta: dict[str, str] = json.loads(payload).get("delta") or {}
    return {"text_delta": "text", "thinking_delta": "reasoning"}.get(delta.get("type", ""), "")


def _piece(wait: float, data: dict[str, Any]) -> Piece:
    said = (data.get("delta") or {}).get("text", "")
    return Piece(wait, f"event: {data['type']}\ndata: {json.dumps(data)}\n\n".encode(), said)


def _text_piece(wait: float, text: str) -> Piece:
    return _piece(wait, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})


def _clocked_client(http_client: Any, is_async: bool) -> Any:
    kind: Any = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(api_key="key", http_client=http_client)


_BEGUN: Any = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None}
CLOCKED = (
    Clocked(
        surface=MESSAGES,
        says=_says,
        ways=(MESSAGES, BYTES, HELPER),
        pieces=(
            _piece(
                0.5,
                {
                    "type": "message_start",
                    "message": {**_BEGUN, "stop_sequence": None, "usage": {"input_tokens": 5, "output_tokens": 1}},
                },
            ),
            _piece(
                0.25,
                {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            ),
            _text_piece(0.375, "Hello"),
            _text_piece(2.0, ", "),
            _text_piece(0.125, "world"),
            _piece(0.5, {"type": "content_block_stop", "index": 0}),
            _piece(
                0.0625,
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 7},
                },
            ),
            _piece(0.03125, {"type": "message_stop"}),
        ),
        client=_clocked_client,
        http=http,
    ),
)


def _on(http_client: Any, url: str, is_async: bool) -> Any:
    kind: Any = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(base_url=url, api_key="key", http_client=http_client)


def _frame_of(payload: str) -> bytes:
    return f"event: {json.loads(payload)['type']}\ndata: {payload}\n\n".encode()


SPECIAL = (
    Special(
        surface=MESSAGES,
        held=(MESSAGES, RAW, HELPER),
        faulty=(MESSAGES, LINES),
        refused="anthropic.APIConnectionError",
        frame=_frame_of,
        markers=1,
        lost="error",
        on=_on,
        http=http,
        unconnected="anthropic.APITimeoutError",
        resends_unconnected=True,
        unpooled="anthropic.APITimeoutError",
    ),
)
