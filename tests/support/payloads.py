"""Payloads by the thousand: any JSON with plausible names in it, and what a delta must look like whatever was read."""

from __future__ import annotations

import copy
from dataclasses import replace
from importlib.metadata import version
from typing import Any

import pytest
from hypothesis import strategies as st
from openai._models import construct_type

from streamspan._records import Delta, ProviderError, ToolCallDelta

# Names and words that readers look for, so that the nonsense reaches all their branches.
NAMES = (
    "arguments", "audio", "b64_json", "cached_tokens", "choices", "code", "completion_tokens",
    "completion_tokens_details", "content", "custom", "data", "delta", "error", "event", "finish_reason", "function",
    "function_call", "id", "incomplete_details", "index", "input", "item", "last_error", "message", "model", "name",
    "output", "output_index", "output_tokens_details", "prompt_tokens", "prompt_tokens_details", "reason", "reasoning",
    "reasoning_content", "refusal", "response", "service_tier", "status", "step_details", "summary",
    "system_fingerprint", "text", "tool_calls", "transcript", "type", "usage", "value",
)  # fmt: skip
WORDS = (
    "", "code_interpreter", "completed", "error", "failed", "function_call", "function", "image_generation_call",
    "message", "reasoning", "response.completed", "response.created", "response.failed",
    "response.function_call_arguments.delta", "response.output_item.added", "response.output_text.delta", "stop",
    "thread.message.delta", "thread.run.completed", "thread.run.created", "thread.run.failed", "thread.run.step.delta",
    "transcript.text.delta", "transcript.text.done", "image_generation.completed",
)  # fmt: skip

_leaves = (
    st.none() | st.booleans() | st.integers(-3, 10**20) | st.floats() | st.text(max_size=5) | st.sampled_from(WORDS)
)
anything = st.recursive(
    _leaves,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=25,
)
"""Any JSON."""

objects = st.dictionaries(st.sampled_from(NAMES), anything, min_size=1, max_size=8)
"""Any JSON object with names that readers look for."""


def check(delta: Delta) -> None:
    """Check that a delta is of the types that it says it is, for its readers look at it no further."""
    assert type(delta) is Delta
    assert delta.choice is None or type(delta.choice) is int
    for text in (
        delta.text,
        delta.reasoning,
        delta.refusal,
        delta.finish_reason,
        delta.response_id,
        delta.response_model,
    ):
        assert type(text) is str
    assert type(delta.media) is int
    assert type(delta.is_terminal) is bool
    for call in delta.tool_calls:
        _check_call(call)
    for name, count in (delta.usage or {}).items():
        assert (type(name), type(count)) == (str, int)
    for value in (delta.attributes or {}).values():
        _check_value(value)
    if delta.error is not None:
        assert type(delta.error) is ProviderError
        assert (type(delta.error.type), type(delta.error.message)) == (str, str)
        assert delta.error.type
    for other in delta.others:
        check(other)


def _check_call(call: ToolCallDelta) -> None:
    assert call.index is None or type(call.index) is int
    assert (type(call.id), type(call.name), type(call.arguments)) == (str, str, str)


def _check_value(value: Any) -> None:
    if isinstance(value, list):
        assert all(type(item) is str for item in value)
    else:
        assert type(value) in (str, bool, int, float)


def or_missing(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return objects in which each field may be missing or null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | value for name, value in fields.items()})


words = st.sampled_from(["a", "b", "", "Hallo", "höh"])
numbers = st.integers(0, 50)


def usage_with(required: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return usage that has at least one count, as all usage that anybody sends."""
    optional = {name: st.none() | value for name, value in fields.items()}
    return st.fixed_dictionaries({required: numbers}, optional=optional)


def plain(delta: Delta) -> Delta:
    """Return a delta in which what is empty is missing, for comparison."""
    return replace(
        delta,
        usage=dict(delta.usage) if delta.usage else None,
        attributes=dict(delta.attributes) if delta.attributes else None,
        tool_calls=list(delta.tool_calls),
        others=[plain(other) for other in delta.others],
    )


def make_object(kind: Any, payload: Any) -> Any:
    """Make the SDK's object of a payload, as the SDK does; a class that the SDK does not have skips the test."""
    if kind is None or int(version("openai").partition(".")[0]) < 3:
        pytest.skip("the classes of this SDK do not declare all that its streams say today")
    return construct_type(type_=kind, value=copy.deepcopy(payload))
