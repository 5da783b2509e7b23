"""Amazon Bedrock's surfaces that give a stream, through boto3; it has no async colour."""

from __future__ import annotations

import json
from dataclasses import replace
from types import GeneratorType
from typing import Any

import boto3
import botocore.config

from support.caller import Caller
from support.special import Special
from support.surface import Surface, entered_of

MODEL = "us.anthropic.demo-v1:0"
MESSAGES: Any = [{"role": "user", "content": [{"text": "What is a stream?"}]}]


def _client(caller: Caller, scenario: str) -> Any:
    """Make a client."""
    retries = {"mode": "standard", "total_max_attempts": 1 + caller.options.get("max_retries", 2)}
    config = botocore.config.Config(
        connect_timeout=5,
        read_timeout=caller.options.get("read_timeout") or 5,
        retries=retries,
        parameter_validation=True,
    )
    return boto3.client(
        "bedrock-runtime",
        endpoint_url=caller.options.get("base_url") or caller.server.url(scenario, base=""),
        region_name="eu-central-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        config=config,
    )


def _invoke(client: Any) -> Any:
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 64,
        "messages": [{"role": "user", "content": "Hi"}],
    }
    return client.invoke_model_with_response_stream(modelId=MODEL, body=json.dumps(body))["body"]


_ERRORS = {
    "connection-failed": "botocore.exceptions.ConnectionClosedError",
    "headers-timed-out": "botocore.exceptions.ReadTimeoutError",
    "error-event": "throttlingException",
    # In the middle of a stream the SDK leaves failures of the connection as they are.
    "lost-connection": "urllib3.exceptions.ProtocolError",
    "broken-read": "urllib3.exceptions.ProtocolError",
    "read-timed-out": "urllib3.exceptions.ReadTimeoutError",
    "status-400": "ValidationException",
    "status-401": "UnrecognizedClientException",
    "status-404": "ResourceNotFoundException",
    "status-429": "ThrottlingException",
    "status-500": "InternalServerException",
    "status-503": "ServiceUnavailableException",
}

CONVERSE = Surface(
    name="converse",
    layer="bedrock",
    start=lambda client: client.converse_stream(modelId=MODEL, messages=MESSAGES)["stream"],
    client=_client,
    view=iter,
    closer=entered_of,
    response=None,
    bases=(GeneratorType,),
    model=MODEL,
    finish=("end_turn",),
    finishes={"token-limit": ("max_tokens",), "tools": ("tool_use",)},
    errors=_ERRORS,
    traits=frozenset(
        {
            "items",
            "server",
            "create",
            "full",
            "sync",
            "no-response",
            "holds-generator",
            "aws",
            "hands-out-garbage",
            "noisy",
        }
    ),
)
INVOKE = replace(CONVERSE, name="invoke-model", start=_invoke, traits=CONVERSE.traits - {"full"})
SURFACES = (CONVERSE, INVOKE)


SPECIAL = (
    Special(
        surface=CONVERSE,
        held=(CONVERSE,),
        faulty=(CONVERSE,),
        refused="botocore.exceptions.EndpointConnectionError",
        frame=None,  # binary frames
        colours=(False,),
    ),
)
