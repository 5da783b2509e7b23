"""The taps in a stream's items: whatever happens passes through them unchanged, and the session is told."""

from __future__ import annotations

import asyncio
import copy
import gc
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypeAlias, cast

import pytest

from streamspan._observe import Observed, ObservedAsync
from streamspan._ownership import Call
from streamspan._records import Delta
from streamspan._taps import AsyncItems, Items, tell, told_closed
from streamspan.integrations.generators import _AsyncReading as AsyncLazyReading
from streamspan.integrations.generators import _Reading as LazyReading
from streamspan.integrations.google_requests import AsyncReading, Reading
from support.feeding import DONE, AsyncSource, Feed, Note, source
from support.shown import shown


@pytest.fixture
def feed() -> Feed:
    return Feed()


def tap(call: Call | None, *items: Any) -> Items[Any]:
    return Items(source(*items), lambda: call)


def atap(call: Call | None, *items: Any) -> AsyncItems[Any]:
    return AsyncItems(AsyncSource(*items), lambda: call)


async def alist(items: Any) -> list[Any]:
    return [item async for item in items]


# --- what passes through ---------------------------------------------------------------------------------------------


def test_the_very_items_come_out(feed: Feed) -> None:
    """Same objects, same order; each is counted, and the last one before its reading."""
    first, second = Delta("ab", 0), Delta("c", 0)
    call = feed.call()
    got = list(tap(call, first, second, DONE))
    assert [id(item) for item in got] == [id(first), id(second), id(DONE)]
    assert (call.session.chunk_count, call.session.character_count) == (3, 3)
    assert feed.note.ending == ("completed", None, None)


def test_the_very_items_come_out_asynchronously(feed: Feed) -> None:
    """As for the synchronous stream."""
    call = feed.call()
    assert asyncio.run(alist(atap(call, "ab", "c", DONE))) == ["ab", "c", DONE]
    assert (call.session.chunk_count, call.session.character_count) == (3, 3)
    assert feed.note.ending == ("completed", None, None)


def test_without_a_call_nothing_is_observed() -> None:
    """A stream that is nobody's goes through as it is, its exceptions too."""
    assert list(tap(None, "a", "b")) == ["a", "b"]
    assert asyncio.run(alist(atap(None, "a", "b"))) == ["a", "b"]
    with pytest.raises(KeyError):
        list(tap(None, KeyError("x")))
    tap(None, "a").close()
    asyncio.run(atap(None, "a").aclose())


def test_whose_stream_it_is_is_asked_at_the_first_read_and_once(feed: Feed) -> None:
    """An SDK makes its iterator before the response can say whose it is."""
    call = feed.call()
    asked: list[str] = []

    def find() -> Call:
        asked.append("who?")
        return call

    items: Items[Any] = Items(source("a", "b", DONE), find)
    assert (asked, call.is_parsed) == ([], False)
    assert next(items) == "a"
    assert (asked, call.is_parsed) == (["who?"], True)
    assert list(items) == ["b", DONE]
    assert asked == ["who?"]


def test_a_stream_can_be_read_on_after_its_session_has_ended(feed: Feed) -> None:
    """The session ends once; the items do not depend on it."""
    items = tap(feed.call(), "a", "b", "c")
    assert next(items) == "a"
    told_closed(items._call)  # type: ignore[arg-type]
    assert list(items) == ["b", "c"]
    assert feed.note.ending == ("cancelled", "closed", None)
    assert feed.note.session is not None
    assert feed.note.session.chunk_count == 1
    async_items = atap(feed.call(), "a", "b")

    async def main() -> list[Any]:
        first = await async_items.__anext__()
        told_closed(async_items._call)  # type: ignore[arg-type]
        return [first, *await alist(async_items)]

    assert asyncio.run(main()) == ["a", "b"]


def test_hidden_items_are_counted_and_not_handed_out(feed: Feed) -> None:
    """What only streamspan asked for reaches the session, and the caller never sees it."""
    for is_async in (False, True):
        call = feed.call()
        call.hides = lambda item: item == "usage"
        items: Any = ["a", "usage", DONE, "usage"]
        got = asyncio.run(alist(atap(call, *items))) if is_async else list(tap(call, *items))
        assert got == ["a", DONE]
        assert call.session.chunk_count == 4
        assert feed.note.ending == ("completed", None, None)


def test_a_hiding_that_fails_hides_nothing(feed: Feed, caplog: pytest.LogCaptureFixture) -> None:
    """The caller gets everything."""
    call = feed.call()
    call.hides = lambda item: 1 / 0  # type: ignore[assignment]
    assert list(tap(call, "a", "b")) == ["a", "b"]
    assert len(caplog.messages) == 1


def test_the_rest_of_the_iterator_is_there() -> None:
    """Attributes that the SDK's iterator has can be reached; those that it has not are missing as usual."""
    items = tap(None, "a")
    assert items.gi_running is False
    with pytest.raises(AttributeError, match="nothing"):
        _ = items.nothing
    assert atap(None).is_closed is False


def test_a_tap_that_was_never_finished_says_nothing_when_it_goes() -> None:
    """Not even an attribute error."""
    unfinished = Items.__new__(Items)
    with pytest.raises(AttributeError):
        _ = unfinished.anything
    del unfinished
    gc.collect()


@pytest.mark.parametrize("tap_of", [Items, Observed, Reading, LazyReading], ids=lambda kind: kind.__qualname__)
def test_a_tap_says_of_itself_what_the_iterator_would_say(feed: Feed, tap_of: Any) -> None:
    """Also that it cannot be copied, as no generator can; and asking does not end the session."""
    second: Any = feed.call if tap_of is Items else feed.call() if tap_of is Observed else None
    assert shown(tap_of(source("a"), second)) == shown(source("a"))
    plain, items = tap_of(iter(["a", "b"]), second), iter(["a", "b"])
    assert plain.__class__ is items.__class__
    assert list(copy.copy(plain)) == ["a", "b"] == list(copy.copy(items))


@pytest.mark.parametrize(
    "tap_of", [AsyncItems, ObservedAsync, AsyncReading, AsyncLazyReading], ids=lambda kind: kind.__qualname__
)
def test_an_asynchronous_tap_says_of_itself_what_the_iterator_would_say(feed: Feed, tap_of: Any) -> None:
    """As the synchronous one."""

    async def items() -> AsyncIterator[str]:
        yield "a"

    second: Any = feed.call if tap_of is AsyncItems else feed.call() if tap_of is ObservedAsync else None
    assert shown(tap_of(items(), second)) == shown(items())


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_whoever_tries_to_copy_a_tap_does_not_end_its_session(feed: Feed, is_async: bool) -> None:
    """It is read on as if nobody had asked."""

    async def items() -> AsyncIterator[str]:
        yield "a"
        yield "b"

    async def read() -> list[str]:
        stream: Any = AsyncItems(items(), feed.call) if is_async else Items(source("a", "b"), feed.call)
        first = await stream.__anext__() if is_async else next(stream)
        with pytest.raises(TypeError):
            copy.copy(stream)
        gc.collect()
        assert feed.note.endings == []
        return [first, *([item async for item in stream] if is_async else stream)]

    assert asyncio.run(read()) == ["a", "b"]
    assert feed.note.session is not None
    assert feed.note.session.chunk_count == 2


# --- how a stream ends -------------------------------------------------------------------------------------------------


class Broken(Exception):  # noqa: N818 - reads better without a suffix
    pass


class Odd(BaseException):
    pass


Cancelled = type("Cancelled", (BaseException,), {"__module__": "trio"})

Told: TypeAlias = tuple[str, str | None, str | None]
ENDINGS: list[tuple[BaseException, Told]] = [
    (Broken("x"), ("error", None, f"{__name__}.Broken")),
    (TimeoutError("x"), ("timeout", None, "TimeoutError")),
    (asyncio.CancelledError(), ("cancelled", "task_cancelled", None)),
    (asyncio.CancelledError("deadline exceeded"), ("timeout", None, "TimeoutError")),
    (KeyboardInterrupt(), ("cancelled", "interrupted", None)),
    (SystemExit(3), ("cancelled", "interrupted", None)),
    (Cancelled(), ("cancelled", "task_cancelled", None)),
    (Odd(), ("cancelled", "interrupted", None)),
    (GeneratorExit(), ("cancelled", "closed", None)),
]


@pytest.mark.parametrize(("exc", "ending"), ENDINGS, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_every_exception_goes_on_and_is_told(
    feed: Feed, is_async: bool, exc: BaseException, ending: tuple[str, str | None, str | None]
) -> None:
    """The caller gets the very exception that the SDK raised; the session has its meaning."""

    class Raising:
        def __iter__(self) -> Iterator[Any]:
            return self

        def __next__(self) -> Any:
            raise exc

        async def __anext__(self) -> Any:
            raise exc

    caught: list[BaseException] = []
    try:
        if is_async:
            tap_of: AsyncItems[Any] = AsyncItems(Raising(), feed.call)
            coroutine: Any = tap_of.__anext__()
            coroutine.send(None)  # by hand: a loop would act on some of these itself
        else:
            next(Items(Raising(), feed.call))
    except BaseException as raised:  # noqa: BLE001 - all that is raised is the point
        caught.append(raised)
    assert caught == [exc]
    outcome, reason, kind = ending
    if kind == "TimeoutError" and isinstance(exc, asyncio.CancelledError):
        kind = feed.note.ending[2]
        assert kind is not None
        assert kind.endswith("TimeoutError")  # asyncio had its own until Python 3.11
    assert feed.note.ending == (outcome, reason, kind)


def test_the_end_without_a_marker_is_a_truncation(feed: Feed) -> None:
    """The iterator is exhausted, and nothing had said that it would be."""
    assert list(tap(feed.call(), "a")) == ["a"]
    assert list(tap(feed.call(marker_is_reliable=False), "a")) == ["a"]
    endings = [note.ending for note in feed.recorder.notes]
    assert endings == [("truncated", None, "truncated"), ("completed", None, None)]


def test_close_closes_the_items_and_ends_the_session(feed: Feed) -> None:
    """Whoever closes it in the middle has cancelled; closing again changes nothing."""
    made = source("a", "b")
    items: Items[Any] = Items(made, feed.call)
    next(items)
    items.close()
    items.close()
    assert feed.note.ending == ("cancelled", "closed", None)
    assert list(made) == []


def test_aclose_closes_the_items_and_ends_the_session(feed: Feed) -> None:
    """As the synchronous one."""
    made = AsyncSource("a", "b")

    async def main() -> None:
        items: AsyncItems[Any] = AsyncItems(made, feed.call)
        await items.__anext__()
        await items.aclose()

    asyncio.run(main())
    assert made.is_closed
    assert feed.note.ending == ("cancelled", "closed", None)


def test_a_close_after_the_marker_is_no_cancel(feed: Feed) -> None:
    """Everything was there."""
    items = tap(feed.call(), "a", DONE, "more")
    assert [next(items), next(items)] == ["a", DONE]
    items.close()
    assert feed.note.ending == ("completed", None, None)


def test_a_dropped_tap_is_a_dropped_stream(feed: Feed) -> None:
    """Nobody closed it: it was let go."""
    for is_async in (False, True):
        items: Any = atap(feed.call(), "a", "b") if is_async else tap(feed.call(), "a", "b")
        if is_async:
            asyncio.run(items.__anext__())
        else:
            next(items)
        del items
        gc.collect()
        assert feed.note.ending == ("cancelled", "dropped", None)


def test_a_tap_that_was_not_read_is_nobodys() -> None:
    """A tap of which nothing was read does not know its session, so dropping it tells nothing."""
    asked: list[str] = []
    items: Items[Any] = Items(source("a"), lambda: asked.append("who?"))
    del items
    gc.collect()
    assert asked == []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("exc", "ending"),
    [
        (KeyError("x"), ("cancelled", "closed", "KeyError")),
        (Broken("x"), ("cancelled", "closed", f"{__name__}.Broken")),
        (GeneratorExit(), ("cancelled", "closed", None)),
        (asyncio.CancelledError(), ("cancelled", "task_cancelled", None)),
        (KeyboardInterrupt(), ("cancelled", "interrupted", None)),
        (SystemExit(), ("cancelled", "interrupted", None)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_close_on_the_way_out_names_its_cause(
    feed: Feed, is_async: bool, exc: BaseException, ending: tuple[str, str | None, str | None]
) -> None:
    """An exception of the caller's own that makes it close the stream is told as the reason."""

    def leave() -> None:
        items = tap(feed.call(), "a", "b")
        next(items)
        try:
            raise exc
        finally:
            items.close()

    async def aleave() -> None:
        items = atap(feed.call(), "a", "b")
        await items.__anext__()
        try:
            raise exc
        finally:
            await items.aclose()

    with pytest.raises(type(exc)):  # noqa: PT012 - the whole block is the point
        if is_async:
            cast("Any", aleave()).send(None)
        else:
            leave()
    assert feed.note.ending == ending


def test_an_exception_that_was_handled_before_the_call_is_no_cause(feed: Feed) -> None:
    """A fallback call inside `except` is closed for reasons of its own."""
    try:
        raise KeyError("the first model failed")  # noqa: TRY301 - the block that handles it is the point
    except KeyError:
        items = tap(feed.call(), "a", "b")
        next(items)
        items.close()
    assert feed.note.ending == ("cancelled", "closed", None)


# --- the generator's other ways ----------------------------------------------------------------------------------------


def test_send_and_throw_reach_the_generator(feed: Feed) -> None:
    """`send(None)` is `next`; everything else is the generator's own affair."""
    got: list[Any] = []

    def echo() -> Iterator[Any]:
        while True:
            try:
                got.append((yield "item"))
            except KeyError:  # noqa: PERF203 - the handler is the point
                yield "caught"

    items: Items[Any] = Items(echo(), feed.call)
    assert items.send(None) == "item"
    assert items.send("word") == "item"
    assert got == ["word"]
    assert items.throw(KeyError("x")) == "caught"
    assert feed.recorder.notes[-1].endings == []
    with pytest.raises(Broken):
        items.throw(Broken("x"))
    assert feed.note.ending == ("cancelled", "closed", f"{__name__}.Broken")  # the caller's own, not the model's


def test_asend_and_athrow_reach_the_generator(feed: Feed) -> None:
    """As the synchronous ones."""
    got: list[Any] = []

    async def echo() -> AsyncIterator[Any]:
        while True:
            try:
                got.append((yield "item"))
            except KeyError:  # noqa: PERF203 - the handler is the point
                yield "caught"

    async def main() -> None:
        items: AsyncItems[Any] = AsyncItems(echo(), feed.call)
        assert await items.asend(None) == "item"
        assert await items.asend("word") == "item"
        assert await items.athrow(KeyError("x")) == "caught"
        with pytest.raises(Broken):
            await items.athrow(Broken("x"))

    asyncio.run(main())
    assert got == ["word"]
    assert feed.note.ending == ("cancelled", "closed", f"{__name__}.Broken")


def test_what_the_generator_makes_of_a_thrown_exception_is_its_own(feed: Feed) -> None:
    """Another exception than the one that was thrown in is a failure."""

    def change() -> Iterator[str]:
        try:
            yield "item"
        except KeyError:
            raise Broken("instead") from None

    items: Items[Any] = Items(change(), feed.call)
    next(items)
    with pytest.raises(Broken):
        items.throw(KeyError("x"))
    assert feed.note.ending == ("error", None, f"{__name__}.Broken")


# --- our own faults ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_fault_in_our_bookkeeping_is_logged_once_and_never_raised(
    feed: Feed, is_async: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """All chunks come out, and the ending is told all the same."""
    bad = Delta(5, 0)  # type: ignore[arg-type] # a reader's mistake
    items = [bad, bad, bad, DONE]
    got = asyncio.run(alist(atap(feed.call(), *items))) if is_async else list(tap(feed.call(), *items))
    assert got == items
    assert len(caplog.messages) == 1
    assert feed.note.ending == ("completed", None, None)


@pytest.mark.parametrize("end", ["close", "raise", "exhaust", "stop"])
def test_a_chunk_that_cannot_be_taken_does_not_cost_the_ending(feed: Feed, end: str) -> None:
    """The last chunk is read when the stream ends: a fault in that still leaves the right ending."""
    bad = Delta(5, 0)  # type: ignore[arg-type] # a reader's mistake
    after: dict[str, list[Any]] = {
        "close": ["more"], "raise": [Broken("x")], "exhaust": [], "stop": [KeyboardInterrupt()],
    }  # fmt: skip
    items = tap(feed.call(), bad, *after[end])
    assert next(items) is bad
    if end == "close":
        items.close()
    else:
        with pytest.raises((Broken, StopIteration, KeyboardInterrupt)):
            next(items)
    assert (
        feed.note.ending
        == {
            "close": ("cancelled", "closed", None),
            "raise": ("error", None, f"{__name__}.Broken"),
            "exhaust": ("truncated", None, "truncated"),
            "stop": ("cancelled", "interrupted", None),
        }[end]
    )


def test_an_interrupt_inside_our_own_code_goes_on(feed: Feed) -> None:
    """Ctrl-C may hit while a chunk is being read for telemetry; it is no fault of ours."""

    def read(_chunk: Any) -> Delta:
        raise KeyboardInterrupt

    items = tap(feed.call(read=read), "a", "b")
    next(items)
    with pytest.raises(KeyboardInterrupt):
        next(items)
    async_items = atap(feed.call(read=read), "a", "b")
    asyncio.run(async_items.__anext__())
    with pytest.raises(KeyboardInterrupt):
        async_items.__anext__().send(None)


def test_an_exception_without_words_is_still_an_error(feed: Feed) -> None:
    """`str()` of a stranger's exception may raise; its type is known anyway."""

    class Nasty(Exception):  # noqa: N818 - reads better without a suffix
        def __str__(self) -> str:
            raise RuntimeError("no words")

    with pytest.raises(Nasty):
        list(tap(feed.call(), "a", Nasty()))
    outcome, reason, kind = feed.note.ending
    assert (outcome, reason) == ("error", None)
    assert str(kind).endswith("Nasty")


def test_a_session_that_has_ended_is_not_told_again(feed: Feed) -> None:
    """The first ending wins, whoever tells the second."""
    call = feed.call()
    tell(call, StopIteration())
    tell(call, Broken("x"))
    told_closed(call)
    note: Note = feed.note
    assert note.ending == ("truncated", None, "truncated")


def test_what_the_provider_said_beats_a_finish_reason(feed: Feed) -> None:
    """An SDK made an exception of an error event that came after the finish reason: it is an error with the provider's code."""

    class ApiError(Exception):
        body = None

        def __init__(self) -> None:
            super().__init__("overloaded")
            self.body = {"code": "overloaded"}

    call = feed.call()
    call.session.headers(200, None)
    call.session.last_words = lambda: [Delta(usage={"input_tokens": 3}), Delta("text", 0)]
    with pytest.raises(ApiError):
        list(tap(call, "a", DONE, ApiError()))
    assert feed.note.ending == ("error", None, "overloaded")
    assert (call.session.usage, call.session.character_count) == ({"input_tokens": 3}, 1)


def test_a_provider_error_without_a_tap_on_the_bytes_is_an_error_too(feed: Feed) -> None:
    """There are no last words to read then."""

    class ApiError(Exception):
        def __init__(self) -> None:
            super().__init__("overloaded")
            self.body = {"code": "overloaded"}

    call = feed.call()
    call.session.headers(200, None)
    with pytest.raises(ApiError):
        list(tap(call, "a", DONE, ApiError()))
    assert feed.note.ending == ("error", None, "overloaded")


def test_a_stream_that_a_finalizer_closes_is_dropped(feed: Feed) -> None:
    """One of the objects through which the caller held it is gone when the close comes."""

    class Owner:
        pass

    call, owner = feed.call(), Owner()
    call.owned_by(owner)
    items = tap(call, "a", "b")
    next(items)
    del owner
    gc.collect()
    items.close()
    assert feed.note.ending == ("cancelled", "dropped", None)


def test_an_iterator_that_cannot_be_closed_ends_all_the_same(feed: Feed) -> None:
    """Not every iterator has `close` or `aclose`."""

    class Plain:
        async def __anext__(self) -> str:
            return "a"

    for_all: Items[Any] = Items(iter("ab"), feed.call)
    next(for_all)
    for_all.close()
    assert feed.note.ending == ("cancelled", "closed", None)

    async def main() -> None:
        items: AsyncItems[Any] = AsyncItems(Plain(), feed.call)
        await items.__anext__()
        await items.aclose()

    asyncio.run(main())
    assert feed.note.ending == ("cancelled", "closed", None)


def test_a_refusal_before_the_stream_is_the_calls_own_failure(feed: Feed) -> None:
    """Without headers the provider's code comes from the exception, and no last words are asked for."""

    class ApiError(Exception):
        def __init__(self) -> None:
            super().__init__("no")
            self.body = {"code": "invalid_api_key"}

    call = feed.call()
    tell(call, ApiError())
    assert feed.note.ending == ("error", None, "invalid_api_key")
