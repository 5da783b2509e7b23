"""Log events and content: which signal gets what, and that nothing leaves the process unredacted."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanLimits

from streamspan._config import Config
from streamspan._content import OutputAssembler
from streamspan._redaction import Redactor
from telemetry_rig import DONE, REQUEST, ROLE, START_NS, Rig, Step, attributes_of, checked_rigs, failure, text

NewRig = Callable[..., Rig]
CHAT = replace(
    REQUEST,
    content={
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "my card is 4111"}]}],
        "gen_ai.system_instructions": [{"type": "text", "content": "be brief"}],
    },
)
STEPS: tuple[Step, ...] = ((0.25, ROLE), (0.25, text("your card 4")), (0.25, text("111")), (0.25, DONE))


@pytest.fixture(name="new_rig")
def _new_rig() -> Iterator[NewRig]:
    yield from checked_rigs()


def _redact(text: str) -> str:
    return text.replace("4111", "[card]")


def _emitted(rig: Rig) -> list[tuple[str, int, float]]:
    """Return the log events as name, severity and seconds since the call."""
    records = [log.log_record for log in rig.logs]
    return [
        (str(r.event_name), r.severity_number.value if r.severity_number else 0, ((r.timestamp or 0) - START_NS) / 1e9)
        for r in records
    ]


# --- log events ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "on_span", "in_log"),
    [("span", True, False), ("log", False, True), ("both", True, True), ("off", False, False)],
)
def test_events_go_where_the_option_says(target: Any, on_span: bool, in_log: bool, new_rig: NewRig) -> None:
    """`STREAMSPAN_EVENTS` sends the same events to the span, to the log, to both or nowhere."""
    rig = new_rig(Config(events=target))
    rig.stream([(0.25, text("a")), (6, text("b"))]).failed(failure())
    names = ["streamspan.first_token", "streamspan.chunk", "streamspan.stall", "streamspan.chunk"]
    assert [e.name for e in rig.span.events] == ([*names, "exception"] if on_span else [])
    told = [(names[0], 9, 0.25), (names[1], 9, 0.25), (names[2], 9, 6.25), (names[3], 9, 6.25)]
    assert _emitted(rig) == ([*told, ("gen_ai.client.operation.exception", 13, 6.25)] if in_log else [])


def test_a_log_event_has_the_span_and_the_event_attributes(new_rig: NewRig) -> None:
    """A log record carries the ids of the session's span, its severity as text, and what the span event would say."""
    rig = new_rig(Config(events="both"))
    rig.stream([(0.25, text("a"))]).closed()
    context = rig.span.context
    assert context is not None
    for log, event in zip(rig.logs, rig.span.events, strict=True):
        record = log.log_record
        assert (record.trace_id, record.span_id) == (context.trace_id, context.span_id)
        assert (record.event_name, record.severity_text) == (event.name, "INFO")
        assert attributes_of(record) == attributes_of(event)


def test_a_retry_is_an_informational_log_event(new_rig: NewRig) -> None:
    """A failed attempt that was repeated is no warning."""
    rig = new_rig(Config(events="log"))
    session = rig.open()
    session.attempt_failed(503, None)
    rig.clock.wait(1)
    session.attempt()
    session.headers(200, None)
    rig.feed(session, STEPS)
    session.exhausted()
    assert _emitted(rig)[0] == ("streamspan.retry", 9, 0.0)


def test_the_spans_limit_does_not_bind_the_log(new_rig: NewRig) -> None:
    """Where the span has room for three events the log has them all."""
    rig = new_rig(Config(events="both", chunk_events=100), limits=SpanLimits(max_events=3))
    rig.complete([*[(0.25, text("a"))] * 49, (0.25, DONE)])
    assert len(rig.span.events) <= 3
    assert len(rig.logs) == 51


@pytest.mark.parametrize(
    ("target", "opt_in", "on_span", "in_log"),
    [
        ("span", "", True, False),
        ("span", "logs", False, True),
        ("span", "logs/dup", True, True),
        ("span", "LOGS/DUP ", True, True),
        ("span", "something", True, False),
        ("log", "", False, True),
        ("log", "logs", False, True),
        ("log", "logs/dup", True, True),
        ("both", "", True, True),
        ("both", "logs", False, True),
        ("both", "logs/dup,logs", True, True),
        ("off", "logs/dup", False, False),
    ],
)
def test_the_conventions_switch_moves_exceptions(
    target: Any, opt_in: str, on_span: bool, in_log: bool, new_rig: NewRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN` moves exceptions to the log or doubles them; other events stay."""
    monkeypatch.setenv("OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN", opt_in)
    rig = new_rig(Config(events=target))
    rig.stream([(0.25, text("a"))]).failed(failure())
    assert [e.name for e in rig.span.events].count("exception") == on_span
    assert [name for name, _, _ in _emitted(rig)].count("gen_ai.client.operation.exception") == in_log
    assert any(e.name == "streamspan.chunk" for e in rig.span.events) == (target in {"span", "both"})


# --- content ---------------------------------------------------------------------------------------------------------


def _run(rig: Rig) -> None:
    rig.complete(STEPS, CHAT, output=OutputAssembler(65536))


CONTENT = {
    "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "my card is [card]"}]}],
    "gen_ai.system_instructions": [{"type": "text", "content": "be brief"}],
    "gen_ai.output.messages": [
        {"role": "assistant", "parts": [{"type": "text", "content": "your card [card]"}], "finish_reason": "stop"}
    ],
}


@pytest.mark.parametrize(
    ("mode", "emit", "on_span", "in_event", "has_event"),
    [
        ("NO_CONTENT", "", False, False, False),
        ("NO_CONTENT", "true", False, False, True),
        ("NO_CONTENT", "false", False, False, False),
        ("SPAN_ONLY", "", True, False, False),
        ("SPAN_ONLY", "true", True, False, True),
        ("EVENT_ONLY", "", False, True, True),
        ("EVENT_ONLY", "false", False, False, False),
        ("EVENT_ONLY", "nonsense", False, True, True),
        ("SPAN_AND_EVENT", "", True, True, True),
        ("SPAN_AND_EVENT", "FALSE", True, False, False),
    ],
)
def test_content_goes_where_the_mode_says(
    mode: Any,
    emit: str,
    on_span: bool,
    in_event: bool,
    has_event: bool,
    new_rig: NewRig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On the span as JSON, in the details event as data, redacted in both; the event has its own switch."""
    monkeypatch.setenv("OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT", emit)
    rig = new_rig(Config(capture_content=mode), redact=_redact)
    _run(rig)
    span = attributes_of(rig.span)
    assert {k: json.loads(str(v)) for k, v in span.items() if k in CONTENT} == (CONTENT if on_span else {})
    assert [name for name, _, _ in _emitted(rig)] == ["gen_ai.client.inference.operation.details"] * has_event
    for log in rig.logs:
        event = attributes_of(log.log_record)
        assert _plain({k: v for k, v in event.items() if k in CONTENT}) == (CONTENT if in_event else {})
    assert "4111" not in f"{span} {[attributes_of(log.log_record) for log in rig.logs]}"


def _plain(value: Any) -> Any:
    """Undo the SDK's tuples."""
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


def test_the_details_event_says_what_the_span_says(new_rig: NewRig) -> None:
    """The event has severity DEBUG, the time of the ending, and the span's attributes."""
    rig = new_rig(Config(capture_content="EVENT_ONLY"))
    _run(rig)
    assert _emitted(rig) == [("gen_ai.client.inference.operation.details", 5, 1.0)]
    event = attributes_of(rig.logs[0].log_record)
    assert {k: v for k, v in event.items() if k not in CONTENT} == attributes_of(rig.span)


def test_the_output_of_a_stream_that_was_cut_short_is_there(new_rig: NewRig) -> None:
    """What came before a cancel is content too, with `error` for the finish reason that never came."""
    rig = new_rig(Config(capture_content="SPAN_ONLY"))
    rig.stream(STEPS[:2], CHAT, output=OutputAssembler(65536)).closed()
    (message,) = json.loads(str(attributes_of(rig.span)["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "your card 4"}]
    assert message["finish_reason"] == "error"


def test_text_beyond_ascii_is_written_as_it_is(new_rig: NewRig) -> None:
    """The JSON on the span is compact and readable."""
    rig = new_rig(Config(capture_content="SPAN_ONLY"))
    rig.complete(request=replace(REQUEST, content={"gen_ai.system_instructions": [{"type": "text", "content": "né"}]}))
    assert attributes_of(rig.span)["gen_ai.system_instructions"] == '[{"type":"text","content":"né"}]'


def test_content_that_could_not_be_redacted_does_not_leave(new_rig: NewRig, caplog: pytest.LogCaptureFixture) -> None:
    """When the application's `redact` raises no text is shown, everything else is there, and it is logged once."""

    def broken(text: str) -> str:
        raise ValueError("no idea")

    rig = new_rig(Config(capture_content="SPAN_AND_EVENT"), redact=broken)
    _run(rig)
    _run(rig)
    assert "4111" not in f"{[attributes_of(s) for s in rig.spans]} {[attributes_of(o.log_record) for o in rig.logs]}"
    assert [attributes_of(s)["streamspan.outcome"] for s in rig.spans] == ["completed"] * 2
    assert len(rig.logs) == 2
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


class _Broken(Redactor):
    """Fails where nobody expects it."""

    def apply(self, value: object) -> Any:
        raise RuntimeError("a fault of ours")


def test_a_fault_in_the_redaction_leaves_no_content(new_rig: NewRig, caplog: pytest.LogCaptureFixture) -> None:
    """Content is left out rather than shown as it came, and the span is whole but for it."""
    rig = new_rig(Config(capture_content="SPAN_AND_EVENT"), redact=_Broken(()))
    _run(rig)
    assert not set(CONTENT) & set(attributes_of(rig.span))
    assert not set(CONTENT) & set(attributes_of(rig.logs[0].log_record))
    assert attributes_of(rig.span)["streamspan.outcome"] == "completed"
    assert len(caplog.records) == 1


def test_a_secret_that_spans_chunks_is_redacted_by_default(new_rig: NewRig) -> None:
    """The built-in patterns see the assembled text, also when the application gave no `redact` of its own."""
    rig = new_rig(Config(capture_content="SPAN_ONLY"))
    steps = [(0.25, text("write to jane@exa")), (0.25, text("mple.com now")), (0.25, DONE)]
    rig.complete(steps, CHAT, output=OutputAssembler(65536))
    (message,) = json.loads(str(attributes_of(rig.span)["gen_ai.output.messages"]))
    assert message["parts"] == [{"type": "text", "content": "write to [redacted:email] now"}]


def test_the_applications_redaction_comes_on_top_of_the_patterns(new_rig: NewRig) -> None:
    """A plain callable is used together with the configured patterns."""
    rig = new_rig(Config(capture_content="SPAN_ONLY", redactions=("email",)), redact=_redact)
    request = replace(REQUEST, content={"gen_ai.system_instructions": [{"type": "text", "content": "4111 a@b.de"}]})
    rig.complete(STEPS, request)
    told = json.loads(str(attributes_of(rig.span)["gen_ai.system_instructions"]))
    assert told == [{"type": "text", "content": "[card] [redacted:email]"}]


def test_content_keeps_within_its_bytes(new_rig: NewRig) -> None:
    """Long content is cut to `content_max_bytes` on the span."""
    rig = new_rig(Config(capture_content="SPAN_ONLY", content_max_bytes=400))
    request = replace(REQUEST, content={"gen_ai.system_instructions": [{"type": "text", "content": "x" * 5000}]})
    rig.complete(STEPS, request, output=OutputAssembler(400))
    content = {k: str(v) for k, v in attributes_of(rig.span).items() if k in CONTENT}
    assert set(content) == {"gen_ai.system_instructions", "gen_ai.output.messages"}
    assert sum(len(text) for text in content.values()) <= 400
