"""Anthropic: its hosts, its endpoints on its own and on other people's platforms, its terminal marker."""

from __future__ import annotations

from dataclasses import replace

from streamspan.providers import Endpoint, Provider, _anthropic_events, anthropic_messages

# Counting tokens, batches and their results, and the long-lived streams of sessions are no inference: their paths do
# not end like these.
_MESSAGES = Endpoint(
    name="messages",
    operation="chat",
    paths=(r"/messages",),
    read=_anthropic_events.read_event,
    text_of=_anthropic_events.text_of,
    read_whole=_anthropic_events.read_whole,
    attributes=_anthropic_events.request_attributes,
    content=anthropic_messages.content,
    silent_events=frozenset({"ping"}),
    done_event="message_stop",
)
# On Bedrock and Vertex the path names the model, and says whether the answer is a stream.
_BEDROCK, _VERTEX = r"/model/(?P<model>[^/]+)", r"/publishers/anthropic/models/(?P<model>[^/:]+)"
_STREAMED = replace(
    _MESSAGES,
    name="messages (platforms, streamed)",
    paths=(rf"{_BEDROCK}/invoke-with-response-stream", rf"{_VERTEX}:streamRawPredict"),
    streams=True,
)
_WHOLE = replace(
    _MESSAGES,
    name="messages (platforms)",
    paths=(rf"{_BEDROCK}/invoke", rf"{_VERTEX}:rawPredict"),
    streams=False,
)

ANTHROPIC = Provider(
    name="anthropic",
    endpoints=(_MESSAGES, _STREAMED, _WHOLE),
    hosts={
        "api.anthropic.com": "anthropic",
        "bedrock-runtime.*.amazonaws.com": "aws.bedrock",
        "bedrock-mantle.*.api.aws": "aws.bedrock",
        "*-aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.*.rep.googleapis.com": "gcp.vertex_ai",
        "claude.googleapis.com": "anthropic",
        "aws-external-anthropic.*.api.aws": "anthropic",
        "*.services.ai.azure.com": "azure.ai.inference",
    },
    # The second is Bedrock's.
    request_id_headers=("request-id", "x-amzn-requestid", "x-request-id"),
)
