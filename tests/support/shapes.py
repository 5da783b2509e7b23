"""What `matrix/test_shapes.py` tries on a vendor's surfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from support.surface import Surface
from support.truth import Payload, Truth

Reading: TypeAlias = tuple[str, Callable[[Iterable[Payload]], Truth]]
"""A trait of surfaces, and how to read what the server sent them."""


class Shape(NamedTuple):
    """A scenario whose data must be counted right.

    Args:
        scenario: what the server does.
        surfaces: where it is tried.
        kind: of the first output; empty where there is none.
    """

    scenario: str
    surfaces: tuple[Surface, ...]
    kind: str
