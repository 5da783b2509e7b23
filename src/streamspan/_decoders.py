"""Bytes to events: server-sent events, lines of JSON, the end marker.

Knows wire framing, and that bytes may be split anywhere. Refuses to know what an event says and where bytes come from.
Decoders never raise on what they are fed, cost time linear in it whatever the pieces are, and hold a bounded amount of
it: more than `limit` bytes of one event are dropped and the event is marked or counted as too long.

Every decoder has `feed(data)`, which returns what became complete, and `flush()` for the end of the stream, after
which the decoder is as new.
"""

from __future__ import annotations

import re
from functools import cache
from typing import NamedTuple

DEFAULT_LIMIT = 16 * 2**20
"""Bytes of one event that are held; an image in base64 is one event."""

_BOM = b"\xef\xbb\xbf"
_MOST_STRAY = 64 * 1024
_LF, _CR = 10, 13


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

    __slots__ = ("_data", "_event", "_id", "_is_too_long", "_limit", "_lines", "_size", "_start", "_stray")

    _data: list[bytes]
    _event: str
    _is_too_long: bool

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self._limit = limit
        self._lines = _Lines(limit)
        self._start: bytes | None = b""  # the first bytes, as long as they may be half a byte order mark
        self._stray = bytearray()
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

    def open_line(self) -> tuple[str, str]:
        """Return the name and the data of the event that is open, if it has one line of data so far, else nothing."""
        return (self._event, self._data[0].decode("utf-8", "replace")) if len(self._data) == 1 else ("", "")

    def open_event(self) -> list[ServerSentEvent]:
        """Return the event whose blank line nobody has waited for, as far as its lines are whole, and forget it."""
        return self._read([b""]) if self._data else []

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
        elif name and (self._stray or line.lstrip()[:1] in b"[{") and len(self._stray) + len(line) < _MOST_STRAY:
            self._stray += line

    def take_stray(self) -> str:
        """Return the text between the events that looks like JSON: Gemini reports errors without any framing."""
        stray = self._stray.decode("utf-8", "replace")
        self._stray.clear()
        return stray

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


class TailMarker:
    """Tells at the end of an event stream whether the line `data: <marker>` was among its last bytes.

    With `is_event` it is the line `event: <marker>`, with data after it that are JSON's end.

    `feed` is made for the chunk path: it keeps a reference to the piece, and of those before the event that is not
    complete (at most 2,048 bytes of it; an error event of ordinary size is whole in the `tail`) or the last 64 bytes.
    A marker anywhere in the last piece is found, and one in the last 64 bytes whatever the pieces are.
    """

    __slots__ = ("_before", "_is_event", "_last", "_marker")

    def __init__(self, marker: str, *, is_event: bool = False) -> None:
        self._marker = marker.encode()
        self._is_event = is_event
        self._before = b"\n"  # a stream begins with a line
        self._last = b""

    def feed(self, data: bytes) -> None:
        """Take the next piece."""
        # Numbers are written out: with names for them a call took 14 % longer (Python 3.11).
        last = self._last
        end = last.rfind(b"\n\n")  # an event ends here; streams with CRLF keep the 2,048 bytes
        if end < 0 or len(last) < 64:  # noqa: PLR2004
            self._before = (self._before + last)[-2048:]
        else:
            self._before = last[min(end, len(last) - 64) :][-2048:]
        self._last = data

    def tail(self) -> bytes:
        """Return the last bytes: the last piece and what is kept of those before it."""
        return self._before + self._last

    def seen(self) -> bool:
        """Tell whether the marker's line was there; an empty marker is never seen."""
        return bool(self._marker) and _marker_line(self._marker, self._is_event).search(self.tail()) is not None


@cache
def _marker_line(marker: bytes, is_event: bool) -> re.Pattern[bytes]:
    name = re.escape(marker)
    line = rb"[\r\n]event: ?" + name + rb"[ \t]*[\r\n]+data:[^\r\n]*\}" if is_event else rb"[\r\n]data: ?" + name
    return re.compile(line + rb"[ \t]*(?:[\r\n]|\Z)")
