"""Bodies that say little and decode to a lot: a caller who never undoes the coding must not pay for it."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest

from streamspan._codings import content_decoder
from streamspan._wire import FLUSH, REST, WireReader
from streamspan.providers import Endpoint
from streamspan.providers._generic import read_anything
from support.played import STREAM, played
from support.replay import cut

_MEBIBYTE = 2**20
_CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("zlib", gzip.compress),
    "deflate": ("zlib", zlib.compress),
    "gzip, gzip": ("zlib", lambda data: gzip.compress(gzip.compress(data))),
    "br": ("brotli", lambda data: import_module("brotli").compress(data, quality=1)),
    "zstd": ("zstandard", lambda data: import_module("zstandard").ZstdCompressor().compress(data)),
}
_EVERY_CODING = pytest.mark.parametrize(
    "coding",
    [
        pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
        for name, (package, _) in _CODINGS.items()
    ],
)


def _bomb(coding: str) -> bytes:
    return _CODINGS[coding][1](bytes(128 * _MEBIBYTE))


@pytest.mark.parametrize("size", [0, 4096])
@_EVERY_CODING
def test_what_decodes_to_too_much_is_given_up(coding: str, size: int) -> None:
    """In little memory, whatever the pieces are; it is not corrupt, and says nothing any more."""
    pieces = cut(_bomb(coding), size)
    reader = WireReader(
        Endpoint(name="test", operation="chat", paths=(), read=read_anything),
        "text/event-stream",
        coding,
        is_stream=True,
    )
    tracemalloc.start()
    for piece in (*pieces, REST, FLUSH):
        assert list(reader.read(piece)) == []
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 80 * _MEBIBYTE
    assert (reader.is_blind, reader.is_corrupt) == (True, False)


@_EVERY_CODING
def test_what_says_the_same_again_and_again_is_read(coding: str) -> None:
    """Ten megabytes of a stream are no bomb."""
    body = b"".join(b'data: {"id": "%d", "text": "Hallo Welt"}\n\n' % number for number in range(250_000))
    decoder = content_decoder(coding)
    assert decoder is not None
    assert b"".join(map(decoder.decode, cut(_CODINGS[coding][1](body), 65536))) == body
    assert not decoder.is_too_much


@pytest.mark.parametrize("client", ["httpx", "httpx-async"])
def test_a_caller_who_passes_on_what_is_coded_has_it_all(client: str) -> None:
    """Of what is in it nothing is known but that it has ended."""
    body = gzip.compress(b"".join(STREAM[:1]) + bytes(64 * _MEBIBYTE))
    got, told = played(client, [body], headers=("content-encoding: gzip",))
    assert got == body
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 0)
