"""Models that call no vendor: one span of LangChain's own layer, with the same endings and clocks."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import Any

import pytest

pytest.importorskip("langchain_core")

from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.callbacks.manager import CallbackManager
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.language_models.fake_chat_models import FakeListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, GenerationChunk
from opentelemetry import trace
from opentelemetry.trace import StatusCode

import conformance
import streamspan
from streamspan import _api
from streamspan.demo import DemoProvider
from support.telemetry import Told

WORDS = "hello brave new world"
Chunk: Any = AIMessageChunk  # whose pydantic model has no content by position for a type checker
VERSION = tuple(int(part) for part in version("langchain-core").split(".")[:3])
pytestmark = pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'")  # older LangChain on newer pydantic


class Scripted(BaseChatModel):
    """A model that plays chunks, and exceptions between them."""

    script: list[Any]
    result: AIMessage = AIMessage(WORDS)

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> ChatResult:
        for each in self.script:
            if isinstance(each, BaseException):
                raise each
        return ChatResult(generations=[ChatGeneration(message=self.result)])

    def _stream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        for each in self.script:
            if isinstance(each, BaseException):
                raise each
            if isinstance(each, float):
                time.sleep(each)
                continue
            message = Chunk(each) if isinstance(each, str) else each
            yield ChatGenerationChunk(message=message)

    async def _astream(
        self, messages: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for each in self.script:
            if isinstance(each, BaseException):
                raise each
            if isinstance(each, float):
                await asyncio.sleep(each)
                continue
            yield ChatGenerationChunk(message=Chunk(each) if isinstance(each, str) else each)

    def _get_ls_params(self, stop: Any = None, **kwargs: Any) -> Any:
        return {"ls_provider": "xai", "ls_model_name": "scripted-1", "ls_temperature": 0.5, "ls_max_tokens": 9}


class ScriptedText(FakeListLLM):
    """A text model that streams letters."""

    def _stream(
        self, prompt: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        for letter in self.responses[0]:
            run_manager.on_llm_new_token(letter, chunk=GenerationChunk(text=letter))
            yield GenerationChunk(text=letter)

    async def _astream(
        self, prompt: Any, stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        for letter in self.responses[0]:
            await run_manager.on_llm_new_token(letter, chunk=GenerationChunk(text=letter))
            yield GenerationChunk(text=letter)


def fake() -> GenericFakeChatModel:
    return GenericFakeChatModel(messages=iter([AIMessage(WORDS)]))


async def drain(stream: Any) -> list[Any]:
    return [item async for item in stream]


async def _events_v3(model: Any) -> Any:
    return await drain(await model.astream_events("?", version="v3"))


_STREAMS: dict[str, Any] = {
    "stream": lambda model: list(model.stream("?")),
    "astream": lambda model: asyncio.run(drain(model.astream("?"))),
    "events-v2": lambda model: asyncio.run(drain(model.astream_events("?", version="v2"))),
    "events-v3": lambda model: asyncio.run(_events_v3(model)),
    "stream-events": lambda model: list(model.stream_events("?", version="v3")),
}


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
@pytest.mark.parametrize("way", _STREAMS)
def test_a_fake_model_is_one_streamed_session(told: Told, way: str) -> None:
    """Its chunks, its text and its clocks, under the caller's span; nothing is current in between or afterwards."""
    model = fake()
    if way in {"events-v3", "stream-events"} and not hasattr(model, "stream_events"):
        pytest.skip("version 3 came with langchain-core 1.4")
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        _STREAMS[way](model)
        assert trace.get_current_span() is caller
    told.finish()
    span, said = told.span, told.attributes
    assert span.parent is not None
    assert span.parent.span_id == caller.get_span_context().span_id
    assert (said["streamspan.layer"], said["streamspan.outcome"]) == ("langchain", "completed")
    assert said["gen_ai.provider.name"] == "genericfakechatmodel"
    assert said["gen_ai.request.stream"] is True
    assert said["streamspan.output.characters"] == len(WORDS)
    assert said["streamspan.time_to_first_token"] >= said["gen_ai.response.time_to_first_chunk"] > 0
    assert said["streamspan.langchain.run_name"] == "GenericFakeChatModel"
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("streamspan.time_to_first_token") == 1
    assert told.active == 0
    assert conformance.findings(spans=told.all_spans, metrics=told.metrics_data, logs=told.logs, config=None) == []


def test_a_call_without_a_stream_is_one_session_too(told: Told) -> None:
    """With none of a stream's attributes."""
    FakeListChatModel(responses=["one"]).invoke("?")
    asyncio.run(FakeListChatModel(responses=["two"]).ainvoke("?"))
    assert [dict(span.attributes or {})["gen_ai.request.stream"] for span in told.spans] == [False, False]
    assert told.count_of("gen_ai.client.operation.duration") == 2
    assert told.count_of("streamspan.chunks") == 0


def test_the_clock_starts_at_the_call(told: Told) -> None:
    """Before the model has said anything, and so before it is known whose session it is."""
    list(Scripted(script=[0.05, "hello", 0.02, " world"]).stream("?"))
    said = told.attributes
    assert said["streamspan.time_to_first_token"] >= 0.05
    assert said["streamspan.wait.max"] >= 0.02
    span = told.span
    assert span.start_time is not None
    assert span.end_time is not None
    assert span.end_time - span.start_time >= 70_000_000
    chunks = [event.timestamp for event in told.events("streamspan.chunk")]
    assert chunks[0] - span.start_time >= 50_000_000


def test_what_a_model_says_of_itself_is_on_the_span(told: Told) -> None:
    """Provider in the conventions' words, model, parameters, usage, finish reason, reasoning and tool calls."""
    calls = [{"name": "look", "args": '{"a": 1}', "id": "call_1", "index": 0, "type": "tool_call_chunk"}]
    script = [
        Chunk([{"type": "reasoning", "reasoning": "hm", "index": 0}]),
        Chunk([{"type": "text", "text": "yes", "index": 1}], id="msg_1"),
        Chunk("", tool_call_chunks=calls),
        Chunk(
            "",
            response_metadata={"finish_reason": "tool_calls", "model_name": "scripted-1-large"},
            usage_metadata={
                "input_tokens": 10,
                "output_tokens": 4,
                "total_tokens": 14,
                "input_token_details": {"cache_read": 6},
                "output_token_details": {"reasoning": 1},
            },
        ),
    ]
    list(Scripted(script=script).stream("?"))
    said = told.attributes
    wanted: dict[str, Any] = {
        "gen_ai.provider.name": "x_ai",
        "gen_ai.request.model": "scripted-1",
        "gen_ai.response.model": "scripted-1-large",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.response.finish_reasons": ("tool_calls",),
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.cache_read.input_tokens": 6,
        "gen_ai.usage.reasoning.output_tokens": 1,
        "streamspan.reasoning.characters": 2,
        "streamspan.output.characters": 3 + 8,
        "streamspan.tool_call.count": 1,
    }
    if VERSION < (0, 3, 9):  # whose sum of usage leaves the details out
        wanted = {
            name: value for name, value in wanted.items() if "cache_read" not in name and "reasoning." not in name
        }
    assert {name: said.get(name) for name in wanted} == wanted
    assert told.span.name == "chat scripted-1"
    assert said["streamspan.time_to_first_answer"] > said["streamspan.time_to_first_token"]


def test_usage_in_pieces_is_the_sum_that_langchain_makes_of_it(told: Told) -> None:
    """Its chunks carry what each adds."""
    pieces = [
        Chunk("a", usage_metadata={"input_tokens": 10, "output_tokens": 0, "total_tokens": 10}),
        Chunk("b", usage_metadata={"input_tokens": 0, "output_tokens": 7, "total_tokens": 7}),
    ]
    list(Scripted(script=list(pieces)).stream("?"))
    assert told.attributes["gen_ai.usage.input_tokens"] == 10
    assert told.attributes["gen_ai.usage.output_tokens"] == 7


# --- endings -------------------------------------------------------------------------------------------------------


def test_break_is_a_close(told: Told) -> None:
    """At once, with what there was so far."""
    for _ in Scripted(script=["a", "b", "c"]).stream("?"):
        break
    said = told.attributes
    assert (said["streamspan.outcome"], said["streamspan.cancel.reason"]) == ("cancelled", "closed")
    assert said["streamspan.chunk.count"] == 1
    assert told.span.status.status_code is StatusCode.UNSET
    assert told.active == 0


def test_a_close_after_the_finish_reason_cancels_nothing(told: Told) -> None:
    """The answer was whole."""
    stream = Scripted(script=["a", Chunk("", response_metadata={"finish_reason": "stop"})]).stream("?")
    next(stream)
    next(stream)
    stream.close()  # type: ignore[attr-defined] # a generator, whatever the annotation says
    assert told.attributes["streamspan.outcome"] == "completed"


def test_an_async_close_is_a_close(told: Told) -> None:
    """Told in a task of LangChain's own, which shields its callbacks."""

    async def read_one() -> None:
        stream: Any = Scripted(script=["a", "b"]).astream("?")
        await stream.__anext__()
        await stream.aclose()

    asyncio.run(read_one())
    assert (told.attributes["streamspan.outcome"], told.attributes["streamspan.cancel.reason"]) == (
        "cancelled",
        "closed",
    )


def test_a_cancelled_task_is_a_cancel(told: Told) -> None:
    """Also where the model had said nothing yet."""

    async def cancel(script: list[Any]) -> None:
        task = asyncio.create_task(drain(Scripted(script=script).astream("?")))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(cancel(["a", 60.0]))
    asyncio.run(cancel([60.0]))
    said = [dict(span.attributes or {}) for span in told.spans]
    assert [each["streamspan.cancel.reason"] for each in said] == ["task_cancelled", "task_cancelled"]
    assert [each["streamspan.chunk.count"] for each in said] == [1, 0]
    assert [each["gen_ai.request.stream"] for each in said] == [True, True]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.timeout came with Python 3.11")
def test_a_deadline_is_a_timeout(told: Told) -> None:
    """LangChain tells of it in another task than the one that timed out."""

    async def too_long() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):  # type: ignore[attr-defined,unused-ignore] # Python 3.11
                await drain(Scripted(script=["a", 60.0]).astream("?"))

    asyncio.run(too_long())
    assert (told.attributes["streamspan.outcome"], told.attributes["error.type"]) == ("timeout", "TimeoutError")


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "invoke"])
def test_an_error_is_an_error(told: Told, is_stream: bool) -> None:
    """Before the first token, in a stream and in a call without one."""
    model = Scripted(script=[ValueError("no such luck")])
    with pytest.raises(ValueError, match="no such luck"):
        list(model.stream("?")) if is_stream else model.invoke("?")
    said = told.attributes
    assert (said["streamspan.outcome"], said["error.type"]) == ("error", "ValueError")
    assert said["gen_ai.request.stream"] is is_stream
    assert told.span.status.status_code is StatusCode.ERROR
    assert len(told.events("exception")) == 1


def test_an_error_in_the_stream_keeps_what_came_before(told: Told) -> None:
    """The chunks are counted."""
    with pytest.raises(ConnectionResetError):
        list(Scripted(script=["a", "b", ConnectionResetError("gone")]).stream("?"))
    assert told.attributes["error.type"] == "ConnectionResetError"
    assert told.attributes["streamspan.chunk.count"] == 2


@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_a_protocol_stream_that_nobody_finishes_is_dropped() -> None:
    """A sync stream of version 3 is no generator: nobody tells of its end."""
    told = Told()
    told.instrument()
    model = Scripted(script=["a", "b", "c"])
    if not hasattr(model, "stream_events"):
        pytest.skip("version 3 came with langchain-core 1.4")

    def read_a_little() -> None:
        for event in model.stream_events("?", version="v3"):
            if event["event"] == "content-block-delta":
                return

    read_a_little()
    gc.collect()
    _api.drain()
    told.finish()
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["streamspan.cancel.reason"] in {"dropped", "closed"}
    assert told.active == 0


# --- other kinds ---------------------------------------------------------------------------------------------------


def test_text_models_are_text_completions(told: Told) -> None:
    """Called, streamed, and several prompts at once."""
    FakeListLLM(responses=["one"]).invoke("?")
    list(ScriptedText(responses=["two"]).stream("?"))
    asyncio.run(drain(ScriptedText(responses=["three"]).astream("?")))
    said = [dict(span.attributes or {}) for span in told.spans]
    assert {each["gen_ai.operation.name"] for each in said} == {"text_completion"}
    assert [each["gen_ai.request.stream"] for each in said] == [False, True, True]
    assert [each.get("streamspan.output.characters") for each in said] == [None, 3, 5]


@pytest.mark.skipif(VERSION < (0, 3, 73), reason="langchain-core marks answers from its cache from 0.3.73")
def test_an_answer_from_the_cache_used_no_tokens(told: Told) -> None:
    """The second call is a span without the token counts of the first."""
    usage: Any = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    model = Scripted(script=[], result=AIMessage("cached", usage_metadata=usage), cache=InMemoryCache())
    model.invoke("?")
    model.invoke("?")
    first, second = (dict(span.attributes or {}) for span in told.spans)
    assert first["gen_ai.usage.output_tokens"] == 4
    assert not [name for name in second if name.startswith("gen_ai.usage.")]
    assert second["streamspan.outcome"] == "completed"


class Router(Scripted):
    """A model that asks another one."""

    inner: Any

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=Chunk("thinking... "))
        for chunk in self.inner.stream("?"):
            yield ChatGenerationChunk(message=chunk)


def test_a_model_around_another_one_is_the_inner_ones_span_alone(told: Told) -> None:
    """One inference, one span: the inner run's."""
    model = Router(script=[], inner=Scripted(script=["a", "b"]))
    model.invoke("?", stream=True)
    inner = [span for span in told.spans if dict(span.attributes or {})["streamspan.langchain.run_name"] == "Scripted"]
    assert told.spans == inner
    assert told.active == 0


# --- the callers' view ---------------------------------------------------------------------------------------------


class _Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []

    def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("start")

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.events.append(str(token))

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("end")

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.events.append(type(error).__name__)


class _HeardAsync(AsyncCallbackHandler):
    def __init__(self) -> None:
        self.events: list[str] = []

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("start")

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.events.append(str(token))

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.events.append("end")


@pytest.mark.parametrize("kind", [_Heard, _HeardAsync])
def test_the_applications_handlers_hear_what_they_heard(kind: type[Any]) -> None:
    """A text model in async code, whose start LangChain tells either inline handlers or the others, never both."""

    def heard() -> tuple[list[str], list[Any]]:
        handler = kind()
        model = ScriptedText(responses=["abc"])
        items = asyncio.run(drain(model.astream("?", config={"callbacks": [handler]})))
        return handler.events, items

    bare = heard()
    told = Told()
    told.instrument()
    seen = heard()
    told.finish()
    assert seen == bare
    assert seen[0] == ["start", "a", "b", "c", "end"]


def test_a_run_that_langchain_forgets_is_nobodys(told: Told) -> None:
    """An exception between its start and its model leaves it without an end; what is called later is not of it."""

    class Refusing:
        def acquire(self, *, blocking: bool = True) -> bool:
            raise RuntimeError("no rate")

    model = Scripted(script=["a"])
    object.__setattr__(model, "rate_limiter", Refusing())
    with pytest.raises(RuntimeError, match="no rate"):
        next(iter(model.stream("?")))
    list(fake().stream("?"))
    assert [dict(span.attributes or {})["streamspan.langchain.run_name"] for span in told.spans] == [
        "GenericFakeChatModel"
    ]
    list(streamspan.observe(["x"], provider="acme"))
    assert "streamspan.langchain.run_id" not in dict(told.spans[-1].attributes or {})


def test_uninstrumented_models_are_as_before() -> None:
    """Every original is back."""
    before = CallbackManager.on_chat_model_start
    told = Told()
    told.instrument()
    assert CallbackManager.on_chat_model_start is not before
    told.finish()
    assert CallbackManager.on_chat_model_start is before
    list(fake().stream("?"))
    assert told.spans == []


def test_content_is_captured_for_langchains_own_sessions_too() -> None:
    """Messages and the answer in the conventions' shape."""
    told = Told()
    told.instrument(streamspan.Config(capture_content="SPAN_ONLY"))
    list(Scripted(script=["hello ", "you"]).stream([("system", "be nice"), ("human", "hi")]))
    told.finish()
    assert '"role":"system"' in told.attributes["gen_ai.input.messages"].replace(" ", "")
    assert "hello you" in told.attributes["gen_ai.output.messages"]
    assert (
        conformance.findings(
            spans=told.all_spans,
            metrics=told.metrics_data,
            logs=told.logs,
            config=streamspan.Config(capture_content="SPAN_ONLY"),
        )
        == []
    )


def test_a_vendors_session_after_a_first_token_takes_the_run_over(server: DemoProvider, told: Told) -> None:
    """A model that says something of its own before it calls its vendor is not told twice."""
    openai = pytest.importorskip("openai")

    class Late(Scripted):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            yield ChatGenerationChunk(message=Chunk("one moment "))
            with openai.OpenAI(base_url=server.url("ok;chunks=2"), api_key="key") as client:
                for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
                    yield ChatGenerationChunk(message=Chunk(chunk.choices[0].delta.content or ""))

    Late(script=[]).invoke("?", stream=True)
    assert told.attributes["streamspan.layer"] == "openai"
    assert told.attributes["streamspan.langchain.run_name"] == "Late"
    assert told.active == 0
