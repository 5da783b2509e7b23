"""Byte streams of HTTP responses: the close that always comes, and the bytes when no SDK reads them.

Leaving `with stream:` or closing a response reaches the SDK's item iterator late or never (openai's convenience
streams close the response directly, its generator stays suspended until garbage collection), but it always closes the
HTTP body. So that is where a session ends early.

httpx and httpx2 are the same to this module: a tap is a subclass of the right module's stream class, because both test
`isinstance(response.stream, SyncByteStream)`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from functools import cache, lru_cache, partial
from typing import Any

from streamspan._byte_feed import ByteFeed
from streamspan._codings import content_decoder
from streamspan._decoders import TailMarker
from streamspan._ownership import Call, Sending, async_reader, call_of, mark, sync_reader
from streamspan._taps import told_closed
from streamspan._wire import read_tail


def attach(call: Call, response: Any) -> None:
    """Put a tap on the body of an open response and note on the response whose it is."""
    earlier = call_of(response)
    if earlier is not None and not earlier.session.is_ended:
        return  # a transport that answers two calls with one object; the first one has it
    mark(response, call)
    call.owned_by(response)
    answer = call.answer()
    call.is_spliced = call.tells_hops and answer is not None and answer is not response
    stream: object = response.stream
    tap = _tap_for(type(stream))  # type: ignore[arg-type] # mypy takes the hash of its objects for the hash of a class
    if tap is not None:
        response.stream = tap(stream, call, response.headers)


@lru_cache(maxsize=64)
def _tap_for(stream: type[Any]) -> type[Any] | None:
    """Return the tap for a stream's class."""
    bases = {base.__name__: base for base in stream.__mro__}
    if "AsyncByteStream" in bases and "SyncByteStream" not in bases:
        return _tap_class(bases["AsyncByteStream"], is_async=True)
    if "SyncByteStream" in bases and "AsyncByteStream" not in bases:
        return _tap_class(bases["SyncByteStream"], is_async=False)
    return None  # both at once is a body that is in memory already (a mock transport): nothing will be read or closed


class _Body:
    """What both colours share. `_inner` is the client's own stream."""

    def __init__(self, inner: Any, call: Call, headers: Any) -> None:
        self._inner = inner
        self._call = call
        encoding = headers.get("content-encoding", "")
        self._decode: Callable[[bytes], bytes] | None = None
        self._feed: Callable[[bytes], None] | None = None
        self._bytes: ByteFeed | None = None
        data, event = call.endpoint.done_data, call.endpoint.done_event
        if data or event:
            marker = TailMarker(data or event, is_event=not data)
            self._feed = marker.feed
            call.session.was_done = marker.seen
            # Not a method of this object: the session would keep the body, and with it the connection, alive.
            call.session.last_words = partial(read_tail, call.endpoint, marker.tail) if data else None
            decoder = content_decoder(encoding) if encoding else None
            self._decode = decoder.decode if decoder is not None else None
        self._encoding = encoding
        self._headers = headers

    def __getattr__(self, name: str) -> Any:
        # httpx2 reads `elapsed` from the stream, other tracing looks for attributes of its own.
        if name == "_inner":
            raise AttributeError(name)
        return getattr(self._inner, name)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._inner.__reduce_ex__(protocol)  # a copy of a tap would end the session when it is let go

    def __del__(self) -> None:
        call = self.__dict__.get("_call")
        if call is not None and not call.session.is_ended:
            call.lifecycle.dropped(call.session)

    def watch(self, data: bytes) -> None:
        """Look at bytes that the SDK parses: only for the marker that it keeps to itself."""
        feed = self._feed
        if feed is not None:
            feed(data if self._decode is None else self._decode(data))

    def start_reading(self) -> ByteFeed | None:
        """Take over the reading if no SDK does it; return what is to be fed."""
        call = self._call
        if not call.is_parsed and not call.session.is_ended:
            self._bytes = ByteFeed(call, self._headers.get("content-type", ""), self._encoding)
        return self._bytes

    def closed(self, reader: int) -> None:
        """Tell the session of a close, unless the SDK makes it inside its own read."""
        session = self._call.session
        if self._bytes is not None:
            self._bytes.closed(reader)
        elif not session.is_ended and session.reader != reader:
            self._call.guard.call(told_closed, self._call)


class _Chunks:
    """What both colours of body iterators share."""

    def __init__(self, chunks: Any, body: _Body, call: Call) -> None:
        self._chunks = _Spliced(chunks, call) if call.is_spliced else chunks
        self._body = body
        self._call = call
        self._feed: ByteFeed | None = None
        self._has_started = False

    def _before(self, reader: int) -> None:
        if not self._has_started:
            self._has_started = True
            self._feed = self._call.guard.call(self._body.start_reading)
        if self._feed is not None:
            self._feed.before(reader)

    def _after(self, data: bytes) -> None:
        if self._feed is not None:
            self._feed.after(data)
        else:
            self._call.guard.call(self._body.watch, data)

    def _over(self, exc: BaseException) -> None:
        if self._feed is not None:
            self._feed.over(exc)


class _Spliced:
    """Chunks that the SDK's own code makes while it reads: what it sends meanwhile belongs to the call.

    Anthropic's `BetaRefusalFallbackMiddleware` asks another model when the first one has refused.
    """

    __slots__ = ("_call", "_chunks")

    def __init__(self, chunks: Any, call: Call) -> None:
        self._chunks = chunks
        self._call = call

    def __next__(self) -> bytes:
        with Sending(self._call):
            return next(self._chunks)  # type: ignore[no-any-return] # bytes

    async def __anext__(self) -> bytes:
        with Sending(self._call):
            return await self._chunks.__anext__()  # type: ignore[no-any-return] # bytes

    def __getattr__(self, name: str) -> Any:
        if name in _Spliced.__slots__:
            raise AttributeError(name)
        return getattr(self._chunks, name)


class _SyncChunks(_Chunks, Iterator[bytes]):
    def __next__(self) -> bytes:
        self._before(sync_reader())
        try:
            data: bytes = next(self._chunks)
        except BaseException as exc:
            self._over(exc)
            raise
        self._after(data)
        return data

    def __iter__(self) -> Iterator[bytes]:
        return self

    def close(self) -> None:
        close = getattr(self._chunks, "close", None)
        if close is not None:
            close()


class _AsyncChunks(_Chunks, AsyncGenerator[bytes, None]):
    # An AsyncGenerator by name: httpx2 closes deterministically what is one.
    async def __anext__(self) -> bytes:
        self._before(async_reader())
        try:
            data: bytes = await self._chunks.__anext__()
        except BaseException as exc:
            self._over(exc)
            raise
        self._after(data)
        return data

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def asend(self, _value: None) -> bytes:
        return await self.__anext__()

    async def athrow(self, *args: Any) -> bytes:
        return await self._chunks.athrow(*args)  # type: ignore[no-any-return] # bytes

    async def aclose(self) -> None:
        close = getattr(self._chunks, "aclose", None)
        if close is not None:
            await close()


@cache
def _tap_class(base: type[Any], *, is_async: bool) -> type[Any]:
    """Make the tap for the stream class of one HTTP module."""
    if is_async:

        class AsyncBody(_Body, base):  # type: ignore[misc] # the stream class of a module known at run time
            def __aiter__(self) -> AsyncIterator[bytes]:
                return _AsyncChunks(self._inner.__aiter__(), self, self._call)

            async def aclose(self) -> None:
                # First told, then closed: a reader that the close interrupts would report an error of its own.
                self.closed(async_reader())
                await self._inner.aclose()

        return AsyncBody

    class Body(_Body, base):  # type: ignore[misc] # as above
        def __iter__(self) -> Iterator[bytes]:
            return _SyncChunks(iter(self._inner), self, self._call)

        def close(self) -> None:
            self.closed(sync_reader())
            self._inner.close()

    return Body
