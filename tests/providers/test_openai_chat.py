"""OpenAI chat completions and completions: what a chunk says, as an SDK object and as JSON, right or wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from streamspan._records import AUDIO, Delta, ProviderError, ToolCallDelta
from streamspan.providers._openai_chat import (
    completion_attributes,
    completion_choices,
    is_usage_only,
    output_type,
    read_chunk,
    read_completion,
    read_error,
    read_usage,
    read_whole,
    request_attributes,
    text_of,
    with_usage,
)
from support.payloads import anything, check, make_object, numbers, objects, or_missing, plain, usage_with, words

unhurried = settings(deadline=None, max_examples=200)


def as_object(kind: type[Any], payload: Any) -> Any:
    """Make the SDK's object of a payload, as the SDK does."""
    return make_object(kind, payload)


def chunk(delta: Any = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": fields.pop("finish_reason", None)}
    return {"id": "c-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice], **fields}


def known(**fields: Any) -> Delta:
    """Return what a chunk with the usual names says."""
    given: dict[str, Any] = {"choice": 0, "response_id": "c-1", "response_model": "m-1"}
    return Delta(**given | fields)


CALL = {"index": 1, "id": "call-1", "type": "function", "function": {"name": "look", "arguments": '{"a"'}}
CHUNKS: dict[str, tuple[dict[str, Any], Delta]] = {
    "text": (chunk({"content": "Hallo"}), known(text="Hallo")),
    "role": (chunk({"role": "assistant", "content": ""}), known()),
    "null content": (chunk({"content": None}), known()),
    "refusal": (chunk({"refusal": "No."}), known(refusal="No.")),
    "reasoning of DeepSeek": (chunk({"reasoning_content": "hm"}), known(reasoning="hm")),
    "reasoning of OpenRouter": (chunk({"reasoning": "hm"}), known(reasoning="hm")),
    "content in parts": (chunk({"content": [{"type": "text", "text": "a"}, {"text": "b"}, "c"]}), known(text="ab")),
    "tool call": (chunk({"tool_calls": [CALL]}), known(tool_calls=[ToolCallDelta(1, "call-1", "look", '{"a"')])),
    "arguments": (
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
        known(tool_calls=[ToolCallDelta(0, "", "", ": 1}")]),
    ),
    "tool call without index": (
        chunk({"tool_calls": [{"id": "x", "function": {"name": "f"}}]}),
        known(tool_calls=[ToolCallDelta(None, "x", "f")]),
    ),
    "old function call": (
        chunk({"function_call": {"name": "f", "arguments": "{}"}}),
        known(tool_calls=[ToolCallDelta(0, "", "f", "{}")]),
    ),
    "audio": (chunk({"audio": {"data": "AAAA", "transcript": "Hal"}}), known(text="Hal", media=AUDIO)),
    "finish": (chunk(finish_reason="stop"), known(finish_reason="stop", attributes={})),
    "finish with tier": (
        chunk(finish_reason="length", service_tier="default", system_fingerprint="fp"),
        known(
            finish_reason="length",
            attributes={"openai.response.service_tier": "default", "openai.response.system_fingerprint": "fp"},
        ),
    ),
    "usage": (
        {"id": "c-1", "model": "m-1", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 0}},
        known(choice=None, usage={"input_tokens": 3, "output_tokens": 0}, attributes={}),
    ),
    "two choices": (
        {
            "id": "c-1",
            "model": "m-1",
            "choices": [{"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}],
        },
        known(text="b", choice=1, others=[Delta("a", 0)]),
    ),
    "null choices": ({"id": "c-1", "model": "m-1", "choices": None}, known(choice=None)),
    "no choices": ({"id": "c-1", "model": "m-1"}, known(choice=None)),
    "choice without delta": ({"id": "c-1", "model": "m-1", "choices": [{"index": 0}]}, known()),
    "null delta": (
        {"id": "c-1", "model": "m-1", "choices": [{"index": 0, "delta": None, "finish_reason": "stop"}]},
        known(finish_reason="stop", attributes={}),
    ),
    "null index": (
        {"id": "c-1", "model": "m-1", "choices": [{"index": None, "delta": {"content": "a"}}]},
        known(text="a"),
    ),
    "empty names": ({"id": "", "model": None, "choices": []}, Delta()),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_chunk_says_the_same_as_json_and_as_an_object(name: str) -> None:
    """In every shape that vendors send."""
    payload, delta = CHUNKS[name]
    assert read_chunk(payload) == delta
    assert read_chunk(as_object(ChatCompletionChunk, payload)) == delta


def test_a_whole_answer_has_its_message() -> None:
    """Everything that chunks say, at once."""
    payload = {
        "id": "c-1",
        "model": "m-1",
        "service_tier": "default",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hallo"}, "finish_reason": "stop"},
            {
                "index": 1,
                "message": {
                    "content": None,
                    "tool_calls": [
                        {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                        {"id": "y", "type": "custom", "custom": {"name": "g", "input": "free"}},
                    ],
                },
                "finish_reason": "tool_calls",
            },
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    }
    calls = [ToolCallDelta(None, "x", "f", "{}"), ToolCallDelta(None, "y", "g", "free")]
    expected = known(
        text="Hallo",
        finish_reason="stop",
        usage={"input_tokens": 3, "output_tokens": 2},
        attributes={"openai.response.service_tier": "default"},
        others=[Delta("", 1, tool_calls=calls, finish_reason="tool_calls")],
    )
    assert read_whole(payload) == expected
    assert read_whole(as_object(ChatCompletion, payload)) == expected


def test_a_completion_has_its_text() -> None:
    """A chunk and the whole have the same shape."""
    payload = {
        "id": "c-1",
        "model": "m-1",
        "choices": [
            {"index": 0, "text": "a", "finish_reason": None},
            {"index": 1, "text": "b", "finish_reason": "stop"},
        ],
    }
    expected = known(text="a", others=[Delta("b", 1, finish_reason="stop")])
    assert read_completion(payload) == expected
    assert read_completion(as_object(Completion, payload)) == expected


# --- usage and errors ------------------------------------------------------------------------------------------------------------

USAGES: list[tuple[Any, dict[str, int]]] = [
    ({"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}, {"input_tokens": 3, "output_tokens": 2}),
    ({"input_tokens": 3, "output_tokens": 2}, {"input_tokens": 3, "output_tokens": 2}),
    ({"prompt_tokens": 0, "completion_tokens": 0}, {"input_tokens": 0, "output_tokens": 0}),
    ({"prompt_tokens": None, "completion_tokens": "2"}, {}),
    (
        {
            "prompt_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 4, "audio_tokens": 5},
        },
        {
            "input_tokens": 3,
            "cache_read.input_tokens": 1,
            "audio.input_tokens": 2,
            "reasoning.output_tokens": 4,
            "audio.output_tokens": 5,
        },
    ),
    ({"prompt_tokens_details": {"audio_tokens": 0}, "completion_tokens_details": {"audio_tokens": 0}}, {}),
    ({"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 6}}, {"cache_read.input_tokens": 0, "cache_write.input_tokens": 6}),
    ({"output_tokens_details": {"reasoning_tokens": 7}}, {"reasoning.output_tokens": 7}),
    ({"prompt_token_details": {"cached_tokens": 8}}, {"cache_read.input_tokens": 8}),
    ({"prompt_tokens_details": None, "completion_tokens_details": []}, {}),
    (None, {}),
    ("many", {}),
    ([], {}),
]  # fmt: skip


@pytest.mark.parametrize(("usage", "counts"), USAGES)
def test_usage_is_what_was_counted(usage: Any, counts: dict[str, int]) -> None:
    """A count of 0 that was sent is a count; of audio only what there was."""
    assert read_usage(usage) == counts


ERRORS: list[tuple[Any, ProviderError]] = [
    ({"message": "busy", "type": "server_error", "code": "overloaded"}, ProviderError("overloaded", "busy")),
    ({"message": "busy", "type": "server_error", "code": None}, ProviderError("server_error", "busy")),
    ({"message": "busy", "code": 429}, ProviderError("429", "busy")),
    ({"message": None}, ProviderError("_OTHER", "")),
    ("busy", ProviderError("_OTHER", "busy")),
    (["busy"], ProviderError("_OTHER", "")),
    (None, ProviderError("_OTHER", "")),
]


@pytest.mark.parametrize(("error", "expected"), ERRORS)
def test_an_error_is_its_code_then_its_type(error: Any, expected: ProviderError) -> None:
    """Whatever vendors put there."""
    assert read_error(error) == expected


def test_an_error_chunk_on_the_wire_is_an_error() -> None:
    """The SDK raises it; raw readers see it here."""
    payload = {"error": {"message": "busy", "code": "overloaded"}, "usage": {"prompt_tokens": 3}}
    delta = read_chunk(payload)
    assert (delta.error, delta.usage) == (ProviderError("overloaded", "busy"), {"input_tokens": 3})


# --- the shortcut ------------------------------------------------------------------------------------------------------------------


def test_the_shortcut_is_taken_for_plain_text_only() -> None:
    """An SDK's chunk with one choice that says nothing but its text."""
    plain = as_object(ChatCompletionChunk, chunk({"content": "Hallo", "role": "assistant"}))
    assert text_of(plain) == "Hallo"
    assert text_of(as_object(ChatCompletionChunk, chunk({"content": ""}))) is None
    assert text_of(chunk({"content": "Hallo"})) is None
    for odd in (None, 5, "text", object(), as_object(ChatCompletionChunk, {"choices": [None]})):
        assert text_of(odd) is None


def messages(**index: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    """Return deltas, or without an index the messages of whole answers."""
    function = or_missing(name=words, arguments=words)
    call = or_missing(id=words, type=st.just("function"), function=function, **index)
    return or_missing(
        role=st.sampled_from(["assistant", "tool"]),
        content=words,
        refusal=words,
        reasoning_content=words,
        reasoning=words,
        tool_calls=st.lists(call, max_size=2),
        function_call=st.fixed_dictionaries({"name": words}, optional={"arguments": words}),
        audio=or_missing(id=words, data=words, transcript=words, expires_at=numbers),
    )


deltas = messages(index=numbers)
usages = usage_with(
    "prompt_tokens",
    completion_tokens=numbers,
    total_tokens=numbers,
    prompt_tokens_details=or_missing(cached_tokens=numbers, audio_tokens=numbers, cache_write_tokens=numbers),
    completion_tokens_details=or_missing(reasoning_tokens=numbers, audio_tokens=numbers),
)
TIER = {"service_tier": st.sampled_from(["default", "flex"])}
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "function_call"])


def responses(
    more: Mapping[str, st.SearchStrategy[Any]], **choice: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    return or_missing(
        id=words,
        model=words,
        object=words,
        created=numbers,
        choices=st.lists(or_missing(index=st.integers(0, 3), finish_reason=reasons, **choice), max_size=3),
        usage=usages,
        system_fingerprint=words,
        **more,
    )


SAME: dict[type[Any], tuple[Callable[[Any], Delta], st.SearchStrategy[dict[str, Any]]]] = {
    ChatCompletionChunk: (read_chunk, responses(TIER, delta=deltas)),
    ChatCompletion: (read_whole, responses(TIER, message=messages())),
    Completion: (read_completion, responses({}, text=words)),
}


@pytest.mark.parametrize("kind", SAME)
@unhurried
@given(data=st.data())
def test_json_and_object_say_the_same(kind: type[Any], data: st.DataObject) -> None:
    """For every payload that a vendor could send: fields missing, null or empty."""
    read, payloads = SAME[kind]
    payload = data.draw(payloads)
    delta = read(payload)
    check(delta)
    assert plain(read(as_object(kind, payload))) == plain(delta)


@unhurried
@given(responses(TIER, delta=deltas))
def test_the_shortcut_says_what_the_reader_says(payload: dict[str, Any]) -> None:
    """When it is taken, the reader would have found that text of the first choice and nothing else but names."""
    item = as_object(ChatCompletionChunk, payload)
    said = text_of(item)
    if said is not None:
        names: dict[str, Any] = {"response_id": payload.get("id") or "", "response_model": payload.get("model") or ""}
        assert read_chunk(item) == Delta(said, 0, **names)
        assert said


@pytest.mark.parametrize("read", [read_chunk, read_whole, read_completion])
@unhurried
@given(payload=objects | anything)
def test_nothing_makes_a_reader_raise(read: Callable[[Any], Delta], payload: Any) -> None:
    """Whatever JSON it is, as JSON and as the SDK's object, there is a well-formed delta."""
    check(read(payload))
    check(read(as_object(ChatCompletionChunk, payload)))


@unhurried
@given(payload=objects | anything)
def test_nothing_makes_the_shortcut_raise(payload: Any) -> None:
    """It is text that is not empty, or None."""
    said = text_of(as_object(ChatCompletionChunk, payload))
    assert said is None or (type(said) is str and said)


# --- requests -----------------------------------------------------------------------------------------------------------------------

REQUESTS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {}),
    (
        {"temperature": 0, "top_p": 1, "frequency_penalty": 0.5, "presence_penalty": -1, "seed": 7, "max_tokens": 9},
        {
            "gen_ai.request.temperature": 0.0,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.request.frequency_penalty": 0.5,
            "gen_ai.request.presence_penalty": -1.0,
            "gen_ai.request.seed": 7,
            "gen_ai.request.max_tokens": 9,
        },
    ),
    ({"max_tokens": 9, "max_completion_tokens": 8}, {"gen_ai.request.max_tokens": 8}),
    ({"temperature": True, "seed": 1.5, "max_tokens": "9", "top_p": None}, {}),
    ({"stop": "END"}, {"gen_ai.request.stop_sequences": ["END"]}),
    ({"stop": ["a", "b", 3]}, {"gen_ai.request.stop_sequences": ["a", "b"]}),
    ({"stop": 3}, {}),
    ({"n": 2}, {"gen_ai.request.choice.count": 2}),
    ({"n": 1}, {}),
    ({"n": True}, {}),
    ({"reasoning_effort": "low"}, {"gen_ai.request.reasoning.level": "low"}),
    ({"response_format": {"type": "json_schema", "json_schema": {}}}, {"gen_ai.output.type": "json"}),
    ({"response_format": {"type": "text"}}, {"gen_ai.output.type": "text"}),
    ({"response_format": {"type": []}}, {}),
    ({"modalities": ["text", "audio"]}, {"gen_ai.output.type": "speech"}),
    ({"service_tier": "flex"}, {"openai.request.service_tier": "flex"}),
    ({"service_tier": "auto"}, {}),
]


@pytest.mark.parametrize(("body", "attributes"), REQUESTS)
def test_request_parameters_are_attributes(body: dict[str, Any], attributes: dict[str, Any]) -> None:
    """By their names in the conventions, of the types that they have there; chat names its API as well."""
    assert completion_attributes(body) == attributes
    assert request_attributes(body) == {**attributes, "openai.api.type": "chat_completions"}
    assert [type(value) for value in completion_attributes(body).values()] == [type(v) for v in attributes.values()]


@unhurried
@given(
    st.dictionaries(
        st.sampled_from(
            ["n", "stop", "seed", "modalities", "response_format", "temperature", "service_tier", "reasoning_effort"]
        ),
        anything,
    )
)
def test_no_request_makes_it_raise(body: dict[str, Any]) -> None:
    """What is not understood is left out; every value can be an attribute."""
    check(Delta(attributes=request_attributes(body)))
    output_type(body.get("response_format"), body.get("modalities"))
    with_usage(body)


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({}, 1),
        ({"prompt": "a"}, 1),
        ({"prompt": ["a", "b"]}, 2),
        ({"prompt": ["a", "b"], "n": 3}, 6),
        ({"prompt": [1, 2, 3], "n": 2}, 2),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
        ({"prompt": None, "n": None}, 1),
    ],
)
def test_completions_make_a_choice_for_each_prompt(body: dict[str, Any], count: int) -> None:
    """Times `n`; a list of numbers is one prompt in tokens."""
    assert completion_choices(body) == count


def test_usage_is_asked_for_unless_the_caller_has_said() -> None:
    """The caller's body is not changed, and its other stream options are kept."""
    body: dict[str, Any] = {"model": "m", "stream_options": {"include_obfuscation": False}}
    before = copy.deepcopy(body)
    assert with_usage(body) == {"model": "m", "stream_options": {"include_obfuscation": False, "include_usage": True}}
    assert body == before
    assert with_usage({}) == {"stream_options": {"include_usage": True}}
    assert with_usage({"stream_options": None}) == {"stream_options": {"include_usage": True}}
    for said in (True, False, None):
        assert with_usage({"stream_options": {"include_usage": said}}) is None


def test_only_a_chunk_with_nothing_else_is_the_answer_to_that() -> None:
    """A choice, or no usage, and it is the caller's."""
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    cases = [({"choices": [], "usage": usage}, True), ({"choices": [], "usage": None}, False), ({"choices": []}, False)]
    cases += [({"choices": [{"index": 0, "delta": {}}], "usage": usage}, False), ({"usage": usage}, False)]
    for payload, is_only in cases:
        assert is_usage_only(payload) is is_only
        assert is_usage_only(as_object(ChatCompletionChunk, payload)) is is_only
