"""The door into chunks: plain mappings for readers, whatever a chunk is, without a surprise for nonsense."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from openai.types.chat.chat_completion_chunk import ChoiceDelta
from openai.types.completion_usage import CompletionUsage
from pydantic import BaseModel

from streamspan.providers._shapes import counts, extras, fields, items, text


class Slotted:
    __slots__ = ("text",)

    def __init__(self) -> None:
        self.text = "a"


def test_a_json_object_is_its_own_fields() -> None:
    """No copy is made."""
    data = {"a": 1}
    assert fields(data) is data
    assert extras(data) is data


def test_an_sdk_object_has_its_declared_fields_apart_from_the_others() -> None:
    """What the SDK's class does not know is in `extras`."""
    delta = ChoiceDelta.construct(content="a", reasoning_content="b")
    assert fields(delta)["content"] == "a"
    assert "reasoning_content" not in fields(delta)
    assert dict(extras(delta)) == {"reasoning_content": "b"}
    assert dict(extras(ChoiceDelta.construct(content="a"))) == {}


def test_any_object_has_its_attributes() -> None:
    """An object that is no pydantic model has no second kind of fields."""
    thing = SimpleNamespace(text="a")
    assert dict(fields(thing)) == {"text": "a"}
    assert dict(extras(thing)) == {"text": "a"}


def test_a_model_that_forbids_extras_has_none() -> None:
    """Its class says None then."""

    class Strict(BaseModel):
        text: str = "a"

    assert dict(extras(Strict())) == {}


@pytest.mark.parametrize("value", [None, 5, 2.5, "text", b"bytes", True, [], ["a"], (), Slotted(), object()], ids=repr)
def test_anything_else_has_no_fields(value: Any) -> None:
    """And raises nothing."""
    assert dict(fields(value)) == {}
    assert dict(extras(value)) == {}


def test_a_field_of_text_is_text_or_empty() -> None:
    """Never None, a number or a list."""
    assert text("a") == "a"
    others: list[Any] = [None, 5, True, ["a"], {}, b"a", ""]
    assert [text(value) for value in others] == [""] * 7


def test_a_field_of_many_is_a_list_or_empty() -> None:
    """A text is no list of letters."""
    value = [1]
    others: list[Any] = [None, "abc", {}, (1,), 5]
    assert items(value) is value
    assert [items(other) for other in others] == [[]] * 5


def test_counts_are_whole_numbers() -> None:
    """Zero counts; null, floats, booleans, text and what is below zero do not: a histogram would refuse it, and say so."""
    pairs: dict[str, Any] = {"a": 1, "b": 0, "c": None, "d": 1.5, "e": True, "f": "7", "g": [], "h": -5}
    assert counts(pairs) == {"a": 1, "b": 0}
    assert counts(fields(CompletionUsage(completion_tokens=2, prompt_tokens=1, total_tokens=3))) == {
        "completion_tokens": 2, "prompt_tokens": 1, "total_tokens": 3,
    }  # fmt: skip
