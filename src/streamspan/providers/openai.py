"""OpenAI and every vendor that speaks its wire formats: hosts, endpoints, terminal markers."""

from __future__ import annotations

import streamspan.providers.openai_messages as messages
from streamspan.providers import Endpoint, Provider, _openai_chat, _openai_media, _openai_responses

_CHAT = Endpoint(
    name="chat completions",
    operation="chat",
    paths=(r"/chat/completions",),
    read=_openai_chat.read_chunk,
    text_of=_openai_chat.text_of,
    read_whole=_openai_chat.read_whole,
    attributes=_openai_chat.request_attributes,
    content=messages.chat_content,
    done_data="[DONE]",
    with_usage=_openai_chat.with_usage,
    is_usage_only=_openai_chat.is_usage_only,
)
_COMPLETIONS = Endpoint(
    name="completions",
    operation="text_completion",
    paths=(r"/completions",),
    read=_openai_chat.read_completion,
    read_whole=_openai_chat.read_completion,
    attributes=_openai_chat.completion_attributes,
    choices=_openai_chat.completion_choices,
    content=messages.completion_content,
    done_data="[DONE]",
    with_usage=_openai_chat.with_usage,
    is_usage_only=_openai_chat.is_usage_only,
)
_RESPONSES = Endpoint(
    name="responses",
    operation="chat",
    paths=(r"/responses",),
    read=_openai_responses.read_event,
    text_of=_openai_responses.text_of,
    read_whole=_openai_responses.read_whole,
    attributes=_openai_responses.request_attributes,
    content=messages.responses_content,
)
_FETCH_RESPONSE = Endpoint(
    name="responses (fetched)",
    operation="fetch_response",
    paths=(r"/responses/[^/]+",),
    read=_openai_responses.read_fetched_event,
    attributes=_openai_responses.fetch_attributes,
    methods=("GET",),
)
_RUNS = Endpoint(
    name="assistants runs",
    operation="invoke_agent",
    paths=(r"/threads/runs", r"/threads/[^/]+/runs", r"/threads/[^/]+/runs/[^/]+/submit_tool_outputs"),
    read=_openai_media.read_assistant_event,
    attributes=_openai_media.run_attributes,
    done_data="[DONE]",
    wants_event=True,
)
_IMAGES = Endpoint(
    name="images",
    operation="image_generation",
    paths=(r"/images/generations", r"/images/edits"),
    read=_openai_media.read_image_event,
    read_whole=_openai_media.read_image_event,
    attributes=_openai_media.image_attributes,
    has_finish_reasons=False,
)
_TRANSCRIPTIONS = Endpoint(
    name="transcriptions",
    operation="transcription",
    paths=(r"/audio/transcriptions",),
    read=_openai_media.read_transcription_event,
    read_whole=_openai_media.read_transcription,
    attributes=_openai_media.transcription_attributes,
    has_finish_reasons=False,
)

OPENAI = Provider(
    name="openai",
    endpoints=(_CHAT, _RESPONSES, _FETCH_RESPONSE, _RUNS, _IMAGES, _TRANSCRIPTIONS, _COMPLETIONS),
    # Values of the conventions where they have one, else the vendor's own name.
    hosts={
        "api.openai.com": "openai",
        "*.openai.azure.com": "azure.ai.openai",
        "*.cognitiveservices.azure.com": "azure.ai.openai",
        "*.services.ai.azure.com": "azure.ai.inference",
        "*.models.ai.azure.com": "azure.ai.inference",
        "api.deepseek.com": "deepseek",
        "api.groq.com": "groq",
        "api.x.ai": "x_ai",
        "api.mistral.ai": "mistral_ai",
        "api.perplexity.ai": "perplexity",
        "api.moonshot.ai": "moonshot_ai",
        "api.moonshot.cn": "moonshot_ai",
        "openrouter.ai": "openrouter",
        "api.together.xyz": "together_ai",
        "api.together.ai": "together_ai",
        "api.fireworks.ai": "fireworks_ai",
        "api.cerebras.ai": "cerebras",
        "api.deepinfra.com": "deepinfra",
        "integrate.api.nvidia.com": "nvidia",
        "router.huggingface.co": "hugging_face",
        "api.cohere.ai": "cohere",
        "api.cohere.com": "cohere",
        "generativelanguage.googleapis.com": "gcp.gemini",
        "*-aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "api.anthropic.com": "anthropic",
        "bedrock-runtime.*.amazonaws.com": "aws.bedrock",
    },
    # Their OpenAI-compatible servers may end a good stream without a finish reason and without [DONE]
    # (litellm #40260, pydantic-ai #6610).
    unreliable=frozenset({"ollama"}),
    request_id_headers=("x-request-id", "apim-request-id", "x-groq-request-id", "cf-ray"),
)
