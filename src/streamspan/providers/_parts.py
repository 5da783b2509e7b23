"""The conventions' message shapes, as providers fill them: parts, messages, tools.

Plain data. Binary data are never copied: a blob part says what was sent and keeps its content empty. Nothing that is
made here is shared with the request's body, which its owner may go on changing while the stream runs. Iterators are
left alone: reading them would take the request's own content away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, cast

from streamspan.providers._shapes import text

Part: TypeAlias = dict[str, object]
Message: TypeAlias = dict[str, object]

_MOST_DEPTH = 32


def present(messages: list[Message], instructions: list[Part], tools: list[Part]) -> dict[str, object]:
    """Return the request's content under its attribute names, without what is empty."""
    content = {
        "gen_ai.input.messages": messages,
        "gen_ai.system_instructions": instructions,
        "gen_ai.tool.definitions": tools,
    }
    return {name: value for name, value in content.items() if value}


def message_of(role: str, parts: list[Part], name: str = "") -> Message:
    """Return a message."""
    message: Message = {"role": role, "parts": parts}
    return {**message, "name": name} if name else message


def text_part(content: str) -> Part:
    """Return a part of text."""
    return {"type": "text", "content": content}


def call_part(identity: object, name: object, arguments: object) -> Part:
    """Return a call of the application's tool."""
    return {"type": "tool_call", "id": text(identity) or None, "name": text(name), "arguments": arguments}


def blob_part(modality: str, media_type: str | None) -> Part:
    """Return a part for binary data, without them."""
    # The schema requires `content`; it stays empty.
    return {"type": "blob", "modality": modality, "mime_type": media_type, "content": ""}


def is_list(value: object) -> bool:
    """Tell a list from what is none; an iterator is none."""
    return isinstance(value, list | tuple)


def items_of(value: object) -> list[object]:
    """Return the items of a list, none for anything else."""
    return list(cast("Iterable[object]", value)) if is_list(value) else []


def copied(value: object, depth: int = _MOST_DEPTH) -> object:
    """Copy plain data; what is deeper than any real data is left out, and other types are named."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if depth and isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: copied(item, depth - 1) for key, item in items if isinstance(key, str)}
    if depth and is_list(value):
        return [copied(item, depth - 1) for item in items_of(value)]
    return f"<{type(value).__name__}>"


def parts_of(content: object, read: Callable[[object], Part | None]) -> list[Part]:
    """Return the parts of content that is a text or a list of blocks.

    Args:
        content: as the request has it.
        read: makes a part of a block, or None.
    """
    if isinstance(content, str):
        return [text_part(content)]
    return [part for each in items_of(content) if (part := read(each))]
