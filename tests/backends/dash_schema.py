"""A dashboard seen by Grafana's own SDK: what it does not know in it, and what it knows to be of another type.

The SDK is generated from Grafana's schemas. It drops what it does not know without a word, so what a dashboard loses on
its way through it is a misspelt or outdated key; and it takes any value, so the types of its annotations are compared.
"""

from __future__ import annotations

import enum
import json
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, Union

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

register_default_plugins()


def findings(dashboard: Mapping[str, Any]) -> list[str]:
    """Return what the SDK does not know in a dashboard, or knows to be of another type."""
    return findings_of(Dashboard, dashboard)


def findings_of(model: Any, data: Mapping[str, Any]) -> list[str]:
    """Return the same for a part of a dashboard, of which the SDK has a model."""
    try:
        known = model.from_json(dict(data))
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        return [f"cannot be read: {exc!r}"]
    kept = dict(_leaves(json.loads(JSONEncoder().encode(known))))
    lost = [f"{path} is not known" for path, value in _leaves(data) if kept.get(path, ()) != value]
    return lost + [f"{path} is {value!r}" for path, value in _mistyped(known, model, "")]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value that holds no others, with its path."""
    if isinstance(value, Mapping) and value:
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _leaves(each, f"{path}[{index}]")
    else:
        yield path, value


def _mistyped(value: Any, hint: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield the values that are not of the type that is annotated."""
    origin = typing.get_origin(hint)
    arguments = typing.get_args(hint)
    if origin in {Union, types.UnionType}:
        # Of several types the one that goes furthest is the one that was meant.
        faults = [[*_mistyped(value, each, path)] for each in arguments]
        if all(faults):
            yield from max(faults, key=lambda found: len(found[0][0]))
    elif origin is list and isinstance(value, list):
        for index, each in enumerate(value):
            yield from _mistyped(each, arguments[0], f"{path}[{index}]")
    elif origin is dict and isinstance(value, dict):
        for key, each in value.items():
            yield from _mistyped(each, arguments[1], f"{path}.{key}")
    elif not _is_one_of(value, origin or hint, arguments):
        yield path, value
    else:
        yield from _of_fields(value, path)


def _is_one_of(value: Any, hint: Any, arguments: tuple[Any, ...]) -> bool:
    """Tell whether a value is of a type that is no union and no container of the right kind."""
    if hint is Literal:
        return value in arguments
    if not isinstance(hint, type):  # `Any` and type variables
        return True
    if issubclass(hint, enum.Enum):
        return value in {each.value for each in hint}
    if hint in {int, float}:
        return isinstance(value, (int, hint)) and not isinstance(value, bool)
    if isinstance(value, dict) and hasattr(hint, "from_json"):  # the SDK leaves some as they came
        return not findings_of(hint, value)
    return isinstance(value, hint)


def _of_fields(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if type(value).__module__.startswith("grafana_foundation_sdk") and not isinstance(value, enum.Enum):
        for name, hint in typing.get_type_hints(type(value)).items():
            yield from _mistyped(getattr(value, name), hint, f"{path}.{name}")
