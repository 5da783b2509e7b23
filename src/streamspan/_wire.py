"""From the bytes of a response to deltas, for streams that no SDK parses."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

from streamspan._codings import content_decoder
from streamspan._decoders import NDJSONDecoder, SSEDecoder
from streamspan._event_stream import EventMessage, EventStreamDecoder
from streamspan._failures import provider_error
from streamspan._guard import Guard
from streamspan._json_array import JSONArrayDecoder
from streamspan._records import Delta, ProviderError
from streamspan.providers import Endpoint

FLUSH: Any = object()
"""Stands for the end of the bytes."""

_NONSENSE: Any = object()
_NOTHING = Delta()
_MOST_JSON_BYTES = 4 * 1024 * 1024
# Parts of content types to what splits such a body; anything else is taken for server-sent events, which most of the field speaks.
_SPLITTERS: tuple[tuple[str, Callable[[], Any]], ...] = (
    ("ndjson", NDJSONDecoder),
    ("stream+json", NDJSONDecoder),
    ("vnd.amazon.eventstream", EventStreamDecoder),
    ("application/json", JSONArrayDecoder),
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
        return next((make for name, make in _SPLITTERS if name in content_type.lower()), SSEDecoder)()

    def was_done(self) -> bool:
        """Tell whether the line was there that ends the stream and is no chunk."""
        return self._is_done

    @property
    def is_blind(self) -> bool:
        """Whether the body is in a coding that cannot be undone here, or is not what its header says."""
        return self._is_opaque or self.is_corrupt

    @property
    def is_corrupt(self) -> bool:
        """Whether the body is not in the coding that its header names."""
        return self._content is not None and self._content.is_broken

    def read(self, data: Any) -> Iterable[Delta]:
        """Return what the next piece of the body says; `FLUSH` for what is left at its end."""
        if self._is_opaque:
            return ()
        if data is FLUSH:
            return [*self._deltas(self._split.flush()), *self._stray()]
        return list(self._deltas(self._split.feed(data if self._content is None else self._content.decode(data))))

    def _deltas(self, events: Iterable[Any]) -> Iterator[Delta]:
        read = self._read
        for event in events:
            if isinstance(event, bytes):  # a whole document
                yield _read((self._endpoint.read_whole or read), event)
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
            else:
                yield _read(read, event.data, event.event if self._endpoint.wants_event else None)

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
    """Reads the body of a response with an error status: no chunks, but the provider's own word for what is wrong."""

    def __init__(self, content_encoding: str) -> None:
        self._content = content_decoder(content_encoding) if content_encoding else None
        self._whole = _Whole()
        self.error: ProviderError | None = None
        """What the provider said, once the end of the bytes was there."""

    is_blind = is_corrupt = False

    def read(self, data: Any) -> Iterable[Delta]:
        """Take the next piece of the body, or `FLUSH`."""
        if data is not FLUSH:
            self._whole.feed(data if self._content is None else self._content.decode(data))
            return ()
        for document in self._whole.flush():
            self.error = provider_error(_json(document))
        return ()


class _Whole:
    """Collects one JSON document, up to a size beyond which it is not worth reading."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> tuple[str, ...]:
        self._size += len(data)
        if self._size <= _MOST_JSON_BYTES:
            self._pieces.append(data)
        return ()

    def flush(self) -> tuple[bytes, ...]:
        return (b"".join(self._pieces),) if self._pieces and self._size <= _MOST_JSON_BYTES else ()
