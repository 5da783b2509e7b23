"""A finished session for tests, with a value in every field that is shown."""

from __future__ import annotations

from streamspan._records import SessionSummary

SUMMARY = SessionSummary(
    session_id="stalled", user_id=None, operation="chat", provider="openai", model="gpt-5", response_model="gpt-5",
    response_id="r1", layer="openai", is_stream=True, outcome="completed", cancel_reason=None, cancel_exception=None,
    error_type=None, error_message="", started_unix_ns=0, duration=5.5, time_to_headers=0.01, time_to_first_chunk=0.02,
    time_to_first_token=0.049, time_to_first_answer=0.049, provider_time=5.0, consumer_time=0.5, wait_p50=0.03,
    wait_p95=0.04, wait_max=2.234, stall_count=1, stall_time=2.234, chunk_count=93, output_characters=400,
    reasoning_characters=0, tool_call_count=0, output_rate=16.6, character_rate=80.2, finish_reasons=("stop",), usage={},
    resend_count=2, status_code=200, request_id="q1", trace_id=None, span_id=None,
)  # fmt: skip
