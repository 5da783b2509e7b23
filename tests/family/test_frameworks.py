"""Libraries above the SDKs: each call of a model is one span with the right parent, however many layers it passes."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from family.frameworks import FRAMEWORKS, Framework
from streamspan import _api
from streamspan.demo import DemoProvider
from support.telemetry import Told

# What these libraries leave to the garbage collector and warn about is their own affair.
pytestmark = [
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name),
]


def _run(told: Told, server: DemoProvider, framework: Framework, scenario: str, most: int | None = None) -> Any:
    """Run the framework inside of a span of the application's; return that span and what was raised."""
    pytest.importorskip(framework.package)
    raised: list[BaseException] = []

    async def life() -> None:
        with told.tracers.get_tracer("application").start_as_current_span("outer"):
            try:
                await framework.run(server, scenario, most)
            except Exception as exc:  # noqa: BLE001 - looked at by the test
                raised.append(exc)
        gc.collect()
        await asyncio.sleep(0.01)

    asyncio.run(life())
    gc.collect()
    _api.drain()
    (outer,) = [span for span in told.all_spans if span.name == "outer"]
    return outer, raised


def _check(told: Told, framework: Framework, outer: Any) -> None:
    span, attributes = told.span, told.attributes
    assert span.parent is not None
    assert span.parent.span_id == outer.context.span_id
    assert attributes["streamspan.layer"] == framework.layer
    assert attributes["gen_ai.provider.name"] == framework.provider
    assert attributes["gen_ai.request.model"] == framework.model
    assert attributes["gen_ai.request.stream"] is True


def test_completed(told: Told, server: DemoProvider, framework: Framework) -> None:
    """A stream that is read to its end is one span, child of the application's, with its tokens and clocks."""
    outer, raised = _run(told, server, framework, "ok;chunks=4")
    assert raised == []
    _check(told, framework, outer)
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.chunk.count"] >= 4
    assert "http.request.resend_count" not in told.attributes
    assert told.attributes["gen_ai.response.time_to_first_chunk"] > 0


def test_stopped(told: Told, server: DemoProvider, framework: Framework) -> None:
    """A stream that its reader gives up is cancelled, whichever way the library lets go of it."""
    outer, raised = _run(told, server, framework, "slow;chunks=60;delay=0.05", most=2)
    assert raised == []
    _check(told, framework, outer)
    assert told.attributes["streamspan.outcome"] == "cancelled"
    assert told.attributes["streamspan.cancel.reason"] in {"closed", "dropped", "task_cancelled"}


def test_refused(told: Told, server: DemoProvider, framework: Framework) -> None:
    """A refused request is one span with the error, and the library raises as it does."""
    outer, raised = _run(told, server, framework, "status_400")
    assert len(raised) == 1
    _check(told, framework, outer)
    assert told.attributes["streamspan.outcome"] == "error"
    assert told.attributes["http.response.status_code"] == 400


def test_truncated(told: Told, server: DemoProvider, framework: Framework) -> None:
    """A stream that the server cut short is truncated, whatever the library makes of it."""
    outer, _ = _run(told, server, framework, "short;chunks=4")
    _check(told, framework, outer)
    assert told.attributes["streamspan.outcome"] == "truncated"
