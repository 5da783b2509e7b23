"""The loopback provider: a server in a thread that plays scenarios and keeps the truth about them.

    with DemoProvider() as server:
        client = openai.OpenAI(base_url=server.url("late"), api_key="demo")

Knows how a request becomes a scenario and a vendor's answer. The vendors are in `VENDORS`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

from streamspan.demo import (
    anthropic_streams,
    bedrock_converse,
    cohere_chat,
    gemini_live,
    gemini_streams,
    http11,
    mistral_streams,
    ollama_chat,
    openai_realtime,
    openai_streams,
    scenarios,
)
from streamspan.demo.connection import Connection
from streamspan.demo.dialogues import Talk
from streamspan.demo.exchanges import Exchange, Ledger
from streamspan.demo.player import Player
from streamspan.demo.scenarios import UnknownScenarioError
from streamspan.demo.streams import Ask, Json, NoRouteError, Reply, Route, match, to_json
from streamspan.demo.websocket import is_upgrade

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

VENDORS: tuple[tuple[Route, ...], ...] = (
    openai_streams.ROUTES,
    anthropic_streams.ROUTES,
    gemini_streams.ROUTES,
    cohere_chat.ROUTES,
    mistral_streams.ROUTES,
    ollama_chat.ROUTES,
    bedrock_converse.ROUTES,
)
ROUTES = tuple(route for routes in VENDORS for route in routes)
DIALOGUES = (*openai_realtime.DIALOGUES, *gemini_live.DIALOGUES)
"""Those that are WebSockets."""

_LOOPBACK = "127.0.0.1"


class DemoProvider:
    """A provider on the loopback interface; a context manager that is safe to use from any thread.

    Args:
        port: where to listen; 0 for any free port.
        keep: whether exchanges are recorded; a benchmark does without.
    """

    def __init__(self, port: int = 0, *, keep: bool = True) -> None:
        self.port = port
        self._host = _Host(Ledger(keep=keep))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="streamspan-demo", daemon=True)

    def start(self) -> Self:
        """Listen; return when connections are accepted.

        Raises:
            OSError: the port cannot be had.
        """
        self._thread.start()
        try:
            self.port = asyncio.run_coroutine_threadsafe(self._host.listen(self.port), self._loop).result()
        except BaseException:
            self._end_loop()
            raise
        return self

    def stop(self) -> None:
        """Drop all connections and end the thread; a defect that the server met while serving is raised now."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._host.stop(), self._loop).result()
        self._end_loop()
        if self._host.defects:
            raise self._host.defects[0]

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def url(self, scenario: str = "ok", base: str = "/v1") -> str:
        """Return the base URL that plays `scenario`, as an OpenAI client wants it.

        Args:
            scenario: a name of `SCENARIOS`, with parameters if any: `late;pause=0.1`.
            base: what follows; an Azure client's endpoint comes without `/v1`.

        Raises:
            UnknownScenarioError: there is no such scenario or parameter.
        """
        scenarios.parse(scenario)
        return f"http://{_LOOPBACK}:{self.port}/{scenario}{base}"

    @property
    def exchanges(self) -> list[Exchange]:
        """What was asked and answered so far, in order of arrival."""
        return self._host.ledger.exchanges

    @property
    def connections(self) -> int:
        """How many TCP connections there were."""
        return self._host.ledger.connections

    def of(self, key: str) -> list[Exchange]:
        """Return the exchanges of one key: a scenario's `key=` parameter, or the scenario as written in the URL."""
        return [exchange for exchange in self.exchanges if exchange.key == key]

    def wait_for(self, predicate: Callable[[], T], timeout: float = 5.0) -> T:
        """Return the predicate's value once it is true; it is asked again whenever something happens here.

        Raises:
            TimeoutError: it did not become true in time; the message shows the exchanges.
        """
        return self._host.ledger.wait_for(predicate, timeout)

    def release(self, key: str, count: int = 1) -> None:
        """Let streams with this key pass `count` gates; a release ahead of the gate is remembered."""
        self._loop.call_soon_threadsafe(self._host.release, key, count)

    def clear(self) -> None:
        """Forget exchanges and counts."""
        self._host.ledger.clear()


class _Host:
    """The side of the provider that lives on the event loop."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.defects: list[BaseException] = []
        self._numbers: dict[Connection, int] = {}
        self._current: dict[Connection, Exchange] = {}
        self._gates: dict[str, asyncio.Semaphore] = {}

    async def listen(self, port: int) -> int:
        # The backlog of 100 that asyncio would take is too short when 1,000 streams are opened at once.
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), _LOOPBACK, port, backlog=4096)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def stop(self) -> None:
        self._server.close()
        tasks = [task for connection in list(self._numbers) if (task := connection.stop())]
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close their sockets in a callback

    def release(self, key: str, count: int) -> None:
        for _ in range(count):
            self._gate(key).release()

    def _gate(self, key: str) -> asyncio.Semaphore:
        return self._gates.setdefault(key, asyncio.Semaphore(0))

    def opened(self, connection: Connection) -> None:
        self.ledger.connections += 1
        self._numbers[connection] = self.ledger.connections
        self.ledger.changed()

    def lost(self, connection: Connection) -> None:
        self._numbers.pop(connection, None)
        self.ledger.changed()

    def client_gone(self, connection: Connection) -> None:
        exchange = self._current.get(connection)
        if exchange is not None and exchange.client_gone_ns is None:
            exchange.client_gone_ns = time.monotonic_ns()
            self.ledger.changed()

    def failed(self, defect: BaseException) -> None:
        self.defects.append(defect)

    async def serve(self, connection: Connection, request: http11.Request) -> None:
        name, _, path = request.path.removeprefix("/").partition("/")
        exchange = Exchange(
            scenario=name,
            key=scenarios.key_of(name),
            method=request.method,
            path=f"/{path}",
            headers=request.headers,
            body=request.fields(),
            connection=self._numbers[connection],
            attempt=self.ledger.attempt(scenarios.key_of(name)),
        )
        self._current[connection] = exchange
        self.ledger.opened(exchange)
        try:
            if is_upgrade(request.headers):
                await self._talk(connection, exchange, dict(request.query))
            else:
                await self._answer(connection, exchange, {**request.query, **(exchange.body or {})})
        finally:
            exchange.finished_ns = time.monotonic_ns()
            del self._current[connection]
            self.ledger.changed()

    async def _talk(self, connection: Connection, exchange: Exchange, parameters: Json) -> None:
        gate = self._gate(exchange.key)
        player = Player(connection, exchange, self.ledger, gate)
        try:
            scenario = scenarios.parse(exchange.scenario)
            dialogue = next(each for each in DIALOGUES if each.pattern.fullmatch(exchange.path))
        except (UnknownScenarioError, StopIteration):
            await player.refuse(404, {"error": {"message": f"{exchange.path} is not served here"}})
            return
        if exchange.attempt <= scenario.fails:
            scenario = replace(scenario, status=503)
        if scenario.is_silent:
            await player.silence(scenario)
        elif scenario.is_refusal:
            await player.refuse(scenario.status, {"error": {"message": "no connection", "code": scenario.status}})
        else:
            await Talk(dialogue, connection, exchange, self.ledger, gate).hold(scenario, parameters)

    async def _answer(self, connection: Connection, exchange: Exchange, parameters: Json) -> None:
        player = Player(connection, exchange, self.ledger, self._gate(exchange.key))
        try:
            scenario = scenarios.parse(exchange.scenario)
            route, groups = match(ROUTES, exchange.method, exchange.path)
        except (UnknownScenarioError, NoRouteError) as exc:
            await player.refuse(404, {"error": {"message": str(exc), "type": "invalid_request_error"}})
            return
        player = replace(player, headers={route.request_id_header: exchange.request_id})
        if exchange.attempt <= scenario.fails:
            scenario = replace(scenario, status=503)
        if scenario.is_silent:
            await player.silence(scenario)
        elif scenario.is_refusal:
            player = replace(player, headers={**player.headers, **route.failure_headers(scenario.status)})
            await player.refuse(scenario.status, route.failure(scenario.status))
        else:
            reply = _reply(route, Ask(to_json(parameters), scenario.variant, scenario.chunks, groups))
            if not route.wants_stream(parameters):
                scenario, reply = scenario.as_whole(), reply.as_whole()
            await player.play(scenario, reply)


@lru_cache(maxsize=256)
def _reply(route: Route, ask: Ask) -> Reply:
    return route.reply(ask)
