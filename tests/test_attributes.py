"""Attributes of the span and of the metrics: who wins where several speak, and that nothing is ever None."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streamspan._attributes import (
    end_attributes,
    metric_attributes,
    span_name,
    start_attributes,
    with_response_model,
)
from streamspan._identity import Identity
from streamspan._records import Request
from streamspan._summary import summarize
from telemetry_rig import REQUEST, Rig

BARE = Request(operation="chat", provider="acme", layer="manual")


@pytest.mark.parametrize(("model", "name"), [("m-1", "chat m-1"), (None, "chat"), ("", "chat")])
def test_the_name_is_operation_and_model(model: str | None, name: str) -> None:
    """The operation stands alone when the model is unknown."""
    assert span_name(replace(BARE, model=model)) == name


def test_metrics_carry_only_what_is_known() -> None:
    """Nothing is filled in; a port without an address says nothing."""
    assert metric_attributes(BARE) == {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "acme"}
    assert "server.port" not in metric_attributes(replace(BARE, server_port=443))
    assert "server.port" not in metric_attributes(replace(BARE, server_address="h"))
    assert metric_attributes(replace(BARE, server_address="h", server_port=0))["server.port"] == 0


def test_metrics_know_the_responses_model_when_there_is_one() -> None:
    """Without one it is the same dictionary."""
    attributes = metric_attributes(REQUEST)
    assert with_response_model(attributes, None) is attributes
    assert with_response_model(attributes, "m-2") == {**attributes, "gen_ai.response.model": "m-2"}


def test_the_ids_that_the_application_gives_beat_those_of_the_request() -> None:
    """A conversation in the request is used unless the application named one; free attributes never win."""
    request = replace(BARE, attributes={"gen_ai.conversation.id": "conv-1", "gen_ai.request.seed": 3})
    assert start_attributes(request, None)["gen_ai.conversation.id"] == "conv-1"
    attributes = start_attributes(request, Identity("s-1", None, {"gen_ai.request.seed": 9, "user.id": "free"}))
    assert attributes["gen_ai.conversation.id"] == "s-1"
    assert attributes["gen_ai.request.seed"] == 3
    assert attributes["user.id"] == "free"
    assert start_attributes(request, Identity(None, "u-1", {"user.id": "free"}))["user.id"] == "u-1"


@pytest.mark.parametrize(("count", "shown"), [(1, None), (3, 3)])
def test_the_number_of_choices_is_told_when_there_are_several(count: int, shown: int | None) -> None:
    """One choice is the default and is not told."""
    attributes = start_attributes(replace(BARE, choice_count=count), None)
    assert attributes.get("gen_ai.request.choice.count") == shown


def test_what_a_third_party_left_empty_is_left_out() -> None:
    """A provider from elsewhere may put None where it found nothing."""
    nothing: Any = {"gen_ai.request.seed": None}
    assert "gen_ai.request.seed" not in start_attributes(replace(BARE, attributes=nothing), None)
    summary = summarize(Rig().complete())
    assert None not in end_attributes(summary, nothing, None).values()


def test_the_answer_cannot_overwrite_what_was_measured() -> None:
    """Response attributes come first, so that ours win."""
    attributes = end_attributes(summarize(Rig().complete()), {"streamspan.outcome": "mine", "openai.x": 1}, None)
    assert (attributes["streamspan.outcome"], attributes["openai.x"]) == ("completed", 1)
