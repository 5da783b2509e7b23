"""OpenAI Responses: its stream events, its whole answer, its request attributes.

The terminal marker is `response.completed`, `.incomplete` or `.failed`; there is no `[DONE]`. Failures come as
ordinary items (`response.failed`, `error`), so the reader is the only one who can notice them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import AUDIO, IMAGE, AttributeValue, Delta, ToolCallDelta
from streamspan.providers._openai_chat import output_type, read_error, read_usage, service_tier
from streamspan.providers._parameters import SAMPLING, doubles, ints, known
from streamspan.providers._shapes import everything, fields, items, text

Event = Mapping[str, Any]


def read_event(event: Any) -> Delta:
    """Read an event of a Responses stream."""
    # openai 1.66 takes some events for others, whose class does not declare their fields.
    data = everything(event)
    reader = _READERS.get(text(data.get("type")))
    if reader is not None:
        return reader(data)
    if text(data.get("event")) == "error":  # so openai before 2.0 hands out `error` events
        return _error(fields(data.get("data")))
    # On the wire an error may come without a type, in the shape of chat completions; the SDK raises it.
    error = data.get("error") if type(event) is dict else None
    return Delta(choice=0, error=read_error(error)) if error else Delta()


def text_of(event: Any) -> str | None:
    """Return the text of a text delta."""
    data = fields(event)
    if data.get("type") != "response.output_text.delta":
        return None
    return text(data.get("delta")) or None


def read_fetched_event(event: Any) -> Delta:
    """Read an event of a resumed stream: its tokens were counted by the call that made the response."""
    delta = read_event(event)
    delta.usage = None
    if status := fields(fields(event).get("response")).get("status"):
        delta.attributes = {**(delta.attributes or {}), "gen_ai.response.status": text(status)}
    return delta


def read_whole(response: Any) -> Delta:
    """Read a whole response."""
    return _last(response, items(fields(response).get("output")))


def _text(event: Event) -> Delta:
    return Delta(text(event.get("delta")), 0)


def _reasoning(event: Event) -> Delta:
    return Delta("", 0, text(event.get("delta")))


def _summary(event: Event) -> Delta:
    return Delta("", 0, text(event.get("delta")), is_summary=True)


def _refusal(event: Event) -> Delta:
    return Delta("", 0, refusal=text(event.get("delta")))


def _arguments(event: Event) -> Delta:
    # The item id of a delta is not the call id of the item: `output_index` is what joins them.
    return Delta("", 0, tool_calls=(ToolCallDelta(_index(event), "", "", text(event.get("delta"))),))


def _index(event: Event) -> int | None:
    index = event.get("output_index")
    return index if type(index) is int else None


_CALLS = frozenset({"function_call", "custom_tool_call", "mcp_call"})


def _item_added(event: Event) -> Delta:
    item = everything(event.get("item"))
    if text(item.get("type")) not in _CALLS:
        return Delta()
    call = ToolCallDelta(_index(event), text(item.get("call_id")) or text(item.get("id")), text(item.get("name")))
    return Delta("", 0, tool_calls=(call,))


def _audio(event: Event) -> Delta:
    return Delta("", 0, media=AUDIO if event.get("delta") else 0)


def _image(_event: Event) -> Delta:
    return Delta("", 0, media=IMAGE)


def _begun(event: Event) -> Delta:
    response = fields(event.get("response"))
    return Delta(choice=0, response_id=text(response.get("id")), response_model=text(response.get("model")))


def _ended(event: Event) -> Delta:
    return _last(event.get("response"), [])


def _error(event: Event) -> Delta:
    return Delta(choice=0, error=read_error(event.get("error") or event))


def _last(value: Any, output: list[Any]) -> Delta:
    response = everything(value)
    status = text(response.get("status"))
    delta = Delta(
        choice=0,
        response_id=text(response.get("id")),
        response_model=text(response.get("model")),
        usage=read_usage(response.get("usage")) if response.get("usage") else None,
        attributes=known({"openai.response.service_tier": text(response.get("service_tier")) or None}),
        is_terminal=True,
        others=[_output_item(n, everything(item)) for n, item in enumerate(output)],
    )
    if status == "failed":
        delta.error = read_error(response.get("error") or {"message": "the response failed"})
    else:
        delta.finish_reason = text(fields(response.get("incomplete_details")).get("reason")) or status
    return delta


def _output_item(number: int, item: Mapping[str, Any]) -> Delta:
    kind = text(item.get("type"))
    if kind == "message":
        parts = [fields(part) for part in items(item.get("content"))]
        return Delta(
            "".join(text(part.get("text")) for part in parts),
            0,
            refusal="".join(text(part.get("refusal")) for part in parts),
        )
    if kind == "reasoning":
        thoughts = items(item.get("content"))
        parts = [everything(part) for part in items(item.get("summary")) + thoughts]
        return Delta("", 0, "".join(text(part.get("text")) for part in parts), is_summary=not thoughts)
    if kind in _CALLS:
        arguments = text(item.get("arguments")) or text(item.get("input"))
        identity = text(item.get("call_id")) or text(item.get("id"))
        return Delta("", 0, tool_calls=(ToolCallDelta(number, identity, text(item.get("name")), arguments),))
    return Delta("", 0, media=IMAGE if kind == "image_generation_call" else 0)


_READERS: dict[str, Callable[[Event], Delta]] = {
    "response.created": _begun,
    "response.queued": _begun,
    "response.in_progress": _begun,
    "response.output_item.added": _item_added,
    "response.output_text.delta": _text,
    "response.refusal.delta": _refusal,
    "response.reasoning_text.delta": _reasoning,
    "response.reasoning_summary_text.delta": _summary,
    "response.function_call_arguments.delta": _arguments,
    "response.mcp_call_arguments.delta": _arguments,
    "response.custom_tool_call_input.delta": _arguments,
    "response.code_interpreter_call_code.delta": _arguments,
    "response.shell_call_command.delta": _arguments,
    "response.audio.delta": _audio,
    "response.audio.transcript.delta": _text,
    "response.image_generation_call.partial_image": _image,
    "response.completed": _ended,
    "response.incomplete": _ended,
    "response.failed": _ended,
    "error": _error,
}


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of Responses."""
    return {
        **doubles(body, SAMPLING),
        **ints(body, {"gen_ai.request.max_tokens": "max_output_tokens"}),
        **known(
            {
                "openai.api.type": "responses",
                "gen_ai.request.reasoning.level": fields(body.get("reasoning")).get("effort"),
                "gen_ai.request.previous_response.id": body.get("previous_response_id"),
                "gen_ai.output.type": output_type(fields(body.get("text")).get("format")),
                "openai.request.service_tier": service_tier(body),
            }
        ),
    }


def fetch_attributes(query: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of fetching or resuming a response."""
    cursor = query.get("starting_after")
    return known(
        {"openai.api.type": "responses", "gen_ai.request.stream_cursor": None if cursor is None else str(cursor)}
    )
