"""Requests of OpenAI's three APIs are read into the shapes that the conventions' JSON schemas ask for."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan.providers.openai_messages import chat_content, completion_content, responses_content

unhurried = settings(deadline=None, max_examples=100)

INPUT, SYSTEM, TOOLS = "gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions"
PICTURE = "data:image/png;base64," + "iVBORw0KGgo" * 1000

# What the schemas require of each type of part, beyond its type.
REQUIRED: dict[str, dict[str, Any]] = {
    "text": {"content": str},
    "reasoning": {"content": str},
    "tool_call": {"name": str},
    "tool_call_response": {"response": object},
    "server_tool_call": {"name": str, "server_tool_call": dict},
    "blob": {"modality": str, "content": str},
    "uri": {"modality": str, "uri": str},
    "file": {"modality": str, "file_id": str},
}


def check_part(part: dict[str, Any]) -> None:
    """Check a part against its schema."""
    assert isinstance(part["type"], str)
    for name, kind in REQUIRED.get(part["type"], {}).items():
        assert isinstance(part[name], kind)


def check(content: dict[str, Any]) -> None:
    """Check a whole result against the schemas; keys without a value are left out."""
    assert set(content) <= {INPUT, SYSTEM, TOOLS}
    assert all(content.values())
    for message in content.get(INPUT, []):
        assert isinstance(message["role"], str)
        for part in message["parts"]:
            check_part(part)
    for part in content.get(SYSTEM, []):
        check_part(part)
    for tool in content.get(TOOLS, []):
        assert isinstance(tool["type"], str)
        assert isinstance(tool["name"], str)


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the messages of one turn of the user."""
    return [{"role": "user", "parts": list(parts)}]


# --- chat completions --------------------------------------------------------------------------------------------


def test_a_conversation_with_tools_is_read() -> None:
    """Roles stay, system messages stay in the history, arguments are parsed, results refer to their call."""
    body = {
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?", "name": "ann"},
            {
                "role": "assistant",
                "content": None,
                "reasoning_content": "They ask.",
                "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}},
                    {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
                    {"id": "c3", "type": "function", "function": {"name": "f", "arguments": '{"half'}},
                ],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "rainy"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "one"}]},
            {"role": "assistant", "content": "It rains.", "refusal": "No more."},
        ],
    }
    content = chat_content(body)
    check(content)
    assert content == {
        INPUT: [
            {"role": "developer", "parts": [{"type": "text", "content": "Be brief."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Weather?"}], "name": "ann"},
            {
                "role": "assistant",
                "parts": [
                    {"type": "reasoning", "content": "They ask."},
                    {"type": "tool_call", "id": "c1", "name": "weather", "arguments": {"city": "Paris"}},
                    {"type": "tool_call", "id": "c2", "name": "sql", "arguments": "select 1"},
                    {"type": "tool_call", "id": "c3", "name": "f", "arguments": '{"half'},
                ],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "rainy"}]},
            {
                "role": "tool",
                "parts": [{"type": "tool_call_response", "id": "c2", "response": [{"type": "text", "content": "one"}]}],
            },
            {
                "role": "assistant",
                "parts": [{"type": "text", "content": "It rains."}, {"type": "text", "content": "No more."}],
            },
        ]
    }


def test_legacy_function_calls_are_read() -> None:
    """`function_call`, the function role and `functions` are what tools were before."""
    content = chat_content(
        {
            "messages": [
                {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}, "audio": {"id": "a1"}},
                {"role": "function", "name": "f", "content": "1"},
            ],
            "functions": [{"name": "f", "parameters": {"type": "object"}}],
        }
    )
    check(content)
    assert content == {
        INPUT: [
            {
                "role": "assistant",
                "parts": [
                    {"type": "tool_call", "id": None, "name": "f", "arguments": {}},
                    {"type": "file", "modality": "audio", "file_id": "a1"},
                ],
            },
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": None, "response": "1"}]},
        ],
        TOOLS: [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({"type": "text", "text": "a"}, {"type": "text", "content": "a"}),
        ("a", {"type": "text", "content": "a"}),
        ({"text": "a"}, {"type": "text", "content": "a"}),
        ({"type": "refusal", "refusal": "no"}, {"type": "text", "content": "no"}),
        ({"type": "thinking", "thinking": "hm"}, {"type": "reasoning", "content": "hm"}),
        (
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            {"type": "uri", "modality": "image", "uri": "https://x.test/a.png"},
        ),
        (
            {"type": "image_url", "image_url": {"url": PICTURE}},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""},
        ),
        (
            {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}},
            {"type": "uri", "modality": "video", "uri": "https://x.test/a.mp4"},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg" * 1000, "format": "wav"}},
            {"type": "blob", "modality": "audio", "mime_type": "audio/wav", "content": ""},
        ),
        ({"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "modality": "document", "file_id": "f1"}),
        (
            {
                "type": "file",
                "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + "JVBER" * 1000},
            },
            {"type": "blob", "modality": "document", "mime_type": "application/pdf", "content": ""},
        ),
        (
            {"type": "file", "file": {"file_data": "JVBER" * 1000}},
            {"type": "blob", "modality": "document", "mime_type": None, "content": ""},
        ),
        ({"type": "hologram", "data": "x" * 1000}, {"type": "hologram"}),
    ],
)
def test_parts_of_a_chat_message_are_read(item: Any, part: dict[str, Any]) -> None:
    """Text stays, references stay, binary data are named and not copied, unknown parts are named."""
    content = chat_content({"messages": [{"role": "user", "content": [item]}]})
    check(content)
    assert content == {INPUT: user(part)}


def test_chat_tools_are_defined() -> None:
    """Functions with their schema, custom tools and those of the provider by name."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    content = chat_content(
        {
            "tools": [
                {
                    "type": "function",
                    "function": {"name": "weather", "description": "d", "parameters": schema, "strict": True},
                },
                {"type": "custom", "custom": {"name": "sql", "format": {"type": "text"}}},
                {"type": "web_search"},
            ]
        }
    )
    check(content)
    assert content == {
        TOOLS: [
            {"type": "function", "name": "weather", "description": "d", "parameters": schema},
            {"type": "custom", "name": "sql"},
            {"type": "web_search", "name": "web_search"},
        ]
    }


# --- legacy completions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "texts"),
    [("Say", ["Say"]), (["a", "b"], ["a", "b"]), ([1, 2, 3], []), ([[1, 2], [3]], []), (None, []), ("", [""])],
)
def test_prompts_are_messages_of_the_user(prompt: Any, texts: list[str]) -> None:
    """One message per prompt; token ids have no text."""
    content = completion_content({"prompt": prompt})
    check(content)
    assert content.get(INPUT, []) == [each for text in texts for each in user({"type": "text", "content": text})]


# --- responses ---------------------------------------------------------------------------------------------------


def test_instructions_of_a_response_are_system_instructions() -> None:
    """They are apart from the history, where a system message may stand as well."""
    content = responses_content(
        {
            "instructions": "Never joke.",
            "input": [{"role": "system", "content": "Be nice."}, {"role": "user", "content": "Joke!"}],
        }
    )
    check(content)
    assert content == {
        SYSTEM: [{"type": "text", "content": "Never joke."}],
        INPUT: [
            {"role": "system", "parts": [{"type": "text", "content": "Be nice."}]},
            {"role": "user", "parts": [{"type": "text", "content": "Joke!"}]},
        ],
    }
    assert responses_content({"input": "Hi"}) == {INPUT: user({"type": "text", "content": "Hi"})}


def test_the_items_of_a_response_become_turns() -> None:
    """Thoughts and calls in a row are one turn of the assistant; outputs answer their calls."""
    content = responses_content(
        {
            "input": [
                {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go"}]},
                {
                    "type": "reasoning",
                    "id": "r1",
                    "summary": [{"type": "summary_text", "text": "Hm."}],
                    "content": [{"type": "reasoning_text", "text": "Deep."}],
                    "encrypted_content": "x" * 1000,
                },
                {"type": "function_call", "id": "i1", "call_id": "c1", "name": "f", "arguments": '{"a": 1}'},
                {"type": "custom_tool_call", "call_id": "c2", "name": "sql", "input": "select 1"},
                {"type": "web_search_call", "id": "ws1", "status": "completed"},
                {"type": "mcp_call", "id": "m1", "name": "roll", "server_label": "dice"},
                {"type": "function_call_output", "call_id": "c1", "output": "1"},
                {
                    "type": "custom_tool_call_output",
                    "call_id": "c2",
                    "output": [{"type": "input_image", "image_url": PICTURE}],
                },
                {
                    "type": "computer_call_output",
                    "call_id": "c3",
                    "output": {"type": "computer_screenshot", "image_url": PICTURE},
                },
                {"type": "reasoning", "id": "r2", "summary": []},
                {"type": "item_reference", "id": "i9"},
                {
                    "role": "assistant",
                    "content": [{"type": "output_text", "text": "Done"}, {"type": "refusal", "refusal": "No"}],
                },
            ]
        }
    )
    check(content)
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    assert content[INPUT] == [
        *user({"type": "text", "content": "Go"}),
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "reasoning", "content": "Deep."},
                {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"a": 1}},
                {"type": "tool_call", "id": "c2", "name": "sql", "arguments": "select 1"},
                {
                    "type": "server_tool_call",
                    "id": "ws1",
                    "name": "web_search",
                    "server_tool_call": {"type": "web_search_call"},
                },
                {"type": "server_tool_call", "id": "m1", "name": "roll", "server_tool_call": {"type": "mcp_call"}},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": "1"}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c2", "response": [blob]}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c3", "response": blob}]},
        {"role": "assistant", "parts": [{"type": "text", "content": "Done"}, {"type": "text", "content": "No"}]},
    ]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        (
            {"type": "input_image", "image_url": "https://x.test/a.png"},
            {"type": "uri", "modality": "image", "uri": "https://x.test/a.png"},
        ),
        ({"type": "input_image", "file_id": "f1"}, {"type": "file", "modality": "image", "file_id": "f1"}),
        ({"type": "input_file", "file_id": "f1"}, {"type": "file", "modality": "document", "file_id": "f1"}),
        (
            {"type": "input_file", "file_url": "https://x.test/a.pdf"},
            {"type": "uri", "modality": "document", "uri": "https://x.test/a.pdf"},
        ),
        (
            {"type": "input_file", "file_data": PICTURE},
            {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""},
        ),
    ],
)
def test_parts_of_a_response_input_are_read(item: Any, part: dict[str, Any]) -> None:
    """The same kinds as in chat, in the flatter shape of this API."""
    content = responses_content({"input": [{"role": "user", "content": [item]}]})
    check(content)
    assert content == {INPUT: user(part)}


def test_an_image_without_a_place_is_left_out() -> None:
    """There is nothing to say about it."""
    assert responses_content({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}) == {INPUT: user()}


def test_response_tools_are_defined() -> None:
    """Functions are flat here; servers are named by their label."""
    content = responses_content(
        {
            "tools": [
                {"type": "function", "name": "f", "description": None, "parameters": {}, "strict": False},
                {"type": "file_search", "vector_store_ids": ["v"]},
                {"type": "mcp", "server_label": "dice", "server_url": "https://x.test"},
                {"type": "custom", "name": "sql"},
            ]
        }
    )
    check(content)
    assert content == {
        TOOLS: [
            {"type": "function", "name": "f", "description": None, "parameters": {}},
            {"type": "file_search", "name": "file_search"},
            {"type": "mcp", "name": "dice"},
            {"type": "custom", "name": "sql"},
        ]
    }


# --- odd shapes --------------------------------------------------------------------------------------------------

WORDS = [
    "messages", "input", "prompt", "instructions", "tools", "functions", "role", "content", "type", "text", "tool_calls",
    "function", "function_call", "name", "arguments", "image_url", "url", "input_audio", "file", "file_data", "file_id",
    "summary", "output", "call_id", "id", "custom", "audio", "refusal", "parameters", "format", "video_url", "tool_call_id",
]  # fmt: skip
VALUES = [
    "user", "tool", "assistant", "function", "function_call_output", "web_search_call", "input_image", "input_file", "file",
    "input_audio", "image_url", "reasoning", "mcp", "data:", "data:,", "{}", "{", "[]", "",
]  # fmt: skip
odd_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*WORDS, *VALUES]) | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)
bodies = st.dictionaries(st.sampled_from(WORDS[:6]), odd_json, max_size=4)


@pytest.mark.parametrize("read", [chat_content, completion_content, responses_content])
@given(body=bodies)
@unhurried
def test_odd_requests_are_read_without_a_fault(read: Any, body: dict[str, Any]) -> None:
    """Any JSON gives a valid result and is left as it was."""
    before = repr(body)
    check(read(body))
    assert repr(body) == before


@given(st.lists(odd_json, max_size=4))
@unhurried
def test_odd_messages_and_items_are_read_without_a_fault(items: list[Any]) -> None:
    """The same with the odd shapes further in."""
    for kind in ("function_call", "function_call_output", "reasoning", "computer_call", "message"):
        item = {"type": kind, "role": "user", "content": items, "summary": items, "output": items, "arguments": items}
        check(responses_content({"input": [item, *items], "tools": items}))
    for role in ("user", "assistant", "tool"):
        message = {"role": role, "content": items, "tool_calls": items}
        check(chat_content({"messages": [message, *items], "tools": items, "functions": items}))


def test_the_result_shares_nothing_with_the_request() -> None:
    """The caller may change the request while the stream runs."""
    parameters = {"type": "object", "required": ["a"]}
    body = {
        "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}],
        "messages": [{"role": "tool", "content": {"rows": [1]}}],
    }
    content = chat_content(body)
    before = copy.deepcopy(content)
    parameters["required"] = ["b"]
    body["messages"][0]["content"]["rows"].append(2)  # type: ignore[index] # the test knows its own shape
    assert content == before


def test_iterators_are_left_alone() -> None:
    """What can be read once is the SDK's to read."""
    messages = iter([{"role": "user", "content": "a"}])
    assert chat_content({"messages": messages}) == {}
    assert next(messages) == {"role": "user", "content": "a"}


def test_deep_data_and_other_types_come_to_an_end() -> None:
    """A schema within itself is cut, and an object that is no data is named."""
    deep: dict[str, Any] = {}
    deep["self"] = deep
    content = chat_content({"functions": [{"name": "f", "parameters": deep, "description": object()}]})
    assert "<dict>" in json.dumps(content)
    tools: Any = content[TOOLS]
    assert tools[0]["description"] == "<object>"
