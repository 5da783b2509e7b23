"""What was asked, in the message shapes of the conventions: from LangChain's messages and prompts.

Pure functions over message objects and plain data alike. What is not understood is named by its type alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamspan.providers._parts import (
    Message,
    Part,
    blob_part,
    call_part,
    copied,
    items_of,
    message_of,
    present,
    text_part,
)
from streamspan.providers._shapes import fields, text

_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}
_MODALITIES = ("image", "audio", "video")


def content_of(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a run's messages or prompt, and its tools."""
    messages = [_message(each) for each in items_of(body.get("messages"))]
    tools = [_tool(fields(each)) for each in items_of(fields(body.get("parameters")).get("tools"))]
    return present(messages, [], [tool for tool in tools if tool])


def _message(message: Any) -> Message:
    if type(message) is str:
        return message_of("user", [text_part(message)])
    data = fields(message)
    kind, content = text(data.get("type")), data.get("content")
    if kind == "tool":
        answer: Part = {"type": "tool_call_response", "id": text(data.get("tool_call_id")) or None}
        return message_of("tool", [{**answer, "response": copied(content)}])
    parts = (
        [text_part(content)] if isinstance(content, str) and content else [_part(each) for each in items_of(content)]
    )
    calls = [fields(each) for each in items_of(data.get("tool_calls"))]
    parts += [call_part(call.get("id"), call.get("name"), copied(call.get("args"))) for call in calls]
    return message_of(_ROLES.get(kind) or text(data.get("role")) or kind, parts, text(data.get("name")))


def _part(block: Any) -> Part:
    if type(block) is str:
        return text_part(block)
    data = fields(block)
    kind = text(data.get("type"))
    if said := text(data.get("text")):
        return text_part(said)
    if thoughts := text(data.get("reasoning")) or text(data.get("thinking")):
        return {"type": "reasoning", "content": thoughts}
    modality = next((each for each in _MODALITIES if each in kind), "")
    return blob_part(modality, text(data.get("mime_type")) or None) if modality else {"type": kind or "unknown"}


def _tool(tool: Mapping[str, Any]) -> Part:
    function = fields(tool.get("function")) or tool
    name = text(function.get("name"))
    known = {key: copied(function[key]) for key in ("description", "parameters") if key in function}
    return {"type": "function", "name": name, **known} if name else {}
