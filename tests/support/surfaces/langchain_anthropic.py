"""LangChain's surfaces over Anthropic's SDK, as data."""

from __future__ import annotations

from typing import Any

from langchain_anthropic import ChatAnthropic

from support.langchain_surfaces import Pace, clocked, shapes, surfaces
from support.surface import Surface
from support.surfaces import anthropic as vendor


def _model(client: Any, is_async: bool) -> ChatAnthropic:
    settings: dict[str, Any] = {"model": vendor.MODEL, "api_key": "key"}
    model = ChatAnthropic(**settings)
    # It takes no client, and keeps its own in a cached property.
    model.__dict__["_async_client" if is_async else "_client"] = client
    return model


# A block's beginning comes with its first text, and the end marker with the end of the iteration.
SURFACES: tuple[Surface, ...] = surfaces(vendor.MESSAGES, _model, Pace(opening=1, text=2), frozenset({"hides-events"}))
STREAM, CHAIN, *_ = SURFACES

# For the other files of the matrix, as in `support.surfaces`.
SHAPES = shapes(vendor.MESSAGES, vendor.SHAPES, STREAM)
LIFETIMES = CHUNK_LIFETIMES = (STREAM,)
CONTEXTS = (STREAM, CHAIN)
CLOCKED = (clocked(vendor.CLOCKED[0], _model, STREAM),)
