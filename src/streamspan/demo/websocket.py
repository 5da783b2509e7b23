"""WebSocket (RFC 6455) as bytes, the server's side: the answer to the upgrade, and frames in both directions.

Knows the framing that a loopback server needs: no extensions, no subprotocols. Refuses to know sockets and vendors.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import NamedTuple

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SHORT, _MEDIUM, _LONG = 125, 126, 127


class Message(NamedTuple):
    """A whole message, or a control frame."""

    opcode: int
    data: bytes


def is_upgrade(headers: Mapping[str, str]) -> bool:
    """Tell whether a request asks for a WebSocket; header names are lower case."""
    return headers.get("upgrade", "").lower() == "websocket"


def accepting(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of status 101."""
    digest = hashlib.sha1((headers.get("sec-websocket-key", "") + _GUID).encode(), usedforsecurity=False).digest()
    return {"upgrade": "websocket", "connection": "Upgrade", "sec-websocket-accept": base64.b64encode(digest).decode()}


def frame(opcode: int, data: bytes) -> bytes:
    """Return a whole message as one frame; a server's is not masked."""
    size = len(data)
    if size <= _SHORT:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, _MEDIUM, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, _LONG, size)
    return head + data


def closing(code: int, reason: str = "") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, struct.pack("!H", code) + reason.encode())


class FrameReader:
    """Turns received bytes into messages, whatever the boundaries of the reads."""

    __slots__ = ("_buffer", "_opcode", "_parts")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._opcode = TEXT
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that are complete now."""
        self._buffer += data
        while (found := self._take()) is not None:
            is_last, opcode, payload = found
            if opcode >= CLOSE:
                yield Message(opcode, payload)
                continue
            if opcode != CONTINUATION:
                self._opcode = opcode
            self._parts.append(payload)
            if is_last:
                whole, self._parts = b"".join(self._parts), []
                yield Message(self._opcode, whole)

    def _take(self) -> tuple[bool, int, bytes] | None:
        buffer, at = self._buffer, 2
        if len(buffer) < at:
            return None
        size = buffer[1] & 0x7F
        extra = {_MEDIUM: "!H", _LONG: "!Q"}.get(size)
        if extra is not None:
            at += struct.calcsize(extra)
            if len(buffer) < at:
                return None
            (size,) = struct.unpack(extra, buffer[2:at])
        key, at = bytes(buffer[at : at + 4]), at + 4  # a client's frames are always masked
        if len(buffer) < at + size:
            return None
        first = buffer[0]
        payload = _unmasked(bytes(buffer[at : at + size]), key)
        del buffer[: at + size]
        return bool(first & 0x80), first & 0x0F, payload


def _unmasked(data: bytes, key: bytes) -> bytes:
    mask = (key * (len(data) // 4 + 1))[: len(data)]
    return (int.from_bytes(data, "big") ^ int.from_bytes(mask, "big")).to_bytes(len(data), "big")
