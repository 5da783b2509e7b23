"""Bytes to events: server-sent events, lines of JSON, a streamed JSON array, content codings, the end marker.

Knows wire framing, and that bytes may be split anywhere. Refuses to know what an event says and where bytes come from.
Decoders never raise on what they are fed, cost time linear in it whatever the pieces are, and hold a bounded amount of
it: more than `limit` bytes of one event are dropped and the event is marked or counted as too long.

Every decoder has `feed(data)`, which returns what became complete, and `flush()` for the end of the stream, after
which the decoder is as new.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import NamedTuple, Protocol

DEFAULT_LIMIT = 16 * 2**20
"""Bytes of one event that are held; an image in base64 is one event."""

_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13
_ZLIB_HEADER = 2


class ServerSentEvent(NamedTuple):
    """One dispatched event of an event stream."""

    event: str
    """Its type; `message` where the stream names none."""
    data: str
    id: str
    """The last id that the stream has set, in this event or before."""
    is_too_long: bool = False
    """The event was longer than the limit: it counts as an event, but its data were dropped."""


class _Lines:
    """Splits bytes at LF, CR and CRLF wherever the pieces end; a line longer than the limit comes out as None.

    Bytes, not text: no byte of a UTF-8 sequence is CR, LF or a colon, so that decoding can wait for a whole event.
    """

    __slots__ = ("_is_after_cr", "_is_skipping", "_limit", "_tail")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._reset()

    def _reset(self) -> None:
        self._tail = bytearray()  # not bytes: += must not copy what is there, or a dripped line costs its square
        self._is_skipping = False
        self._is_after_cr = False

    def feed(self, data: bytes) -> list[bytes | None]:
        if self._is_after_cr and data:
            self._is_after_cr = False
            if data[0] == _LF:
                data = data[1:]
        end = max(data.rfind(b"\n"), data.rfind(b"\r")) + 1
        if not end:
            self._keep(data)
            return []
        self._is_after_cr = end == len(data) and data[-1] == _CR
        block = data if end == len(data) else data[:end]
        if self._tail:
            block = bytes(self._tail) + block
            self._tail.clear()
        lines: list[bytes | None] = [*block.splitlines()]
        if self._is_skipping:
            lines[0] = None
            self._is_skipping = False
        if len(block) > self._limit:
            lines = [line if line is not None and len(line) <= self._limit else None for line in lines]
        self._keep(data[end:])
        return lines

    def flush(self) -> list[bytes | None]:
        line = None if self._is_skipping else bytes(self._tail)
        self._reset()
        return [] if line == b"" else [line]

    def _keep(self, data: bytes) -> None:
        if self._is_skipping or not data:
            return
        if len(self._tail) + len(data) > self._limit:
            self._tail.clear()
            self._is_skipping = True
        else:
            self._tail += data


class SSEDecoder:
    """Decodes an event stream as the WHATWG standard says (HTML, section 9.2.6), with two differences.

    `flush()` dispatches an event that lacks its last blank line: the standard discards it, but there are servers whose
    stream ends with `data: [DONE]` and one line end. And there is a limit for the size of an event.
    """

    __slots__ = ("_data", "_event", "_id", "_is_too_long", "_limit", "_lines", "_size", "_start")

    _data: list[bytes]
    _event: str
    _is_too_long: bool

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._lines = _Lines(limit)
        self._start: bytes | None = b""  # the first bytes, as long as they may be half a byte order mark
        self._id = ""
        self._clear()

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Take bytes; return the events that they complete."""
        if self._start is not None:
            data = self._without_bom(self._start + data)
        return self._read(self._lines.feed(data))

    def flush(self) -> list[ServerSentEvent]:
        """End the stream; return the event that it left open, if that has data."""
        events = self._read(self._lines.feed(self._start or b""))
        events += self._read([*self._lines.flush(), b""])
        self._start = b""
        self._id = ""
        return events

    def _without_bom(self, data: bytes) -> bytes:
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._start = data
            return b""
        self._start = None
        return data.removeprefix(_BOM)

    def _read(self, lines: list[bytes | None]) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        for line in lines:
            if line:
                self._field(line)
            elif line is None:
                self._drop()
            elif self._data or self._is_too_long:
                data = b"\n".join(self._data).decode("utf-8", "replace")
                events.append(ServerSentEvent(self._event or "message", data, self._id, self._is_too_long))
                self._clear()
            else:
                self._event = ""  # an event without any data line is not dispatched
        return events

    def _field(self, line: bytes) -> None:
        if self._is_too_long:
            return
        if self._size + len(line) > self._limit:
            self._drop()
            return
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")

    def _clear(self) -> None:
        self._data = []
        self._event = ""
        self._size = 0
        self._is_too_long = False

    def _drop(self) -> None:
        self._data.clear()
        self._is_too_long = True


class NDJSONDecoder:
    """Splits a stream of JSON values, one per line; blank lines do not count, too long ones are left out."""

    __slots__ = ("_lines", "too_long_count")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._lines = _Lines(limit)
        self.too_long_count = 0

    def feed(self, data: bytes) -> list[str]:
        """Take bytes; return the lines that they complete."""
        return self._read(self._lines.feed(data))

    def flush(self) -> list[str]:
        """End the stream; return the last line if it lacks its line end."""
        return self._read(self._lines.flush())

    def _read(self, lines: list[bytes | None]) -> list[str]:
        self.too_long_count += lines.count(None)
        return [text.decode("utf-8", "replace") for line in lines if line and (text := line.strip())]


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


class TailMarker:
    """Tells at the end of an event stream whether the line `data: <marker>` was among its last bytes.

    `feed` is made for the chunk path: it keeps a reference to the piece and copies at most 64 bytes of the one before.
    A marker anywhere in the last piece is found, and one in the last 64 bytes whatever the pieces are.
    """

    __slots__ = ("_before", "_last", "_marker")

    def __init__(self, marker: str) -> None:
        self._marker = marker.encode()
        self._before = b"\n"  # a stream begins with a line
        self._last = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        # 64 is written out: with a name for it a call took 113 ns instead of 99 (Python 3.11).
        last = self._last
        self._before = last[-64:] if len(last) >= 64 else (self._before + last)[-64:]  # noqa: PLR2004
        self._last = data

    def seen(self) -> bool:
        """Tell whether the marker's line was there; an empty marker is never seen."""
        if not self._marker:
            return False
        line = rb"[\r\n]data: ?" + re.escape(self._marker) + rb"[ \t]*(?:[\r\n]|\Z)"
        return re.search(line, self._before + self._last) is not None


# --- content codings ---------------------------------------------------------------------------------------------


class ContentDecoder(Protocol):
    """Undoes a content coding piece by piece."""

    def decode(self, data: bytes) -> bytes:
        """Return what the bytes decode to; nothing any more once they were corrupt."""
        ...


class _Identity:
    __slots__ = ()

    def decode(self, data: bytes) -> bytes:
        return data


class _Coding:
    """A decompressing function that ends for good at the first error."""

    __slots__ = ("_decompress", "_errors", "_is_broken")

    def __init__(self, decompress: Callable[[bytes], bytes], *errors: type[Exception]) -> None:
        self._decompress = decompress
        self._errors = errors
        self._is_broken = False

    def decode(self, data: bytes) -> bytes:
        if self._is_broken or not data:
            return b""
        try:
            return self._decompress(data)
        except self._errors:
            self._is_broken = True
            return b""


class _Chain:
    """Several codings, undone in the reverse order of the header."""

    __slots__ = ("_decoders",)

    def __init__(self, decoders: list[ContentDecoder]) -> None:
        self._decoders = decoders

    def decode(self, data: bytes) -> bytes:
        for decoder in self._decoders:
            data = decoder.decode(data)
        return data


def _gzip() -> ContentDecoder:
    return _Coding(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress, zlib.error)


def _deflate() -> ContentDecoder:
    """RFC 9110 means zlib's format, some servers send the raw one; the first two bytes tell."""
    start = b""
    inflate: Callable[[bytes], bytes] | None = None

    def decompress(data: bytes) -> bytes:
        nonlocal start, inflate
        if inflate is None:
            start = data = start + data
            if len(data) < _ZLIB_HEADER:
                return b""
            is_zlib = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:_ZLIB_HEADER], "big") % 31 == 0
            inflate = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS).decompress
        return inflate(data)

    return _Coding(decompress, zlib.error)


def _brotli() -> ContentDecoder | None:
    module = _first_of("brotli", "brotlicffi")
    if module is None:
        return None
    decompressor = module.Decompressor()
    # brotli calls it process, brotlicffi decompress.
    return _Coding(getattr(decompressor, "process", None) or decompressor.decompress, module.error)


def _zstd() -> ContentDecoder | None:
    module = _first_of("zstandard", "compression.zstd")
    if module is None:
        return None
    decompressor = module.ZstdDecompressor()
    if hasattr(decompressor, "decompressobj"):
        decompressor = decompressor.decompressobj()
    return _Coding(decompressor.decompress, module.ZstdError, EOFError)


def _first_of(*names: str) -> ModuleType | None:
    for name in names:
        with suppress(ImportError):
            return import_module(name)
    return None


_CODINGS: dict[str, Callable[[], ContentDecoder | None]] = {
    "identity": _Identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def content_decoder(encoding: str) -> ContentDecoder | None:
    """Return a decoder for a `Content-Encoding` header, None if one of its codings is unknown here."""
    decoders: list[ContentDecoder] = []
    for name in encoding.lower().split(","):
        make = _CODINGS.get(name.strip() or "identity")
        decoder = make() if make else None
        if decoder is None:
            return None
        decoders.insert(0, decoder)
    return decoders[0] if len(decoders) == 1 else _Chain(decoders)
