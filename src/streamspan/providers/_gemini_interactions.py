"""Gemini's Interactions: its stream events, its whole answer, its request.

The terminal marker is `interaction.completed` (`interaction.complete` before google-genai 2.0) with any status but
`requires_continuation`, after which the SDK goes on in another request. Failures come as ordinary items (`error`), so
the reader is the only one who can notice them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

from streamspan._records import AUDIO, IMAGE, AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers import _gemini_requests as requests
from streamspan.providers._shapes import counts, everything, extras, fields, items, text

Event = Mapping[str, Any]

_GOES_ON = "requires_continuation"


def read_event(event: Any) -> Delta:
    """Read an event of an Interactions stream."""
    data = _said(everything(event), "event_type", _READERS)
    kind = text(data.get("event_type"))
    reader = _READERS.get(kind)
    delta = reader(data) if reader is not None else Delta()
    if metadata := fields(data.get("metadata")) or fields(extras(event).get("metadata")):
        delta.usage = delta.usage or _usage(metadata.get("usage") or metadata.get("total_usage"))
    if type(event) is dict and not kind and (error := data.get("error")):
        delta.error = _error_of(error)
    return delta


def _said(data: Event, key: str, known: Mapping[str, object]) -> Event:
    """Return what was on the wire, where the SDK has hidden it in an object for what it does not recognize."""
    if data.get("is_unknown") is not True or text(data.get(key)) in known:
        return data
    return everything(data.get("raw"))


def read_fetched_event(event: Any) -> Delta:
    """Read an event of a resumed stream: its tokens were counted by the call that made the interaction."""
    delta = read_event(event)
    delta.usage = None
    return delta


def read_whole(interaction: Any) -> Delta:
    """Read a whole interaction."""
    data = everything(interaction)
    delta = _last(data)
    steps = items(data.get("steps")) or items(data.get("outputs"))
    delta.others = [_step(number, step) for number, step in enumerate(steps)]
    return delta


def _text(delta: Event, _index: int | None) -> Delta:
    return Delta(text(delta.get("text")), 0)


def _thought(delta: Event, _index: int | None) -> Delta:
    return Delta("", 0, text(fields(delta.get("content")).get("text")), is_summary=True)


def _media(kind: int, delta: Event, _index: int | None) -> Delta:
    return Delta("", 0, media=kind if delta.get("data") or delta.get("uri") else 0)


def _arguments(delta: Event, index: int | None) -> Delta:
    said = delta.get("arguments") or delta.get("partial_arguments")
    return Delta("", 0, tool_calls=(ToolCallDelta(index, "", "", text(said)),))


def _call(delta: Event, index: int | None) -> Delta:
    """Read a call that comes whole, one of the application's functions or of the provider's own tools."""
    arguments = _sent(delta.get("arguments"))
    name = text(delta.get("name")) or text(delta.get("type")).removesuffix("_call")
    said = json.dumps(arguments, default=_sent, separators=(",", ":")) if arguments else ""
    return Delta("", 0, tool_calls=(ToolCallDelta(index, text(delta.get("id")), name, said),))


def _sent(value: object) -> object:
    """Return an object of the SDK's as data: what was not sent is null in it."""
    if value is None or isinstance(value, dict | list | str | int | float):
        return cast("object", value)
    data = everything(value)
    return {name: each for name, each in data.items() if each is not None} if data else str(value)


_DELTAS: dict[str, Callable[[Event, int | None], Delta]] = {
    "text": _text,
    "thought_summary": _thought,
    "audio": partial(_media, AUDIO),
    "image": partial(_media, IMAGE),
    "arguments": _arguments,
    "arguments_delta": _arguments,
}


def _delta(event: Event) -> Delta:
    delta = _said(everything(event.get("delta")), "type", _DELTAS)
    kind = text(delta.get("type"))
    index = event.get("index")
    reader = _DELTAS.get(kind) or (_call if kind.endswith("_call") else None)
    return Delta() if reader is None else reader(delta, index if type(index) is int else None)


def _started(event: Event) -> Delta:
    """Read the start of a step: what there is of it already. Of a call that is its name; the arguments follow."""
    index = event.get("index")
    return _step(index if type(index) is int else None, event.get("step") or event.get("content"))


def _begun(event: Event) -> Delta:
    interaction = everything(event.get("interaction"))
    return Delta(
        choice=0, response_id=text(interaction.get("id")), response_model=requests.word(interaction.get("model"))
    )


def _ended(event: Event) -> Delta:
    return _last(everything(event.get("interaction")))


def _last(interaction: Event) -> Delta:
    status = requests.word(interaction.get("status"))
    delta = Delta(
        choice=0,
        response_id=text(interaction.get("id")),
        response_model=requests.word(interaction.get("model")),
        usage=_usage(interaction.get("usage")),
        finish_reason=status if status != _GOES_ON else "",
        is_terminal=status != _GOES_ON,
    )
    if status == "failed":
        delta.finish_reason = ""
        delta.error = _error_of(interaction.get("error") or {"message": "the interaction failed"})
    return delta


def _failed(event: Event) -> Delta:
    return Delta(choice=0, error=_error_of(event.get("error")))


def _error_of(error: Any) -> ProviderError:
    data = everything(error)
    name = data.get("status") or data.get("code")
    return ProviderError(str(name) if name else "_OTHER", text(data.get("message")) or text(error))


def _stopped(event: Event) -> Delta:
    """Read the counts so far; `step_usage` is that of one step."""
    return Delta(usage=_usage(event.get("usage")))


_READERS: dict[str, Callable[[Event], Delta]] = {
    "interaction.created": _begun,
    "interaction.start": _begun,
    "step.start": _started,
    "content.start": _started,
    "step.delta": _delta,
    "content.delta": _delta,
    "step.stop": _stopped,
    "interaction.status_update": _stopped,
    "interaction.completed": _ended,
    "interaction.complete": _ended,
    "error": _failed,
}


def _step(number: int | None, given: Any) -> Delta:
    """Read a step of an interaction, or one of its parts."""
    step = _said(everything(given), "type", _DELTAS)
    kind = text(step.get("type"))
    if kind.endswith("_call"):
        return _call(step, number)
    if kind == "thought":
        parts = items(step.get("summary"))
        return Delta("", 0, "".join(text(everything(part).get("text")) for part in parts), is_summary=True)
    if kind == "model_output":
        parts = [_step(number, part) for part in items(step.get("content"))]
        return Delta("", 0, others=parts or ())
    reader = _DELTAS.get(kind)
    return Delta() if reader is None else reader(step, number)


def _usage(usage: Any) -> dict[str, int] | None:
    """Read the counts: input is the prompt and what tools added to it, output the answer and the thoughts."""
    data = everything(usage)
    thoughts = data.get("total_thought_tokens")
    thoughts = data.get("total_reasoning_tokens") if thoughts is None else thoughts
    found = counts(
        {
            "input_tokens": _sum(data.get("total_input_tokens"), data.get("total_tool_use_tokens")),
            "output_tokens": _sum(data.get("total_output_tokens"), thoughts),
            "cache_read.input_tokens": data.get("total_cached_tokens"),
            "reasoning.output_tokens": thoughts,
        }
    )
    return found or None


def _sum(count: object, more: object) -> int | None:
    known = [each for each in (count, more) if type(each) is int]
    return sum(known) if known else None


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters."""
    config = everything(body.get("generation_config"))
    found = requests.request_attributes({"generation_config": config})
    level = requests.word(config.get("thinking_level"))
    previous = text(body.get("previous_interaction_id"))
    if level:
        found["gen_ai.request.reasoning.level"] = level
    if previous:
        found["gen_ai.request.previous_response.id"] = previous
    return found


def fetch_attributes(query: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of fetching or resuming an interaction."""
    cursor = query.get("last_event_id")
    return {"gen_ai.request.stream_cursor": cursor} if isinstance(cursor, str) else {}


def content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read the request's content."""
    asked = body.get("input")
    turns = cast("list[object]", asked) if type(asked) is list else [asked] if asked else []
    instructions = text(body.get("system_instruction"))
    found = {
        "gen_ai.input.messages": _messages(turns),
        "gen_ai.system_instructions": [{"type": "text", "content": instructions}] if instructions else [],
        "gen_ai.tool.definitions": [_definition(everything(tool)) for tool in items(body.get("tools"))],
    }
    return {name: value for name, value in found.items() if value}


def _messages(turns: list[Any]) -> list[dict[str, object]]:
    """Return the turns: steps of earlier interactions, and loose parts of the user's."""
    messages: list[dict[str, object]] = []
    for turn in turns:
        role, parts = _turn(turn)
        last = messages[-1] if messages else None
        if last is not None and last["role"] == role and role != "tool":
            last["parts"] = [*items(last["parts"]), *parts]
        elif parts:
            messages.append({"role": role, "parts": parts})
    return messages


def _turn(turn: Any) -> tuple[str, list[dict[str, object]]]:
    data = everything(turn)
    kind = text(data.get("type"))
    if kind == "thought":
        return "assistant", [part | {"type": "reasoning"} for part in _parts(data.get("summary"))]
    if kind.endswith("_call"):
        return "assistant", [_call_part(kind, data)]
    if kind.endswith("_result"):
        result = requests.copied(data.get("result"))
        return "tool", [{"type": "tool_call_response", "id": text(data.get("call_id")) or None, "response": result}]
    if kind in {"user_input", "model_output"} or "role" in data:
        role = "assistant" if kind == "model_output" else requests.role_of(requests.word(data.get("role")) or "user")
        return role, _parts(data.get("content") or data.get("parts"))
    return "user", _parts(turn)


def _call_part(kind: str, call: Event) -> dict[str, object]:
    identity, arguments = text(call.get("id")) or None, requests.copied(call.get("arguments"))
    if kind == "function_call":
        return {"type": "tool_call", "id": identity, "name": text(call.get("name")), "arguments": arguments}
    name = kind.removesuffix("_call")
    return {"type": "server_tool_call", "id": identity, "name": name, "server_tool_call": {"type": name}}


def _parts(value: Any) -> list[dict[str, object]]:
    if isinstance(value, str):
        return [{"type": "text", "content": value}]
    if type(value) is list:
        return [part for each in items(value) for part in _parts(each)]
    data = everything(value)
    kind = text(data.get("type")) or ("text" if "text" in data else "")
    if kind == "text":
        return [{"type": "text", "content": text(data.get("text"))}]
    if kind in {"image", "audio", "video", "document"}:
        mime_type, uri = requests.word(data.get("mime_type")) or f"{kind}/", text(data.get("uri"))
        part = requests.media_part("uri", mime_type, {"uri": uri}) if uri else None
        return [part or requests.media_part("blob", mime_type, {"content": ""})]
    return [{"type": kind}] if kind else []


def _definition(tool: Event) -> dict[str, object]:
    kind = text(tool.get("type")) or "function"
    return requests.function_definition(tool) if kind == "function" else {"type": kind, "name": kind}
