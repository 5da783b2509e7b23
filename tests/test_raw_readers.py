"""Ways to read a raw stream that end it without a read that comes back empty: by a hook, or by asking for the end.

Each program runs without and with streamspan, and what it returns or raises is compared.
"""

from __future__ import annotations

import asyncio
import io
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import aiohttp
import httpx
import pytest

from streamspan._config import Config, HostPattern
from streamspan._wire import WireReader
from support.played import ASKED, PATH, STREAM, twice
from support.raw_reads import seen, with_aiohttp, with_requests
from support.replay import Replay
from support.telemetry import Told

CUT = STREAM[:1]
_EVERY_LIBRARY = pytest.mark.parametrize("library", ["httpx", "requests", "aiohttp"])
_GOOD_AND_CUT = pytest.mark.parametrize(("pieces", "ending"), [(STREAM, ("completed", 2)), (CUT, ("truncated", 1))])


# --- a hook has read it ----------------------------------------------------------------------------------------------


def _requests_hook(response: Any, **_: Any) -> None:
    assert response.content


def _httpx_hook(response: httpx.Response) -> None:
    response.read()


def _requests_pieces_hook(response: Any, **_: Any) -> None:
    for _piece in response.iter_content(16):
        pass


async def _aiohttp_middleware(request: Any, handler: Any) -> Any:
    response = await handler(request)
    await response.read()
    return response


async def _aiohttp_pieces_middleware(request: Any, handler: Any) -> Any:
    response = await handler(request)
    async for _ in response.content.iter_any():
        pass
    return response


def _needs_middlewares() -> None:
    aiohttp = pytest.importorskip("aiohttp")
    if not hasattr(aiohttp, "ClientMiddlewareType"):
        pytest.skip("aiohttp has middlewares since 3.12")


@_GOOD_AND_CUT
@_EVERY_LIBRARY
def test_a_body_that_a_hook_has_read_is_taken(library: str, pieces: list[bytes], ending: tuple[str, int]) -> None:
    """As tools that log traffic do: the caller has it from memory."""
    with Replay(pieces) as replay:
        url = f"{replay.url}{PATH}"

        def program() -> Any:
            if library == "requests":
                return with_requests(lambda response: response.content, url, hooks=[_requests_hook])
            if library == "aiohttp":
                _needs_middlewares()
                return with_aiohttp(lambda response: response.read(), url, middlewares=[_aiohttp_middleware])
            client = httpx.Client(event_hooks={"response": [_httpx_hook]})
            with client, client.stream("POST", url, json=ASKED) as response:
                return b"".join(response.iter_bytes())

        got, told = twice(program)
    assert got == b"".join(pieces)
    assert seen(told) == ending


@pytest.mark.parametrize("library", ["requests", "aiohttp"])
def test_of_a_body_that_a_hook_has_taken_away_only_the_end_is_known(library: str) -> None:
    """Nobody broke it off, and nobody can tell what was in it."""
    with Replay(STREAM) as replay:
        url = f"{replay.url}{PATH}"

        def program() -> Any:
            if library == "requests":
                return with_requests(lambda response: response.status_code, url, hooks=[_requests_pieces_hook])
            _needs_middlewares()
            return with_aiohttp(lambda response: response.read(), url, middlewares=[_aiohttp_pieces_middleware])

        _, told = twice(program)
    assert seen(told) == ("completed", 0)


# --- read to the end, and no further ---------------------------------------------------------------------------------


async def _until_at_eof(response: Any) -> bytes:
    got = b""
    while not response.content.at_eof():
        got += await response.content.readany()
    return got


async def _nowait_until_at_eof(response: Any) -> bytes:
    await response.content.wait_eof()
    got = b""
    while not response.content.at_eof():
        got += response.content.read_nowait(10)
    return got


def _until_closed(response: Any) -> bytes:
    got = b""
    while not response.raw.closed:
        got += response.raw.read(7)
    return got


def _text_wrapper(response: Any) -> list[str]:
    response.raw.auto_close = False  # the recipe of urllib3's documentation
    return list(io.TextIOWrapper(response.raw))


def _buffered(response: Any) -> list[bytes]:
    lines: list[bytes] = []
    with suppress(ValueError):  # urllib3 closes the file under it
        lines.extend(io.BufferedReader(response.raw))
    return lines


_TO_THE_END: dict[str, tuple[Callable[..., Any], Callable[[Any], Any]]] = {
    "aiohttp, at_eof": (with_aiohttp, _until_at_eof),
    "aiohttp, at_eof and read_nowait": (with_aiohttp, _nowait_until_at_eof),
    "requests, closed": (with_requests, _until_closed),
    "requests, TextIOWrapper": (with_requests, _text_wrapper),
    "requests, BufferedReader": (with_requests, _buffered),
}


@_GOOD_AND_CUT
@pytest.mark.parametrize("way", _TO_THE_END)
def test_the_end_may_be_asked_for(way: str, pieces: list[bytes], ending: tuple[str, int]) -> None:
    """A stream that was read to its end was not cancelled: it is complete, or was cut."""
    send, read = _TO_THE_END[way]
    with Replay(pieces) as replay:
        _, told = twice(lambda: send(read, f"{replay.url}{PATH}"))
    assert seen(told) == ending


def test_what_a_read_without_waiting_raises_is_the_streams() -> None:
    """A body that was cut inside a chunk of HTTP, read by polling."""

    async def read(response: Any) -> Any:
        with suppress(aiohttp.ClientPayloadError):
            while not response.content.at_eof():
                response.content.read_nowait()
                await asyncio.sleep(0.001)

    with Replay(CUT, end="close") as replay:
        _, told = twice(lambda: with_aiohttp(read, f"{replay.url}{PATH}"))
    assert told.summary.outcome == "error"
    assert told.summary.error_type == "aiohttp.client_exceptions.ClientPayloadError"


@pytest.mark.parametrize("way", _TO_THE_END)
def test_the_end_is_the_marker_where_there_is_none(way: str) -> None:
    """On a host of the user's."""
    send, read = _TO_THE_END[way]
    told = Told()
    told.instrument(Config(hosts=(HostPattern("127.0.0.1"),)))
    with Replay([b'data: {"text": "Hallo"}\n\n']) as replay:
        send(read, f"{replay.url}/stream", body={"prompt": "Hi"})
    told.finish()
    assert seen(told) == ("completed", 1)


_BROKEN_OFF: dict[str, Callable[[Any], Any]] = {
    "iter_content": lambda response: next(response.iter_content(None)),
    "iter_content of some bytes": lambda response: next(response.iter_content(20)),
    "iter_lines": lambda response: next(response.iter_lines()),
    "iter_lines of bytes": lambda response: next(response.iter_lines(chunk_size=1)),
    "stream": lambda response: next(response.raw.stream(20)),
    "read_chunked": lambda response: next(response.raw.read_chunked(20)),
    "read": lambda response: response.raw.read(20),
    "nothing": lambda response: response.status_code,
}


@pytest.mark.parametrize("way", _BROKEN_OFF)
def test_a_body_that_is_broken_off_was_not_read_to_its_end(way: str) -> None:
    """Though urllib3 closes its file where its generator is closed."""
    with Replay(STREAM) as replay:
        _, told = twice(lambda: with_requests(_BROKEN_OFF[way], f"{replay.url}{PATH}"))
    assert (told.summary.outcome, told.summary.cancel_reason) == ("cancelled", "closed")


def test_a_line_that_is_given_back_is_read_once() -> None:
    """As readers do that look what a stream begins with."""

    async def read(response: Any) -> Any:
        line = await response.content.readline()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            response.content.unread_data(line)
        return await response.read()

    with Replay(STREAM) as replay:
        got, told = twice(lambda: with_aiohttp(read, f"{replay.url}{PATH}"))
    assert got == b"".join(STREAM)
    assert (*seen(told), told.summary.output_characters) == ("completed", 2, 5)


def test_bytes_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller who reads byte by byte pays for lines."""
    pieces: list[object] = []
    read = WireReader.read

    def counted(self: WireReader, data: Any) -> Any:
        pieces.append(data)
        return read(self, data)

    monkeypatch.setattr(WireReader, "read", counted)
    with Replay(STREAM) as replay:
        _, told = twice(lambda: with_requests(lambda response: list(response.iter_content(1)), f"{replay.url}{PATH}"))
    assert seen(told) == ("completed", 2)
    assert len(pieces) <= 2 * len(STREAM) + 2


def test_what_is_thrown_away_was_not_read() -> None:
    """`drain_conn` frees the connection; nobody has had the rest."""
    with Replay(STREAM) as replay:
        _, told = twice(lambda: with_requests(lambda response: response.raw.drain_conn(), f"{replay.url}{PATH}"))
    assert seen(told) == ("cancelled", 0)


def test_a_second_reader_that_is_refused_says_nothing_of_the_stream() -> None:
    """The library raises at the second one, and the first one reads on."""

    async def read(response: Any) -> Any:
        async def first() -> bytes:
            return b"".join([piece async for piece in response.content.iter_any()])

        refusals: list[str] = []
        reading = asyncio.create_task(first())
        while not (response.content._waiter or reading.done()):  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0)
        try:
            await response.content.readany()
        except RuntimeError as exc:
            refusals.append(str(exc))
        response.content.feed_data(b"".join(STREAM))
        response.content.feed_eof()
        return refusals, await reading

    with Replay([], end="silence") as replay:
        (refusals, got), told = twice(lambda: with_aiohttp(read, f"{replay.url}{PATH}"))
    assert (len(refusals), got) == (1, b"".join(STREAM))
    assert seen(told) == ("completed", 2)
