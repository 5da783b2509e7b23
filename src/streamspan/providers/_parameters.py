"""From the parameters of a request to attributes of the conventions; what an attribute cannot be is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from streamspan._records import AttributeValue
from streamspan.providers._shapes import items

# Not unions in the calls: those would be made anew each time.
_SCALARS = (str, bool, int, float)
_NUMBERS = (int, float)


def known(attributes: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Keep the attributes that have a value an attribute can have."""
    return {name: value for name, value in attributes.items() if value is not None and _is_attribute(value)}


def _is_attribute(value: Any) -> bool:
    if isinstance(value, list):
        return all(isinstance(item, str) for item in cast("list[object]", value))
    return isinstance(value, _SCALARS)


def ints(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Return the request's whole numbers under their attribute names; `names` is attribute to key."""
    return {attribute: value for attribute, key in names.items() if type(value := body.get(key)) is int}


def doubles(body: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, AttributeValue]:
    """Return the request's numbers as doubles under their attribute names; `names` is attribute to key."""
    return {
        attribute: float(value)
        for attribute, key in names.items()
        if isinstance(value := body.get(key), _NUMBERS) and not isinstance(value, bool)
    }


SAMPLING = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
}


def strings(value: Any) -> list[str] | None:
    """Return the texts of a list, None if it is none."""
    return [item for item in items(value) if type(item) is str] if type(value) is list else None
