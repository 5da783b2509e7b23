"""Every ending of a turn, on every surface that holds a WebSocket, in both colours.

First what the caller sees must be the same without and with streamspan, then the spans are compared with the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from sockets.endings import Case, cases
from sockets.surfaces import Talker, has_queue
from streamspan.demo import DemoProvider
from support.twice import run_twice

pytest.importorskip("websockets.asyncio.client", reason="the raw surfaces need websockets 13")


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    with DemoProvider() as provider:
        yield provider


_CASES = [pytest.param(case, talker, is_async, id=name) for name, case, talker, is_async in cases()]


@pytest.mark.parametrize(("case", "talker", "is_async"), _CASES)
def test_a_turn_ends_as_it_ended(case: Case, talker: Talker, is_async: bool, server: DemoProvider) -> None:
    """The caller sees the same, the turn's span has the outcome of the table, and the connection's goes around it."""
    codes: list[int | None] = []

    async def program(caller: Any) -> None:
        await case.act(caller, talker, case.scenario)
        (protocol,) = caller.kept
        codes.append(getattr(protocol.close_rcvd, "code", None))

    told = run_twice(server, program, is_async=is_async, config=talker.config, spans=2)
    turn, connection = told.spans
    _check_turn(turn, case, talker)
    _check_connection(connection, turn, case, talker)
    _check_close_code(connection, case, *codes, is_steady=is_async or has_queue())
    summary = told.summary
    assert f"{summary.outcome} {summary.cancel_reason or ''}".strip() == case.outcome
    assert told.count_of("gen_ai.client.operation.duration") == 1


def _check_turn(span: ReadableSpan, case: Case, talker: Talker) -> None:
    found: dict[str, Any] = dict(span.attributes or {})
    reason = found.get("streamspan.cancel.reason", "")
    assert f"{found['streamspan.outcome']} {reason}".strip() == case.outcome
    assert found.get("error.type") == (talker.errors.get(case.error or "", _word(case.error)))
    assert found.get("streamspan.cancel.exception") == case.exception
    finish = None if case.finish is None else (talker.finishes.get(case.finish, case.finish),)
    assert found.get("gen_ai.response.finish_reasons") == finish
    assert (span.kind, found["streamspan.layer"]) == (SpanKind.CLIENT, talker.layer)
    assert found["gen_ai.operation.name"] == talker.operation
    assert found["gen_ai.provider.name"] == talker.provider
    assert found.get("gen_ai.request.model", "") == talker.model
    if case.outcome == "completed" and case.scenario != "tools":
        assert found["gen_ai.usage.output_tokens"] > 0
        assert found["streamspan.output.characters"] > 0


def _word(error: str | None) -> str | None:
    return {"error_event": "overloaded"}.get(error or "", error)


def _check_connection(span: ReadableSpan, turn: ReadableSpan, case: Case, talker: Talker) -> None:
    found: dict[str, Any] = dict(span.attributes or {})
    of_turn = dict(turn.attributes or {})
    assert (span.kind, span.events) == (SpanKind.INTERNAL, ())
    assert span.name == f"realtime_session {talker.model}".strip() or talker.operation == "chat"
    assert turn.parent is not None
    assert span.context is not None
    assert turn.parent.span_id == span.context.span_id
    assert found["gen_ai.realtime_session.id"] == of_turn["gen_ai.realtime_session.id"]
    assert re.fullmatch(r"[0-9a-f]{32}|sess_demo|live_demo", str(found["gen_ai.realtime_session.id"]))
    assert found["streamspan.turn.count"] == 1
    assert found["streamspan.interruption.count"] == (case.finish == "barge-in")
    assert found["streamspan.connect_time"] > 0
    assert found.get("error.type") == case.connection_error
    assert span.status.status_code is (StatusCode.ERROR if case.connection_error else StatusCode.UNSET)
    assert "streamspan.outcome" not in found
    assert found.keys() <= _OF_CONNECTIONS
    assert _spans_touch(span, turn)


def _check_close_code(span: ReadableSpan, case: Case, bare: int | None, seen: int | None, *, is_steady: bool) -> None:
    """What the connection itself has got in the end is recorded; it is the same without streamspan."""
    assert dict(span.attributes or {}).get("streamspan.close_code") == seen
    if is_steady:  # else a matter of which of two threads is faster, with and without streamspan
        assert bare == seen
        assert case.close_code in {seen, "any"}


_OF_CONNECTIONS = {
    "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port",
    "gen_ai.realtime_session.id", "error.type", "streamspan.layer", "streamspan.connect_time", "streamspan.turn.count",
    "streamspan.interruption.count", "streamspan.close_code",
}  # fmt: skip


def _spans_touch(outer: ReadableSpan, inner: ReadableSpan) -> bool:
    times = (outer.start_time, inner.start_time, inner.end_time, outer.end_time)
    return None not in times and list(times) == sorted(times)  # type: ignore[type-var]


def test_every_kind_of_surface_is_there() -> None:
    """The table covers raw connections of both vendors, whatever SDKs are installed."""
    assert {talker.name for _, _, talker, _ in cases()} >= {"websockets, realtime", "websockets, live"}
