"""Cohere, Ollama, Mistral and Bedrock: what their payloads say, and what was asked, as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

from streamspan._answer import Answer
from streamspan._records import IMAGE, Delta, ProviderError, Request, ToolCallDelta
from streamspan._sessions import find_endpoint, host_name, model_in
from streamspan.providers import Endpoint, Provider, _bedrock_converse, bedrock, cohere, mistral, ollama
from streamspan.providers._openai_chat import read_chunk
from streamspan.providers.bedrock_messages import converse_content, invoke_content
from support.payloads import anything

unhurried = settings(deadline=None, max_examples=200)


def answer_of(read: Callable[[Any], Delta], payloads: list[Any]) -> Answer:
    """Join what payloads say."""
    answer = Answer(Request("chat", "p", "manual"), has_finish_reasons=True, output=None, text_of=None)
    for payload in payloads:
        answer.take(read(payload))
    return answer


def cohere_event(kind: str, index: int | None = None, **message: Any) -> dict[str, Any]:
    return {"type": kind, "index": index, "delta": {"message": message}}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"type": "message-start", "id": "c-1"}, Delta(choice=0, response_id="c-1")),
        (cohere_event("content-delta", 0, content={"text": "Hi"}), Delta("Hi", 0)),
        (cohere_event("content-delta", 0, content={"thinking": "Hm"}), Delta(choice=0, reasoning="Hm")),
        (cohere_event("tool-plan-delta", tool_plan="I look"), Delta(choice=0, reasoning="I look")),
        (
            cohere_event("tool-call-start", 1, tool_calls={"id": "t", "function": {"name": "f", "arguments": ""}}),
            Delta(choice=0, tool_calls=[ToolCallDelta(1, "t", "f", "")]),
        ),
        (
            cohere_event("tool-call-delta", 1, tool_calls={"function": {"arguments": '{"a"'}}),
            Delta(choice=0, tool_calls=[ToolCallDelta(1, arguments='{"a"')]),
        ),
        ({"type": "citation-start", "index": 0}, Delta()),
    ],
)
def test_cohere_events(payload: dict[str, Any], expected: Delta) -> None:
    """Each event of Cohere's says its part."""
    assert cohere.read_event(payload) == expected


def test_the_end_of_cohere_brings_the_models_tokens() -> None:
    """The usage is what the model took and not what is billed, and counts that the SDK makes floats are whole."""
    usage = {"billed_units": {"input_tokens": 2.0}, "tokens": {"input_tokens": 66.0, "output_tokens": 5.0}}
    delta = cohere.read_event({"type": "message-end", "delta": {"finish_reason": "MAX_TOKENS", "usage": usage}})
    assert delta.is_terminal
    assert (delta.finish_reason, delta.usage) == ("MAX_TOKENS", {"input_tokens": 66, "output_tokens": 5})


@pytest.mark.parametrize("reason", ["ERROR", "TIMEOUT"])
def test_an_answer_of_cohere_may_end_as_a_failure(reason: str) -> None:
    """A reason that means a failure is the error's type, and no end marker."""
    delta = cohere.read_event({"type": "message-end", "delta": {"finish_reason": reason, "error": "no"}})
    assert delta.error == ProviderError(reason, "no")
    assert not delta.is_terminal


def test_ollama_ends_with_its_counts() -> None:
    """The last line has the reason and the counts; the lines before it have the text and the thoughts."""
    lines = [
        {"model": "m", "message": {"content": "", "thinking": "Hm"}, "done": False},
        {"model": "m", "message": {"content": "Hi"}, "done": False},
        {"model": "m", "message": {"content": ""}, "done": True, "done_reason": "length"}
        | {"prompt_eval_count": 7, "eval_count": 2},
    ]
    answer = answer_of(ollama.read_line, lines)
    assert (answer.character_count, answer.reasoning_count) == (2, 2)
    assert answer.usage == {"input_tokens": 7, "output_tokens": 2}
    assert answer.reasons(is_started=True) == ("length",)
    assert answer.response_model == "m"


def test_two_calls_of_ollama_without_index_and_id_are_two() -> None:
    """Tool calls come whole, so that each is a new one, also where nothing tells them apart."""
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    answer = answer_of(ollama.read_line, [{"message": {"tool_calls": [call]}}, {"message": {"tool_calls": [call]}}])
    assert answer.tool_call_count == 2
    assert answer.character_count == 2 * len('{"a": 1}')


def test_ollama_reports_an_error_in_a_line() -> None:
    """An error is a sentence, which is no type."""
    assert ollama.read_line({"error": "out of memory"}).error == ProviderError("_OTHER", "out of memory")


def test_mistral_reads_what_the_event_holds() -> None:
    """The SDK's events hold the chunk; on the wire there is the chunk itself."""
    chunk = {"id": "i", "model": "m", "choices": [{"index": 0, "delta": {"content": "Hi"}}]}
    assert mistral.read_event({"data": chunk}) == mistral.read_event(chunk) == read_chunk(chunk)


def test_thoughts_among_the_parts_of_a_delta_are_reasoning() -> None:
    """Mistral's reasoning models send lists of parts."""
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}]}, {"type": "text", "text": "Hi"}]
    delta = read_chunk({"choices": [{"index": 0, "delta": {"content": parts}}]})
    assert (delta.text, delta.reasoning) == ("Hi", "Hm")


def test_groq_sends_its_usage_under_a_name_of_its_own() -> None:
    """The last chunk of Groq has the usage in `x_groq`, also if nobody asked for it."""
    chunk = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": None}
    delta = read_chunk({**chunk, "x_groq": {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}})
    assert delta.usage == {"input_tokens": 3, "output_tokens": 4}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ({"messageStart": {"role": "assistant"}}, Delta(choice=0)),
        ({"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}}, Delta("Hi", 0)),
        (
            {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm"}}}},
            Delta(choice=0, reasoning="Hm"),
        ),
        ({"contentBlockDelta": {"delta": {"image": {"source": {}}}}}, Delta(choice=0, media=IMAGE)),
        (
            {"contentBlockStart": {"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "t", "name": "f"}}}},
            Delta(choice=0, tool_calls=[ToolCallDelta(1, "t", "f")]),
        ),
        (
            {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{}"}}}},
            Delta(choice=0, tool_calls=[ToolCallDelta(1, arguments="{}")]),
        ),
        ({"messageStop": {"stopReason": "end_turn"}}, Delta(choice=0, finish_reason="end_turn", is_terminal=True)),
        (
            {"metadata": {"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}},
            Delta(usage={"input_tokens": 1, "output_tokens": 2}),
        ),
        ({"throttlingException": {"message": "slow"}}, Delta(error=ProviderError("throttlingException", "slow"))),
        ({"somethingNew": {}}, Delta()),
    ],
)
def test_converse_events(payload: dict[str, Any], expected: Delta) -> None:
    """Each event of Converse says its part."""
    assert _bedrock_converse.read_event(payload) == expected


def test_cached_tokens_of_bedrock_are_input_tokens() -> None:
    """Converse counts input without the cache, the conventions with it."""
    usage = {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 10, "cacheWriteInputTokens": 20}
    assert answer_of(_bedrock_converse.read_event, [{"metadata": {"usage": usage}}]).usage == {
        "input_tokens": 35,
        "output_tokens": 2,
        "cache_read.input_tokens": 10,
        "cache_write.input_tokens": 20,
    }


def _chunk(payload: Any) -> dict[str, Any]:
    return {"chunk": {"bytes": json.dumps(payload).encode()}}


@pytest.mark.parametrize(
    "payload",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}},
        {"contentBlockDelta": {"delta": {"text": "Hi"}}},
        {"outputText": "Hi", "index": 0},
        {"generation": "Hi", "stop_reason": None},
        {"outputs": [{"text": "Hi", "stop_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": "Hi"}}]},
        {"choices": [{"text": "Hi", "stop_reason": None}]},
        {"event_type": "text-generation", "text": "Hi"},
    ],
    ids=["anthropic", "nova", "titan", "llama", "mistral", "openai", "deepseek", "cohere"],
)
def test_invoke_model_speaks_the_models_own_format(payload: dict[str, Any]) -> None:
    """A chunk is recognised by its shape, whatever the model is called."""
    delta = bedrock.read_invoke_event(_chunk(payload))
    assert (delta.text, delta.choice) == ("Hi", 0)


def test_the_metrics_of_the_last_chunk_are_its_marker_and_usage() -> None:
    """Bedrock adds its counts to the last chunk of any format."""
    metrics = {"inputTokenCount": 3, "outputTokenCount": 4, "invocationLatency": 9}
    payload = {"generation": "", "stop_reason": "stop", "amazon-bedrock-invocationMetrics": metrics}
    delta = bedrock.read_invoke_event(_chunk(payload))
    assert delta.is_terminal
    assert (delta.finish_reason, delta.usage) == ("stop", {"input_tokens": 3, "output_tokens": 4})


@pytest.mark.parametrize(
    ("provider", "path", "body", "expected"),
    [
        (
            cohere.COHERE,
            "/v2/chat",
            {"temperature": 1, "p": 0.5, "k": 3, "max_tokens": 9, "seed": 1, "stop_sequences": ["x"]}
            | {"response_format": {"type": "json_object"}},
            {"temperature": 1.0, "top_p": 0.5, "top_k": 3, "max_tokens": 9, "seed": 1, "stop_sequences": ["x"]},
        ),
        (
            ollama.OLLAMA,
            "/api/chat",
            {"options": {"temperature": 0, "top_k": 3, "num_predict": 9, "seed": 1, "stop": ["x"]}, "think": "high"},
            {"temperature": 0.0, "top_k": 3, "max_tokens": 9, "seed": 1, "stop_sequences": ["x"]}
            | {"reasoning.level": "high"},
        ),
        (
            mistral.MISTRAL,
            "/v1/chat/completions",
            {"temperature": 0.5, "random_seed": 1, "max_tokens": 9, "stop": "x"},
            {"temperature": 0.5, "seed": 1, "max_tokens": 9, "stop_sequences": ["x"]},
        ),
        (
            bedrock.BEDROCK,
            "/model/m/converse-stream",
            {"inferenceConfig": {"temperature": 0.5, "topP": 1, "maxTokens": 9, "stopSequences": ["x"]}},
            {"temperature": 0.5, "top_p": 1.0, "max_tokens": 9, "stop_sequences": ["x"]},
        ),
        (
            bedrock.BEDROCK,
            "/model/m/invoke-with-response-stream",
            {"temperature": 0.5, "top_k": 3, "max_tokens": 9, "stop_sequences": ["x"]},
            {"temperature": 0.5, "top_k": 3, "max_tokens": 9, "stop_sequences": ["x"]},
        ),
    ],
    ids=["cohere", "ollama", "mistral", "converse", "invoke"],
)
def test_request_attributes(provider: Provider, path: str, body: dict[str, Any], expected: dict[str, Any]) -> None:
    """The parameters of a request have their attributes."""
    endpoint = _endpoint(provider, path)
    found = {name.removeprefix("gen_ai.request."): value for name, value in endpoint.attributes(body).items()}
    assert {name: value for name, value in found.items() if not name.startswith("gen_ai.")} == expected


def _endpoint(provider: Provider, path: str) -> Endpoint:
    endpoint = find_endpoint(provider, "POST", path)
    assert endpoint is not None
    return endpoint


def test_the_model_of_bedrock_is_in_the_path() -> None:
    """The path names the model, and the ids of inference profiles have characters that are encoded there."""
    path = "/model/eu.anthropic.demo-v1%3A0/converse-stream"
    assert model_in(_endpoint(bedrock.BEDROCK, path), path) == "eu.anthropic.demo-v1:0"
    assert host_name(bedrock.BEDROCK, "bedrock-runtime.eu-central-1.amazonaws.com") == "aws.bedrock"


def test_what_was_asked_of_converse() -> None:
    """Messages, instructions and tools have the conventions' shapes, and binary data stay out."""
    content = converse_content(
        {
            "system": [{"text": "Be short."}],
            "messages": [
                {"role": "user", "content": [{"text": "Hi"}, {"image": {"format": "png", "source": {"bytes": b"x"}}}]},
                {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"json": {"b": 2}}]}}]},
            ],
            "toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]},
        }
    )
    image = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    call = {"type": "tool_call", "id": "t", "name": "f", "arguments": {"a": 1}}
    assert content == {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be short."}],
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}, image]},
            {"role": "assistant", "parts": [call]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "t", "response": [{"b": 2}]}]},
        ],
        "gen_ai.tool.definitions": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
    }


def test_what_was_asked_of_a_model_by_prompt() -> None:
    """A prompt of InvokeModel is a user's message."""
    expected = [{"role": "user", "parts": [{"type": "text", "content": "Hi"}]}]
    assert invoke_content({"prompt": "Hi"}) == {"gen_ai.input.messages": expected}


_READERS = [cohere.read_event, cohere.read_whole, ollama.read_line, mistral.read_event, bedrock.read_body]
_READERS += [_bedrock_converse.read_event, bedrock.read_invoke_event, _bedrock_converse.read_whole, bedrock.read_counts]


@pytest.mark.parametrize("read", _READERS, ids=lambda read: f"{read.__module__.rpartition('.')[2]}.{read.__name__}")
def test_readers_take_anything(read: Callable[[Any], Delta]) -> None:
    """Whatever is in a payload, a reader returns a delta."""

    @unhurried
    @given(anything)
    def takes(payload: Any) -> None:
        assert isinstance(read(payload), Delta)

    takes()
