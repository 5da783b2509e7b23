"""The binary framing of AWS event streams (`application/vnd.amazon.eventstream`): bytes to messages.

Knows preludes, headers and lengths. Refuses to know what a message says. Checksums are not verified: whoever reads
the stream does that, and what they would catch has passed TLS. A length that cannot be ends the decoding in silence,
and a message of more than `limit` bytes is left out and counted.

    total length 4 | headers length 4 | prelude CRC 4 | headers | payload | message CRC 4
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from streamspan._decoders import DEFAULT_LIMIT

_PRELUDE = struct.Struct(">III")
_SMALLEST = _PRELUDE.size + 4
_MOST_HEADERS = 128 * 1024
# Header types: the two booleans and the numbers have a fixed size; bytes and strings say theirs.
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_BYTES, _STRING = 6, 7


class EventMessage(NamedTuple):
    """One message: its string headers, and its payload."""

    headers: Mapping[str, str]
    payload: bytes


class EventStreamDecoder:
    """Takes the messages out of an AWS event stream, wherever the pieces end."""

    __slots__ = ("_buffer", "_limit", "_skip", "is_broken", "too_long_count")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self.too_long_count = 0
        self.flush()

    def feed(self, data: bytes) -> list[EventMessage]:
        """Take bytes; return the messages that they complete."""
        if self.is_broken:
            return []
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._buffer += data
        messages: list[EventMessage] = []
        at = 0
        while (length := self._next(at)) and at + length <= len(self._buffer):
            message = _message(bytes(self._buffer[at : at + length]))
            if message is not None:
                messages.append(message)
            at += length
        del self._buffer[:at]
        return messages

    def flush(self) -> list[EventMessage]:
        """End the stream. What is left is no whole message, so there is nothing to return."""
        self._buffer = bytearray()
        self._skip = 0
        self.is_broken = False
        return []

    def _next(self, at: int) -> int:
        """Return the length of the message that begins at `at`; 0 if that is not to be had yet, or never."""
        if len(self._buffer) - at < _PRELUDE.size:
            return 0
        total, headers, _ = _PRELUDE.unpack_from(self._buffer, at)
        if total < _SMALLEST or headers > min(total - _SMALLEST, _MOST_HEADERS):
            self.is_broken = True
            self._buffer.clear()
            return 0
        if total > self._limit:
            self.too_long_count += 1
            self._skip = max(0, total - (len(self._buffer) - at))
            del self._buffer[at : at + total]
            return self._next(at)
        return int(total)


def _message(data: bytes) -> EventMessage | None:
    """Read one message; None if its headers contradict their lengths."""
    _, headers_length, _ = _PRELUDE.unpack_from(data)
    end = _PRELUDE.size + headers_length
    headers = _headers(data[_PRELUDE.size : end])
    return None if headers is None else EventMessage(headers, data[end:-4])


def _headers(data: bytes) -> dict[str, str] | None:
    """Read the headers that are strings, which is all that names an event; None if a length is wrong."""
    found: dict[str, str] = {}
    at = 0
    try:
        while at < len(data):
            start = at + 1
            end = start + data[at]
            name, kind = data[start:end].decode("utf-8", "replace"), data[end]
            at = end + 1
            if kind in _SIZES:
                at += _SIZES[kind]
                continue
            if kind not in {_BYTES, _STRING}:
                return None
            (size,) = struct.unpack_from(">H", data, at)
            value, at = data[at + 2 : at + 2 + size], at + 2 + size
            if kind == _STRING:
                found[name] = value.decode("utf-8", "replace")
    except (IndexError, struct.error):
        return None
    return found if at == len(data) else None
