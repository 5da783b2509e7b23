"""Hand-made answers of the Responses API: items, the events that build them, and the response around them.

Pure data and functions. The response is the only place where a finish is said: `response.completed` and its kin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streamspan.demo.openai_errors import FAULTS, OVERLOADED
from streamspan.demo.openai_prompts import CREATED, Prompt
from streamspan.demo.prose import REFUSAL, SPOKEN, THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, to_json

Parts = Iterator[tuple[Kind, str, Json]]


def _message(index: int, words: list[str], *, is_refusal: bool = False) -> Parts:
    kind, field, event = ("refusal", "refusal", "refusal") if is_refusal else ("output_text", "text", "output_text")
    more: Json = {} if is_refusal else {"annotations": [], "logprobs": []}
    item: Json = {
        "id": f"msg_demo{index}",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }
    where: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    part: Json = {"type": kind, field: "", **more}
    yield "start", "response.output_item.added", {"output_index": index, "item": item}
    yield "start", "response.content_part.added", {**where, "part": part}
    logprobs: Json = {} if is_refusal else {"logprobs": []}
    for word in words:
        yield "delta", f"response.{event}.delta", {**where, "delta": word, **logprobs}
    full: Json = {**part, field: "".join(words)}
    yield "delta", f"response.{event}.done", {**where, field: full[field], **logprobs}
    yield "delta", "response.content_part.done", {**where, "part": full}
    done: Json = {**item, "status": "completed", "content": [full]}
    yield "delta", "response.output_item.done", {"output_index": index, "item": done}


def _thoughts(index: int, words: list[str]) -> Parts:
    item: Json = {"id": f"rs_demo{index}", "type": "reasoning", "summary": []}
    where: Json = {"item_id": item["id"], "output_index": index, "summary_index": 0}
    summary: Json = {"type": "summary_text", "text": "".join(words)}
    yield "start", "response.output_item.added", {"output_index": index, "item": item}
    yield "start", "response.reasoning_summary_part.added", {**where, "part": {**summary, "text": ""}}
    for word in words:
        yield "delta", "response.reasoning_summary_text.delta", {**where, "delta": word}
    yield "delta", "response.reasoning_summary_text.done", {**where, "text": summary["text"]}
    yield "delta", "response.reasoning_summary_part.done", {**where, "part": summary}
    yield "delta", "response.output_item.done", {"output_index": index, "item": {**item, "summary": [summary]}}


def _call(index: int, name: str, arguments: list[str]) -> Parts:
    item: Json = {"id": f"fc_demo{index}", "type": "function_call", "status": "in_progress", "arguments": ""}
    item |= {"call_id": f"call_demo{index:04d}", "name": name}
    where: Json = {"item_id": item["id"], "output_index": index}
    full = "".join(arguments)
    yield "delta", "response.output_item.added", {"output_index": index, "item": item}
    for piece in arguments:
        yield "delta", "response.function_call_arguments.delta", {**where, "delta": piece}
    yield "delta", "response.function_call_arguments.done", {**where, "name": name, "arguments": full}
    done: Json = {**item, "status": "completed", "arguments": full}
    yield "delta", "response.output_item.done", {"output_index": index, "item": done}


def _text(prompt: Prompt) -> Parts:
    return _message(0, prompt.words())


def _refusal(prompt: Prompt) -> Parts:
    return _message(0, pieces(REFUSAL, prompt.chunks), is_refusal=True)


def _reasoning(prompt: Prompt) -> Parts:
    yield from _thoughts(0, pieces(THOUGHT, prompt.chunks))
    yield from _message(1, prompt.words())


def _tools(prompt: Prompt) -> Parts:
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        yield from _call(index, name, fragments(arguments, prompt.chunks))


def _audio(prompt: Prompt) -> Parts:
    for word in pieces(SPOKEN, prompt.chunks):
        yield "delta", "response.audio.transcript.delta", {"delta": word}
        yield "delta", "response.audio.delta", {"delta": "AAAAAAAAAAAAAAAA"}
    yield "delta", "response.audio.transcript.done", {}
    yield "delta", "response.audio.done", {}


def _one_chunk(prompt: Prompt) -> Parts:
    return _message(0, [prompt.answer])


def _obfuscation(prompt: Prompt) -> Parts:
    for kind, name, fields in _text(prompt):
        yield kind, name, {**fields, "obfuscation": "aB3dE5fG7hJ9kL"} if name.endswith("text.delta") else fields


VARIANTS: Mapping[str, Callable[[Prompt], Parts]] = {
    "text": _text,
    "tools": _tools,
    "missing_tool_index": _tools,
    "reasoning": _reasoning,
    "refusal": _refusal,
    "audio": _audio,
    "one_chunk": _one_chunk,
    "obfuscation": _obfuscation,
}
"""The forms of a Responses stream, by the scenario's word for them."""


def response(ask: Ask) -> Reply:
    """Answer a request of the Responses API, to create or to retrieve a response."""
    prompt = Prompt.of(ask)
    parts = list(VARIANTS.get(prompt.variant, _text)(prompt))
    begun = _response(prompt, ask.group("id") or "resp_demo")
    output = [fields["item"] for _, name, fields in parts if name == "response.output_item.done"]
    done: Json = {**begun, "status": "completed", "completed_at": CREATED + 1, "output": output}
    done["usage"] = _usage(prompt, [name for _, name, _ in parts])
    incomplete = {**done, "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    error: Json = {"code": "server_error", "message": OVERLOADED}
    story: list[tuple[Kind, str, Json]] = [
        ("start", "response.created", {"response": begun}),
        ("start", "response.in_progress", {"response": begun}),
        *parts,
        ("finish", "response.completed", {"response": done}),
    ]
    faults = {
        "error_item": _event(len(story), "error", {"code": "server_error", "message": OVERLOADED, "param": None}),
        "failed": _event(len(story), "response.failed", {"response": {**begun, "status": "failed", "error": error}}),
        "incomplete": _event(len(story), "response.incomplete", {"response": incomplete}),
    }
    resumed = int(prompt.body.get("starting_after", -1)) + 1
    events = tuple(_event(number, name, fields, kind) for number, (kind, name, fields) in enumerate(story))
    return Reply(events[resumed:], done, {**FAULTS, **{name: (event,) for name, event in faults.items()}})


def _event(number: int, name: str, fields: Json, kind: Kind = "finish") -> Event:
    return Event(to_json({"type": name, "sequence_number": number, **fields}), kind, name)


def _response(prompt: Prompt, identity: str) -> Json:
    body = prompt.body
    return {
        "id": identity,
        "object": "response",
        "created_at": CREATED,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "model": prompt.model,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "reasoning": {"effort": None, "summary": None},
        "service_tier": "default",
        "store": True,
        "temperature": body.get("temperature", 1.0),
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "top_p": body.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": body.get("metadata") or {},
    }


def _usage(prompt: Prompt, names: list[str]) -> Json:
    reasoning = names.count("response.reasoning_summary_text.delta")
    output = sum(name.endswith(".delta") for name in names)
    return {
        "input_tokens": prompt.token_count,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoning},
        "total_tokens": prompt.token_count + output,
    }
