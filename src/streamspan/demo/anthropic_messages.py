"""Hand-made Messages streams: blocks, the events that build them, and the message around them.

Pure data and functions: a request becomes the complete healthy stream, the same as one JSON value, and the events
that belong to faults.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from streamspan.demo.anthropic_errors import FAULTS
from streamspan.demo.anthropic_prompts import Prompt
from streamspan.demo.prose import THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, to_json

Parts = Iterator[tuple[Kind, Json]]
_SIGNATURE = "EqoBCkgIARABGAIiQDemoDemoDemoDemo=="


def _opened(index: int, block: Json) -> Json:
    return {"type": "content_block_start", "index": index, "content_block": block}


def _piece(index: int, kind: str, **said: object) -> tuple[Kind, Json]:
    return "delta", {"type": "content_block_delta", "index": index, "delta": {"type": kind, **said}}


def _closed(index: int) -> tuple[Kind, Json]:
    return "delta", {"type": "content_block_stop", "index": index}


def _text(prompt: Prompt, index: int = 0) -> Parts:
    yield "delta" if index else "start", _opened(index, {"type": "text", "text": ""})
    for word in prompt.words():
        yield _piece(index, "text_delta", text=word)
    yield _closed(index)


def _one_chunk(prompt: Prompt) -> Parts:
    yield "start", _opened(0, {"type": "text", "text": ""})
    yield _piece(0, "text_delta", text="".join(prompt.words()))
    yield _closed(0)


def _tools(prompt: Prompt) -> Parts:
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        block: Json = {"type": "tool_use", "id": f"toolu_demo{index:04d}", "name": name, "input": {}}
        yield "delta", _opened(index, block)
        yield _piece(index, "input_json_delta", partial_json="")
        for fragment in fragments(arguments, prompt.chunks):
            yield _piece(index, "input_json_delta", partial_json=fragment)
        yield _closed(index)


def _reasoning(prompt: Prompt) -> Parts:
    yield "start", _opened(0, {"type": "thinking", "thinking": "", "signature": ""})
    for piece in pieces(THOUGHT, prompt.chunks):
        yield _piece(0, "thinking_delta", thinking=piece)
    yield _piece(0, "signature_delta", signature=_SIGNATURE)
    yield _closed(0)
    yield from _text(prompt, 1)


def _redacted(prompt: Prompt) -> Parts:
    yield "start", _opened(0, {"type": "redacted_thinking", "data": _SIGNATURE})
    yield _closed(0)
    yield from _text(prompt, 1)


def _server_tools(prompt: Prompt) -> Parts:
    block: Json = {"type": "server_tool_use", "id": "srvtoolu_demo", "name": "web_search", "input": {}}
    yield "start", _opened(0, block)
    for fragment in fragments(to_json({"query": "what is a stream"})):
        yield _piece(0, "input_json_delta", partial_json=fragment)
    yield _closed(0)
    found = {
        "type": "web_search_result",
        "title": "Streams",
        "url": "https://example.com/",
        "encrypted_content": "Zm9v",
    }
    result = {
        "type": "web_search_tool_result",
        "tool_use_id": "srvtoolu_demo",
        "content": [{**found, "page_age": None}],
    }
    yield "delta", _opened(1, result)
    yield _closed(1)
    yield from _text(prompt, 2)


def _citations(prompt: Prompt) -> Parts:
    cited = {"type": "char_location", "cited_text": "A stream.", "document_index": 0, "document_title": "Streams"}
    for kind, part in _text(prompt):
        if part["type"] == "content_block_stop":
            location = {"start_char_index": 0, "end_char_index": 9, "file_id": None}
            yield _piece(0, "citations_delta", citation={**cited, **location})
        yield kind, part


def _compaction(prompt: Prompt) -> Parts:
    yield "start", _opened(0, {"type": "compaction", "content": None})
    yield _piece(0, "compaction_delta", content="They spoke of streams.")
    yield _closed(0)
    yield from _text(prompt, 1)


def _refusal(prompt: Prompt) -> Parts:
    if prompt.chunks:  # in the middle of its answer; else the stop reason says it all
        yield from _text(prompt)


VARIANTS: Mapping[str, Callable[[Prompt], Parts]] = {
    "text": _text,
    "tools": _tools,
    "reasoning": _reasoning,
    "redacted": _redacted,
    "server_tools": _server_tools,
    "citations": _citations,
    "compaction": _compaction,
    "refusal": _refusal,
    "one_chunk": _one_chunk,
}
"""The forms of a Messages stream, by the scenario's word for them."""

_REFUSAL = {
    "type": "refusal",
    "category": None,
    "explanation": None,
    "fallback_credit_token": "credit_demo",
    "fallback_has_prefill_claim": False,
}
_STOP_REASONS = {"tools": "tool_use", "refusal": "refusal"}


def message(ask: Ask) -> Reply:
    """Answer a Messages request."""
    prompt = Prompt.of(ask)
    parts = list(VARIANTS.get(prompt.variant, _text)(prompt))
    begun = _begun(prompt)
    done = _ending(prompt, parts, _STOP_REASONS.get(prompt.variant, "end_turn"))
    story: list[tuple[Kind, Json]] = [
        ("start", {"type": "message_start", "message": begun}),
        *_with_ping(parts),
        ("finish", done),
        ("done", {"type": "message_stop"}),
    ]
    whole = {**begun, **done["delta"], "content": _blocks(parts), "usage": {**begun["usage"], **done["usage"]}}
    cut = _ending(prompt, parts, "max_tokens")
    incomplete = (_event("finish", cut), _event("done", {"type": "message_stop"}))
    return Reply(tuple(_event(*part) for part in story), whole, {**FAULTS, "incomplete": incomplete})


def _event(kind: Kind, data: Json) -> Event:
    return Event(to_json(data), kind, data["type"])


def _with_ping(parts: Iterable[tuple[Kind, Json]]) -> Parts:
    """Put a sign of life after the first piece of output."""
    is_due = True
    for kind, part in parts:
        yield kind, part
        if is_due and part["type"] == "content_block_delta":
            is_due = False
            yield "delta", {"type": "ping"}


def _begun(prompt: Prompt) -> Json:
    return {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": prompt.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {**_input(prompt), "output_tokens": 1, "service_tier": "standard"},
    }


def _input(prompt: Prompt) -> Json:
    written, read = (20, 1031) if prompt.variant == "cached" else (0, 0)
    return {
        "input_tokens": prompt.token_count,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
    }


def _ending(prompt: Prompt, parts: list[tuple[Kind, Json]], reason: str) -> Json:
    deltas = [part["delta"]["type"] for _, part in parts if part["type"] == "content_block_delta"]
    details = {"thinking_tokens": deltas.count("thinking_delta")}
    counts = {**_input(prompt), "output_tokens": len(deltas), "output_tokens_details": details}
    refusal = _REFUSAL if reason == "refusal" else None
    delta = {"stop_reason": reason, "stop_sequence": None, "stop_details": refusal}
    return {"type": "message_delta", "delta": delta, "usage": counts}


def _blocks(parts: Iterable[tuple[Kind, Json]]) -> list[Json]:
    """Join the stream's pieces into the blocks of a whole message."""
    blocks: dict[int, Json] = {}
    arguments: dict[int, str] = {}
    for _, part in parts:
        index = part["index"]
        if "content_block" in part:
            blocks[index] = dict(part["content_block"])
        elif "delta" in part:
            _join(blocks[index], index, part["delta"], arguments)
    for index, text in arguments.items():
        blocks[index]["input"] = json.loads(text)
    return list(blocks.values())


def _join(block: Json, index: int, delta: Mapping[str, Any], arguments: dict[int, str]) -> None:
    if "partial_json" in delta:
        arguments[index] = arguments.get(index, "") + delta["partial_json"]
    for name in ("text", "thinking", "signature", "content"):
        if name in delta:
            block[name] = (block.get(name) or "") + delta[name]
    if "citation" in delta:
        block.setdefault("citations", []).append(delta["citation"])
