"""The provider as a server: endings on the wire, its records, its gates, its shutdown."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from streamspan.demo import SCENARIOS, DemoProvider, UnknownScenarioError

ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "What is a stream?"}]}


@pytest.fixture
def server() -> Iterator[DemoProvider]:
    """A provider of the test's own."""
    with DemoProvider() as server:
        yield server


def connect(server: DemoProvider, scenario: str, **more: Any) -> openai.OpenAI:
    """Return a client that does not retry."""
    return openai.OpenAI(base_url=server.url(scenario), api_key="demo", **{"max_retries": 0, "timeout": 10, **more})


def read(server: DemoProvider, scenario: str, **more: Any) -> tuple[int, BaseException | None]:
    """Read a chat stream to its end; return the number of chunks and what was raised."""
    count = 0
    with connect(server, scenario, **more) as client:
        try:
            for _ in client.chat.completions.create(**ASK, stream=True):
                count += 1
        except (openai.OpenAIError, json.JSONDecodeError) as exc:
            return count, exc
    return count, None


async def aread(server: DemoProvider, scenario: str, **more: Any) -> tuple[int, BaseException | None]:
    """Do as `read`, with the asynchronous client."""
    count = 0
    async with openai.AsyncOpenAI(
        base_url=server.url(scenario), api_key="demo", **{"max_retries": 0, "timeout": 10, **more}
    ) as client:
        try:
            async for _ in await client.chat.completions.create(**ASK, stream=True):
                count += 1
        except (openai.OpenAIError, json.JSONDecodeError) as exc:
            return count, exc
    return count, None


ENDINGS: dict[str, tuple[int, type[BaseException] | None]] = {
    "ok;chunks=6": (8, None),
    "slow;chunks=6;delay=0.001": (8, None),
    "late;chunks=6;pause=0.01": (8, None),
    "stall;chunks=6;pause=0.01": (8, None),
    "big": (2002, None),
    "big;batch=100": (2002, None),
    "short": (3, None),
    "short;after=7": (7, None),
    "short_role": (1, None),
    "short_tool": (4, None),
    "empty": (0, None),
    "no_done;chunks=6": (8, None),
    "done_only;chunks=6": (7, None),
    "error_event": (3, openai.APIError),
    "error_event_named": (3, openai.APIError),
    "garbage": (3, json.JSONDecodeError),
    "drop": (3, openai.APIConnectionError),
    "rst": (3, openai.APIConnectionError),
    "eof": (3, openai.APIConnectionError),
    "reset_before": (0, openai.APIConnectionError),
    "status_400": (0, openai.BadRequestError),
    "status_401": (0, openai.AuthenticationError),
    "status_404": (0, openai.NotFoundError),
    "status_429": (0, openai.RateLimitError),
    "status_500": (0, openai.InternalServerError),
    "status_503": (0, openai.InternalServerError),
}


@pytest.mark.parametrize("scenario", ENDINGS)
def test_endings_as_the_sdk_sees_them(server: DemoProvider, scenario: str) -> None:
    """How many chunks the synchronous client gets, and what it raises then."""
    count, raised = read(server, scenario)
    expected, kind = ENDINGS[scenario]
    assert (count, type(raised) if raised else None) == (expected, kind)


@pytest.mark.parametrize("scenario", ENDINGS)
def test_endings_as_the_async_sdk_sees_them(server: DemoProvider, scenario: str) -> None:
    """The same with the asynchronous client."""
    count, raised = asyncio.run(aread(server, scenario))
    expected, kind = ENDINGS[scenario]
    assert (count, type(raised) if raised else None) == (expected, kind)


@pytest.mark.parametrize(("scenario", "sent"), [("hang", 3), ("hang_headers", 0), ("hang_before", 0)])
def test_a_hanging_stream_ends_with_the_clients_patience(server: DemoProvider, scenario: str, sent: int) -> None:
    """The client times out, and the server sees it go."""
    count, raised = read(server, scenario, timeout=0.4)
    assert (count, type(raised)) == (sent, openai.APITimeoutError)
    exchange = server.wait_for(lambda: server.exchanges[0].finished_ns and server.exchanges[0])
    assert exchange
    assert exchange.client_gone_ns is not None
    assert exchange.received_ns < exchange.client_gone_ns <= (exchange.finished_ns or 0)
    assert (len(exchange.sent), exchange.headers_ns is None) == (sent, scenario == "hang_before")


@pytest.mark.parametrize("scenario", ["drop", "rst", "eof", "hang"])
def test_a_whole_answer_is_cut_in_half(server: DemoProvider, scenario: str) -> None:
    """A broken connection leaves half of the JSON of an answer without a stream."""
    timeout = 1 if scenario == "hang" else 10
    with connect(server, scenario, timeout=timeout) as client, pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**ASK)
    ((_, half),) = server.exchanges[0].sent
    assert half.startswith('{"id":"chatcmpl-demo"')
    with pytest.raises(json.JSONDecodeError):
        json.loads(half)


def test_a_whole_answer_waits_too(server: DemoProvider) -> None:
    """The pause of a scenario comes before the body."""
    with connect(server, "late;pause=0.05") as client:
        assert client.chat.completions.create(**ASK).choices[0].message.content
    exchange = server.exchanges[0]
    assert exchange.sent[0][0] - (exchange.headers_ns or 0) >= 50_000_000


# --- what the server knows -------------------------------------------------------------------------------------------


def test_the_record_of_an_exchange(server: DemoProvider) -> None:
    """Everything that was asked and sent is on record, in order of time."""
    with connect(server, "late;chunks=2;pause=0.05") as client:
        chunks = list(client.chat.completions.create(**ASK, stream=True))
    (exchange,) = server.exchanges
    server.wait_for(lambda: exchange.finished_ns)
    assert (exchange.scenario, exchange.key) == ("late;chunks=2;pause=0.05", "late;chunks=2;pause=0.05")
    assert (exchange.method, exchange.path, exchange.status) == ("POST", "/v1/chat/completions", 200)
    assert exchange.headers["authorization"] == "Bearer demo"
    assert exchange.body == {**ASK, "stream": True}
    assert [json.loads(payload) for _, payload in exchange.sent[:-1]] == [chunk.to_dict() for chunk in chunks]
    assert exchange.sent[-1][1] == "[DONE]"
    times = [
        exchange.received_ns,
        exchange.headers_ns or 0,
        *(at for at, _ in exchange.sent),
        exchange.finished_ns or 0,
    ]
    assert times == sorted(times)
    assert exchange.sent[1][0] - exchange.sent[0][0] >= 50_000_000


def test_a_stream_that_was_read_has_no_gone_client(server: DemoProvider) -> None:
    """The SDK closes at the end marker; the server was done before."""
    read(server, "ok")
    server.wait_for(lambda: server.exchanges[0].finished_ns)
    assert server.exchanges[0].client_gone_ns is None


def test_a_client_that_leaves_is_seen(server: DemoProvider) -> None:
    """Closing the stream in the middle stops the sending."""
    with connect(server, "slow") as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        next(stream)
        stream.close()
        assert server.wait_for(lambda: server.exchanges[0].client_gone_ns)
    server.wait_for(lambda: server.exchanges[0].finished_ns)
    assert server.exchanges[0].sent[-1][1] != "[DONE]"


def test_connections_are_counted_and_kept_alive(server: DemoProvider) -> None:
    """Answers that were read to their end share a connection."""
    with connect(server, "ok") as client:
        for _ in range(3):
            client.chat.completions.create(**ASK)
    assert (server.connections, [exchange.connection for exchange in server.exchanges]) == (1, [1, 1, 1])


def test_requests_of_one_key_are_counted(server: DemoProvider) -> None:
    """The SDK's retries meet two refusals, for each key anew."""
    for key in ("a", "b"):
        count, raised = read(server, f"flaky;chunks=1;key={key}", max_retries=2)
        assert (count, raised) == (3, None)
        assert [(e.attempt, e.status) for e in server.of(key)] == [(1, 503), (2, 503), (3, 200)]
        assert [e.headers["x-stainless-retry-count"] for e in server.of(key)] == ["0", "1", "2"]


def test_clear_forgets(server: DemoProvider) -> None:
    """A fixture that is shared starts anew."""
    read(server, "flaky", max_retries=2)
    server.clear()
    assert (server.exchanges, server.connections) == ([], 0)
    assert isinstance(read(server, "flaky")[1], openai.InternalServerError)


def test_records_can_be_switched_off() -> None:
    """A benchmark keeps nothing."""
    with DemoProvider(keep=False) as server:
        assert read(server, "ok;chunks=1") == (3, None)
        assert (server.exchanges, server.connections) == ([], 1)


def test_waiting_in_vain_says_what_there_is(server: DemoProvider) -> None:
    """The error shows the exchanges."""
    read(server, "empty")
    with pytest.raises(TimeoutError, match="scenario='empty'"):
        server.wait_for(lambda: False, timeout=0.01)


# --- gates -----------------------------------------------------------------------------------------------------------


def test_a_gate_holds_until_released(server: DemoProvider) -> None:
    """The rest of the stream comes after the release, and not before."""
    with connect(server, "gate;after=2;chunks=4;key=g") as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        assert [chunk.choices[0].delta.content for chunk in (next(stream), next(stream))] == ["", "A "]
        exchange = server.wait_for(lambda: [e for e in server.of("g") if e.is_held])[0]
        assert len(exchange.sent) == 2
        server.release("g")
        assert len(list(stream)) == 4


def test_a_release_ahead_of_the_gate_is_remembered(server: DemoProvider) -> None:
    """No order of test and server is needed."""
    server.release("g")
    assert read(server, "gate;chunks=4;key=g") == (6, None)


def test_steps_are_taken_one_by_one(server: DemoProvider) -> None:
    """Each release lets one event out."""
    with connect(server, "steps;chunks=2;key=s") as client:
        stream = client.chat.completions.create(**ASK, stream=True)
        for number in range(4):
            assert len(server.of("s")[0].sent) == number
            server.release("s")
            next(stream)
        server.release("s")
        assert list(stream) == []


def test_gates_of_other_keys_stay_shut(server: DemoProvider) -> None:
    """A key opens its own gate only."""
    with connect(server, "gate;key=one") as one, connect(server, "gate;key=two") as two:
        streams = [client.chat.completions.create(**ASK, stream=True) for client in (one, two)]
        server.wait_for(lambda: all(exchange.is_held for exchange in server.exchanges))
        server.release("one")
        assert len(list(streams[0])) > 3
        assert [exchange.is_held for exchange in server.exchanges] == [False, True]
        streams[1].close()


# --- the server itself -----------------------------------------------------------------------------------------------


def raw(server: DemoProvider, data: bytes) -> bytes:
    """Send bytes and return all that comes until the server closes."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(data)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_what_is_no_http_is_refused(server: DemoProvider) -> None:
    """The answer is 400 and a closed connection."""
    assert raw(server, b"hello\r\n\r\n").startswith(b"HTTP/1.1 400 Bad Request\r\n")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/nothing/v1/chat/completions", "no scenario 'nothing'"),
        ("/ok/v1/nothing", "POST /v1/nothing is not served here"),
        ("/", "no scenario ''"),
    ],
)
def test_what_is_not_there_is_said(server: DemoProvider, target: str, message: str) -> None:
    """An unknown scenario or path is a 404 that names it."""
    answer = raw(server, f"POST {target} HTTP/1.1\r\nconnection: close\r\n\r\n".encode()).decode()
    assert answer.startswith("HTTP/1.1 404 Not Found\r\n")
    assert message in json.loads(answer.partition("\r\n\r\n")[2])["error"]["message"]


def test_requests_in_one_write_are_answered_in_turn(server: DemoProvider) -> None:
    """Pipelining does not mix answers."""
    asks = [b'{"model":"%d"}' % n for n in range(3)]
    head = b"POST /ok;chunks=1/v1/completions HTTP/1.1\r\ncontent-length: %d\r\n%s\r\n%s"
    data = b"".join(head % (len(ask), b"connection: close\r\n" * (ask == asks[-1]), ask) for ask in asks)
    assert re.findall(rb'"model":"(\d)"', raw(server, data)) == [b"0", b"1", b"2"]


def test_a_url_of_an_unknown_scenario_is_an_error(server: DemoProvider) -> None:
    """A test that misspells a scenario fails where it does so."""
    with pytest.raises(UnknownScenarioError, match="no scenario 'lat'"):
        server.url("lat")


def test_a_port_that_is_taken_is_an_error(server: DemoProvider) -> None:
    """Starting fails, and leaves no thread."""
    before = threading.active_count()
    with pytest.raises(OSError, match=str(server.port)):
        DemoProvider(server.port).start()
    assert threading.active_count() == before


def test_a_defect_of_the_server_is_raised_at_the_end() -> None:
    """A fault in a vendor's streams fails the test that met it."""
    server = DemoProvider().start()
    with connect(server, "ok") as client, pytest.raises(openai.APIConnectionError):
        client.completions.create(model="m", prompt="", extra_body={"n": "many"})
    with pytest.raises(ValueError, match="invalid literal"):
        server.stop()


def test_many_streams_at_once_and_a_stop_among_them(caplog: pytest.LogCaptureFixture) -> None:
    """300 hanging connections are served, and stopping drops them without a word."""
    server = DemoProvider().start()

    async def hang() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b'POST /hang/v1/completions HTTP/1.1\r\ncontent-length: 15\r\n\r\n{"stream":true}')
        data = await reader.read()
        writer.close()
        return data

    async def crowd() -> list[bytes]:
        tasks = [asyncio.create_task(hang()) for _ in range(300)]
        full = lambda: len(server.exchanges) == 300 and all(len(e.sent) == 3 for e in server.exchanges)  # noqa: E731
        await asyncio.to_thread(server.wait_for, full, 30)
        await asyncio.to_thread(server.stop)
        return await asyncio.gather(*tasks)

    with caplog.at_level(logging.DEBUG, "asyncio"):
        answers = asyncio.run(crowd())
    assert {answer.count(b"data: ") for answer in answers} == {3}
    assert all(exchange.finished_ns and not exchange.client_gone_ns for exchange in server.exchanges)
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert "streamspan-demo" not in {thread.name for thread in threading.enumerate()}


def test_stopping_twice_is_harmless() -> None:
    """A fixture and a test may both stop it."""
    server = DemoProvider().start()
    server.stop()
    server.stop()


# --- on its own ------------------------------------------------------------------------------------------------------


def test_the_command_serves_until_interrupted() -> None:
    """The first line is the base URL, SIGTERM ends it cleanly and quietly."""
    command = [sys.executable, "-W", "error", "-m", "streamspan.demo", "--scenario", "ok;chunks=3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with openai.OpenAI(base_url=url, api_key="k") as client:
            assert len(list(client.chat.completions.create(**ASK, stream=True))) == 5
        process.send_signal(signal.SIGTERM)
        assert (process.communicate(timeout=10), process.returncode) == (("", ""), 0)


def test_the_command_lists_the_scenarios() -> None:
    """Each name stands with its sentence."""
    command = [sys.executable, "-m", "streamspan.demo", "--list"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [[name, s.summary] for name, s in SCENARIOS.items()]
