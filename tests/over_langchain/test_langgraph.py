"""LangGraph: an agent whose tool calls a second model inside the loop."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langgraph")

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.graph import END, START, MessagesState, StateGraph
from opentelemetry import trace

from support.langchain_models import Models
from support.telemetry import Told

pytestmark = [
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),  # of google-genai
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'"),  # older LangChain on newer pydantic
]
ASKED: Any = {"messages": [HumanMessage("What is the weather?")]}


def agent_of(models: Models) -> Any:
    """Return a graph: a model that asks for a tool, the tool that asks a model, and a model that answers."""
    asking, inner, answering = (
        models("tools;chunks=2", model="asking"),
        models(model="inner"),
        models(model="answering"),
    )

    @tool
    def get_weather(city: str) -> str:
        """Tell the weather of a city."""
        return str(inner.invoke(city).content)

    bound = asking.bind_tools([get_weather])

    def ask(state: MessagesState) -> Any:
        return {"messages": [bound.invoke(state["messages"])]}

    def use(state: MessagesState) -> Any:
        (*_, call) = state["messages"][-1].tool_calls  # type: ignore[union-attr] # an answer of the model
        return {"messages": [ToolMessage(get_weather.invoke({"city": "Paris"}), tool_call_id=call["id"])]}

    def answer(state: MessagesState) -> Any:
        return {"messages": [answering.invoke([HumanMessage("go on")])]}

    graph = StateGraph(MessagesState)
    graph.add_node("ask", ask)
    graph.add_node("use", use)
    graph.add_node("answer", answer)
    for one, two in ((START, "ask"), ("ask", "use"), ("use", "answer"), ("answer", END)):
        graph.add_edge(one, two)
    return graph.compile()


def _invoke(_: Models, agent: Any) -> None:
    agent.invoke(ASKED)


def _stream(_: Models, agent: Any) -> None:
    pieces = list(agent.stream(ASKED, stream_mode="messages"))
    assert {piece[1]["langgraph_node"] for piece in pieces} == {"ask", "use", "answer"}


def _astream(models: Models, agent: Any) -> None:
    async def read() -> None:
        async for _ in agent.astream(ASKED, stream_mode="messages"):
            pass

    models.run(read())


def _events(models: Models, agent: Any) -> None:
    async def read() -> None:
        async for _ in agent.astream_events(ASKED, version="v2"):
            pass

    models.run(read())


@pytest.mark.parametrize(("call", "is_stream"), [(_invoke, False), (_stream, True), (_astream, True), (_events, True)])
def test_every_model_of_an_agent_is_one_span_under_the_caller(
    vendor: Models, told: Told, call: Any, is_stream: bool
) -> None:
    """Whether LangGraph streams its models, which it does behind `invoke`, or not."""
    agent = agent_of(vendor)
    with told.tracers.get_tracer("app").start_as_current_span("caller") as caller:
        call(vendor, agent)
        assert trace.get_current_span() is caller
    told.finish()

    said = [dict(span.attributes or {}) for span in told.spans]
    assert [each["gen_ai.request.model"] for each in said] == ["asking", "inner", "answering"]
    assert {each["gen_ai.request.stream"] for each in said} == {is_stream}
    assert {each["streamspan.outcome"] for each in said} == {"completed"}
    assert {each["streamspan.layer"] for each in said} == {vendor.vendor.layer}
    parents = {span.parent.span_id for span in told.spans if span.parent is not None}
    assert parents == {caller.get_span_context().span_id}
    assert len({each["streamspan.langchain.run_id"] for each in said}) == 3
    assert len({each["streamspan.langchain.parent_run_id"] for each in said}) == 3
    assert told.count_of("gen_ai.client.operation.duration") == 3
    assert told.count_of("streamspan.time_to_first_token") == (3 if is_stream else 0)
    assert told.active == 0
