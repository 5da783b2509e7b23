"""Decoders give the same events however the bytes are cut, and what the standards say they are."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamspan._codings import ContentDecoder, content_decoder
from streamspan._decoders import NDJSONDecoder, ServerSentEvent, SSEDecoder, TailMarker
from streamspan._json_array import JSONArrayDecoder

unhurried = settings(deadline=None, max_examples=200)

# Few symbols, all of them with a meaning on the wire, so that short inputs meet every rule.
_WIRE = [b"data:", b"data", b"event:", b"id:", b"retry: 5", b":", b" ", b"\n", b"\r", b"\r\n", b"\n\n", b"x", b"[DONE]"]
_ODD = [
    b"\xef\xbb\xbf",
    b"\xef",
    b"\xbb",
    b"\xf0\x9f\x98\x80",
    b"\xf0\x9f",
    b"\x98",
    b"\xff",
    b"\0",
    b"\xe2\x80\xa8",
    b"\x0b",
]
wire = st.lists(st.sampled_from(_WIRE + _ODD), max_size=25).map(b"".join)
cuts = st.lists(st.integers(min_value=0, max_value=200), max_size=12)


def pieces(data: bytes, at: list[int]) -> Iterator[bytes]:
    """Cut `data` at the given places; equal places give empty pieces."""
    places = [0, *sorted(min(n, len(data)) for n in at), len(data)]
    return (data[begin:end] for begin, end in pairwise(places))


def decoded(decoder: Any, data: bytes, at: list[int]) -> list[Any]:
    """Feed `data` cut at the given places, and flush."""
    events: list[Any] = []
    for piece in pieces(data, at):
        events += decoder.feed(piece)
    events += decoder.flush()
    return events


def naive_sse(data: bytes) -> list[ServerSentEvent]:
    """Decode a whole stream line by line, as the standard's prose says it."""
    text = data.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = [*re.split("\r\n|\r|\n", text), ""]
    events: list[ServerSentEvent] = []
    buffer, event, last_id = "", "", ""
    for line in lines:
        if line == "":
            if buffer:
                events.append(ServerSentEvent(event or "message", buffer[:-1], last_id))
            buffer, event = "", ""
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            buffer += value + "\n"
        elif name == "event":
            event = value
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


# --- server-sent events ------------------------------------------------------------------------------------------


@given(wire, cuts)
@example(b"\xef\xbb\xbfdata: a\r\n\r\n", [1, 2, 4, 12, 13, 14, 15])
@example(b"data: \xf0\x9f\x98\x80\r\n\r\n", [7, 8, 9, 11])
@unhurried
def test_events_do_not_depend_on_how_the_bytes_are_cut(data: bytes, at: list[int]) -> None:
    """Any cutting gives what the naive reading of the whole gives."""
    assert decoded(SSEDecoder(), data, at) == naive_sse(data)


@given(st.binary(max_size=300), cuts)
@unhurried
def test_arbitrary_bytes_are_decoded_as_the_naive_reading_does(data: bytes, at: list[int]) -> None:
    """Bytes that are no event stream at all raise nothing and give the same as well."""
    assert decoded(SSEDecoder(), data, at) == naive_sse(data)


@given(wire, cuts, st.integers(min_value=0, max_value=12))
@unhurried
def test_the_size_limit_does_not_depend_on_how_the_bytes_are_cut(data: bytes, at: list[int], limit: int) -> None:
    """The same events are too long in one piece, in some pieces and byte by byte."""
    whole = decoded(SSEDecoder(limit), data, [])
    assert decoded(SSEDecoder(limit), data, at) == whole
    assert decoded(SSEDecoder(limit), data, list(range(len(data)))) == whole
    assert all(len(event.data.encode()) <= 3 * limit for event in whole)  # one bad byte becomes three


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", ["YHOO\n+2\n10"]),
        (
            b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
            ["first event", "second event", " third event"],
        ),
        (b"data\n\ndata\ndata\n\ndata:", ["", "\n", ""]),
        (b"data:test\n\ndata: test\n\n", ["test", "test"]),
    ],
)
def test_the_examples_of_the_standard_give_the_events_it_names(stream: bytes, data: list[str]) -> None:
    """The streams of section 9.2.6 give its data; the last event of the third is dispatched by our flush."""
    assert [event.data for event in decoded(SSEDecoder(), stream, [])] == data


def test_an_event_is_there_as_soon_as_its_blank_line_is() -> None:
    """An event waits for no further byte, even when its lines end with CR."""
    decoder = SSEDecoder()
    assert decoder.feed(b"event: delta\rid: 7\rdata: a\r") == []
    assert decoder.feed(b"\r") == [ServerSentEvent("delta", "a", "7")]
    assert decoder.feed(b"\ndata: b\n\n") == [ServerSentEvent("message", "b", "7")]


def test_events_without_a_data_line_are_not_dispatched() -> None:
    """Keep-alive comments and bare names are no events, and a name does not leak into the next one."""
    assert decoded(SSEDecoder(), b": ping\n\nevent: ping\n\nretry: 3\nfoo: bar\n\ndata: a\n\n", []) == [
        ServerSentEvent("message", "a", "")
    ]


def test_a_byte_order_mark_counts_only_at_the_start() -> None:
    """A second one makes its line's field unknown."""
    bom = b"\xef\xbb\xbf"
    assert [e.data for e in decoded(SSEDecoder(), bom + b"data: a\n\n" + bom + b"data: b\n\n", [])] == ["a"]
    assert decoded(SSEDecoder(), bom + bom + b"data: a\n\n", []) == []


def test_the_flush_dispatches_an_event_without_its_blank_line_and_resets() -> None:
    """`data: [DONE]` with one line end or none is an event, and the decoder is as new afterwards."""
    for ending in (b"", b"\n", b"\r", b"\r\n"):
        decoder = SSEDecoder()
        assert decoder.feed(b"id: 1\ndata: [DONE]" + ending) == []
        assert decoder.flush() == [ServerSentEvent("message", "[DONE]", "1")]
        assert decoder.flush() == []
        assert decoder.feed(b"\xef\xbb\xbfdata: again\n\n") == [ServerSentEvent("message", "again", "")]


def test_invalid_utf_8_is_replaced() -> None:
    """A broken sequence costs a replacement character and never the event."""
    assert decoded(SSEDecoder(), b"data: a\xff\xf0\x9f\ndata: b\n\n", []) == [
        ServerSentEvent("message", "a\ufffd\ufffd\nb", "")
    ]


def test_an_event_beyond_the_limit_is_marked_and_the_next_one_is_whole() -> None:
    """Nothing of a long event is held, neither of one long line nor of many short ones."""
    decoder = SSEDecoder(limit=100)
    assert decoder.feed(b"event: big\ndata: " + b"x" * 90) == []
    assert decoder.feed(b"x" * 1000) == []
    assert decoder.feed(b"\n\ndata: small\n\n") == [
        ServerSentEvent("big", "", "", is_too_long=True),
        ServerSentEvent("message", "small", ""),
    ]
    assert decoder.feed(b"data: 123456789\n" * 10 + b"\ndata: small\n\n") == [
        ServerSentEvent("message", "", "", is_too_long=True),
        ServerSentEvent("message", "small", ""),
    ]


def test_a_long_line_at_the_end_of_the_stream_is_marked_too() -> None:
    """The flush gives the mark for a line that never ended."""
    decoder = SSEDecoder(limit=10)
    decoder.feed(b"data: 12345")
    assert decoder.flush() == [ServerSentEvent("message", "", "", is_too_long=True)]


def test_ten_megabytes_in_small_pieces_are_one_event() -> None:
    """A decoder that copied what it holds at each piece would not come to an end here."""
    decoder = SSEDecoder()
    piece = b"0123456789" * 20
    assert decoder.feed(b"data: ") == []
    for _ in range(10_000_000 // len(piece)):
        assert decoder.feed(piece) == []
    (event,) = decoder.feed(b"\n\n")
    assert len(event.data) == 10_000_000
    assert not event.is_too_long


def _recordings() -> Path:
    default = Path(__file__).parents[2] / "shared" / "recordings"
    return Path(os.environ.get("STREAMSPAN_RECORDINGS", default))


@pytest.mark.skipif(not _recordings().is_dir(), reason="the vendor recordings are not on this machine")
def test_recorded_vendor_streams_give_whole_json_at_any_cutting() -> None:
    """The raw streams among the recordings decode to the naive reading's events, each of them JSON or the end."""
    bodies = [path.read_bytes() for path in sorted(_recordings().rglob("*")) if path.suffix in {".sse", ".txt"}]
    assert bodies
    for body in bodies:
        events = decoded(SSEDecoder(), body, list(range(0, len(body), 7)))
        assert events == naive_sse(body)
        assert all(event.data == "[DONE]" or json.loads(event.data) is not None for event in events)


# --- lines of JSON -----------------------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=5), cuts, st.sampled_from(["\n", "\r\n", "\n\n", " \n \n"]), st.booleans())
@unhurried
def test_lines_of_json_come_back_whole(values: list[Any], at: list[int], end: str, has_last_end: bool) -> None:
    """Each value comes back once, in order, also the last one without a line end."""
    text = end.join(json.dumps(value, ensure_ascii=False) for value in values) + end * has_last_end
    lines = decoded(NDJSONDecoder(), text.encode("utf-8", "replace"), at)
    assert lines == [json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode() for value in values]


@given(wire, cuts)
@unhurried
def test_arbitrary_lines_do_not_depend_on_how_they_are_cut(data: bytes, at: list[int]) -> None:
    """Bytes that are no JSON give the same lines in any cutting, blank ones left out."""
    lines = [line.strip().decode("utf-8", "replace") for line in re.split(b"[\r\n]", data)]
    assert decoded(NDJSONDecoder(), data, at) == [line for line in lines if line]


def test_a_long_line_of_json_is_left_out_and_counted() -> None:
    """The lines around it are not affected."""
    decoder = NDJSONDecoder(limit=20)
    assert decoder.feed(b'{"a":1}\n{"b":"' + b"x" * 50 + b'"}\n{"c":3}\n') == ['{"a":1}', '{"c":3}']
    assert decoder.feed(b'{"d":"' + b"x" * 50) == []
    assert decoder.flush() == []
    assert decoder.too_long_count == 2


# --- a JSON array ------------------------------------------------------------------------------------------------


@given(st.lists(json_values, max_size=6), cuts, st.booleans(), st.sampled_from([None, 2]))
@unhurried
def test_the_elements_of_an_array_come_back_whole(
    values: list[Any], at: list[int], is_ascii: bool, indent: int | None
) -> None:
    """Every element of the array comes back once, in order, with its value unchanged."""
    data = json.dumps(values, ensure_ascii=is_ascii, indent=indent).encode("utf-8", "replace")
    elements = decoded(JSONArrayDecoder(), data, at)
    assert [json.loads(element) for element in elements] == json.loads(data)


@given(
    st.lists(st.sampled_from([*'[]{},:"\\x1 ']), max_size=40).map("".join), cuts, st.integers(min_value=0, max_value=30)
)
@unhurried
def test_arrays_of_any_shape_do_not_depend_on_how_they_are_cut(text: str, at: list[int], limit: int) -> None:
    """Broken JSON raises nothing, and its elements and the long ones among them are the same in any cutting."""
    whole, cut = JSONArrayDecoder(limit), JSONArrayDecoder(limit)
    data = text.encode()
    assert decoded(cut, data, at) == decoded(whole, data, [])
    assert cut.too_long_count == whole.too_long_count


def test_an_element_is_there_with_its_closing_bracket() -> None:
    """An object does not wait for the comma after it; a number has to."""
    decoder = JSONArrayDecoder()
    assert decoder.feed(b'[{"text": "a ] } , \\" "}') == ['{"text": "a ] } , \\" "}']
    assert decoder.feed(b",\r\n[1, [2]]") == ["[1, [2]]"]
    assert decoder.feed(b", 12") == []
    assert decoder.feed(b"3, ") == ["123"]
    assert decoder.feed(b"null]") == ["null"]


def test_a_bare_object_is_an_element() -> None:
    """Errors come outside of any array; what is around them is none."""
    decoder = JSONArrayDecoder()
    assert decoder.feed(b' , ] \n{"error": {"code": [503, 1]}}\n{"a": 1}') == [
        '{"error": {"code": [503, 1]}}',
        '{"a": 1}',
    ]
    assert decoder.feed(b"[1]") == ["1"]


def test_a_long_element_is_left_out_and_counted() -> None:
    """The elements around it are not affected, and an element that never ended is none."""
    decoder = JSONArrayDecoder(limit=20)
    assert decoder.feed(b'[{"a":1},{"b":"' + b"x" * 50) == ['{"a":1}']
    assert decoder.feed(b"x" * 50 + b'"},{"c":3},{"d') == ['{"c":3}']
    assert decoder.flush() == []
    assert decoder.too_long_count == 1
    assert decoder.feed(b"[4]") == ["4"]


# --- the end marker ----------------------------------------------------------------------------------------------


def is_marked(data: bytes, at: list[int]) -> bool:
    """Feed `data` cut at the given places and ask for `[DONE]`."""
    marker = TailMarker("[DONE]")
    for piece in pieces(data, at):
        marker.feed(piece)
    return marker.seen()


@pytest.mark.parametrize("line", [b"data: [DONE]", b"data:[DONE]", b"data: [DONE] "])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n", b"\r", b"\r\n\r\n"])
@pytest.mark.parametrize("before", [b"", b"data: {}\n\n", b"data: " + b"x" * 500 + b"\r\n\r\n", b"event: done\n"])
def test_the_marker_is_seen_at_any_cutting(before: bytes, line: bytes, end: bytes) -> None:
    """In one piece, byte by byte, and cut at every place, the marker's line is seen."""
    data = before + line + end
    assert is_marked(data, [])
    assert is_marked(data, list(range(len(data))))
    assert all(is_marked(data, [place]) for place in range(len(data)))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"data: {}\n\n",
        b"xdata: [DONE]\n",
        b'data: {"text": "data: [DONE]"}\n\n',
        b"data: [DONE]x\n",
        b"data:  [DONE]\n",
        b"data: [DON",
    ],
)
def test_what_only_looks_like_the_marker_is_none(data: bytes) -> None:
    """The marker in the middle of a line, with more behind it or cut short is not the marker."""
    assert not is_marked(data, [])
    assert not is_marked(data, list(range(len(data))))


@given(st.integers(min_value=0, max_value=200), cuts)
@unhurried
def test_a_line_that_the_bounded_tail_cuts_open_is_no_marker(length: int, at: list[int]) -> None:
    """Where the tail begins is not where a line begins."""
    data = b"data: " + b"x" * length + b"data: [DONE]" + b"\n" * (length % 60)
    assert not is_marked(data, at)


@given(st.integers(min_value=0, max_value=50), cuts)
@unhurried
def test_the_marker_is_found_in_the_last_bytes(count: int, at: list[int]) -> None:
    """Up to 64 bytes with the marker among them are remembered in any cutting."""
    assert is_marked(b"data: {}\n\ndata: [DONE]\n" + b"\n" * count, at)


def test_no_more_than_the_tail_and_the_last_piece_are_held() -> None:
    """A marker further back in earlier pieces is forgotten: memory is bounded."""
    assert not is_marked(b"data: [DONE]\n\n" + b":" * 6000, [14, 2500, 4000])
    assert not TailMarker("").seen()


# --- content codings ---------------------------------------------------------------------------------------------


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _both(data: bytes) -> bytes:
    return zlib.compress(gzip.compress(data))


def content(decoder: ContentDecoder | None, data: bytes, at: list[int]) -> bytes:
    """Decode `data` cut at the given places."""
    assert decoder is not None
    return b"".join(decoder.decode(piece) for piece in pieces(data, at))


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("identity", bytes),
        ("", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", _raw_deflate),
        ("gzip, deflate", _both),
        ("gzip,identity", gzip.compress),
    ],
)
@given(data=st.binary(max_size=300), at=cuts)
@unhurried
def test_codings_are_undone_at_any_cutting(
    encoding: str, encode: Callable[[bytes], bytes], data: bytes, at: list[int]
) -> None:
    """What was encoded comes back; several codings are undone last one first."""
    encoded = encode(data)
    assert content(content_decoder(encoding), encoded, at) == data
    assert content(content_decoder(encoding), encoded, list(range(len(encoded)))) == data


@pytest.mark.parametrize("encoding", ["compress", "gzip, aws-chunked", "nonsense"])
def test_an_unknown_coding_has_no_decoder(encoding: str) -> None:
    """One unknown coding makes the whole header unknown."""
    assert content_decoder(encoding) is None


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, deflate"])
@given(data=st.binary(max_size=100), at=cuts)
@unhurried
def test_corrupt_content_never_raises(encoding: str, data: bytes, at: list[int]) -> None:
    """Arbitrary bytes decode to something or nothing."""
    assert isinstance(content(content_decoder(encoding), data, at), bytes)


def test_corrupt_content_ends_the_decoding() -> None:
    """What came before stays, and nothing comes after, not even good bytes."""
    packer = zlib.compressobj(wbits=31)
    start = packer.compress(b"good ") + packer.flush(zlib.Z_SYNC_FLUSH)
    decoder = content_decoder("gzip")
    assert decoder is not None
    assert decoder.decode(start) == b"good "
    assert decoder.decode(b"\xff" * 50) == b""
    assert decoder.decode(gzip.compress(b"more")) == b""


@pytest.mark.parametrize(
    ("encoding", "package", "error"), [("br", "brotli", b"\xff" * 9), ("zstd", "zstandard", b"no frame")]
)
def test_optional_codings_are_undone_where_their_package_is(encoding: str, package: str, error: bytes) -> None:
    """Brotli and Zstandard behave as the others do."""
    module = pytest.importorskip(package, reason=f"{package} is an optional package")
    compress = module.compress if encoding == "br" else module.ZstdCompressor().compress
    data = json.dumps(list(range(1000))).encode()
    encoded = compress(data)
    assert content(content_decoder(encoding), encoded, list(range(0, len(encoded), 5))) == data
    broken = content_decoder(encoding)
    assert content(broken, error, []) == b""
    assert content(broken, encoded, []) == b""


@pytest.mark.parametrize("encoding", ["br", "zstd"])
def test_optional_codings_are_unknown_without_their_package(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is missing is no error."""
    for package in ("brotli", "brotlicffi", "zstandard", "compression.zstd", "backports.zstd"):
        monkeypatch.setitem(sys.modules, package, None)
    assert content_decoder(encoding) is None


def test_zstandard_of_the_standard_library_serves_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.14 brings its own; what follows a whole frame is ignored."""
    module = pytest.importorskip("compression.zstd", reason="new in Python 3.14")
    monkeypatch.setitem(sys.modules, "zstandard", None)
    encoded = module.compress(b"data" * 100)
    decoder = content_decoder("zstd")
    assert content(decoder, encoded, [5, 9]) == b"data" * 100
    assert content(decoder, encoded, []) == b""


@pytest.mark.parametrize(
    ("body", "is_seen"),
    [
        (b'event: message_stop\ndata: {"type":"message_stop"}\n\n', True),
        (b'event: message_stop\r\ndata: {"type":"message_stop" }\r\n', True),
        (b'event: message_stop\ndata: {"type":"message_stop"}', True),
        (b'event: message_stop\ndata: {"type":"mess', False),
        (b"event: message_stop\n", False),
        (b'event: content_block_delta\ndata: {"text":"event: message_stop"}\n\n', False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_event_is_a_marker_when_its_data_are_there(body: bytes, is_seen: bool, size: int) -> None:
    """Whatever the pieces are, and also without the empty line that would end it."""
    marker = TailMarker("message_stop", is_event=True)
    whole = b'event: message_delta\ndata: {"type":"message_delta"}\n\n' + body
    for at in range(0, len(whole), size):
        marker.feed(whole[at : at + size])
    assert marker.seen() is is_seen
