"""What was asked of Amazon Bedrock, in the message shapes of the conventions. Binary data are never copied."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from streamspan.providers._parts import Message, Part
from streamspan.providers._shapes import fields, items, text
from streamspan.providers.openai_messages import chat_content, completion_content

_MEDIA = {"image": "image", "video": "video", "audio": "audio", "document": "document"}


def converse_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a Converse request."""
    messages = [message for each in items(body.get("messages")) if (message := _message(fields(each)))]
    instructions = [part for each in items(body.get("system")) for part in _parts(fields(each))]
    tools = [_tool(fields(each)) for each in items(fields(body.get("toolConfig")).get("tools"))]
    content = {
        "gen_ai.input.messages": messages,
        "gen_ai.system_instructions": instructions,
        "gen_ai.tool.definitions": [tool for tool in tools if tool],
    }
    return {name: value for name, value in content.items() if value}


def invoke_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a request of InvokeModel by its shape: Converse's (Nova), that of chat completions, or a prompt."""
    if "inferenceConfig" in body or "schemaVersion" in body:
        return converse_content(body)
    if "messages" in body:
        return chat_content(body)
    prompt = body.get("prompt") or body.get("inputText") or body.get("message")
    return completion_content({"prompt": prompt})


def _message(message: Mapping[str, Any]) -> Message | None:
    role = text(message.get("role"))
    parts = [part for block in items(message.get("content")) for part in _parts(fields(block))]
    if not role:
        return None
    is_result = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
    return {"role": "tool" if is_result else role, "parts": parts}


def _parts(block: Mapping[str, Any]) -> list[Part]:
    if said := text(block.get("text")):
        return [{"type": "text", "content": said}]
    if use := fields(block.get("toolUse")):
        call = {"type": "tool_call", "id": text(use.get("toolUseId")) or None, "name": text(use.get("name"))}
        return [{**call, "arguments": deepcopy(use.get("input"))}]
    if result := fields(block.get("toolResult")):
        said_back = [_result(fields(each)) for each in items(result.get("content"))]
        return [{"type": "tool_call_response", "id": text(result.get("toolUseId")) or None, "response": said_back}]
    if thought := text(fields(fields(block.get("reasoningContent")).get("reasoningText")).get("text")):
        return [{"type": "reasoning", "content": thought}]
    return [_blob(name, fields(block[name])) for name in _MEDIA if name in block]


def _result(block: Mapping[str, Any]) -> object:
    if "json" in block:
        return deepcopy(block["json"])
    return next(iter(_parts(block)), None)


def _blob(name: str, media: Mapping[str, Any]) -> Part:
    form = text(media.get("format"))
    return {"type": "blob", "modality": _MEDIA[name], "mime_type": f"{name}/{form}" if form else None, "content": ""}


def _tool(tool: Mapping[str, Any]) -> Part:
    spec = fields(tool.get("toolSpec"))
    if not spec:
        return {}
    definition: Part = {"type": "function", "name": text(spec.get("name"))}
    if described := text(spec.get("description")):
        definition["description"] = described
    if schema := fields(spec.get("inputSchema")).get("json"):
        definition["parameters"] = deepcopy(schema)
    return definition
