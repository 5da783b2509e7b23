"""A finished session as one immutable record, and its pace as a row of numbers. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from streamspan._identity import Identity
from streamspan._records import Ending, SessionSummary
from streamspan._session import Session

_NOBODY = Identity()


def summarize(
    session: Session,
    *,
    identity: Identity | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    scrub: Callable[[str], str] = str,
) -> SessionSummary:
    """Return the summary of a session that has ended.

    Args:
        session: the session.
        identity: whose it was.
        trace_id: of its span, in hexadecimal.
        span_id: of its span, in hexadecimal.
        scrub: takes secrets out of the error message.
    """
    ending, identity = ending_of(session), identity or _NOBODY
    return SessionSummary(
        session_id=identity.session_id,
        user_id=identity.user_id,
        outcome=ending.outcome,
        cancel_reason=ending.cancel_reason,
        cancel_exception=ending.cancel_exception,
        error_type=ending.error_type,
        error_message=scrub(ending.error_message) if ending.error_message else "",
        started_unix_ns=session.started_unix_ns,
        duration=(ending.at_ns - session.started_at) / 1e9,
        trace_id=trace_id,
        span_id=span_id,
        **_call(session),
        **_times(session),
        **_answer(session),
    )


# The parts are dictionaries by the names of the summary's fields: one function for all of them would be very long.


def _call(session: Session) -> dict[str, Any]:
    request = session.request
    return {
        "operation": request.operation,
        "provider": request.provider,
        "model": request.model,
        "layer": request.layer,
        "is_stream": request.is_stream,
        "resend_count": session.resend_count,
        "status_code": session.status_code,
        "request_id": session.request_id,
    }


def _times(session: Session) -> dict[str, Any]:
    waits = session.waits
    p50, p95 = (None, None) if waits is None else waits.quantiles(0.5, 0.95)
    return {
        "time_to_headers": session.seconds_to(session.headers_at),
        "time_to_first_chunk": session.seconds_to(session.first_chunk_at),
        "time_to_first_token": session.seconds_to(session.first_output_at),
        "time_to_first_answer": session.seconds_to(session.first_answer_at),
        "provider_time": session.provider_ns / 1e9,
        "consumer_time": session.consumer_ns / 1e9,
        "wait_p50": p50,
        "wait_p95": p95,
        "wait_max": None if waits is None or waits.max_ns < 0 else waits.max_ns / 1e9,
        "stall_count": session.stall_count,
        "stall_time": session.stall_ns / 1e9,
    }


def _answer(session: Session) -> dict[str, Any]:
    return {
        "response_id": session.response_id,
        "response_model": session.response_model,
        "chunk_count": session.chunk_count,
        "output_characters": session.character_count,
        "reasoning_characters": session.reasoning_count,
        "tool_call_count": session.tool_call_count,
        "output_rate": session.output_rate,
        "character_rate": session.character_rate,
        "finish_reasons": session.finish_reasons,
        "usage": dict(session.usage),
    }


def ending_of(session: Session) -> Ending:
    """Return the ending of a session that has one."""
    if session.ending is None:
        raise ValueError("the session has not ended")
    return session.ending


def pace(session: Session, slots: int = 10) -> tuple[int, ...]:
    """Return the characters that arrived in each of `slots` equal parts of the session's time.

    As fine as the chunk records are: a record of several chunks counts where its first one arrived. Empty when there
    are no records or no time has passed.
    """
    length = ending_of(session).at_ns - session.started_at
    records = session.chunk_records()
    if length <= 0 or not records:
        return ()
    parts = [0] * slots
    for record in records:
        part = (record.at_ns - session.started_at) * slots // length
        parts[min(part, slots - 1)] += record.characters + record.reasoning_characters
    return tuple(parts)
