"""Taps in HTTP bodies: same bytes, same errors, a close that is told, and the reading when no SDK does it."""

from __future__ import annotations

import asyncio
import copy
import gc
import gzip
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from streamspan._bodies import attach
from streamspan._ownership import Call, call_of
from streamspan._records import Delta
from streamspan._sessions import find_endpoint
from streamspan.providers.openai import OPENAI
from support.feeding import REQUEST, Feed

CHAT = find_endpoint(OPENAI, "POST", "/v1/chat/completions")
FIRST = b'data: {"choices": [{"index": 0, "delta": {"content": "Hallo"}}]}\n\n'
LAST = b'data: {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'


class Broken(Exception):  # noqa: N818 - reads better without a suffix
    pass


@pytest.fixture(params=["httpx", "httpx2"])
def module(request: pytest.FixtureRequest) -> Any:
    """Either client, where it is installed: SDKs use the one or the other."""
    return pytest.importorskip(request.param)


@pytest.fixture
def feed() -> Feed:
    return Feed()


def sync_stream(module: ModuleType, *pieces: bytes | BaseException) -> Any:
    class Stream(module.SyncByteStream):  # type: ignore[name-defined,misc]
        is_closed = False
        colour = "sync"

        def __iter__(self) -> Iterator[bytes]:
            for piece in pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece

        def close(self) -> None:
            self.is_closed = True

    return Stream()


def async_stream(module: ModuleType, *pieces: bytes | BaseException) -> Any:
    class Stream(module.AsyncByteStream):  # type: ignore[name-defined,misc]
        is_closed = False
        colour = "async"

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in pieces:
                if isinstance(piece, BaseException):
                    raise piece
                yield piece

        async def aclose(self) -> None:
            self.is_closed = True

    return Stream()


def opened(feed: Feed, **fields: Any) -> Call:
    """Open a call as an integration does, up to the response headers."""
    assert CHAT is not None
    call = feed.sessions.begin(REQUEST, endpoint=fields.pop("endpoint", CHAT), provider=OPENAI, guard=feed.guard)
    assert call is not None
    call.session.headers(200, None)
    call.session.returned()
    return call


def response_of(module: ModuleType, stream: Any, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return module.Response(200, headers={"content-type": "text/event-stream"} | named, stream=stream)


async def alist(items: Any) -> list[Any]:
    return [item async for item in items]


def read(response: Any, method: str = "raw", count: int | None = None) -> list[bytes]:
    """Read a response of either colour."""
    is_async = response.stream.colour == "async"
    items = getattr(response, f"{'a' if is_async else ''}iter_{method}")()
    if not is_async:
        return list(items) if count is None else [next(items) for _ in range(count)]

    async def some() -> list[bytes]:
        if count is None:
            return await alist(items)
        got = [await items.__anext__() for _ in range(count)]
        await items.aclose()
        return got

    return asyncio.run(some())


def read_stream(response: Any) -> list[bytes]:
    """Read the body alone: the response does not close it then."""
    if response.stream.colour == "async":
        return asyncio.run(alist(response.stream))
    return list(response.stream)


Make = Callable[..., Any]
both = pytest.mark.parametrize("make", [sync_stream, async_stream], ids=["sync", "async"])


# --- placing the tap -----------------------------------------------------------------------------------------------------


@both
def test_a_copy_of_the_tap_is_one_of_what_it_is_in_front_of(feed: Feed, module: ModuleType, make: Make) -> None:
    """It has no session to end when it is let go."""
    stream = make(module, FIRST, LAST)
    response = response_of(module, stream)
    attach(opened(feed), response)
    assert type(copy.copy(response.stream)) is type(stream)
    gc.collect()
    assert feed.note.endings == []
    assert read_stream(response) == [FIRST, LAST]
    assert feed.note.ending == ("completed", None, None)


@both
def test_the_tap_is_the_modules_own_kind_of_stream(feed: Feed, module: ModuleType, make: Make) -> None:
    """Its client checks the class; whatever else the stream has is still there."""
    stream = make(module, FIRST)
    response, call = response_of(module, stream), opened(feed)
    attach(call, response)
    kind = module.SyncByteStream if make is sync_stream else module.AsyncByteStream
    other = module.AsyncByteStream if make is sync_stream else module.SyncByteStream
    assert isinstance(response.stream, kind)
    assert not isinstance(response.stream, other)
    assert response.stream is not stream
    assert response.stream.colour == stream.colour
    with pytest.raises(AttributeError):
        _ = response.stream.nothing
    assert call_of(response) is call


@both
def test_a_response_gets_one_tap(feed: Feed, module: ModuleType, make: Make) -> None:
    """The first call has it."""
    response, call = response_of(module, make(module, FIRST)), opened(feed)
    attach(call, response)
    tap = response.stream
    attach(call, response)
    attach(opened(feed), response)
    assert response.stream is tap
    assert call_of(response) is call


def test_a_body_that_is_in_memory_is_marked_and_left_alone(feed: Feed, module: ModuleType) -> None:
    """Nothing of it will be read from a network or closed."""
    response, call = module.Response(200, content=b"{}"), opened(feed)
    stream = response.stream
    attach(call, response)
    assert response.stream is stream
    assert call_of(response) is call


def test_a_stream_of_no_known_kind_is_left_alone(feed: Feed, module: ModuleType) -> None:
    """There is nothing that could be told of it."""

    class Odd:
        pass

    response, call = module.Response(200, content=b""), opened(feed)
    response.stream = odd = Odd()
    attach(call, response)
    assert response.stream is odd


# --- raw bytes -------------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("method", ["raw", "bytes", "text", "lines"])
def test_the_bytes_come_out_and_are_read(feed: Feed, module: ModuleType, make: Make, method: str) -> None:
    """By whatever method; when no SDK parses the stream, its events are the chunks."""
    call = opened(feed)
    response = response_of(module, make(module, FIRST[:9], FIRST[9:] + LAST))
    bare = read(response_of(module, make(module, FIRST[:9], FIRST[9:] + LAST)), method)
    attach(call, response)
    assert read(response, method) == bare
    assert (call.session.chunk_count, call.session.character_count) == (2, 5)
    assert feed.note.ending == ("completed", None, None)


@both
def test_a_stream_that_stops_before_its_marker_is_truncated(feed: Feed, module: ModuleType, make: Make) -> None:
    """An event that was not ended is still read."""
    call, response = opened(feed), response_of(module, make(module, FIRST + FIRST.strip()))
    attach(call, response)
    read(response)
    assert (call.session.chunk_count, call.session.character_count) == (2, 10)
    assert feed.note.ending == ("truncated", None, "truncated")


@both
def test_an_error_of_the_connection_goes_on_and_is_told(feed: Feed, module: ModuleType, make: Make) -> None:
    """The very exception; after the marker it spoils nothing."""
    exc = Broken("connection lost")
    for pieces, ending in (
        ((FIRST,), ("error", None, f"{__name__}.Broken")),
        ((FIRST, LAST), ("completed", None, None)),
    ):
        call, response = opened(feed), response_of(module, make(module, *pieces, exc))
        attach(call, response)
        with pytest.raises(Broken) as raised:
            read(response)
        assert raised.value is exc
        assert feed.note.ending == ending


@both
def test_compressed_bytes_are_read(feed: Feed, module: ModuleType, make: Make) -> None:
    """The caller gets them as they are, or decoded by its client."""
    data = gzip.compress(FIRST + LAST)
    for method, expected in (("raw", data), ("bytes", FIRST + LAST)):
        call = opened(feed)
        response = response_of(module, make(module, data[:20], data[20:]), content_encoding="gzip")
        attach(call, response)
        assert b"".join(read(response, method)) == expected
        assert call.session.chunk_count == 2
        assert feed.note.ending == ("completed", None, None)


@both
def test_a_reader_that_fails_does_not_disturb_the_bytes(
    feed: Feed, module: ModuleType, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """All bytes come out, one line is logged, the marker on the wire still counts."""

    def bad(_payload: Any) -> Delta:
        raise ValueError("boom")

    assert CHAT is not None
    call = opened(feed, endpoint=replace(CHAT, read=bad))
    response = response_of(module, make(module, FIRST, FIRST, LAST))
    attach(call, response)
    assert read(response) == [FIRST, FIRST, LAST]
    assert len(caplog.messages) == 1
    assert feed.note.ending == ("completed", None, None)


@both
def test_a_whole_answer_is_read_at_its_end(feed: Feed, module: ModuleType, make: Make) -> None:
    """A raw response of a call without a stream: one document."""
    assert CHAT is not None
    call = feed.sessions.begin(replace(REQUEST, is_stream=False), endpoint=CHAT, provider=OPENAI, guard=feed.guard)
    assert call is not None
    call.session.headers(200, None)
    body = b'{"choices": [{"index": 0, "message": {"content": "Hallo"}, "finish_reason": "stop"}]}'
    response = response_of(module, make(module, body[:10], body[10:]), content_type="application/json")
    attach(call, response)
    assert b"".join(read(response)) == body
    assert call.session.character_count == 5
    assert feed.note.ending == ("completed", None, None)


# --- what an SDK parses ------------------------------------------------------------------------------------------------------


@both
def test_when_an_sdk_parses_only_the_marker_is_looked_for(feed: Feed, module: ModuleType, make: Make) -> None:
    """The item tap counts; the bytes tell of the marker that the SDK keeps to itself, compressed or not."""
    for pieces, headers in (((FIRST, LAST), {}), ((gzip.compress(FIRST + LAST),), {"content_encoding": "gzip"})):
        call, response = opened(feed), response_of(module, make(module, *pieces), **headers)
        attach(call, response)
        call.is_parsed = True
        read_stream(response)
        assert (call.session.chunk_count, feed.note.endings) == (0, [])
        assert call.session.was_done is not None
        assert call.session.was_done() is True
        call.session.exhausted()
        assert feed.note.ending == ("completed", None, None)


@both
def test_last_words_can_be_read_from_the_bytes(feed: Feed, module: ModuleType, make: Make) -> None:
    """What the SDK turned into an exception is still on the wire."""
    error = b'data: {"error": {"code": 400}, "usage": {"prompt_tokens": 43, "completion_tokens": 10}}\n\n'
    call, response = opened(feed), response_of(module, make(module, FIRST, error))
    attach(call, response)
    call.is_parsed = True
    read(response)
    assert call.session.last_words is not None
    assert [delta.usage for delta in call.session.last_words()][-1] == {"input_tokens": 43, "output_tokens": 10}


@both
def test_an_endpoint_without_a_hidden_marker_needs_no_look_at_the_bytes(
    feed: Feed, module: ModuleType, make: Make
) -> None:
    """Nothing is asked of the wire at the end."""
    assert CHAT is not None
    call = opened(feed, endpoint=replace(CHAT, done_data=""))
    response = response_of(module, make(module, FIRST))
    attach(call, response)
    call.is_parsed = True
    assert read(response) == [FIRST]
    assert (call.session.was_done, call.session.last_words) == (None, None)


# --- closing -----------------------------------------------------------------------------------------------------------------


def close(response: Any) -> None:
    if response.stream.colour == "async":
        asyncio.run(response.aclose())
    else:
        response.close()


@both
@pytest.mark.parametrize("count", [0, 1])
def test_a_close_is_told_and_reaches_the_stream(feed: Feed, module: ModuleType, make: Make, count: int) -> None:
    """Whether something was read or nothing."""
    stream = make(module, FIRST, LAST)
    call, response = opened(feed), response_of(module, stream)
    attach(call, response)
    items = read(response, count=count) if count else []
    close(response)
    assert items == [FIRST][:count]
    assert stream.is_closed
    assert feed.note.ending == ("cancelled", "closed", None)
    assert call.session.chunk_count == count


@both
def test_a_close_after_the_marker_is_no_cancel(feed: Feed, module: ModuleType, make: Make) -> None:
    """Whoever stops at the last event has everything."""
    call, response = opened(feed), response_of(module, make(module, FIRST + LAST, b"\n"))
    attach(call, response)
    read(response, count=1)
    close(response)
    assert feed.note.ending == ("completed", None, None)


@both
def test_a_close_that_the_sdk_makes_inside_its_own_read_is_not_told(feed: Feed, module: ModuleType, make: Make) -> None:
    """The read will tell how it ended."""
    call, response = opened(feed), response_of(module, make(module, FIRST))
    attach(call, response)
    if make is sync_stream:
        call.session.pull(threading.get_ident())
        response.stream.close()
    else:

        async def main() -> None:
            call.session.pull(id(asyncio.current_task()))
            await response.stream.aclose()

        asyncio.run(main())
    assert feed.note.endings == []


@both
def test_an_error_while_closing_goes_on(feed: Feed, module: ModuleType, make: Make) -> None:
    """The session has been told before."""
    stream = make(module, FIRST)
    if make is sync_stream:

        def refuse() -> None:
            raise Broken
    else:

        async def refuse() -> None:  # type: ignore[misc]
            raise Broken

    setattr(stream, "close" if make is sync_stream else "aclose", refuse)
    call, response = opened(feed), response_of(module, stream)
    attach(call, response)
    with pytest.raises(Broken):
        close(response)
    assert feed.note.ending == ("cancelled", "closed", None)


@both
def test_a_body_that_is_let_go_is_dropped(feed: Feed, module: ModuleType, make: Make) -> None:
    """Nobody closed it."""
    call, response = opened(feed), response_of(module, make(module, FIRST))
    attach(call, response)
    del response
    gc.collect()
    assert feed.note.ending == ("cancelled", "dropped", None)
    assert call.session.is_ended


def test_the_iterator_can_be_closed_like_the_clients_own(feed: Feed, module: ModuleType) -> None:
    """httpx2 closes the generators of a body; one that cannot be closed is left alone."""
    call, response = opened(feed), response_of(module, sync_stream(module, FIRST, LAST))
    attach(call, response)
    chunks = iter(response.stream)
    assert next(chunks) == FIRST
    chunks.close()
    assert list(chunks) == []

    class Plain(module.SyncByteStream):  # type: ignore[name-defined,misc]
        def __iter__(self) -> Iterator[bytes]:
            return iter([FIRST])

    other = response_of(module, Plain())
    attach(opened(feed), other)
    chunks = iter(other.stream)
    chunks.close()
    assert list(chunks) == [FIRST]


def test_the_async_iterator_is_a_generator_like_the_clients_own(feed: Feed, module: ModuleType) -> None:
    """`asend`, `athrow` and `aclose` do what they do there."""

    async def main() -> None:
        response = response_of(module, async_stream(module, FIRST, LAST))
        attach(opened(feed), response)
        chunks = aiter_of(response)
        assert await chunks.asend(None) == FIRST
        with pytest.raises(Broken):
            await chunks.athrow(Broken())
        again = response_of(module, async_stream(module, FIRST, LAST))
        attach(opened(feed), again)
        chunks = aiter_of(again)
        await chunks.aclose()
        with pytest.raises(StopAsyncIteration):
            await chunks.__anext__()

    def aiter_of(response: Any) -> Any:
        return response.stream.__aiter__()

    asyncio.run(main())


def test_an_async_iterator_that_cannot_be_closed_is_left_alone(feed: Feed, module: ModuleType) -> None:
    """Not every transport has generators."""

    class Chunks:
        async def __anext__(self) -> bytes:
            return FIRST

    class Plain(module.AsyncByteStream):  # type: ignore[name-defined,misc]
        def __aiter__(self) -> Any:
            return Chunks()

    async def main() -> None:
        response = response_of(module, Plain())
        attach(opened(feed), response)
        chunks = response.stream.__aiter__()
        await chunks.aclose()
        assert await chunks.__anext__() == FIRST

    asyncio.run(main())


def test_a_tap_that_was_never_finished_says_nothing_when_it_goes(feed: Feed, module: ModuleType) -> None:
    """Not even an attribute error."""
    response = response_of(module, sync_stream(module, FIRST))
    attach(opened(feed), response)
    kind: Any = type(response.stream)
    unfinished = kind.__new__(kind)
    with pytest.raises(AttributeError):
        _ = unfinished.anything
    del unfinished
    gc.collect()
