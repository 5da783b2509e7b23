"""What LangChain's chunks, results and protocol events say, for models that no vendor's session tells of.

LangChain is no provider: who answers is behind it, and `gen_ai.provider.name` is what the model says of itself. Token
counts of chunks are left alone, because LangChain adds them up, so that only the sum in the result is what was used.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast

from streamspan._records import AUDIO, IMAGE, AttributeValue, Delta, ToolCallDelta
from streamspan.providers import Endpoint, Provider
from streamspan.providers._shapes import counts, fields, items, text
from streamspan.providers.langchain_messages import content_of

_REASONS = ("finish_reason", "stop_reason", "done_reason")
_MODELS = ("model_name", "model", "model_id")
_MADE_UP_IDS = ("run-", "lc_")  # LangChain's own ids, where the provider sent none
_MEDIA = {"audio": AUDIO, "image": IMAGE, "image_url": IMAGE}
_TEXT_BLOCKS = {"text": "text", "text-delta": "text", "output_text": "text"}
_REASONING_BLOCKS = {"reasoning": "reasoning", "reasoning-delta": "reasoning", "thinking": "thinking"}
# LangChain's names of vendors, where they are not those of the conventions.
_PROVIDERS = {
    "amazon_bedrock": "aws.bedrock",
    "bedrock": "aws.bedrock",
    "azure": "azure.ai.openai",
    "azure_openai": "azure.ai.openai",
    "google_genai": "gcp.gen_ai",
    "google_generativeai": "gcp.gemini",
    "google_vertexai": "gcp.vertex_ai",
    "vertexai": "gcp.vertex_ai",
    "ibm": "ibm.watsonx.ai",
    "mistral": "mistral_ai",
    "mistralai": "mistral_ai",
    "xai": "x_ai",
}


def provider_name(metadata: Mapping[str, Any]) -> str:
    """Return the provider that a run's metadata name, in the conventions' words."""
    name = text(metadata.get("ls_provider"))
    return _PROVIDERS.get(name, name) or "langchain"


# --- pieces of a stream --------------------------------------------------------------------------------------------


def read_chunk(chunk: Any) -> Delta:
    """Read a generation chunk, a bare token, or an event of LangChain's protocol."""
    if type(chunk) is str:
        return Delta(chunk, 0)
    data = fields(chunk)
    if "event" in data:
        return _read_event(data)
    said = fields(data.get("generation_info"))
    message = data.get("message")
    if message is not None:
        return _read_message(fields(message), said)
    content: Any = data.get("text") if data else chunk
    return _with_end(_read_content(content), said)


def _read_message(message: Mapping[str, Any], said: Mapping[str, Any]) -> Delta:
    delta = _read_content(message.get("content"))
    more = fields(message.get("additional_kwargs"))
    delta.reasoning = delta.reasoning or text(more.get("reasoning_content"))
    delta.refusal = delta.refusal or text(more.get("refusal"))
    pieces = message.get("tool_call_chunks") or message.get("tool_calls")
    delta.tool_calls = [_piece(fields(each)) for each in items(pieces)]
    identity = text(message.get("id"))
    delta.response_id = "" if identity.startswith(_MADE_UP_IDS) else identity
    delta.is_terminal = message.get("chunk_position") == "last"
    return _with_end(delta, {**said, **fields(message.get("response_metadata"))})


def _read_content(content: Any) -> Delta:
    """Read text, or a list of content blocks; tool calls among them are in the message's own field as well."""
    if type(content) is str:
        return Delta(content, 0)
    answer, thoughts, refusal, media = "", "", "", 0
    for block in items(content):
        if type(block) is str:
            answer += block
            continue
        data = fields(block)
        kind = text(data.get("type"))
        answer += text(data.get(_TEXT_BLOCKS.get(kind, "")))
        thoughts += text(data.get(_REASONING_BLOCKS.get(kind, "")))
        thoughts += "".join(text(fields(part).get("text")) for part in items(data.get("summary")))
        refusal += text(data.get("refusal"))
        media |= _MEDIA.get(kind, 0)
    return Delta(answer, 0, thoughts, refusal, media=media)


def _piece(call: Mapping[str, Any]) -> ToolCallDelta:
    index, arguments = call.get("index"), call.get("args")
    return ToolCallDelta(
        index if type(index) is int else None,
        text(call.get("id")),
        text(call.get("name")),
        json.dumps(arguments) if isinstance(arguments, dict) else text(arguments),
    )


def _with_end(delta: Delta, said: Mapping[str, Any]) -> Delta:
    """Add what response metadata say: the end, and the model that answered."""
    delta.finish_reason = _first(said, _REASONS)
    delta.response_model = _first(said, _MODELS)
    delta.response_id = delta.response_id or text(said.get("id"))
    delta.is_terminal = delta.is_terminal or bool(delta.finish_reason)
    return delta


def _first(said: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((value for key in keys if (value := text(said.get(key)))), "")


def _read_event(event: Mapping[str, Any]) -> Delta:
    kind = event["event"]
    if kind == "content-block-delta":
        return _read_block(fields(event.get("delta")), event.get("index"))
    if kind == "content-block-start":
        return _read_block(fields(event.get("content")), event.get("index"))
    if kind == "message-finish":
        return _with_end(Delta(choice=0, is_terminal=True), fields(event.get("metadata")))
    return Delta()


def _read_block(block: Mapping[str, Any], index: Any) -> Delta:
    kind = text(block.get("type"))
    if "tool" in kind:
        call = {"id": block.get("id"), "name": block.get("name"), "args": block.get("args"), "index": index}
        return Delta(choice=0, tool_calls=(_piece(call),))
    return _read_content([block])


# --- results -------------------------------------------------------------------------------------------------------


def read_result(result: Any) -> Delta:
    """Read the whole answer of a call without a stream."""
    made = _generations(result)
    deltas = [read_chunk(each) for each in made]
    for choice, delta in enumerate(deltas):
        delta.choice = choice
    whole = deltas[0] if deltas else Delta()
    whole.others = deltas[1:]
    whole.usage = _usage(result, made)
    return whole


def read_end(result: Any) -> Delta:
    """Read what the result of a stream adds to its chunks: token counts, and how it ended."""
    whole = read_result(result)
    return Delta(
        choice=whole.choice,
        finish_reason=whole.finish_reason,
        response_id=whole.response_id,
        response_model=whole.response_model,
        usage=whole.usage,
        is_terminal=True,
    )


def _generations(result: Any) -> list[Any]:
    batches = items(fields(result).get("generations"))
    return items(batches[0]) if batches else []


def _usage(result: Any, made: list[Any]) -> dict[str, int]:
    for generation in made:
        usage = fields(fields(fields(generation).get("message")).get("usage_metadata"))
        if "total_cost" in usage:
            return {}  # LangChain's mark of an answer from its cache: these tokens were used by another call
        if usage:
            return _token_counts(usage)
    told = fields(fields(fields(result).get("llm_output")).get("token_usage"))
    return counts({"input_tokens": told.get("prompt_tokens"), "output_tokens": told.get("completion_tokens")})


def _token_counts(usage: Mapping[str, Any]) -> dict[str, int]:
    asked, made = fields(usage.get("input_token_details")), fields(usage.get("output_token_details"))
    return counts(
        {
            "input_tokens": usage.get("input_tokens"),
            "output_tokens": usage.get("output_tokens"),
            "cache_read.input_tokens": asked.get("cache_read"),
            "cache_write.input_tokens": asked.get("cache_creation"),
            "audio.input_tokens": asked.get("audio"),
            "audio.output_tokens": made.get("audio"),
            "reasoning.output_tokens": made.get("reasoning"),
        }
    )


# --- requests ------------------------------------------------------------------------------------------------------


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read what a run's metadata say of the request, and what the run is called."""
    metadata = fields(body.get("metadata"))
    attributes = dict(cast("Mapping[str, AttributeValue]", fields(body.get("run"))))
    temperature, limit = metadata.get("ls_temperature"), metadata.get("ls_max_tokens")
    stop = [each for each in items(metadata.get("ls_stop")) if type(each) is str]
    if type(temperature) in {int, float}:
        attributes["gen_ai.request.temperature"] = float(cast("float", temperature))
    if type(limit) is int:
        attributes["gen_ai.request.max_tokens"] = limit
    if stop:
        attributes["gen_ai.request.stop_sequences"] = stop
    return attributes


def _endpoint(name: str, operation: str) -> Endpoint:
    return Endpoint(
        name=name,
        operation=operation,
        paths=(),
        read=read_chunk,
        read_whole=read_result,
        attributes=request_attributes,
        content=content_of,
        # LangChain's callbacks say whether a run has ended well; not every model says why.
        marker_is_reliable=False,
        has_finish_reasons=False,
        tells_waits=False,
    )


CHAT = _endpoint("chat model", "chat")
TEXT = _endpoint("text model", "text_completion")
LANGCHAIN = Provider(name="langchain", endpoints=(CHAT, TEXT))
