"""Hand-made streams of Cohere's chat API, version 2: typed events. Pure data and functions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamspan.demo.openai_errors import OVERLOADED
from streamspan.demo.openai_prompts import Prompt
from streamspan.demo.prose import THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, Route, to_json

Parts = Iterator[tuple[Kind, Json]]


def _event(kind: Kind, data: Json) -> Event:
    return Event(to_json(data), kind, name=data["type"])


def _content(index: int, key: str, words: list[str]) -> Parts:
    def at(event: str, content: Json) -> Json:
        return {"type": event, "index": index, "delta": {"message": {"content": content}}}

    yield "start", at("content-start", {"type": key, key: ""})
    for word in words:
        yield "delta", at("content-delta", {key: word})
    yield "delta", {"type": "content-end", "index": index}


def _tools(prompt: Prompt) -> Parts:
    yield "delta", {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I will look it up."}}}
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        call = {"id": f"call_demo{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        yield "delta", {"type": "tool-call-start", "index": index, "delta": {"message": {"tool_calls": call}}}
        for piece in fragments(arguments, prompt.chunks):
            said = {"tool_calls": {"function": {"arguments": piece}}}
            yield "delta", {"type": "tool-call-delta", "index": index, "delta": {"message": said}}
        yield "delta", {"type": "tool-call-end", "index": index}


def _parts(prompt: Prompt) -> Parts:
    if prompt.variant == "tools":
        yield from _tools(prompt)
        return
    if prompt.variant == "reasoning":
        yield from _content(0, "thinking", pieces(THOUGHT, prompt.chunks))
    yield from _content(int(prompt.variant == "reasoning"), "text", prompt.words())


def _usage(prompt: Prompt, output: int) -> Json:
    counts = {"input_tokens": prompt.token_count, "output_tokens": output}
    return {"billed_units": counts, "tokens": {**counts, "input_tokens": prompt.token_count + 60}}


def chat(ask: Ask) -> Reply:
    """Answer a chat request."""
    prompt = Prompt.of(ask)
    parts = list(_parts(prompt))
    usage = _usage(prompt, sum(kind == "delta" for kind, _ in parts) - 1)

    def end(reason: str, **more: str) -> Event:
        delta = {"finish_reason": reason, "usage": usage, **more}
        return _event("finish", {"type": "message-end", "id": "cohere-demo", "delta": delta})

    message: Json = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    start: Json = {"type": "message-start", "id": "cohere-demo", "delta": {"message": message}}
    reason = "TOOL_CALL" if prompt.variant == "tools" else "COMPLETE"
    events = (_event("start", start), *(_event(kind, data) for kind, data in parts), end(reason))
    said = {"role": "assistant", "content": [{"type": "text", "text": prompt.answer}]}
    whole = {"id": "cohere-demo", "finish_reason": "COMPLETE", "message": said, "usage": usage}
    faults = {
        "error": (end("ERROR", error=OVERLOADED),),
        "garbage": (Event("{not json}", name="content-delta"),),
        "incomplete": (end("MAX_TOKENS"),),
    }
    return Reply(events, whole, faults, "text/event-stream")


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    return {"id": "cohere-demo", "message": f"The request failed with {status}."}


ROUTES: tuple[Route, ...] = (Route("POST", re.compile("/v2/chat"), chat, failure, "x-debug-trace-id"),)
