"""What was asked of Anthropic, in the message shapes of the conventions.

Pure functions over plain data. Never raises on odd shapes: what is not understood is named by its type alone. An SDK's
blocks from an earlier answer, which callers put back into the history, are read like JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamspan.providers._parts import (
    Message,
    Part,
    blob_part,
    call_part,
    copied,
    is_list,
    items_of,
    message_of,
    parts_of,
    present,
    text_part,
)
from streamspan.providers._shapes import fields, text


def content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a request; `system` is apart from the history, so it is the system instructions."""
    messages = [message for each in items_of(body.get("messages")) if (message := _message(fields(each)))]
    return present(messages, _parts(body.get("system")), [_tool(fields(tool)) for tool in items_of(body.get("tools"))])


def _message(message: Mapping[str, Any]) -> Message | None:
    role = text(message.get("role"))
    return message_of(role, _parts(message.get("content"))) if role else None


def _parts(content: object) -> list[Part]:
    return parts_of(content, _part)


def _part(block: object) -> Part | None:
    if isinstance(block, str):
        return text_part(block)
    data = fields(block)
    kind = text(data.get("type"))
    read = _READERS.get(kind) or (_server_result if kind.endswith("_tool_result") else None)
    if read is None:
        return {"type": kind} if kind else None
    return read(data)


def _text(block: Mapping[str, Any]) -> Part:
    return text_part(text(block.get("text")))


def _thinking(block: Mapping[str, Any]) -> Part:
    return {"type": "reasoning", "content": text(block.get("thinking"))}


def _image(block: Mapping[str, Any]) -> Part | None:
    return _media("image", fields(block.get("source")))


def _document(block: Mapping[str, Any]) -> Part | None:
    source = fields(block.get("source"))
    if source.get("type") == "text":
        return text_part(text(source.get("data")))
    return _media("document", source)


def _media(modality: str, source: Mapping[str, Any]) -> Part | None:
    if url := text(source.get("url")):
        return {"type": "uri", "modality": modality, "uri": url}
    if file_id := text(source.get("file_id")):
        return {"type": "file", "modality": modality, "file_id": file_id}
    return blob_part(modality, text(source.get("media_type")) or None) if source else None


def _call(block: Mapping[str, Any]) -> Part:
    return call_part(block.get("id"), block.get("name"), copied(block.get("input")))


def _server_call(block: Mapping[str, Any]) -> Part:
    kind = text(block.get("type"))
    identity = text(block.get("id")) or None
    return {
        "type": "server_tool_call",
        "id": identity,
        "name": text(block.get("name")),
        "server_tool_call": {"type": kind},
    }


def _result(block: Mapping[str, Any]) -> Part:
    response = block.get("content")
    parts: object = _parts(response) if is_list(response) else copied(response)
    return {"type": "tool_call_response", "id": text(block.get("tool_use_id")) or None, "response": parts}


def _server_result(block: Mapping[str, Any]) -> Part:
    kind = text(block.get("type"))
    identity = text(block.get("tool_use_id")) or None
    return {"type": "server_tool_call_response", "id": identity, "server_tool_call_response": {"type": kind}}


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text,
    "thinking": _thinking,
    "image": _image,
    "document": _document,
    "tool_use": _call,
    "server_tool_use": _server_call,
    "mcp_tool_use": _server_call,
    "tool_result": _result,
}


def _tool(tool: Mapping[str, Any]) -> Part:
    """Return a tool's definition; those of the provider are named by their type."""
    kind = text(tool.get("type")) or "custom"
    name = text(tool.get("name")) or text(tool.get("mcp_server_name"))
    if kind != "custom":
        return {"type": kind, "name": name or kind}
    renamed = {"description": "description", "parameters": "input_schema"}
    known = {name: copied(tool[key]) for name, key in renamed.items() if key in tool}
    return {"type": "function", "name": name, **known}
