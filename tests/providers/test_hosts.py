"""Whose server it is, and which requests are inference: the tables of OpenAI and of all who speak its wire formats."""

from __future__ import annotations

import re

import pytest

from streamspan._sessions import find_endpoint, host_name
from streamspan.providers import no_attributes, no_content
from streamspan.providers.openai import OPENAI

HOSTS: list[tuple[str, str | None]] = [
    ("api.openai.com", "openai"),
    ("eu.api.openai.com", None),
    ("me.openai.azure.com", "azure.ai.openai"),
    ("openai.azure.com", None),
    ("me.cognitiveservices.azure.com", "azure.ai.openai"),
    ("me.services.ai.azure.com", "azure.ai.inference"),
    ("m1.eastus2.models.ai.azure.com", "azure.ai.inference"),
    ("api.deepseek.com", "deepseek"),
    ("api.groq.com", "groq"),
    ("api.x.ai", "x_ai"),
    ("api.mistral.ai", "mistral_ai"),
    ("api.perplexity.ai", "perplexity"),
    ("api.moonshot.ai", "moonshot_ai"),
    ("api.moonshot.cn", "moonshot_ai"),
    ("openrouter.ai", "openrouter"),
    ("api.together.xyz", "together_ai"),
    ("api.fireworks.ai", "fireworks_ai"),
    ("api.cerebras.ai", "cerebras"),
    ("api.deepinfra.com", "deepinfra"),
    ("integrate.api.nvidia.com", "nvidia"),
    ("router.huggingface.co", "hugging_face"),
    ("api.cohere.ai", "cohere"),
    ("generativelanguage.googleapis.com", "gcp.gemini"),
    ("us-central1-aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("aiplatform.googleapis.com", "gcp.vertex_ai"),
    ("api.anthropic.com", "anthropic"),
    ("bedrock-runtime.us-east-1.amazonaws.com", "aws.bedrock"),
    ("bedrock-runtime.amazonaws.com", None),
    ("evil-api.openai.com", None),
    ("api.openai.com.evil.org", None),
    ("apixopenai.com", None),
    ("localhost", None),
    ("127.0.0.1", None),
    ("", None),
]


@pytest.mark.parametrize(("host", "name"), HOSTS)
def test_a_host_is_somebodys(host: str, name: str | None) -> None:
    """By the exact name or the pattern; nobody can pass for another by a longer name."""
    assert host_name(OPENAI, host) == name


def test_every_name_in_the_table_is_tried_here() -> None:
    """So that a new one is not forgotten."""
    assert set(OPENAI.hosts.values()) == {name for _, name in HOSTS if name is not None}


PATHS: list[tuple[str, str, str | None]] = [
    ("POST", "/v1/chat/completions", "chat completions"),
    ("POST", "/chat/completions", "chat completions"),
    ("POST", "/v1/chat/completions/", "chat completions"),
    ("POST", "/openai/deployments/gpt-4o/chat/completions", "chat completions"),
    ("POST", "/api/v1/chat/completions", "chat completions"),
    ("POST", "/v1/completions", "completions"),
    ("POST", "/v1/responses", "responses"),
    ("POST", "/openai/v1/responses", "responses"),
    ("GET", "/v1/responses/resp_1", "responses (fetched)"),
    ("POST", "/v1/threads/runs", "assistants runs"),
    ("POST", "/v1/threads/thread_1/runs", "assistants runs"),
    ("POST", "/v1/threads/thread_1/runs/run_1/submit_tool_outputs", "assistants runs"),
    ("POST", "/v1/images/generations", "images"),
    ("POST", "/v1/images/edits", "images"),
    ("POST", "/v1/audio/transcriptions", "transcriptions"),
    ("POST", "/v1/embeddings", None),
    ("POST", "/v1/audio/speech", None),
    ("POST", "/v1/images/variations", None),
    ("POST", "/v1/responses/resp_1", None),
    ("POST", "/v1/responses/resp_1/cancel", None),
    ("GET", "/v1/responses/resp_1/input_items", None),
    ("GET", "/v1/chat/completions", None),
    ("GET", "/v1/chat/completions/c_1", None),
    ("DELETE", "/v1/responses/resp_1", None),
    ("GET", "/v1/models", None),
    ("GET", "/v1/threads/thread_1/runs", None),
    ("POST", "/v1/threads/thread_1/runs/run_1/cancel", None),
    ("POST", "/v1/threads/thread_1/messages", None),
    ("POST", "/v1/files", None),
]


@pytest.mark.parametrize(("method", "path", "name"), PATHS)
def test_a_request_is_inference_or_not(method: str, path: str, name: str | None) -> None:
    """Whatever prefix a gateway or Azure puts before it."""
    endpoint = find_endpoint(OPENAI, method, path)
    assert (endpoint.name if endpoint is not None else None) == name


def test_every_endpoint_is_tried_here() -> None:
    """Each has a path, and its patterns compile."""
    assert {endpoint.name for endpoint in OPENAI.endpoints} == {name for _, _, name in PATHS if name is not None}
    for endpoint in OPENAI.endpoints:
        assert endpoint.paths
        for path in endpoint.paths:
            re.compile(path)


def test_what_an_endpoint_says_of_its_stream() -> None:
    """Operation of the conventions, hidden marker, finish reasons."""
    said = {
        endpoint.name: (
            endpoint.operation,
            endpoint.done_data,
            endpoint.has_finish_reasons,
            endpoint.marker_is_reliable,
        )
        for endpoint in OPENAI.endpoints
    }
    assert said == {
        "chat completions": ("chat", "[DONE]", True, True),
        "completions": ("text_completion", "[DONE]", True, True),
        "responses": ("chat", "", True, True),
        "responses (fetched)": ("fetch_response", "", True, True),
        "assistants runs": ("invoke_agent", "[DONE]", True, True),
        "images": ("image_generation", "", False, True),
        "transcriptions": ("transcription", "", False, True),
    }


def test_an_endpoint_that_says_nothing_of_requests_reads_nothing() -> None:
    """The defaults of a third party's endpoint."""
    assert no_attributes({"temperature": 1}) == {}
    assert no_content({"messages": ["secret"]}) == {}
