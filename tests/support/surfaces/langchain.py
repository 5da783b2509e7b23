"""LangChain's surfaces over OpenAI's SDK, as data."""

from __future__ import annotations

import sys
from typing import Any

from langchain_openai import ChatOpenAI

from support.langchain_surfaces import Pace, clocked, shapes, surfaces
from support.surface import Surface
from support.surfaces import openai as vendor


def _model(client: Any, is_async: bool) -> ChatOpenAI:
    settings: dict[str, Any] = {"base_url": str(client.base_url), "api_key": "key", "timeout": client.timeout}
    settings["http_async_client" if is_async else "http_client"] = client._client
    return ChatOpenAI(model=vendor.MODEL, max_retries=client.max_retries, **settings)


# `ChatOpenAI` waits for each chunk with `asyncio.wait_for`.
_WAITS = frozenset({"wait-for"}) if sys.version_info < (3, 12) else frozenset[str]()
SURFACES: tuple[Surface, ...] = surfaces(vendor.CHAT, _model, Pace(opening=1), _WAITS | {"swallows"})
STREAM, CHAIN, *_ = SURFACES

# For the other files of the matrix, as in `support.surfaces`.
# langchain-openai 0.2 fails where `choices` is null.
SHAPES = shapes(vendor.CHAT, (each for each in vendor.SHAPES if each.scenario != "null_choices"), STREAM)
LIFETIMES = CHUNK_LIFETIMES = (STREAM,)
CONTEXTS = (STREAM, CHAIN)
CLOCKED = (clocked(vendor.CLOCKED[0], _model, STREAM, STREAM, CHAIN),)
