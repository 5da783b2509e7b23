"""The public surfaces that give a stream, as data: a new provider is a module here, with `SURFACES`.

What else the matrix tries on some of them, a module says if it has it: `SHAPES` and `TRUTHS` (data that must be counted
right, and how to read what the server sent), `LIFETIMES` and `CHUNK_LIFETIMES` (nothing lives longer, or shorter, than
without streamspan), `CONTEXTS` (what is current when), `CLOCKED` (the clocks).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from support.surface import Surface

# Module here to the package that it needs.
VENDORS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google.genai",
    "groq": "groq",
    "mistral": "mistralai",
    "cohere": "cohere",
    "ollama": "ollama",
    "huggingface": "huggingface_hub.inference",
    "bedrock": "boto3",
    "langchain": "langchain_openai",
    "langchain_anthropic": "langchain_anthropic",
    "langchain_google": "langchain_google_genai",
    "raw_httpx": "httpx",
    "raw_requests": "requests",
    "raw_aiohttp": "aiohttp",
}


def _is_absent(package: str) -> bool:
    try:
        return find_spec(package) is None
    except ModuleNotFoundError:  # not even the package that it would be in
        return True


ABSENT = tuple(package for package in VENDORS.values() if _is_absent(package))
"""Packages that are not installed, and whose surfaces are not run therefore."""
_MODULES = [import_module(f"support.surfaces.{vendor}") for vendor, package in VENDORS.items() if package not in ABSENT]


def each(name: str) -> tuple[Any, ...]:
    """Return what the vendors' modules have under a name, one after the other."""
    return tuple(item for module in _MODULES for item in getattr(module, name, ()))


SURFACES: tuple[Surface, ...] = each("SURFACES")
