"""Mistral's API: chat completions in OpenAI's words, which the SDK hands out inside of events; fill-in-the-middle; agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamspan._records import AttributeValue, Delta
from streamspan.providers import Endpoint, Provider, _openai_chat
from streamspan.providers._parameters import ints
from streamspan.providers._shapes import fields
from streamspan.providers.openai_messages import chat_content, completion_content


def read_event(event: Any) -> Delta:
    """Read one event of the SDK, or its payload as it is on the wire."""
    payload = fields(event).get("data")
    return _openai_chat.read_chunk(event if payload is None else payload)


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters."""
    return {**_openai_chat.completion_attributes(body), **ints(body, {"gen_ai.request.seed": "random_seed"})}


CHAT = Endpoint(
    name="chat completions",
    operation="chat",
    paths=(r"/chat/completions",),
    read=read_event,
    read_whole=_openai_chat.read_whole,
    attributes=request_attributes,
    content=chat_content,
    done_data="[DONE]",
)
FIM = replace(
    CHAT,
    name="fill in the middle",
    operation="text_completion",
    paths=(r"/fim/completions",),
    content=completion_content,
)
AGENTS = replace(CHAT, name="agents", operation="invoke_agent", paths=(r"/agents/completions",))

MISTRAL = Provider(
    name="mistral_ai",
    endpoints=(FIM, AGENTS, CHAT),
    hosts={"api.mistral.ai": "mistral_ai", "*.mistral.ai": "mistral_ai"},
    request_id_headers=("mistral-correlation-id", "x-request-id", "x-kong-request-id"),
)
