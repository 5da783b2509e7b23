"""Content codings undone piece by piece: what `Content-Encoding` names, as far as it can be undone here.

Brotli and Zstandard are optional packages that are looked for when a stream needs them. Corrupt data end the decoding
in silence: whoever reads the stream will say what is wrong with it. So does too much of it: the caller may never undo
the coding, and must not pay with its time and memory for a kilobyte that inflates to a gigabyte.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Protocol

_ZLIB_HEADER = 2
_MOST_AT_ONCE = 16 * 2**20
_MOST_RATIO = 500  # the same event again and again comes to 250, zeros to 1,000
_SLICE = 512


class ContentDecoder(Protocol):
    """Undoes a content coding piece by piece."""

    def decode(self, data: bytes) -> bytes:
        """Return what the bytes decode to; nothing any more once they were corrupt."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether the bytes were corrupt."""
        ...

    @property
    def is_too_much(self) -> bool:
        """Whether the bytes decode to so much that they are decoded no more."""
        ...


class _Identity:
    __slots__ = ()

    is_broken = is_too_much = False

    def decode(self, data: bytes) -> bytes:
        return data


class _Coding:
    """A decompressing function that ends for good at the first error, and when it gives too much.

    Args:
        decompress: stops, or is left, soon after `_MOST_AT_ONCE` bytes.
        errors: what it raises.
    """

    __slots__ = ("_decompress", "_errors", "_given", "_taken", "is_broken", "is_too_much")

    def __init__(self, decompress: Callable[[bytes], bytes], *errors: type[Exception]) -> None:
        self._decompress = decompress
        self._errors = errors
        self._taken = self._given = 0
        self.is_broken = self.is_too_much = False

    def decode(self, data: bytes) -> bytes:
        if self.is_broken or self.is_too_much or not data:
            return b""
        try:
            plain = self._decompress(data)
        except self._errors:
            self.is_broken = True
            return b""
        self._taken += len(data)
        self._given += len(plain)
        if self._given > _MOST_AT_ONCE and (len(plain) > _MOST_AT_ONCE or self._given > _MOST_RATIO * self._taken):
            self.is_too_much = True
            return b""
        return plain


class _Chain:
    """Several codings, undone in the reverse order of the header."""

    __slots__ = ("_decoders",)

    def __init__(self, decoders: list[ContentDecoder]) -> None:
        self._decoders = decoders

    def decode(self, data: bytes) -> bytes:
        for decoder in self._decoders:
            data = decoder.decode(data)
        return data

    @property
    def is_broken(self) -> bool:
        return any(decoder.is_broken for decoder in self._decoders)

    @property
    def is_too_much(self) -> bool:
        return any(decoder.is_too_much for decoder in self._decoders)


def _sliced(decompress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    """Return a function for one that knows no bound: it is left after the slice that was too much."""

    def decompress_slices(data: bytes) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for at in range(0, len(data), _SLICE):
            pieces.append(decompress(data[at : at + _SLICE]))
            size += len(pieces[-1])
            if size > _MOST_AT_ONCE:
                break
        return b"".join(pieces)

    return decompress_slices


def _inflate(window_bits: int) -> Callable[[bytes], bytes]:
    decompress = zlib.decompressobj(window_bits).decompress
    return lambda data: decompress(data, _MOST_AT_ONCE + 1)  # takes the bound by position only


def _gzip() -> ContentDecoder:
    return _Coding(_inflate(16 + zlib.MAX_WBITS), zlib.error)


def _deflate() -> ContentDecoder:
    """RFC 9110 means zlib's format, some servers send the raw one; the first two bytes tell."""
    start = b""
    inflate: Callable[[bytes], bytes] | None = None

    def decompress(data: bytes) -> bytes:
        nonlocal start, inflate
        if inflate is None:
            start = data = start + data
            if len(data) < _ZLIB_HEADER:
                return b""
            is_zlib = data[0] & 15 == zlib.DEFLATED and int.from_bytes(data[:_ZLIB_HEADER], "big") % 31 == 0
            inflate = _inflate(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        return inflate(data)

    return _Coding(decompress, zlib.error)


def _brotli() -> ContentDecoder | None:
    module = _first_of("brotli", "brotlicffi")
    if module is None:
        return None
    decompressor = module.Decompressor()
    # brotli calls it process, brotlicffi decompress.
    decompress = getattr(decompressor, "process", None) or decompressor.decompress
    with suppress(TypeError):  # brotli and brotlicffi know a bound since 1.2
        decompress(b"", output_buffer_limit=_MOST_AT_ONCE + 1)
        return _Coding(partial(decompress, output_buffer_limit=_MOST_AT_ONCE + 1), module.error)
    return _Coding(_sliced(decompress), module.error)


def _zstd() -> ContentDecoder | None:
    module = _first_of("zstandard", "compression.zstd", "backports.zstd")
    if module is None:
        return None
    decompressor = module.ZstdDecompressor()
    if hasattr(decompressor, "decompressobj"):
        decompressor = decompressor.decompressobj()
    return _Coding(_sliced(decompressor.decompress), module.ZstdError, EOFError)


def _first_of(*names: str) -> ModuleType | None:
    for name in names:
        with suppress(ImportError):
            return import_module(name)
    return None


_CODINGS: dict[str, Callable[[], ContentDecoder | None]] = {
    "identity": _Identity,
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
    "zstd": _zstd,
}


def content_decoder(encoding: str) -> ContentDecoder | None:
    """Return a decoder for a `Content-Encoding` header, None if one of its codings is unknown here."""
    decoders: list[ContentDecoder] = []
    for name in encoding.lower().split(","):
        make = _CODINGS.get(name.strip() or "identity")
        decoder = make() if make else None
        if decoder is None:
            return None
        decoders.insert(0, decoder)
    return decoders[0] if len(decoders) == 1 else _Chain(decoders)
