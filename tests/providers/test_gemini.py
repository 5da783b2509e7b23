"""Gemini's `generateContent`: what a chunk says, as an SDK object and as JSON, and what a request asks for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._answer import Answer
from streamspan._records import AUDIO, IMAGE, Delta, ProviderError, Request, ToolCallDelta
from streamspan._sessions import find_endpoint, host_name, model_in
from streamspan.providers._gemini_chunks import read_chunk
from streamspan.providers._gemini_requests import choices, content, request_attributes
from streamspan.providers.gemini import GEMINI
from support.payloads import anything, check

types = pytest.importorskip("google.genai.types")
unhurried = settings(deadline=None, max_examples=200)


def chunk(*parts: dict[str, Any], finish: str = "", index: int | None = 0, **more: Any) -> dict[str, Any]:
    """Return a chunk with one candidate."""
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    candidate |= {"index": index} if index is not None else {}
    candidate |= {"finishReason": finish} if finish else {}
    return {"candidates": [candidate], **more}


def read(payload: dict[str, Any]) -> Delta:
    """Read a chunk of the wire, and check that the SDK's object of it says the same."""
    delta = read_chunk(payload)
    assert read_chunk(types.GenerateContentResponse.model_validate(payload)) == delta
    return delta


def test_text() -> None:
    """Text is text, of choice 0 where the index is missing; id and model are as sent."""
    payload = chunk({"text": "Hi"}, index=None, responseId="r", modelVersion="gemini-2.5-pro")
    assert read(payload) == Delta("Hi", 0, response_id="r", response_model="gemini-2.5-pro")


def test_thoughts_are_reasoning() -> None:
    """A part that is a thought is reasoning; several parts of a kind are joined."""
    said = read(chunk({"text": "I ", "thought": True}, {"text": "think", "thought": True}, {"text": "so"}))
    assert (said.reasoning, said.text) == ("I think", "so")


def test_empty_text_with_finish() -> None:
    """The last chunk may have an empty text; the finish reason is the provider's word."""
    assert read(chunk({"text": "", "thoughtSignature": "QUJD"}, finish="STOP")) == Delta("", 0, finish_reason="STOP")


def test_unspecified_finish_reason_is_none() -> None:
    """The word for nothing is no finish reason."""
    assert read(chunk({"text": "x"}, finish="FINISH_REASON_UNSPECIFIED")).finish_reason == ""


def test_function_calls() -> None:
    """Each call begins one of its own, also without an id; arguments are JSON, and of no parameters an empty object."""
    said = read(chunk({"functionCall": {"name": "a", "args": {"x": 1}}}, {"functionCall": {"name": "b", "id": "7"}}))
    assert said.tool_calls == [
        ToolCallDelta(None, "", "a", '{"x":1}', begins=True),
        ToolCallDelta(None, "7", "b", "{}", begins=True),
    ]


def test_partial_arguments() -> None:
    """Pieces of arguments are the pieces of their values, and belong to the call before."""
    first = read_chunk(chunk({"functionCall": {"name": "f", "willContinue": True}}))
    assert first.tool_calls == [ToolCallDelta(None, "", "f", "", begins=True)]
    arguments = [{"jsonPath": "$.a", "stringValue": "Mont"}, {"jsonPath": "$.b", "boolValue": True}]
    piece = read_chunk(chunk({"functionCall": {"partialArgs": arguments, "willContinue": True}}))
    assert piece.tool_calls == [ToolCallDelta(None, "", "", "Monttrue")]


def test_code_is_a_tool_call_and_its_result_is_no_output() -> None:
    """Code that the provider runs is a call; what it printed is not the model's."""
    said = read(chunk({"executableCode": {"language": "PYTHON", "code": "1+1"}}))
    assert said.tool_calls == [ToolCallDelta(None, "", "code_execution", "1+1", begins=True)]
    result = read(chunk({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}}))
    assert result == Delta("", 0)


@pytest.mark.parametrize(("mime_type", "media"), [("audio/pcm", AUDIO), ("image/png", IMAGE), ("video/mp4", 0)])
def test_media(mime_type: str, media: int) -> None:
    """Inline data are audio or an image, by their type."""
    assert read(chunk({"inlineData": {"mimeType": mime_type, "data": "AAAA"}})).media == media


def test_several_candidates() -> None:
    """Every candidate is a choice."""
    both = [chunk({"text": word}, index=index)["candidates"][0] for index, word in enumerate("ab")]
    assert read({"candidates": both}) == Delta("a", 0, others=[Delta("b", 1)])


def test_blocked_prompt() -> None:
    """A blocked prompt has no candidate: its reason is the finish reason, and the end."""
    said = read({"promptFeedback": {"blockReason": "SAFETY"}})
    assert said == Delta("", 0, finish_reason="SAFETY", is_terminal=True)


def test_usage() -> None:
    """Input is prompt and tool use, output is answer and thoughts, which the session adds up: together the total."""
    counts = {"promptTokenCount": 34, "toolUsePromptTokenCount": 6, "candidatesTokenCount": 469}
    counts |= {"thoughtsTokenCount": 787, "cachedContentTokenCount": 30, "totalTokenCount": 1296}
    usage = read(chunk(usageMetadata=counts)).usage
    assert usage == {
        "prompt.input_tokens": 34,
        "tool_use.input_tokens": 6,
        "answer.output_tokens": 469,
        "cache_read.input_tokens": 30,
        "reasoning.output_tokens": 787,
    }
    assert sum(usage[name] for name in usage if name != "cache_read.input_tokens") == counts["totalTokenCount"]


def _counts(prompt: int | None = None, tools: int | None = None, answer: int | None = None) -> dict[str, int]:
    given = {"promptTokenCount": prompt, "toolUsePromptTokenCount": tools, "candidatesTokenCount": answer}
    return {name: count for name, count in given.items() if count is not None}


@pytest.mark.parametrize(
    ("requests", "tokens"),
    [
        ([[_counts(10), _counts(10, None, 1), _counts(10, None, 3)]], (10, 3)),
        ([[_counts(10, 5), _counts(10, 5, 1), _counts(10, 5, 3)]], (15, 3)),
        ([[_counts(10), _counts(10, 5, 1), _counts(10, 8, 3)]], (18, 3)),
        ([[_counts(59, 5), _counts(128, 2, 3)]], (130, 3)),
        ([[_counts(10, 5), _counts(10, None, 3)]], (15, 3)),
        ([[_counts(10), _counts(None, 5, 3)]], (15, 3)),
        ([[_counts(None, 5), _counts(None, 6, 3)]], (6, 3)),
        ([[_counts(10, 5, 1), _counts(10, 5, 2)], [_counts(20, 5, 1), _counts(20, 7, 4)]], (15 + 27, 2 + 4)),
        ([[_counts(10, 5, 2)], [_counts(20, None, 4)]], (15 + 20, 2 + 4)),
        ([[_counts(10, None, 2)], [_counts(20, 7)], [_counts(30, 1, 1)]], (10 + 27 + 31, 2 + 0 + 1)),
    ],
)
def test_what_tools_added_to_the_prompt(requests: list[list[dict[str, int]]], tokens: tuple[int, int]) -> None:
    """Counts are cumulative within a request, whatever a chunk leaves out, and add up over the requests of a call."""
    answer = Answer(Request("generate_content", "p", "l"), has_finish_reasons=True, output=None, text_of=None)
    for number, chunks in enumerate(requests):
        if number:
            answer.another(counts_anew=True)
        for counts in chunks:
            answer.take(read(chunk({"text": "x"}, usageMetadata=counts)))
    assert answer.usage == dict(zip(("input_tokens", "output_tokens"), tokens, strict=True))


def test_counts_that_are_missing_are_not_invented() -> None:
    """Early chunks have no count of the answer, Vertex's intermediate ones none at all."""
    assert read(chunk(usageMetadata={"promptTokenCount": 3})).usage == {"prompt.input_tokens": 3}
    assert read(chunk(usageMetadata={"trafficType": "ON_DEMAND"})).usage is None


def test_error_on_the_wire() -> None:
    """An error says its status; where it has none, its code."""
    error = {"code": 503, "message": "busy", "status": "UNAVAILABLE"}
    assert read_chunk({"error": error}).error == ProviderError("UNAVAILABLE", "busy")
    assert read_chunk({"error": {"code": 500}}).error == ProviderError("500", "")


@given(st.dictionaries(st.sampled_from(["candidates", "usageMetadata", "promptFeedback", "error"]), anything))
@unhurried
def test_nonsense_is_read_as_something(payload: dict[str, Any]) -> None:
    """Any JSON gives a delta of the right types."""
    check(read_chunk(payload))


_TEXTS = st.sampled_from(["", "a", "höh"])
_PARTS = st.one_of(
    st.fixed_dictionaries({"text": _TEXTS}, optional={"thought": st.booleans()}),
    st.builds(lambda name, args: {"functionCall": {"name": name, "args": args}}, _TEXTS, st.just({"x": [1]})),
    st.just({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
)


@given(
    st.lists(_PARTS, max_size=3),
    st.sampled_from(["", "STOP", "MAX_TOKENS"]),
    st.fixed_dictionaries(
        {}, optional={"promptTokenCount": st.integers(0, 9), "thoughtsTokenCount": st.integers(0, 9)}
    ),
)
@unhurried
def test_object_says_what_the_wire_says(parts: list[dict[str, Any]], finish: str, usage: dict[str, int]) -> None:
    """The SDK's object of any chunk reads as its JSON."""
    read(chunk(*parts, finish=finish, usageMetadata=usage))


# --- requests ---------------------------------------------------------------------------------------------------

_CONFIG = {"temperature": 0.5, "topP": 1, "topK": 40, "maxOutputTokens": 9, "seed": 7, "stopSequences": ["x"]}


def test_request_attributes_of_the_wire_and_of_the_sdk() -> None:
    """Parameters are read in either spelling, from JSON and from the SDK's objects."""
    extra = {"candidateCount": 2, "responseMimeType": "application/json", "thinkingConfig": {"thinkingLevel": "LOW"}}
    body = {"generationConfig": _CONFIG | extra}
    expected = {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 1.0,
        "gen_ai.request.top_k": 40.0,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.seed": 7,
        "gen_ai.request.stop_sequences": ["x"],
        "gen_ai.request.choice.count": 2,
        "gen_ai.request.reasoning.level": "low",
        "gen_ai.output.type": "json",
    }
    assert request_attributes(body) == expected
    assert choices(body) == 2
    config = types.GenerateContentConfig.model_validate(_CONFIG | extra)
    assert request_attributes({"generation_config": vars(config)}) == expected


def test_content_of_a_request() -> None:
    """Turns, instructions and functions have the conventions' shapes; binary data are not copied."""
    call = {"functionCall": {"name": "f", "args": {"x": 1}, "id": "1"}}
    result = {"functionResponse": {"name": "f", "id": "1", "response": {"y": 2}}}
    body = {
        "systemInstruction": {"parts": [{"text": "Be short"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [call]},
            {"role": "user", "parts": [result]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}, {"googleSearch": {}}],
    }
    blob = {"type": "blob", "modality": "image", "mime_type": "image/png", "content": ""}
    assert content(body) == {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "Hi"}, blob]},
            {"role": "assistant", "parts": [{"type": "tool_call", "id": "1", "name": "f", "arguments": {"x": 1}}]},
            {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": {"y": 2}}]},
        ],
        "gen_ai.system_instructions": [{"type": "text", "content": "Be short"}],
        "gen_ai.tool.definitions": [
            {"type": "function", "name": "f", "parameters": {"type": "OBJECT"}},
            {"type": "google_search", "name": "google_search"},
        ],
    }


@pytest.mark.parametrize("contents", ["Hi", ["Hi"], [{"text": "Hi"}], {"role": "user", "parts": [{"text": "Hi"}]}])
def test_loose_contents_are_a_turn_of_the_user(contents: Any) -> None:
    """What the SDK takes for one turn is one."""
    message = {"role": "user", "parts": [{"type": "text", "content": "Hi"}]}
    assert content({"contents": contents}) == {"gen_ai.input.messages": [message]}


def test_functions_of_the_application_are_defined_by_their_name() -> None:
    """A callable given as a tool has a name and says what it does."""

    def weather(city: str) -> str:
        """Tell the weather."""
        return city

    assert content({"tools": [weather]})["gen_ai.tool.definitions"] == [
        {"type": "function", "name": "weather", "description": "Tell the weather."}
    ]


@given(st.dictionaries(st.sampled_from(["contents", "tools", "systemInstruction", "generationConfig"]), anything))
@unhurried
def test_nonsense_in_requests_is_left_out(body: dict[str, Any]) -> None:
    """Any JSON as a request is read without an exception."""
    content(body)
    request_attributes(body)
    assert choices(body) >= 1


# --- endpoints --------------------------------------------------------------------------------------------------

_VERTEX = "/v1beta1/projects/p/locations/l/publishers/google/models/gemini-2.5-flash"


@pytest.mark.parametrize(
    ("path", "operation", "model", "streams"),
    [
        ("/v1beta/models/gemini-2.5-pro:streamGenerateContent", "generate_content", "gemini-2.5-pro", True),
        ("/v1beta/models/gemini-2.5-pro:generateContent", "generate_content", "gemini-2.5-pro", False),
        (f"{_VERTEX}:streamGenerateContent", "generate_content", "gemini-2.5-flash", True),
        ("/v1beta/interactions", "chat", None, None),
        ("/v1beta/models/gemini-2.5-pro:countTokens", None, None, None),
    ],
)
def test_endpoints(path: str, operation: str | None, model: str | None, streams: bool | None) -> None:
    """The path says what is asked for, of which model, and whether it is a stream."""
    endpoint = find_endpoint(GEMINI, "POST", path)
    if endpoint is None:
        assert operation is None
        return
    assert (endpoint.operation, model_in(endpoint, path), endpoint.streams) == (operation, model, streams)


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("aiplatform.eu.rep.googleapis.com", "gcp.vertex_ai"),
    ],
)
def test_hosts(host: str, name: str) -> None:
    """The host says which of Google's two services it is."""
    assert host_name(GEMINI, host) == name
