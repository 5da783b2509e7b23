"""LangChain's chunks, results and events as plain data: what they say, and that nonsense says nothing."""

from __future__ import annotations

from typing import Any

import pytest

from streamspan._records import AUDIO, IMAGE, Delta, ToolCallDelta
from streamspan.providers.langchain import provider_name, read_chunk, read_end, read_result


def _chunk(content: Any, **message: Any) -> dict[str, Any]:
    return {"message": {"content": content, **message}}


_SAYS: list[tuple[Any, Delta]] = [
    ("a token", Delta("a token", 0)),
    (["a ", {"type": "text", "text": "token"}], Delta("a token", 0)),
    ({"text": "old", "generation_info": None}, Delta("old", 0)),
    (
        {"text": "", "generation_info": {"finish_reason": "stop"}},
        Delta("", 0, finish_reason="stop", is_terminal=True),
    ),
    (_chunk("text"), Delta("text", 0, tool_calls=[])),
    (_chunk("", id="msg_1"), Delta("", 0, tool_calls=[], response_id="msg_1")),
    (_chunk("", id="lc_run--1"), Delta("", 0, tool_calls=[])),
    (_chunk("", id="run-1"), Delta("", 0, tool_calls=[])),
    (_chunk("", chunk_position="last"), Delta("", 0, tool_calls=[], is_terminal=True)),
    (_chunk("", additional_kwargs={"reasoning_content": "hm"}), Delta("", 0, "hm", tool_calls=[])),
    (_chunk("", additional_kwargs={"refusal": "no"}), Delta("", 0, refusal="no", tool_calls=[])),
    (_chunk([{"type": "thinking", "thinking": "hm"}]), Delta("", 0, "hm", tool_calls=[])),
    (_chunk([{"type": "reasoning", "summary": [{"text": "hm"}]}]), Delta("", 0, "hm", tool_calls=[])),
    (_chunk([{"type": "image"}, {"type": "audio"}]), Delta("", 0, media=IMAGE | AUDIO, tool_calls=[])),
    (
        _chunk(
            "", tool_call_chunks=[{"name": "f", "args": '{"a"', "id": "c", "index": 0}, {"args": ": 1}", "index": 0}]
        ),
        Delta("", 0, tool_calls=[ToolCallDelta(0, "c", "f", '{"a"'), ToolCallDelta(0, "", "", ": 1}")]),
    ),
    (
        _chunk("", response_metadata={"stop_reason": "end_turn", "model_name": "m", "id": "r"}),
        Delta("", 0, tool_calls=[], finish_reason="end_turn", response_model="m", response_id="r", is_terminal=True),
    ),
    ({"event": "message-start", "id": "lc_run--1"}, Delta()),
    ({"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": "a"}}, Delta("a", 0)),
    (
        {"event": "content-block-delta", "index": 0, "delta": {"type": "reasoning-delta", "reasoning": "hm"}},
        Delta("", 0, "hm"),
    ),
    (
        {"event": "content-block-start", "index": 1, "content": {"type": "tool_call_chunk", "id": "c", "name": "f"}},
        Delta(choice=0, tool_calls=(ToolCallDelta(1, "c", "f", ""),)),
    ),
    (
        {"event": "content-block-delta", "index": 1, "delta": {"type": "tool-call-delta", "args": "{}"}},
        Delta(choice=0, tool_calls=(ToolCallDelta(1, "", "", "{}"),)),
    ),
    (
        {"event": "message-finish", "metadata": {"finish_reason": "stop"}},
        Delta(choice=0, finish_reason="stop", is_terminal=True),
    ),
    (None, Delta("", 0)),
    (3, Delta("", 0)),
]


@pytest.mark.parametrize(("chunk", "says"), _SAYS)
def test_a_chunk_says(chunk: Any, says: Delta) -> None:
    """Text, thoughts, refusals, tool calls, media, names and the end."""
    assert read_chunk(chunk) == says


_USAGE = {"input_tokens": 10, "output_tokens": 4, "total_tokens": 14, "input_token_details": {"cache_creation": 2}}


def test_a_result_says_all_at_once() -> None:
    """Each generation is a choice; the usage is the first one's."""
    result = {"generations": [[_chunk("one", usage_metadata=_USAGE), _chunk("two")]]}
    whole = read_result(result)
    assert (whole.text, whole.choice, [(other.text, other.choice) for other in whole.others]) == (
        "one",
        0,
        [("two", 1)],
    )
    assert whole.usage == {"input_tokens": 10, "output_tokens": 4, "cache_write.input_tokens": 2}


def test_the_end_of_a_stream_repeats_no_content() -> None:
    """Its chunks have said it."""
    end = read_end({"generations": [[_chunk("one", usage_metadata=_USAGE)]]})
    assert (end.text, end.is_terminal) == ("", True)
    assert end.usage == {"input_tokens": 10, "output_tokens": 4, "cache_write.input_tokens": 2}


def test_usage_of_older_models_is_in_the_output() -> None:
    """As OpenAI's own counts."""
    counts = {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    assert read_result({"generations": [[{"text": "a"}]], "llm_output": counts}).usage == {
        "input_tokens": 3,
        "output_tokens": 4,
    }


@pytest.mark.parametrize("result", [None, {}, {"generations": []}, {"generations": [[]]}])
def test_a_result_without_an_answer_says_nothing(result: Any) -> None:
    """An error's result has no generations."""
    assert read_result(result) == Delta(others=[], usage={})


def test_an_answer_from_the_cache_has_no_usage() -> None:
    """LangChain marks it by its cost."""
    cached = {"generations": [[_chunk("one", usage_metadata={**_USAGE, "total_cost": 0})]]}
    assert read_result(cached).usage == {}


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("openai", "openai"),
        ("azure", "azure.ai.openai"),
        ("google_vertexai", "gcp.vertex_ai"),
        ("", "langchain"),
        (3, "langchain"),
    ],
)
def test_vendors_are_named_in_the_conventions_words(said: Any, name: str) -> None:
    """What is not in the table is what the model says."""
    assert provider_name({"ls_provider": said}) == name
