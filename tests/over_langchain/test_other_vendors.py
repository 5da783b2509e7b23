"""LangChain over Anthropic and Gemini: the vendor's session is the only one, whatever is done to the stream."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from opentelemetry import trace

from streamspan.demo import DemoProvider
from support.telemetry import Told

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession")  # of google-genai
CONFIG: Any = {"run_id": uuid.UUID(int=7), "run_name": "asking", "tags": ["a"]}


class _Anthropic:
    """`ChatAnthropic` takes no HTTP client, and shares its own between event loops: the test puts in the SDK's."""

    package, layer, model, finish = "langchain_anthropic", "anthropic", "claude-demo", "end_turn"

    def __init__(self, server: DemoProvider, scenario: str) -> None:
        anthropic, chat = import_module("anthropic"), import_module("langchain_anthropic").ChatAnthropic
        url = server.url(scenario, base="")
        settings: dict[str, Any] = {"model": self.model, "base_url": url, "api_key": "key", "max_retries": 0}
        self.chat = chat(**settings)
        self.client = anthropic.Anthropic(base_url=url, api_key="key", max_retries=0)
        self.async_client = anthropic.AsyncAnthropic(base_url=url, api_key="key", max_retries=0)
        self.chat.__dict__.update(_client=self.client, _async_client=self.async_client)

    def close(self) -> None:
        self.client.close()

    async def aclose(self) -> None:
        await self.async_client.close()


class _Gemini:
    package, layer, model, finish = "langchain_google_genai", "google_genai", "gemini-demo", "STOP"

    def __init__(self, server: DemoProvider, scenario: str) -> None:
        chat = import_module("langchain_google_genai").ChatGoogleGenerativeAI
        settings: dict[str, Any] = {"model": self.model, "google_api_key": "key", "max_retries": 1}
        self.chat = chat(base_url=server.url(scenario, base="/"), **settings)

    def close(self) -> None:
        client: Any = self.chat.client
        client.close()

    async def aclose(self) -> None:
        client: Any = self.chat.client
        await client.aio.aclose()


_VENDORS: list[Any] = [vendor for vendor in (_Anthropic, _Gemini) if find_spec(vendor.package) is not None]
if not _VENDORS:
    pytest.skip("neither langchain-anthropic nor langchain-google-genai is installed", allow_module_level=True)


class Vendors:
    """Makes models of one vendor, and closes them."""

    def __init__(self, server: DemoProvider, kind: Any) -> None:
        self.server, self.kind = server, kind
        self.made: list[Any] = []

    def __call__(self, scenario: str = "ok;chunks=4") -> Any:
        self.made.append(self.kind(self.server, scenario))
        return self.made[-1].chat

    def run(self, coroutine: Any) -> Any:
        async def run() -> Any:
            try:
                return await coroutine
            finally:
                for each in self.made:
                    await each.aclose()

        return asyncio.run(run())


@pytest.fixture(params=_VENDORS, ids=lambda vendor: vendor.layer)
def vendor(request: pytest.FixtureRequest, server: DemoProvider) -> Iterator[Vendors]:
    made = Vendors(server, request.param)
    yield made
    for each in made.made:
        each.close()


async def drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


def _stream(vendor: Vendors) -> Any:
    return list(vendor().stream("?", config=CONFIG))


def _astream(vendor: Vendors) -> Any:
    return vendor.run(drain(vendor().astream("?", config=CONFIG)))


def _events(vendor: Vendors) -> Any:
    return vendor.run(drain(vendor().astream_events("?", version="v2", config=CONFIG)))


def _invoke(vendor: Vendors) -> Any:
    return vendor().invoke("?", config=CONFIG)


def _ainvoke(vendor: Vendors) -> Any:
    return vendor.run(vendor().ainvoke("?", config=CONFIG))


@pytest.mark.parametrize(
    ("call", "is_stream"), [(_stream, True), (_astream, True), (_events, True), (_invoke, False), (_ainvoke, False)]
)
def test_a_call_is_the_vendors_span_with_the_run(vendor: Vendors, told: Told, call: Any, is_stream: bool) -> None:
    """Under the caller's span, with its usage and its clocks once."""
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        call(vendor)
        assert trace.get_current_span() is caller
    told.finish()
    span, said = told.span, told.attributes
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id
    assert (said["streamspan.layer"], said["streamspan.outcome"]) == (vendor.kind.layer, "completed")
    assert said["gen_ai.request.model"] == vendor.kind.model
    assert said["gen_ai.request.stream"] is is_stream
    assert said["gen_ai.response.finish_reasons"] == (vendor.kind.finish,)
    assert said["streamspan.langchain.run_id"] == str(CONFIG["run_id"])
    assert said["streamspan.langchain.run_name"] == "asking"
    assert said["streamspan.langchain.tags"] == ("a",)
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("streamspan.time_to_first_token") == is_stream
    assert told.active == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_close_is_a_close(vendor: Vendors, told: Told, is_async: bool) -> None:
    """By the caller, not by what LangChain lets go of."""
    model = vendor("gate;chunks=8")

    async def read_one() -> None:
        stream = model.astream("?")
        await stream.__anext__()
        await stream.aclose()

    if is_async:
        vendor.run(read_one())
    else:
        stream = model.stream("?")
        next(stream)
        stream.close()
    told.finish()
    said = told.attributes
    assert (said["streamspan.outcome"], said["streamspan.layer"]) == ("cancelled", vendor.kind.layer)
    assert said["streamspan.cancel.reason"] in {"closed", "dropped"}
    assert told.active == 0


def test_a_failure_is_the_vendors(vendor: Vendors, told: Told) -> None:
    """One span, with the vendor's word for it."""
    model = vendor("status_400")
    with pytest.raises(Exception, match=r"."):  # each integration has exceptions of its own
        list(model.stream("?"))
    said = told.attributes
    assert (said["streamspan.outcome"], said["http.response.status_code"]) == ("error", 400)
    assert said["streamspan.layer"] == vendor.kind.layer


def test_a_stream_cut_short_is_truncated(vendor: Vendors, told: Told) -> None:
    """LangChain ends as usual; the vendor's session knows better."""
    with suppress(Exception):  # some versions of the integrations say so, others do not
        list(vendor("short;chunks=4").stream("?"))
    assert told.attributes["streamspan.outcome"] == "truncated"
