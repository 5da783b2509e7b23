"""The one door through which readers look into chunks: SDK objects and decoded JSON alike.

Readers ask for plain mappings. A pydantic object gives its `__dict__`, because `getattr` of a field that a model
lacks costs 3 microseconds (pydantic 2 `__getattr__`), and its undeclared fields through `extras`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_EMPTY: Mapping[str, Any] = {}


def fields(value: Any) -> Mapping[str, Any]:
    """Return the declared fields of an SDK object, or the JSON object itself; empty for anything else."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    try:
        return value.__dict__  # type: ignore[no-any-return] # an instance's __dict__
    except AttributeError:
        return _EMPTY


def extras(value: Any) -> Mapping[str, Any]:
    """Return the fields that the SDK's class does not declare; for JSON that is the object itself."""
    if type(value) is dict:
        return cast("dict[str, Any]", value)
    try:
        return value.__pydantic_extra__ or _EMPTY
    except AttributeError:
        return fields(value)


def everything(value: Any) -> Mapping[str, Any]:
    """Return declared and undeclared fields alike: what an older SDK's class does not know yet is undeclared there."""
    data, more = fields(value), extras(value)
    return {**more, **data} if more and more is not data else data


def text(value: Any) -> str:
    """Return a string field, empty when it is missing or something else."""
    return value if type(value) is str else ""


def items(value: Any) -> list[Any]:
    """Return a list field, empty when it is missing, null or something else."""
    return cast("Any", value) if type(value) is list else []


def counts(pairs: Mapping[str, Any]) -> dict[str, int]:
    """Keep what is a token count: a whole number that was sent, and none below zero, which histograms refuse."""
    return {name: value for name, value in pairs.items() if type(value) is int and value >= 0}
