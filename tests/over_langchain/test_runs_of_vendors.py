"""LangChain over a vendor's SDK: every call of a model is the vendor's one span, with the run's name on it."""

from __future__ import annotations

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

pytest.importorskip("langchain_openai")

import openai
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnableParallel
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

import streamspan
from streamspan.integrations._langchain_runs import Listener
from support.langchain_models import Models
from support.openai_sdk import http
from support.seen import TLS
from support.telemetry import Told

pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # older LangChain on newer pydantic
PROMPT = ChatPromptTemplate.from_messages([("human", "{question}")])
ASKED = {"question": "What is a stream?"}


def run_of(span: ReadableSpan) -> dict[str, Any]:
    """Return what a span says of its run."""
    prefix = "streamspan.langchain."
    return {name.removeprefix(prefix): value for name, value in (span.attributes or {}).items() if prefix in name}


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def parent_of(span: ReadableSpan) -> int | None:
    return None if span.parent is None else span.parent.span_id


async def drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


# --- every way to call a model -----------------------------------------------------------------------------------


def _stream(model: Any, config: Any) -> Any:
    return list(model.stream("?", config=config))


def _invoke(model: Any, config: Any) -> Any:
    return model.invoke("?", config=config)


def _stream_events(model: Any, config: Any) -> Any:
    if not hasattr(model, "stream_events"):
        pytest.skip("stream_events came with langchain-core 1.4")
    return list(model.stream_events("?", version="v3", config=config))


def _batch(model: Any, config: Any) -> Any:
    return model.batch(["?"], config=config)


async def _astream(model: Any, config: Any) -> Any:
    return await drain(model.astream("?", config=config))


async def _ainvoke(model: Any, config: Any) -> Any:
    return await model.ainvoke("?", config=config)


async def _abatch(model: Any, config: Any) -> Any:
    return await model.abatch(["?"], config=config)


async def _events_v2(model: Any, config: Any) -> Any:
    return await drain(model.astream_events("?", version="v2", config=config))


async def _events_v3(model: Any, config: Any) -> Any:
    if not hasattr(model, "stream_events"):
        pytest.skip("version 3 came with langchain-core 1.4")
    return await drain(await model.astream_events("?", version="v3", config=config))


_WAYS: list[tuple[Any, bool, dict[str, Any]]] = [
    (_stream, True, {}),
    (_invoke, False, {}),
    (_invoke, True, {"streaming": True}),
    (_stream_events, True, {}),
    (_batch, False, {}),
    (_astream, True, {}),
    (_ainvoke, False, {}),
    (_ainvoke, True, {"streaming": True}),
    (_abatch, False, {}),
    (_events_v2, True, {}),
    (_events_v3, True, {}),
]


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize(("call", "is_stream", "more"), _WAYS)
def test_every_way_to_call_a_model_is_one_span_with_the_run(
    models: Models, told: Told, call: Any, is_stream: bool, more: dict[str, Any]
) -> None:
    """The vendor's span, in the caller's trace, with id, name and tags; metrics once; nothing is current afterwards."""
    model = models(**more)
    config: dict[str, Any] = {"run_name": "asking", "tags": ["a", "b"]}
    if call not in {_batch, _abatch}:
        config["run_id"] = uuid.UUID(int=7)
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        if asyncio.iscoroutinefunction(call):
            models.run(call(model, config))
        else:
            call(model, config)
        assert trace.get_current_span() is caller
    told.finish()

    span = told.span
    assert parent_of(span) == caller.get_span_context().span_id
    said = attributes(span)
    assert (said["streamspan.layer"], said["streamspan.outcome"]) == ("openai", "completed")
    assert said["gen_ai.request.stream"] is is_stream
    run = run_of(span)
    assert run.pop("run_id") == str(uuid.UUID(int=7)) if "run_id" in config else run.pop("run_id")
    assert run == {"run_name": "asking", "tags": ("a", "b")}
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("streamspan.time_to_first_token") == is_stream
    assert told.active == 0


def test_a_run_without_a_name_is_called_by_its_model(models: Models, told: Told) -> None:
    """As LangChain's own tracers do."""
    models().invoke("?")
    assert run_of(told.span)["run_name"] == "ChatOpenAI"
    assert set(run_of(told.span)) == {"run_id", "run_name"}


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_only_the_first_token_of_a_vendors_stream_is_listened_to(
    models: Models, told: Told, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """The vendor's session counts them: LangChain calls as many handlers per token as without streamspan."""
    heard: list[Any] = []
    listen = Listener.on_llm_new_token

    def note(self: Listener, token: Any, **more: Any) -> None:
        heard.append(token)
        listen(self, token, **more)

    monkeypatch.setattr(Listener, "on_llm_new_token", note)
    model = models("ok;chunks=20")
    if is_async:
        models.run(drain(model.astream("?")))
    else:
        list(model.stream("?"))
    assert len(heard) == 1
    assert told.attributes["streamspan.chunk.count"] > 20


# --- chains --------------------------------------------------------------------------------------------------------


class _Starts(BaseCallbackHandler):
    """Notes the ids of runs, by name."""

    def __init__(self) -> None:
        self.chains: dict[str, str] = {}
        self.models: list[tuple[str, str | None]] = []

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, name: str = "", **_: Any) -> None:
        self.chains[name] = str(run_id)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **_: Any
    ) -> None:
        self.models.append((str(run_id), None if parent_run_id is None else str(parent_run_id)))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_model_in_a_chain_names_the_chain_as_its_parent_run(models: Models, told: Told, is_async: bool) -> None:
    """Callbacks given with the call hear what they heard before, and the span says the same ids."""
    chain = PROMPT | models() | StrOutputParser()
    starts = _Starts()
    config: Any = {"callbacks": [starts]}
    if is_async:
        models.run(drain(chain.astream(ASKED, config=config)))
    else:
        list(chain.stream(ASKED, config=config))
    ((run_id, parent_id),) = starts.models
    assert run_of(told.span)["run_id"] == run_id
    assert run_of(told.span)["parent_run_id"] == parent_id == starts.chains["RunnableSequence"]


def test_nothing_of_ours_is_in_the_callbacks_that_a_step_gets(models: Models, told: Told) -> None:
    """Who counts its handlers counts the same as without streamspan."""
    handlers: list[list[Any]] = []

    def look(asked: Any, config: Any) -> Any:
        handlers.append([type(each).__module__ for each in config["callbacks"].handlers])
        return asked

    (RunnableLambda(look) | PROMPT | models()).invoke(ASKED, config={"callbacks": [_Starts()]})
    assert len(handlers) == 1
    assert not any(name.startswith("streamspan") for name in handlers[0])


def test_models_in_parallel_steps_are_one_span_each(models: Models, told: Told) -> None:
    """In threads of LangChain's own, under the caller's span, each with its own run."""
    model = models()
    steps = RunnableParallel(one=PROMPT | model, two=PROMPT | model.with_config(run_name="second"))
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        steps.invoke(ASKED)
    assert {parent_of(span) for span in told.spans} == {caller.get_span_context().span_id}
    assert sorted(run_of(span)["run_name"] for span in told.spans) == ["ChatOpenAI", "second"]
    assert len({run_of(span)["run_id"] for span in told.spans}) == 2


def test_several_streams_at_once_keep_their_runs_apart(models: Models, told: Told) -> None:
    """Ten tasks, ten spans, ten ids, under ten parents."""
    tracer = told.tracers.get_tracer("app")

    async def one(model: Any, number: int) -> int:
        with tracer.start_as_current_span("caller") as caller:
            await drain(model.astream("?", config={"run_id": uuid.UUID(int=number)}))
            assert trace.get_current_span() is caller
            return caller.get_span_context().span_id

    async def all_of_them() -> list[int]:
        model = models("slow;chunks=4")
        return await asyncio.gather(*(one(model, number) for number in range(10)))

    parents = models.run(all_of_them())
    assert [parent for _, parent in sorted((run_of(each)["run_id"], parent_of(each)) for each in told.spans)] == parents


def test_interleaved_streams_in_one_context_keep_their_runs_apart(models: Models, told: Told) -> None:
    """Two generators that are read in turn."""
    model = models()
    one, two = (model.stream("?", config={"run_id": uuid.UUID(int=number)}) for number in (1, 2))
    next(one)
    next(two)
    list(one)
    list(two)
    assert sorted(run_of(span)["run_id"] for span in told.spans) == [str(uuid.UUID(int=1)), str(uuid.UUID(int=2))]


def test_a_call_in_the_callers_loop_is_no_part_of_the_run(models: Models, told: Told) -> None:
    """The caller's own use of the SDK between two chunks is not LangChain's, and its parent is the caller's span."""
    with (
        http.Client(verify=TLS) as http_client,
        told.tracers.get_tracer("app").start_as_current_span("caller") as caller,
    ):
        sdk = openai.OpenAI(base_url=models.server.url("ok;chunks=2"), api_key="key", http_client=http_client)
        for number, _ in enumerate(models().stream("?")):
            assert trace.get_current_span() is caller
            if number == 1:
                sdk.chat.completions.create(model="mine", messages=[{"role": "user", "content": "?"}])
    by_model = {attributes(span)["gen_ai.request.model"]: span for span in told.spans}
    assert run_of(by_model["mine"]) == {}
    assert parent_of(by_model["mine"]) == parent_of(by_model["gpt-demo"]) == caller.get_span_context().span_id


@pytest.mark.filterwarnings("ignore:Unexpected type for token usage")  # LangChain's, when it adds up what was not sent
def test_several_prompts_at_once_are_a_run_each(models: Models, told: Told) -> None:
    """`generate` starts all runs before it makes the first call."""
    starts = _Starts()
    models().generate([[HumanMessage("one")], [HumanMessage("two")]], callbacks=[starts])
    assert [run_of(span)["run_id"] for span in told.spans] == [run for run, _ in starts.models]


def test_a_model_called_by_a_tool_is_a_run_of_its_own(models: Models, told: Told) -> None:
    """A step that calls a second model in an executor, in a copy of its context."""
    first, second = models(), models(model="second")

    def look_up(_: Any) -> Any:
        with ThreadPoolExecutor(1) as executor:
            return executor.submit(copy_context().run, second.invoke, "?").result()

    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        (first | RunnableLambda(look_up)).invoke("?")
    assert [attributes(span)["gen_ai.request.model"] for span in told.spans] == ["gpt-demo", "second"]
    assert {parent_of(span) for span in told.spans} == {caller.get_span_context().span_id}
    assert len({run_of(span)["run_id"] for span in told.spans}) == 2


# --- failures and closes -------------------------------------------------------------------------------------------


def test_each_attempt_of_with_retry_is_a_run_and_a_span(vendor: Models, told: Told) -> None:
    """Two refusals and an answer are three sessions with three run ids."""
    vendor.server.clear()  # it counts attempts
    model = vendor("flaky;chunks=4").with_retry(wait_exponential_jitter=False, stop_after_attempt=3)
    model.invoke("?")
    assert [attributes(span)["streamspan.outcome"] for span in told.spans] == ["error", "error", "completed"]
    assert len({run_of(span)["run_id"] for span in told.spans}) == 3


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_a_fallback_is_a_second_session(vendor: Models, told: Told, is_async: bool) -> None:
    """The failed first model, then the one that answered."""
    model = vendor("status_500").with_fallbacks([vendor(model="second")])
    if is_async:
        vendor.run(drain(model.astream("?")))
    else:
        list(model.stream("?"))
    said = [attributes(span) for span in told.spans]
    assert [(each["gen_ai.request.model"], each["streamspan.outcome"]) for each in said] == [
        (vendor.vendor.model, "error"),
        ("second", "completed"),
    ]


def test_a_connection_that_fails_is_one_span(models: Models, told: Told) -> None:
    """The vendor's session tells it; the run adds none."""
    model = models(base_url="http://127.0.0.1:9")
    with pytest.raises(openai.APIConnectionError):
        model.invoke("?")
    assert attributes(told.span)["streamspan.layer"] == "openai"
    assert attributes(told.span)["streamspan.outcome"] == "error"


def test_a_chain_that_is_closed_reads_its_stream_to_the_end(models: Models, told: Told) -> None:
    """LangChain drains the steps of a chain, so the model has answered in full, and the span says so."""
    chain = (PROMPT | models() | StrOutputParser()).stream(ASKED)
    next(chain)
    chain.close()
    assert attributes(told.span)["streamspan.outcome"] == "completed"


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_a_protocol_stream_that_is_closed_is_cancelled(models: Models, told: Told) -> None:
    """Version 3 reads in a task of its own, which is cancelled."""
    model = models("slow;chunks=50")
    if not hasattr(model, "stream_events"):
        pytest.skip("version 3 came with langchain-core 1.4")

    async def read_a_little() -> None:
        stream: Any = await model.astream_events("?", version="v3")
        async for event in stream:
            if event["event"] == "content-block-delta":
                break
        await stream.aclose()

    models.run(read_a_little())
    told.finish()
    said = told.attributes
    assert (said["streamspan.outcome"], said["streamspan.cancel.reason"]) == ("cancelled", "task_cancelled")
    assert told.active == 0


# --- selection -----------------------------------------------------------------------------------------------------


def test_without_the_vendors_integration_langchain_tells_of_the_call(models: Models) -> None:
    """`libraries=["langchain"]` leaves the SDK alone: the run's callbacks tell what there is."""
    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, libraries=["langchain"])
    list(models(stream_usage=False).stream("?"))
    streamspan.uninstrument()
    said = attributes(told.span)
    assert said["streamspan.layer"] == "langchain"
    assert (said["gen_ai.provider.name"], said["gen_ai.request.model"]) == ("openai", "gpt-demo")
    assert said["gen_ai.response.finish_reasons"] == ("stop",)
    assert said["streamspan.output.characters"] == len("A stream is a")


def test_without_langchains_integration_the_vendors_span_is_as_ever(models: Models) -> None:
    """`libraries=["openai"]`: one span, and nothing of runs on it."""
    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, libraries=["openai"])
    list(models().stream("?"))
    streamspan.uninstrument()
    assert run_of(told.span) == {}
    assert attributes(told.span)["streamspan.layer"] == "openai"
