"""The tap in a body of aiohttp: `ClientResponse.content`.

aiohttp's reader has `__slots__` and is fed by the protocol, so it stays where it is, and the response gets an object of
a subclass in front of it that passes everything on: every member of the class, by name, whatever the version has. Only
the reading methods tell what they return. A response that is closed or released tells its reader by an exception, in
every version from 3.9 to 3.14; the protocol's own exceptions go to the reader behind.
"""

from __future__ import annotations

from collections.abc import Awaitable
from functools import cache
from types import FunctionType
from typing import Any, cast

from streamspan._byte_feed import ByteFeed
from streamspan._ownership import Call, async_reader

# They are made of the other methods, so what they read is told by those.
_OWN = frozenset({"iter_chunked", "iter_any", "iter_chunks", "readexactly"})


def attach(call: Call, response: Any, *, is_decoded: bool) -> bool | None:
    """Put a tap in the body of a response; None if that cannot be done."""
    reader, kind = response.content, cast("Any", type(response.content))
    call.owned_by(response)
    encoding = "" if is_decoded else response.headers.get("content-encoding", "")
    feed = ByteFeed(call, response.headers.get("content-type", ""), encoding)
    if not hasattr(kind, "feed_data"):
        return None
    response.content = _tapped(kind)(reader, feed, call)
    return True


class _Tap:
    """The reading methods, in front of a reader."""

    _inner: Any
    _feed: ByteFeed
    _call: Call

    def __init__(self, inner: Any, feed: ByteFeed, call: Call) -> None:
        # Not through the reader's own attributes, which stand for those of the one behind.
        self.__dict__.update(_inner=inner, _feed=feed, _call=call)

    def __getattr__(self, name: str) -> Any:
        if name in {"_inner", "_feed", "_call"}:
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return repr(self._inner)

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
        data = self._inner.read_nowait(n)
        self._feed.before(async_reader())
        self._feed.after(data)
        return data

    def set_exception(self, *args: Any, **options: Any) -> None:
        # Only the response comes here, when it is closed or released.
        self._feed.closed(async_reader())
        self._inner.set_exception(*args, **options)

    async def _read(self, reading: Awaitable[Any], *, is_end: bool = True) -> Any:
        feed = self._feed
        feed.before(async_reader())
        try:
            found = await reading
        except BaseException as exc:
            feed.over(exc)
            raise
        data = found if isinstance(found, bytes) else found[0]
        if data:
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
