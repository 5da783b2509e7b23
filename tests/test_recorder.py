"""The span of a session: when it starts and ends, what it says, and that nothing can keep it from ending."""

from __future__ import annotations

import contextvars
import gc
import logging
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry._logs import NoOpLogger
from opentelemetry.context import Context, attach, detach
from opentelemetry.metrics import NoOpMeter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, Decision, ParentBased, Sampler, SamplingResult
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, StatusCode, TraceFlags

from streamspan._config import Config
from streamspan._endings import Signal
from streamspan._identity import session as identified
from streamspan._records import Delta, ProviderError, Request, SessionSummary
from streamspan._session import Session
from telemetry_rig import (
    DONE,
    HELLO,
    READER,
    REQUEST,
    ROLE,
    START_NS,
    Rig,
    attributes_of,
    checked_rigs,
    failure,
    point,
    raised,
    telemetry_of,
    text,
    tool_call,
)

NewRig = Callable[..., Rig]
PARENT = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))
UNSAMPLED_PARENT = SpanContext(0xA1, 0xB2, is_remote=True, trace_flags=TraceFlags(TraceFlags.DEFAULT))


@pytest.fixture(name="new_rig")
def _new_rig() -> Iterator[NewRig]:
    yield from checked_rigs()


class _InContextOf:
    """Makes a span context the current one."""

    def __init__(self, parent: SpanContext) -> None:
        self._context = trace.set_span_in_context(NonRecordingSpan(parent), Context())

    def __enter__(self) -> None:
        self._token = attach(self._context)

    def __exit__(self, *exc: object) -> None:
        detach(self._token)


# --- a whole stream --------------------------------------------------------------------------------------------------


def test_a_completed_stream_is_one_client_span_with_every_measure(new_rig: NewRig) -> None:
    """The span of a stream that completed has exactly these attributes, and lasts from the call to the ending."""
    rig = new_rig()
    rig.complete()
    span = rig.span
    assert (span.name, span.kind) == ("chat gpt-4o", SpanKind.CLIENT)
    assert (span.start_time, span.end_time) == (START_NS, START_NS + 1_500_000_000)
    assert (span.status.status_code, span.status.description) == (StatusCode.UNSET, None)
    attributes = attributes_of(span)
    assert attributes.pop("streamspan.wait.p50") == pytest.approx(0.5, rel=0.05)
    assert attributes.pop("streamspan.wait.p95") == pytest.approx(0.5, rel=0.05)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": True,
        "gen_ai.response.id": "resp-1",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.time_to_first_chunk": 0.25,
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 5,
        "http.response.status_code": 200,
        "server.address": "api.openai.com",
        "server.port": 443,
        "streamspan.layer": "openai",
        "streamspan.outcome": "completed",
        "streamspan.request_id": "req-1",
        "streamspan.time_to_headers": 0.0,
        "streamspan.time_to_first_token": 0.5,
        "streamspan.time_to_first_answer": 0.5,
        "streamspan.provider_time": 1.5,
        "streamspan.consumer_time": 0.0,
        "streamspan.chunk.count": 4,
        "streamspan.output.characters": 5,
        "streamspan.reasoning.characters": 0,
        "streamspan.wait.max": 0.5,
        "streamspan.output_rate": 8.0,
        "streamspan.character_rate": 4.0,
    }


def test_the_span_is_named_by_the_operation_alone_when_the_model_is_unknown(new_rig: NewRig) -> None:
    """Without a model the name is the operation, and no attribute is empty."""
    rig = new_rig()
    rig.complete(request=Request(operation="generate_content", provider="acme", layer="manual"))
    assert rig.span.name == "generate_content"
    assert not {"gen_ai.request.model", "server.address", "server.port"} & set(attributes_of(rig.span))


def test_reasoning_tools_stalls_and_retries_are_told_if_there_are_any(new_rig: NewRig) -> None:
    """What most streams do not have is on the span only when it happened."""
    rig = new_rig()
    session = rig.open()
    session.attempt()
    session.attempt_failed(429, None)
    rig.clock.wait(1)
    session.attempt()
    session.headers(200, None)
    session.returned()
    thought = Delta(choice=0, reasoning="hmm!")
    rig.feed(session, [(0.5, thought), (6, tool_call("look", '{"a":1}')), (0.5, DONE)])
    session.exhausted()
    attributes = attributes_of(rig.span)
    assert attributes["streamspan.reasoning.characters"] == 4
    assert attributes["streamspan.output.characters"] == 7
    assert attributes["streamspan.tool_call.count"] == 1
    assert (attributes["streamspan.stall.count"], attributes["streamspan.stall.time"]) == (1, 6.0)
    assert attributes["http.request.resend_count"] == 1
    assert attributes["streamspan.time_to_headers"] == 1.0
    assert attributes["streamspan.time_to_first_token"] == 1.5
    assert attributes["streamspan.time_to_first_answer"] == 7.5
    assert "streamspan.request_id" not in attributes


def test_the_caller_and_the_provider_each_get_their_share_of_the_time(new_rig: NewRig) -> None:
    """Time between two reads is the caller's, time in a read the provider's."""
    rig = new_rig()
    session = rig.open()
    rig.clock.wait(0.5)
    session.headers(200, None)
    session.returned()
    for wait, work in ((0.25, 2), (0.5, 1)):
        rig.feed(session, [(wait, text("a"))])
        rig.clock.wait(work)
    rig.feed(session, [(0.25, DONE)])
    session.exhausted()
    attributes = attributes_of(rig.span)
    assert (attributes["streamspan.provider_time"], attributes["streamspan.consumer_time"]) == (1.5, 3.0)


def test_response_attributes_and_further_usage_are_taken_over(new_rig: NewRig) -> None:
    """What the reader found in the answer goes on the span under its own names."""
    rig = new_rig()
    last = Delta(
        choice=0,
        finish_reason="stop",
        usage={"input_tokens": 9, "cache_read.input_tokens": 4, "reasoning.output_tokens": 0},
        attributes={"openai.response.service_tier": "default"},
        is_terminal=True,
    )
    rig.complete([(0.25, text("x")), (0.25, last)])
    attributes = attributes_of(rig.span)
    assert attributes["gen_ai.usage.cache_read.input_tokens"] == 4
    assert attributes["gen_ai.usage.reasoning.output_tokens"] == 0
    assert attributes["openai.response.service_tier"] == "default"
    assert "gen_ai.usage.output_tokens" not in attributes


def test_a_call_without_a_stream_has_none_of_the_stream_measures(new_rig: NewRig) -> None:
    """A whole answer gets a span with `gen_ai.request.stream = false` and no clock or count of a stream."""
    rig = new_rig()
    session = rig.open(replace(REQUEST, is_stream=False))
    session.headers(200, "req-9")
    rig.clock.wait(2)
    session.answered(text("Hello", finish_reason="stop", usage={"input_tokens": 3, "output_tokens": 2}))
    span = rig.span
    assert span.events == ()
    assert (span.end_time or 0) - START_NS == 2_000_000_000
    assert attributes_of(span) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.request.stream": False,
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "http.response.status_code": 200,
        "server.address": "api.openai.com",
        "server.port": 443,
        "streamspan.layer": "openai",
        "streamspan.outcome": "completed",
        "streamspan.request_id": "req-9",
    }


# --- endings ---------------------------------------------------------------------------------------------------------


def _error_in_the_stream(session: Session) -> None:
    session.pull(READER)
    session.arrived(Delta(error=ProviderError("overloaded_error", "too many")))
    session.exhausted()


ENDINGS: dict[str, tuple[Callable[[Session], None], dict[str, object], StatusCode, str | None]] = {
    "truncated": (
        lambda s: s.exhausted(),
        {"streamspan.outcome": "truncated", "error.type": "truncated"},
        StatusCode.ERROR,
        "the stream ended without its terminal marker",
    ),
    "closed": (
        lambda s: s.closed(),
        {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "closed"},
        StatusCode.UNSET,
        None,
    ),
    "closed by the caller's exception": (
        lambda s: s.closed("ValueError"),
        {
            "streamspan.outcome": "cancelled",
            "streamspan.cancel.reason": "closed",
            "streamspan.cancel.exception": "ValueError",
        },
        StatusCode.UNSET,
        None,
    ),
    "task cancelled": (
        lambda s: s.stopped(Signal.TASK_CANCELLED),
        {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "task_cancelled"},
        StatusCode.UNSET,
        None,
    ),
    "interrupted": (
        lambda s: s.stopped(Signal.INTERRUPTED),
        {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "interrupted"},
        StatusCode.UNSET,
        None,
    ),
    "dropped": (
        lambda s: s.stopped(Signal.DROPPED),
        {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "dropped"},
        StatusCode.UNSET,
        None,
    ),
    "exit": (
        lambda s: s.stopped(Signal.EXIT),
        {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "exit"},
        StatusCode.UNSET,
        None,
    ),
    "timeout": (
        lambda s: s.failed(failure("httpx.ReadTimeout", "timed out", is_timeout=True)),
        {"streamspan.outcome": "timeout", "error.type": "httpx.ReadTimeout"},
        StatusCode.ERROR,
        "timed out",
    ),
    "error": (
        lambda s: s.failed(failure("429", "slow down")),
        {"streamspan.outcome": "error", "error.type": "429"},
        StatusCode.ERROR,
        "slow down",
    ),
    "error without a message": (
        lambda s: s.failed(failure("ConnectionResetError", "")),
        {"streamspan.outcome": "error", "error.type": "ConnectionResetError"},
        StatusCode.ERROR,
        None,
    ),
    "error whose message is its type": (
        lambda s: s.failed(failure("overloaded", "overloaded")),
        {"streamspan.outcome": "error", "error.type": "overloaded"},
        StatusCode.ERROR,
        None,
    ),
    "error in the stream": (
        _error_in_the_stream,
        {"streamspan.outcome": "error", "error.type": "overloaded_error"},
        StatusCode.ERROR,
        "too many",
    ),
}
_TELLING = ("streamspan.outcome", "streamspan.cancel.reason", "streamspan.cancel.exception", "error.type")


@pytest.mark.parametrize("case", ENDINGS)
def test_every_ending_has_its_outcome_and_status(case: str, new_rig: NewRig) -> None:
    """Outcome, reason, `error.type`, status and description are those of the table of endings."""
    end, wanted, status, description = ENDINGS[case]
    rig = new_rig()
    end(rig.stream([(0.25, ROLE), (0.25, text("Hel"))]))
    span = rig.span
    assert {k: v for k, v in attributes_of(span).items() if k in _TELLING} == wanted
    assert (span.status.status_code, span.status.description) == (status, description)
    assert attributes_of(span)["gen_ai.response.finish_reasons"] == ("error",)


@pytest.mark.parametrize("case", ENDINGS)
def test_every_ending_before_the_first_chunk_is_told_too(case: str, new_rig: NewRig) -> None:
    """A stream that never had a chunk has its outcome and `gen_ai.request.stream`, and no first clock."""
    end, wanted, status, _ = ENDINGS[case]
    rig = new_rig()
    end(rig.open())
    attributes = attributes_of(rig.span)
    assert {k: v for k, v in attributes.items() if k in _TELLING} == wanted
    assert rig.span.status.status_code is status
    assert attributes["gen_ai.request.stream"] is True
    assert "streamspan.time_to_first_token" not in attributes


@pytest.mark.parametrize("case", [case for case, ending in ENDINGS.items() if "cancelled" in ending[1].values()])
def test_a_cancel_can_be_made_an_error(case: str, new_rig: NewRig) -> None:
    """With `STREAMSPAN_CANCEL_STATUS=error` a cancelled span is ERROR, and `error.type` is on span and metrics."""
    end, wanted, _, _ = ENDINGS[case]
    rig = new_rig(Config(cancel_status="error"))
    end(rig.stream([(0.25, text("Hel"))]))
    assert attributes_of(rig.span)["error.type"] == "cancelled"
    assert rig.span.status.status_code is StatusCode.ERROR
    assert rig.span.status.description == wanted["streamspan.cancel.reason"]
    duration = point(rig.metrics()["gen_ai.client.operation.duration"])
    assert attributes_of(duration)["error.type"] == "cancelled"
    assert rig.summaries[0].error_type is None


def test_a_close_after_the_terminal_marker_is_no_cancel(new_rig: NewRig) -> None:
    """The stream is completed, whatever the caller does after its marker."""
    rig = new_rig()
    rig.stream().closed()
    assert attributes_of(rig.span)["streamspan.outcome"] == "completed"


@pytest.mark.parametrize("signal", [Signal.DROPPED, Signal.EXIT])
def test_an_ending_that_was_noticed_late_is_dated_back(signal: Signal, new_rig: NewRig) -> None:
    """A stream that was dropped or still open at exit ends with its last chunk."""
    rig = new_rig()
    session = rig.stream([(0.25, text("Hel")), (0.25, text("lo"))])
    rig.clock.wait(60)
    session.stopped(signal)
    assert rig.span.end_time == START_NS + 500_000_000


def test_a_session_is_recorded_once(new_rig: NewRig) -> None:
    """Whatever comes after the first ending changes nothing, even when the observer is told twice."""
    rig = new_rig()
    session = rig.complete()
    session.failed(failure())
    telemetry_of(session).ended(session)
    telemetry_of(session).forgotten()
    assert len(rig.spans) == 1
    assert len(rig.summaries) == 1
    assert point(rig.metrics()["streamspan.active"]).value == 0


def test_a_forked_child_only_takes_back_the_count_of_open_streams(new_rig: NewRig) -> None:
    """After a fork nothing is recorded of the parent's session but that it is not open here."""
    rig = new_rig()
    session = rig.stream([(0.25, ROLE)])
    session.forget()
    telemetry_of(session).forgotten()
    assert rig.spans == []
    assert rig.summaries == []
    assert {name: point(metric).value for name, metric in rig.metrics().items()} == {"streamspan.active": 0}


# --- the start -------------------------------------------------------------------------------------------------------


class _Remembering(Sampler):
    """Samples everything and remembers what it was shown."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, object]]] = []

    def should_sample(
        self, parent_context: Any, trace_id: int, name: str, kind: Any = None, attributes: Any = None, *rest: Any
    ) -> SamplingResult:
        self.seen.append((name, dict(attributes or {})))
        return SamplingResult(Decision.RECORD_AND_SAMPLE, attributes)

    def get_description(self) -> str:
        return "remembering"


def test_samplers_see_what_is_known_at_the_start(new_rig: NewRig) -> None:
    """Operation, provider, model, server and the request's other attributes are there when sampling is decided."""
    sampler = _Remembering()
    rig = new_rig(sampler=sampler)
    rig.free = {"plan"}
    request = replace(REQUEST, choice_count=2, attributes={"gen_ai.request.temperature": 0.5})
    with identified("s-1", user_id="u-1", plan="pro"):
        rig.complete(request=request)
    assert sampler.seen == [
        (
            "chat gpt-4o",
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.request.stream": True,
                "gen_ai.request.choice.count": 2,
                "gen_ai.request.temperature": 0.5,
                "gen_ai.conversation.id": "s-1",
                "server.address": "api.openai.com",
                "server.port": 443,
                "streamspan.layer": "openai",
                "user.id": "u-1",
                "plan": "pro",
            },
        )
    ]


def test_the_identity_is_that_of_the_start(new_rig: NewRig) -> None:
    """A stream that ends outside of the block it was started in keeps the ids, and they are in the summary."""
    rig = new_rig()
    with identified("s-1", user_id="u-1"):
        session = rig.stream()
    with identified("s-2"):
        session.exhausted()
    assert attributes_of(rig.span)["gen_ai.conversation.id"] == "s-1"
    assert (rig.summaries[0].session_id, rig.summaries[0].user_id) == ("s-1", "u-1")


def test_ids_are_never_invented(new_rig: NewRig) -> None:
    """Without `streamspan.session` there is neither a conversation nor a user."""
    rig = new_rig()
    rig.complete()
    assert not {"gen_ai.conversation.id", "user.id"} & set(attributes_of(rig.span))


def test_a_free_attribute_cannot_overwrite_what_streamspan_knows(new_rig: NewRig) -> None:
    """A free attribute with the name of one of ours loses."""
    rig = new_rig()
    with identified("s-1", **{"gen_ai.provider.name": "mine", "streamspan.outcome": "mine"}):
        rig.complete()
    assert attributes_of(rig.span)["gen_ai.provider.name"] == "openai"
    assert attributes_of(rig.span)["streamspan.outcome"] == "completed"


def test_the_parent_is_what_was_current_at_the_call(new_rig: NewRig) -> None:
    """The span is a child of the caller's, wherever the stream ends, and is not current afterwards."""
    rig = new_rig()
    with _InContextOf(PARENT):
        session = rig.stream()
        assert trace.get_current_span().get_span_context() == PARENT
    contextvars.Context().run(session.exhausted)
    assert rig.span.parent == PARENT
    assert trace.get_current_span() is trace.INVALID_SPAN
    inside = trace.get_current_span(telemetry_of(session).context).get_span_context()
    assert inside == rig.span.context


# --- no span ---------------------------------------------------------------------------------------------------------


def test_an_unsampled_stream_has_metrics_and_no_span(new_rig: NewRig) -> None:
    """When the parent is not sampled nothing is exported but the metrics, without exemplars."""
    rig = new_rig(Config(events="both"), sampler=ParentBased(ALWAYS_ON))
    rig.has_every_span = False
    with _InContextOf(UNSAMPLED_PARENT):
        rig.complete()
    assert rig.spans == []
    assert rig.logs == []
    duration = point(rig.metrics()["gen_ai.client.operation.duration"])
    assert (duration.count, duration.sum, list(duration.exemplars)) == (1, 1.5, [])
    assert rig.summaries[0].trace_id == f"{PARENT.trace_id:032x}"


def test_without_any_provider_the_application_still_gets_its_summary(caplog: pytest.LogCaptureFixture) -> None:
    """With no-op providers sessions run as always, ids are None, and nothing is logged."""
    rig = Rig(
        Config(events="both", capture_content="SPAN_AND_EVENT"),
        tracer=trace.NoOpTracer(),
        meter=NoOpMeter("x"),
        logger=NoOpLogger("x"),
    )
    rig.complete()
    (summary,) = rig.summaries
    assert (summary.trace_id, summary.span_id, summary.outcome, summary.duration) == (None, None, "completed", 1.5)
    assert rig.metrics() == {}
    assert caplog.records == []


# --- faults ----------------------------------------------------------------------------------------------------------


class _Broken(Sampler):
    """A sampler that raises."""

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        raise RuntimeError("broken sampler")

    def get_description(self) -> str:
        return "broken"


def _raise(*args: object) -> Any:
    raise RuntimeError("broken")


def _faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "streamspan" and r.levelno == logging.WARNING]


def test_a_sampler_that_raises_costs_the_span_and_nothing_else(
    new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    """The stream goes on with the caller's context, metrics and summary are there, and the fault is logged once."""
    rig = new_rig(sampler=_Broken())
    rig.has_every_span = False
    with _InContextOf(PARENT):
        session = rig.complete()
        rig.complete()
    assert trace.get_current_span(telemetry_of(session).context).get_span_context() == PARENT
    assert [s.trace_id for s in rig.summaries] == [None, None]
    assert point(rig.metrics()["streamspan.chunks"]).count == 2
    assert len(_faults(caplog)) == 1


@pytest.mark.parametrize(
    "arguments",
    [{"on_session_end": _raise}, {"identity": _raise}, {"scrub": _raise}],
    ids=["on_session_end", "identity", "scrub"],
)
def test_a_callback_that_raises_does_not_reach_the_stream(
    arguments: dict[str, Any], new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    """Every span is whole, and the fault is logged once for many sessions."""
    rig = new_rig(**arguments)
    for _ in range(3):
        rig.stream().exhausted()
        rig.stream([(0.25, text("a"))]).failed(failure("503", "no"))
    assert [attributes_of(s)["streamspan.outcome"] for s in rig.spans] == ["completed", "error"] * 3
    assert len(_faults(caplog)) == 1


def test_a_callback_that_keeps_raising_is_still_called(new_rig: NewRig, caplog: pytest.LogCaptureFixture) -> None:
    """It is the application's: called once per session whatever it does, and told of once."""
    calls: list[SessionSummary] = []

    def broken(summary: SessionSummary) -> None:
        calls.append(summary)
        raise ValueError

    rig = new_rig(on_session_end=broken)
    for _ in range(25):
        rig.complete()
    assert len(calls) == 25
    assert len(rig.spans) == 25
    assert len(_faults(caplog)) == 1


def test_a_message_that_could_not_be_checked_for_secrets_is_not_shown(new_rig: NewRig) -> None:
    """When the scrubbing of a message fails, the message is left out everywhere."""
    rig = new_rig(scrub=_raise)
    rig.stream().failed(failure("503", "sk-secret"))
    rig.stream([(0.25, text("a"))]).failed(failure("503", "sk-secret", exception=OSError("sk-secret")))
    told = f"{[(s.status.description, s.events) for s in rig.spans]} {rig.summaries}"
    assert "sk-secret" not in told
    assert rig.spans[1].status.description == "[not shown: it could not be checked for secrets]"


def test_keys_and_tokens_are_taken_out_by_default(new_rig: NewRig) -> None:
    """Nobody has to ask for it: an API key in an error message does not leave the process."""
    key = "sk-proj-" + "Ab1" * 16
    rig = new_rig()
    rig.stream().exhausted()
    rig.stream([(0.25, text("a"))]).failed(failure("401", f"Incorrect API key provided: {key}"))
    assert (rig.spans[1].status.description or "").startswith("Incorrect API key provided: ")
    assert key not in f"{rig.spans[1].status.description} {rig.spans[1].events} {rig.summaries}"


def test_secrets_are_taken_out_of_everything_that_an_error_says(new_rig: NewRig) -> None:
    """Description, message, stack trace and summary all go through the scrubber."""
    rig = new_rig(Config(events="both"), scrub=lambda s: s.replace("sk-secret", "[key]"))
    exc = raised(ValueError("bad key sk-secret"))
    rig.stream([(0.25, text("a"))]).failed(failure("401", str(exc), exception=exc))
    event = attributes_of(rig.span.events[-1])
    assert rig.span.status.description == "bad key [key]"
    assert event["exception.message"] == "bad key [key]"
    assert str(event["exception.stacktrace"]).endswith("ValueError: bad key [key]\n")
    assert rig.summaries[0].error_message == "bad key [key]"
    assert "sk-secret" not in f"{[attributes_of(log.log_record) for log in rig.logs]}"


def test_a_session_that_cannot_be_summarized_still_ends_its_span(
    new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours costs the description; the span ends at the right time, and no stream stays open."""
    rig = new_rig()
    rig.is_checked = False
    session = rig.stream()
    session.settle()
    session.usage = None  # type: ignore[assignment] # a fault of ours
    session.exhausted()
    assert rig.span.end_time == START_NS + 1_500_000_000
    assert point(rig.metrics()["streamspan.active"]).value == 0
    assert rig.summaries == []
    assert len(_faults(caplog)) == 1


def test_a_description_that_fails_halfway_still_ends_the_span(
    new_rig: NewRig, caplog: pytest.LogCaptureFixture
) -> None:
    """An exception that cannot even be printed costs its message; status, events and metrics are there."""

    class Unprintable(Exception):  # noqa: N818 - it is about its text
        def __str__(self) -> str:
            raise RuntimeError("no text")

    rig = new_rig()
    rig.stream([(0.25, text("a"))]).failed(failure("Unprintable", "", exception=Unprintable()))
    assert rig.span.status.status_code is StatusCode.ERROR
    exception = attributes_of(rig.span.events[-1])
    assert (str(exception["exception.type"]).rpartition(".")[2], exception["exception.message"]) == ("Unprintable", "")
    assert point(rig.metrics()["gen_ai.client.operation.duration"]).count == 1
    assert len(_faults(caplog)) == 1


class _BrokenMeter(NoOpMeter):
    """Makes histograms that raise."""

    def create_histogram(self, name: str, *args: Any, **kwargs: Any) -> Any:
        histogram = super().create_histogram(name, *args, **kwargs)
        histogram.record = _raise  # type: ignore[method-assign, assignment] # it is the fault to be tested
        return histogram


def test_instruments_that_raise_do_not_reach_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    """The span and the summary are whole when every histogram raises; each place is logged once."""
    rig = Rig(meter=_BrokenMeter("broken"))
    rig.complete()
    assert attributes_of(rig.span)["streamspan.chunk.count"] == 4
    assert len(rig.summaries) == 1
    assert len(_faults(caplog)) == 2


# --- memory ----------------------------------------------------------------------------------------------------------


def test_a_session_that_ended_is_freed_without_the_garbage_collector(new_rig: NewRig) -> None:
    """The session and its telemetry refer to each other only while the stream is open."""
    rig = new_rig()
    session = rig.complete()
    gone = weakref.ref(session)
    gc.disable()
    try:
        del session
        assert gone() is None
    finally:
        gc.enable()


def test_an_unsampled_span_costs_no_description(new_rig: NewRig) -> None:
    """Content is not even redacted for a span that nobody will see."""
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text

    rig = new_rig(Config(capture_content="SPAN_ONLY"), sampler=ALWAYS_OFF, redact=redact)
    rig.has_every_span = False
    rig.complete(HELLO, replace(REQUEST, content={"gen_ai.input.messages": [{"role": "user"}]}))
    assert (rig.spans, seen) == ([], [])
    assert len(rig.summaries) == 1
