"""A model that the application's own callback handler calls is no part of the run that it hears of."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("langchain_core")

import openai
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel

from streamspan.demo import DemoProvider
from support.telemetry import Told


@pytest.fixture
def told() -> Iterator[Told]:
    """What is told, with streamspan in place."""
    told = Told()
    told.instrument()
    yield told
    told.finish()


class Asking(BaseCallbackHandler):
    """Asks another model at one point of a run."""

    def __init__(self, server: DemoProvider, point: str) -> None:
        self._url = server.url("ok;chunks=2")
        self._is_due = True
        setattr(self, point, self._ask)

    def _ask(self, *_: Any, **__: Any) -> None:
        if self._is_due:
            self._is_due = False
            with openai.OpenAI(base_url=self._url, api_key="key") as client:
                list(client.chat.completions.create(model="other", messages=[], stream=True))


def _call(way: str, config: Any) -> None:
    model = GenericFakeChatModel(messages=iter(["a few words"]))
    if way == "streaming ainvoke":
        asyncio.run(model.ainvoke("?", stream=True, config=config))
    elif way == "streaming invoke":
        model.invoke("?", stream=True, config=config)
    elif way == "stream":
        list(model.stream("?", config=config))
    else:
        model.invoke("?", config=config)


@pytest.mark.parametrize(
    ("way", "point"),
    [
        ("stream", "on_llm_new_token"),
        ("stream", "on_llm_end"),
        ("invoke", "on_llm_end"),
        ("stream", "on_chat_model_start"),
        ("streaming invoke", "on_llm_new_token"),
        ("streaming ainvoke", "on_llm_new_token"),
    ],
)
def test_what_a_handler_asks_is_a_call_of_its_own(server: DemoProvider, told: Told, way: str, point: str) -> None:
    """Two sessions: the run's, with its id, and the handler's, without."""
    _call(way, {"callbacks": [Asking(server, point)]})
    runs = {
        dict(span.attributes or {})["streamspan.layer"]: "streamspan.langchain.run_id" in (span.attributes or {})
        for span in told.spans
    }
    assert runs == {"langchain": True, "openai": False}
    assert len(told.spans) == 2


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of langchain-core 0.3's cache, with a newer pydantic
def test_each_of_several_prompts_is_told_though_one_is_in_the_cache(server: DemoProvider, told: Told) -> None:
    """A cache hit beside a call of the vendor has its own span, as it has alone."""
    chat = pytest.importorskip("langchain_openai").ChatOpenAI
    from langchain_core.caches import InMemoryCache  # noqa: PLC0415 - only with the package above
    from langchain_core.messages import HumanMessage  # noqa: PLC0415

    model = chat(base_url=server.url("ok;chunks=2"), api_key="key", model="m", cache=InMemoryCache())
    model.generate([[HumanMessage("a")]])
    model.generate([[HumanMessage("a")], [HumanMessage("b")]])
    assert sorted(summary.layer for summary in told.summaries) == ["langchain", "openai", "openai"]
