"""Bytes of a response to deltas: in whatever pieces they come, compressed or not, whole or broken."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._guard import Guard
from streamspan._records import Delta
from streamspan._wire import FLUSH, WireReader, read_tail
from streamspan.providers import Endpoint

EVENTS = b'data: {"text": "Hal"}\n\n: keep-alive\n\ndata: {"text": "lo"}\n\ndata: [DONE]\n\n'


def read(payload: Any) -> Delta:
    return Delta(payload["text"], 0)


def read_whole(payload: Any) -> Delta:
    return Delta(payload["text"] * 2, 0, is_terminal=True)


ENDPOINT = Endpoint(name="test", operation="chat", paths=(), read=read, read_whole=read_whole, done_data="[DONE]")


def reader(
    content_type: str = "text/event-stream",
    encoding: str = "",
    *,
    is_stream: bool = True,
    endpoint: Endpoint = ENDPOINT,
) -> WireReader:
    return WireReader(endpoint, content_type, encoding, is_stream)


def texts(wire: WireReader, *pieces: bytes, flush: bool = True) -> list[str]:
    deltas = [delta for piece in pieces for delta in wire.read(piece)]
    if flush:
        deltas.extend(wire.read(FLUSH))
    return [delta.text for delta in deltas]


def cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({place % len(data) for place in at})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 1000), max_size=8))
def test_events_do_not_depend_on_how_the_bytes_are_cut(at: list[int]) -> None:
    """Also when they are compressed; keep-alives and the marker are no chunks."""
    assert texts(reader(), *cut(EVENTS, at)) == ["Hal", "lo"]
    assert texts(reader(encoding="gzip"), *cut(gzip.compress(EVENTS), at)) == ["Hal", "lo"]


def test_an_event_is_read_as_soon_as_it_is_whole() -> None:
    """What has not ended yet waits for the next piece; the end of the bytes ends it."""
    wire = reader()
    assert texts(wire, b'data: {"text": "a"}\n\ndata: {"te', flush=False) == ["a"]
    assert texts(wire, b'xt": "b"}\n', flush=False) == ["b"]
    assert texts(wire, b'\ndata: {"text": "c"}', flush=False) == []
    assert [delta.text for delta in wire.read(FLUSH)] == ["c"]
    assert list(wire.read(FLUSH)) == []


def test_nothing_that_follows_the_marker_in_its_piece_counts() -> None:
    """The stream has said that it is over."""
    assert texts(reader(), EVENTS + b'data: {"text": "more"}\n\n') == ["Hal", "lo"]


def test_without_a_marker_every_event_is_a_payload() -> None:
    """An empty `data:` is no marker of an endpoint that has none."""
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=lambda payload: Delta(str(payload), 0))
    assert texts(reader(endpoint=endpoint), b"data: 1\n\ndata:\n\ndata: 2\n\n") == ["1", "", "2"]


def test_an_event_that_is_no_json_is_a_chunk_without_a_word() -> None:
    """It arrived, and whoever reads it will say what is wrong; the others are read."""
    assert texts(reader(), b'data: {"text": "a"}\n\ndata: <html>\n\ndata: {"text": "b"}\n\n') == ["a", "", "b"]


def test_the_name_of_an_event_comes_along_where_it_is_needed() -> None:
    """Assistants runs say only there what a payload is."""
    endpoint = Endpoint(
        name="test", operation="chat", paths=(), read=lambda payload: Delta(json.dumps(payload), 0), wants_event=True
    )
    assert texts(reader(endpoint=endpoint), b'event: said\ndata: {"a": 1}\n\n') == [
        '{"event": "said", "data": {"a": 1}}'
    ]


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "application/ndjson; charset=utf-8"])
def test_lines_of_json_are_read(content_type: str) -> None:
    """One payload in each line, with or without an end of the last."""
    assert texts(reader(content_type), b'{"text": "a"}\n{"te', b'xt": "b"}\n\n{"text": "c"}') == ["a", "b", "c"]


def test_a_line_that_is_no_json_does_not_cost_the_others() -> None:
    """As for events: it is a chunk without a word."""
    assert texts(reader("application/x-ndjson"), b'{"text": "a"}\noops\n{"text": "b"}\n') == ["a", "", "b"]


def test_an_answer_without_a_stream_is_read_at_its_end() -> None:
    """As one document, by the reader of whole answers; by the other one where there is none."""
    pieces = (b'{"text"', b': "Hallo"}')
    assert texts(reader("application/json", is_stream=False), *pieces) == ["HalloHallo"]
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=read)
    assert texts(reader("application/json", is_stream=False, endpoint=endpoint), *pieces) == ["Hallo"]
    assert texts(reader("application/json", is_stream=False)) == []


def test_a_whole_answer_beyond_all_bounds_is_not_kept() -> None:
    """Four mebibytes are the most."""
    wire = reader("application/json", is_stream=False)
    piece = b" " * (1024 * 1024)
    assert texts(wire, *[piece] * 4, b'{"text": "a"}') == []
    assert texts(reader("application/json", is_stream=False), *[piece] * 3, b'{"text": "a"}') == ["aa"]


def test_an_unknown_coding_cannot_be_read_and_is_no_fault() -> None:
    """Nothing is said of it."""
    assert texts(reader(encoding="x-secret"), EVENTS) == []


def test_broken_compression_is_no_fault() -> None:
    """Nothing more is said after it."""
    assert texts(reader(encoding="gzip"), b"no gzip at all", EVENTS) == []


def test_the_last_words_are_the_whole_events_among_the_last_bytes() -> None:
    """The tail begins somewhere: half an event says nothing."""
    deltas = read_tail(ENDPOINT, lambda: b't": "half"}\n\ndata: {"text": "a"}\n\ndata: {"text": "b"}')
    assert [delta.text for delta in deltas] == ["a", "b"]
    assert list(read_tail(ENDPOINT, lambda: b"")) == []


def test_a_payload_that_the_reader_cannot_take_does_not_cost_the_others() -> None:
    """It is a fault of the reader's, which its fence logs; what else came in the same piece is read."""
    guard = Guard("test")
    endpoint = Endpoint(name="test", operation="chat", paths=(), read=guard.wrap_reader(read, otherwise=Delta()))
    data = b'data: {"text": "a"}\n\ndata: 5\n\ndata: {"text": "b"}\n\n'
    assert texts(reader(endpoint=endpoint), data) == ["a", "", "b"]
