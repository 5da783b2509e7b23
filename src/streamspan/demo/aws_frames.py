"""Frames of an AWS event stream: headers and a payload between lengths and checksums, as text that stands for bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

_TEXT = 7
"""The type of a header whose value is text."""


def frame(headers: Mapping[str, str], payload: bytes) -> bytes:
    """Return one message."""
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    start = prelude + struct.pack(">I", zlib.crc32(prelude))
    body = start + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(f">B{len(name)}sBH", len(name), name, _TEXT, len(value)) + value


def event_frame(kind: str, payload: str) -> bytes:
    """Return the message of an event."""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return frame(names, payload.encode())


def exception_frame(kind: str, payload: str) -> bytes:
    """Return the message of a failure."""
    names = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(names, payload.encode())


def as_text(data: bytes) -> str:
    """Return bytes as text, which the server turns back into the same bytes."""
    return data.decode("utf-8", "surrogateescape")
