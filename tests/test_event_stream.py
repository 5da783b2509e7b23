"""The framing of AWS event streams: messages wherever the pieces end, nothing from what is none, memory bounded."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._event_stream import EventMessage, EventStreamDecoder

_NAMES = st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=1, max_size=20)
_HEADERS = st.dictionaries(_NAMES, st.text(max_size=30), max_size=4)


def header(name: str, value: str) -> bytes:
    """Return a header with a string."""
    text = value.encode()
    return bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text


def frame(headers: bytes, payload: bytes) -> bytes:
    """Return a message as AWS sends it."""
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack(">I", zlib.crc32(prelude))
    body = head + headers + payload
    return body + struct.pack(">I", zlib.crc32(body))


def message(payload: bytes, **headers: str) -> bytes:
    """Return a message with headers by name; an underscore stands for a dash."""
    return frame(b"".join(header(f":{name.replace('_', '-')}", value) for name, value in headers.items()), payload)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """Cut data into pieces of these sizes, and what is left."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


@given(st.lists(st.tuples(_HEADERS, st.binary(max_size=200)), max_size=6), st.lists(st.integers(0, 60), max_size=30))
def test_messages_come_out_as_they_went_in(messages: list[tuple[dict[str, str], bytes]], sizes: list[int]) -> None:
    """Whatever the pieces are, the messages are the same and in order."""
    sent = b"".join(frame(b"".join(header(*each) for each in headers.items()), data) for headers, data in messages)
    decoder = EventStreamDecoder()
    got = [each for piece in cut(sent, sizes) for each in decoder.feed(piece)]
    assert got == [EventMessage(headers, data) for headers, data in messages]
    assert not decoder.is_broken


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_nothing_that_it_is_fed_makes_it_raise(pieces: list[bytes]) -> None:
    """Arbitrary bytes are at most no messages."""
    decoder = EventStreamDecoder(limit=1000)
    for piece in pieces:
        decoder.feed(piece)
    assert decoder.flush() == []


def test_a_message_is_there_with_its_last_byte() -> None:
    """Not one byte earlier, and not one later."""
    decoder, sent = EventStreamDecoder(), message(b"{}", event_type="messageStop")
    assert [decoder.feed(sent[at : at + 1]) for at in range(len(sent) - 1)] == [[]] * (len(sent) - 1)
    assert decoder.feed(sent[-1:]) == [EventMessage({":event-type": "messageStop"}, b"{}")]


@pytest.mark.parametrize(("kind", "size"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 4), (5, 8), (8, 8), (9, 16)])
def test_headers_of_other_types_are_passed_over(kind: int, size: int) -> None:
    """Only strings name an event; what else there is has a length."""
    other = b"\x01x" + bytes([kind]) + b"\xff" * size
    decoder = EventStreamDecoder()
    assert decoder.feed(frame(other + header("a", "b") + other, b"p")) == [EventMessage({"a": "b"}, b"p")]
    bytes_header = b"\x01y\x06" + struct.pack(">H", 3) + b"123"
    assert decoder.feed(frame(bytes_header + header("a", "b"), b"p")) == [EventMessage({"a": "b"}, b"p")]


@pytest.mark.parametrize("headers", [b"\x05a", b"\x01a\x0a", b"\x01a\x07\x00\xff", b"\x01a", b"\x01a\x04\x00"])
def test_headers_that_contradict_their_lengths_cost_their_message_only(headers: bytes) -> None:
    """The next message is read."""
    assert EventStreamDecoder().feed(frame(headers, b"1") + message(b"2")) == [EventMessage({}, b"2")]


@pytest.mark.parametrize("prelude", [(0, 0), (15, 0), (16, 1), (100, 85), (1 << 31, 1 << 30)])
def test_lengths_that_cannot_be_end_the_decoding(prelude: tuple[int, int]) -> None:
    """There is no telling where the next message begins; until then everything is read."""
    decoder = EventStreamDecoder()
    broken = struct.pack(">III", *prelude, 0)
    assert decoder.feed(message(b"1") + broken + message(b"2")) == [EventMessage({}, b"1")]
    assert decoder.is_broken
    assert decoder.feed(message(b"3")) == []
    decoder.flush()
    assert decoder.feed(message(b"4")) == [EventMessage({}, b"4")]


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_a_message_that_is_too_long_is_left_out_and_counted(size: int) -> None:
    """Its neighbours are not, whatever the pieces are."""
    sent = message(b"1") + message(b"x" * 1000) + message(b"2") + message(b"y" * 500) + message(b"3")
    decoder = EventStreamDecoder(limit=100)
    got = [each.payload for at in range(0, len(sent), size) for each in decoder.feed(sent[at : at + size])]
    assert got == [b"1", b"2", b"3"]
    assert decoder.too_long_count == 2


def test_a_message_that_never_ends_takes_no_memory() -> None:
    """One of 4 GB is not held, however long it is fed."""
    decoder, piece = EventStreamDecoder(), b"x" * 2**20
    decoder.feed(struct.pack(">III", 2**32 - 1, 0, 0))
    tracemalloc.start()
    for _ in range(64):
        decoder.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20
