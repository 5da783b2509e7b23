"""The framing of requests and answers, without a socket."""

from __future__ import annotations

import zlib

import pytest

from streamspan.demo import http11

BODY = '{"model":"é"}'.encode()
REQUEST = b"POST /ok/v1/x?a=1&b=%%20 HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
CHUNKED = b'POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n'


@pytest.mark.parametrize("size", range(1, len(REQUEST) + 1))
def test_a_request_is_the_same_at_every_read_size(size: int) -> None:
    """Two requests in a row come out whole, wherever the reads are cut."""
    reader = http11.RequestReader()
    data = REQUEST + CHUNKED
    requests = [request for at in range(0, len(data), size) for request in reader.feed(data[at : at + size])]
    assert [(r.method, r.path, r.query, r.fields()) for r in requests] == [
        ("POST", "/ok/v1/x", {"a": "1", "b": " "}, {"model": "é"}),
        ("POST", "/x", {}, {"a": 1}),
    ]


def test_header_names_are_lower_case() -> None:
    """Headers are found whatever their case on the wire."""
    (request,) = http11.RequestReader().feed(b"GET / HTTP/1.1\r\nConnection: Close\r\nX-A:  b \r\n\r\n")
    assert request.headers == {"connection": "Close", "x-a": "b"}
    assert request.is_last


def test_a_form_is_read_into_fields() -> None:
    """Text fields keep their text, files say their name and size."""
    body = (
        b'--B\r\nContent-Disposition: form-data; name="stream"\r\n\r\ntrue\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\xff\x01\r\n--B--\r\n"
    )
    request = http11.Request("POST", "/", {"content-type": "multipart/form-data; boundary=B"}, body)
    assert request.fields() == {"stream": "true", "file": {"filename": "a.wav", "size": 3}}


@pytest.mark.parametrize("body", [b"", b"[1]", b"{", b"\xff"])
def test_a_body_that_is_no_object_is_none(body: bytes) -> None:
    """What cannot be parameters is None."""
    assert http11.Request("POST", "/", {}, body).fields() is None


@pytest.mark.parametrize("data", [b"\x16\x03\x01\r\n\r\n", b"GET /\r\n\r\n", b"a" * 70000])
def test_what_is_no_request_is_refused(data: bytes) -> None:
    """TLS, HTTP/0.9 and endless heads are malformed."""
    with pytest.raises(http11.MalformedRequestError):
        list(http11.RequestReader().feed(data))


def test_a_chunk_has_its_size_in_hexadecimal() -> None:
    """The framing of RFC 9112, section 7.1."""
    assert http11.chunk(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"


def test_gzip_can_be_decoded_after_every_piece() -> None:
    """A client sees each event without waiting for the next one."""
    coding, decoder = http11.Gzip(), zlib.decompressobj(wbits=31)
    assert [decoder.decompress(coding.piece(piece)) for piece in (b"one", b"two")] == [b"one", b"two"]
    decoder.decompress(coding.end())
    assert decoder.eof
