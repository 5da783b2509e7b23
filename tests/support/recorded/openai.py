"""Recordings of OpenAI's wire formats, and how its SDK plays them."""

from __future__ import annotations

from typing import Any

import openai

from support.recorded import Call, Recording, Vendor, known
from support.seen import TLS
from support.truth import of_chat, of_responses, of_run


def _client(recording: Recording, url: str, is_async: bool) -> Any:
    http: Any = (openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient)(verify=TLS)
    common: dict[str, Any] = {"api_key": "key", "http_client": http, "max_retries": 0}
    if "azure" in recording.url:
        kind: Any = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
        return kind(azure_endpoint=url, api_version="2025-01-01", **common)
    kind = openai.AsyncOpenAI if is_async else openai.OpenAI
    return kind(base_url=url + "/v1", **common)


def _call(recording: Recording) -> Call:
    path = recording.url.partition("?")[0]
    if path.endswith("/chat/completions"):
        return Call(operation="chat", start=_chat, truth=of_chat)
    if path.endswith("/completions"):
        return Call(operation="text_completion", start=_completion, truth=of_chat)
    if path.endswith("/responses"):
        return Call(operation="chat", start=_response, truth=of_responses)
    assert path.endswith("/runs"), path
    return Call(operation="invoke_agent", start=_run, truth=of_run)


def _chat(client: Any, body: dict[str, Any]) -> Any:
    return client.chat.completions.create(**known(body, "model", "messages"))


def _completion(client: Any, body: dict[str, Any]) -> Any:
    return client.completions.create(**known(body, "model", "prompt"))


def _response(client: Any, body: dict[str, Any]) -> Any:
    return client.responses.create(**known(body, "model", "input", model="gpt-x"))


def _run(client: Any, body: dict[str, Any]) -> Any:
    return client.beta.threads.runs.create("thread_x", **known(body, "assistant_id"))


def _described(exc: Any) -> tuple[Any, ...]:
    return type(exc).__name__, exc.code, exc.message


VENDOR = Vendor(
    folders=("openai_chat", "openai_completions", "openai_responses", "openai_assistants", "langchain"),
    client=_client,
    call=_call,
    failures=(openai.APIError,),
    described=_described,
    facts={
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
    },
    lines=lambda recording: sum(data is None for _, data in recording.events),  # [DONE]
)
