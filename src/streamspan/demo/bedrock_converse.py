"""Hand-made streams of Amazon Bedrock: Converse, and InvokeModel in the words of a vendor. Pure data and functions."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator

from streamspan.demo import anthropic_messages
from streamspan.demo.aws_frames import as_text, event_frame, exception_frame
from streamspan.demo.openai_errors import OVERLOADED
from streamspan.demo.openai_prompts import Prompt
from streamspan.demo.prose import THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, Route, to_json

_STREAM = "application/vnd.amazon.eventstream"


def _event(kind: str, role: Kind, payload: Json) -> Event:
    return Event(as_text(event_frame(kind, to_json(payload))), role, is_bare=True)


def _delta(index: int, said: Json) -> Event:
    return _event("contentBlockDelta", "delta", {"contentBlockIndex": index, "delta": said})


def _stop(index: int) -> Event:
    return _event("contentBlockStop", "delta", {"contentBlockIndex": index})


def _blocks(prompt: Prompt) -> Iterator[Event]:
    if prompt.variant == "tools":
        for index, (name, arguments) in enumerate(prompt.tool_calls()):
            use = {"toolUse": {"toolUseId": f"tool_demo{index}", "name": name}}
            yield _event("contentBlockStart", "delta", {"contentBlockIndex": index, "start": use})
            for piece in fragments(arguments, prompt.chunks):
                yield _delta(index, {"toolUse": {"input": piece}})
            yield _stop(index)
        return
    if prompt.variant == "reasoning":
        for piece in pieces(THOUGHT, prompt.chunks):
            yield _delta(0, {"reasoningContent": {"text": piece}})
        yield _delta(0, {"reasoningContent": {"signature": "c2lnbmVk"}})
        yield _stop(0)
    index = int(prompt.variant == "reasoning")
    for word in [prompt.answer] if prompt.variant == "one_chunk" else prompt.words():
        yield _delta(index, {"text": word})
    yield _stop(index)


def _failures() -> dict[str, tuple[Event, ...]]:
    failed = as_text(exception_frame("throttlingException", to_json({"message": OVERLOADED})))
    garbage = as_text(event_frame("contentBlockDelta", "{not json}"))
    return {"error": (Event(failed, is_bare=True),), "garbage": (Event(garbage, is_bare=True),)}


def converse(ask: Ask) -> Reply:
    """Answer a Converse request."""
    prompt = Prompt.of(ask)
    blocks = list(_blocks(prompt))
    usage = {"inputTokens": prompt.token_count, "outputTokens": len(blocks) - 1}
    usage["totalTokens"] = sum(usage.values())
    metadata = _event("metadata", "usage", {"usage": usage, "metrics": {"latencyMs": 12}})

    def end(reason: str) -> Event:
        return _event("messageStop", "finish", {"stopReason": reason})

    start = _event("messageStart", "start", {"role": "assistant"})
    reason = "tool_use" if prompt.variant == "tools" else "end_turn"
    message = {"role": "assistant", "content": [{"text": prompt.answer}]}
    whole = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 12}}
    faults = {**_failures(), "incomplete": (end("max_tokens"), metadata)}
    return Reply((start, *blocks, end(reason), metadata), whole, faults, _STREAM)


def invoke(ask: Ask) -> Reply:
    """Answer an InvokeModel request to one of Anthropic's models."""
    answer = anthropic_messages.message(ask)
    counts = {"inputTokenCount": 8, "outputTokenCount": 12, "invocationLatency": 20, "firstByteLatency": 5}

    def chunk(event: Event) -> Event:
        said = event.data
        if event.name == "message_stop":
            said = to_json({"type": "message_stop", "amazon-bedrock-invocationMetrics": counts})
        return _event("chunk", event.kind, {"bytes": b64encode(said.encode()).decode()})

    events = tuple(chunk(event) for event in answer.events if event.name != "ping")
    incomplete = tuple(chunk(event) for event in answer.fault("incomplete"))
    return Reply(events, answer.whole, {**_failures(), "incomplete": incomplete}, _STREAM)


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    return {"message": f"The request failed with {status}."}


def failure_headers(status: int) -> dict[str, str]:
    """Return the header that says what an HTTP error is: a code, and where AWS documents it."""
    code = _CODES.get(status, "InternalServerException")
    return {"x-amzn-errortype": f"{code}:http://internal.amazon.com/coral/com.amazon.bedrock/"}


_CODES = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


def _route(path: str, reply: Callable[[Ask], Reply], *, streams: bool) -> Route:
    return Route(
        "POST",
        re.compile(f"/model/(?P<model>[^/]+)/{path}"),
        reply,
        failure,
        "x-amzn-requestid",
        streams=streams,
        failure_headers=failure_headers,
    )


ROUTES: tuple[Route, ...] = (
    _route("converse-stream", converse, streams=True),
    _route("converse", converse, streams=False),
    _route("invoke-with-response-stream", invoke, streams=True),
)
