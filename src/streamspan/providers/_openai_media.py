"""OpenAI's streams that are no chat: assistants runs, images, transcriptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamspan._records import IMAGE, AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers._openai_chat import output_type, read_error, read_usage
from streamspan.providers._parameters import doubles, ints, known
from streamspan.providers._shapes import everything, fields, items, text

_RUN_ENDS = frozenset({"completed", "incomplete", "failed", "cancelled", "expired", "requires_action"})


def read_assistant_event(event: Any) -> Delta:
    """Read an event of an assistants run: `event` names it, `data` is the object."""
    outer = fields(event)
    name, data = text(outer.get("event")), fields(outer.get("data"))
    if name == "thread.message.delta":
        parts = [fields(fields(part).get("text")) for part in items(fields(data.get("delta")).get("content"))]
        return Delta("".join(text(part.get("value")) for part in parts), 0)
    if name == "thread.run.step.delta":
        details = fields(fields(data.get("delta")).get("step_details"))
        return Delta("", 0, tool_calls=[_tool_call(fields(call)) for call in items(details.get("tool_calls"))])
    if name.startswith("thread.run.") and not name.startswith("thread.run.step."):
        return _run(name.rpartition(".")[2], data)
    if name == "error":
        return Delta(choice=0, error=read_error(data.get("error") or data))
    return Delta()


def _tool_call(call: Mapping[str, Any]) -> ToolCallDelta:
    kind = text(call.get("type"))
    body = fields(call.get(kind))
    index = call.get("index")
    return ToolCallDelta(
        index if type(index) is int else None,
        text(call.get("id")),
        text(body.get("name")) or (kind if call.get("id") else ""),
        text(body.get("arguments")) or text(body.get("input")),
    )


def _run(status: str, run: Mapping[str, Any]) -> Delta:
    delta = Delta(choice=0, response_id=text(run.get("id")), response_model=text(run.get("model")))
    if status not in _RUN_ENDS:
        return delta
    delta.is_terminal = True
    if usage := run.get("usage"):
        delta.usage = read_usage(usage)
    if status in {"failed", "expired", "cancelled"}:
        error = run.get("last_error")
        delta.error = read_error(error) if error else ProviderError(status, f"the run is {status}")
    else:
        delta.finish_reason = text(fields(run.get("incomplete_details")).get("reason")) or status
    return delta


def run_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of an assistants run."""
    return {
        **doubles(body, {"gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "top_p"}),
        **ints(body, {"gen_ai.request.max_tokens": "max_completion_tokens"}),
        **known(
            {
                "gen_ai.agent.id": body.get("assistant_id"),
                "gen_ai.output.type": output_type(body.get("response_format")),
            }
        ),
    }


def read_image_event(event: Any) -> Delta:
    """Read an event of an image stream, or a whole answer: images, and the tokens they cost."""
    data = everything(event)
    kind = text(data.get("type"))
    if kind == "error" or data.get("error"):
        return Delta(choice=0, error=read_error(data.get("error") or data))
    return Delta(
        choice=0,
        media=IMAGE if data.get("b64_json") or data.get("data") else 0,
        usage=read_usage(data["usage"]) if data.get("usage") else None,
        is_terminal=kind.endswith(".completed") or not kind,
    )


def image_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of an image generation."""
    choices = body.get("n")
    return known(
        {
            "gen_ai.output.type": "image",
            "gen_ai.request.choice.count": choices if type(choices) is int and choices != 1 else None,
        }
    )


def read_transcription_event(event: Any) -> Delta:
    """Read an event of a transcription stream."""
    data = everything(event)
    kind = text(data.get("type"))
    if kind == "error" or data.get("error"):
        return Delta(choice=0, error=read_error(data.get("error") or data))
    return Delta(
        text(data.get("delta")) if kind == "transcript.text.delta" else "",
        0,
        usage=read_usage(data["usage"]) if data.get("usage") else None,
        is_terminal=kind == "transcript.text.done",
    )


def read_transcription(transcription: Any) -> Delta:
    """Read a whole transcription."""
    data = everything(transcription)
    return Delta(
        text(data.get("text")), 0, usage=read_usage(data["usage"]) if data.get("usage") else None, is_terminal=True
    )


def transcription_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters of a transcription."""
    return {"gen_ai.output.type": "text", **doubles(body, {"gen_ai.request.temperature": "temperature"})}
