"""Plays one scenario on one connection, and writes down what was sent when.

Knows how a script becomes writes: dress, batch, delay, gate. Refuses to know routes and threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from streamspan.demo import http11
from streamspan.demo.connection import ENDINGS, Body, Connection
from streamspan.demo.exchanges import Exchange, Ledger
from streamspan.demo.scenarios import Scenario
from streamspan.demo.steps import Hold
from streamspan.demo.streams import DRESSES, Event, Reply, to_json

RETRY_AFTER_MS = "10"
_RETRIED = frozenset({429, 500, 503})


@dataclass(frozen=True, slots=True)
class Player:
    """What is needed to answer one request.

    Args:
        connection: where the answer goes.
        exchange: the record to write.
        ledger: who is told of changes of the record.
        gate: where a scenario's `hold` waits.
        headers: the vendor's own response headers.
    """

    connection: Connection
    exchange: Exchange
    ledger: Ledger
    gate: asyncio.Semaphore
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    async def play(self, scenario: Scenario, reply: Reply) -> None:
        """Send the head, what the scenario's steps say, and the scenario's ending."""
        coding = {"content-encoding": scenario.coding} if scenario.coding else {}
        framing = {"content-type": reply.content_type, "transfer-encoding": "chunked"}
        await self._head(scenario.status, {**framing, **coding})
        body = Body(self.connection, coding=scenario.coding, split=scenario.split)
        outlet = _Outlet(body, self.exchange, self.ledger, scenario)
        for action in scenario.script(reply):
            if isinstance(action, Event):
                await outlet.send(action)
                continue
            await outlet.flush()
            if isinstance(action, Hold):
                await self._hold()
            else:
                await asyncio.sleep(action.seconds)
        await outlet.flush()
        await ENDINGS[scenario.ending](body)

    async def refuse(self, status: int, answer: object) -> None:
        """Answer with an HTTP error; a client that retries is told to do so soon."""
        data = to_json(answer).encode()
        framing = {"content-type": "application/json", "content-length": str(len(data))}
        retry = {"retry-after-ms": RETRY_AFTER_MS} if status in _RETRIED else {}
        await self._head(status, {**framing, **retry}, data)

    async def silence(self, scenario: Scenario) -> None:
        """Send nothing, only the scenario's ending."""
        await ENDINGS[scenario.ending](Body(self.connection))

    async def _head(self, status: int, headers: Mapping[str, str], data: bytes = b"") -> None:
        self.exchange.status = status
        self.exchange.headers_ns = time.monotonic_ns()
        await self.connection.write(http11.head(status, {**headers, **self.headers}) + data)
        self.ledger.changed()

    async def _hold(self) -> None:
        self.exchange.is_held = True
        self.ledger.changed()
        await self.gate.acquire()
        self.exchange.is_held = False


class _Outlet:
    """Paces, batches and records the events of one stream."""

    __slots__ = ("_body", "_dress", "_exchange", "_is_begun", "_ledger", "_payloads", "_pieces", "_scenario")

    def __init__(self, body: Body, exchange: Exchange, ledger: Ledger, scenario: Scenario) -> None:
        self._body, self._exchange, self._ledger, self._scenario = body, exchange, ledger, scenario
        self._dress = DRESSES[scenario.dress]
        self._payloads: list[str] = []
        self._pieces: list[str] = []
        self._is_begun = False

    async def send(self, event: Event) -> None:
        """Take an event, and write when the batch is full."""
        self._pieces.append(event.data if event.is_bare else self._dress(event))
        self._payloads.append(event.data)
        if len(self._pieces) >= self._scenario.batch:
            await self.flush()

    async def flush(self) -> None:
        """Write what is there."""
        if not self._pieces:
            return
        if self._is_begun:
            # Even without a delay: lets other connections run, and lets the end of this one be seen.
            await asyncio.sleep(self._scenario.delay)
        self._is_begun = True
        data, payloads = "".join(self._pieces).encode("utf-8", "surrogateescape"), self._payloads
        self._pieces, self._payloads = [], []
        if not self._ledger.is_kept:
            await self._body.write(data)
            return
        # On record first: a client must not have an event that its test does not find there.
        sent = self._exchange.sent
        count = len(sent)
        now_ns = time.monotonic_ns()
        sent.extend((now_ns, payload) for payload in payloads)
        try:
            await self._body.write(data)
        except asyncio.CancelledError:
            del sent[count:]
            raise
        self._ledger.changed()
