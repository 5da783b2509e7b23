"""What was asked, in the message shapes of the conventions: from the bodies of OpenAI's three kinds of requests.

Pure functions over plain data (decoded JSON, or what the SDK is about to encode). Never raises on odd shapes: what is
not understood is left out, or named by its type alone. Binary data are never copied: a blob part says what was sent
and keeps its content empty. Nothing in the result is shared with the body, which its owner may go on changing while
the stream runs. Iterators are left alone: reading them would take the request's own content away.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

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

_LONGEST_MEDIA_TYPE = 256


def chat_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a chat completion's request.

    System and developer messages stay where they are: system instructions are for APIs that take them apart from
    the history.
    """
    messages = [message for each in items_of(body.get("messages")) if (message := _chat_message(fields(each)))]
    tools = [_tool(tool) for tool in items_of(body.get("tools"))]
    functions = [_function(fields(function)) for function in items_of(body.get("functions"))]
    return present(messages, [], [*tools, *functions])


def completion_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a legacy completion's request; several prompts are several messages, prompts of token ids have no text."""
    prompt = body.get("prompt")
    prompts = [prompt] if isinstance(prompt, str) else items_of(prompt)
    return present([message_of("user", [text_part(each)]) for each in prompts if isinstance(each, str)], [], [])


def responses_content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read a Responses request; `instructions` are apart from the history, so they are the system instructions."""
    asked = body.get("input")
    messages = [message_of("user", [text_part(asked)])] if isinstance(asked, str) else _turns(items_of(asked))
    tools = [_tool(tool) for tool in items_of(body.get("tools"))]
    return present(messages, _parts(body.get("instructions")), tools)


# --- chat messages -----------------------------------------------------------------------------------------------


def _chat_message(message: Mapping[str, Any]) -> Message | None:
    role = text(message.get("role"))
    if not role:
        return None
    if role in {"tool", "function"}:
        return message_of("tool", [_tool_response(message.get("tool_call_id"), message.get("content"))])
    thoughts = text(message.get("reasoning_content")) or text(message.get("reasoning"))
    parts: list[Part] = [{"type": "reasoning", "content": thoughts}] if thoughts else []
    parts += _parts(message.get("content"))
    # A refusal is text that the user got to read; the conventions have no part of its own for it.
    parts += [text_part(refusal)] if (refusal := text(message.get("refusal"))) else []
    parts += [_tool_call(fields(call)) for call in items_of(message.get("tool_calls"))]
    if legacy := fields(message.get("function_call")):
        parts.append(_tool_call({"function": legacy}))
    if audio := text(fields(message.get("audio")).get("id")):
        parts.append({"type": "file", "modality": "audio", "file_id": audio})
    return message_of(role, parts, text(message.get("name")))


def _tool_call(call: Mapping[str, Any]) -> Part:
    function, custom = fields(call.get("function")), fields(call.get("custom"))
    if custom:
        return call_part(call.get("id"), custom.get("name"), text(custom.get("input")))
    return call_part(call.get("id"), function.get("name"), _arguments(function.get("arguments")))


# --- items of the Responses API ----------------------------------------------------------------------------------


def _turns(items: Iterable[object]) -> list[Message]:
    """Turn the flat list of items into messages: neighbouring thoughts and calls are one turn of the assistant."""
    messages: list[Message] = []
    turn: list[Part] | None = None
    for item in map(fields, items):
        made = _made(item)
        if made is None:
            turn = None
            message = _item_message(item)
            messages += [message] if message else []
        elif turn is not None:
            turn += made
        elif made:
            turn = made
            messages.append(message_of("assistant", turn))
    return messages


def _made(item: Mapping[str, Any]) -> list[Part] | None:
    """Return the parts of an item that the model made and that is no message; None for any other item."""
    kind = text(item.get("type"))
    identity = text(item.get("call_id")) or text(item.get("id"))
    if kind == "function_call":
        return [call_part(identity, item.get("name"), _arguments(item.get("arguments")))]
    if kind == "custom_tool_call":
        return [call_part(identity, item.get("name"), text(item.get("input")))]
    if kind == "reasoning":
        blocks = [*items_of(item.get("summary")), *items_of(item.get("content"))]
        thoughts = [text(fields(block).get("text")) for block in blocks]
        return [{"type": "reasoning", "content": thought} for thought in thoughts if thought]
    if kind.endswith("_call"):  # run by the provider: web search, code interpreter, MCP …
        name = text(item.get("name")) or kind.removesuffix("_call")
        return [{"type": "server_tool_call", "id": identity or None, "name": name, "server_tool_call": {"type": kind}}]
    return None


def _item_message(item: Mapping[str, Any]) -> Message | None:
    if text(item.get("type")).endswith("_call_output"):
        return message_of("tool", [_tool_response(item.get("call_id"), item.get("output"))])
    role = text(item.get("role"))
    return message_of(role, _parts(item.get("content"))) if role else None


# --- parts -------------------------------------------------------------------------------------------------------


def _parts(content: object) -> list[Part]:
    return parts_of(content, _part)


def _part(item: object) -> Part | None:
    if isinstance(item, str):
        return text_part(item)
    part = fields(item)
    kind = text(part.get("type")) or ("text" if "text" in part else "")
    read = _READERS.get(kind)
    if read is None:
        return {"type": kind} if kind else None
    return read(part)


def _text_part(part: Mapping[str, Any]) -> Part:
    return text_part(text(part.get("text")) or text(part.get("refusal")))


def _thought_part(part: Mapping[str, Any]) -> Part:
    return {"type": "reasoning", "content": text(part.get("text")) or text(part.get("thinking"))}


def _image_part(part: Mapping[str, Any]) -> Part | None:
    url = part.get("image_url")
    return _media("image", text(url) or text(fields(url).get("url")), part)


def _video_part(part: Mapping[str, Any]) -> Part | None:
    return _media("video", text(fields(part.get("video_url")).get("url")), part)


def _audio_part(part: Mapping[str, Any]) -> Part:
    form = text(fields(part.get("input_audio")).get("format"))
    return blob_part("audio", f"audio/{form}" if form else None)


def _file_part(part: Mapping[str, Any]) -> Part | None:
    file = fields(part.get("file")) or part
    return _media("document", text(file.get("file_data")) or text(file.get("file_url")), file)


_READERS: Mapping[str, Callable[[Mapping[str, Any]], Part | None]] = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
    "refusal": _text_part,
    "reasoning": _thought_part,
    "reasoning_text": _thought_part,
    "thinking": _thought_part,
    "image_url": _image_part,
    "input_image": _image_part,
    "computer_screenshot": _image_part,
    "video_url": _video_part,
    "input_audio": _audio_part,
    "file": _file_part,
    "input_file": _file_part,
}


def _media(modality: str, url: str, holder: Mapping[str, Any]) -> Part | None:
    """Return the part for what stands at a URL, in it, or under a file's id."""
    if url.startswith("data:"):
        media_type = url[len("data:") : _LONGEST_MEDIA_TYPE].partition(",")[0].partition(";")[0]
        return blob_part(_modality(media_type, modality), media_type or None)
    if "file_data" in holder and url == holder["file_data"]:  # base64 without a name for what it is
        return blob_part(modality, None)
    if url:
        return {"type": "uri", "modality": modality, "uri": url}
    file_id = text(holder.get("file_id"))
    return {"type": "file", "modality": modality, "file_id": file_id} if file_id else None


def _modality(media_type: str, otherwise: str) -> str:
    kind = media_type.partition("/")[0]
    return kind if kind in {"image", "audio", "video"} else otherwise


def _arguments(arguments: object) -> object:
    """Return arguments that are an object in JSON as that object, all others as they are."""
    if not isinstance(arguments, str):
        return copied(arguments)
    try:
        value: object = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    return cast("object", value) if isinstance(value, dict) else arguments


def _tool_response(identity: object, content: object) -> Part:
    """Return a tool's result: its text, its parts (without binary data) or its data."""
    response = [_result(each) for each in items_of(content)] if is_list(content) else _result(content)
    return {"type": "tool_call_response", "id": text(identity) or None, "response": response}


def _result(content: object) -> object:
    return _part(content) if text(fields(content).get("type")) in _READERS else copied(content)


# --- tools -------------------------------------------------------------------------------------------------------


def _tool(tool: object) -> Part:
    """Return a tool's definition; those of the provider are named by their type or server."""
    given = fields(tool)
    kind = text(given.get("type")) or "function"
    if kind == "function":
        return _function(fields(given.get("function")) or given)
    name = text(fields(given.get(kind)).get("name")) or text(given.get("name")) or text(given.get("server_label"))
    return {"type": kind, "name": name or kind}


def _function(function: Mapping[str, Any]) -> Part:
    definition: Part = {"type": "function", "name": text(function.get("name"))}
    known = {key: copied(function[key]) for key in ("description", "parameters") if key in function}
    return {**definition, **known}
