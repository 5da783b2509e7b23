"""What the demo's models say."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from streamspan.demo.prose import ANSWER, fragments, pieces, sample


@pytest.mark.parametrize("count", [0, 1, 5, 500])
def test_text_has_as_many_pieces_as_asked_for(count: int) -> None:
    """Short or long, each piece says something."""
    words = pieces(ANSWER, count)
    assert len(words) == count
    assert all(word.strip() for word in words)


def test_pieces_are_the_text() -> None:
    """Without a count nothing is lost but the space at the end."""
    assert "".join(pieces(ANSWER)) == ANSWER.rstrip()


@pytest.mark.parametrize("count", [None, 1, 3, 100])
def test_fragments_are_the_text(count: int | None) -> None:
    """Cut JSON joins to the same JSON."""
    assert "".join(fragments('{"city":"Montréal"}', count)) == '{"city":"Montréal"}'


class Node(BaseModel):
    """A schema with everything that models are asked for, itself included."""

    title: str
    count: int
    share: float
    done: bool
    tags: list[str]
    children: list[Node]
    parent: Node | None


def test_a_sample_satisfies_its_schema() -> None:
    """Structured output is valid, even where the schema refers to itself."""
    node = Node.model_validate(sample(Node.model_json_schema()))
    assert (node.title, node.count, node.tags) == ("a title", 42, ["a tags"])


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": ["string", "null"]}, "text"),
        ({"type": "string", "format": "date"}, "2026-01-01"),
        ({"type": "integer", "minimum": 100}, 100),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"oneOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({}, {}),
    ],
)
def test_a_sample_of_each_kind(schema: dict[str, object], value: object) -> None:
    """The value for each construct of a schema."""
    assert sample(schema) == value
