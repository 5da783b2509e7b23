"""The table of scenarios: what each sends, without a socket."""

from __future__ import annotations

import re

import pytest

from streamspan.demo.connection import ENDINGS
from streamspan.demo.scenarios import SCENARIOS, UnknownScenarioError, key_of, parse
from streamspan.demo.steps import Wait
from streamspan.demo.streams import DRESSES, Event, Reply

STREAM = (
    Event("role", "start"),
    *(Event(str(n)) for n in range(5)),
    Event("stop", "finish"),
    Event("counts", "usage"),
    Event("[DONE]", "done"),
)
REPLY = Reply(STREAM, {}, {"error": (Event("failed"),), "incomplete": (Event("length", "finish"),)})
ALL = ["role", "0", "1", "2", "3", "4", "stop", "counts", "[DONE]"]


def played(scenario: str) -> list[object]:
    """Return what a scenario does with the stream: payloads, seconds, and `hold`."""
    actions = parse(scenario).script(REPLY)
    return [
        action.data if isinstance(action, Event) else action.seconds if isinstance(action, Wait) else "hold"
        for action in actions
    ]


@pytest.mark.parametrize(
    ("scenario", "expected"),
    [
        ("ok", ALL),
        ("late;pause=0.2", ["role", 0.2, *ALL[1:]]),
        ("stall;pause=2", [*ALL[:3], 2.0, *ALL[3:]]),
        ("gate", [*ALL[:3], "hold", *ALL[3:]]),
        ("gate;after=0", ["hold", *ALL]),
        ("steps", [word for payload in ALL for word in ("hold", payload)]),
        ("hang", ALL[:3]),
        ("hang_headers", []),
        ("short;after=5", ALL[:5]),
        ("short;after=50", ALL),
        ("short_role", ALL[:1]),
        ("short_tool", ALL[:4]),
        ("empty", []),
        ("no_done", ALL[:-1]),
        ("done_only", [*ALL[:6], "[DONE]"]),
        ("error_event", [*ALL[:3], "failed"]),
        ("response_failed", [*ALL[:3], "failed"]),
        ("response_incomplete", [*ALL[:6], "length"]),
        ("garbage", [*ALL[:3], "failed", *ALL[3:]]),
        ("drop", ALL[:3]),
    ],
)
def test_a_scenario_plays_its_steps(scenario: str, expected: list[object]) -> None:
    """What is sent, and where it waits."""
    assert played(scenario) == expected


def test_parameters_override_the_defaults() -> None:
    """Each parameter sets the field of its name."""
    scenario = parse("slow;pause=1.5;chunks=5;delay=0.1;after=2;split=1;batch=9;fails=4;key=k")
    assert (scenario.pause, scenario.chunks, scenario.delay, scenario.after) == (1.5, 5, 0.1, 2)
    assert (scenario.split, scenario.batch, scenario.fails) == (1, 9, 4)


def test_the_key_is_the_parameter_or_the_whole_text() -> None:
    """Two users of a scenario are kept apart by `key`."""
    assert [key_of(text) for text in ("flaky", "flaky;fails=1", "flaky;key=a;fails=1")] == [
        "flaky",
        "flaky;fails=1",
        "a",
    ]


@pytest.mark.parametrize("text", ["nothing", "", "ok;speed=1", "ok;chunks=few", "ok;chunks"])
def test_what_is_unknown_is_said(text: str) -> None:
    """The message names what was wrong."""
    wrong = text.partition(";")[2] or text
    with pytest.raises(UnknownScenarioError, match=re.escape(repr(wrong))):
        parse(text)


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_is_complete(name: str) -> None:
    """Each row has a sentence and names what there is."""
    scenario = SCENARIOS[name]
    assert scenario.summary.endswith(".")
    assert scenario.ending in ENDINGS
    assert scenario.dress in DRESSES
    assert scenario.steps or scenario.status != 200 or name in {"empty", "hang_headers"}


@pytest.mark.parametrize(
    ("dress", "text"),
    [
        ("lf", 'event: e\ndata: {"a":[1]}\n\n'),
        ("crlf", 'event: e\r\ndata: {"a":[1]}\r\n\r\n'),
        ("multiline", 'event: e\ndata: {\ndata:  "a": [\ndata:   1\ndata:  ]\ndata: }\n\n'),
        ("keepalive", ': keep-alive\n\nevent: e\ndata: {"a":[1]}\n\n'),
        ("bare", '{"a":[1]}'),
    ],
)
def test_an_event_is_dressed(dress: str, text: str) -> None:
    """The bytes of one event in each dress."""
    assert DRESSES[dress](Event('{"a":[1]}', "delta", "e")) == text
