"""Cohere's chat API, version 2: typed events over SSE, whole answers, request attributes.

Knows the events as objects of the SDK and as JSON. The older version 1 has another format and is not read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers import Endpoint, Provider
from streamspan.providers._openai_chat import output_type
from streamspan.providers._parameters import doubles, ints, known, strings
from streamspan.providers._shapes import counts, everything, fields, items, text
from streamspan.providers.openai_messages import chat_content

# Finish reasons that mean that the answer failed; the others say why it is over.
_FAILURES = frozenset({"ERROR", "ERROR_TOXIC", "TIMEOUT"})


def read_event(event: Any) -> Delta:
    """Read one event of a chat stream."""
    data = fields(event)
    read = _EVENTS.get(text(data.get("type")))
    return Delta() if read is None else read(data)


def _start(data: Mapping[str, Any]) -> Delta:
    return Delta(choice=0, response_id=text(data.get("id")))


def _content(data: Mapping[str, Any]) -> Delta:
    content = fields(_message(data).get("content"))
    return Delta(text(content.get("text")), 0, text(content.get("thinking")))


def _tool_plan(data: Mapping[str, Any]) -> Delta:
    return Delta(choice=0, reasoning=text(_message(data).get("tool_plan")))


def _tool_call(data: Mapping[str, Any]) -> Delta:
    call = fields(_message(data).get("tool_calls"))
    index = data.get("index")
    return Delta(choice=0, tool_calls=[_call(call, index if type(index) is int else None)])


def _end(data: Mapping[str, Any]) -> Delta:
    said = everything(data.get("delta"))
    return _ended(said, said.get("usage"))


_EVENTS: Mapping[str, Callable[[Mapping[str, Any]], Delta]] = {
    "message-start": _start,
    "content-start": _content,
    "content-delta": _content,
    "tool-plan-delta": _tool_plan,
    "tool-call-start": _tool_call,
    "tool-call-delta": _tool_call,
    "message-end": _end,
}


def _message(data: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields(fields(data.get("delta")).get("message"))


def _call(call: Mapping[str, Any], index: int | None) -> ToolCallDelta:
    function = fields(call.get("function"))
    return ToolCallDelta(index, text(call.get("id")), text(function.get("name")), text(function.get("arguments")))


def _ended(said: Mapping[str, Any], usage: Any) -> Delta:
    reason = text(said.get("finish_reason"))
    if reason in _FAILURES:  # no reason why an answer is over, but why there is none
        return Delta(choice=0, usage=read_usage(usage), error=ProviderError(reason, text(said.get("error"))))
    return Delta(choice=0, finish_reason=reason, usage=read_usage(usage), is_terminal=True)


def read_usage(usage: Any) -> dict[str, int]:
    """Read the usage: the model's own tokens, or those that are billed where that is all there is."""
    data = everything(usage)
    tokens = everything(data.get("tokens")) or everything(data.get("billed_units"))
    cached = data.get("cached_tokens")
    return counts(
        {
            "input_tokens": _whole(tokens.get("input_tokens")),
            "output_tokens": _whole(tokens.get("output_tokens")),
            "cache_read.input_tokens": _whole(cached) or None,
        }
    )


def _whole(count: Any) -> Any:
    return int(count) if type(count) is float and count.is_integer() else count  # the SDK declares counts as floats


def read_whole(answer: Any) -> Delta:
    """Read a whole answer."""
    data = everything(answer)
    message = everything(data.get("message"))
    parts = [fields(part) for part in items(message.get("content"))]
    delta = _ended(data, data.get("usage"))
    delta.text = "".join(text(part.get("text")) for part in parts)
    delta.reasoning = text(message.get("tool_plan")) + "".join(text(part.get("thinking")) for part in parts)
    delta.tool_calls = [_call(fields(call), None) for call in items(message.get("tool_calls"))]
    delta.response_id = text(data.get("id"))
    return delta


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters."""
    return {
        **doubles(
            body,
            {
                "gen_ai.request.temperature": "temperature",
                "gen_ai.request.top_p": "p",
                "gen_ai.request.frequency_penalty": "frequency_penalty",
                "gen_ai.request.presence_penalty": "presence_penalty",
            },
        ),
        **ints(
            body,
            {
                "gen_ai.request.top_k": "k",
                "gen_ai.request.max_tokens": "max_tokens",
                "gen_ai.request.seed": "seed",
            },
        ),
        **known(
            {
                "gen_ai.request.stop_sequences": strings(body.get("stop_sequences")),
                "gen_ai.output.type": output_type(body.get("response_format")),
            }
        ),
    }


COHERE = Provider(
    name="cohere",
    endpoints=(
        Endpoint(
            name="chat",
            operation="chat",
            paths=(r"/v2/chat",),
            read=read_event,
            read_whole=read_whole,
            attributes=request_attributes,
            content=chat_content,
        ),
    ),
    hosts={"api.cohere.com": "cohere", "api.cohere.ai": "cohere", "*.cohere.ai": "cohere", "*.cohere.com": "cohere"},
    request_id_headers=("x-debug-trace-id", "x-request-id"),
)
