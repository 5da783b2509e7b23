"""Anthropic Messages: its stream events, its whole answer, its request attributes.

The terminal marker is `message_stop`: a stop reason comes before it, with the usage, and is none by itself. Counts are
cumulative; what `message_start` says of the output is a placeholder (1 where the end says 0), so only the input is read
there. Blocks in the raw and in the beta API differ in their classes only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers._parameters import doubles, ints, known, strings
from streamspan.providers._shapes import counts, everything, fields, items, text

Event = Mapping[str, Any]

_COMPACTED = {"gen_ai.conversation.compacted": True}


def read_event(event: Any) -> Delta:
    """Read an event of a Messages stream."""
    data = fields(event)
    reader = _READERS.get(text(data.get("type")))
    if reader is None:
        return _framed(data) if data else Delta()
    return reader(everything(event) if reader is _error else data)  # no class declares an error


def text_of(event: Any) -> str | None:
    """Return the text of an SDK's text delta, as nearly all events are; cheaper than `read_event`."""
    try:
        delta = event.__dict__["delta"].__dict__
        return (delta["text"] or None) if delta["type"] == "text_delta" else None
    except (AttributeError, KeyError, TypeError):
        return None  # decoded JSON, or another event


def read_whole(message: Any) -> Delta:
    """Read a whole message."""
    data = everything(message)
    usage = data.get("usage")
    return Delta(
        choice=0,
        response_id=text(data.get("id")),
        response_model=text(data.get("model")),
        finish_reason=text(data.get("stop_reason")),
        usage=_with_declined({**_input(usage), **_output(usage)}, usage),
        is_terminal=True,
        others=[_block(number, everything(block)) for number, block in enumerate(items(data.get("content")))],
    )


def _started(event: Event) -> Delta:
    message = fields(event.get("message"))
    return Delta(
        choice=0,
        response_id=text(message.get("id")),
        response_model=text(message.get("model")),
        usage=_input(message.get("usage")),
    )


def _block_started(event: Event) -> Delta:
    return _block(_index(event), everything(event.get("content_block")))


def _block(index: int | None, block: Mapping[str, Any]) -> Delta:
    """Read a block, which is empty at its start in a stream, and complete in a whole message."""
    kind = text(block.get("type"))
    if kind == "text":
        return Delta(text(block.get("text")), 0)
    if kind == "thinking":
        return _thoughts(block)
    if kind.endswith("tool_use"):  # the caller's, and those that run on the server
        arguments = _json(block.get("input"))
        return Delta(
            "", 0, tool_calls=(ToolCallDelta(index, text(block.get("id")), text(block.get("name")), arguments),)
        )
    if kind == "fallback":  # from here on another model answers; a whole message says which one at its top
        return Delta("", 0, response_model=text(fields(block.get("to")).get("model")))
    return Delta("", 0, attributes=_COMPACTED if kind == "compaction" else None)


def _json(arguments: Any) -> str:
    """Return the arguments of a whole call; they are `{}` where the pieces follow."""
    if not arguments or type(arguments) is not dict:
        return ""
    try:
        return json.dumps(arguments, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return ""


def _thoughts(holder: Mapping[str, Any]) -> Delta:
    # Since Claude 4 a summary of what the thinking tokens were spent on; models before that report no such tokens.
    return Delta("", 0, text(holder.get("thinking")), is_summary=True)


def _piece(event: Event) -> Delta:
    delta = fields(event.get("delta"))
    kind = delta.get("type")
    if kind == "text_delta":
        return Delta(text(delta.get("text")), 0)
    if kind == "thinking_delta":
        return _thoughts(delta)
    if kind == "input_json_delta":
        return Delta("", 0, tool_calls=(ToolCallDelta(_index(event), "", "", text(delta.get("partial_json"))),))
    return Delta(choice=0)  # signatures, citations, compactions: nothing that is output


def _index(event: Event) -> int | None:
    index = event.get("index")
    return index if type(index) is int else None


def _ending(event: Event) -> Delta:
    usage = event.get("usage")
    return Delta(
        choice=0,
        finish_reason=text(everything(event.get("delta")).get("stop_reason")),
        usage=_with_declined({**_input(usage), **_output(usage)}, usage),
        reason_ends=False,
    )


def _stopped(_event: Event) -> Delta:
    return Delta(choice=0, is_terminal=True)


def _error(event: Event) -> Delta:
    error = fields(event.get("error"))
    return Delta(choice=0, error=ProviderError(text(error.get("type")) or "_OTHER", text(error.get("message"))))


def _framed(frame: Event) -> Delta:
    """Read a frame of Bedrock's binary event stream, where no SDK has unpacked it: a chunk, or an exception."""
    chunk = fields(frame.get("chunk")).get("bytes")
    if isinstance(chunk, bytes | str):
        event = json.loads(chunk)
        return read_event(event) if "chunk" not in event else Delta()
    failures = ((name, said) for name, said in frame.items() if name.endswith("xception"))
    name, said = next(failures, ("", None))
    return Delta(choice=0, error=ProviderError(name, text(fields(said).get("message")))) if name else Delta()


def _input(usage: Any) -> dict[str, int]:
    data = everything(usage)
    return counts(
        {
            "uncached.input_tokens": data.get("input_tokens"),
            "cache_read.input_tokens": data.get("cache_read_input_tokens"),
            "cache_write.input_tokens": data.get("cache_creation_input_tokens"),
        }
    )


def _output(usage: Any) -> dict[str, int]:
    data = everything(usage)
    details = everything(data.get("output_tokens_details"))
    return counts(
        {
            "output_tokens": data.get("output_tokens"),
            "reasoning.output_tokens": details.get("thinking_tokens"),
        }
    )


def _with_declined(told: dict[str, int], usage: Any) -> dict[str, int]:
    """Add what models that have refused have used up before another one answered (the beta API's `fallbacks`).

    A message that several models have written tells of the last one only (anthropic 1.11 to 2.12, which makes such
    messages itself), and of each in `iterations`. Turns of one model's own tool loop are in the message's numbers.
    """
    turns = [each for each in map(everything, items(everything(usage).get("iterations"))) if each.get("type") in _TURNS]
    for each in turns:
        if each.get("model") != turns[-1].get("model"):
            for name, count in {**_input(each), **_output(each)}.items():
                told[name] = told.get(name, 0) + count
    return told


_TURNS = frozenset({"message", "fallback_message"})
_READERS: dict[str, Callable[[Event], Delta]] = {
    "message_start": _started,
    "content_block_start": _block_started,
    "content_block_delta": _piece,
    "message_delta": _ending,
    "message_stop": _stopped,
    "error": _error,
}


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of Messages."""
    output = fields(body.get("output_config"))
    formats = (fields(output.get("format")), fields(body.get("output_format")))  # the second is its older name
    return {
        **doubles(body, {"gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "top_p"}),
        **ints(body, {"gen_ai.request.max_tokens": "max_tokens", "gen_ai.request.top_k": "top_k"}),
        **known(
            {
                "gen_ai.request.stop_sequences": strings(body.get("stop_sequences")),
                "gen_ai.request.reasoning.level": output.get("effort"),
                "gen_ai.output.type": "json" if any(each.get("type") == "json_schema" for each in formats) else None,
            }
        ),
    }
