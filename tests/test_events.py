"""The events of a session: which, when, in what order, and what gives way when the room is scarce."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import SpanLimits

from streamspan._config import Config
from streamspan._endings import Signal
from streamspan._records import AUDIO, Delta, ProviderError
from telemetry_rig import (
    DONE,
    READER,
    REQUEST,
    ROLE,
    Rig,
    Step,
    attributes_of,
    checked_rigs,
    event_list,
    events_named,
    failure,
    raised,
    text,
    tool_call,
)

NewRig = Callable[..., Rig]


@pytest.fixture(name="new_rig")
def _new_rig() -> Iterator[NewRig]:
    yield from checked_rigs()


def _steps(count: int) -> list[Step]:
    return [(0.25, text("ab")) for _ in range(count)]


def _names(rig: Rig) -> list[str]:
    return [event.name for event in rig.span.events]


def test_each_chunk_is_an_event_and_the_first_token_is_one_more(new_rig: NewRig) -> None:
    """Events have the true arrival times, and a chunk without output has no kind."""
    rig = new_rig()
    rig.complete()
    assert event_list(rig.span) == [
        ("streamspan.chunk", 0.25, _chunk(0, 0, 0.25)),
        ("streamspan.first_token", 0.5, {"streamspan.chunk.index": 1, "streamspan.output.kind": "text"}),
        ("streamspan.chunk", 0.5, _chunk(1, 3, 0.25, "text")),
        ("streamspan.chunk", 1.0, _chunk(2, 2, 0.5, "text")),
        ("streamspan.chunk", 1.5, _chunk(3, 0, 0.5)),
    ]


def _chunk(index: int, characters: int, wait: float, kind: str = "") -> dict[str, object]:
    attributes: dict[str, object] = {
        "streamspan.chunk.index": index,
        "streamspan.chunk.count": 1,
        "streamspan.output.characters": characters,
        "streamspan.wait.max": wait,
    }
    return {**attributes, "streamspan.output.kind": kind} if kind else attributes


def test_kinds_are_named_in_a_fixed_order_and_reasoning_is_counted_apart(new_rig: NewRig) -> None:
    """A chunk of several kinds names them all, and its thoughts do not count as output."""
    rig = new_rig()
    mixed = replace(tool_call("f", "{}"), reasoning="hm", text="a", media=AUDIO, refusal="no!")
    rig.complete([(0.25, mixed), (0.25, DONE)])
    first, chunk = rig.span.events[:2]
    kinds = "text,reasoning,refusal,tool_call,audio"
    assert attributes_of(first) == {"streamspan.chunk.index": 0, "streamspan.output.kind": kinds}
    assert attributes_of(chunk)["streamspan.output.kind"] == kinds
    assert attributes_of(chunk)["streamspan.output.characters"] == 6
    assert attributes_of(chunk)["streamspan.reasoning.characters"] == 2


def test_a_stall_is_told_when_it_is_over(new_rig: NewRig) -> None:
    """The event comes with the chunk that ended the stall, before that chunk's own event."""
    rig = new_rig()
    rig.complete([(0.25, text("a")), (6, text("b")), (0.25, DONE)])
    assert event_list(rig.span)[2:4] == [
        ("streamspan.stall", 6.25, {"streamspan.chunk.index": 1, "streamspan.wait.max": 6.0}),
        ("streamspan.chunk", 6.25, _chunk(1, 1, 6.0, "text")),
    ]


def test_a_stall_in_which_the_stream_ended_is_told_before_the_ending(new_rig: NewRig) -> None:
    """The stall's chunk is the one that never came."""
    rig = new_rig()
    session = rig.stream([(0.25, text("a"))])
    session.pull(READER)
    rig.clock.wait(8)
    session.failed(failure("TimeoutError", "read timed out", is_timeout=True))
    assert event_list(rig.span)[2:] == [
        ("streamspan.stall", 8.25, {"streamspan.chunk.index": 1, "streamspan.wait.max": 8.0}),
        ("exception", 8.25, {"exception.type": "TimeoutError", "exception.message": "read timed out"}),
    ]


def test_each_failed_attempt_is_a_retry_at_the_time_it_failed(new_rig: NewRig) -> None:
    """A retry has the status code, or the error type where there was no status, and the delay until the next."""
    rig = new_rig()
    session = rig.open()
    session.attempt()
    for seconds, status, error in ((0.5, 503, None), (1.0, None, "httpx.ConnectError")):
        rig.clock.wait(0.25)
        session.attempt_failed(status, error)
        rig.clock.wait(seconds)
        session.attempt()
    session.headers(200, None)
    session.returned()
    rig.feed(session, [(0.25, text("a")), (0.25, DONE)])
    session.exhausted()
    number, delay = "http.request.resend_count", "streamspan.retry.delay"
    assert event_list(rig.span)[:2] == [
        ("streamspan.retry", 0.25, {number: 1, delay: 0.5, "http.response.status_code": 503}),
        ("streamspan.retry", 1.0, {number: 2, delay: 1.0, "error.type": "httpx.ConnectError"}),
    ]


def test_a_retry_of_unknown_cause_has_neither_status_nor_type(new_rig: NewRig) -> None:
    """Where the layer below did not say why it failed, nothing is made up."""
    rig = new_rig()
    session = rig.open()
    session.attempt_failed(None, None)
    session.attempt()
    session.closed()
    assert event_list(rig.span)[0][2] == {"http.request.resend_count": 1, "streamspan.retry.delay": 0.0}


def test_a_cancel_is_told_with_what_had_come_so_far(new_rig: NewRig) -> None:
    """The event has the reason, chunks and characters; thoughts only if there were any."""
    rig = new_rig()
    rig.stream([(0.25, ROLE), (0.25, text("Hel"))]).closed()
    rig.stream([(0.25, Delta(choice=0, reasoning="hm"))]).stopped(Signal.INTERRUPTED)
    cancels = [events_named(span, "streamspan.cancelled") for span in rig.spans]
    assert cancels == [
        [{"streamspan.cancel.reason": "closed", "streamspan.chunk.count": 2, "streamspan.output.characters": 3}],
        [
            {
                "streamspan.cancel.reason": "interrupted",
                "streamspan.chunk.count": 1,
                "streamspan.output.characters": 0,
                "streamspan.reasoning.characters": 2,
            }
        ],
    ]


def test_a_cancelled_call_without_a_stream_only_has_its_reason(new_rig: NewRig) -> None:
    """There are no chunks to count where no stream was asked for."""
    rig = new_rig()
    rig.open(replace(REQUEST, is_stream=False)).stopped(Signal.TASK_CANCELLED)
    assert [e[::2] for e in event_list(rig.span)] == [
        ("streamspan.cancelled", {"streamspan.cancel.reason": "task_cancelled"})
    ]


def test_an_exception_is_recorded_once_with_its_stack(new_rig: NewRig) -> None:
    """Type, message and stack trace are the exception's own; `error.type` may be the provider's word."""
    rig = new_rig()
    session = rig.stream([(0.25, text("a"))])
    session.failed(failure("503", "upstream reset", exception=raised(OSError("reset by peer"))))
    (event,) = events_named(rig.span, "exception")
    stack = str(event["exception.stacktrace"])
    assert (event["exception.type"], event["exception.message"]) == ("OSError", "reset by peer")
    assert stack.startswith("Traceback (most recent call last):\n")
    assert stack.endswith("OSError: reset by peer\n")
    assert attributes_of(rig.span)["error.type"] == "503"


def test_the_type_of_an_exception_has_its_module(new_rig: NewRig) -> None:
    """`exception.type` is the qualified name, as the conventions want it."""
    rig = new_rig()
    rig.stream().failed(failure())  # completed: its marker was seen
    rig.stream([(0.25, text("a"))]).failed(failure(exception=Rig.Broken("x")))
    assert [e["exception.type"] for s in rig.spans for e in events_named(s, "exception")] == [
        "telemetry_rig.Rig.Broken"
    ]


def test_an_error_in_the_stream_has_the_providers_type(new_rig: NewRig) -> None:
    """A failure that nobody raised is an exception event without a stack."""
    rig = new_rig()
    rig.complete([(0.25, text("a")), (0.25, Delta(error=ProviderError("overloaded_error", "too many")))])
    assert events_named(rig.span, "exception") == [
        {"exception.type": "overloaded_error", "exception.message": "too many"}
    ]


def test_a_truncated_stream_raised_nothing(new_rig: NewRig) -> None:
    """Truncation is the span's status; there is no exception event."""
    rig = new_rig()
    rig.complete([(0.25, text("a"))])
    assert _names(rig) == ["streamspan.first_token", "streamspan.chunk"]


# --- budgets ---------------------------------------------------------------------------------------------------------


def _totals(rig: Rig) -> tuple[int, int]:
    chunks = events_named(rig.span, "streamspan.chunk")
    return (
        sum(int(str(c["streamspan.chunk.count"])) for c in chunks),
        sum(int(str(c["streamspan.output.characters"])) for c in chunks),
    )


@pytest.mark.parametrize("chunks", [31, 32, 33, 63, 64, 65, 300])
def test_more_chunks_than_the_budget_are_merged_and_add_up(chunks: int, new_rig: NewRig) -> None:
    """However many chunks, there are at most 32 chunk events, and their sums are the stream's."""
    rig = new_rig()
    rig.complete([*_steps(chunks - 1), (0.25, DONE)])
    events = events_named(rig.span, "streamspan.chunk")
    assert 16 <= len(events) <= 32
    assert _totals(rig) == (chunks, 2 * (chunks - 1))


def test_with_a_large_budget_the_spans_own_limit_decides(new_rig: NewRig) -> None:
    """300 chunks and a limit of 128 events: first token and cancel stay, and all chunks are in the rest."""
    rig = new_rig(Config(chunk_events=1000))
    session = rig.stream(_steps(300))
    session.closed()
    names = _names(rig)
    assert len(names) <= 128
    assert (names[0], names[-1]) == ("streamspan.first_token", "streamspan.cancelled")
    assert _totals(rig) == (300, 600)


def test_a_tight_limit_leaves_the_events_that_matter(new_rig: NewRig) -> None:
    """With room for ten events, two retries, a stall, the first token and the cancel leave five for 40 chunks."""
    rig = new_rig(limits=SpanLimits(max_events=10))
    session = rig.open()
    for _ in range(2):
        session.attempt()
        session.attempt_failed(503, None)
    session.attempt()
    session.headers(200, None)
    session.returned()
    rig.feed(session, [*_steps(39), (7, text("z"))])
    session.closed()
    names = _names(rig)
    assert len(names) <= 10
    assert [n for n in names if n != "streamspan.chunk"] == [
        "streamspan.retry",
        "streamspan.retry",
        "streamspan.first_token",
        "streamspan.stall",
        "streamspan.cancelled",
    ]
    assert _totals(rig) == (40, 79)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (0, []),
        (1, ["streamspan.cancelled"]),
        (2, ["streamspan.first_token", "streamspan.cancelled"]),
        (3, ["streamspan.first_token", "streamspan.stall", "streamspan.cancelled"]),
        (4, ["streamspan.first_token", "streamspan.chunk", "streamspan.stall", "streamspan.cancelled"]),
    ],
)
def test_where_even_those_do_not_fit_the_ending_is_kept_longest(limit: int, kept: list[str]) -> None:
    """The span drops nothing itself: what does not fit is not added."""
    rig = Rig(limits=SpanLimits(max_events=limit))
    rig.stream([(0.25, text("a")), (6, text("b"))]).closed()
    assert _names(rig) == kept
    assert rig.span.dropped_events == 0


def test_without_a_limit_only_the_budget_counts(new_rig: NewRig) -> None:
    """An unlimited span takes as many chunk events as the option allows."""
    rig = new_rig(Config(chunk_events=1000), limits=SpanLimits(max_events=SpanLimits.UNSET))
    rig.stream(_steps(300)).closed()
    assert len(events_named(rig.span, "streamspan.chunk")) == 300


def test_chunk_events_can_be_switched_off(new_rig: NewRig) -> None:
    """With a budget of 0 everything else is still told."""
    rig = new_rig(Config(chunk_events=0))
    rig.stream([(0.25, text("a")), (6, text("b"))]).closed()
    assert _names(rig) == ["streamspan.first_token", "streamspan.stall", "streamspan.cancelled"]


def test_at_most_eight_stalls_are_told_and_all_are_counted(new_rig: NewRig) -> None:
    """The longest stalls are kept; count and time are of all of them."""
    rig = new_rig()
    rig.complete([(0.25, text("a")), *((5 + n, text("b")) for n in range(10)), (0.25, DONE)])
    told = [e["streamspan.wait.max"] for e in events_named(rig.span, "streamspan.stall")]
    assert told == [7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0]
    assert attributes_of(rig.span)["streamspan.stall.count"] == 10
    assert attributes_of(rig.span)["streamspan.stall.time"] == 95.0
