"""Amazon Bedrock: Converse, and InvokeModel, whose bodies are in the words of the model's own vendor.

Which vendor it is, an event of InvokeModel says by its shape; the model's id may be the name of an inference profile.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from streamspan._records import AttributeValue, Delta
from streamspan.providers import Endpoint, Provider, _anthropic_events, _bedrock_converse, _openai_chat
from streamspan.providers._bedrock_converse import read_event, request_attributes
from streamspan.providers._parameters import doubles, ints, known, strings
from streamspan.providers._shapes import counts, fields, items, text
from streamspan.providers.bedrock_messages import converse_content, invoke_content

_METRICS = "amazon-bedrock-invocationMetrics"


def read_invoke_event(event: Any) -> Delta:
    """Read one event of an InvokeModel stream: a chunk with the model's own JSON in it, or an exception."""
    data = fields(event)
    if "chunk" not in data:
        return read_event(data)
    return read_body(_json(fields(data.get("chunk")).get("bytes")))


def read_body(body: Any) -> Delta:
    """Read a chunk in a model's own format."""
    data = fields(body)
    read = next((read for key, read in _FORMATS if key in data), None)
    delta = Delta() if read is None else read(data)
    if metrics := fields(data.get(_METRICS)):  # Bedrock adds it to the last chunk, whatever the format
        delta.usage = {**(delta.usage or {}), **_metrics(metrics)}
        delta.is_terminal = True
    return delta


def _metrics(metrics: Mapping[str, Any]) -> dict[str, int]:
    return _bedrock_converse.read_usage(
        {
            "inputTokens": metrics.get("inputTokenCount"),
            "outputTokens": metrics.get("outputTokenCount"),
            "cacheReadInputTokens": metrics.get("cacheReadInputTokenCount"),
            "cacheWriteInputTokens": metrics.get("cacheWriteInputTokenCount"),
        }
    )


def _titan(data: Mapping[str, Any]) -> Delta:
    usage = {
        "input_tokens": data.get("inputTextTokenCount"),
        "output_tokens": data.get("totalOutputTextTokenCount"),
    }
    return Delta(text(data.get("outputText")), 0, finish_reason=text(data.get("completionReason")), usage=counts(usage))


def _llama(data: Mapping[str, Any]) -> Delta:
    usage = {"input_tokens": data.get("prompt_token_count"), "output_tokens": data.get("generation_token_count")}
    return Delta(text(data.get("generation")), 0, finish_reason=text(data.get("stop_reason")), usage=counts(usage))


def _mistral(data: Mapping[str, Any]) -> Delta:
    output = fields(next(iter(items(data.get("outputs"))), None))
    return Delta(text(output.get("text")), 0, finish_reason=text(output.get("stop_reason")))


def _cohere(data: Mapping[str, Any]) -> Delta:
    if text(data.get("event_type")) not in {"", "text-generation"}:
        # The last event repeats the whole text.
        return Delta(choice=0, finish_reason=text(data.get("finish_reason")))
    return Delta(text(data.get("text")), 0, finish_reason=text(data.get("finish_reason")))


def _choices(data: Mapping[str, Any]) -> Delta:
    first = fields(next(iter(items(data.get("choices"))), None))
    if "stop_reason" in first and "text" in first:  # DeepSeek's
        return Delta(text(first.get("text")), 0, finish_reason=text(first.get("stop_reason")))
    return _openai_chat.read_chunk(data)


_FORMATS: tuple[tuple[str, Callable[[Mapping[str, Any]], Delta]], ...] = (
    ("type", _anthropic_events.read_event),
    ("contentBlockDelta", read_event),
    ("contentBlockStart", read_event),
    ("messageStart", read_event),
    ("messageStop", read_event),
    ("metadata", read_event),
    ("choices", _choices),
    ("generation", _llama),
    ("outputText", _titan),
    ("outputs", _mistral),
    ("event_type", _cohere),
)
"""A member that a format has, and its reader."""


def _json(data: Any) -> Any:
    try:
        return json.loads(data)
    except (TypeError, ValueError):
        return {}


def read_counts(metrics: Any) -> Delta:
    """Read the counts of a whole answer of InvokeModel; the body is the caller's to read."""
    return Delta(usage=_metrics(fields(metrics)), is_terminal=True)


def invoke_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters, which each vendor calls by names of its own."""
    if "inferenceConfig" in body:
        return request_attributes(body)
    config = {**body, **fields(body.get("textGenerationConfig"))}
    stop = next((config[name] for name in _STOP if config.get(name)), None)
    return {
        **doubles(config, {"gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "top_p"}),
        **doubles(config, {"gen_ai.request.top_p": "topP"}),
        **ints(config, {"gen_ai.request.top_k": "top_k"}),
        **{name: value for key in _MOST for name, value in ints(config, {"gen_ai.request.max_tokens": key}).items()},
        **known({"gen_ai.request.stop_sequences": strings(stop)}),
    }


_STOP = ("stop_sequences", "stopSequences", "stop")
_MOST = ("max_tokens", "max_completion_tokens", "max_gen_len", "maxTokenCount", "max_new_tokens")


def _choices_asked(_body: Mapping[str, Any]) -> int:
    return 1


CONVERSE = Endpoint(
    name="converse",
    operation="chat",
    paths=(r"/model/(?P<model>[^/]+)/converse",),
    read=read_event,
    read_whole=_bedrock_converse.read_whole,
    attributes=request_attributes,
    content=converse_content,
    model_key="modelId",
    choices=_choices_asked,
    streams=False,
)
CONVERSE_STREAM = replace(
    CONVERSE, name="converse stream", paths=(r"/model/(?P<model>[^/]+)/converse-stream",), streams=True
)
INVOKE = Endpoint(
    name="invoke model",
    operation="chat",
    paths=(r"/model/(?P<model>[^/]+)/invoke",),
    read=read_counts,
    read_whole=read_counts,
    attributes=invoke_attributes,
    content=invoke_content,
    model_key="modelId",
    choices=_choices_asked,
    has_finish_reasons=False,
    streams=False,
)
INVOKE_STREAM = replace(
    INVOKE,
    name="invoke model with response stream",
    paths=(r"/model/(?P<model>[^/]+)/invoke-with-response-stream",),
    read=read_invoke_event,
    read_whole=None,
    has_finish_reasons=True,
    streams=True,
)

BEDROCK = Provider(
    name="aws.bedrock",
    endpoints=(CONVERSE_STREAM, CONVERSE, INVOKE_STREAM, INVOKE),
    hosts={"bedrock-runtime.*.amazonaws.com": "aws.bedrock", "bedrock-runtime.*.amazonaws.com.cn": "aws.bedrock"},
    request_id_headers=("x-amzn-requestid",),
    error_type_headers=("x-amzn-errortype",),
)
