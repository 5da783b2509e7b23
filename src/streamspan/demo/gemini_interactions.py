"""Hand-made answers of Gemini's Interactions: steps, the events that build them, and the interaction around them.

Pure data and functions. The events are those of a recording of the real API; `[DONE]` comes under `event: done`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streamspan.demo.gemini_prompts import Prompt
from streamspan.demo.prose import THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, to_json

Parts = Iterator[tuple[Kind, str, Json]]

_ID = "v1_demo"
_DONE = Event("[DONE]", "done", "done")
_OVERLOADED = "The model is currently experiencing high demand. Please try again later."


def _step(index: int, kind: str, deltas: list[Json], **more: object) -> Parts:
    is_call = kind.endswith("_call")
    yield "delta" if is_call else "start", "step.start", {"index": index, "step": {"type": kind, **more}}
    for delta in deltas:
        yield "delta", "step.delta", {"index": index, "delta": delta}
    yield "delta", "step.stop", {"index": index}


def _answer(prompt: Prompt, index: int = 0) -> Parts:
    return _step(index, "model_output", [{"text": piece, "type": "text"} for piece in prompt.words()])


def _reasoning(prompt: Prompt) -> Parts:
    thoughts: list[Json] = [
        {"content": {"text": piece, "type": "text"}, "type": "thought_summary"}
        for piece in pieces(THOUGHT, prompt.chunks)
    ]
    yield from _step(0, "thought", [*thoughts, {"signature": "CiQBDDnWx9j7", "type": "thought_signature"}])
    yield from _answer(prompt, 1)


def _tools(prompt: Prompt) -> Parts:
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        said: list[Json] = [
            {"arguments": piece, "type": "arguments_delta"} for piece in fragments(to_json(arguments), prompt.chunks)
        ]
        yield from _step(index, "function_call", said, id=f"call_demo{index:04d}", name=name, arguments={})


VARIANTS: Mapping[str, Callable[[Prompt], Parts]] = {"text": _answer, "reasoning": _reasoning, "tools": _tools}
"""The forms of a stream, by the scenario's word for them."""


def interaction(ask: Ask) -> Reply:
    """Answer a request."""
    prompt = Prompt.of(ask)
    parts = list(VARIANTS.get(prompt.variant, _answer)(prompt))
    begun: Json = {"id": _ID, "status": "in_progress", "object": "interaction", "model": prompt.model}
    status = "requires_action" if prompt.variant == "tools" else "completed"
    update: Json = {"interaction_id": _ID, "status": "in_progress"}
    counts = _usage(prompt, parts)
    events = (
        _event("start", "interaction.created", {"interaction": begun}),
        _event("start", "interaction.status_update", update),
        *(_event(*part) for part in parts),
        _ended(prompt, status, counts),
        _DONE,
    )
    whole = {**begun, "status": status, "usage": counts, "steps": _steps(parts)}
    return Reply(events, whole, {**_FAULTS, "incomplete": (_ended(prompt, "incomplete", counts), _DONE)})


def _event(kind: Kind, name: str, data: Json) -> Event:
    return Event(to_json({**data, "event_type": name}), kind, name)


def _ended(prompt: Prompt, status: str, counts: Json) -> Event:
    done: Json = {"id": _ID, "status": status, "object": "interaction", "model": prompt.model, "usage": counts}
    return _event("finish", "interaction.completed", {"interaction": done})


def _usage(prompt: Prompt, parts: list[tuple[Kind, str, Json]]) -> Json:
    deltas = [data["delta"]["type"] for _, name, data in parts if name == "step.delta"]
    thoughts = deltas.count("thought_summary")
    output = len(deltas) - thoughts - deltas.count("thought_signature")
    return {
        "total_tokens": prompt.token_count + output + thoughts,
        "total_input_tokens": prompt.token_count,
        "total_cached_tokens": 0,
        "total_output_tokens": output,
        "total_tool_use_tokens": 0,
        "total_thought_tokens": thoughts,
    }


def _steps(parts: list[tuple[Kind, str, Json]]) -> list[Json]:
    """Join the stream's pieces into the steps of a whole interaction."""
    steps: dict[int, Json] = {}
    for _, name, data in parts:
        step = steps.setdefault(data["index"], dict(data.get("step") or {}))
        delta: Json = data.get("delta") or {}
        if name != "step.delta":
            continue
        if delta["type"] == "text":
            step["content"] = [{"type": "text", "text": _said(step, "content") + delta["text"]}]
        elif delta["type"] == "thought_summary":
            step["summary"] = [{"type": "text", "text": _said(step, "summary") + delta["content"]["text"]}]
        elif delta["type"] == "arguments_delta":
            step["arguments"] = {}
    return [steps[index] for index in sorted(steps)]


def _said(step: Json, key: str) -> str:
    return str(step[key][0]["text"]) if step.get(key) else ""


_ERROR: Json = {"error": {"message": _OVERLOADED, "code": "service_unavailable"}}
_FAULTS: Mapping[str, tuple[Event, ...]] = {
    "error": (_event("delta", "error", _ERROR),),
    "garbage": (Event("{not json}", "delta", "step.delta"),),
}
