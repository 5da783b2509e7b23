"""Connections that never open, on every surface that opens one; and whose connections are recorded."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from typing import Any

import pytest

import streamspan
from sockets.runs import ASK, connections, outcomes, recording, run, turns, until, url
from sockets.surfaces import RAW, TALKERS, Talker, google_client
from sockets.talks import Holding
from streamspan import HostPattern
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.seen import type_name
from support.telemetry import Told
from support.twice import drive

asynchronous = pytest.importorskip("websockets.asyncio.client", reason="needs websockets 13")
synchronous = pytest.importorskip("websockets.sync.client")

NOWHERE = "no-such-host.invalid"
CONFIG = streamspan.Config(hosts=(*RAW.hosts, HostPattern(NOWHERE)))


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    with DemoProvider() as provider:
        yield provider


class Elsewhere:
    """An address in the place of the demo provider's."""

    def __init__(self, host: str, port: int) -> None:
        self._at = f"{host}:{port}"
        self.visited = threading.Event()

    def url(self, _scenario: str = "", base: str = "/v1") -> str:
        """Return a URL there."""
        return f"http://{self._at}{base}"


@contextmanager
def nobody() -> Iterator[Elsewhere]:
    """Give a port that nobody listens at."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # held, so that nobody else gets it
        yield Elsewhere("127.0.0.1", held.getsockname()[1])


@contextmanager
def nowhere() -> Iterator[Elsewhere]:
    """Give a host that there is not."""
    yield Elsewhere(NOWHERE, 80)


@contextmanager
def answering(answer: bytes) -> Iterator[Elsewhere]:
    """Listen, and answer every request alike; with nothing, keep the client waiting."""
    held: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):  # the listener is closed
            while True:
                client, _ = listener.accept()
                if client.recv(65536) and answer:
                    client.sendall(answer)
                    client.close()
                held.append(client)
                place.visited.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        place = Elsewhere("127.0.0.1", listener.getsockname()[1])
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield place
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for client in held:
                client.close()


def _refusing(status: int, body: bytes, kind: str = "application/json") -> Callable[[], Any]:
    head = f"HTTP/1.1 {status} No\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
    return lambda: answering(head.encode() + body)


def _error(**error: object) -> bytes:
    return json.dumps({"error": error}).encode()


PLACES: dict[str, tuple[Callable[[], Any], str]] = {
    "refused port": (nobody, "ConnectionRefusedError"),
    "unknown host": (nowhere, "socket.gaierror"),
    "401 with a word": (_refusing(401, _error(code="invalid_api_key", message="Wrong key")), "invalid_api_key"),
    "403 with Google's": (_refusing(403, _error(code=403, status="PERMISSION_DENIED")), "PERMISSION_DENIED"),
    "429 without": (_refusing(429, b""), "429"),
    "503 of a proxy": (_refusing(503, b"<html>busy</html>", "text/html"), "503"),
    "no HTTP": (lambda: answering(b"SSH-2.0-OpenSSH_9.9\r\n"), ""),
}
"""What is found where the provider should be, and `error.type` of the connection; empty: the exception's name."""

SURFACES = [pytest.param(each, color, id=f"{each.name}-{'async' if color else 'sync'}")
            for each in TALKERS for color in each.colours]  # fmt: skip


def _is_seen(place: str, *, is_async: bool) -> bool:
    """Tell whether the opening passes a seam: asyncio's of websockets 13.0 only has one at the handshake."""
    return not (is_async and place in {"refused port", "unknown host"} and version("websockets") == "13.0")


def open_one(server: Any, talker: Talker, *, is_async: bool) -> tuple[str, str]:
    """Open a connection, and return what was raised."""

    async def life() -> None:
        async with Holding(caller, talker, ""):
            raise AssertionError("it is open")

    caller = Caller(server, is_async=is_async, ended_spans=None)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - compared with what the bare library raises
        asyncio.run(life()) if is_async else drive(life())
    return type_name(caught.value), str(caught.value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("talker", "is_async"), SURFACES)
def test_a_connection_that_never_opens_is_an_error(place: str, talker: Talker, is_async: bool) -> None:
    """The caller sees what it sees without us; one span tells why there is no connection, and there is no turn."""
    make, error = PLACES[place]
    with make() as server:
        bare = open_one(server, talker, is_async=is_async)
        with recording(CONFIG) as told:
            seen = open_one(server, talker, is_async=is_async)
    assert seen == bare
    assert turns(told) == []
    if not _is_seen(place, is_async=is_async):
        assert connections(told) == []
        return
    (connection,) = connections(told)
    assert (connection["error.type"], connection["streamspan.turn.count"]) == (
        error or bare[0].removeprefix("builtins."),
        0,
    )
    assert (connection["streamspan.layer"], connection["gen_ai.provider.name"]) == (talker.layer, talker.provider)
    assert {"streamspan.connect_time", "streamspan.close_code"}.isdisjoint(connection)
    assert told.spans[0].status.status_code.name == "ERROR"


def _silent(place: Elsewhere, *, is_async: bool, **options: Any) -> Any:
    module = asynchronous if is_async else synchronous
    return module.connect(place.url("", "/v1/realtime?model=gpt-realtime").replace("http:", "ws:"), **options)


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_provider_that_is_silent_is_a_timeout(is_async: bool) -> None:
    """Nobody answers the handshake: what is recorded is the timeout that the caller sees, not what it is made of."""

    async def life() -> None:
        await _silent(place, is_async=True, open_timeout=0.1)

    with answering(b"") as place, recording() as told, pytest.raises(TimeoutError):
        asyncio.run(life()) if is_async else _silent(place, is_async=False, open_timeout=0.1)
    assert [each["error.type"] for each in connections(told)] == ["TimeoutError"]


def test_who_gives_up_opening_has_seen_no_error() -> None:
    """A task that is cancelled while it opens a connection is no failure of the provider's."""

    async def opening() -> None:
        await _silent(place, is_async=True)

    async def life() -> None:
        task = asyncio.ensure_future(opening())
        await asyncio.to_thread(place.visited.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with answering(b"") as place, recording() as told:
        asyncio.run(life())
    (connection,) = connections(told)
    assert "error.type" not in connection
    assert told.spans[0].status.status_code.name == "UNSET"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout is of Python 3.11")
def test_a_deadline_of_the_callers_is_a_timeout() -> None:
    """What `asyncio.timeout` cancels while it opens has not been opened in time."""

    async def life() -> None:
        async with asyncio.timeout(0.1):  # type: ignore[attr-defined,unused-ignore] # Python 3.11
            await _silent(place, is_async=True)

    with answering(b"") as place, recording() as told, pytest.raises(TimeoutError):
        asyncio.run(life())
    assert [each["error.type"] for each in connections(told)] == ["TimeoutError"]


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_opening_that_is_left_to_the_collector_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """The event loop is closed in the middle: nobody cancels, and what is left is closed in another context."""

    async def opening() -> None:
        await _silent(place, is_async=True)

    with answering(b"") as place, recording() as told:
        loop = asyncio.new_event_loop()
        task = loop.create_task(opening())
        loop.run_until_complete(asyncio.wait_for(loop.run_in_executor(None, place.visited.wait), 10))
        loop.close()
        del task
        gc.collect()
        assert len(connections(told)) == 1
    assert "error.type" not in connections(told)[0]
    assert [record for record in caplog.records if record.name.startswith("streamspan")] == []


# --- whose they are --------------------------------------------------------------------------------------------------------


def _openai(server: DemoProvider) -> Any:
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(api_key="key", websocket_base_url=url(server, "ok;chunks=2", "/v1"))


async def _ask_openai(client: Any) -> None:
    resource = client.realtime if hasattr(client, "realtime") else client.beta.realtime
    async with client, resource.connect(model="gpt-realtime") as talk:
        await talk.response.create()
        async for each in talk:
            if each.type == "response.done":
                break


def _google(server: DemoProvider) -> Any:
    pytest.importorskip("google.genai.live")
    return google_client(url(server, "ok;chunks=2", ""))


async def _ask_google(client: Any) -> None:
    async with client.aio.live.connect(model="gemini-live-demo") as talk:
        await talk.send_client_content(turns={"role": "user", "parts": [{"text": "Hi"}]})
        async for _ in talk.receive():
            pass


SDKS = {"openai": (_openai, _ask_openai), "google_genai": (_google, _ask_google)}


@pytest.mark.parametrize("layer", SDKS)
def test_an_sdks_connection_is_counted_once(layer: str, server: DemoProvider) -> None:
    """With the host of an SDK's connection also known to the raw integration, the SDK owns it, once."""
    make, ask = SDKS[layer]
    told = run(lambda: ask(make(server)))
    assert [each["streamspan.layer"] for each in [*turns(told), *connections(told)]] == [layer, layer]


@pytest.mark.parametrize("layer", SDKS)
def test_only_the_clients_that_are_named_are_recorded(layer: str, server: DemoProvider) -> None:
    """With `clients=` a WebSocket is recorded if the SDK opens it for one of them."""
    make, ask = SDKS[layer]
    mine, other = make(server), make(server)

    async def talk() -> None:
        await ask(other)
        await ask(mine)
        async with asynchronous.connect(url(server, "ok;chunks=2")) as socket:
            await socket.send(ASK)

    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, clients=[mine], config=RAW)
    asyncio.run(talk())
    told.finish()
    assert [each["streamspan.layer"] for each in [*turns(told), *connections(told)]] == [layer, layer]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_redirect_is_one_connection(is_async: bool, server: DemoProvider) -> None:
    """The connection is open when the last of its handshakes is done; those before it are no errors."""
    if not hasattr(asynchronous.connect if is_async else synchronous, "process_redirect" if is_async else "reconnect"):
        pytest.skip("redirects are followed by asyncio from websockets 14, by threads from 17")
    head = f"HTTP/1.1 302 Found\r\nlocation: {url(server, 'ok;chunks=2')}\r\ncontent-length: 0\r\n\r\n".encode()

    async def life() -> None:
        async with _silent(place, is_async=True) as connection:
            await connection.send(ASK)
            await until(connection, "response.done")

    with answering(head) as place, recording() as told:
        if is_async:
            asyncio.run(life())
        else:
            with _silent(place, is_async=False) as connection:
                connection.send(ASK)
                while json.loads(connection.recv())["type"] != "response.done":
                    pass
    assert outcomes(told) == ["completed"]
    assert [each.get("error.type") for each in connections(told)] == [None]


def test_each_reconnect_is_a_connection(server: DemoProvider) -> None:
    """`async for` over `connect()` opens another connection when the last one broke: two spans, a turn in each."""
    if not hasattr(asynchronous.connect, "__aiter__"):
        pytest.skip("websockets 13.0 does not reconnect")

    async def talk() -> None:
        count = 0
        async for connection in asynchronous.connect(url(server, "close_1011")):
            count += 1
            await connection.send(ASK)
            with pytest.raises(Exception, match="1011"):
                await until(connection, "response.done")
            if count == 2:
                break

    told = run(talk)
    assert outcomes(told) == ["error", "error"]
    assert [each["streamspan.close_code"] for each in connections(told)] == [1011, 1011]


def test_a_reconnect_in_a_thread_is_a_connection(server: DemoProvider) -> None:
    """The same with `reconnect()` of the synchronous library."""
    if not hasattr(synchronous, "reconnect"):
        pytest.skip("before websockets 17 only asyncio reconnects")
    with recording() as told:
        for count, connection in enumerate(synchronous.reconnect(url(server, "close_1011"))):
            connection.send(ASK)
            with pytest.raises(Exception, match="1011"):
                list(connection)
            if count == 1:
                break
    assert outcomes(told) == ["error", "error"]
    assert [each["streamspan.close_code"] for each in connections(told)] == [1011, 1011]
