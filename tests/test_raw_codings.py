"""Raw streams whose bodies are in a content coding, or say that they are: gzip, deflate, Brotli, Zstandard."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec

import pytest

from support.http_clients import CLIENTS
from support.played import ASKED, PATH, STREAM, played, twice
from support.replay import Replay, cut

_EVERY_CLIENT = pytest.mark.parametrize("client", CLIENTS)
_BODY = b"".join(STREAM)
_CODINGS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("zlib", gzip.compress),
    "deflate": ("zlib", zlib.compress),
    "br": ("brotli", lambda data: import_module("brotli").compress(data)),
    "zstd": ("zstandard", lambda data: import_module("zstandard").ZstdCompressor().compress(data)),
}
_EVERY_CODING = pytest.mark.parametrize(
    "coding",
    [
        pytest.param(name, marks=pytest.mark.skipif(find_spec(package) is None, reason=f"{package} is not installed"))
        for name, (package, _) in _CODINGS.items()
    ],
)


def _coded(coding: str) -> bytes:
    return _CODINGS[coding][1](_BODY)


# requests and aiohttp always decode.
_READINGS = [(client, False) for client in CLIENTS] + [(client, True) for client in CLIENTS if "httpx" in client]


@_EVERY_CODING
@pytest.mark.parametrize(("client", "is_decoded"), _READINGS)
def test_a_compressed_stream_is_read(client: str, coding: str, is_decoded: bool) -> None:
    """Whether the library hands out the bytes before or after decoding, or cannot decode them at all."""
    pieces = cut(_coded(coding), 10)
    seen, told = played(client, pieces, headers=[f"content-encoding: {coding}"], how={"is_decoded": is_decoded})
    if type(seen) is tuple:  # aiohttp without the package that it wants refuses such a body: it reads no stream
        assert told.summary.outcome == "error"
        return
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)


@_EVERY_CODING
@_EVERY_CLIENT
def test_a_body_that_is_not_in_its_coding_is_the_librarys_error(client: str, coding: str) -> None:
    """By the name that the caller gets, who did not cancel anything; where the library passes it on, it is the stream."""
    seen, told = played(client, STREAM, headers=[f"content-encoding: {coding}"], how={"is_decoded": True})
    if type(seen) is bytes:
        assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 0)
        return
    # httpx and httpx2 decode above the bytes, and httpx2 closes before anybody can see what it raises.
    names = {seen[0], "_OTHER"} if client.startswith("httpx2") else {seen[0]}
    assert told.summary.outcome == "error"
    assert told.summary.error_type in names


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
@_EVERY_CLIENT
def test_a_body_that_ends_within_its_coding_is_no_complete_stream(client: str, coding: str) -> None:
    """Some libraries raise, the others do not notice."""
    pieces = [_coded(coding)[:-20]]
    seen, told = played(client, pieces, headers=[f"content-encoding: {coding}"], how={"is_decoded": True})
    assert told.summary.outcome == ("truncated" if type(seen) is bytes else "error")


@_EVERY_CLIENT
def test_bytes_in_a_coding_that_nobody_knows_are_passed_on(client: str) -> None:
    """What is in them cannot be told; that they came to their end can."""
    got, told = played(client, STREAM, headers=["content-encoding: secret"])
    assert got == _BODY
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 0)


@_EVERY_CODING
def test_a_raw_body_that_is_compressed_is_read_as_it_comes(coding: str) -> None:
    """`raw` of requests hands out what is on the wire unless it is asked to decode."""
    requests = pytest.importorskip("requests")
    with Replay(cut(_coded(coding), 9), headers=[f"content-encoding: {coding}"]) as replay:

        def program() -> bytes:
            with requests.post(f"{replay.url}{PATH}", json=ASKED, stream=True, timeout=5) as response:
                return bytes(response.raw.read())

        seen, told = twice(program)
    assert seen == _coded(coding)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", 2)
