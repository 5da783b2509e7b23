"""The public recording of a LangChain stream, through `ChatOpenAI` in a chain as it was recorded."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("langchain_openai")

from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate

from support.langchain_models import Models
from support.recorded import RECORDINGS
from support.recorded.openai import VENDOR
from support.replay import Replay, cut
from support.telemetry import Told

_OURS = [recording for recording in RECORDINGS if recording.name == "openllmetry__test_stream"]
pytestmark = [
    pytest.mark.skipif(not _OURS, reason="no recordings: set STREAMSPAN_RECORDINGS to their folder"),
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields'"),
]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("size", [0, 37])
def test_the_recorded_chain_is_one_span_that_says_what_the_recording_says(
    models: Models, told: Told, size: int, is_async: bool
) -> None:
    """Chunks, characters, finish reason and names, and the text that the caller gets."""
    (recording,) = _OURS
    truth = VENDOR.call(recording).truth(recording.events)
    prompt = PromptTemplate.from_template("write 10 lines of random text about ${product}")
    with Replay(cut(recording.body.encode(), size)) as replay:
        model = models(base_url=replay.url, model="gpt-4", temperature=0)
        chain: Any = prompt | model | StrOutputParser()
        asked = {"product": "colorful socks"}
        if is_async:

            async def read() -> list[str]:
                return [text async for text in chain.astream(asked)]

            texts = models.run(read())
        else:
            texts = list(chain.stream(asked))
    assert "".join(texts) == truth.text
    said = told.attributes
    wanted = {
        "streamspan.layer": "openai",
        "streamspan.outcome": "completed",
        "streamspan.langchain.run_name": "ChatOpenAI",
        "gen_ai.request.model": "gpt-4",
        "gen_ai.request.temperature": 0.0,
        "gen_ai.response.id": truth.id,
        "gen_ai.response.model": truth.model,
        "gen_ai.response.finish_reasons": ("stop",),
        "streamspan.chunk.count": truth.chunks,
        "streamspan.output.characters": truth.characters,
    }
    assert {name: said.get(name) for name in wanted} == wanted
    assert not [name for name in said if name.startswith("gen_ai.usage.")]
    assert told.count_of("gen_ai.client.operation.duration") == 1
