"""`observe()`: any stream of any chunks, recorded without a difference to who reads it."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

import streamspan
from streamspan import ConfigError, Delta, ProviderError, ToolCallDelta, _api
from streamspan._guard import FAULT_LIMIT
from streamspan._records import SessionSummary
from support.feeding import AsyncSource
from support.telemetry import Told

asyncio_timeout: Any = getattr(asyncio, "timeout", None)


@pytest.fixture
def told() -> Iterator[Told]:
    told = Told()
    told.instrument()
    yield told
    told.finish()


class Broken(Exception):  # noqa: N818 - reads better without a suffix
    pass


def summary(told: Told) -> SessionSummary:
    _api.drain()
    return told.summary


def ending(told: Told) -> tuple[str, str | None, str | None]:
    seen = summary(told)
    return seen.outcome, seen.cancel_reason, seen.error_type or seen.cancel_exception


def generator() -> Iterator[str]:
    yield from ("Hel", "lo")


async def agenerator() -> AsyncIterator[str]:
    for text in generator():
        yield text


class Iterable:
    """No iterator: it makes one."""

    def __iter__(self) -> Iterator[str]:
        return generator()


class AsyncIterable:
    """As above."""

    def __aiter__(self) -> AsyncIterator[str]:
        return agenerator()


SYNC: dict[str, Callable[[], Any]] = {
    "list": lambda: ["Hel", "lo"],
    "tuple": lambda: ("Hel", "lo"),
    "iterator of a list": lambda: iter(["Hel", "lo"]),
    "generator": generator,
    "map": lambda: map(str, ["Hel", "lo"]),
    "iterable": Iterable,
}
ASYNC: dict[str, Callable[[], Any]] = {
    "async generator": agenerator,
    "async iterator": lambda: AsyncSource("Hel", "lo"),
    "async iterable": AsyncIterable,
}


async def alist(items: Any) -> list[Any]:
    return [item async for item in items]


def read_all(stream: Any) -> list[Any]:
    return asyncio.run(alist(stream)) if hasattr(stream, "__aiter__") else list(stream)


def read_in_with(stream: Any, count: int | None = None) -> list[Any]:
    """Read `count` chunks, or all, inside `with`."""
    if not hasattr(stream, "__aiter__"):
        with stream as chunks:
            return [next(chunks) for _ in range(count)] if count is not None else list(chunks)

    async def main() -> list[Any]:
        async with stream as chunks:
            if count is None:
                return await alist(chunks)
            return [await chunks.__anext__() for _ in range(count)]

    return asyncio.run(main())


# --- what comes out ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*SYNC, *ASYNC])
def test_every_kind_of_stream_is_recorded(told: Told, kind: str) -> None:
    """The chunks come out, and the session has counted them and is complete."""
    stream = streamspan.observe((SYNC | ASYNC)[kind](), provider="acme", model="m1")
    assert read_all(stream) == ["Hel", "lo"]
    seen = summary(told)
    assert (seen.provider, seen.model, seen.operation, seen.layer) == ("acme", "m1", "chat", "manual")
    assert (seen.outcome, seen.chunk_count, seen.output_characters) == ("completed", 2, 5)
    assert told.span.name == "chat m1"


@pytest.mark.parametrize("kind", [*SYNC, *ASYNC])
@pytest.mark.parametrize("count", [None, 0, 1], ids=["all", "none", "one"])
def test_every_kind_of_stream_can_be_a_block(told: Told, kind: str, count: int | None) -> None:
    """Leaving the block ends the session, also for iterators that cannot be closed."""
    read = read_in_with(streamspan.observe((SYNC | ASYNC)[kind](), provider="acme"), count)
    assert read == ["Hel", "lo"][:count]
    assert ending(told)[:2] == (("completed", None) if count is None else ("cancelled", "closed"))


@pytest.mark.parametrize("kind", [*SYNC, *ASYNC])
def test_not_instrumented_the_chunks_come_out_all_the_same(kind: str) -> None:
    """By iterating and in a block; nothing is opened."""
    make = (SYNC | ASYNC)[kind]
    assert read_all(streamspan.observe(make(), provider="acme")) == ["Hel", "lo"]
    assert read_in_with(streamspan.observe(make(), provider="acme")) == ["Hel", "lo"]
    assert read_in_with(streamspan.observe(make(), provider="acme"), 1) == ["Hel"]
    assert _api.open_sessions() == []


def test_after_uninstrument_a_new_stream_is_not_recorded(told: Told) -> None:
    """The one that was open before is recorded to its end."""
    before = streamspan.observe(generator(), provider="acme")
    next(before)
    streamspan.uninstrument()
    assert list(streamspan.observe(generator(), provider="acme")) == ["Hel", "lo"]
    assert list(before) == ["lo"]
    assert ending(told) == ("completed", None, None)


def test_the_very_objects_come_out(told: Told) -> None:
    """Nothing is copied, wrapped or changed."""
    chunks: list[Any] = [{"text": "a"}, object(), b"b", None]
    assert [id(chunk) for chunk in streamspan.observe(chunks, provider="acme")] == [id(chunk) for chunk in chunks]
    assert summary(told).chunk_count == 4


def test_the_session_starts_with_the_call(told: Told) -> None:
    """It is open before the first chunk, and a child of the span that is current then."""
    tracer = told.tracers.get_tracer("application")
    with tracer.start_as_current_span("work") as work:
        stream = streamspan.observe(generator(), provider="acme", operation="generate_content")
    assert [session.request.operation for session in _api.open_sessions()] == ["generate_content"]
    assert told.active == 1
    list(stream)
    parent = told.span.parent
    assert parent is not None
    assert parent.span_id == work.get_span_context().span_id
    assert (_api.open_sessions(), told.active) == ([], 0)


def test_nested_streams_are_sessions_of_their_own(told: Told) -> None:
    """An observed stream that is made of observed streams: each counts what came through it."""

    def outer() -> Iterator[str]:
        yield from streamspan.observe(["a", "b"], provider="inner")
        yield from streamspan.observe(["c"], provider="inner")

    assert list(streamspan.observe(outer(), provider="outer")) == ["a", "b", "c"]
    assert [(seen.provider, seen.chunk_count, seen.outcome) for seen in told.summaries] == [
        ("inner", 2, "completed"),
        ("inner", 1, "completed"),
        ("outer", 3, "completed"),
    ]


def test_an_observed_stream_carries_the_ids_of_its_block(told: Told) -> None:
    """`streamspan.session` counts here as everywhere."""
    with streamspan.session("s-1", user_id="u-1"):
        list(streamspan.observe(["a"], provider="acme"))
    assert (told.summary.session_id, told.summary.user_id) == ("s-1", "u-1")


# --- what the chunks say -------------------------------------------------------------------------------------------------


class Named(NamedTuple):
    text: str


@dataclass(slots=True)
class Slotted:
    text: str


@dataclass
class Chunk:
    content: str


CHUNKS: dict[str, tuple[Any, int]] = {
    "str": ("Hallo", 5),
    "empty str": ("", 0),
    "bytes": (b"Hallo", 5),
    "bytes in utf-8": ("höh".encode(), 3),
    "broken bytes": (b"\xff\xfe", 2),
    "bytearray": (bytearray(b"ab"), 2),
    "dict text": ({"text": "Hallo"}, 5),
    "dict content": ({"content": "Hallo"}, 5),
    "dict delta": ({"delta": "Hallo"}, 5),
    "dict token": ({"token": "Hallo"}, 5),
    "dict response": ({"response": "Hallo"}, 5),
    "dict message": ({"message": {"role": "assistant", "content": "Hallo"}}, 5),
    "first that is text": ({"text": None, "content": "Hallo"}, 5),
    "chat chunk": ({"choices": [{"index": 0, "delta": {"content": "Hallo"}}]}, 5),
    "ordered dict": (OrderedDict(text="Hallo"), 5),
    "object": (SimpleNamespace(text="Hallo"), 5),
    "dataclass": (Chunk("Hallo"), 5),
    "slotted dataclass": (Slotted("Hallo"), 5),
    "named tuple": (Named("Hallo"), 5),
    "unknown dict": ({"sound": "Hallo"}, 0),
    "number": (5, 0),
    "none": (None, 0),
    "list": (["Hallo"], 0),
    "plain object": (object(), 0),
    "nonsense": ({"message": 3, "choices": "x"}, 0),
}


@pytest.mark.parametrize("kind", CHUNKS)
def test_the_text_of_common_shapes_is_counted(told: Told, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """What is not understood is a chunk without output, and no fault."""
    chunk, characters = CHUNKS[kind]
    assert list(streamspan.observe([chunk], provider="acme")) == [chunk]
    assert (told.summary.chunk_count, told.summary.output_characters) == (1, characters)
    assert caplog.messages == []


def test_a_reader_says_what_a_chunk_says(told: Told) -> None:
    """`read=` maps the application's own chunks; everything that a `Delta` can say is recorded."""

    def read(chunk: int) -> Delta:
        return [
            Delta("Hal", 0, response_id="r-1", response_model="m1-2025"),
            Delta("", 0, reasoning="hm"),
            Delta("", 0, tool_calls=[ToolCallDelta(0, "c-1", "look", "{}")]),
            Delta("lo", 0, finish_reason="stop", usage={"input_tokens": 3, "output_tokens": 2}),
        ][chunk]

    assert list(streamspan.observe(range(4), provider="acme", model="m1", read=read)) == [0, 1, 2, 3]
    seen = told.summary
    assert (seen.outcome, seen.finish_reasons, seen.response_id, seen.response_model) == (
        "completed", ("stop",), "r-1", "m1-2025",
    )  # fmt: skip
    assert (seen.output_characters, seen.reasoning_characters, seen.tool_call_count) == (7, 2, 1)
    assert dict(seen.usage) == {"input_tokens": 3, "output_tokens": 2}


def test_an_error_in_a_chunk_is_an_error(told: Told) -> None:
    """A reader can say that a chunk is a failure; the end of the stream does not mend it."""
    stream = streamspan.observe(
        ["a", "b"], provider="acme", read=lambda chunk: Delta(choice=0, error=ProviderError("overloaded", "busy"))
    )
    assert list(stream) == ["a", "b"]
    assert (told.summary.outcome, told.summary.error_type, told.summary.error_message) == (
        "error",
        "overloaded",
        "busy",
    )


def raising(_chunk: Any) -> Delta:
    raise ValueError("no idea")


@pytest.mark.parametrize("answer", [None, "text", 5, [], ["x"], {}, ()], ids=repr)
def test_a_reader_that_returns_nonsense_costs_only_what_it_would_have_said(
    told: Told, answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """All chunks come out and are counted, the ending is right, and one line is logged."""
    stream = streamspan.observe("abc", provider="acme", read=lambda _: answer)
    assert list(stream) == ["a", "b", "c"]
    assert (told.summary.outcome, told.summary.chunk_count, told.summary.output_characters) == ("completed", 3, 0)
    assert len(caplog.messages) == 1
    assert "observe" in caplog.messages[0]


def test_a_reader_that_returns_nonsense_does_not_cost_the_ending(told: Told) -> None:
    """Closing right after a chunk is a cancel at that moment."""
    with streamspan.observe("abc", provider="acme", read=lambda _: None) as chunks:  # type: ignore[arg-type,return-value]
        assert next(chunks) == "a"
    assert [seen.outcome for seen in told.summaries] == ["cancelled"]
    assert ending(told) == ("cancelled", "closed", None)


def test_a_reader_that_raises_is_one_line_and_all_chunks(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """The caller sees every chunk; telemetry counts them without knowing what they say."""
    assert list(streamspan.observe("abc", provider="acme", read=raising)) == ["a", "b", "c"]
    assert (told.summary.outcome, told.summary.chunk_count, told.summary.output_characters) == ("completed", 3, 0)
    (message,) = caplog.messages
    assert message == (
        "streamspan: internal fault in observe(provider='acme') (raising); "
        "the stream is not affected, its telemetry may be incomplete"
    )


def test_a_reader_that_keeps_raising_switches_its_provider_off(told: Told, caplog: pytest.LogCaptureFixture) -> None:
    """After the limit the current stream is still recorded to its end, later ones of that provider are not; others are."""
    chunks = ["x"] * (FAULT_LIMIT + 30)
    assert list(streamspan.observe(chunks, provider="acme", read=raising)) == chunks
    assert told.summary.chunk_count == len(chunks)
    assert len(caplog.messages) == 2
    assert "observe(provider='acme') is switched off" in caplog.messages[1]
    assert list(streamspan.observe(["a"], provider="acme")) == ["a"]
    assert len(told.summaries) == 1
    assert list(streamspan.observe(["a"], provider="other")) == ["a"]
    assert len(told.summaries) == 2
    streamspan.uninstrument()
    told.instrument()
    assert list(streamspan.observe(["a"], provider="acme")) == ["a"]
    assert len(told.summaries) == 3


# --- how it ends ---------------------------------------------------------------------------------------------------------


def test_break_drops_the_stream(told: Told) -> None:
    """A loop that is left without a block lets go of the iterator."""
    for _ in streamspan.observe(generator(), provider="acme"):
        break
    gc.collect()
    assert ending(told) == ("cancelled", "dropped", None)


def test_break_in_a_block_closes_the_stream(told: Told) -> None:
    """And the source with it."""
    source = generator()
    with streamspan.observe(source, provider="acme") as chunks:
        for _ in chunks:
            break
    assert ending(told) == ("cancelled", "closed", None)
    assert list(source) == []


def test_an_async_break_drops_the_stream(told: Told) -> None:
    """As the synchronous one."""

    async def main() -> None:
        async for _ in streamspan.observe(agenerator(), provider="acme"):
            break
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(main())
    gc.collect()
    assert ending(told) == ("cancelled", "dropped", None)


def test_close_and_aclose_end_it(told: Told) -> None:
    """By hand, without a block; twice is once."""
    stream = streamspan.observe(generator(), provider="acme")
    next(stream)
    stream.close()
    stream.close()
    assert ending(told) == ("cancelled", "closed", None)
    assert list(stream) == []

    async def main() -> None:
        stream = streamspan.observe(agenerator(), provider="acme")
        await stream.__anext__()
        await stream.aclose()
        await stream.aclose()

    asyncio.run(main())
    assert [(seen.outcome, seen.cancel_reason) for seen in told.summaries] == [("cancelled", "closed")] * 2


def failing(exc: BaseException) -> Iterator[str]:
    yield "a"
    raise exc


async def afailing(exc: BaseException) -> AsyncIterator[str]:
    yield "a"
    raise exc


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("exc", "outcome"),
    [
        (Broken("x"), ("error", None, f"{__name__}.Broken")),
        (TimeoutError("x"), ("timeout", None, "TimeoutError")),
        (OSError("x"), ("error", None, "OSError")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_exception_of_the_source_is_an_error_and_goes_on(
    told: Told, is_async: bool, exc: Exception, outcome: tuple[str, str | None, str]
) -> None:
    """The very exception, with its type in telemetry; the chunk before it is counted."""
    with pytest.raises(type(exc)) as raised:
        read_all(streamspan.observe(afailing(exc) if is_async else failing(exc), provider="acme"))
    assert raised.value is exc
    assert ending(told) == outcome
    assert told.summary.chunk_count == 1


def test_an_exception_of_the_consumer_is_a_cancel_with_its_type(told: Told) -> None:
    """In a block; nothing is wrong with the stream."""
    with pytest.raises(Broken), streamspan.observe(generator(), provider="acme") as chunks:  # noqa: PT012 - the whole block is the point
        for _ in chunks:
            raise Broken
    assert ending(told) == ("cancelled", "closed", f"{__name__}.Broken")

    async def main() -> None:
        async with streamspan.observe(agenerator(), provider="acme") as chunks:
            async for _ in chunks:
                raise Broken

    with pytest.raises(Broken):
        asyncio.run(main())
    assert told.summaries[1].cancel_exception == f"{__name__}.Broken"


def test_a_generator_around_it_that_is_closed_closes_it(told: Told) -> None:
    """GeneratorExit is nobody's exception."""

    def wrapper() -> Iterator[str]:
        with streamspan.observe(generator(), provider="acme") as chunks:
            yield from chunks

    outer = wrapper()
    assert next(outer) == "Hel"
    outer.close()  # type: ignore[attr-defined]
    assert ending(told) == ("cancelled", "closed", None)


def test_a_cancelled_task_is_told(told: Told) -> None:
    """The task is cancelled while it waits for the source."""

    async def never() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    async def main() -> None:
        started = asyncio.Event()

        async def read() -> None:
            async for _ in streamspan.observe(never(), provider="acme"):
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ending(told) == ("cancelled", "task_cancelled", None)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is new in Python 3.11")
def test_a_timeout_around_it_is_a_timeout(told: Told) -> None:
    """`asyncio.timeout` cancels the task; it is told apart from a cancel of the caller's."""

    async def never() -> AsyncIterator[str]:
        yield "a"
        await asyncio.Event().wait()

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio_timeout(0.01):
                await alist(streamspan.observe(never(), provider="acme"))

    asyncio.run(main())
    assert ending(told) == ("timeout", None, "TimeoutError")


def test_a_source_whose_iterator_cannot_be_had_leaves_nothing_open(told: Told) -> None:
    """Its exception goes on, and no session stays open."""

    class Bad:
        def __iter__(self) -> Iterator[str]:
            raise Broken

    class AsyncBad:
        def __aiter__(self) -> AsyncIterator[str]:
            raise Broken

    for bad in (Bad(), AsyncBad()):
        with pytest.raises(Broken):
            streamspan.observe(bad, provider="acme")
    gc.collect()
    assert (_api.open_sessions(), told.active) == ([], 0)


# --- bad input -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_instrumented", [False, True])
@pytest.mark.parametrize("stream", [None, 5, object(), len], ids=repr)
def test_what_cannot_be_iterated_is_a_config_error(stream: Any, is_instrumented: bool) -> None:
    """Where it is called, not at the first read."""
    if is_instrumented:
        Told().instrument()
    with pytest.raises(ConfigError) as raised:
        streamspan.observe(stream, provider="acme")
    assert str(raised.value) == f"observe({stream!r}): allowed is an iterable or an async iterable of chunks"
    assert _api.open_sessions() == []


@pytest.mark.parametrize("provider", ["", None, 5, ("acme",)], ids=repr)
def test_a_provider_that_is_no_name_is_a_config_error(provider: Any) -> None:
    """It is what everything is grouped by."""
    with pytest.raises(ConfigError) as raised:
        streamspan.observe([], provider=provider)
    assert str(raised.value) == f"observe(provider={provider!r}): allowed is the provider's name, such as 'acme'"


# --- providers of third parties ----------------------------------------------------------------------------------------------

MODULE = """
import streamspan

def read(chunk):
    return streamspan.Delta(chunk["said"], 0, finish_reason="stop" if chunk.get("end") else "")

endpoint = streamspan.Endpoint(name="chat", operation="chat", paths=(r"/say",), read=read)
provider = streamspan.Provider(name="acme", endpoints=(endpoint,))
empty = streamspan.Provider(name="hollow", endpoints=())
nothing = "no provider"
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Install a distribution with providers in it."""

    def install(entry_points: str) -> None:
        (tmp_path / "acme_streams.py").write_text(MODULE)
        info = tmp_path / "acme_streams-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-streams\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[streamspan.providers]\n{entry_points}\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "acme_streams", raising=False)

    return install


SAID = [{"said": "Hal"}, {"said": "lo", "end": True}]


def test_a_third_partys_provider_reads_its_chunks(
    plugin: Callable[[str], None], told: Told, caplog: pytest.LogCaptureFixture
) -> None:
    """Found by its entry point and used by its name; its rules of endings count."""
    plugin("acme = acme_streams:provider")
    streamspan.uninstrument()
    told.instrument()
    assert list(streamspan.observe(SAID, provider="acme")) == SAID
    list(streamspan.observe(SAID[:1], provider="acme"))
    assert [(seen.outcome, seen.output_characters, seen.finish_reasons) for seen in told.summaries] == [
        ("completed", 5, ("stop",)),
        ("truncated", 3, ("error",)),
    ]
    assert caplog.messages == []


def test_read_beats_a_third_partys_provider(plugin: Callable[[str], None], told: Told) -> None:
    """What is said at the call counts."""
    plugin("acme = acme_streams:provider")
    streamspan.uninstrument()
    told.instrument()
    list(streamspan.observe(["x"], provider="acme", read=lambda chunk: Delta(chunk * 3, 0)))
    assert (told.summary.outcome, told.summary.output_characters) == ("completed", 3)


@pytest.mark.parametrize(
    ("entry_point", "word"),
    [
        ("broken = acme_streams:missing", "broken"),
        ("absent = acme_absent:provider", "absent"),
        ("hollow = acme_streams:empty", "hollow"),
        ("odd = acme_streams:nothing", "odd"),
    ],
)
def test_a_provider_that_cannot_be_used_is_one_warning_that_names_it(
    plugin: Callable[[str], None], told: Told, caplog: pytest.LogCaptureFixture, entry_point: str, word: str
) -> None:
    """However many streams there are; all of them come out and are recorded by the generic reader."""
    plugin(f"{entry_point}\nacme = acme_streams:provider")
    streamspan.uninstrument()
    told.instrument()
    for _ in range(FAULT_LIMIT + 5):
        assert list(streamspan.observe(["a"], provider="hollow")) == ["a"]
    list(streamspan.observe(SAID, provider="acme"))
    assert [seen.output_characters for seen in told.summaries] == [1] * (FAULT_LIMIT + 5) + [5]
    assert len(caplog.messages) == 1
    assert word in caplog.messages[0]
