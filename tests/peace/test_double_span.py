"""The double-span contract: who finds another one's inference in the context adds to it, once, and only to the same call."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from opentelemetry import context as otel_context

from streamspan._double_span import as_outer, outer_inference, publish
from streamspan._records import Request

_KEY = "opentelemetry.genai.client.inference.context"


@dataclass
class Inference:
    """What opentelemetry-util-genai keeps in the context, as far as it matters here."""

    operation_name: str | None = "chat"
    request_model: str | None = "m1"
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])


def _request(**more: Any) -> Request:
    return Request(**{"operation": "chat", "provider": "acme", "layer": "acme", "model": "m1", **more})


def _context(inference: object) -> otel_context.Context:
    return otel_context.set_value(_KEY, inference, otel_context.Context())


def test_the_first_call_of_that_model_is_the_inner_one() -> None:
    """The same inference is not met twice: a key may be left in place for as long as a stream is open."""
    inference = Inference()
    context = _context(inference)
    assert outer_inference(context, _request()) is inference
    assert outer_inference(context, _request()) is None


@pytest.mark.parametrize(
    "request_", [_request(model="m2"), _request(operation="text_completion")], ids=["model", "operation"]
)
def test_another_call_is_none_of_its_business(request_: Request) -> None:
    """A call of another model or kind is recorded, and the inner one is still found afterwards."""
    context = _context(Inference())
    assert outer_inference(context, request_) is None
    assert outer_inference(context, _request()) is not None


@pytest.mark.parametrize("found", [None, object(), "yes", 5, Inference(operation_name=None, request_model="m2")])
def test_what_is_not_to_be_understood_is_not_met(found: object) -> None:
    """Whatever else is under the key: the call is recorded."""
    assert outer_inference(_context(found), _request()) is None


def test_an_inference_that_names_nothing_is_that_of_the_call() -> None:
    """Unknown model and operation do not contradict."""
    assert outer_inference(_context(Inference(None, None)), _request()) is not None


def test_what_is_published_leaves_the_status_alone() -> None:
    """`error.type` without the status ERROR, which is the outer one's to set, would be a contradiction."""
    inference = Inference()
    publish(inference, {"streamspan.outcome": "truncated", "error.type": "truncated"})
    assert inference.attributes == {"streamspan.outcome": "truncated"}


def test_without_anybody_to_keep_silent_the_context_is_as_it_was() -> None:
    """The key is set only where somebody would look for it."""
    if "opentelemetry.util.genai.invocation" in sys.modules:
        pytest.skip("opentelemetry-util-genai is imported in this process")
    context = otel_context.Context()
    assert as_outer(context) is context


def test_inner_instrumentations_find_ours_and_we_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """They look for the very type; our own inner calls are told apart by ownership, not by this key."""
    module = ModuleType("opentelemetry.util.genai.invocation")
    module.InferenceData = Inference  # type: ignore[attr-defined] # of the module that stands in for theirs
    monkeypatch.setitem(sys.modules, module.__name__, module)
    context = as_outer(otel_context.Context())
    assert isinstance(otel_context.get_value(_KEY, context), Inference)
    assert outer_inference(context, _request()) is None
