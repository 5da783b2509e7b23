"""What happens on a WebSocket beyond one turn: several turns, tools, speech, lanes, big messages, other connections."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import streamspan
from sockets.runs import (
    ASK,
    CREATED,
    DONE,
    LIVE,
    REALTIME,
    connections,
    event,
    outcomes,
    recording,
    run,
    saying,
    turns,
    until,
    url,
)
from sockets.surfaces import RAW
from streamspan import _api
from streamspan.demo import DemoProvider
from support.telemetry import Told

websockets = pytest.importorskip("websockets.asyncio.client", reason="needs websockets 13")
sync = pytest.importorskip("websockets.sync.client")


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    with DemoProvider() as provider:
        yield provider


# --- several turns -----------------------------------------------------------------------------------------------------


def test_each_turn_is_a_span_of_its_own(server: DemoProvider) -> None:
    """Three turns on one connection are three spans with ids of their own, under one span of the connection."""

    async def talk() -> None:
        async with websockets.connect(url(server, "ok;chunks=2")) as socket:
            for _ in range(3):
                await socket.send(ASK)
                await until(socket, "response.done")

    told = run(talk)
    assert outcomes(told) == ["completed"] * 3
    assert [each["gen_ai.response.id"] for each in turns(told)] == ["resp_demo1", "resp_demo2", "resp_demo3"]
    assert {each["gen_ai.realtime_session.id"] for each in [*turns(told), *connections(told)]} == {"sess_demo"}
    assert connections(told)[0]["streamspan.turn.count"] == 3


def test_a_turn_is_over_when_its_last_message_is_there(server: DemoProvider) -> None:
    """The span of a turn is exported although the caller neither reads on nor closes."""

    async def talk() -> None:
        async with websockets.connect(url(server, "ok;chunks=2")) as socket:
            await socket.send(ASK)
            await until(socket, "response.done")
            assert outcomes(told) == ["completed"]
            assert told.active == 0

    with recording() as told:
        asyncio.run(talk())


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_every_message_that_was_read_is_counted(count: int, server: DemoProvider) -> None:
    """Who leaves after some messages of a turn finds all of them in its span, the last one too."""

    async def talk() -> None:
        async with websockets.connect(url(server, "ok")) as socket:
            await until(socket, "session.created")
            await socket.send(ASK)
            texts.extend([json.loads(await socket.recv()) for _ in range(count)])

    texts: list[dict[str, Any]] = []
    (turn,) = turns(run(talk))
    said = "".join(each["delta"] for each in texts if each["type"].endswith("transcript.delta"))
    assert (turn["streamspan.chunk.count"], turn["streamspan.output.characters"]) == (count, len(said))


def test_reader_and_sender_may_be_different_tasks(server: DemoProvider) -> None:
    """A turn that is asked for while another task waits in `recv` counts that wait as the provider's."""

    async def talk() -> None:
        async with websockets.connect(url(server, "late;pause=0.2;chunks=2")) as socket:
            await until(socket, "session.created")
            reader = asyncio.ensure_future(until(socket, "response.done"))
            await asyncio.sleep(0)
            await socket.send(ASK)
            await reader

    told = run(talk)
    (turn,) = turns(told)
    assert turn["streamspan.outcome"] == "completed"
    assert turn["streamspan.time_to_first_token"] >= 0.2
    assert turn["streamspan.provider_time"] > turn["streamspan.consumer_time"]


def test_polling_with_a_timeout_ends_nothing(server: DemoProvider) -> None:
    """A read that runs into its timeout may be tried again: the turn goes on and completes."""

    def talk() -> None:
        with sync.connect(url(server, "late;pause=0.1;chunks=2")) as socket:
            socket.send(ASK)
            timeouts = 0
            while True:
                try:
                    message = json.loads(socket.recv(timeout=0.02))
                except TimeoutError:
                    timeouts += 1
                    continue
                if message["type"] == "response.done":
                    break
            assert timeouts

    with recording() as told:
        talk()
    assert outcomes(told) == ["completed"]


def test_a_timeout_that_the_caller_gives_up_after_is_one(server: DemoProvider) -> None:
    """Who closes after a read that ran into its timeout has not got its answer in time."""

    def talk() -> None:
        with sync.connect(url(server, "hang")) as socket:
            socket.send(ASK)
            while True:
                socket.recv(timeout=0.05)

    with recording() as told, pytest.raises(TimeoutError):
        talk()
    assert outcomes(told) == ["timeout"]


def test_a_cancelled_answer_is_no_error(server: DemoProvider) -> None:
    """`response.cancel` in the middle: cancelled, with the provider's reason, and nothing of the caller's."""

    async def talk() -> None:
        async with websockets.connect(url(server, "gate;key=cancel")) as socket:
            await socket.send(ASK)
            await until(socket, "response.output_audio_transcript.delta")
            await socket.send(json.dumps({"type": "response.cancel"}))
            await until(socket, "response.done")

    told = run(talk)
    (turn,) = turns(told)
    assert outcomes(told) == ["cancelled closed"]
    assert turn["gen_ai.response.finish_reasons"] == ("client_cancelled",)
    assert "streamspan.cancel.exception" not in turn
    assert connections(told)[0]["streamspan.interruption.count"] == 1


def test_speech_that_is_answered_begins_the_turn(server: DemoProvider) -> None:
    """A turn that nobody asked for in words begins when the speech was over."""

    async def talk() -> None:
        async with websockets.connect(url(server, "late;pause=0.05;chunks=2")) as socket:
            for _ in range(3):
                await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA"}))
            await socket.send(json.dumps({"type": "input_audio_buffer.commit"}))
            await until(socket, "response.done")

    told = run(talk)
    (turn,) = turns(told)
    assert turn["streamspan.outcome"] == "completed"
    assert turn["streamspan.time_to_first_token"] > turn["gen_ai.response.time_to_first_chunk"] > 0


# --- Gemini --------------------------------------------------------------------------------------------------------------


def live(socket: Any, message: dict[str, Any]) -> Any:
    return socket.send(json.dumps(message))


SETUP = {"setup": {"model": "models/gemini-live", "generationConfig": {"responseModalities": ["AUDIO"], "seed": 3}}}
QUESTION = {"client_content": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turn_complete": True}}


def test_a_tool_call_is_part_of_its_turn(server: DemoProvider) -> None:
    """Question, tool call, tool response, answer: one turn, whose first output is the call."""

    async def talk() -> None:
        async with websockets.connect(url(server, "tools;chunks=3", LIVE)) as socket:
            await live(socket, SETUP)
            await live(socket, QUESTION)
            await until(socket, "toolCall")
            await live(socket, {"tool_response": {"functionResponses": [{"id": "call_demo", "name": "get_weather"}]}})
            await until(socket, "turnComplete")

    told = run(talk)
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["streamspan.tool_call.count"]) == ("completed", 1)
    assert (turn["gen_ai.request.model"], turn["gen_ai.request.seed"]) == ("gemini-live", 3)
    assert told.spans[-1].name == "realtime_session gemini-live"
    (first,) = (event for event in told.spans[0].events if event.name == "streamspan.first_token")
    assert (first.attributes or {})["streamspan.output.kind"] == "tool_call"


def test_speech_begins_a_turn_with_what_it_is_answered_by(server: DemoProvider) -> None:
    """After `activityEnd` the turn begins there; the transcript of what the user said is no chunk of it."""

    async def talk() -> None:
        async with websockets.connect(url(server, "ok;chunks=2", LIVE)) as socket:
            await live(socket, SETUP)
            await live(socket, {"realtime_input": {"audio": {"data": "AAAA", "mime_type": "audio/pcm"}}})
            await live(socket, {"realtime_input": {"activityEnd": {}}})
            await until(socket, "turnComplete")

    (turn,) = turns(run(talk))
    # A thought, two words with their sound, generationComplete, turnComplete.
    assert (turn["streamspan.outcome"], turn["streamspan.chunk.count"]) == ("completed", 7)


def test_music_plays_until_it_is_stopped(server: DemoProvider) -> None:
    """Music has no end of its own: who stops it has cancelled, and its sound is output without characters."""
    path = LIVE.replace("Content", "Music")

    async def talk() -> None:
        async with websockets.connect(url(server, "ok", path)) as socket:
            await live(socket, {"setup": {"model": "models/lyria"}})
            await socket.recv()
            await live(socket, {"playbackControl": "PLAY"})
            for _ in range(5):
                await socket.recv()
            await live(socket, {"playbackControl": "STOP"})
            assert outcomes(told) == ["cancelled closed"]

    with recording() as told:
        asyncio.run(talk())
    (turn,) = turns(told)
    assert (turn["streamspan.chunk.count"], turn["streamspan.output.characters"]) == (5, 0)
    (first,) = (event for event in told.spans[0].events if event.name == "streamspan.first_token")
    assert (first.attributes or {})["streamspan.output.kind"] == "audio"


# --- Responses -----------------------------------------------------------------------------------------------------------


def test_lanes_are_kept_apart(server: DemoProvider) -> None:
    """Two responses on their way at once, in two lanes: two spans, each with its own events."""

    def asking(lane: str, model: str) -> str:
        return json.dumps({"type": "response.create", "stream_id": lane, "model": model, "input": "Hi"})

    async def talk() -> None:
        async with websockets.connect(url(server, "ok;chunks=3", "/v1/responses")) as socket:
            await socket.send(asking("a", "model-a"))
            await socket.send(asking("b", "model-b"))
            await until(socket, "response.completed")
            await until(socket, "response.completed")

    told = run(talk)
    assert [each["gen_ai.request.model"] for each in turns(told)] == ["model-a", "model-b"]
    assert [each["gen_ai.operation.name"] for each in turns(told)] == ["chat", "chat"]
    assert [each["streamspan.chunk.count"] for each in turns(told)] == [11, 11]
    assert outcomes(told) == ["completed"] * 2


# --- endings of the connection --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_connection_that_is_never_closed_is_dropped_with_its_loop(server: DemoProvider) -> None:
    """Nobody closes, and the event loop ends: the turn ended at its last message, the connection with it."""

    async def talk() -> None:
        socket = await websockets.connect(url(server, "hang"))
        await socket.send(ASK)
        await until(socket, "response.output_audio_transcript.delta")

    with recording() as told:
        asyncio.run(talk())
        gc.collect()
        _api.drain()
    assert outcomes(told) == ["cancelled dropped"]
    turn = told.spans[0]
    assert turn.end_time == max(event.timestamp for event in turn.events if event.name == "streamspan.chunk")
    assert "streamspan.close_code" not in connections(told)[0]


def test_what_is_open_at_exit_is_told(server: DemoProvider) -> None:
    """A synchronous connection in a global at the end of the process: reason `exit`, both spans exported."""
    program = f"""
        import json
        from websockets.sync.client import connect
        import warnings; warnings.simplefilter("ignore")
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
        import streamspan
        from streamspan import HostPattern
        provider = TracerProvider()
        line = lambda span: f"{{span.name}} {{dict(span.attributes).get('streamspan.cancel.reason')}}\\n"
        provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=line)))
        streamspan.instrument(tracer_provider=provider, config=streamspan.Config(hosts=(HostPattern("127.0.0.1"),)))
        socket = connect({url(server, "hang")!r})
        socket.send({ASK!r})
        for _ in range(4):
            socket.recv()
    """
    done = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # The library's own thread keeps the process alive until the connection ends, which the exit hook comes after.
    server.wait_for(lambda: [each for each in server.of("hang") if len(each.sent) >= 4])
    out, err = done.communicate(timeout=30)
    assert out.splitlines() == ["realtime_inference gpt-realtime exit", "realtime_session gpt-realtime None"], err


def test_a_refused_handshake_is_an_error_of_the_connection(server: DemoProvider) -> None:
    """No connection, no turn: one span with the HTTP status."""
    with recording() as told, pytest.raises(Exception, match="401"):
        sync.connect(url(server, "status_401"))
    (connection,) = connections(told)
    assert connection["error.type"] in {"401", "websockets.exceptions.InvalidStatus"}
    assert (turns(told), connection["streamspan.turn.count"]) == ([], 0)
    assert "streamspan.connect_time" not in connection


# --- other connections ------------------------------------------------------------------------------------------------------


def test_connections_that_are_no_models_are_not_touched(server: DemoProvider) -> None:
    """To an unknown host, or to another path of a known one, the library's own methods run and nothing is recorded."""
    with recording(streamspan.Config()) as told, sync.connect(url(server, "ok")) as socket:
        assert not {"recv", "send", "close"} & vars(socket).keys()
        socket.send(ASK)
        assert json.loads(socket.recv())["type"] == "session.created"
    assert told.all_spans == []


def test_servers_are_not_touched() -> None:
    """A WebSocket server in the same process answers on an untouched connection, also to a path of a model's."""
    serve = pytest.importorskip("websockets.asyncio.server").serve
    seen = []

    async def echo(socket: Any) -> None:
        seen.append({"recv", "send", "close"} & vars(socket).keys())
        async for message in socket:
            await socket.send(message)

    async def talk() -> None:
        async with serve(echo, "127.0.0.1", 0) as listener:
            port = listener.sockets[0].getsockname()[1]
            async with websockets.connect(f"ws://127.0.0.1:{port}{REALTIME}") as socket:
                await socket.send("hello")
                assert await socket.recv() == "hello"

    told = run(talk)
    assert seen == [set()]
    assert (turns(told), len(connections(told))) == ([], 1)


def test_a_connection_is_as_before_when_it_is_over(server: DemoProvider) -> None:
    """The taps are taken off a closed connection, and a second close does what it does without."""
    with recording(), sync.connect(url(server, "ok")) as socket:
        assert {"recv", "send", "close"} <= vars(socket).keys()
        socket.close()
        assert not {"recv", "send", "close"} & vars(socket).keys()
        socket.close()


def test_a_library_that_is_left_out_is_not_recorded(server: DemoProvider) -> None:
    """`exclude` keeps raw connections out although their host is known."""
    config = streamspan.Config(hosts=RAW.hosts, exclude=("websockets",))
    with recording(config) as told, sync.connect(url(server, "ok")) as socket:
        socket.send(ASK)
        socket.recv()
    assert told.all_spans == []


def test_a_warning_of_the_librarys_is_about_the_callers_line(server: DemoProvider) -> None:
    """`websockets` 17 warns of a connection without `with` at its first use, and names the line that uses it."""
    with recording():
        socket = sync.connect(url(server, "ok"))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            socket.recv()
            socket.close()
    assert {each.filename for each in caught} <= {__file__}


def test_a_connection_outlives_uninstrument(server: DemoProvider) -> None:
    """A turn that is open when `uninstrument()` is called still ends as it ends."""
    told = Told()
    told.instrument(RAW)
    with sync.connect(url(server, "ok;chunks=2")) as socket:
        socket.send(ASK)
        socket.recv()
        streamspan.uninstrument()
        for message in socket:
            if json.loads(message)["type"] == "response.done":
                break
    told.finish()
    assert outcomes(told) == ["completed"]


# --- odd messages -----------------------------------------------------------------------------------------------------------


def _exchange(*messages: str | bytes) -> tuple[Told, list[Any]]:
    with saying(*messages) as address, recording() as told, sync.connect(address, max_size=None) as socket:
        socket.send(ASK)
        seen = [socket.recv() for _ in messages]
    return told, seen


@pytest.mark.parametrize("kind", ["response.output_audio.delta", "response.output_text.delta"])
def test_a_message_of_ten_megabytes_is_delivered_and_counted(kind: str) -> None:
    """The caller has all of it; sound is known by its head, and of text too long to decode only that it came."""
    big = event(kind, delta="A" * 10_000_000)
    told, seen = _exchange(CREATED, big, DONE)
    assert seen == [CREATED, big, DONE]
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["streamspan.chunk.count"]) == ("completed", 3)
    assert ("streamspan.time_to_first_token" in turn) == (kind == "response.output_audio.delta")


@pytest.mark.parametrize(
    "odd", ["[]", "null", "3", '{"type": 3}', '{"type": "response.done"}', '{"type": "no.such.event"}', b"\xff\x00", ""]
)
def test_odd_messages_do_no_harm(odd: str | bytes) -> None:
    """The caller gets what was sent, and the turn around it completes."""
    told, seen = _exchange(CREATED, odd, event("response.output_text.delta", delta="Hi"), DONE)
    assert seen == [CREATED, odd, event("response.output_text.delta", delta="Hi"), DONE]
    (turn,) = turns(told)
    assert (turn["streamspan.outcome"], turn["streamspan.output.characters"]) == ("completed", 2)


def test_many_messages_need_no_memory() -> None:
    """Thousands of pieces leave 32 chunk events, which add up."""
    pieces = [event("response.output_text.delta", delta="word ") for _ in range(3000)]
    told, _ = _exchange(CREATED, *pieces, DONE)
    (turn,) = turns(told)
    assert (turn["streamspan.chunk.count"], turn["streamspan.output.characters"]) == (3002, 15000)


def test_content_is_captured_when_it_is_wanted(server: DemoProvider) -> None:
    """Instructions, what the model was told and what it said, of each turn its own."""
    config = streamspan.Config(hosts=RAW.hosts, capture_content="SPAN_ONLY", redactions=())

    async def talk() -> None:
        async with websockets.connect(url(server, "ok;chunks=2")) as socket:
            await socket.send(json.dumps({"type": "session.update", "session": {"instructions": "Be brief."}}))
            for question in ("one?", "two?"):
                content = [{"type": "input_text", "text": question}]
                item = {"type": "message", "role": "user", "content": content}
                await socket.send(json.dumps({"type": "conversation.item.create", "item": item}))
                await socket.send(ASK)
                await until(socket, "response.done")

    told = run(talk, config)
    asked = [json.loads(each["gen_ai.input.messages"])[0]["parts"][0]["content"] for each in turns(told)]
    said = [json.loads(each["gen_ai.output.messages"])[0]["parts"][0]["content"] for each in turns(told)]
    assert (asked, said) == (["one?", "two?"], ["A stream"] * 2)
    assert all("Be brief." in each["gen_ai.system_instructions"] for each in turns(told))
    assert all("gen_ai.input.messages" not in each for each in connections(told))


def test_a_reconnect_is_a_new_connection(server: DemoProvider) -> None:
    """The SDK reconnects after an abnormal close: the turn ended with the first connection, the next one is observed."""
    openai = pytest.importorskip("openai")
    from importlib.metadata import version  # noqa: PLC0415

    if int(version("openai").partition(".")[0]) < 3:
        pytest.skip("only openai 3 reconnects")
    calls: list[int] = []

    def on_reconnecting(reconnecting: Any) -> None:
        calls.append(reconnecting.attempt)
        server.clear()

    async def talk() -> None:
        client = openai.AsyncOpenAI(api_key="key", base_url=server.url("close_1011"))
        manager = client.realtime.connect(
            model="gpt-realtime", on_reconnecting=on_reconnecting, max_retries=1, initial_delay=0.01
        )
        async with client, manager as connection:
            await connection.response.create()
            events: AsyncIterator[Any] = connection.__aiter__()
            created = 0
            while created < 2:
                created += (await events.__anext__()).type == "session.created"

    told = run(talk, streamspan.Config())
    assert calls == [1]
    assert outcomes(told) == ["error"]
    assert [each.get("streamspan.close_code") for each in connections(told)] == [1011, 1000]
