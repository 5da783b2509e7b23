"""Further ways to the same streams, and races at their end: one span each, as everywhere."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest

from streamspan.demo import DemoProvider
from support.caller import Caller
from support.openai_sdk import VERSION, has_argument, http
from support.surface import Surface
from support.surfaces.openai import (
    CHAT,
    COMPLETIONS,
    EVERY_SURFACE,
    IMAGES,
    MESSAGES,
    MODEL,
    RAW,
    RESPONSES,
    RUNS,
    SURFACES,
)
from support.telemetry import Told
from support.twice import run_twice

_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_GATE = "gate;chunks=4"
_PIXEL = ("a.png", b"\x89PNG", "image/png")


def _raw(base: Surface, name: str, start: Callable[[Any], Any]) -> Surface:
    return replace(base, name=name, start=start, view=RAW.view, response=RAW.response)


_EVERY = (
    replace(RUNS, name="submit-tool-outputs", start=lambda client: client.beta.threads.runs.submit_tool_outputs(
        "run_demo", thread_id="thread_demo", tool_outputs=[], stream=True), model=None),
    replace(RUNS, name="create-and-run", start=lambda client: client.beta.threads.create_and_run(
        assistant_id="asst_demo", model=MODEL, stream=True)),
    replace(IMAGES, name="images-edit", start=lambda client: client.images.edit(
        image=_PIXEL, prompt="a stream", model=MODEL, stream=True)),
    replace(CHAT, name="with-options", start=lambda client: client.with_options(
        max_retries=1).chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)),
    _raw(RESPONSES, "responses-raw", lambda client: client.responses.with_raw_response.create(
        model=MODEL, input="What is a stream?", stream=True)),
    _raw(COMPLETIONS, "completions-raw", lambda client: client.completions.with_raw_response.create(
        model=MODEL, prompt="What is a stream?", stream=True)),
)  # fmt: skip
_SURFACES = [each for each in _EVERY if each.name != "images-edit" or has_argument("images", "Images.edit", "stream")]


@pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")
@pytest.mark.parametrize("surface", _SURFACES, ids=lambda surface: surface.name)
@_COLOURS
def test_a_surface_is_recorded(server: DemoProvider, surface: Surface, is_async: bool) -> None:
    """Read to the end, it is complete; closed early, it is cancelled; cut off, it is truncated."""

    async def read(caller: Caller, scenario: str) -> None:
        held = await caller.open(surface, scenario)
        await caller.read(held, surface)
        caller.ended()

    async def close(caller: Caller) -> None:
        held = await caller.open(surface, _GATE)
        await caller.take(held, surface)
        await caller.close(held)
        caller.ended()

    told = run_twice(server, lambda caller: read(caller, "ok;chunks=4"), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["gen_ai.operation.name"] == surface.operation
    assert told.attributes.get("gen_ai.request.model") == surface.model
    assert told.attributes.get("gen_ai.response.finish_reasons", ()) == surface.finish
    told = run_twice(server, lambda caller: read(caller, "short;chunks=4"), is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "truncated"
    told = run_twice(server, close, is_async=is_async)
    assert told.attributes["streamspan.cancel.reason"] == "closed"
    assert told.attributes["streamspan.chunk.count"] == 3


@pytest.mark.skipif(VERSION < (3, 54), reason="older SDKs do not have every surface")
def test_no_surface_is_left_out() -> None:
    """What is left out with old SDKs is all there with a current one."""
    assert SURFACES == EVERY_SURFACE
    assert list(_EVERY) == _SURFACES


def test_the_module_itself_is_a_client(server: DemoProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """`openai.chat.completions.create(...)` goes the same way."""
    monkeypatch.setattr(openai, "api_key", "key")
    monkeypatch.setattr(openai, "base_url", server.url("ok;chunks=4") + "/")
    openai._reset_client()
    told = Told()
    told.instrument()
    assert len(list(openai.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))) == 6
    told.finish()
    assert openai._client is not None
    openai._client.close()
    openai._reset_client()
    assert told.attributes["streamspan.outcome"] == "completed"


def test_a_client_that_leads_its_requests_elsewhere_is_recorded_as_any_other(server: DemoProvider) -> None:
    """Model servers want `/invocations` or `/score`: the request is still the call's, with its retry and its headers."""

    class Client(openai.OpenAI):
        def _prepare_url(self, url: str) -> Any:
            asked = super()._prepare_url(url)
            return asked.copy_with(path=asked.path.replace("chat/completions", "invocations"))

    asked: list[str] = []

    def busy(request: Any) -> Any:
        asked.append(request.url.path)
        return http.Response(503, headers={"retry-after-ms": "1"}, json={"error": {"code": "busy"}})

    async def program(caller: Caller) -> None:
        http_client = http.Client(transport=http.MockTransport(busy))
        client = Client(base_url="http://127.0.0.1/v1", api_key="key", max_retries=1, http_client=http_client)
        caller.clients.append(client)
        async with caller.noting():
            client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        caller.ended()

    told = run_twice(server, program, is_async=False)
    assert asked == ["/v1/invocations"] * 4
    assert told.attributes["http.request.resend_count"] == 1
    assert told.attributes["http.response.status_code"] == 503
    assert len(told.events("streamspan.retry")) == 1


# --- races and interrupts ---------------------------------------------------------------------------------------


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


def test_eight_threads_that_close_at_once_are_one_ending(server: DemoProvider, told: Told) -> None:
    """First ending wins, exactly once, whoever comes first."""
    with openai.OpenAI(base_url=server.url(_GATE), api_key="key") as client:
        for number in range(10):
            stream = client.chat.completions.create(model=f"m{number}", messages=MESSAGES, stream=True)
            for _ in range(3):
                next(stream)
            start = threading.Barrier(8)

            def close(stream: Any = stream, start: threading.Barrier = start) -> None:
                start.wait()
                stream.close()

            threads = [threading.Thread(target=close) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert len(told.spans) == 10
    assert {(span.attributes or {})["streamspan.cancel.reason"] for span in told.spans} == {"closed"}
    assert told.active == 0


def test_reader_and_closer_at_once_are_one_ending(server: DemoProvider, told: Told) -> None:
    """A close that races with the end of the stream is one ending, of either kind."""

    async def program() -> None:
        async with openai.AsyncOpenAI(base_url=server.url("ok;chunks=4"), api_key="key") as client:
            for number in range(20):
                stream = await client.chat.completions.create(model=f"m{number}", messages=MESSAGES, stream=True)

                async def read(stream: Any = stream) -> None:
                    async for _ in stream:
                        pass

                reader = asyncio.create_task(read())
                for _ in range(number):
                    await asyncio.sleep(0)
                await stream.close()
                await asyncio.gather(reader, return_exceptions=True)

    asyncio.run(program())
    assert len(told.spans) == 20
    assert {(span.attributes or {})["streamspan.outcome"] for span in told.spans} <= {"completed", "cancelled"}
    assert told.active == 0


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_while_blocked_in_the_read(server: DemoProvider, told: Told, kind: type[BaseException]) -> None:
    """What interrupts the read is no error of the model call."""
    chunk = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"Hi"},"finish_reason":null}]}\n\n'

    def body() -> Iterator[bytes]:
        yield chunk
        raise kind

    def handler(_: Any) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=body())

    client_http = http.Client(transport=http.MockTransport(handler))
    client = openai.OpenAI(base_url="http://localhost", api_key="key", http_client=client_http)
    stream = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    with pytest.raises(kind):
        list(stream)
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["streamspan.cancel.reason"] == "interrupted"
    assert "error.type" not in told.attributes
    assert told.attributes["streamspan.chunk.count"] == 1


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_before_the_headers(server: DemoProvider, told: Told, kind: type[BaseException]) -> None:
    """The same while the call is still on its way."""

    def handler(_: Any) -> Any:
        raise kind

    client_http = http.Client(transport=http.MockTransport(handler))
    client = openai.OpenAI(base_url="http://localhost", api_key="key", http_client=client_http)
    with pytest.raises(kind):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
    assert told.attributes["streamspan.cancel.reason"] == "interrupted"
    assert told.attributes["gen_ai.request.stream"] is True
    assert told.active == 0
