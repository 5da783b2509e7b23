"""Gemini's `generateContent` and `streamGenerateContent`: chunks and whole answers, which have one shape.

Knows the wire's names (camelCase) and the SDK's (snake_case) and reads whichever a chunk has. Counts are cumulative
and not monotonic: they are passed on as sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from streamspan._records import AUDIO, IMAGE, Delta, ProviderError, ToolCallDelta
from streamspan.providers._shapes import counts, fields, items, text


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of one dress of the same data."""

    finish_reason: str
    function_call: str
    inline_data: str
    mime_type: str
    executable_code: str
    partial_args: str
    prompt_feedback: str
    block_reason: str
    response_id: str
    model_version: str
    usage: str
    prompt: str
    candidates: str
    thoughts: str
    cached: str
    tool_use: str


_WIRE = _Names(
    "finishReason", "functionCall", "inlineData", "mimeType", "executableCode", "partialArgs", "promptFeedback",
    "blockReason", "responseId", "modelVersion", "usageMetadata", "promptTokenCount", "candidatesTokenCount",
    "thoughtsTokenCount", "cachedContentTokenCount", "toolUsePromptTokenCount",
)  # fmt: skip
_SDK = _Names(
    "finish_reason", "function_call", "inline_data", "mime_type", "executable_code", "partial_args", "prompt_feedback",
    "block_reason", "response_id", "model_version", "usage_metadata", "prompt_token_count", "candidates_token_count",
    "thoughts_token_count", "cached_content_token_count", "tool_use_prompt_token_count",
)  # fmt: skip


def read_chunk(chunk: Any) -> Delta:
    """Read a chunk, or a whole answer."""
    is_wire = type(chunk) is dict
    names = _WIRE if is_wire else _SDK
    data = fields(chunk)
    candidates = items(data.get("candidates"))
    delta = _candidate(candidates[0], names) if candidates else Delta()
    if len(candidates) > 1:
        delta.others = [_candidate(candidate, names) for candidate in candidates[1:]]
    delta.response_id = text(data.get(names.response_id))
    delta.response_model = text(data.get(names.model_version))
    if usage := data.get(names.usage):
        delta.usage = _usage(fields(usage), names)
    if feedback := data.get(names.prompt_feedback):
        _read_feedback(delta, fields(feedback), names)
    if is_wire and (error := data.get("error")):
        delta.error = read_error(error)
    return delta


def _candidate(candidate: Any, names: _Names) -> Delta:
    data = fields(candidate)
    index = data.get("index")
    delta = Delta("", index if type(index) is int else 0)
    if content := data.get("content"):
        for part in items(fields(content).get("parts")):
            _read_part(delta, fields(part), names)
    if reason := data.get(names.finish_reason):
        delta.finish_reason = _word(reason)
    return delta


def _read_part(delta: Delta, part: Mapping[str, Any], names: _Names) -> None:
    said = part.get("text")
    if said:
        if part.get("thought"):
            delta.reasoning += text(said)
        else:
            delta.text += text(said)
    elif call := part.get(names.function_call):
        delta.tool_calls = [*delta.tool_calls, _call(fields(call), names)]
    elif data := part.get(names.inline_data):
        delta.media |= _media(text(fields(data).get(names.mime_type)))
    elif code := part.get(names.executable_code):
        call = ToolCallDelta(None, "", "code_execution", text(fields(code).get("code")), begins=True)
        delta.tool_calls = [*delta.tool_calls, call]


def _call(call: Mapping[str, Any], names: _Names) -> ToolCallDelta:
    """Read a function call, or a piece of one: only its first piece has the name, and often none has an id."""
    name = text(call.get("name"))
    arguments = call.get("args")
    said = _json(arguments) if arguments else "".join(map(_piece, items(call.get(names.partial_args))))
    if name and not said and not call.get("willContinue") and not call.get("will_continue"):
        said = "{}"  # a function without parameters
    return ToolCallDelta(None, text(call.get("id")), name, said, begins=bool(name))


def _piece(argument: Any) -> str:
    """Return what a partial argument says of its value; the path that it is at is no output."""
    data = fields(argument)
    for name in ("stringValue", "string_value"):
        if said := data.get(name):
            return text(said)
    for name in ("numberValue", "number_value", "boolValue", "bool_value"):
        if data.get(name) is not None:
            return _json(data[name])
    return ""


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _media(mime_type: str) -> int:
    kind = mime_type.partition("/")[0]
    return AUDIO if kind == "audio" else IMAGE if kind == "image" else 0


def _word(value: object) -> str:
    """Return an enumeration's word, which the SDK has as a member and the wire as text."""
    word = text(value) or text(getattr(value, "value", ""))
    return "" if word.endswith("_UNSPECIFIED") else word


def _read_feedback(delta: Delta, feedback: Mapping[str, Any], names: _Names) -> None:
    """Read why the prompt was blocked: there is no candidate then, and nothing follows."""
    reason = _word(feedback.get(names.block_reason))
    if reason:
        delta.choice = delta.choice or 0
        delta.finish_reason = delta.finish_reason or reason
        delta.is_terminal = True


def _usage(usage: Mapping[str, Any], names: _Names) -> dict[str, int] | None:
    """Read the counts: input is the prompt and what tools added to it, output the answer and the thoughts.

    So that both together are the `totalTokenCount`. Vertex sends none in its intermediate chunks.
    """
    answer, thoughts = usage.get(names.candidates), usage.get(names.thoughts)
    found = counts(
        {
            # Not the sums: a later chunk may have one of the two only.
            "prompt.input_tokens": usage.get(names.prompt),
            "tool_use.input_tokens": usage.get(names.tool_use),
            "answer.output_tokens": 0 if answer is None and thoughts else answer,
            "cache_read.input_tokens": usage.get(names.cached),
            "reasoning.output_tokens": thoughts,
        }
    )
    return found or None


def read_error(error: Any) -> ProviderError:
    """Read an error object of Google's shape: its status is the word, its code only the HTTP status."""
    data = fields(error)
    name = data.get("status") or data.get("code")
    return ProviderError(str(name) if name else "_OTHER", text(data.get("message")) or text(error))
