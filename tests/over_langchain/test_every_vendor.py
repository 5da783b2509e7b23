"""LangChain over every vendor: each call of a model is the vendor's one span, however the model is reached."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import suppress
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from support.langchain_models import OPENAI, Models
from support.telemetry import Told
from support.twice import drive

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),  # of google-genai
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'"),  # older LangChain on newer pydantic
]
CONFIG: Any = {"run_id": uuid.UUID(int=7), "run_name": "asking", "tags": ["a"]}
PROMPT = ChatPromptTemplate.from_messages([("human", "{question}")])
ASKED = {"question": "What is a stream?"}
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


async def drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


def check_each_once(told: Told, vendor: Models, count: int) -> None:
    """Check that there is so much of everything, and all of it whole."""
    told.finish()
    assert len(told.spans) == count
    assert {said(span)["streamspan.layer"] for span in told.spans} == {vendor.vendor.layer}
    assert {said(span)["streamspan.outcome"] for span in told.spans} == {"completed"}
    assert len({said(span)["streamspan.langchain.run_id"] for span in told.spans}) == count
    assert told.count_of("gen_ai.client.operation.duration") == count
    assert told.count_of("gen_ai.client.token.usage") == 2 * count  # of input and of output
    assert told.count_of("streamspan.time_to_first_token") == count
    assert told.active == 0


# --- a model by itself ---------------------------------------------------------------------------------------------


def _stream(vendor: Models) -> Any:
    return list(vendor().stream("?", config=CONFIG))


def _astream(vendor: Models) -> Any:
    return vendor.run(drain(vendor().astream("?", config=CONFIG)))


def _events(vendor: Models) -> Any:
    return vendor.run(drain(vendor().astream_events("?", version="v2", config=CONFIG)))


def _invoke(vendor: Models) -> Any:
    return vendor().invoke("?", config=CONFIG)


def _ainvoke(vendor: Models) -> Any:
    return vendor.run(vendor().ainvoke("?", config=CONFIG))


@pytest.mark.parametrize(
    ("call", "is_stream"),
    [(_stream, True), (_astream, True), (_events, True), (_invoke, False), (_ainvoke, False)],
)
def test_a_call_is_the_vendors_span_with_the_run(vendor: Models, told: Told, call: Any, is_stream: bool) -> None:
    """Under the caller's span, with its usage and its clocks once."""
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        call(vendor)
        assert trace.get_current_span() is caller
    told.finish()
    attributes = told.attributes
    assert parent_of(told.span) == caller.get_span_context().span_id
    assert (attributes["streamspan.layer"], attributes["streamspan.outcome"]) == (vendor.vendor.layer, "completed")
    assert attributes["gen_ai.request.model"] == vendor.vendor.model
    assert attributes["gen_ai.request.stream"] is is_stream
    assert attributes["gen_ai.response.finish_reasons"] == (vendor.vendor.finish,)
    assert attributes["streamspan.langchain.run_id"] == str(CONFIG["run_id"])
    assert attributes["streamspan.langchain.run_name"] == "asking"
    assert attributes["streamspan.langchain.tags"] == ("a",)
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("streamspan.time_to_first_token") == is_stream
    assert told.active == 0


@_COLOURS
def test_a_close_is_a_close(vendor: Models, told: Told, is_async: bool) -> None:
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
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["streamspan.layer"]) == ("cancelled", vendor.vendor.layer)
    assert attributes["streamspan.cancel.reason"] == "closed"
    assert told.active == 0


class _Raising(BaseCallbackHandler):
    """Fails at the first token."""

    raise_error = True

    def on_llm_new_token(self, token: Any, **_: Any) -> None:
        raise LookupError(token)


@_COLOURS
def test_a_failure_of_the_applications_own_handler_is_no_error_of_the_model(
    vendor: Models, told: Told, is_async: bool
) -> None:
    """It breaks the stream off, and the span says so at once, whoever still holds the exception."""
    model, config = vendor("gate;chunks=8"), {"callbacks": [_Raising()]}
    with pytest.raises(LookupError) as raised:
        vendor.run(drain(model.astream("?", config=config))) if is_async else list(model.stream("?", config=config))
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["streamspan.cancel.reason"]) == ("cancelled", "closed")
    # Over OpenAI a `with` of LangChain's has closed the stream, before it was said why.
    assert attributes.get("streamspan.cancel.exception") in {None, "LookupError"}
    assert raised.value is not None
    assert told.active == 0


def test_a_failure_is_the_vendors(vendor: Models, told: Told) -> None:
    """One span, with the vendor's word for it."""
    model = vendor("status_400")
    with pytest.raises(Exception, match=r"."):  # each integration has exceptions of its own
        list(model.stream("?"))
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["http.response.status_code"]) == ("error", 400)
    assert attributes["streamspan.layer"] == vendor.vendor.layer


def test_a_stream_cut_short_is_truncated(vendor: Models, told: Told) -> None:
    """LangChain ends as usual; the vendor's session knows better."""
    with suppress(Exception):  # some versions of the integrations say so, others do not
        list(vendor("short;chunks=4").stream("?"))
    assert told.attributes["streamspan.outcome"] == "truncated"


# --- what is built of models -----------------------------------------------------------------------------------------


def _telling(vendor: Models, scenario: str = "ok;chunks=4", **more: Any) -> Any:
    """Return a model that says how many tokens it used."""
    return vendor(scenario, **more, **({"stream_usage": True} if vendor.vendor is OPENAI else {}))


def _chain(vendor: Models, scenario: str = "ok;chunks=4") -> Any:
    """Return a chain in a chain."""
    return PROMPT | (_telling(vendor, scenario) | StrOutputParser())


@_COLOURS
def test_a_model_in_a_chain_is_one_span_under_the_caller(vendor: Models, told: Told, is_async: bool) -> None:
    """Nothing of ours is current in the caller's loop, and everything is recorded once."""
    chain = _chain(vendor)
    texts: list[str] = []

    async def read() -> None:
        async for text in chain.astream(ASKED):
            assert trace.get_current_span() is caller
            texts.append(text)

    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        if is_async:
            vendor.run(read())
        else:
            for text in chain.stream(ASKED):
                assert trace.get_current_span() is caller
                texts.append(text)
        assert trace.get_current_span() is caller
    assert "".join(texts) == "A stream is a"
    assert parent_of(told.span) == caller.get_span_context().span_id
    assert said(told.span)["streamspan.langchain.parent_run_id"]
    check_each_once(told, vendor, 1)


def test_concurrent_chains_are_one_span_each_under_their_own_callers(vendor: Models, told: Told) -> None:
    """Tasks that read in turn, each in a span of its own."""
    tracer = told.tracers.get_tracer("app")
    chain = _chain(vendor, "slow;chunks=4")

    async def one(number: int) -> int:
        with tracer.start_as_current_span(f"caller {number}") as caller:
            async for _ in chain.astream(ASKED, config={"tags": [str(number)]}):
                assert trace.get_current_span() is caller
            assert trace.get_current_span() is caller
            return caller.get_span_context().span_id

    async def every() -> list[int]:
        return await asyncio.gather(*(one(number) for number in range(5)))

    callers = vendor.run(every())
    parents: dict[Any, Any] = {}
    for span in told.spans:
        (number,) = (tag for tag in said(span)["streamspan.langchain.tags"] if tag.isdigit())
        parents[int(number)] = parent_of(span)
    assert [parents[number] for number in range(5)] == callers
    check_each_once(told, vendor, 5)


@_COLOURS
def test_an_invoke_that_streams_inside_is_a_stream(vendor: Models, told: Told, is_async: bool) -> None:
    """LangChain streams what a step calls without a stream, where somebody listens for tokens."""
    model = _telling(vendor)

    async def ask(question: str) -> Any:
        return await model.ainvoke(question)

    step: Any = RunnableLambda(ask) if is_async else RunnableLambda(model.invoke)

    async def read() -> None:
        async for _ in step.astream_events("?", version="v2"):
            assert trace.get_current_span() is caller

    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        vendor.run(read())
    assert told.attributes["gen_ai.request.stream"] is True
    assert parent_of(told.span) == caller.get_span_context().span_id
    check_each_once(told, vendor, 1)


@_COLOURS
def test_a_batch_is_one_span_for_each_call(vendor: Models, told: Told, is_async: bool) -> None:
    """In threads of LangChain's own, or in tasks."""
    chain = _chain(vendor)
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        if is_async:
            vendor.run(chain.abatch([ASKED] * 3))
        else:
            chain.batch([ASKED] * 3)
        assert trace.get_current_span() is caller
    told.finish()
    assert {parent_of(span) for span in told.spans} == {caller.get_span_context().span_id}
    assert {said(span)["gen_ai.request.stream"] for span in told.spans} == {False}
    assert len({said(span)["streamspan.langchain.run_id"] for span in told.spans}) == 3
    assert told.count_of("gen_ai.client.operation.duration") == 3
    assert told.count_of("gen_ai.client.token.usage") == 6


@_COLOURS
def test_an_agents_models_are_one_span_each_also_the_one_that_its_tool_asks(
    vendor: Models, told: Told, is_async: bool
) -> None:
    """A loop: a model streams a wish for two tools, each of which streams another model, and a last one the answer."""
    inner = _telling(vendor, model="inner")

    @tool
    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        return "".join(str(chunk.content) for chunk in inner.stream(city))

    @tool
    async def aget_weather(city: str) -> str:
        """Tell the weather of a city."""
        return "".join([str(chunk.content) async for chunk in inner.astream(city)])

    used: Any = aget_weather if is_async else get_weather
    asking = _telling(vendor, "tools;chunks=2", model="asking").bind_tools([used])
    answering = _telling(vendor, model="answering")

    async def agent() -> None:
        messages: list[Any] = [HumanMessage("What is the weather?")]
        for model in (asking, answering):
            whole = None
            for chunk in await drain(model.astream(messages)) if is_async else model.stream(messages):
                assert trace.get_current_span() is caller
                whole = chunk if whole is None else whole + chunk
            assert whole is not None
            messages.append(whole)
            for call in whole.tool_calls:
                asked = {"city": "Paris"}
                answer = await used.ainvoke(asked) if is_async else used.invoke(asked)
                assert trace.get_current_span() is caller
                messages.append(ToolMessage(answer, tool_call_id=call["id"]))

    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        if is_async:
            vendor.run(agent())
        else:
            drive(agent())
        assert trace.get_current_span() is caller
    assert [said(span)["gen_ai.request.model"] for span in told.spans] == ["asking", "inner", "inner", "answering"]
    assert {parent_of(span) for span in told.spans} == {caller.get_span_context().span_id}
    check_each_once(told, vendor, 4)
