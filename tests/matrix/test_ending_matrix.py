"""Every ending on every surface in both colours: recorded right, at the ending, and invisible to the caller."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from opentelemetry.trace import SpanKind, StatusCode

from matrix.endings import Ending, cases
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.surface import Surface
from support.telemetry import Told
from support.twice import run_twice

pytestmark = pytest.mark.usefixtures("_quick_retries")

_CASES = [
    pytest.param(
        surface, ending, is_async, id=f"{surface.layer}-{surface.name}-{ending.name}-{'async' if is_async else 'sync'}"
    )
    for surface, ending, is_async in cases()
]


@pytest.mark.parametrize(("surface", "ending", "is_async"), _CASES)
def test_ending(server: DemoProvider, surface: Surface, ending: Ending, is_async: bool) -> None:
    """The span says how the stream ended, is over when the stream is, and the caller sees what the bare SDK shows."""
    # `ChatOpenAI.astream` swallows some cancellations by itself (10 of 200, without streamspan), in either run.
    for _ in range(3 if "swallows" in surface.traits and "task_cancelled" in ending.reasons else 0):
        with suppress(AssertionError):
            _check(server, surface, ending, is_async=is_async)
            return
    _check(server, surface, ending, is_async=is_async)


def _check(server: DemoProvider, surface: Surface, ending: Ending, *, is_async: bool) -> None:
    async def program(caller: Caller) -> None:
        await ending.act(caller, surface, ending.scenario)
        if ending.ends_with_loop:
            caller.ended_at_ending = 1

    is_noisy = ending.ends_with_loop or "noisy" in surface.traits
    told = run_twice(server, program, is_async=is_async, options=ending.options, is_noisy=is_noisy)

    attributes = told.attributes
    assert _what_happened(attributes) == {
        "gen_ai.operation.name": surface.operation,
        "gen_ai.request.model": surface.model,
        "gen_ai.request.stream": True,
        "streamspan.layer": surface.layer,
        "streamspan.outcome": ending.outcome,
        "streamspan.cancel.exception": ending.cancel_exception,
        "error.type": ending.error_of(surface),
        "gen_ai.response.finish_reasons": ending.finish_of(surface) or None,
        "streamspan.chunk.count": _chunks(server, surface, ending),
        "http.request.resend_count": ending.resends_of(surface),
        "http.response.status_code": ending.status_code,
    }
    assert attributes.get("streamspan.cancel.reason") in ending.reasons_of(surface)
    _check_span(told, surface, ending)
    _check_metrics(told, ending, ending.error_of(surface))


_NAMES = (
    "gen_ai.operation.name",
    "gen_ai.request.model",
    "gen_ai.request.stream",
    "streamspan.layer",
    "streamspan.outcome",
    "streamspan.cancel.exception",
    "error.type",
    "gen_ai.response.finish_reasons",
    "streamspan.chunk.count",
    "http.request.resend_count",
    "http.response.status_code",
)


def _what_happened(attributes: Any) -> dict[str, Any]:
    return {name: attributes.get(name) for name in _NAMES}


def _chunks(server: DemoProvider, surface: Surface, ending: Ending) -> int:
    """Count what the server sent, as far as the surface hands it out."""
    if ending.chunks is not None:
        return ending.chunks
    sent = [payload for exchange in server.exchanges[-2:] for _, payload in exchange.sent if surface.hands_out(payload)]
    return len(sent) - (0 if "wire" in surface.traits else ending.hidden)


def _check_span(told: Told, surface: Surface, ending: Ending) -> None:
    span = told.span
    assert span.kind is SpanKind.CLIENT
    assert span.status.status_code is (StatusCode.ERROR if ending.error else StatusCode.UNSET)
    assert len(told.events("streamspan.cancelled")) == (ending.outcome == "cancelled")
    assert len(told.events("exception")) == (ending.outcome in {"error", "timeout"})
    assert len(told.events("streamspan.retry")) == (ending.resends_of(surface) or 0)
    chunks = told.events("streamspan.chunk")
    counts: list[Any] = [dict(event.attributes or {})["streamspan.chunk.count"] for event in chunks]
    assert sum(counts) == told.attributes["streamspan.chunk.count"]
    if ending.is_late or told.attributes.get("streamspan.cancel.reason") == "dropped":
        headers_ns = round(told.attributes["streamspan.time_to_headers"] * 1e9) + (span.start_time or 0)
        assert span.end_time == pytest.approx(chunks[-1].timestamp if chunks else headers_ns, abs=2)


def _check_metrics(told: Told, ending: Ending, error: str | None) -> None:
    count = told.attributes["streamspan.chunk.count"]
    assert told.count_of("gen_ai.client.operation.duration") == 1
    assert told.count_of("gen_ai.client.operation.time_to_first_chunk") == (count > 0)
    assert told.count_of("gen_ai.client.operation.time_per_output_chunk") == max(0, count - 1)
    assert told.count_of("streamspan.chunks") == 1
    (point,) = told.metrics["gen_ai.client.operation.duration"].data.data_points
    assert dict(point.attributes or {}).get("error.type") == error
    assert dict(point.attributes or {})["streamspan.outcome"] == ending.outcome
    assert told.summary.outcome == ending.outcome
