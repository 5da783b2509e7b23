"""The session alone: a fake clock, made-up deltas, exact numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._endings import ENDINGS, UNFINISHED, Signal, State
from streamspan._records import REASONING, TEXT, Delta, Failure, ProviderError, Request, ToolCallDelta
from streamspan._session import Session

SECOND = 1_000_000_000
FAILURE = Failure("acme.Broken", "it broke")


@dataclass
class Clock:
    now: int = 1000 * SECOND

    def __call__(self) -> int:
        return self.now

    def tick(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@dataclass
class Listener:
    seen: list[int] = field(default_factory=list)
    endings: list[Session] = field(default_factory=list)
    forgotten_count: int = 0

    def arrivals(self, at_ns: Sequence[int]) -> None:
        self.seen.extend(at_ns)

    def ended(self, session: Session) -> None:
        self.endings.append(session)

    def forgotten(self) -> None:
        self.forgotten_count += 1


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def listener() -> Listener:
    return Listener()


def make(clock: Clock, listener: Listener, **options: Any) -> Session:
    request = options.pop("request", Request("chat", "openai", "openai", model="m"))
    options.setdefault("read", lambda chunk: chunk)
    return Session(request, clock=clock, observer=listener, started_unix_ns=5 * SECOND, **options)


@pytest.fixture
def session(clock: Clock, listener: Listener) -> Session:
    made = make(clock, listener)
    clock.tick(0.1)
    made.headers(200, "req_1")
    made.returned()
    return made


def play(session: Session, clock: Clock, *chunks: Delta, wait: float = 0.1) -> None:
    for chunk in chunks:
        session.pull(1)
        clock.tick(wait)
        session.arrived(chunk)


def text(value: str, choice: int = 0) -> Delta:
    return Delta(value, choice)


def end(session: Session, signal: Signal) -> None:
    ways: dict[Signal, Callable[[], None]] = {
        Signal.EXHAUSTED: session.exhausted,
        Signal.FAILED: lambda: session.failed(FAILURE),
        Signal.TIMED_OUT: lambda: session.failed(Failure("acme.TooSlow", "too slow", is_timeout=True)),
        Signal.CLOSED: session.closed,
    }
    ways.get(signal, lambda: session.stopped(signal))()


# --- endings -----------------------------------------------------------------------------------------------------


def test_the_table_has_a_rule_for_every_open_state_and_signal() -> None:
    """Only an ended session has none: the first ending wins."""
    assert set(ENDINGS) == {(state, signal) for state in State if state is not State.ENDED for signal in Signal}


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("state", [*UNFINISHED, State.FINISHED, State.FAULTED])
def test_an_ending_is_what_the_table_says(clock: Clock, listener: Listener, state: State, signal: Signal) -> None:
    """Whatever the state, the signal gives the outcome of the table, once."""
    session = make(clock, listener)
    if state is not State.REQUESTED:
        session.headers(200, None)
        session.returned()
    chunks = {State.STREAMING: [text("a")], State.FINISHED: [Delta("a", 0, finish_reason="stop")]}
    chunks[State.FAULTED] = [Delta(choice=0, error=ProviderError("overloaded", "too busy"))]
    play(session, clock, *chunks.get(state, []))
    session.settle()
    assert session.state is state
    end(session, signal)
    assert session.ending is not None
    assert session.ending.outcome == ENDINGS[state, signal]
    assert listener.endings == [session]
    assert (session.ending.cancel_reason is not None) == (session.ending.outcome == "cancelled")
    assert (session.ending.error_type is not None) == (session.ending.outcome in {"error", "timeout", "truncated"})


@pytest.mark.parametrize("second", Signal)
@pytest.mark.parametrize("first", Signal)
def test_the_first_ending_wins(
    session: Session, clock: Clock, listener: Listener, first: Signal, second: Signal
) -> None:
    """A later signal, a later chunk and a fork change nothing any more."""
    play(session, clock, text("a"))
    end(session, first)
    ending = session.ending
    end(session, second)
    session.forget()
    assert session.ending is ending
    assert listener.endings == [session]


def test_an_exception_before_the_marker_is_an_error_with_its_type(session: Session, clock: Clock) -> None:
    """The failure's own words reach the ending."""
    play(session, clock, text("a"))
    session.failed(FAILURE)
    assert session.ending is not None
    assert (session.ending.error_type, session.ending.error_message) == ("acme.Broken", "it broke")


def test_the_providers_word_beats_the_exception_that_the_sdk_made_of_it(session: Session, clock: Clock) -> None:
    """An error event, then an exception about it: error.type is the event's."""
    play(session, clock, Delta(choice=0, error=ProviderError("overloaded")))
    session.failed(FAILURE)
    assert session.ending is not None
    assert (session.ending.error_type, session.ending.error_message) == ("overloaded", "it broke")


def test_the_end_of_a_stream_without_a_reliable_marker_is_its_marker(clock: Clock, listener: Listener) -> None:
    """Such a stream is not truncated; a finish reason that never came still shows."""
    session = make(clock, listener, marker_is_reliable=False)
    session.headers(200, None)
    session.returned()
    play(session, clock, text("a"))
    session.exhausted()
    assert session.ending is not None
    assert session.ending.outcome == "completed"
    assert session.finish_reasons == ("error",)


def test_a_marker_that_the_sdk_keeps_to_itself_completes(session: Session, clock: Clock) -> None:
    """The byte tap knows that `[DONE]` was on the wire."""
    play(session, clock, text("a"))
    session.was_done = lambda: True
    session.exhausted()
    assert session.ending is not None
    assert session.ending.outcome == "completed"


@pytest.mark.parametrize("signal", [Signal.DROPPED, Signal.EXIT])
def test_what_is_noticed_late_ends_with_the_last_chunk(session: Session, clock: Clock, signal: Signal) -> None:
    """The hour until the garbage collector came is no part of the stream."""
    play(session, clock, text("a"))
    last = clock.now
    clock.tick(3600)
    session.stopped(signal)
    assert session.ending is not None
    assert session.ending.at_ns == last
    assert session.consumer_ns == 0


def test_a_forgotten_session_tells_nobody(session: Session, clock: Clock, listener: Listener) -> None:
    """After a fork the child's copy is silent for good."""
    session.forget()
    play(session, clock, text("a"))
    session.exhausted()
    assert listener.endings == []
    assert session.is_ended


# --- clocks ------------------------------------------------------------------------------------------------------


def test_clocks_tell_chunk_token_and_answer_apart(session: Session, clock: Clock) -> None:
    """A role chunk, then thoughts, then text: three different times from the call."""
    play(session, clock, Delta(choice=0), wait=0.2)
    play(session, clock, Delta(choice=0, reasoning="hm"), wait=0.5)
    play(session, clock, text("yes"), wait=1.0)
    session.exhausted()
    assert session.seconds_to(session.headers_at) == pytest.approx(0.1)
    assert session.seconds_to(session.first_chunk_at) == pytest.approx(0.3)
    assert session.seconds_to(session.first_output_at) == pytest.approx(0.8)
    assert session.seconds_to(session.first_answer_at) == pytest.approx(1.8)
    assert (session.first_output_index, session.first_output_kinds) == (1, REASONING)


def test_provider_and_consumer_time_add_up_to_the_duration(session: Session, clock: Clock) -> None:
    """Every moment between the call and its ending belongs to one of the two."""
    clock.tick(1.0)  # reading starts late: the caller's time
    for _ in range(3):
        play(session, clock, text("a"), wait=0.25)
        clock.tick(0.5)
    session.pull(1)
    clock.tick(0.125)
    session.exhausted()
    assert session.ending is not None
    assert session.consumer_ns == 2.5 * SECOND
    assert session.provider_ns == (0.1 + 3 * 0.25 + 0.125) * SECOND
    assert session.provider_ns + session.consumer_ns == session.ending.at_ns - session.started_at


@given(st.lists(st.tuples(st.integers(0, 10**10), st.integers(0, 10**10)), max_size=30), st.sampled_from(list(Signal)))
def test_the_time_is_shared_out_whatever_the_ending(steps: list[tuple[int, int]], signal: Signal) -> None:
    """Provider + consumer = duration, for any stream that is not noticed late."""
    clock, listener = Clock(), Listener()
    session = make(clock, listener)
    clock.now += 7
    session.headers(200, None)
    session.returned()
    for wait, busy in steps:
        session.pull(1)
        clock.now += wait
        session.arrived(text("a"))
        clock.now += busy
    session.pull(1)
    clock.now += 11
    end(session, signal)
    assert session.ending is not None
    if signal not in {Signal.DROPPED, Signal.EXIT}:
        assert session.provider_ns + session.consumer_ns == session.ending.at_ns - session.started_at
    assert sum(record.count for record in session.chunk_records()) == len(steps) == session.chunk_count
    assert len(listener.seen) == len(steps)


def test_arrivals_are_told_a_few_at_a_time_and_all_by_the_end(
    session: Session, clock: Clock, listener: Listener
) -> None:
    """A fast stream tells of 16 chunks at once, and of the rest at its ending; each once, in order."""
    play(session, clock, *[text("a")] * 40, wait=0.001)
    session.pull(1)
    assert len(listener.seen) == 32
    session.exhausted()
    assert len(listener.seen) == 40
    assert listener.seen == sorted(set(listener.seen))


def test_arrivals_of_a_slow_stream_are_not_held_back(session: Session, clock: Clock, listener: Listener) -> None:
    """Nobody who reads metrics has to wait for 16 chunks that come one in a second."""
    play(session, clock, *[text("a")] * 3, wait=1.0)
    session.settle()
    assert len(listener.seen) == 3


_NS = st.integers(0, 10**10)


@given(st.lists(st.tuples(_NS, _NS, _NS, st.booleans()), max_size=9), st.booleans())
def test_code_of_the_callers_inside_a_read_is_the_callers_time(
    steps: list[tuple[int, int, int, bool]], is_inside: bool
) -> None:
    """What it was run for had arrived before it; what comes after it arrives when it does. Also if it never returns."""
    clock, listener = Clock(), Listener()
    session = make(clock, listener)
    session.returned()
    arrivals, provider = [], 0
    for before, lent, after, is_its_own in steps:
        session.pull(1)
        clock.now += before
        chunk = text("a")
        session.lent()
        begun = clock.now
        clock.now += lent
        session.regained(chunk if is_its_own else text("kept by the SDK"))
        clock.now += 0 if is_its_own else after
        session.arrived(chunk)
        provider += before + (0 if is_its_own else after)
        arrivals.append(begun if is_its_own else clock.now)
    session.pull(1)
    clock.now += 11
    if is_inside:
        session.lent()
        clock.now += 100
    session.closed()
    assert listener.seen == arrivals
    assert session.provider_ns == provider + 11
    assert session.ending is not None
    assert session.provider_ns + session.consumer_ns == session.ending.at_ns - session.started_at


def test_the_first_wait_is_no_wait_between_chunks(session: Session, clock: Clock) -> None:
    """The time to the first chunk is told by its own clock; waits are over the chunks after it."""
    play(session, clock, text("a"), wait=9.0)
    play(session, clock, text("b"), text("c"), wait=0.25)
    session.exhausted()
    assert session.waits is not None
    assert (session.waits.count, session.waits.max_ns) == (2, 0.25 * SECOND)


def test_a_stall_is_a_long_wait_after_the_first_chunk(session: Session, clock: Clock) -> None:
    """5 seconds count, 4.9 do not, and neither does a slow first chunk or a slow consumer."""
    play(session, clock, text("a"), wait=60)
    play(session, clock, text("b"), wait=4.9)
    clock.tick(60)
    play(session, clock, text("c"), wait=5)
    session.exhausted()
    assert (session.stall_count, session.stall_ns) == (1, 5 * SECOND)
    assert [(stall.chunk_index, stall.seconds) for stall in session.stalls] == [(2, 5.0)]


def test_a_stream_that_ends_in_a_stall_counts_it(session: Session, clock: Clock) -> None:
    """A read timeout after the first chunk is a stall for a chunk that never came."""
    play(session, clock, text("a"))
    session.pull(1)
    clock.tick(30)
    session.failed(Failure("acme.TooSlow", is_timeout=True))
    assert (session.stall_count, session.stalls[0].chunk_index, session.stalls[0].seconds) == (1, 1, 30.0)


def test_only_the_longest_stalls_are_kept(session: Session, clock: Clock) -> None:
    """Eight events at most; the count and the sum are over all of them."""
    play(session, clock, text("a"))
    for seconds in range(10, 30):
        play(session, clock, text("a"), wait=seconds)
    session.exhausted()
    assert session.stall_count == 20
    assert [stall.seconds for stall in session.stalls] == [float(n) for n in range(22, 30)]


# --- what was said -----------------------------------------------------------------------------------------------


def test_characters_of_reasoning_are_apart(session: Session, clock: Clock) -> None:
    """Text, refusals and tool arguments are output; reasoning has a count of its own."""
    call = ToolCallDelta(0, "call_1", "f", '{"a":1}')
    play(session, clock, text("four"), Delta(choice=0, reasoning="hmm"), Delta(choice=0, refusal="no"))
    play(session, clock, Delta(choice=0, tool_calls=[call]))
    session.exhausted()
    assert (session.character_count, session.reasoning_count) == (4 + 2 + 7, 3)


def test_pieces_of_a_tool_call_are_one_call(session: Session, clock: Clock) -> None:
    """By index, else by id, else as the last one's continuation."""
    pieces = [
        ToolCallDelta(0, "a", "f"), ToolCallDelta(1, "b", "g"), ToolCallDelta(0, "", "", "{}"),
        ToolCallDelta(None, "c", "h"), ToolCallDelta(None, "", "", "{}"), ToolCallDelta(None, "c", "", "{}"),
    ]  # fmt: skip
    play(session, clock, *[Delta(choice=0, tool_calls=[piece]) for piece in pieces])
    session.exhausted()
    assert session.tool_call_count == 3


def test_the_last_usage_of_each_field_counts(session: Session, clock: Clock) -> None:
    """Cumulative and not monotonic: neither the sum nor the maximum."""
    play(session, clock, Delta(usage={"input_tokens": 59, "output_tokens": 9}), Delta(usage={"input_tokens": 13}))
    session.exhausted()
    assert session.usage == {"input_tokens": 13, "output_tokens": 9}


@pytest.mark.parametrize(("end", "outcome"), [("closed", "completed"), ("exhausted", "truncated")])
def test_a_finish_reason_that_is_no_marker_is_enough_for_who_closes(
    session: Session, clock: Clock, end: str, outcome: str
) -> None:
    """The answer is whole and its reader lets go of it; a stream that ends there was cut short all the same."""
    play(session, clock, Delta("text", 0), Delta(choice=0, finish_reason="end_turn", reason_ends=False))
    getattr(session, end)()
    assert session.ending is not None
    assert session.ending.outcome == outcome


def test_parts_of_a_total_are_added_up_over_the_last_value_of_each(session: Session, clock: Clock) -> None:
    """Who counts output without reasoning, or input without what was cached, may leave either out of a later chunk."""
    play(
        session,
        clock,
        Delta(usage={"answer.output_tokens": 3, "reasoning.output_tokens": 20, "uncached.input_tokens": 7}),
        Delta(usage={"answer.output_tokens": 5, "cache_read.input_tokens": 100}),
    )
    session.exhausted()
    assert session.usage == {
        "input_tokens": 107,
        "cache_read.input_tokens": 100,
        "output_tokens": 25,
        "reasoning.output_tokens": 20,
    }


def test_empty_names_never_replace_earlier_ones(session: Session, clock: Clock) -> None:
    """Azure's first chunk has an empty id and model; the first that are not empty stay."""
    play(session, clock, Delta(response_id="", response_model=""), Delta(response_id="r", response_model="m"))
    play(session, clock, Delta(response_id="", response_model=""))
    session.exhausted()
    assert (session.response_id, session.response_model) == ("r", "m")


def test_finish_reasons_are_by_choice(session: Session, clock: Clock) -> None:
    """The last word of each choice; `error` for a choice that was cut off."""
    play(session, clock, text("a", 0), text("b", 2), Delta("", 2, finish_reason="stop"))
    session.exhausted()
    assert session.finish_reasons == ("error", "error", "stop")
    assert session.ending is not None
    assert session.ending.outcome == "truncated"


def test_no_finish_reason_is_due_before_the_request_was_accepted(clock: Clock, listener: Listener) -> None:
    """A refused request has no finish reasons."""
    session = make(clock, listener)
    session.failed(FAILURE)
    assert session.finish_reasons == ()


def test_rates_are_over_the_window_from_first_to_last_output(session: Session, clock: Clock) -> None:
    """(tokens - 1) and the characters after the first chunk with output, over one second."""
    play(session, clock, Delta(choice=0), text("ab"), text("cd"), wait=0.5)
    play(session, clock, text("ef"), wait=0.5)
    play(session, clock, Delta(usage={"output_tokens": 11}), wait=7)
    session.exhausted()
    assert session.output_rate == pytest.approx(10.0)
    assert session.character_rate == pytest.approx(4.0)


def test_hidden_reasoning_tokens_are_taken_out_of_the_rate(session: Session, clock: Clock) -> None:
    """Their time is not in the window, so they are not in the rate either."""
    play(session, clock, text("a"), Delta("b", 0, usage={"output_tokens": 111, "reasoning.output_tokens": 100}), wait=1)
    session.exhausted()
    assert session.output_rate == pytest.approx(10.0)


def test_a_summary_whose_reasoning_was_not_counted_is_in_the_rate(session: Session, clock: Clock) -> None:
    """Without a count there is nothing to take out, so the window is all of the output too (Claude before 4)."""
    thought = Delta("", 0, "hm", is_summary=True)
    play(session, clock, thought, text("a"), Delta("b", 0, usage={"output_tokens": 21}), wait=1)
    session.exhausted()
    assert session.output_rate == pytest.approx(10.0)


def test_one_chunk_with_output_has_no_rate(session: Session, clock: Clock) -> None:
    """A window needs two ends."""
    play(session, clock, Delta("abc", 0, usage={"output_tokens": 40}))
    session.exhausted()
    assert (session.output_rate, session.character_rate) == (None, None)


def test_a_shortcut_is_taken_only_when_the_names_are_known(clock: Clock, listener: Listener) -> None:
    """The whole chunk is read until the response's id and model are there."""
    read: list[Any] = []

    def reader(chunk: Any) -> Delta:
        read.append(chunk)
        return Delta(chunk, 0, response_id="r", response_model="m")

    session = make(clock, listener, read=reader, text_of=lambda chunk: chunk)
    session.headers(200, None)
    session.returned()
    play(session, clock, "ab", "cd", "ef")  # type: ignore[arg-type] # chunks of a made-up wire format
    session.exhausted()
    assert read == ["ab"]
    assert session.character_count == 6
    assert [record.kinds for record in session.chunk_records()] == [TEXT] * 3


# --- pieces of the wire ------------------------------------------------------------------------------------------


def test_a_piece_of_the_wire_may_hold_many_events_or_none(clock: Clock, listener: Listener) -> None:
    """Keep-alives are no chunks, and the wait that they interrupt goes on."""
    session = make(clock, listener, read=list)
    session.headers(200, None)
    session.returned()
    pieces: list[list[Delta]] = [[text("a")], [], [], [text("b"), text("c")]]
    play(session, clock, *pieces, wait=1)  # type: ignore[arg-type] # pieces of the wire
    session.exhausted()
    assert session.chunk_count == 3
    assert [record.wait_max_ns for record in session.chunk_records()] == [SECOND, 3 * SECOND, 0]
    assert session.provider_ns == 4 * SECOND


# --- attempts ----------------------------------------------------------------------------------------------------


def test_failed_attempts_before_the_stream_are_retries(clock: Clock, listener: Listener) -> None:
    """Two failures and a success: two resends with their delays; the last status is the response's."""
    session = make(clock, listener)
    for status, error in ((503, None), (None, "acme.Reset")):
        session.attempt()
        session.attempt_failed(status, error)
        clock.tick(0.5)
    session.attempt()
    session.headers(200, None)
    assert session.resend_count == 2
    told = [(retry.number, retry.delay, retry.status_code, retry.error_type) for retry in session.retries]
    assert told == [(1, 0.5, 503, None), (2, 0.5, None, "acme.Reset")]
    assert session.status_code == 200


def test_the_last_failed_attempt_is_no_retry(clock: Clock, listener: Listener) -> None:
    """It is the error of the call."""
    session = make(clock, listener)
    session.attempt()
    session.attempt_failed(429, None)
    session.failed(FAILURE)
    assert (session.resend_count, session.retries, session.status_code) == (0, [], 429)
