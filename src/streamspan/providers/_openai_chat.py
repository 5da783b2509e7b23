"""OpenAI chat completions and legacy completions: chunks, whole answers, request attributes.

Also the wire format of every OpenAI-compatible vendor. What those get wrong is read as if it were right: `choices`
null, a choice without `delta`, `index` null or missing (DeepSeek, Azure, OpenRouter and vLLM recordings).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamspan._records import AUDIO, AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers import asked_choices
from streamspan.providers._parameters import SAMPLING, doubles, ints, known, strings
from streamspan.providers._shapes import counts, everything, extras, fields, items, text


def read_chunk(chunk: Any) -> Delta:
    """Read a chat completion chunk."""
    return _read(chunk, "delta")


def read_whole(completion: Any) -> Delta:
    """Read a chat completion."""
    return _read(completion, "message")


def read_completion(chunk: Any) -> Delta:
    """Read a legacy text completion, a chunk or the whole."""
    return _read(chunk, None)


_PLAIN = frozenset({"role", "content"})


def text_of(chunk: Any) -> str | None:
    """Return the text of an SDK's chunk that says nothing else, as nearly all of them; cheaper than `read_chunk`."""
    try:
        data = chunk.__dict__
        (choice,) = data["choices"]
        said = choice.__dict__
        delta = said["delta"]
        if (
            delta.__pydantic_extra__
            or said["finish_reason"]
            or data["usage"]
            or said["index"] != 0
            or not delta.__pydantic_fields_set__ <= _PLAIN
        ):
            return None
        return delta.__dict__["content"] or None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None  # decoded JSON, or a chunk of another shape


def _read(chunk: Any, key: str | None) -> Delta:
    data = fields(chunk)
    choices = items(data.get("choices"))
    if choices:
        delta = _choice(choices[0], key)
        if len(choices) > 1:
            delta.others = [_choice(choice, key) for choice in choices[1:]]
    else:
        delta = Delta()
    delta.response_id = text(data.get("id"))
    delta.response_model = text(data.get("model"))
    if usage := data.get("usage"):
        delta.usage = read_usage(usage)
    if delta.finish_reason or usage:
        # Sent with every chunk; reading them where a chunk is special anyway keeps the ordinary chunk cheap.
        more = everything(chunk)
        delta.attributes = _response_attributes(more)
        if not usage and (usage := fields(more.get("x_groq")).get("usage")):
            delta.usage = read_usage(usage)
    if type(chunk) is dict and (error := data.get("error")):
        delta.error = read_error(error)
    return delta


def _choice(choice: Any, key: str | None) -> Delta:
    data = fields(choice)
    index = data.get("index")
    number = index if type(index) is int else 0
    reason = text(data.get("finish_reason"))
    if key is None:
        return Delta(text(data.get("text")), number, finish_reason=reason)
    message = data.get(key)
    if message is None:
        return Delta("", number, finish_reason=reason)
    said = fields(message)
    content = said.get("content") or ""
    delta = Delta(content, number) if type(content) is str else _of_parts(content, number)
    if reason:
        delta.finish_reason = reason
    more = extras(message) or said  # Groq's SDK declares what is undeclared in OpenAI's
    if thoughts := more.get("reasoning_content") or more.get("reasoning"):
        delta.reasoning = text(thoughts)
    if refusal := said.get("refusal"):
        delta.refusal = text(refusal)
    if calls := said.get("tool_calls"):
        delta.tool_calls = [_tool_call(call) for call in items(calls)]
    elif call := said.get("function_call"):
        function = fields(call)
        delta.tool_calls = [ToolCallDelta(0, "", text(function.get("name")), text(function.get("arguments")))]
    if audio := said.get("audio") or more.get("audio"):
        _read_audio(delta, fields(audio))
    return delta


def _of_parts(content: Any, number: int) -> Delta:
    """Join content that comes as a list of parts, thoughts among them (Mistral's reasoning models)."""
    parts = [fields(part) for part in items(content)]
    thoughts = [fields(each) for part in parts for each in items(part.get("thinking"))]
    joined = "".join(text(part.get("text")) for part in parts)
    return Delta(joined, number, "".join(text(thought.get("text")) for thought in thoughts))


def _tool_call(call: Any) -> ToolCallDelta:
    data = fields(call)
    function = fields(data.get("function") or data.get("custom"))
    index = data.get("index", extras(call).get("index"))
    return ToolCallDelta(
        index if type(index) is int else None,
        text(data.get("id")),
        text(function.get("name")),
        text(function.get("arguments")) or text(function.get("input")),
    )


def _read_audio(delta: Delta, audio: Mapping[str, Any]) -> None:
    delta.text += text(audio.get("transcript"))
    if audio.get("data"):
        delta.media |= AUDIO


def read_error(error: Any) -> ProviderError:
    """Read an error object of OpenAI's shape: its code says most, then its type."""
    data = fields(error)
    name = data.get("code") or data.get("type")
    return ProviderError(str(name) if name else "_OTHER", text(data.get("message")) or text(error))


def read_usage(usage: Any) -> dict[str, int]:
    """Read the usage of chat completions, or of Responses and of assistants, whose names differ."""
    data = everything(usage)

    def details(*names: str) -> Mapping[str, Any]:
        # Undeclared by some SDK classes (assistants), misspelt by some servers ("prompt_token_details").
        return everything(next((data[name] for name in names if data.get(name)), None))

    asked = details("prompt_tokens_details", "input_tokens_details", "prompt_token_details")
    said = details("completion_tokens_details", "output_tokens_details")
    return counts(
        {
            "input_tokens": data.get("prompt_tokens", data.get("input_tokens")),
            "output_tokens": data.get("completion_tokens", data.get("output_tokens")),
            "cache_read.input_tokens": asked.get("cached_tokens"),
            "cache_write.input_tokens": asked.get("cache_write_tokens"),
            "reasoning.output_tokens": said.get("reasoning_tokens"),
            "audio.input_tokens": asked.get("audio_tokens") or None,
            "audio.output_tokens": said.get("audio_tokens") or None,
        }
    )


def _response_attributes(data: Mapping[str, Any]) -> dict[str, AttributeValue]:
    return known(
        {
            "openai.response.service_tier": text(data.get("service_tier")) or None,
            "openai.response.system_fingerprint": text(data.get("system_fingerprint")) or None,
        }
    )


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of chat completions."""
    return {**_common(body), **known({"openai.api.type": "chat_completions"})}


def completion_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of legacy completions."""
    return _common(body)


def completion_choices(body: Mapping[str, Any]) -> int:
    """Return how many choices legacy completions make: `n` for each prompt; a list of numbers is one prompt."""
    prompts = items(body.get("prompt"))
    return asked_choices(body) * (len(prompts) if prompts and not isinstance(prompts[0], int) else 1)


def _common(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    stop = body.get("stop")
    choices = body.get("n")
    return {
        **doubles(body, SAMPLING),
        **ints(body, {"gen_ai.request.seed": "seed", "gen_ai.request.max_tokens": "max_tokens"}),
        **ints(body, {"gen_ai.request.max_tokens": "max_completion_tokens"}),
        **known(
            {
                "gen_ai.request.stop_sequences": [stop] if type(stop) is str else strings(stop),
                "gen_ai.request.choice.count": choices if type(choices) is int and choices != 1 else None,
                "gen_ai.request.reasoning.level": body.get("reasoning_effort"),
                "gen_ai.output.type": output_type(body.get("response_format"), body.get("modalities")),
                "openai.request.service_tier": service_tier(body),
            }
        ),
    }


def output_type(response_format: Any, modalities: Any = None) -> str | None:
    """Return `gen_ai.output.type` for what the request asked for, None if it named no format."""
    if "audio" in items(modalities):
        return "speech"
    kind = fields(response_format).get("type")
    return {"text": "text", "json_object": "json", "json_schema": "json"}.get(kind) if type(kind) is str else None


def service_tier(body: Mapping[str, Any]) -> str | None:
    """Return the requested service tier; the convention leaves `auto` out."""
    tier = body.get("service_tier")
    return tier if type(tier) is str and tier != "auto" else None


def with_usage(body: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the request body with usage asked for, None if the caller has said what it wants."""
    options = body.get("stream_options")
    if isinstance(options, Mapping) and "include_usage" in options:
        return None
    return {**body, "stream_options": {**(options if isinstance(options, Mapping) else {}), "include_usage": True}}


def is_usage_only(chunk: Any) -> bool:
    """Tell whether a chunk carries usage and nothing else."""
    data = fields(chunk)
    return data.get("choices") == [] and data.get("usage") is not None
