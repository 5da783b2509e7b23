"""From the bytes of a response to deltas, for streams that no SDK parses."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from streamspan._codings import content_decoder
from streamspan._decoders import NDJSONDecoder, SSEDecoder
from streamspan._records import Delta
from streamspan.providers import Endpoint

FLUSH: Any = object()
"""Stands for the end of the bytes."""

_MOST_JSON_BYTES = 4 * 1024 * 1024


class WireReader:
    """Reads the pieces of one response body in whatever way they were cut.

    Args:
        endpoint: who reads the payloads.
        content_type, content_encoding: of the response.
        is_stream: whether the body is a stream of events, or one JSON answer.
    """

    def __init__(self, endpoint: Endpoint, content_type: str, content_encoding: str, is_stream: bool) -> None:
        self._endpoint = endpoint
        self._content = content_decoder(content_encoding) if content_encoding else None
        self._is_opaque = bool(content_encoding) and self._content is None
        self._split = self._splitter(content_type, is_stream)

    def _splitter(self, content_type: str, is_stream: bool) -> Any:
        if not is_stream:
            return _Whole()
        return NDJSONDecoder() if "ndjson" in content_type else SSEDecoder()

    def read(self, data: Any) -> Iterable[Delta]:
        """Return what the next piece of the body says; `FLUSH` for what is left at its end."""
        if self._is_opaque:
            return ()
        if data is FLUSH:
            return list(self._deltas(self._split.flush()))
        return list(self._deltas(self._split.feed(data if self._content is None else self._content.decode(data))))

    def _deltas(self, events: Iterable[Any]) -> Iterator[Delta]:
        read = self._endpoint.read
        for event in events:
            if isinstance(event, bytes):  # a whole document
                yield _read((self._endpoint.read_whole or read), event)
            elif isinstance(event, str):  # a line
                yield _read(read, event)
            elif event.data == self._endpoint.done_data and event.data:
                return  # the byte tap's tail says so too; it is no chunk, as it is none for the SDK
            else:
                yield _read(read, event.data, event.event if self._endpoint.wants_event else None)


def _read(read: Callable[[Any], Delta], document: str | bytes, name: str | None = None) -> Delta:
    try:
        payload = json.loads(document)
    except ValueError:
        return Delta()  # whoever reads it will say what is wrong with it
    return read(payload if name is None else {"event": name, "data": payload})


def read_tail(endpoint: Endpoint, tail: Callable[[], bytes]) -> Iterable[Delta]:
    """Read the whole events among the last bytes of a stream; half an event says nothing."""
    reader = WireReader(endpoint, "", "", is_stream=True)
    return [*reader.read(tail()), *reader.read(FLUSH)]


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
