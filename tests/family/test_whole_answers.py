"""Calls without a stream through the SDKs of the family: one span each, with the tokens and no attribute of a stream."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable
from importlib import import_module
from typing import Any

import httpx
import pytest

from streamspan.demo import DemoProvider
from support.telemetry import Told

MESSAGES: Any = [{"role": "user", "content": "What is a stream?"}]


def _groq(server: DemoProvider) -> None:
    sdk = import_module("groq").Groq(base_url=server.url("ok", base=""), api_key="key")
    sdk.chat.completions.create(model="demo", messages=MESSAGES)


def _mistral(server: DemoProvider) -> None:
    home = import_module("mistralai.client")
    home = home if hasattr(home, "Mistral") else import_module("mistralai")
    home.Mistral(api_key="key", server_url=server.url("ok", base="")).chat.complete(model="demo", messages=MESSAGES)


def _mistral_async(server: DemoProvider) -> None:
    home = import_module("mistralai.client")
    home = home if hasattr(home, "Mistral") else import_module("mistralai")

    async def ask() -> None:
        async with home.Mistral(api_key="key", server_url=server.url("ok", base="")) as sdk:
            await sdk.chat.complete_async(model="demo", messages=MESSAGES)

    asyncio.run(ask())


def _cohere(server: DemoProvider) -> None:
    sdk = import_module("cohere").ClientV2(api_key="key", base_url=server.url("ok", base=""))
    assert sdk.chat(model="demo", messages=MESSAGES).id == "cohere-demo"


def _cohere_async(server: DemoProvider) -> None:
    async def ask() -> None:
        async with httpx.AsyncClient() as client:
            sdk = import_module("cohere").AsyncClientV2("key", base_url=server.url("ok", base=""), httpx_client=client)
            await sdk.chat(model="demo", messages=MESSAGES)

    asyncio.run(ask())


def _ollama(server: DemoProvider) -> None:
    sdk = import_module("ollama").Client(host=server.url("ok", base=""))
    assert sdk.chat(model="demo", messages=MESSAGES).done


def _ollama_async(server: DemoProvider) -> None:
    async def ask() -> None:
        sdk = import_module("ollama").AsyncClient(host=server.url("ok", base=""))
        await sdk.chat(model="demo", messages=MESSAGES)
        await sdk._client.aclose()

    asyncio.run(ask())


def _huggingface_hub(server: DemoProvider) -> None:
    sdk = import_module("huggingface_hub").InferenceClient(base_url=server.url("ok"), api_key="key")
    sdk.chat_completion(MESSAGES, model="demo")


def _bedrock(server: DemoProvider) -> Any:
    return import_module("boto3").client(
        "bedrock-runtime",
        endpoint_url=server.url("ok", base=""),
        region_name="eu-central-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )


def _converse(server: DemoProvider) -> None:
    message = {"role": "user", "content": [{"text": "Hi"}]}
    assert _bedrock(server).converse(modelId="demo", messages=[message])["stopReason"] == "end_turn"


def _invoke(server: DemoProvider) -> None:
    answer = _bedrock(server).invoke_model(modelId="demo", body=json.dumps({"max_tokens": 9, "messages": MESSAGES}))
    assert json.loads(answer["body"].read())["role"] == "assistant"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("package", "ask", "layer", "provider", "finish", "has_tokens"),
    [
        ("groq", _groq, "groq", "groq", ("stop",), True),
        ("mistralai", _mistral, "mistralai", "mistral_ai", ("stop",), True),
        ("mistralai", _mistral_async, "mistralai", "mistral_ai", ("stop",), True),
        ("cohere", _cohere, "cohere", "cohere", ("COMPLETE",), True),
        ("cohere", _cohere_async, "cohere", "cohere", ("COMPLETE",), True),
        ("ollama", _ollama, "ollama", "ollama", ("stop",), True),
        ("ollama", _ollama_async, "ollama", "ollama", ("stop",), True),
        ("huggingface_hub", _huggingface_hub, "huggingface_hub", "hugging_face", ("stop",), True),
        ("boto3", _converse, "bedrock", "aws.bedrock", ("end_turn",), True),
        # The body is the caller's to read, and the demo sends no counts in the headers.
        ("boto3", _invoke, "bedrock", "aws.bedrock", None, False),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_one_span(
    told: Told,
    server: DemoProvider,
    package: str,
    ask: Callable[[DemoProvider], None],
    layer: str,
    provider: str,
    finish: tuple[str, ...] | None,
    has_tokens: bool,
) -> None:
    """The call is one completed span that says that no stream was asked for."""
    pytest.importorskip(package)
    ask(server)
    gc.collect()  # some clients cannot be closed, and their sockets would be told of when the last test is over
    attributes = told.attributes
    assert attributes["streamspan.layer"] == layer
    assert attributes["gen_ai.provider.name"] == provider
    assert attributes["gen_ai.request.model"] == "demo"
    assert attributes["gen_ai.request.stream"] is False
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes.get("gen_ai.response.finish_reasons") == finish
    assert ("gen_ai.usage.output_tokens" in attributes) == has_tokens
    assert attributes["http.response.status_code"] == 200
    assert "streamspan.chunk.count" not in attributes
