"""The streams that are measured: over loopback from a process of its own, out of memory, and as chunk objects.

Knows the OpenAI SDK's way in. Refuses to know what is measured.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

MESSAGES: Any = [{"role": "user", "content": "Tell me about streams."}]
_EVENTS_PER_READ = 10
_DISTINCT_CHUNKS = 32


def provider() -> str:
    """Start the demo provider in a process of its own, so that it does not share the measured one's GIL; return its URL.

    It ends with this process.
    """
    process = subprocess.Popen([sys.executable, "-m", "streamspan.demo"], stdout=subprocess.PIPE, text=True)
    atexit.register(process.terminate)
    assert process.stdout is not None
    return process.stdout.readline().strip().removesuffix("/ok/v1")


def long_scenario(chunks: int) -> str:
    """Return the scenario of an answer of about so many chunks, several in each write."""
    return f"big;chunks={chunks};batch={_EVENTS_PER_READ}"


def long_answer(url: str, chunks: int) -> str:
    """Return the base URL of such an answer, for an OpenAI client."""
    return f"{url}/{long_scenario(chunks)}/v1"


def _payload(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    head = {"id": "chatcmpl-bench", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "bench-1"}
    return {**head, "service_tier": "default", "system_fingerprint": "fp_bench", "choices": [choice]}


def payloads(chunks: int) -> Iterator[dict[str, Any]]:
    """Yield the chunks of an answer as JSON objects: the role, pieces of text, the finish reason."""
    yield _payload({"role": "assistant", "content": ""})
    for _ in range(chunks - 2):
        yield _payload({"content": "stream "})
    yield _payload({}, "stop")


def chunk_objects(chunks: int) -> list[Any]:
    """Return the chunks of an answer as the SDK makes them.

    Few objects occur many times: a chunk that the SDK has just made is in the processor's cache, and thousands of
    them that were made before are not.
    """
    from openai._models import construct_type  # noqa: PLC0415 - the parent process has no SDK
    from openai.types.chat import ChatCompletionChunk  # noqa: PLC0415

    made = [construct_type(type_=ChatCompletionChunk, value=each) for each in payloads(min(chunks, _DISTINCT_CHUNKS))]
    first, *texts, last = made
    return [first, *islice(cycle(texts), chunks - 2), last] if chunks > 2 else made


def body(chunks: int) -> list[bytes]:
    """Return the same answer as the pieces of an HTTP body."""
    events = [f"data: {json.dumps(payload)}\n\n".encode() for payload in payloads(chunks)]
    events.append(b"data: [DONE]\n\n")
    return [b"".join(events[at : at + _EVENTS_PER_READ]) for at in range(0, len(events), _EVENTS_PER_READ)]


def http_client(pieces: list[bytes]) -> Any:
    """Return an HTTP client whose every request is answered with `pieces`, without a socket."""
    import httpx2  # noqa: PLC0415 - the parent process has no SDK

    class Body(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            return iter(pieces)

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Body())

    return httpx2.Client(transport=httpx2.MockTransport(answer))
