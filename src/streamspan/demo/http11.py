"""HTTP/1.1 as bytes: requests in, status lines and chunked bodies out.

Knows the framing that a loopback server needs and refuses to know sockets, scenarios and vendors. Not a general
server: no trailers, no upgrades, no compressed request bodies.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from http import HTTPStatus
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

LAST_CHUNK = b"0\r\n\r\n"
_HEAD_LIMIT = 65536


class MalformedRequestError(ValueError):
    """What came is not a request that this server can read."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are lower case."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def path(self) -> str:
        """The decoded path without the query."""
        return unquote(urlsplit(self.target).path)

    @property
    def query(self) -> dict[str, str]:
        """The query's parameters; the last of a name counts."""
        return dict(parse_qsl(urlsplit(self.target).query))

    @property
    def is_last(self) -> bool:
        """Whether the client wants the connection closed after the answer."""
        return "close" in self.headers.get("connection", "").lower()

    def fields(self) -> dict[str, Any] | None:
        """Return the body as plain data: a JSON object, or the fields of a form; None when it is neither."""
        kind = self.headers.get("content-type", "")
        if kind.startswith("multipart/form-data"):
            return dict(_form(kind, self.body))
        try:
            found = json.loads(self.body or b"null")
        except ValueError:
            return None
        return cast("dict[str, Any]", found) if isinstance(found, dict) else None


def _form(content_type: str, body: bytes) -> Iterator[tuple[str, Any]]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    for part in BytesParser().parsebytes(head + body).walk():
        name = part.get_param("name", header="content-disposition")
        data = part.get_payload(decode=True)
        if isinstance(name, str) and isinstance(data, bytes):
            filename = part.get_filename()
            yield name, {"filename": filename, "size": len(data)} if filename else data.decode()


class RequestReader:
    """Turns received bytes into requests, whatever the boundaries of the reads."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Request]:
        """Yield the requests that are complete now.

        Raises:
            MalformedRequestError: the bytes are no HTTP/1.1 request.
        """
        self._buffer += data
        while (request := self._take()) is not None:
            yield request

    def _take(self) -> Request | None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _HEAD_LIMIT:
                raise MalformedRequestError("request head too long")
            return None
        method, target, headers = _head(bytes(self._buffer[:end]))
        found = self._body(headers, end + 4)
        if found is None:
            return None
        body, used = found
        del self._buffer[:used]
        return Request(method, target, headers, body)

    def _body(self, headers: Mapping[str, str], start: int) -> tuple[bytes, int] | None:
        if "chunked" in headers.get("transfer-encoding", ""):
            return _dechunked(self._buffer, start)
        end = start + int(headers.get("content-length") or 0)
        return (bytes(self._buffer[start:end]), end) if len(self._buffer) >= end else None


def _head(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, target_and_version = first.partition(" ")
    target, _, version = target_and_version.partition(" ")
    if not version.startswith("HTTP/1."):
        raise MalformedRequestError(f"not an HTTP/1.1 request line: {first[:80]!r}")
    pairs = (line.partition(":") for line in lines)
    return method, target, {name.strip().lower(): value.strip() for name, _, value in pairs}


def _dechunked(buffer: bytearray, at: int) -> tuple[bytes, int] | None:
    body = bytearray()
    while (line_end := buffer.find(b"\r\n", at)) >= 0:
        size = int(buffer[at:line_end].split(b";")[0], 16)
        at = line_end + 2 + size + 2
        if len(buffer) < at:
            return None
        if size == 0:
            return bytes(body), at
        body += buffer[line_end + 2 : at - 2]
    return None


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Return a status line and headers."""
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Frame `data` as one chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class Gzip:
    """A gzip content coding that a client can decode after every piece."""

    __slots__ = ("_compressor",)

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(wbits=31)

    def piece(self, data: bytes) -> bytes:
        """Code one piece so that it can be decoded without waiting for the next one."""
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def end(self) -> bytes:
        """Return the coding's end."""
        return self._compressor.flush(zlib.Z_FINISH)
