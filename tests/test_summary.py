"""The summary of a finished session: every field, for every kind of ending; and its pace."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from streamspan._config import Config
from streamspan._endings import Signal
from streamspan._identity import Identity
from streamspan._records import Delta, SessionSummary
from streamspan._summary import pace, summarize
from telemetry_rig import DONE, REQUEST, ROLE, START_NS, Rig, failure, text, tool_call


def test_a_completed_stream_has_every_field() -> None:
    """Clocks, counts, rates, usage, names and ids are those of the session."""
    rig = Rig()
    session = rig.open()
    session.attempt_failed(503, None)
    session.attempt()
    rig.clock.wait(0.5)
    session.headers(200, "req-1")
    session.returned()
    rig.feed(session, [(0.25, ROLE), (0.25, Delta(choice=0, reasoning="hmm!"))])
    rig.clock.wait(2)
    rig.feed(session, [(6, text("Hello")), (0.5, tool_call("f", '{"a":1}')), (0.5, DONE)])
    session.exhausted()
    identity = Identity("s-1", "u-1", {"plan": "pro"})
    summary = summarize(session, identity=identity, trace_id="ab", span_id="cd")
    assert summary == SessionSummary(
        session_id="s-1",
        user_id="u-1",
        operation="chat",
        provider="openai",
        model="gpt-4o",
        response_model="gpt-4o-2024-08-06",
        response_id="resp-1",
        layer="openai",
        is_stream=True,
        outcome="completed",
        cancel_reason=None,
        cancel_exception=None,
        error_type=None,
        error_message="",
        started_unix_ns=START_NS,
        duration=10.0,
        time_to_headers=0.5,
        time_to_first_chunk=0.75,
        time_to_first_token=1.0,
        time_to_first_answer=9.0,
        provider_time=8.0,
        consumer_time=2.0,
        wait_p50=summary.wait_p50,
        wait_p95=summary.wait_p95,
        wait_max=6.0,
        stall_count=1,
        stall_time=6.0,
        chunk_count=5,
        output_characters=12,
        reasoning_characters=4,
        tool_call_count=1,
        output_rate=4 / 8.5,
        character_rate=12 / 8.5,
        finish_reasons=("stop",),
        usage={"input_tokens": 7, "output_tokens": 5},
        resend_count=1,
        status_code=200,
        request_id="req-1",
        trace_id="ab",
        span_id="cd",
    )
    assert summary.wait_p50 == pytest.approx(0.5, rel=0.05)
    assert summary.wait_p95 == pytest.approx(6.0, rel=0.05)


def test_what_never_happened_is_none() -> None:
    """A call that failed before its headers has no clock but its duration, and no ids."""
    rig = Rig()
    session = rig.open(replace(REQUEST, model=None))
    rig.clock.wait(0.5)
    session.failed(failure("ConnectionError", "refused"))
    summary = summarize(session)
    nothing = (
        "session_id", "user_id", "model", "response_model", "response_id", "cancel_reason", "cancel_exception",
        "time_to_headers", "time_to_first_chunk", "time_to_first_token", "time_to_first_answer", "wait_p50",
        "wait_p95", "wait_max", "output_rate", "character_rate", "status_code", "request_id", "trace_id", "span_id",
    )  # fmt: skip
    assert {name: getattr(summary, name) for name in nothing} == dict.fromkeys(nothing)
    assert (summary.outcome, summary.error_type, summary.error_message) == ("error", "ConnectionError", "refused")
    assert (summary.duration, summary.provider_time, summary.chunk_count) == (0.5, 0.5, 0)
    assert (summary.finish_reasons, summary.usage) == ((), {})


def test_one_chunk_has_no_wait_after_the_first() -> None:
    """Waits are over the chunks after the first."""
    rig = Rig()
    summary = summarize(rig.complete([(0.25, text("a", finish_reason="stop"))]))
    assert (summary.wait_p50, summary.wait_p95, summary.wait_max) == (None, None, None)


def test_a_cancel_has_its_reason_and_the_callers_exception() -> None:
    """A close because of the caller's own exception names its type; no error is reported."""
    rig = Rig()
    session = rig.stream([(0.25, text("a"))])
    session.closed("ValueError")
    summary = summarize(session)
    assert (summary.outcome, summary.cancel_reason, summary.cancel_exception) == ("cancelled", "closed", "ValueError")
    assert (summary.error_type, summary.error_message) == (None, "")


def test_a_call_without_a_stream_has_a_summary_too() -> None:
    """`is_stream` tells it apart; there are no waits."""
    rig = Rig()
    session = rig.open(replace(REQUEST, is_stream=False))
    session.headers(200, None)
    rig.clock.wait(2)
    session.answered(text("Hi", finish_reason="stop", usage={"output_tokens": 1}))
    summary = summarize(session)
    assert (summary.is_stream, summary.outcome, summary.duration) == (False, "completed", 2.0)
    assert (summary.wait_max, summary.chunk_count, summary.usage) == (None, 0, {"output_tokens": 1})


def test_the_error_message_is_scrubbed() -> None:
    """The message goes through `scrub`; an empty one is not worth asking."""
    rig = Rig()
    session = rig.stream([(0.25, text("a"))])
    session.failed(failure("401", "key sk-1"))
    assert summarize(session, scrub=lambda s: s.replace("sk-1", "[key]")).error_message == "key [key]"


def test_a_summary_cannot_be_changed_and_does_not_change() -> None:
    """It is frozen, and its usage is a copy."""
    rig = Rig()
    session = rig.complete()
    summary = summarize(session)
    session.usage["input_tokens"] = 99
    assert summary.usage == {"input_tokens": 7, "output_tokens": 5}
    with pytest.raises(FrozenInstanceError):
        summary.outcome = "error"  # type: ignore[misc] # that it raises is the point


def test_an_open_session_has_no_summary() -> None:
    """Asking too early is a mistake that is told."""
    session = Rig().open()
    with pytest.raises(ValueError, match="has not ended"):
        summarize(session)


def test_the_application_gets_the_summary_with_the_ids_of_the_span() -> None:
    """`on_session_end` is called once, after the span has ended, with the span's ids."""
    told: list[tuple[SessionSummary, int]] = []

    def take(summary: SessionSummary) -> None:
        told.append((summary, len(rig.spans)))

    rig = Rig(on_session_end=take)
    rig.complete()
    context = rig.span.context
    assert context is not None
    ((summary, spans),) = told
    assert (summary.trace_id, summary.span_id) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert spans == 1


# --- pace ------------------------------------------------------------------------------------------------------------


def test_the_pace_is_the_characters_over_the_streams_time() -> None:
    """Each chunk counts in the part of the time in which it arrived, thoughts included."""
    rig = Rig()
    steps = [(1.0, ROLE), (1.0, text("ab")), (1.5, Delta(choice=0, reasoning="abc")), (0.5, text("d")), (1.0, DONE)]
    assert pace(rig.complete(steps), slots=5) == (0, 0, 2, 3, 1)


def test_what_arrives_last_is_in_the_last_part() -> None:
    """The end of the time belongs to the last part."""
    rig = Rig()
    assert pace(rig.complete([(1.0, text("ab", finish_reason="stop"))]), slots=4) == (0, 0, 0, 2)


@pytest.mark.parametrize("config", [Config(), Config(chunk_events=0)])
def test_without_chunks_or_records_there_is_no_pace(config: Config) -> None:
    """A stream that had no chunk, and one whose chunks were not kept, have none."""
    rig = Rig(config)
    session = rig.stream([(1.0, text("a"))] if config.chunk_events == 0 else [])
    session.closed()
    assert pace(session) == ()


def test_without_any_time_there_is_no_pace() -> None:
    """A stream that came at once cannot be divided."""
    rig = Rig()
    session = rig.stream([(0, text("a"))])
    session.stopped(Signal.EXIT)
    assert pace(session) == ()
