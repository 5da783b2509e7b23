"""The tap in a body of aiohttp: `ClientResponse.content`.

aiohttp's reader has `__slots__` and is fed by the protocol, so it stays where it is, and the response gets an object of
a subclass in front of it that passes everything on: every member of the class, by name, whatever the version has. Only
the reading methods tell what they return. A response that is closed or released tells its reader by an exception, in
every version from 3.9 to 3.14; the protocol's own exceptions go to the reader behind.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable
from functools import cache
from types import FunctionType
from typing import Any, cast

from streamspan._byte_feed import ByteFeed, take_unseen, take_whole
from streamspan._ownership import Call, async_reader

# They are made of the other methods, so what they read is told by those.
_OWN = frozenset({"iter_chunked", "iter_any", "iter_chunks", "readexactly"})


def attach(call: Call, response: Any, *, is_decoded: bool) -> bool | None:
    """Put a tap in the body of a response, which aiohttp decodes if it can; None if that cannot be done."""
    reader, kind = response.content, cast("Any", type(response.content))
    call.owned_by(response)
    encoding = response.headers.get("content-encoding", "")
    if is_decoded and encoding.lower() in _codings():
        encoding = ""
    content_type: str = response.headers.get("content-type", "")
    if not hasattr(kind, "feed_data"):
        return None
    body: bytes | None = getattr(response, "_body", None)  # there if a middleware has read it (aiohttp 3.12 and later)
    if body is not None:
        take_whole(call, body, content_type, encoding)
        return True
    if getattr(reader, "total_bytes", 0) and reader.at_eof():
        take_unseen(call)
        return True
    feed = ByteFeed(call, content_type, encoding)
    response.content = _tapped(kind)(reader, feed, call)
    return True


def _codings() -> frozenset[str]:
    """Return what aiohttp decodes; any other coding it hands out as it is."""
    # Since aiohttp 3.12; without a package that can do it, it refuses such a body.
    has_zstd = hasattr(sys.modules.get("aiohttp.http_parser"), "HAS_ZSTD")
    return frozenset({"gzip", "deflate", "br", *(["zstd"] if has_zstd else [])})


class _Tap:
    """The reading methods, in front of a reader."""

    _inner: Any
    _feed: ByteFeed
    _call: Call
    _waiting: int

    def __init__(self, inner: Any, feed: ByteFeed, call: Call) -> None:
        # Not through the reader's own attributes, which stand for those of the one behind.
        self.__dict__.update(_inner=inner, _feed=feed, _call=call, _waiting=0)

    def __getattr__(self, name: str) -> Any:
        if name in {"_inner", "_feed", "_call", "_waiting"}:
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._inner.__reduce_ex__(protocol)  # a copy of a tap would end the session when it is let go

    def __del__(self) -> None:
        call = self.__dict__.get("_call")
        if call is not None and not call.session.is_ended:
            call.lifecycle.dropped(call.session)

    async def read(self, n: int = -1) -> Any:
        if n < 0:
            return await super().read(n)  # type: ignore[misc] # the reader's, which calls `readany` until the end
        return await self._read(self._inner.read(n), is_end=n > 0)

    async def readany(self) -> Any:
        return await self._read(self._inner.readany())

    async def readline(self, **options: Any) -> Any:
        return await self._read(self._inner.readline(**options))

    async def readuntil(self, *args: Any, **options: Any) -> Any:
        return await self._read(self._inner.readuntil(*args, **options))

    async def readchunk(self) -> Any:
        return await self._read(self._inner.readchunk())

    def read_nowait(self, n: int = -1) -> Any:
        feed, is_second = self._feed, self._waiting > 0
        if not is_second:
            feed.before(async_reader())
        try:
            data = self._inner.read_nowait(n)
        except BaseException as exc:
            if not is_second:  # else refused, as in `_read`
                feed.over(exc)
            raise
        if is_second:
            feed.before(async_reader())
        feed.after(data)
        return data

    def unread_data(self, data: bytes) -> None:
        self._feed.unread(data)
        self._inner.unread_data(data)

    def at_eof(self) -> bool:
        is_over: bool = self._inner.at_eof()
        if is_over:
            self._tell_end()
        return is_over

    def set_exception(self, *args: Any, **options: Any) -> None:
        # Only the response comes here, when it is closed or released: perhaps with nothing left to read.
        if self._inner.at_eof():
            self._tell_end()
        self._feed.closed(async_reader())
        self._inner.set_exception(*args, **options)

    def _tell_end(self) -> None:
        """Tell of the end to which the caller has read without a read that came back empty."""
        if self._inner.exception() is None:
            self._feed.over(StopAsyncIteration())

    async def _read(self, reading: Awaitable[Any], *, is_end: bool = True) -> Any:
        feed, is_second = self._feed, self._waiting > 0
        if not is_second:
            feed.before(async_reader())
        self.__dict__["_waiting"] += 1
        try:
            found = await reading
        except BaseException as exc:
            # aiohttp refuses a second reader while the first one waits: that says nothing of the stream.
            if not is_second:
                feed.over(exc)
            raise
        finally:
            self.__dict__["_waiting"] -= 1
        data = found if isinstance(found, bytes) else found[0]
        if data:
            if is_second or self._waiting:
                feed.before(async_reader())  # what the other one got is read first
            feed.after(data)
        elif is_end and found != (b"", True):  # an empty chunk is the end of a chunk of HTTP, and not of the body
            feed.over(StopAsyncIteration())
        return found


@cache
def _tapped(kind: type[Any]) -> type[Any]:
    """Make the class of taps for one class of readers: a subclass, all of whose members are those of the reader behind."""
    own = _OWN | vars(_Tap).keys()
    members: dict[str, Any] = {
        "__module__": kind.__module__,
        "__qualname__": kind.__qualname__,
        "__doc__": kind.__doc__,
    }
    for base in reversed(kind.__mro__[:-1]):
        for name, member in vars(base).items():
            if name not in own and not (name.startswith("__") and name.endswith("__")):
                members[name] = _method(name) if isinstance(member, FunctionType) else _attribute(name)
    return type(kind.__name__, (_Tap, kind), members)


def _method(name: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(self._inner, name)(*args, **kwargs)

    return method


def _attribute(name: str) -> property:
    return property(lambda self: getattr(self._inner, name), lambda self, value: setattr(self._inner, name, value))
