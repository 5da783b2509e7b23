"""Amazon Bedrock's Converse: events, whole answers, request attributes. Also what Nova's models say to InvokeModel."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import IMAGE, AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers._parameters import doubles, ints, known, strings
from streamspan.providers._shapes import counts, fields, items, text

Event = Mapping[str, Any]


def read_event(event: Any) -> Delta:
    """Read one event: an object with one member, whose name says what it is."""
    for name, member in fields(event).items():
        if read := _EVENTS.get(name):
            return read(fields(member))
        if name.endswith("Exception"):
            return Delta(error=ProviderError(name, text(fields(member).get("message"))))
        if name == "error":  # a failure of the service's own: no event, and no exception that it declares
            said = fields(member)
            return Delta(error=ProviderError(text(said.get("code")) or "_OTHER", text(said.get("message"))))
    return Delta()


def _message_start(_: Event) -> Delta:
    return Delta(choice=0)


def _block_start(event: Event) -> Delta:
    use = fields(fields(event.get("start")).get("toolUse"))
    if not use:
        return Delta(choice=0)
    return Delta(choice=0, tool_calls=[ToolCallDelta(_index(event), text(use.get("toolUseId")), text(use.get("name")))])


def _block_delta(event: Event) -> Delta:
    said = fields(event.get("delta"))
    delta = Delta(text(said.get("text")), 0)
    if reasoning := fields(said.get("reasoningContent")):
        delta.reasoning = text(reasoning.get("text"))
    if use := fields(said.get("toolUse")):
        delta.tool_calls = [ToolCallDelta(_index(event), arguments=text(use.get("input")))]
    if said.get("image"):
        delta.media = IMAGE
    return delta


def _index(event: Event) -> int | None:
    index = event.get("contentBlockIndex")
    return index if type(index) is int else None


def _message_stop(event: Event) -> Delta:
    return Delta(choice=0, finish_reason=text(event.get("stopReason")), is_terminal=True)


def _metadata(event: Event) -> Delta:
    return Delta(usage=read_usage(event.get("usage")))


_EVENTS: Mapping[str, Callable[[Event], Delta]] = {
    "contentBlockDelta": _block_delta,
    "contentBlockStart": _block_start,
    "messageStart": _message_start,
    "messageStop": _message_stop,
    "metadata": _metadata,
}


def read_usage(usage: Any) -> dict[str, int]:
    """Read the usage; input tokens are counted without those of the cache."""
    data = fields(usage)
    read, written = data.get("cacheReadInputTokens"), data.get("cacheWriteInputTokens")
    has_cache = bool(read or written)
    return counts(
        {
            "uncached.input_tokens" if has_cache else "input_tokens": data.get("inputTokens"),
            "output_tokens": data.get("outputTokens"),
            "cache_read.input_tokens": read,
            "cache_write.input_tokens": written,
        }
    )


def read_whole(answer: Any) -> Delta:
    """Read a whole answer."""
    data = fields(answer)
    blocks = [fields(block) for block in items(fields(fields(data.get("output")).get("message")).get("content"))]
    thoughts = [fields(fields(block.get("reasoningContent")).get("reasoningText")) for block in blocks]
    uses = [fields(block.get("toolUse")) for block in blocks]
    return Delta(
        "".join(text(block.get("text")) for block in blocks),
        0,
        "".join(text(thought.get("text")) for thought in thoughts),
        tool_calls=[_use(index, use) for index, use in enumerate(uses) if use],
        media=IMAGE if any(block.get("image") for block in blocks) else 0,
        finish_reason=text(data.get("stopReason")),
        usage=read_usage(data.get("usage")),
        is_terminal=True,
    )


def _use(index: int, use: Mapping[str, Any]) -> ToolCallDelta:
    given = use.get("input")
    arguments = "" if given is None else json.dumps(given, ensure_ascii=False)
    return ToolCallDelta(index, text(use.get("toolUseId")), text(use.get("name")), arguments)


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters."""
    config, more = fields(body.get("inferenceConfig")), fields(body.get("additionalModelRequestFields"))
    guardrail = fields(body.get("guardrailConfig")).get("guardrailIdentifier") or body.get("guardrailIdentifier")
    return {
        **doubles(config, {"gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "topP"}),
        **ints(config, {"gen_ai.request.max_tokens": "maxTokens"}),
        **ints(more, {"gen_ai.request.top_k": "top_k"}),
        **known(
            {
                "gen_ai.request.stop_sequences": strings(config.get("stopSequences")),
                "aws.bedrock.guardrail.id": guardrail,
            }
        ),
    }
