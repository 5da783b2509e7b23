"""Recordings of Anthropic's Messages, and how its SDK plays them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import anthropic

from support.recorded import Call, Recording, Vendor, known
from support.seen import TLS
from support.truth import Payload, Truth, of_messages

_ASKED: dict[str, Any] = {"model": "claude-x", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}


def _client(_: Recording, url: str, is_async: bool) -> Any:
    http: Any = anthropic.DefaultAsyncHttpxClient if is_async else anthropic.DefaultHttpxClient
    kind: Any = anthropic.AsyncAnthropic if is_async else anthropic.Anthropic
    return kind(base_url=url, api_key="key", http_client=http(verify=TLS), max_retries=0)


def _call(recording: Recording) -> Call:
    is_beta = "beta=true" in recording.url
    return Call(operation="chat", start=_beta if is_beta else _messages, truth=partial(_truth, recording))


def _is_cut(recording: Recording) -> bool:
    """Tell whether the last event lacks the empty line that ends it: the SDK does not hand it out then."""
    return not recording.body.endswith("\n\n")


def _truth(recording: Recording, events: Iterable[Payload]) -> Truth:
    return of_messages(list(events)[: -1 if _is_cut(recording) else None])


def _messages(client: Any, body: dict[str, Any]) -> Any:
    return client.messages.create(**known(body, *_ASKED, **_ASKED))


def _beta(client: Any, body: dict[str, Any]) -> Any:
    return client.beta.messages.create(**known(body, *_ASKED, **_ASKED))


def _described(exc: Any) -> tuple[Any, ...]:
    return type(exc).__name__, exc.body


def _is_ping(data: Any) -> bool:
    return bool(data["type"] == "ping")


VENDOR = Vendor(
    folders=("anthropic_messages", "anthropic_sse_fixtures"),
    client=_client,
    call=_call,
    failures=(anthropic.APIError,),
    described=_described,
    facts={
        "dd-trace-py__anthropic_completion_stream": ([21], ["max_tokens"]),
        "dd-trace-py__anthropic_completion_stream_cache_read": ([16], ["max_tokens"]),
        "dd-trace-py__anthropic_completion_tools_stream": ([85], ["tool_use"]),
        "logfire__test_sync_messages_stream_version_latest": ([10], ["end_turn"]),
        "openllmetry__test_anthropic_thinking_streaming_legacy": ([27], ["end_turn"]),
        "pydantic-ai__test_anthropic_model_thinking_part_stream": ([118], ["end_turn"]),
        "anthropic-sdk-python__basic_response": ([9], ["end_turn"]),
        "anthropic-sdk-python__incomplete_partial_json_response": ([16], ["max_tokens"]),
        "anthropic-sdk-python__refusal_response": ([5], ["refusal"]),
        "anthropic-sdk-python__tool_use_response": ([15], ["tool_use"]),
    },
    lines=lambda recording: sum(_is_ping(data) for _, data in recording.events) + _is_cut(recording),
)
