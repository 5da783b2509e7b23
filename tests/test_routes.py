"""The table of routes: which signal takes what, for every combination of the switches."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from streamspan._config import CaptureMode, Config, EventTarget
from streamspan._routes import Routes, routes_of

OPT_INS = ("", "logs", "logs/dup")
EMITS = ("", "true", "false")


def test_by_default_everything_is_on_the_span() -> None:
    """Events and exceptions on the span, nothing in the log, no content."""
    assert routes_of(Config()) == Routes(
        events_on_span=True,
        events_in_log=False,
        exceptions_on_span=True,
        exceptions_in_log=False,
        content_on_span=False,
        content_in_details=False,
        has_details=False,
    )


@pytest.mark.parametrize(("target", "opt_in"), list(product(get_args(EventTarget), OPT_INS)))
def test_exceptions_follow_the_events_unless_they_are_moved(target: EventTarget, opt_in: str) -> None:
    """`logs` takes them off the span, `logs/dup` puts them on both, and `off` is off."""
    routes = routes_of(Config(events=target), exception_opt_in=opt_in)
    expected = {
        "": (target in {"span", "both"}, target in {"log", "both"}),
        "logs": (False, target != "off"),
        "logs/dup": (target != "off", target != "off"),
    }[opt_in]
    assert (routes.exceptions_on_span, routes.exceptions_in_log) == expected
    assert (routes.events_on_span, routes.events_in_log) == (target in {"span", "both"}, target in {"log", "both"})


@pytest.mark.parametrize(("mode", "emit"), list(product(get_args(CaptureMode), EMITS)))
def test_content_needs_its_mode_and_the_details_their_switch(mode: CaptureMode, emit: str) -> None:
    """Without the switch the details event is there exactly when it is to carry content."""
    routes = routes_of(Config(capture_content=mode), emit_event=emit)
    in_event = mode in {"EVENT_ONLY", "SPAN_AND_EVENT"}
    has_details = {"": in_event, "true": True, "false": False}[emit]
    assert routes.content_on_span == (mode in {"SPAN_ONLY", "SPAN_AND_EVENT"})
    assert (routes.has_details, routes.content_in_details) == (has_details, has_details and in_event)
