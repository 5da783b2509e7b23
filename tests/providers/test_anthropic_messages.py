"""What was asked of Anthropic, in the message shapes of the conventions."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan.providers.anthropic_messages import content
from support.payloads import anything

unhurried = settings(deadline=None, max_examples=200)

_DATA = "iVBORw0KGgo="
BLOCKS: list[tuple[Any, Any]] = [
    ("Hi", {"type": "text", "content": "Hi"}),
    ({"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}, {"type": "text", "content": "Hi"}),
    (
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _DATA}},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""},
    ),
    (
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
    ),
    (
        {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
        {"type": "file", "modality": "document", "file_id": "file-1"},
    ),
    (
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "All of it."}},
        {"type": "text", "content": "All of it."},
    ),
    ({"type": "thinking", "thinking": "hm", "signature": "Zm9v"}, {"type": "reasoning", "content": "hm"}),
    ({"type": "redacted_thinking", "data": "Zm9v"}, {"type": "redacted_thinking"}),
    (
        {"type": "tool_use", "id": "t-1", "name": "look", "input": {"a": 1}},
        {"type": "tool_call", "id": "t-1", "name": "look", "arguments": {"a": 1}},
    ),
    (
        {"type": "tool_result", "tool_use_id": "t-1", "content": "found"},
        {"type": "tool_call_response", "id": "t-1", "response": "found"},
    ),
    (
        {"type": "tool_result", "tool_use_id": "t-1", "content": [{"type": "text", "text": "found"}]},
        {"type": "tool_call_response", "id": "t-1", "response": [{"type": "text", "content": "found"}]},
    ),
    (
        {"type": "server_tool_use", "id": "s-1", "name": "web_search", "input": {"query": "streams"}},
        {
            "type": "server_tool_call",
            "id": "s-1",
            "name": "web_search",
            "server_tool_call": {"type": "server_tool_use"},
        },
    ),
    (
        {"type": "web_search_tool_result", "tool_use_id": "s-1", "content": []},
        {
            "type": "server_tool_call_response",
            "id": "s-1",
            "server_tool_call_response": {"type": "web_search_tool_result"},
        },
    ),
    ({"type": "something_new", "secret": "x"}, {"type": "something_new"}),
]


@pytest.mark.parametrize(("block", "part"), BLOCKS)
def test_a_block_is_a_part(block: Any, part: dict[str, Any]) -> None:
    """Of a kind that the conventions have, or named by its type alone; binary data stay where they are."""
    found: Any = content({"messages": [{"role": "user", "content": [block]}]})
    assert found == {"gen_ai.input.messages": [{"role": "user", "parts": [part]}]}
    assert _DATA not in repr(found)


def test_a_request_has_messages_instructions_and_tools() -> None:
    """`system` is apart from the history here, so it is the system instructions."""
    body = {
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}],
        "tools": [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 3},
        ],
    }
    before = copy.deepcopy(body)
    assert content(body) == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}]},
            {"role": "assistant", "parts": [{"type": "text", "content": "Ho"}]},
        ],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.tool.definitions": [
            {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
    }
    assert body == before
    assert content({"system": "Be brief."}) == {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}]
    }


def test_an_iterator_is_left_to_the_request() -> None:
    """Reading it would take the request's own content away."""
    messages = iter([{"role": "user", "content": "Hi"}])
    assert content({"messages": messages}) == {}
    assert next(messages)["content"] == "Hi"


def test_blocks_of_an_answer_that_are_put_back_are_read() -> None:
    """Callers append the SDK's own blocks to the history."""
    types = pytest.importorskip("anthropic.types")
    blocks = [types.TextBlock(type="text", text="Ho"), types.ToolUseBlock(type="tool_use", id="t", name="n", input={})]
    found: Any = content({"messages": [{"role": "assistant", "content": blocks}]})
    assert [part["type"] for part in found["gen_ai.input.messages"][0]["parts"]] == ["text", "tool_call"]


@unhurried
@given(st.dictionaries(st.sampled_from(["messages", "system", "tools"]), anything))
def test_no_request_makes_it_raise(body: dict[str, Any]) -> None:
    """What is not understood is left out or named."""
    content(body)
