"""What the demo's models say: deterministic text in pieces, and values that satisfy a JSON schema.

Knows language and JSON schema, no vendor.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

ANSWER = (
    "A stream is a promise kept in pieces. The first piece tells you that somebody is there — the second one, "
    "that they have something to say. A naïve client waits for the last of them; a good one reads each as it "
    "arrives, notes the time, and hands it on. 流れは止まらない. "
)
THOUGHT = "The user asks about streams. I should say what they are, then why the pieces matter. Keep it short. "
REFUSAL = "I'm sorry, but I can't help with that request."
SPOKEN = "Hello there, this is the demo speaking."


def pieces(text: str, count: int | None = None) -> list[str]:
    """Cut text into words with their spaces; repeat or shorten it to `count` pieces if given."""
    words = re.findall(r"\S+\s*", text)
    if count is not None:
        words = list(islice(cycle(words), count))
    if words:
        words[-1] = words[-1].rstrip()
    return words


def fragments(text: str, count: int | None = None) -> list[str]:
    """Cut text into `count` pieces of about the same length (by default of six characters), for JSON."""
    size = 6 if count is None else max(1, -(-len(text) // max(1, count)))
    return [text[at : at + size] for at in range(0, len(text), size)]


def sample(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None, *, text: str = "text") -> Any:
    """Return a value that satisfies a JSON schema of the kind that models are given.

    Args:
        schema: the schema.
        root: where its references lead; the schema itself unless given.
        text: what a string says.
    """
    return _Sampler(schema if root is None else root).value(schema, text, 0)


class _Sampler:
    """Makes values for the schemas of one document."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def value(self, schema: Mapping[str, Any], text: str, depth: int) -> Any:
        if "const" in schema or "enum" in schema:
            return schema["const"] if "const" in schema else schema["enum"][0]
        if "$ref" in schema:
            return self.value(self._referred(schema["$ref"]), text, depth + 1)
        if options := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            # The last option is `null` where a schema refers to itself: take it when it gets deep.
            return self.value(options[0 if depth < _DEEP else -1], text, depth + 1)
        kinds: Any = schema.get("type", "object")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "object":
            members = schema.get("properties", {}).items()
            return {name: self.value(member, f"a {name.replace('_', ' ')}", depth + 1) for name, member in members}
        if kind == "array":
            count = max(int(schema.get("minItems", 0)), int(depth < _DEEP))
            return [self.value(schema.get("items", {"type": "string"}), text, depth + 1) for _ in range(count)]
        return (
            _FORMATTED.get(schema.get("format", ""), text) if kind == "string" else schema.get("minimum", _PLAIN[kind])
        )

    def _referred(self, reference: str) -> Any:
        found: Any = self._root
        for name in reference.removeprefix("#").strip("/").split("/"):
            found = found[name] if name else found
        return found


_DEEP = 6
_PLAIN: Mapping[str, Any] = {"integer": 42, "number": 4.2, "boolean": True, "null": None}
_FORMATTED: Mapping[str, str] = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "someone@example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.com/",
}
