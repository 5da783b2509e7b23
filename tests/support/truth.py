"""What a recorded or played stream says, read from its payloads without a line of streamspan's own code.

Knows the wire formats of OpenAI and Anthropic, as JSON over `data:` lines.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Payload(NamedTuple):
    """One event: its name, and its JSON; None for `[DONE]`."""

    event: str
    data: Any


def payloads(body: str) -> Iterator[Payload]:
    """Yield the events of an SSE body whose payloads are on one line each."""
    event = ""
    for line in body.splitlines():
        if line.startswith("event:"):
            event = line[6:].strip()
        elif line.startswith("data:"):
            text = line[5:].strip()
            yield Payload(event, None if text == "[DONE]" else json.loads(text))
            event = ""


@dataclass(slots=True)
class Truth:
    """What a stream says."""

    chunks: int = 0
    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tools: dict[tuple[int, int], dict[str, str]] = field(default_factory=dict[tuple[int, int], dict[str, str]])
    usage: dict[str, int] = field(default_factory=dict[str, int])
    finish: dict[int, str] = field(default_factory=dict[int, str])
    model: str = ""
    id: str = ""
    error: str = ""
    is_done: bool = False

    @property
    def characters(self) -> int:
        """Characters of output, reasoning apart."""
        return len(self.text) + len(self.refusal) + sum(len(tool["arguments"]) for tool in self.tools.values())

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """The tool calls: names, and arguments as data."""
        return [(tool["name"], _data(tool["arguments"])) for tool in self.tools.values()]

    def call(self, choice: int, index: int, name: str, arguments: str) -> None:
        """Take a piece of a tool call."""
        tool = self.tools.setdefault((choice, index), {"name": "", "arguments": ""})
        tool["name"] = tool["name"] or name
        tool["arguments"] += arguments


def _data(arguments: str) -> Any:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


_USAGE = {
    "input_tokens": ("prompt_tokens", "input_tokens"),
    "output_tokens": ("completion_tokens", "output_tokens"),
}
_ASKED = ("prompt_tokens_details", "input_tokens_details", "prompt_token_details")  # the last one on runs
_SAID = ("completion_tokens_details", "output_tokens_details")
_DETAILS = (
    ("cache_read.input_tokens", _ASKED, "cached_tokens"),
    ("cache_write.input_tokens", _ASKED, "cache_write_tokens"),
    ("reasoning.output_tokens", _SAID, "reasoning_tokens"),
)


def _usage(usage: Mapping[str, Any]) -> dict[str, int]:
    found = {name: usage[key] for name, keys in _USAGE.items() for key in keys if key in usage}
    for name, places, key in _DETAILS:
        for place in places:
            value = (usage.get(place) or {}).get(key)
            if value is not None:
                found[name] = value
    return found


def of_chat(events: Iterable[Payload]) -> Truth:
    """Read a chat or text completion stream."""
    truth = Truth()
    for _, data in events:
        if data is None:
            truth.is_done = True
            break
        truth.chunks += 1
        truth.id, truth.model = truth.id or data.get("id") or "", truth.model or data.get("model") or ""
        if data.get("usage"):
            truth.usage |= _usage(data["usage"])
        if data.get("error"):
            truth.error = str(data["error"].get("code") or data["error"]["type"])
        for choice in data.get("choices") or ():
            _read_choice(truth, choice)
    return truth


def _read_choice(truth: Truth, choice: Mapping[str, Any]) -> None:
    index = choice.get("index") or 0
    delta = choice.get("delta") or {}
    truth.finish.setdefault(index, "error")
    if choice.get("finish_reason"):
        truth.finish[index] = choice["finish_reason"]
    truth.text += choice.get("text") or delta.get("content") or (delta.get("audio") or {}).get("transcript") or ""
    truth.reasoning += delta.get("reasoning_content") or delta.get("reasoning") or ""
    truth.refusal += delta.get("refusal") or ""
    for call in delta.get("tool_calls") or ():
        known = call.get("index")
        if known is None:  # without an index it goes on with the last call, unless it brings an id
            known = max((at for _, at in truth.tools), default=-1) + bool(call.get("id"))
        function = call.get("function") or {}
        truth.call(index, known, function.get("name") or "", function.get("arguments") or "")


def of_responses(events: Iterable[Payload]) -> Truth:
    """Read a Responses stream."""
    truth = Truth(finish={0: "error"})
    for _, data in events:
        truth.chunks += 1
        kind, delta = data.get("type", ""), data.get("delta")
        response = data.get("response") or {}
        truth.id, truth.model = truth.id or response.get("id", ""), truth.model or response.get("model", "")
        if kind in {"response.output_text.delta", "response.audio.transcript.delta"}:
            truth.text += delta
        elif kind in {"response.reasoning_summary_text.delta", "response.reasoning_text.delta"}:
            truth.reasoning += delta
        elif kind == "response.refusal.delta":
            truth.refusal += delta
        elif kind == "response.output_item.added" and data["item"]["type"] == "function_call":
            truth.call(0, data["output_index"], data["item"]["name"], "")
        elif kind == "response.function_call_arguments.delta":
            truth.call(0, data["output_index"], "", delta)
        elif kind in {"response.completed", "response.incomplete"}:
            truth.is_done = True
            truth.usage = _usage(response["usage"])
            truth.finish[0] = (response.get("incomplete_details") or {}).get("reason") or response["status"]
    return truth


def of_run(events: Iterable[Payload]) -> Truth:
    """Read a stream of an assistants run."""
    truth = Truth(finish={0: "error"})
    for name, data in events:
        if data is None:
            truth.is_done = True
            break
        truth.chunks += 1
        if name == "thread.message.delta":
            truth.text += "".join(part["text"]["value"] for part in data["delta"]["content"] if "text" in part)
        elif name == "thread.run.step.delta":
            for call in data["delta"]["step_details"].get("tool_calls", ()):
                body = call.get(call["type"]) or {}
                named = body.get("name") or (call["type"] if call.get("id") else "")
                truth.call(0, call["index"], named, body.get("arguments") or body.get("input") or "")
        elif name in {"thread.run.completed", "thread.run.incomplete", "thread.run.requires_action"}:
            truth.finish[0] = (data.get("incomplete_details") or {}).get("reason") or data["status"]
            truth.usage = _usage(data.get("usage") or {})
        if name.startswith("thread.run.") and not name.startswith("thread.run.step"):
            truth.id, truth.model = truth.id or data["id"], truth.model or data["model"]
    return truth


def of_messages(events: Iterable[Payload]) -> Truth:
    """Read a stream of Anthropic's Messages."""
    truth = Truth(finish={0: "error"})
    counts: dict[str, int] = {}
    for _, data in events:
        kind = data["type"]
        truth.chunks += kind != "ping"
        if kind == "message_start":
            message = data["message"]
            truth.id, truth.model = message["id"], message["model"]
            counts |= {name: n for name, n in message["usage"].items() if type(n) is int and name != "output_tokens"}
        elif kind == "message_delta":
            truth.finish[0] = data["delta"]["stop_reason"]
            details = data["usage"].get("output_tokens_details") or {}
            counts |= {name: n for name, n in {**data["usage"], **details}.items() if type(n) is int}
        elif kind == "content_block_start" and data["content_block"]["type"].endswith("tool_use"):
            truth.call(0, data["index"], data["content_block"]["name"], "")
        elif kind == "content_block_delta":
            delta = data["delta"]
            truth.text += delta.get("text", "")
            truth.reasoning += delta.get("thinking", "")
            if "partial_json" in delta:
                truth.call(0, data["index"], "", delta["partial_json"])
        elif kind == "error":
            truth.error = data["error"]["type"]
        truth.is_done = kind == "message_stop"
    truth.usage = {name: counts[key] for name, key in _MESSAGES_USAGE.items() if key in counts}
    truth.usage["input_tokens"] += sum(n for name, n in truth.usage.items() if name.startswith("cache_"))
    return truth


_MESSAGES_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read.input_tokens": "cache_read_input_tokens",
    "cache_write.input_tokens": "cache_creation_input_tokens",
    "reasoning.output_tokens": "thinking_tokens",
}


def of_content(events: Iterable[Payload]) -> Truth:
    """Read a stream of Gemini's `streamGenerateContent`."""
    truth = Truth()
    for _, data in events:
        truth.chunks += 1
        truth.id, truth.model = truth.id or data.get("responseId", ""), truth.model or data.get("modelVersion", "")
        for candidate in data.get("candidates", ()):
            index = candidate.get("index", 0)
            truth.finish[index] = candidate.get("finishReason") or truth.finish.get(index, "error")
            for part in candidate.get("content", {}).get("parts", ()):
                truth.reasoning += part.get("text", "") if part.get("thought") else ""
                truth.text += "" if part.get("thought") else part.get("text", "")
                if call := part.get("functionCall"):
                    arguments = json.dumps(call.get("args", {}), ensure_ascii=False, separators=(",", ":"))
                    truth.call(index, len(truth.tools), call["name"], arguments)
                if code := part.get("executableCode"):
                    truth.call(index, len(truth.tools), "code_execution", code["code"])
        if blocked := data.get("promptFeedback", {}).get("blockReason"):
            truth.finish[0] = blocked
        truth.usage |= _content_usage(data.get("usageMetadata", {}))
    return truth


def _content_usage(counts: Mapping[str, Any]) -> dict[str, int]:
    found = {
        "input_tokens": [counts.get("promptTokenCount"), counts.get("toolUsePromptTokenCount")],
        "output_tokens": [counts.get("candidatesTokenCount"), counts.get("thoughtsTokenCount")],
        "cache_read.input_tokens": [counts.get("cachedContentTokenCount")],
        "reasoning.output_tokens": [counts.get("thoughtsTokenCount")],
    }
    known = {name: [count for count in each if count is not None] for name, each in found.items()}
    return {name: sum(each) for name, each in known.items() if each}


def of_interaction(events: Iterable[Payload]) -> Truth:
    """Read a stream of Gemini's Interactions."""
    truth = Truth(finish={0: "error"})
    for _, data in events:
        if data is None:
            truth.is_done = True
            break
        truth.chunks += 1
        kind, delta, step = data["event_type"], data.get("delta", {}), data.get("step", {})
        interaction = data.get("interaction", {})
        truth.id, truth.model = truth.id or interaction.get("id", ""), truth.model or interaction.get("model", "")
        if kind == "step.start" and step["type"].endswith("_call"):
            truth.call(0, data["index"], step["name"], "")
        elif delta.get("type") == "text":
            truth.text += delta["text"]
        elif delta.get("type") == "thought_summary":
            truth.reasoning += delta["content"]["text"]
        elif delta.get("type") == "arguments_delta":
            truth.call(0, data["index"], "", delta["arguments"])
        elif kind == "error":
            truth.error = data["error"]["code"]
        elif kind == "interaction.completed":
            truth.finish[0] = interaction["status"]
        usage = interaction.get("usage") or data.get("metadata", {}).get("usage")
        truth.usage |= _interaction_usage(usage) if usage else {}
    return truth


def _interaction_usage(usage: Mapping[str, int]) -> dict[str, int]:
    return {
        "input_tokens": usage["total_input_tokens"] + usage["total_tool_use_tokens"],
        "output_tokens": usage["total_output_tokens"] + usage["total_thought_tokens"],
        "cache_read.input_tokens": usage["total_cached_tokens"],
        "reasoning.output_tokens": usage["total_thought_tokens"],
    }


def messages_of(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the captured output messages of a span."""
    found: list[dict[str, Any]] = json.loads(attributes["gen_ai.output.messages"])
    return found


def said(messages: Iterable[Mapping[str, Any]], kind: str) -> str:
    """Return the joined text of one kind of parts."""
    return "".join(part["content"] for message in messages for part in message["parts"] if part["type"] == kind)


def called(messages: Iterable[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return the tool calls of messages."""
    parts = [part for message in messages for part in message["parts"] if part["type"] == "tool_call"]
    return [(part["name"], part["arguments"]) for part in parts]
