"""Odd and special data: counted right, joined right, and never in the caller's way."""

from __future__ import annotations

from typing import Any

import pytest

import streamspan
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.surface import Surface
from support.surfaces import SURFACES, each
from support.surfaces.openai import CHAT, LINES, RUNS
from support.telemetry import Told
from support.truth import Payload, Truth, called, messages_of, payloads, said
from support.twice import run_twice

_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", redactions=())
_READERS: dict[str, Any] = dict(each("TRUTHS"))


def _events(server: DemoProvider) -> list[Payload]:
    """Return the events of the last request, as the server sent them; runs have their names in no payload."""
    sent = server.exchanges[-2].sent  # the last one is the harness's barrier
    return list(payloads("".join(f"data: {payload}\n\n" for _, payload in sent)))


def _run(server: DemoProvider, surface: Surface, scenario: str, *, is_async: bool) -> Told:
    async def program(caller: Caller) -> None:
        async with caller.noting():
            held = await caller.open(surface, scenario)
            await caller.read(held, surface)
        caller.ended()

    return run_twice(server, program, is_async=is_async, config=_CONTENT)


_CASES = [
    pytest.param(
        shape.scenario,
        surface,
        shape.kind,
        is_async,
        id=f"{surface.layer}-{surface.name}-{shape.scenario}-{'async' if is_async else 'sync'}",
    )
    for shape in each("SHAPES")
    for surface in shape.surfaces
    if surface in SURFACES
    for is_async in (False, True)
]


@pytest.mark.parametrize(("scenario", "surface", "kind", "is_async"), _CASES)
def test_shape(server: DemoProvider, scenario: str, surface: Surface, kind: str, is_async: bool) -> None:
    """Characters, tool calls, usage, finish reasons and content are what the server sent, whatever form that had."""
    told = _run(server, surface, scenario, is_async=is_async)
    truth = _truth(server, surface)
    attributes = told.attributes
    assert {name: attributes.get(name) for name in _expected(truth)} == _expected(truth)
    assert {name[13:]: n for name, n in attributes.items() if name.startswith("gen_ai.usage.")} == truth.usage
    firsts = told.events("streamspan.first_token")
    assert len(firsts) == bool(kind)
    assert all(kind in _kinds(first.attributes) for first in firsts)
    _check_content(attributes, truth)


def _kinds(attributes: Any) -> tuple[str, ...]:
    kinds = attributes["streamspan.output.kind"]
    return (kinds,) if isinstance(kinds, str) else tuple(kinds)


def _truth(server: DemoProvider, surface: Surface) -> Truth:
    read: Any = _READERS[next(trait for trait in _READERS if trait in surface.traits)]
    truth: Truth = read(_events(server))
    return truth


def _expected(truth: Truth) -> dict[str, Any]:
    return {
        "streamspan.outcome": "completed",
        "gen_ai.response.id": truth.id,
        "gen_ai.response.model": truth.model,
        "gen_ai.response.finish_reasons": tuple(truth.finish[index] for index in sorted(truth.finish)),
        "streamspan.chunk.count": truth.chunks,
        "streamspan.output.characters": truth.characters,
        "streamspan.reasoning.characters": len(truth.reasoning),
        "streamspan.tool_call.count": len(truth.tools) or None,
    }


def _check_content(attributes: Any, truth: Truth) -> None:
    messages = messages_of(attributes) if "gen_ai.output.messages" in attributes else []
    if len(messages) == 1:
        assert said(messages, "text") == truth.text + truth.refusal
    else:  # the truth's text is in order of arrival, the messages are by choice
        assert sorted(said(messages, "text")) == sorted(truth.text)
    assert said(messages, "reasoning") == truth.reasoning
    assert called(messages) == truth.calls


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_role_only_chunks_are_no_tokens(server: DemoProvider, is_async: bool) -> None:
    """A stream that is cut off after its role has a first chunk and no first token."""
    told = _run(server, CHAT, "short_role", is_async=is_async)
    assert told.attributes["gen_ai.response.time_to_first_chunk"] > 0
    assert "streamspan.time_to_first_token" not in told.attributes
    assert told.events("streamspan.first_token") == []


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_no_usage_is_no_token_count(server: DemoProvider, is_async: bool) -> None:
    """Nothing is invented for a provider that sends no usage: no counts, no token metric, no token rate."""
    told = _run(server, CHAT, "ok", is_async=is_async)
    assert not [name for name in told.attributes if name.startswith("gen_ai.usage.")]
    assert "streamspan.output_rate" not in told.attributes
    assert told.count_of("gen_ai.client.token.usage") == 0


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_arguments_of_a_tool_call_that_was_cut_off_are_kept(server: DemoProvider, is_async: bool) -> None:
    """Half of the arguments is recorded as the text that it is."""
    told = _run(server, CHAT, "short_tool", is_async=is_async)
    truth = _truth(server, CHAT)
    ((_, arguments),) = truth.calls
    assert isinstance(arguments, str)
    assert called(messages_of(told.attributes)) == truth.calls
    assert told.attributes["streamspan.outcome"] == "truncated"


@pytest.mark.parametrize("surface", [CHAT, LINES], ids=lambda surface: surface.name)
def test_the_usage_of_a_chunk_with_an_error_is_kept(server: DemoProvider, surface: Surface) -> None:
    """An error that comes together with usage does not hide it."""
    told = _run(server, surface, "openrouter_error;chunks=4", is_async=False)
    truth = _truth(server, surface)
    assert truth.usage
    assert {name[13:]: n for name, n in told.attributes.items() if name.startswith("gen_ai.usage.")} == truth.usage


def test_a_run_is_counted_by_its_message_deltas(server: DemoProvider) -> None:
    """An assistants run has the text of its message deltas, and the usage and the model of the run."""
    told = _run(server, RUNS, "ok;chunks=4", is_async=False)
    data = [event.data for event in _events(server) if event.data]
    deltas = [
        event["delta"]["content"][0]["text"]["value"] for event in data if event["object"] == "thread.message.delta"
    ]
    assert len(deltas) == 4
    assert told.attributes["streamspan.output.characters"] == len("".join(deltas))
    assert said(messages_of(told.attributes), "text") == "".join(deltas)
    assert told.attributes["gen_ai.usage.output_tokens"] == data[-1]["usage"]["completion_tokens"]
    assert told.attributes["gen_ai.response.model"] == data[-1]["model"]


def test_a_compatible_server_without_markers_is_not_truncated(server: DemoProvider) -> None:
    """Ollama's endpoint may end a good stream without any marker: its end is the marker."""
    pattern = streamspan.HostPattern("127.0.0.1", "", "ollama")

    async def program(caller: Caller) -> None:
        held = await caller.open(CHAT, "short;chunks=4")
        await caller.read(held, CHAT)
        caller.ended()

    told = run_twice(server, program, is_async=False, config=streamspan.Config(hosts=(pattern,)))
    assert told.attributes["gen_ai.provider.name"] == "ollama"
    assert told.attributes["streamspan.outcome"] == "completed"
    assert "error.type" not in told.attributes
