"""Real vendor streams, cut in many ways, through the real SDK: what is recorded is what they say."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from opentelemetry.trace import StatusCode

import streamspan
from support.replay import Replay, cut
from support.seen import TLS, plain
from support.telemetry import Told
from support.truth import Payload, Truth, called, messages_of, of_chat, of_responses, of_run, payloads, said

_FOLDER = Path(os.environ.get("STREAMSPAN_RECORDINGS") or Path(__file__).parents[2] / "shared" / "recordings")
_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", redactions=(), content_max_bytes=1_000_000)


@dataclass(frozen=True)
class Recording:
    """One recorded request and its stream."""

    name: str
    url: str
    request: dict[str, Any]
    body: str
    headers: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def events(self) -> list[Payload]:
        """Its events."""
        return list(payloads(self.body))

    @property
    def is_azure(self) -> bool:
        """Whether it is from Azure."""
        return "azure" in self.url


def _recordings() -> Iterator[Recording]:
    for folder in ("openai_chat", "openai_completions", "openai_responses", "openai_assistants", "langchain"):
        for path in sorted((_FOLDER / folder).glob("*")):
            found = list(_streams(path))
            for number, (url, request, body) in enumerate(found):
                suffix = f"-{number}" if len(found) > 1 else ""
                yield Recording(path.stem.rstrip("_") + suffix, url, request, body)


def _streams(path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    if path.suffix == ".json":
        record = json.loads(path.read_text())
        yield record["request"]["url"], json.loads(record["request"]["body"]), record["response"]["body"]
        return
    for interaction in yaml.load(path.read_text(), _LOADER)["interactions"]:
        request, body = interaction["request"], interaction["response"]["body"].get("string")
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        if text and "data: " in text:
            yield request["uri"], request.get("parsed_body") or json.loads(request["body"]), text


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
RECORDINGS = list(_recordings()) if _FOLDER.is_dir() else []
pytestmark = [
    pytest.mark.skipif(not RECORDINGS, reason="no recordings: set STREAMSPAN_RECORDINGS to their folder"),
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
]


def _surface(recording: Recording) -> tuple[str, Callable[[Any, dict[str, Any]], Any], Callable[[Any], Truth]]:
    """Return the operation, the SDK's call and the reading that belong to a recording."""
    path = recording.url.partition("?")[0]
    if path.endswith("/chat/completions"):
        return "chat", lambda client, body: client.chat.completions.create(**_known(body, "model", "messages")), of_chat
    if path.endswith("/completions"):
        return (
            "text_completion",
            lambda client, body: client.completions.create(**_known(body, "model", "prompt")),
            of_chat,
        )
    if path.endswith("/responses"):
        return "chat", lambda client, body: client.responses.create(**_known(body, "model", "input")), of_responses
    assert path.endswith("/runs"), path
    return "invoke_agent", _run, of_run


def _run(client: Any, body: dict[str, Any]) -> Any:
    return client.beta.threads.runs.create("thread_x", **_known(body, "assistant_id"))


def _known(body: dict[str, Any], *names: str) -> dict[str, Any]:
    rest = {name: value for name, value in body.items() if name not in (*names, "stream")}
    return {name: body.get(name, "gpt-x") for name in names} | {"stream": True, "extra_body": rest}


def _client(recording: Recording, url: str, *, is_async: bool) -> Any:
    http: Any = (openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient)(verify=TLS)
    common: dict[str, Any] = {"api_key": "key", "http_client": http, "max_retries": 0}
    if recording.is_azure:
        kind: Any = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return kind(azure_endpoint=url, api_version="2025-01-01", **common)
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=url + "/v1", **common)


def _play(recording: Recording, size: int, *, is_async: bool) -> list[Any]:
    """Play a recording to the SDK, and return what its caller gets; the last item is the error, if any."""
    _, start, _ = _surface(recording)
    seen: list[Any] = []
    with Replay(cut(recording.body.encode(), size)) as replay:
        if is_async:
            asyncio.run(_read_async(_client(recording, replay.url, is_async=True), start, recording.request, seen))
        else:
            with _client(recording, replay.url, is_async=False) as client:
                try:
                    for item in start(client, recording.request):
                        seen.append(plain(item))  # noqa: PERF401 - what came before an error is wanted too
                except openai.APIError as exc:
                    seen.append((type(exc).__name__, exc.code, exc.message))
    return seen


async def _read_async(client: Any, start: Any, request: dict[str, Any], seen: list[Any]) -> None:
    async with client:
        try:
            async for item in await start(client, request):
                seen.append(plain(item))  # noqa: PERF401
        except openai.APIError as exc:
            seen.append((type(exc).__name__, exc.code, exc.message))


def _sizes(recording: Recording) -> list[int]:
    # Each piece costs the HTTP client some 0.1 ms, so only short ones are cut byte by byte.
    length = len(recording.body)
    return [0, 1000, *([37] if length < 60_000 else []), *([1] if length < 6000 else [])]


_CASES = [
    pytest.param(recording, size, id=f"{recording.name}-{size or 'whole'}")
    for recording in RECORDINGS
    for size in _sizes(recording)
]


@pytest.mark.parametrize(("recording", "size"), _CASES)
def test_recording_says(recording: Recording, size: int) -> None:
    """Text, tool calls, usage, finish reasons, counts and outcome are those of the recording, however it is cut."""
    operation, _, read = _surface(recording)
    truth = read(recording.events)
    is_async = size in (37, 1)
    bare = _play(recording, size, is_async=is_async)
    told = Told()
    told.instrument(_CONTENT)
    seen = _play(recording, size, is_async=is_async)
    told.finish()

    assert seen == bare
    attributes = told.attributes
    assert {name: attributes.get(name) for name in _expected(operation, truth)} == _expected(operation, truth)
    assert {name[13:]: n for name, n in attributes.items() if name.startswith("gen_ai.usage.")} == truth.usage
    assert told.span.status.status_code is (StatusCode.ERROR if truth.error else StatusCode.UNSET)
    messages = messages_of(attributes)
    assert said(messages, "text") == truth.text + truth.refusal
    assert said(messages, "reasoning") == truth.reasoning
    assert called(messages) == truth.calls


def _expected(operation: str, truth: Truth) -> dict[str, Any]:
    # An SDK that raises at an error event does not hand that event out.
    chunks = truth.chunks - bool(truth.error)
    return {
        "gen_ai.operation.name": operation,
        "streamspan.outcome": "error" if truth.error else "completed",
        "error.type": truth.error or None,
        "gen_ai.response.id": truth.id,
        "gen_ai.response.model": truth.model,
        "gen_ai.response.finish_reasons": tuple(truth.finish[index] for index in sorted(truth.finish)),
        "streamspan.chunk.count": chunks,
        "streamspan.output.characters": truth.characters,
        "streamspan.reasoning.characters": len(truth.reasoning),
        "streamspan.tool_call.count": len(truth.tools) or None,
    }


_FACTS: dict[str, tuple[list[int], list[str]]] = {
    # By file: numbers of data lines and finish reasons, as the recordings' README has them.
    "contrib__test_async_chat_completion_streaming": ([9], ["stop"]),
    "contrib__test_chat_completion_multiple_tools_streaming_with_content": ([19], ["tool_calls"]),
    "contrib__test_chat_completion_streaming": ([9], ["stop"]),
    "contrib__test_chat_completion_streaming_not_complete": ([8], ["stop"]),
    "dd-trace-py__azure_chat_completion_streamed": ([42], ["stop"]),
    "dd-trace-py__chat_completion_stream_prompt_caching_cache_read": ([104], ["length"]),
    "dd-trace-py__deepseek_streamed_reasoning_content": ([49], ["stop"]),
    "llm__test_tools_streaming_variant_c": ([5, 18], ["tool_calls", "stop"]),
    "openllmetry__test_chat_async_streaming": ([32, 23, 31, 28], ["stop"] * 4),
    "pydantic-ai__test_openai_moderation_stream": ([7], ["stop"]),
    "openllmetry__test_completion_streaming_with_events_with_content": ([17, 17, 10], ["length", "length", "stop"]),
    "contrib__test_responses_create_streaming_content_mode0": ([13], ["completed"]),
    "dd-trace-py__openai_responses_post_aaef3e68": ([144], ["completed"]),
    "dd-trace-py__response_function_call_streamed": ([18], ["completed"]),
    "dd-trace-py__response_stream": ([18], ["completed"]),
    "pydantic-ai__test_openai_responses_thinking_part_iter": ([676], ["completed"]),
    "openllmetry__test_streaming_new_assistant": ([95], ["completed"]),
    "openllmetry__test_stream": ([175], ["stop"]),
}


@pytest.mark.parametrize("name", _FACTS)
def test_recording_counts(name: str) -> None:
    """The counts that are known of a recording are the counts that are recorded."""
    lines, finish = _FACTS[name]
    mine = [recording for recording in RECORDINGS if _file_of(recording) == name]
    assert [len(recording.events) for recording in mine] == lines
    for recording, expected_lines, expected_finish in zip(mine, lines, finish, strict=True):
        told = Told()
        told.instrument()
        _play(recording, 0, is_async=False)
        told.finish()
        has_done = any(data is None for _, data in recording.events)
        assert told.attributes["streamspan.chunk.count"] == expected_lines - has_done
        assert told.attributes["gen_ai.response.finish_reasons"] == (expected_finish,)


def _file_of(recording: Recording) -> str:
    head, dash, tail = recording.name.rpartition("-")
    return head if dash and tail.isdigit() else recording.name


def test_every_recording_is_known() -> None:
    """No recording is without facts but the one that ends in an error, which has its own test."""
    assert {_file_of(recording) for recording in RECORDINGS} - set(_FACTS) == {
        "pydantic-ai__test_openrouter_stream_error"
    }


def test_the_error_in_a_chunk_with_usage_is_an_error_with_that_usage() -> None:
    """OpenRouter's error comes with choices and usage: code 400, after three chunks, and its usage is kept."""
    (recording,) = (each for each in RECORDINGS if _file_of(each) == "pydantic-ai__test_openrouter_stream_error")
    told = Told()
    told.instrument()
    seen = _play(recording, 0, is_async=False)
    told.finish()
    assert (seen[-1][:2], len(seen)) == (("APIError", "400"), 4)
    assert told.attributes["streamspan.chunk.count"] == 3
    assert told.attributes["streamspan.outcome"] == "error"
    assert told.attributes["error.type"] == "400"
    assert told.attributes["gen_ai.usage.input_tokens"] == recording.events[3].data["usage"]["prompt_tokens"]
