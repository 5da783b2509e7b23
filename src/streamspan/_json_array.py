"""A JSON array that is still growing, element by element: how Gemini streams without server-sent events.

Knows brackets, commas and strings. Never raises, takes time linear in what it is fed, and holds at most one element
of at most `limit` bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamspan._decoders import DEFAULT_LIMIT


class JSONArrayDecoder:
    """Takes the elements out of a JSON array while it is still growing, each as soon as it is whole.

    Gemini without `alt=sse` answers with one array whose elements are the chunks. An object outside of any array is
    an element too, because errors come bare. It counts brackets and strings and does not check the JSON; elements
    that are too long are left out.
    """

    __slots__ = (
        "_depth",
        "_is_array",
        "_is_escaped",
        "_is_in_string",
        "_is_skipping",
        "_limit",
        "_piece",
        "too_long_count",
    )

    _depth: int
    _is_array: bool

    _STRING_STOP = re.compile(rb'["\\]')
    _OTHER_STOP = re.compile(rb'[\[\]{}",]')

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self.too_long_count = 0
        self.flush()

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; return the text of the elements that they complete."""
        elements: list[str] = []
        begin = 0
        for at, mark in self._marks(data):
            if mark in b"[{":
                if self._depth == 0:
                    self._is_array = mark == b"["
                    self._discard()
                    begin = at + self._is_array  # an element begins inside the array, or is the bare object
                self._depth += 1
            elif self._depth == 1 and self._is_array:  # a number, string or word may end here
                elements += self._cut(data[begin:at])
                begin = at + 1
                self._depth = int(mark == b",")
            elif mark != b"," and self._depth:
                self._depth -= 1
                if self._depth == self._is_array:
                    elements += self._cut(data[begin : at + 1])
                    begin = at + 1
        if self._depth:
            self._keep(data[begin:])
        return elements

    def flush(self) -> list[str]:
        """End the stream. What is left is no whole element, so there is nothing to return."""
        self._piece = bytearray()
        self._depth = 0
        self._is_array = self._is_in_string = self._is_escaped = self._is_skipping = False
        return []

    def _marks(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Find the brackets and commas outside of strings."""
        position = int(self._is_escaped)
        if data:
            self._is_escaped = False
        while stop := (self._STRING_STOP if self._is_in_string else self._OTHER_STOP).search(data, position):
            mark = stop[0]
            position = stop.end()
            if mark == b'"':
                self._is_in_string = not self._is_in_string
            elif mark == b"\\":
                self._is_escaped = position == len(data)
                position += 1
            else:
                yield stop.start(), mark

    def _cut(self, rest: bytes) -> list[str]:
        self._keep(rest)
        self.too_long_count += self._is_skipping
        element = self._piece.strip().decode("utf-8", "replace")
        self._discard()
        return [element] if element else []

    def _discard(self) -> None:
        self._piece.clear()
        self._is_skipping = False

    def _keep(self, data: bytes) -> None:
        if self._is_skipping:
            return
        self._piece += data
        if len(self._piece) > self._limit:
            self._piece.clear()
            self._is_skipping = True
