"""Hand-made streams of Ollama's own API: one JSON object per line, the last with `done`. Pure data and functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from streamspan.demo.openai_errors import OVERLOADED
from streamspan.demo.openai_prompts import Prompt
from streamspan.demo.prose import THOUGHT, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, Route, to_json

_CREATED = "2026-01-01T00:00:00Z"


def _line(data: Json, kind: Kind = "delta") -> Event:
    return Event(to_json(data) + "\n", kind, is_bare=True)


def _messages(prompt: Prompt) -> Iterator[Json]:
    if prompt.variant == "reasoning":
        for piece in pieces(THOUGHT, prompt.chunks):
            yield {"role": "assistant", "content": "", "thinking": piece}
    if prompt.variant == "tools":
        for index, (name, arguments) in enumerate(prompt.tool_calls()):
            function = {"index": index, "name": name, "arguments": json.loads(arguments)}
            yield {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
        return
    words = [prompt.answer] if prompt.variant == "one_chunk" else prompt.words()
    for word in words:
        yield {"role": "assistant", "content": word}


def _reply(prompt: Prompt, said: list[Json], empty: Json) -> Reply:
    head: Json = {"model": prompt.model, "created_at": _CREATED}
    counts = {"prompt_eval_count": prompt.token_count, "eval_count": len(said)}
    times = {"total_duration": 4_000_000, "load_duration": 1_000_000, "eval_duration": 2_000_000}

    def last(reason: str) -> Json:
        return {**head, **empty, "done": True, "done_reason": reason, **times, **counts}

    events = (*(_line({**head, **part, "done": False}) for part in said), _line(last("stop"), "finish"))
    faults = {
        "error": (_line({"error": OVERLOADED}),),
        "garbage": (Event("{not json}\n", is_bare=True),),
        "incomplete": (_line(last("length"), "finish"),),
    }
    return Reply(events, last("stop"), faults, "application/x-ndjson")


def chat(ask: Ask) -> Reply:
    """Answer a chat request."""
    prompt = Prompt.of(ask)
    said = [{"message": message} for message in _messages(prompt)]
    reply = _reply(prompt, said, {"message": {"role": "assistant", "content": ""}})
    whole = json.loads(to_json(reply.whole))
    whole["message"] = _joined([part["message"] for part in said])
    return Reply(reply.events, whole, reply.faults, reply.content_type)


def _joined(messages: list[Json]) -> Json:
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    thoughts = "".join(message.get("thinking", "") for message in messages)
    text = "".join(message["content"] for message in messages)
    more = {**({"tool_calls": calls} if calls else {}), **({"thinking": thoughts} if thoughts else {})}
    return {"role": "assistant", "content": text, **more}


def generate(ask: Ask) -> Reply:
    """Answer a generate request."""
    prompt = Prompt.of(ask)
    said: list[Json] = [{"response": word} for word in prompt.words()]
    thoughts: Json = {}
    if prompt.variant == "reasoning":
        said = [*({"response": "", "thinking": piece} for piece in pieces(THOUGHT, prompt.chunks)), *said]
        thoughts = {"thinking": THOUGHT}
    reply = _reply(prompt, said, {"response": ""})
    whole = json.loads(to_json(reply.whole)) | {"response": prompt.answer} | thoughts
    return Reply(reply.events, whole, reply.faults, reply.content_type)


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    return {"error": "model 'none' not found" if status == 404 else OVERLOADED}  # noqa: PLR2004 - an HTTP status


ROUTES: tuple[Route, ...] = (
    Route("POST", re.compile("/api/chat"), chat, failure, streams_unasked=True),
    Route("POST", re.compile("/api/generate"), generate, failure, streams_unasked=True),
)
