"""Hand-made chat completions, in the forms that OpenAI and the vendors with its wire format send.

Pure data and functions: a request becomes the complete healthy stream, the same as one JSON value, and the events
that belong to faults.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from streamspan.demo.openai_completions import DONE, usage
from streamspan.demo.openai_errors import FAULTS
from streamspan.demo.openai_prompts import CREATED, Prompt
from streamspan.demo.prose import REFUSAL, SPOKEN, THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, to_json

Parts = Iterator[tuple[Kind, Json]]


def _choice(delta: Json, finish: str | None = None, *, index: int = 0) -> Json:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"choices": [choice]}


_ROLE = {"role": "assistant", "content": "", "refusal": None}


def _text(prompt: Prompt) -> Parts:
    yield "start", _choice(_ROLE)
    for piece in prompt.words():
        yield "delta", _choice({"content": piece})
    yield "finish", _choice({}, "stop")


def _tools(prompt: Prompt) -> Parts:
    yield "start", _choice({**_ROLE, "content": None})
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        function = {"name": name, "arguments": ""}
        call = {"index": index, "id": f"call_demo{index:04d}", "type": "function", "function": function}
        yield "delta", _choice({"tool_calls": [call]})
        for piece in fragments(arguments, prompt.chunks):
            yield "delta", _choice({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield "finish", _choice({}, "tool_calls")


def _reasoning(prompt: Prompt) -> Parts:
    yield "start", _choice({"role": "assistant", "content": None, "reasoning_content": ""})
    for piece in pieces(THOUGHT, prompt.chunks):
        yield "delta", _choice({"content": None, "reasoning_content": piece})
    for piece in prompt.words():
        yield "delta", _choice({"content": piece, "reasoning_content": None})
    yield "finish", _choice({"content": "", "reasoning_content": None}, "stop")


def _refusal(prompt: Prompt) -> Parts:
    yield "start", _choice({**_ROLE, "content": None, "refusal": ""})
    for piece in pieces(REFUSAL, prompt.chunks):
        yield "delta", _choice({"refusal": piece})
    yield "finish", _choice({}, "stop")


def _audio(prompt: Prompt) -> Parts:
    yield "start", _choice({**_ROLE, "content": None, "audio": {"id": "audio_demo", "transcript": ""}})
    for piece in pieces(SPOKEN, prompt.chunks):
        yield "delta", _choice({"audio": {"transcript": piece}})
        yield "delta", _choice({"audio": {"data": "AAAAAAAAAAAAAAAA"}})
    yield "delta", _choice({"audio": {"expires_at": CREATED + 3600}})
    yield "finish", _choice({}, "stop")


def _interleaved(prompt: Prompt) -> Parts:
    words = prompt.words()
    # Later choices are shorter, so that one finishes while others go on.
    ends = [max(1, len(words) - 2 * index) for index in range(prompt.choices)]
    last = "length" if prompt.variant == "n2" else "stop"
    for index in range(prompt.choices):
        yield "start", _choice(_ROLE, index=index)
    for at in range(len(words) + 1):
        for index, end in enumerate(ends):
            if at < end:
                yield "delta", _choice({"content": words[at]}, index=index)
            elif at == end:
                yield "finish", _choice({}, last if index else "stop", index=index)


def _one_chunk(prompt: Prompt) -> Parts:
    yield "delta", _choice({"role": "assistant", "content": prompt.answer}, "stop")


def _null_choices(prompt: Prompt) -> Parts:
    for kind, part in _text(prompt):
        yield kind, part
        if kind == "start":
            yield "start", {"choices": None}


def _empty_choices_first(prompt: Prompt) -> Parts:
    severities = {"hate": {"filtered": False, "severity": "safe"}, "violence": {"filtered": False, "severity": "safe"}}
    results = [{"prompt_index": 0, "content_filter_results": severities}]
    yield "start", {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": results}
    yield from _text(prompt)


def _no_delta(prompt: Prompt) -> Parts:
    offsets = {"check_offset": 0, "start_offset": 0, "end_offset": 60}
    for kind, part in _text(prompt):
        yield kind, part
        if kind == "start":
            yield "start", {"choices": [{"index": 0, "finish_reason": None, "content_filter_offsets": offsets}]}


def _missing_tool_index(prompt: Prompt) -> Parts:
    for kind, part in _tools(prompt):
        for call in part["choices"][0]["delta"].get("tool_calls", ()):
            del call["index"]
        yield kind, part


def _cumulative_usage(prompt: Prompt) -> Parts:
    for output, (kind, part) in enumerate(_text(prompt)):
        yield kind, {**part, "usage": usage(prompt.token_count, output - (kind == "finish"))}


def _usage_only(prompt: Prompt) -> Parts:
    parts = list(_text(prompt))
    yield from parts[:-1]
    yield "usage", {"choices": [], "usage": usage(prompt.token_count, len(parts) - 2)}


def _usage_on_finish(prompt: Prompt) -> Parts:
    parts = list(_text(prompt))
    yield from parts[:-1]
    yield "finish", {**parts[-1][1], "usage": usage(prompt.token_count, len(parts) - 2)}


def _usage_after_finish(prompt: Prompt) -> Parts:
    parts = list(_text(prompt))
    yield from parts
    counts = usage(prompt.token_count, len(parts) - 2)
    yield "usage", {**_choice({"role": "assistant", "content": ""}), "usage": counts}


def _obfuscation(prompt: Prompt) -> Parts:
    for at, (kind, part) in enumerate(_text(prompt)):
        yield kind, {**part, "obfuscation": "aB3dE5fG7hJ9kL"[: 4 + at % 10]}


def _openrouter_error(prompt: Prompt) -> Parts:
    yield from list(_text(prompt))[:3]
    error = {"code": 502, "message": "Provider returned error", "metadata": {"provider_name": "Demo"}}
    counts = usage(prompt.token_count, 2)
    yield "finish", {**_choice({"role": "assistant", "content": ""}, "error"), "usage": counts, "error": error}


VARIANTS: Mapping[str, Callable[[Prompt], Parts]] = {
    "text": _text,
    "tools": _tools,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "audio": _audio,
    "choices": _interleaved,
    "n2": _interleaved,
    "one_chunk": _one_chunk,
    "null_choices": _null_choices,
    "empty_choices_first": _empty_choices_first,
    "no_delta": _no_delta,
    "missing_tool_index": _missing_tool_index,
    "cumulative_usage": _cumulative_usage,
    "usage_only": _usage_only,
    "usage_on_finish": _usage_on_finish,
    "usage_after_finish": _usage_after_finish,
    "obfuscation": _obfuscation,
    "openrouter_error": _openrouter_error,
}
"""The forms of a chat stream, by the scenario's word for them."""


def chat(ask: Ask) -> Reply:
    """Answer a chat completion request."""
    prompt = Prompt.of(ask)
    parts = list(VARIANTS.get(prompt.variant, _text)(prompt))
    output = sum(kind == "delta" for kind, _ in parts)
    counts = usage(prompt.token_count, output, sum(_is_thought(part) for _, part in parts))
    head: Json = {"id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": CREATED, "model": prompt.model}
    head |= {"service_tier": "default", "system_fingerprint": "fp_demo"}
    if prompt.wants_usage:
        head["usage"] = None
        if not any(part.get("usage") for _, part in parts):
            parts.append(("usage", {"choices": [], "usage": counts}))
    events = tuple(Event(to_json({**head, **part}), kind) for kind, part in parts)
    whole = {**head, "object": "chat.completion", "choices": _messages(parts), "usage": counts}
    incomplete = Event(to_json({**head, **_choice({}, "length")}), "finish")
    return Reply((*events, DONE), whole, {**FAULTS, "incomplete": (incomplete, DONE)})


def _is_thought(part: Json) -> bool:
    return any(choice.get("delta", {}).get("reasoning_content") for choice in part["choices"] or ())


def _messages(parts: Iterable[tuple[Kind, Json]]) -> list[Json]:
    """Join the stream's pieces into the choices of a whole answer."""
    choices: dict[int, Json] = {}
    for choice in (choice for _, part in parts for choice in part["choices"] or ()):
        message: Json = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
        joined = choices.setdefault(
            choice["index"],
            {"index": choice["index"], "message": message, "logprobs": None, "finish_reason": None},
        )
        joined["finish_reason"] = choice["finish_reason"] or joined["finish_reason"]
        _join(joined["message"], choice.get("delta", {}))
    return [choices[index] for index in sorted(choices)]


def _join(message: Json, delta: Json) -> None:
    for name in ("content", "reasoning_content", "refusal"):
        if delta.get(name):
            message[name] = (message.get(name) or "") + delta[name]
    for call in delta.get("tool_calls", ()):
        if "id" in call:
            message.setdefault("tool_calls", []).append({**call, "function": dict(call["function"])})
            message["tool_calls"][-1].pop("index", None)
        else:
            message["tool_calls"][-1]["function"]["arguments"] += call["function"]["arguments"]
    for name, value in delta.get("audio", {}).items():
        spoken = message.setdefault("audio", {})
        spoken[name] = spoken.get(name, "") + value if name in ("transcript", "data") else value
