"""Frames as they are seldom sent: messages in pieces, in both directions, and close frames of every kind."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from socket import SHUT_RDWR
from typing import Any

import pytest

from sockets.runs import ASK, CREATED, DONE, connections, event, outcomes, recording, saying, turns, url
from sockets.surfaces import closing_soon
from streamspan.demo import DemoProvider
from support.seen import type_name
from support.telemetry import Told
from support.twice import drive

asynchronous = pytest.importorskip("websockets.asyncio.client", reason="needs websockets 13")
synchronous = pytest.importorskip("websockets.sync.client")

Do = Callable[[Any], Any]


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    with DemoProvider() as provider:
        yield provider


async def _wait(value: Any) -> Any:
    return await value if hasattr(value, "__await__") else value


async def _pieces(socket: Any, most: int | None = None) -> list[Any]:
    """Read a message in pieces, in either colour."""
    found: list[Any] = []
    pieces = socket.recv_streaming()
    try:
        while most is None or len(found) < most:
            found.append(await pieces.__anext__() if hasattr(pieces, "__anext__") else next(pieces))
    except (StopIteration, StopAsyncIteration):
        pass
    else:
        await _wait(pieces.aclose() if hasattr(pieces, "aclose") else pieces.close())
    return found


def fault(exc: Exception) -> tuple[str, str]:
    """Return an exception as plain data; the library warns of its old attributes, and 13.0 cannot always say its text."""
    return type_name(exc), repr(exc.args)


def talk(address: str, do: Do, *, is_async: bool) -> Any:
    """Do something with a connection, and return what it returned, or what it raised."""

    async def life() -> Any:
        module, options = (asynchronous, {}) if is_async else (synchronous, closing_soon())
        manager = module.connect(address, max_size=None, **options)
        try:
            if not is_async:
                with manager as socket:
                    return await do(socket)
            async with manager as socket:
                return await do(socket)
        except Exception as exc:  # noqa: BLE001 - whatever the library raises
            return fault(exc)

    return asyncio.run(life()) if is_async else drive(life())


def twice(address: str, do: Do, *, is_async: bool) -> tuple[Told, Any]:
    """Do it without and with streamspan, compare, and return what was told and seen."""
    bare = talk(address, do, is_async=is_async)
    with recording() as told:
        seen = talk(address, do, is_async=is_async)
    assert seen == bare
    return told, seen


both = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])

# --- received ------------------------------------------------------------------------------------------------------------

TEXT = event("response.output_text.delta", delta="word ")
THIRDS = [[message[:9], message[9:20], message[20:]] for message in (CREATED, TEXT, TEXT, DONE)]


@both
@pytest.mark.parametrize("is_binary", [False, True], ids=["text", "binary"])
def test_a_message_in_pieces_is_one_message(is_binary: bool, is_async: bool) -> None:
    """The caller has the pieces that were sent; the turn has the messages, and is over with the last of them."""
    messages: list[Any] = [[piece.encode() for piece in each] for each in THIRDS] if is_binary else THIRDS

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        pieces = [await _pieces(socket) for _ in messages]
        ended.append(len(told_so_far()))
        return pieces

    ended: list[int] = []
    told: Told | None = None

    def told_so_far() -> list[Any]:
        return [] if told is None else told.spans

    with saying(*messages) as address:
        bare = talk(address, do, is_async=is_async)
        with recording() as told:
            seen = talk(address, do, is_async=is_async)
    assert bare == seen
    # An empty piece may come at the end: the server's last frame.
    assert [[piece for piece in each if piece] for each in seen] == messages
    (turn,) = turns(told)
    assert ended == [0, 1]
    assert (turn["streamspan.outcome"], turn["gen_ai.response.id"]) == ("completed", "r1")
    assert (turn["streamspan.chunk.count"], turn["streamspan.output.characters"]) == (4, 10)


@both
def test_pieces_and_whole_messages_may_take_turns(is_async: bool) -> None:
    """Each way of reading takes a message."""

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        return [await _wait(socket.recv()), await _pieces(socket), await _wait(socket.recv()), await _pieces(socket)]

    with saying(*THIRDS) as address:
        told, _ = twice(address, do, is_async=is_async)
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["streamspan.chunk.count"]) == ("completed", 4)


@both
def test_a_very_long_message_in_pieces_is_counted_once(is_async: bool) -> None:
    """Sound of ten megabytes is known by its head; no more than one megabyte of it is kept."""
    sound = event("response.output_audio.delta", delta="A" * 10_000_000)
    pieces = [sound[at : at + 100_000] for at in range(0, len(sound), 100_000)]

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        return ["".join(await _pieces(socket)) for _ in range(3)]

    with saying(CREATED, pieces, DONE) as address:
        told, seen = twice(address, do, is_async=is_async)
    assert seen[1] == sound
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["streamspan.chunk.count"]) == ("completed", 3)
    assert "streamspan.time_to_first_token" in turn


@both
def test_a_message_that_is_left_in_the_middle_is_none(is_async: bool) -> None:
    """Who takes a piece and goes away has had the messages before it."""

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        return [await _pieces(socket), await _pieces(socket, most=1)]

    with saying(*THIRDS) as address:
        told, _ = twice(address, do, is_async=is_async)
    (turn,) = turns(told)
    assert outcomes(told) == ["cancelled closed"]
    assert turn["streamspan.chunk.count"] == 1


@both
def test_a_connection_that_breaks_inside_a_message_is_an_error(is_async: bool) -> None:
    """The provider fails between two pieces, and says so in its close frame."""

    def failing() -> Iterator[str]:
        yield TEXT[:9]
        raise LookupError("the provider's own")

    class Failing:
        def __iter__(self) -> Iterator[str]:
            return failing()

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        return [await _pieces(socket), await _pieces(socket)]

    with saying(CREATED, Failing()) as address:
        told, seen = twice(address, do, is_async=is_async)
    assert seen[0] == "websockets.exceptions.ConnectionClosedError"
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["error.type"], turn["streamspan.chunk.count"]) == ("error", "1011", 1)


# --- sent ----------------------------------------------------------------------------------------------------------------

ASKING = json.dumps({"type": "response.create", "response": {"max_output_tokens": 7, "instructions": "Be brief: ü."}})


def _halves(message: Any) -> list[Any]:
    return [message[:14], message[14:]]


def _one_by_one(pieces: Any) -> Iterator[Any]:
    yield from pieces


async def _one_by_one_async(pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


WAYS: dict[str, Callable[[], Any]] = {
    "bytes": ASKING.encode,
    "bytearray": lambda: bytearray(ASKING.encode()),
    "memoryview": lambda: memoryview(ASKING.encode()),
    "list of text": lambda: _halves(ASKING),
    "list of bytes": lambda: _halves(ASKING.encode()),
    "list of memoryviews": lambda: _halves(memoryview(ASKING.encode())),
    "generator": lambda: _one_by_one(ASKING),
    "async generator": lambda: _one_by_one_async(_halves(ASKING)),
}


@both
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("by_name", [False, True], ids=["", "by name"])
def test_a_question_may_be_sent_in_pieces(way: str, by_name: bool, is_async: bool, server: DemoProvider) -> None:
    """However a question is sent, the server has it as it was meant, and a turn begins with its parameters."""

    async def do(socket: Any) -> Any:
        message = WAYS[way]()
        await _wait(socket.send(message=message) if by_name else socket.send(message))
        return [await _wait(socket.recv()) for _ in range(4)], list(message) if way == "generator" else []

    server.clear()
    told, seen = twice(url(server, "ok;chunks=2"), do, is_async=is_async)
    if way == "async generator" and not is_async:
        assert seen[0] == "builtins.TypeError"  # which the library raises
        assert turns(told) == []
        return
    assert [each.messages for each in server.exchanges] == [[json.loads(ASKING)]] * 2
    (turn,) = turns(told)
    assert (turn["gen_ai.request.max_tokens"], turn["streamspan.chunk.count"]) == (7, 3)


def _breaks(pieces: list[str]) -> Iterator[str]:
    yield from pieces
    raise LookupError("the application's own")


MISTAKES: dict[str, Callable[[], Any]] = {
    "two kinds": lambda: [ASKING[:14], ASKING[14:].encode()],
    "no text": lambda: [3, 4],
    "a mapping": lambda: {"type": "response.create"},
    "a number": lambda: 3,
    "nothing": lambda: None,
    "fails": lambda: _breaks(_halves(ASKING)),
    "empty": list[str],
    "no JSON": lambda: ASKING[:-9],
    "too long": lambda: [ASKING, *[" " * 100_000] * 12],
}


@both
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_the_librarys_to_tell(
    mistake: str, is_async: bool, server: DemoProvider, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be sent raises what it raises; what nobody can read begins no turn."""

    async def do(socket: Any) -> Any:
        await _wait(socket.recv())
        await _wait(socket.send(MISTAKES[mistake]()))

    told, _ = twice(url(server, "ok"), do, is_async=is_async)
    assert turns(told) == []
    assert [record for record in caplog.records if record.name.startswith("streamspan")] == []


# --- close frames --------------------------------------------------------------------------------------------------------


def _closing(code: int | None) -> Callable[[Any], None]:
    def close(socket: Any) -> None:
        with socket.send_context():
            socket.protocol.send_close(*() if code is None else (code, "because"))

    return close


@both
@pytest.mark.parametrize(
    ("code", "outcome", "error"),
    [
        (1000, "truncated", None),
        (1001, "truncated", None),
        (None, "truncated", None),  # which the library calls 1005, a code that is never sent
        (1011, "error", "1011"),
        (4000, "error", "4000"),
    ],
)
def test_the_code_of_the_close_frame_tells_how_a_turn_ended(
    code: int | None, outcome: str, error: str | None, is_async: bool
) -> None:
    """A normal close inside an answer cuts it off; what is recorded is what the provider sent, if it sent any."""

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        return [await _wait(socket.recv()), await _wait(socket.recv())]

    with saying(CREATED, then=_closing(code)) as address:
        told, seen = twice(address, do, is_async=is_async)
    assert seen[0] == f"websockets.exceptions.ConnectionClosed{'OK' if error is None else 'Error'}"
    assert [(each["streamspan.outcome"], each["error.type"]) for each in turns(told)] == [(outcome, error or outcome)]
    assert [(each.get("streamspan.close_code"), each.get("error.type")) for each in connections(told)] == [
        (code, error)
    ]


@both
def test_a_close_that_nobody_answers_has_no_code(is_async: bool) -> None:
    """The provider goes away in the place of closing: the library makes up 1006 for that, which nobody has sent."""

    async def do(socket: Any) -> Any:
        await _wait(socket.send(ASK))
        await _wait(socket.recv())
        left.set()
        gone.wait()
        await _wait(socket.close())
        return socket.protocol.close_code

    def go(socket: Any) -> None:
        left.wait()
        socket.socket.shutdown(SHUT_RDWR)
        gone.set()

    left, gone = threading.Event(), threading.Event()
    with saying(CREATED, then=go) as address:
        told, seen = twice(address, do, is_async=is_async)
    assert seen == 1006
    assert outcomes(told) == ["cancelled closed"]
    assert "streamspan.close_code" not in connections(told)[0]
