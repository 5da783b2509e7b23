"""Content codings undone piece by piece: what `Content-Encoding` names, as far as it can be undone here.

Brotli and Zstandard are optional packages that are looked for when a stream needs them. Corrupt data end the decoding
in silence: whoever reads the stream will say what is wrong with it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from types import ModuleType
from typing import Protocol

_ZLIB_HEADER = 2


class ContentDecoder(Protocol):
    """Undoes a content coding piece by piece."""

    def decode(self, data: bytes) -> bytes:
        """Return what the bytes decode to; nothing any more once they were corrupt."""
        ...

    @property
    def is_broken(self) -> bool:
        """Whether the bytes were corrupt."""
        ...


class _Identity:
    __slots__ = ()

    is_broken = False

    def decode(self, data: bytes) -> bytes:
        return data


class _Coding:
    """A decompressing function that ends for good at the first error."""

    __slots__ = ("_decompress", "_errors", "is_broken")

    def __init__(self, decompress: Callable[[bytes], bytes], *errors: type[Exception]) -> None:
        self._decompress = decompress
        self._errors = errors
        self.is_broken = False

    def decode(self, data: bytes) -> bytes:
        if self.is_broken or not data:
            return b""
        try:
            return self._decompress(data)
        except self._errors:
            self.is_broken = True
            return b""


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


def _gzip() -> ContentDecoder:
    return _Coding(zlib.decompressobj(16 + zlib.MAX_WBITS).decompress, zlib.error)


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
            inflate = zlib.decompressobj(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS).decompress
        return inflate(data)

    return _Coding(decompress, zlib.error)


def _brotli() -> ContentDecoder | None:
    module = _first_of("brotli", "brotlicffi")
    if module is None:
        return None
    decompressor = module.Decompressor()
    # brotli calls it process, brotlicffi decompress.
    return _Coding(getattr(decompressor, "process", None) or decompressor.decompress, module.error)


def _zstd() -> ContentDecoder | None:
    module = _first_of("zstandard", "compression.zstd")
    if module is None:
        return None
    decompressor = module.ZstdDecompressor()
    if hasattr(decompressor, "decompressobj"):
        decompressor = decompressor.decompressobj()
    return _Coding(decompressor.decompress, module.ZstdError, EOFError)


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
