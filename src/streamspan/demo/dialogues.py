"""Conversations over a WebSocket: what a vendor says to each message of the client, played as the scenario wants.

Knows turns: one question, one `Reply`. The vendors are modules with a `Dialogue`; the framing is `websocket`'s.
"""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from streamspan.demo import http11, websocket
from streamspan.demo.connection import Connection
from streamspan.demo.exchanges import Exchange, Ledger
from streamspan.demo.scenarios import Scenario
from streamspan.demo.steps import Hold, Wait
from streamspan.demo.streams import Event, Json, Reply, as_object


@dataclass(slots=True)
class State:
    """What a vendor's module keeps of one connection.

    Args:
        parameters: the query of the URL.
        scenario: what is played.
        settings: what the client has set.
        turn: number of the latest question, from 1.
    """

    parameters: Json
    scenario: Scenario
    settings: Json = field(default_factory=dict[str, object])
    turn: int = 0


@dataclass(frozen=True, slots=True)
class Heard:
    """What to do about a message: first say something, then answer, or stop answering."""

    lead: tuple[str, ...] = ()
    reply: Reply | None = None
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A vendor's WebSocket.

    Args:
        pattern: regular expression for the whole path after the scenario's segment.
        greeting: what is said first.
        hear: what to do about a message.
        is_binary: whether its messages are sent as binary frames.
    """

    pattern: re.Pattern[str]
    greeting: Callable[[State], Iterable[str]]
    hear: Callable[[State, Json], Heard]
    is_binary: bool = False


class Talk:
    """One connection, from the upgrade to its end.

    Args:
        dialogue: who speaks.
        connection: where to.
        exchange: the record to write.
        ledger: who is told of changes of the record.
        gate: where a scenario's `hold` waits.
    """

    def __init__(
        self, dialogue: Dialogue, connection: Connection, exchange: Exchange, ledger: Ledger, gate: asyncio.Semaphore
    ) -> None:
        self._dialogue, self._connection, self._exchange = dialogue, connection, exchange
        self._ledger, self._gate = ledger, gate
        self._frames = websocket.FrameReader()
        self._questions: asyncio.Queue[Reply] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._state: State | None = None

    async def hold(self, scenario: Scenario, parameters: Json) -> None:
        """Accept, greet, and answer every question."""
        self._state = State(parameters, scenario)
        self._exchange.status = 101
        self._exchange.headers_ns = time.monotonic_ns()
        self._connection.take_over(self._received)
        await self._connection.write(http11.head(101, websocket.accepting(self._exchange.headers)))
        for text in self._dialogue.greeting(self._state):
            await self._say(text)
        while True:
            reply = await self._questions.get()
            self._stop.clear()
            if not await self._answer(scenario, reply):
                return

    def _received(self, data: bytes) -> None:
        for message in self._frames.feed(data):
            if message.opcode == websocket.CLOSE:
                code = struct.unpack("!H", message.data[:2])[0] if message.data else 1000
                self._exchange.closed_with = code
                self._connection.write_now(
                    websocket.frame(websocket.CLOSE, message.data)
                )  # an answer to ours is too many, and harmless
                self._connection.close()
            elif message.opcode == websocket.PING:
                self._connection.write_now(websocket.frame(websocket.PONG, message.data))
            elif message.opcode in {websocket.TEXT, websocket.BINARY}:
                self._heard(as_object(json.loads(message.data)))

    def _heard(self, message: Json) -> None:
        assert self._state is not None
        self._exchange.messages.append(message)
        heard = self._dialogue.hear(self._state, message)
        for text in heard.lead:
            self._exchange.sent.append((time.monotonic_ns(), text))
            self._connection.write_now(self._framed(text))
        if heard.stops:
            self._stop.set()
        if heard.reply is not None:
            self._questions.put_nowait(heard.reply)
        self._ledger.changed()

    def _framed(self, text: str) -> bytes:
        return websocket.frame(websocket.BINARY if self._dialogue.is_binary else websocket.TEXT, text.encode())

    async def _say(self, text: str) -> None:
        self._exchange.sent.append((time.monotonic_ns(), text))
        await self._connection.write(self._framed(text))
        self._ledger.changed()

    async def _answer(self, scenario: Scenario, reply: Reply) -> bool:
        """Play one answer; return whether the connection goes on."""
        last: Event | None = None
        for action in scenario.script(reply):
            if self._stop.is_set():
                break
            if isinstance(action, Event):
                if last is not None:
                    await asyncio.sleep(scenario.delay)
                await self._say(action.data)
                last = action
            elif isinstance(action, Wait):
                await asyncio.sleep(action.seconds)
            elif isinstance(action, Hold):
                await self._held()
        if self._stop.is_set():
            for event in reply.fault("stopped"):
                await self._say(event.data)
            return True
        return await self._end(scenario, is_cut=last in reply.events and last is not None and last.kind != "done")

    async def _held(self) -> None:
        """Wait at the gate, or until the client wants no more."""
        self._exchange.is_held = True
        self._ledger.changed()
        waits = [asyncio.ensure_future(self._gate.acquire()), asyncio.ensure_future(self._stop.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        self._exchange.is_held = False

    async def _end(self, scenario: Scenario, *, is_cut: bool) -> bool:
        connection = self._connection
        if scenario.ending == "hang":
            await self._stop.wait()
            return True
        if scenario.ending in {"drop", "rst"}:
            connection.abort(reset=scenario.ending == "rst")
        elif scenario.ending == "eof":
            await connection.write(b"\x81\x7e\x40\x00half a frame")
            connection.close()
        elif scenario.ending == "close_1011":
            await self._close(1011, "internal error")
        elif is_cut:
            await self._close(1000, "")
        else:
            return True
        return False

    async def _close(self, code: int, reason: str) -> None:
        await self._connection.write(websocket.closing(code, reason))
        await self._connection.idle()  # the client closes in turn
