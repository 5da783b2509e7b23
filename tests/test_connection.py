"""The state machine of a connection, fed by hand: which turn a message is for, and how turns end with it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from streamspan._connection import Connection
from streamspan._endings import Signal
from streamspan._terms import Address
from streamspan._turns import Pieces
from streamspan.providers.openai_realtime import REALTIME
from streamspan.providers.sockets import Socket
from support.feeding import Clock, Feed

ADDRESS = Address("websockets", "openai", "api.openai.com", 443, {"model": "gpt-realtime"})
READER = 7


def connect(feed: Feed, socket: Socket = REALTIME) -> Connection:
    connection = Connection(socket, ADDRESS, sessions=feed.sessions, guard=feed.guard)
    connection.connected()
    return connection


def say(connection: Connection, kind: str, **fields: Any) -> None:
    connection.pull(READER)
    connection.received(json.dumps({"type": kind, **fields}))


def ask(connection: Connection, **fields: Any) -> None:
    connection.sent(connection.sending(json.dumps({"type": "response.create", **fields})))


def created(connection: Connection, answer: str) -> None:
    say(connection, "response.created", response={"id": answer})


def done(connection: Connection, answer: str, status: str = "completed") -> None:
    say(connection, "response.done", response={"id": answer, "status": status})


def endings(feed: Feed) -> list[tuple[str, str | None, str | None]]:
    return [note.ending for note in feed.recorder.notes]


def test_several_answers_at_once_are_kept_apart() -> None:
    """Each message goes to the answer that it names, in whatever order they come and end."""
    feed = Feed()
    connection = connect(feed)
    ask(connection)
    ask(connection)
    created(connection, "a")
    created(connection, "b")
    for answer, text in (("b", "two"), ("a", "one"), ("b", "!")):
        say(connection, "response.output_text.delta", response_id=answer, delta=text)
    done(connection, "b")
    done(connection, "a")
    first, second = (note.session for note in feed.recorder.notes)
    assert first is not None
    assert second is not None
    assert (first.response_id, first.character_count, first.chunk_count) == ("a", 3, 3)
    assert (second.response_id, second.character_count, second.chunk_count) == ("b", 4, 4)
    assert endings(feed) == [("completed", None, None)] * 2


def test_an_error_is_of_the_request_that_it_names() -> None:
    """The error refers to the second question, so the first one is answered as if nothing had been."""
    feed = Feed()
    connection = connect(feed)
    ask(connection, event_id="first")
    ask(connection, event_id="second")
    say(connection, "error", error={"code": "busy", "event_id": "second"})
    created(connection, "a")
    done(connection, "a")
    assert endings(feed) == [("completed", None, None), ("error", None, "busy")]


def test_an_error_without_a_name_refuses_the_question_that_waits() -> None:
    """What is being answered goes on; the question that has no answer yet is the one that is refused."""
    feed = Feed()
    connection = connect(feed)
    ask(connection)
    created(connection, "a")
    ask(connection)
    say(connection, "error", error={"code": "conversation_already_has_active_response"})
    done(connection, "a")
    assert [outcome for outcome, _, _ in endings(feed)] == ["completed", "error"]


def test_an_answer_that_nobody_asked_for_is_a_turn() -> None:
    """After speech the server answers by itself; a message of an unknown answer later is nobody's."""
    feed = Feed()
    connection = connect(feed)
    say(connection, "input_audio_buffer.speech_stopped")
    created(connection, "a")
    done(connection, "a")
    say(connection, "response.output_text.delta", response_id="x", delta="late")
    assert endings(feed) == [("completed", None, None)]


@pytest.mark.parametrize(
    ("signal", "expected"),
    [(Signal.EXIT, ("cancelled", "exit", None)), (Signal.DROPPED, ("cancelled", "dropped", None))],
)
def test_turns_end_with_their_connection(signal: Signal, expected: tuple[str, str | None, str | None]) -> None:
    """What ends the connection from outside ends its turns too, once, and the connection is over."""
    feed = Feed()
    connection = connect(feed)
    ask(connection)
    ask(connection)
    connection.stopped(signal)
    connection.stopped(signal)
    (note,) = feed.recorder.connections
    assert endings(feed) == [expected] * 2
    assert note.summary is not None
    assert (note.summary.turn_count, note.summary.close_code, connection.is_ended) == (2, None, True)
    assert feed.lifecycle.sessions() == []


def test_what_was_inherited_by_a_fork_is_forgotten() -> None:
    """A child process says nothing of its parent's connections."""
    feed = Feed()
    connection = connect(feed)
    connection.forget()
    connection.closed(1000)
    assert feed.recorder.connections[0].summary is None


def test_a_fault_in_a_reader_is_fenced() -> None:
    """A reader that raises costs telemetry; the sessions still end."""

    def raising(_message: Any) -> Any:
        raise LookupError("a fault of ours")

    feed = Feed()
    connection = connect(feed, replace(REALTIME, received=raising))
    ask(connection)
    connection.pull(READER)
    feed.guard.call(connection.received, json.dumps({"type": "response.created"}))
    feed.guard.call(connection.pull, READER)
    feed.guard.call(connection.closing, READER)
    assert endings(feed) == [("cancelled", "closed", None)]


def test_the_model_is_what_was_agreed_on_last() -> None:
    """The model of the URL, until the session says another one; the connection is named after it."""
    feed = Feed()
    connection = connect(feed)
    ask(connection)
    say(connection, "session.updated", session={"id": "s", "model": "gpt-other"})
    ask(connection)
    connection.stopped(Signal.EXIT)
    assert [note.request.model for note in feed.recorder.notes] == ["gpt-realtime", "gpt-other"]
    assert feed.recorder.connections[0].model == "gpt-other"


def test_time_between_the_pieces_of_a_message_is_the_callers() -> None:
    """What the caller does with a piece, before it asks for the next one, is no wait for the provider; the rest is."""
    clock = Clock()
    feed = Feed(clock=clock)
    connection = connect(feed)
    ask(connection)
    connection.pull(READER)
    for _ in range(3):
        clock.now += 1_000_000_000_000
        connection.lent()
        clock.now += 100_000_000_000_000
        connection.pull(READER)
    connection.received(json.dumps({"type": "response.created", "response": {"id": "a"}}))
    done(connection, "a")
    (note,) = feed.recorder.notes
    assert note.session is not None
    assert note.session.consumer_ns >= 300_000_000_000_000
    assert 3_000_000_000_000 <= note.session.provider_ns < 4_000_000_000_000


@pytest.mark.parametrize("piece", ["word ", b"word ", bytearray(b"word "), memoryview(b"word ")])
def test_a_message_in_pieces_needs_no_more_memory_than_one_that_is_read(piece: Any) -> None:
    """Of a very long one only the beginning is kept, and its length."""
    pieces = Pieces()
    for _ in range(300_000):
        pieces.add(piece)
    kept = "word " if isinstance(piece, str) else b"word "
    assert (pieces.size, len(pieces.joined()), pieces.is_whole) == (1_500_000, 1024 * 1024, False)
    assert pieces.joined()[:10] == kept * 2
