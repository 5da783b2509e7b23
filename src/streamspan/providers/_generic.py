"""Chunks of streams that no provider describes: text, bytes, and the shapes that most libraries share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from streamspan._records import Delta
from streamspan.providers import _openai_chat
from streamspan.providers._shapes import fields, text

_TEXT_FIELDS = ("text", "content", "delta", "token", "response", "output", "completion")


def read_anything(chunk: Any) -> Delta:
    """Read a chunk of an unknown stream; whatever is not understood is a chunk without output."""
    if isinstance(chunk, str):
        return Delta(chunk, 0)
    if isinstance(chunk, bytes | bytearray):
        return Delta(chunk.decode("utf-8", "replace"), 0)
    if isinstance(chunk, Mapping):
        chunk = dict(cast("Mapping[str, Any]", chunk))
    if type(fields(chunk).get("choices")) is list:
        return _openai_chat.read_chunk(chunk)
    for name in _TEXT_FIELDS:
        if value := text(_field(chunk, name)):
            return Delta(value, 0)
    return Delta(text(_field(_field(chunk, "message"), "content")), 0)


def _field(value: Any, name: str) -> Any:
    # getattr, unlike in the other readers: objects with slots and named tuples have no __dict__.
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else getattr(value, name, None)
