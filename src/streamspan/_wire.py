"""From the bytes of a response to deltas, for streams that no SDK parses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any, cast

from streamspan._codings import content_decoder
from streamspan._decoders import NDJSONDecoder, ServerSentEvent, SSEDecoder
from streamspan._event_stream import EventMessage, EventStreamDecoder
from streamspan._failures import provider_error
from streamspan._guard import Guard
from streamspan._json_array import JSONArrayDecoder
from streamspan._records import Delta, ProviderError
from streamspan.providers import Endpoint

FLUSH: Any = object()
"""Stands for the end of the bytes."""
JSON_TYPE = "application/json"
REST: Any = object()
"""Stands for the bytes that nobody waits for: of the event that is open now, its whole lines count."""

_NONSENSE: Any = object()
_NOTHING = Delta()
_MOST_JSON_BYTES = 4 * 1024 * 1024
# Parts of content types to what splits such a body; anything else is taken for server-sent events, which most of the field speaks.
_SPLITTERS: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("ndjson", NDJSONDecoder),
    ("stream+json", NDJSONDecoder),
    ("vnd.amazon.eventstream", EventStreamDecoder),
    (JSON_TYPE, JSONArrayDecoder),
)


class WireReader:
    """Reads the pieces of one response body in whatever way they were cut.

    Args:
        endpoint: who reads the payloads.
        content_type, content_encoding: of the response.
        is_stream: whether the body is a stream of events, or one JSON answer.
        guard: fence around each payload, so that one that cannot be read does not take its neighbours along.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        content_type: str,
        content_encoding: str,
        is_stream: bool,
        guard: Guard | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._read = endpoint.read if guard is None else guard.wrap_reader(endpoint.read, otherwise=_NOTHING)
        self._content = content_decoder(content_encoding) if content_encoding else None
        self._is_opaque = bool(content_encoding) and self._content is None
        self._split = self._splitter(content_type, is_stream)
        self._is_done = False

    def _splitter(self, content_type: str, is_stream: bool) -> Any:
        if not is_stream:
            return _Whole()
        if _is_json(content_type) and self._endpoint.streams is not True:
            return None  # no stream as it seems, though one was asked for: what it begins with says what it is
        return next((make for name, make in _SPLITTERS if name in content_type.lower()), SSEDecoder)()

    @property
    def is_in_lines(self) -> bool:
        """Whether nothing can come of a piece without the end of a line."""
        return self._content is None and isinstance(self._split, SSEDecoder | NDJSONDecoder)

    @property
    def is_whole(self) -> bool:
        """Whether the body is one JSON answer."""
        return isinstance(self._split, _Whole)

    def was_done(self) -> bool:
        """Tell whether the line was there that ends the stream and is no chunk."""
        return self._is_done

    @property
    def is_blind(self) -> bool:
        """Whether the body is in a coding that cannot be undone here, is not what its header says, or is too much."""
        return self._is_opaque or self.is_corrupt or self._is_too_much()

    @property
    def is_corrupt(self) -> bool:
        """Whether the body is not in the coding that its header names."""
        return self._content is not None and self._content.is_broken

    def _is_too_much(self) -> bool:
        if isinstance(self._split, _Whole) and self._split.is_too_much:
            return True
        return self._content is not None and self._content.is_too_much

    def read(self, data: Any) -> Iterable[Delta]:
        """Return what the next piece of the body says; `FLUSH` for what is left at its end, or `REST` before that."""
        if self._is_opaque or self._is_too_much():
            return ()
        if data is REST:
            return list(self._deltas(self._rest()))
        if data is FLUSH:
            return () if self._split is None else [*self._deltas(self._split.flush()), *self._stray()]
        plain = data if self._content is None else self._content.decode(data)
        if self._split is None and (start := plain.lstrip()[:1]):
            self._split = _Whole() if start in b"{[" else SSEDecoder()
        if self._split is None:
            return ()
        deltas = list(self._deltas(self._split.feed(plain)))
        if plain[-1:] == b"\n" and isinstance(self._split, SSEDecoder) and self._has_come(self._split):
            deltas += self._deltas(self._split.open_event())
        return deltas

    def _has_come(self, split: SSEDecoder) -> bool:
        """Tell whether the open event is all there: a reader of lines asks for the blank line when it is done with it."""
        name, line = split.open_line()
        if not line or (self._endpoint.wants_event and not name):
            return False
        return line == self._endpoint.done_data or (line[0] == "{" and _json(line) is not _NONSENSE)

    def _rest(self) -> Iterator[ServerSentEvent]:
        """Return the event that lacks only its blank line: who reads lines has all of it (and no half one is taken)."""
        for event in self._split.open_event() if isinstance(self._split, SSEDecoder) else ():
            is_read = event.data == self._endpoint.done_data or _json(event.data) is not _NONSENSE
            if is_read or event.event == "error":
                yield event

    def _deltas(self, events: Iterable[Any]) -> Iterator[Delta]:
        read = self._read
        for event in events:
            if isinstance(event, bytes):  # a whole document
                yield self._whole(event)
            elif isinstance(event, str):  # a line, or an element of an array
                yield _read(read, event)
            elif isinstance(event, EventMessage):
                yield read(_message(event))
            elif event.is_too_long:
                yield Delta()
            elif event.data == self._endpoint.done_data and event.data:
                self._is_done = True
                return  # it is no chunk, as it is none for the SDK
            elif event.event in self._endpoint.silent_events:
                continue
            elif event.event == "error" and _json(event.data) is _NONSENSE:
                yield Delta(error=ProviderError("_OTHER", event.data))  # a proxy's words
            else:
                yield _read(read, event.data, event.event if self._endpoint.wants_event else None)

    def _whole(self, document: bytes) -> Delta:
        """Read an answer in one piece: its last brace is the end marker."""
        payload: object = _json(document)
        if payload is _NONSENSE:
            return Delta()
        delta = (self._endpoint.read_whole or self._read)(payload)
        answer = _object(payload)
        error = answer.get("error")
        if error and delta.error is None:
            said = provider_error(answer)
            delta = replace(delta, error=said or ProviderError("_OTHER", str(error)))
        return replace(delta, is_terminal=True)

    def _stray(self) -> Iterator[Delta]:
        """Read an error that stood between the events."""
        text = self._split.take_stray() if isinstance(self._split, SSEDecoder) else ""
        payload = _json(text)
        if isinstance(payload, dict) and "error" in payload:
            yield self._read(payload)


def _message(message: EventMessage) -> dict[str, Any]:
    """Return a message of an AWS event stream as botocore yields it: its payload under its type."""
    headers = message.headers
    if headers.get(":message-type") == "error":
        return {"error": {"code": headers.get(":error-code", ""), "message": headers.get(":error-message", "")}}
    kind = headers.get(":exception-type") or headers.get(":event-type", "")
    payload: Any = _json(message.payload)
    if kind == "chunk":
        payload = {
            "bytes": _base64(cast("dict[str, Any]", payload).get("bytes") if isinstance(payload, dict) else None)
        }
    return {kind: {} if payload is _NONSENSE else payload}


def _is_json(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() == JSON_TYPE


def _object(payload: object) -> dict[str, Any]:
    """Return the object that an answer is; Google's errors are in lists."""
    if isinstance(payload, list):
        payload = next(iter(cast("list[object]", payload)), None)
    return cast("dict[str, Any]", payload) if isinstance(payload, dict) else {}


def _base64(text: Any) -> bytes:
    try:
        return base64.b64decode(text)
    except (TypeError, ValueError):
        return b""


def _json(document: str | bytes) -> Any:
    try:
        return json.loads(document)
    except (ValueError, RecursionError):  # whoever reads it will say what is wrong with it
        return _NONSENSE


def _read(read: Callable[[Any], Delta], document: str | bytes, name: str | None = None) -> Delta:
    payload = _json(document)
    if payload is _NONSENSE:
        return Delta()
    return read(payload if name is None else {"event": name, "data": payload})


def read_tail(endpoint: Endpoint, tail: Callable[[], bytes]) -> Iterable[Delta]:
    """Read the whole events among the last bytes of a stream; half an event says nothing."""
    reader = WireReader(endpoint, "", "", is_stream=True)
    return [*reader.read(tail()), *reader.read(FLUSH)]


class RefusalReader:
    """Reads the body of a response with an error status: no chunks, but the provider's own word for what is wrong.

    Args:
        content_encoding: of the response.
        word: what its headers have said already.
    """

    def __init__(self, content_encoding: str, word: str = "") -> None:
        self._word = word
        self._content = content_decoder(content_encoding) if content_encoding else None
        self._whole = _Whole()
        self.error: ProviderError | None = None
        """What the provider said, once the end of the bytes was there."""

    is_blind = is_corrupt = is_in_lines = False

    def read(self, data: Any) -> Iterable[Delta]:
        """Take the next piece of the body, or `FLUSH`."""
        if data is REST:
            return ()
        if data is not FLUSH:
            self._whole.feed(data if self._content is None else self._content.decode(data))
            return ()
        for document in self._whole.flush():
            self.error = provider_error(_json(document), self._word)
        return ()


class _Whole:
    """Collects one JSON document, up to a size beyond which it is not worth reading."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> tuple[str, ...]:
        self._size += len(data)
        if self.is_too_much:
            self._pieces.clear()
        else:
            self._pieces.append(data)
        return ()

    @property
    def is_too_much(self) -> bool:
        """Whether it is beyond that size; then nothing of it is kept."""
        return self._size > _MOST_JSON_BYTES

    def flush(self) -> tuple[bytes, ...]:
        return (b"".join(self._pieces),) if self._pieces and not self.is_too_much else ()
