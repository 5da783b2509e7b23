"""What an object says of itself to whoever asks, in words that can be compared."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from collections.abc import AsyncGenerator, Callable, Generator
from types import AsyncGeneratorType, GeneratorType
from typing import Any

_WAYS: dict[str, Callable[[Any], object]] = {
    "repr": lambda value: re.sub(r" at 0x\w+", "", repr(value)),
    "class": lambda value: value.__class__,
    "types": lambda value: [isinstance(value, kind) for kind in (GeneratorType, AsyncGeneratorType)],
    "abstract types": lambda value: [isinstance(value, kind) for kind in (Generator, AsyncGenerator)],
    "inspect": lambda value: [inspect.isgenerator(value), inspect.isasyncgen(value), inspect.isawaitable(value)],
    "state": lambda value: inspect.getgeneratorstate(value) if hasattr(value, "gi_frame") else None,
    "running": lambda value: [getattr(value, name, None) for name in ("gi_running", "ag_running")],
    "name": lambda value: [getattr(value, name, None) for name in ("__name__", "__qualname__")],
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": pickle.dumps,
}


def shown(value: Any) -> dict[str, str]:
    """Return what an object says, or raises, in each of the ways to ask it."""
    return {name: _said(way, value) for name, way in _WAYS.items()}


def _said(way: Callable[[Any], object], value: Any) -> str:
    try:
        return str(way(value))
    except Exception as exc:  # noqa: BLE001 - also how it fails is what it says
        return f"{type(exc).__qualname__}: {exc}"
