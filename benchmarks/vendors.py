"""The SDKs whose whole streams are measured: how a client is made, what it is asked, and what its provider sends.

Refuses to know what is measured. SDKs are imported in the measuring process only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks import streams, subjects

_EVENTS_PER_READ = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Vendor:
    """One SDK.

    Args:
        name: of its rows.
        subjects: who is measured with it.
        body: number of chunks to the pieces of an HTTP body.
        client: base URL and HTTP client, or None for the SDK's own, to a client.
        open: client to a stream.
        base: what follows the scenario in the provider's URL.
    """

    name: str
    subjects: tuple[str, ...]
    body: Callable[[int], list[bytes]]
    client: Callable[[str, Any], Any]
    open: Callable[[Any], Any]
    base: str

    def of_memory(self, chunks: int) -> Any:
        """Return a client whose every request is answered out of memory, without a socket."""
        return self.client("http://127.0.0.1:9" + self.base, streams.http_client(self.body(chunks)))

    def of_provider(self, url: str, scenario: str) -> Any:
        """Return a client of the demo provider."""
        return self.client(f"{url}/{scenario}{self.base}", None)

    def read(self, client: Any) -> int:
        """Read one answer to its end; return the number of its chunks."""
        return sum(1 for _ in self.open(client))


def _openai(url: str, http_client: Any) -> Any:
    import openai  # noqa: PLC0415 - the parent process has no SDK

    return openai.OpenAI(base_url=url, api_key="none", http_client=http_client)


def _open_chat(client: Any) -> Any:
    return client.chat.completions.create(model="bench-1", messages=streams.MESSAGES, stream=True)


def _anthropic(url: str, http_client: Any) -> Any:
    import anthropic  # noqa: PLC0415

    return anthropic.Anthropic(base_url=url, api_key="none", http_client=http_client)


def _open_message(client: Any) -> Any:
    return client.messages.create(model="bench-1", max_tokens=1024, messages=streams.MESSAGES, stream=True)


def _message_events(chunks: int) -> Iterator[dict[str, Any]]:
    """Yield an answer of so many chunks: start, pieces of text, the stop reason, the end."""
    head = {"id": "msg_bench", "type": "message", "role": "assistant", "model": "bench-1", "content": []}
    usage = {"input_tokens": 5, "output_tokens": 1}
    yield {"type": "message_start", "message": {**head, "stop_reason": None, "stop_sequence": None, "usage": usage}}
    yield {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    for _ in range(max(0, chunks - 5)):
        yield {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "stream "}}
    yield {"type": "content_block_stop", "index": 0}
    ended = {"stop_reason": "end_turn", "stop_sequence": None}
    yield {"type": "message_delta", "delta": ended, "usage": {"output_tokens": max(0, chunks - 5)}}
    yield {"type": "message_stop"}


def _message_body(chunks: int) -> list[bytes]:
    events = [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode() for event in _message_events(chunks)]
    return [b"".join(events[at : at + _EVENTS_PER_READ]) for at in range(0, len(events), _EVENTS_PER_READ)]


def _gemini(url: str, http_client: Any) -> Any:
    from google.genai import Client, types  # noqa: PLC0415

    return Client(api_key="none", http_options=types.HttpOptions(base_url=url, httpx_client=http_client))


def _open_content(client: Any) -> Any:
    return client.models.generate_content_stream(model="bench-1", contents="stream")


def _content_body(chunks: int) -> list[bytes]:
    """Return an answer of so many chunks, each with the counts so far, as the Developer API sends them."""
    events: list[bytes] = []
    for number in range(1, chunks + 1):
        candidate: dict[str, Any] = {"content": {"parts": [{"text": "stream "}], "role": "model"}, "index": 0}
        if number == chunks:
            candidate["finishReason"] = "STOP"
        usage = {"promptTokenCount": 5, "candidatesTokenCount": number, "totalTokenCount": 5 + number}
        chunk = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "bench-1", "responseId": "bench"}
        events.append(f"data: {json.dumps(chunk)}\r\n\r\n".encode())
    return [b"".join(events[at : at + _EVENTS_PER_READ]) for at in range(0, len(events), _EVENTS_PER_READ)]


OPENAI = Vendor(
    name="OpenAI",
    subjects=(*subjects.OURS, subjects.OTHER),
    body=streams.body,
    client=_openai,
    open=_open_chat,
    base="/v1",
)
ANTHROPIC = Vendor(
    name="Anthropic",
    subjects=(*subjects.OURS, subjects.NATIVE, subjects.OTHER_ANTHROPIC),
    body=_message_body,
    client=_anthropic,
    open=_open_message,
    base="",
)
GEMINI = Vendor(
    name="Gemini",
    subjects=(*subjects.OURS, subjects.OTHER_GEMINI),
    body=_content_body,
    client=_gemini,
    open=_open_content,
    base="/",
)
