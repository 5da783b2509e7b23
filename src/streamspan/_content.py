"""Captured content: the output assembled from its pieces, and the limits that keep it small.

Knows the message shapes of the OpenTelemetry GenAI conventions (JSON schemas of `gen_ai.output.messages` and its
siblings) and sizes. Refuses to know where content comes from and goes to, and what in it is secret.

What a limit cuts ends with `TRUNCATED`. A cut also takes away the unbroken run of characters before it: half of a key
or of an address would not be recognised by redaction any more.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from typing import Any, Literal, TypeAlias, cast

from streamspan._guard import Guard
from streamspan._records import ToolCallDelta

TRUNCATED = "…[truncated]"
"""The end of a text that was cut."""

_MOST_PARTS = 1024
_MOST_DEPTH = 64
_MOST_SECRET = 256  # characters taken away before a cut
_LEAST_TEXT = 64  # bytes that a text is cut to before older items go
_LARGEST_INT_BITS = 1024
_NAMES = frozenset({"type", "role", "modality", "mime_type", "finish_reason"})
_NUMBER_OR_WORD = re.compile(r"(?:[0-9][0-9 ().-]*|[!-~]+)\Z")

_PartKind: TypeAlias = Literal["text", "reasoning", "refusal", "tool_call"]


class _Part:
    """A part of a message while it grows."""

    __slots__ = ("buffer", "id", "is_cut", "kind", "name")

    def __init__(self, kind: _PartKind) -> None:
        self.kind = kind
        self.buffer = bytearray()  # 1,000 pieces of 4 characters: 4.1 KiB; as a list or StringIO 60 KiB (Python 3.11)
        self.id = ""
        self.name = ""
        self.is_cut = False

    def as_data(self) -> dict[str, object]:
        text = encodable(self.buffer.decode("utf-8", "surrogatepass"))
        if self.is_cut:
            text = _before_cut(text) + TRUNCATED
        if self.kind != "tool_call":
            # A refusal is what the user gets to read: the conventions know no part of its own for it.
            return {"type": "reasoning" if self.kind == "reasoning" else "text", "content": text}
        arguments = text if self.is_cut else parsed_arguments(text)
        return {"type": "tool_call", "id": self.id or None, "name": self.name, "arguments": arguments}


class OutputAssembler:
    """Joins the pieces of an answer to messages, within a number of bytes; the session's `OutputSink`.

    Args:
        max_bytes: most bytes of UTF-8 to hold over all choices; the marks of truncation come on top.
    """

    __slots__ = ("_choices", "_count", "_open", "_room", "_tools", "is_truncated")

    def __init__(self, max_bytes: int) -> None:
        self.is_truncated = False
        self._room = max_bytes
        self._count = 0
        self._choices: dict[int, list[_Part]] = {}
        self._open: dict[int, _Part] = {}  # by choice: the part that plain text would go on with
        self._tools: dict[tuple[int, int], _Part] = {}

    def text(self, choice: int, text: str) -> None:
        """Take a piece of the answer."""
        self._append(choice, "text", text)

    def reasoning(self, choice: int, text: str) -> None:
        """Take a piece of the model's thoughts."""
        self._append(choice, "reasoning", text)

    def refusal(self, choice: int, text: str) -> None:
        """Take a piece of a refusal."""
        self._append(choice, "refusal", text)

    def tool_call(self, choice: int, ordinal: int, piece: ToolCallDelta) -> None:
        """Take a piece of the tool call with this number."""
        if self.is_truncated:
            return
        part = self._tools.get((choice, ordinal))
        if part is None:
            part = self._tools[choice, ordinal] = self._new(choice, "tool_call")
        # The first name counts: some servers repeat it in every piece.
        part.id = part.id or self._fitting(part, piece.id).decode("utf-8", "replace")
        part.name = part.name or self._fitting(part, piece.name).decode("utf-8", "replace")
        part.buffer += self._fitting(part, piece.arguments)

    def messages(self, finish_reasons: Sequence[str]) -> list[dict[str, object]]:
        """Return what there is as `gen_ai.output.messages`, one message per choice.

        A choice beyond `finish_reasons` has ended in error; if they are empty, there are no reasons in this format.
        """
        messages: list[dict[str, object]] = []
        for choice in sorted({*range(len(finish_reasons)), *self._choices}):
            parts = [part.as_data() for part in self._choices.get(choice, ())]
            message: dict[str, object] = {"role": "assistant", "parts": parts}
            if finish_reasons:
                message["finish_reason"] = finish_reasons[choice] if 0 <= choice < len(finish_reasons) else "error"
            messages.append(message)
        return messages

    def _append(self, choice: int, kind: _PartKind, text: str) -> None:
        if self.is_truncated:
            return
        part = self._open.get(choice)
        if part is None or part.kind != kind:
            part = self._open[choice] = self._new(choice, kind)
        part.buffer += self._fitting(part, text)

    def _new(self, choice: int, kind: _PartKind) -> _Part:
        part = _Part(kind)
        self._choices.setdefault(choice, []).append(part)
        self._open.pop(choice, None)
        self._count += 1
        if self._count == _MOST_PARTS:  # empty parts take memory too
            self._room = 0
            self.is_truncated = part.is_cut = True
        return part

    def _fitting(self, part: _Part, text: str) -> bytes:
        data = text.encode("utf-8", "surrogatepass")  # half a pair may come in a piece, and the other half in the next
        if len(data) <= self._room:
            self._room -= len(data)
            return data
        if self.is_truncated:
            return b""
        start = data[: self._room].decode("utf-8", "ignore")
        self._room = 0
        self.is_truncated = part.is_cut = True
        return start.encode()


def parsed_arguments(text: str) -> object:
    """Return the arguments of a tool call as an object if they are one in JSON, as they are otherwise."""
    try:
        value = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text
    return cast("object", value) if isinstance(value, dict) else text


def _no_number(word: str) -> object:
    raise ValueError(word)  # NaN and Infinity are Python's, and no JSON


def _before_cut(text: str) -> str:
    """Take away the word or number at the end: it may be the half of something that should be redacted."""
    end = text[-_MOST_SECRET:]
    end = _NUMBER_OR_WORD.sub("", _NUMBER_OR_WORD.sub("", end))  # twice: digits that stand apart, and what is before
    return text[: max(0, len(text) - _MOST_SECRET)] + end


def bounded(content: Mapping[str, object], max_bytes: int) -> Mapping[str, object]:
    """Return the content with its JSON within `max_bytes`: as it is if it fits, long texts cut and marked if not.

    Short texts stay whole: the longest ones are cut to one common length. If that is not enough, the oldest items of
    the lists go, and a mark says so. With room for nothing, nothing is left.
    """
    if _size(content) <= max_bytes:
        return content
    data = cast("dict[str, Any]", plain(content))
    while data:
        level = _level(data, max_bytes)
        if level is not None:
            return cast("dict[str, object]", _map_texts(data, partial(_cut, level=level)))
        if not _drop_oldest(data):
            del data[max(data, key=lambda key: _size(data[key]))]
    return {}


def _level(data: dict[str, Any], max_bytes: int) -> int | None:
    """Return how many bytes each text may have so that all is within `max_bytes`; None if they would be too few."""
    texts: list[str] = []

    def take(text: str) -> str:
        texts.append(text)
        return ""

    spare = max_bytes - _size(_map_texts(data, take))
    sizes = sorted(_size(text) - 2 for text in texts)
    # Few texts that say something are better than many stubs; and the mark must fit into a text that is cut.
    least = _LEAST_TEXT if any(len(_items(data, key)) > 1 for key in data) else len(TRUNCATED.encode())
    for n, size in enumerate(sizes):
        share = spare // (len(sizes) - n)
        if size > share:
            return share if share >= least else None
        spare -= size
    return max(sizes, default=0) if spare >= 0 else None


def _cut(text: str, level: int) -> str:
    if len(text) <= level and _size(text) - 2 <= level:
        return text
    room = level - len(TRUNCATED.encode())
    lengths = range(1, min(room, len(text)) + 1)
    length = bisect_right(lengths, room, key=lambda n: _size(text[:n]) - 2)
    return _before_cut(text[:length]) + TRUNCATED


def _drop_oldest(data: dict[str, Any]) -> bool:
    """Drop the older half of the largest list at the top, with a mark in its place; False if none is left."""
    key = max((key for key in data if _items(data, key)), key=lambda key: _size(data[key]), default=None)
    if key is None:
        return False
    items = _items(data, key)
    data[key] = [_mark(key), *items[(len(items) + 1) // 2 :]]
    return True


def _items(data: dict[str, Any], key: str) -> list[object]:
    """Return the items of a list at the top that are no mark."""
    value: object = data[key]
    return [item for item in cast("list[object]", value) if item != _mark(key)] if isinstance(value, list) else []


def _mark(key: str) -> dict[str, object]:
    """Return an item that says that others are missing, valid in the list of that name."""
    if key.endswith("messages"):
        return {"role": "truncated", "parts": []}
    return {"type": "text", "content": TRUNCATED} if key.endswith("instructions") else {"type": "truncated", "name": ""}


def _map_texts(value: object, change: Callable[[str], str]) -> object:
    """Copy plain data with its texts changed; names of types and roles are no texts."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [_map_texts(item, change) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        items = cast("dict[str, object]", value).items()
        return {k: v if k in _NAMES and isinstance(v, str) else _map_texts(v, change) for k, v in items}
    return value


def _size(value: object) -> int:
    return len(to_json(value).encode())


def to_json(value: object) -> str:
    """Return compact JSON; never raises, and what JSON does not know becomes text."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = json.dumps(plain(value), ensure_ascii=False, separators=(",", ":"))
    return encodable(text)


def plain(value: object) -> Any:
    """Return a copy as plain JSON data: nothing that is shared with the caller, no cycles, no other types."""
    return _copy(value, _MOST_DEPTH, Guard("content"))


def _copy(value: object, depth: int, guard: Guard) -> object:
    """Copy; the guard is for the methods of other people's objects."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Mapping | list | tuple):
        inside = guard.call(_inside, cast("object", value), depth - 1, guard) if depth else TRUNCATED
        return f"<{type(cast('object', value)).__name__}>" if inside is None else inside
    if isinstance(value, float) and isfinite(value):
        return float.__float__(value)
    if isinstance(value, int):
        return int.__int__(value) if value.bit_length() <= _LARGEST_INT_BITS else hex(value)
    return _as_text(value, guard)


def _inside(value: object, depth: int, guard: Guard) -> object:
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {_as_text(key, guard): _copy(item, depth, guard) for key, item in items}
    return [_copy(item, depth, guard) for item in cast("Sequence[object]", value)]


def _as_text(value: object, guard: Guard) -> str:
    text = str.__str__(value) if isinstance(value, str) else guard.call(str, value)
    return f"<{type(value).__name__}>" if text is None else encodable(text)


def encodable(text: str) -> str:
    """Return the text without lone surrogates, which OTLP's encoder refuses; a pair that came in halves is joined."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
