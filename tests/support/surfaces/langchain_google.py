"""LangChain's surfaces over google-genai, as data."""

from __future__ import annotations

from typing import Any

from langchain_google_genai import ChatGoogleGenerativeAI

from support.langchain_surfaces import Pace, clocked, shapes, surfaces
from support.seen import TLS
from support.surface import Surface
from support.surfaces import gemini as vendor


def _model(client: Any, is_async: bool) -> Any:
    settings: dict[str, Any] = {"model": vendor.MODEL, "google_api_key": "key", "client_args": {"verify": TLS}}
    model: Any = ChatGoogleGenerativeAI(**settings)
    model.client.close()
    # Its own number of attempts would be part of each request, with the SDK's long waits between them.
    model.client, model.max_retries = client._client, None
    return model


SURFACES: tuple[Surface, ...] = surfaces(vendor.CONTENT, _model, Pace(opening=0))
STREAM, CHAIN, *_ = SURFACES

# For the other files of the matrix, as in `support.surfaces`.
# LangChain gives each of the server's tool calls an id of its own, another one in each run.
SHAPES = shapes(vendor.CONTENT, (each for each in vendor.SHAPES if each.scenario != "server_tools"), STREAM)
LIFETIMES = CHUNK_LIFETIMES = (STREAM,)
CONTEXTS = (STREAM, CHAIN)
CLOCKED = (clocked(vendor.CLOCKED[0], _model, STREAM, STREAM, CHAIN),)
