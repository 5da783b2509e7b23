"""Chunks of streams that no provider describes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._records import Delta
from streamspan.providers._generic import read_anything
from support.payloads import anything, check


@pytest.mark.parametrize("name", ["text", "content", "delta", "token", "response", "output", "completion"])
def test_text_is_found_under_the_usual_names(name: str) -> None:
    """The value must be text, and not empty."""
    assert read_anything({name: "Hallo", "other": 3}) == Delta("Hallo", 0)
    assert read_anything({name: ["Hallo"]}) == Delta("", 0)
    assert read_anything({name: ""}) == Delta("", 0)


def test_the_first_name_with_a_text_counts() -> None:
    """In the order of the list, not of the chunk."""
    assert read_anything({"content": "b", "text": "a"}) == Delta("a", 0)
    assert read_anything({"text": None, "content": "b"}) == Delta("b", 0)


def test_text_and_bytes_are_text() -> None:
    """Bytes are UTF-8, with a mark for what is not."""
    assert read_anything("Hallo") == Delta("Hallo", 0)
    assert read_anything("höh".encode()) == Delta("höh", 0)
    assert read_anything(bytearray(b"a\xff")) == Delta("a\N{REPLACEMENT CHARACTER}", 0)
    assert read_anything("") == Delta("", 0)


def test_a_chat_chunk_is_read_as_one() -> None:
    """So many libraries copy OpenAI's shape."""
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]}
    assert read_anything(chunk) == Delta(
        "a", 0, finish_reason="stop", response_id="c", response_model="m", attributes={}
    )


def test_a_message_has_its_content() -> None:
    """As Ollama sends it."""
    assert read_anything({"message": {"role": "assistant", "content": "a"}}) == Delta("a", 0)
    assert read_anything({"message": "text"}) == Delta("", 0)


@settings(deadline=None)
@given(anything | st.binary())
def test_nothing_makes_it_raise(chunk: Any) -> None:
    """Whatever it is, there is a well-formed delta."""
    check(read_anything(chunk))
