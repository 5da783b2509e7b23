"""The records that travel between the rooms: what a chunk said, what was asked, how it ended.

Knows the vocabulary of the product (output kinds, outcomes, cancel reasons) and nothing else: no clock,
no I/O, no vendor, no OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

AttributeValue: TypeAlias = str | bool | int | float | Sequence[str] | Sequence[int] | Sequence[float]
Attributes: TypeAlias = Mapping[str, AttributeValue]

Outcome: TypeAlias = Literal["completed", "truncated", "cancelled", "timeout", "error"]
CancelReason: TypeAlias = Literal["closed", "task_cancelled", "interrupted", "dropped", "exit"]
OutputKind: TypeAlias = Literal["text", "reasoning", "refusal", "tool_call", "audio", "image"]

# The kinds of a chunk are a bit set on the chunk path; bit n stands for OUTPUT_KINDS[n].
OUTPUT_KINDS: tuple[OutputKind, ...] = ("text", "reasoning", "refusal", "tool_call", "audio", "image")
TEXT, REASONING, REFUSAL, TOOL_CALL, AUDIO, IMAGE = (1 << n for n in range(len(OUTPUT_KINDS)))


def kinds_of(bits: int) -> tuple[OutputKind, ...]:
    """Return the output kinds of a bit set, in the order of `OUTPUT_KINDS`."""
    return tuple(kind for n, kind in enumerate(OUTPUT_KINDS) if bits >> n & 1)


@dataclass(slots=True)
class ToolCallDelta:
    """A piece of a tool call.

    The session joins the pieces: by `index` where the provider sends one, else by `id`, else to the last call of
    the choice, unless the piece `begins` a call.
    """

    index: int | None = None
    id: str = ""
    name: str = ""
    arguments: str = ""
    begins: bool = False


@dataclass(slots=True)
class ProviderError:
    """A failure that the provider reported inside the stream; `type` is its own code or type."""

    type: str
    message: str = ""


@dataclass(slots=True)
class Delta:
    """What one chunk said, in no vendor's words.

    Everything has a default, so that a reader names only what it found. A chunk that speaks of several choices is
    one `Delta` with the others in `others`.

    Args:
        choice: the index of the choice that this is about; None when the chunk is about none (usage, keep-alive).
        text: answer text.
        reasoning: thoughts of the model, shown before or between the answer.
        refusal: text of a refusal.
        tool_calls: pieces of tool calls.
        media: bits of `AUDIO` and `IMAGE` for binary output.
        finish_reason: the provider's word for why the choice ended; empty when it did not say.
        usage: token counts by the conventions' suffix (`input_tokens`, `output_tokens`, `cache_read.input_tokens`,
            `reasoning.output_tokens` …); cumulative, the last value of each counts. Who counts input without what came
            from a cache or went into one says `uncached.input_tokens`, who counts the prompt and what tools added to it
            apart says `prompt.input_tokens` and `tool_use.input_tokens`, who counts output without reasoning says
            `answer.output_tokens`, and the session adds them up.
        response_id, response_model: as sent; the first that is not empty counts, but a model without an id goes on
            where another one stopped.
        attributes: further response attributes, by their full names.
        is_terminal: the wire format's terminal marker was in this chunk.
        error: the failure that the chunk reports.
        others: what it said of further choices.
        is_summary: `reasoning` is a summary, not what the reasoning tokens were spent on.
        is_interrupted: the provider broke the answer off because the caller spoke up or asked for it; its finish
            reason is no end marker then.
        reason_ends: the finish reason is an end marker as well; not where another one has to follow it.
    """

    text: str = ""
    choice: int | None = None
    reasoning: str = ""
    refusal: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()
    media: int = 0
    finish_reason: str = ""
    usage: Mapping[str, int] | None = None
    response_id: str = ""
    response_model: str = ""
    attributes: Attributes | None = None
    is_terminal: bool = False
    error: ProviderError | None = None
    others: Sequence[Delta] = ()
    is_summary: bool = False
    is_interrupted: bool = False
    reason_ends: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked of a model, known before the answer.

    Args:
        operation: `gen_ai.operation.name`.
        provider: `gen_ai.provider.name`.
        layer: who owns the session (`openai`, `httpx`, `manual` …).
        model: the requested model, if known.
        is_stream: whether a stream was asked for.
        server_address, server_port: where the request goes.
        choice_count: how many choices were asked for.
        attributes: request attributes of the conventions, by their full names.
        content: `gen_ai.input.messages`, `gen_ai.system_instructions` and `gen_ai.tool.definitions` as plain data;
            empty unless content is captured.
    """

    operation: str
    provider: str
    layer: str
    model: str | None = None
    is_stream: bool = True
    server_address: str | None = None
    server_port: int | None = None
    choice_count: int = 1
    attributes: Attributes = field(default_factory=dict[str, AttributeValue])
    content: Mapping[str, object] = field(default_factory=dict[str, object])


@dataclass(frozen=True, slots=True)
class Retry:
    """A failed attempt that was followed by another one."""

    number: int
    """1 for the first resend."""
    at_ns: int
    """When the attempt failed, on the session's clock; or when that was told."""
    delay: float | None
    """Seconds from the failure to the next attempt, where they are known."""
    status_code: int | None = None
    error_type: str | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """A further request of the same call: what came before it was not the whole answer."""

    number: int
    """1 for the first further request."""
    chunk_index: int
    """Index of the chunk that comes next."""
    at_ns: int


@dataclass(frozen=True, slots=True)
class Stall:
    """A wait of at least the stall limit."""

    chunk_index: int
    """Index of the chunk that ended it (of the chunk that never came, when the stream ended in it)."""
    at_ns: int
    seconds: float


@dataclass(slots=True)  # not frozen: that takes six times as long to make, and there are 32 a stream
class ChunkRecord:
    """One or more neighbouring chunks as one event."""

    index: int
    """Index of the first chunk, from 0."""
    count: int
    characters: int
    reasoning_characters: int
    kinds: int
    """Bit set of the output kinds."""
    wait_max_ns: int
    at_ns: int
    """Arrival of the first chunk, on the session's clock."""


class Ending(NamedTuple):
    """How a session ended: the first ending wins, and this is it."""

    outcome: Outcome
    at_ns: int
    cancel_reason: CancelReason | None = None
    cancel_exception: str | None = None
    """Type of the exception in the caller's own code that made it close the stream."""
    error_type: str | None = None
    error_message: str = ""
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """What an exception means for telemetry: its type as the provider or the SDK names it."""

    type: str
    message: str = ""
    is_timeout: bool = False
    is_from_provider: bool = False
    """The type is the provider's own word, not a status or an exception's name."""
    exception: BaseException | None = None


@dataclass(frozen=True, slots=True)
class ConnectionSummary:
    """A WebSocket connection that is over.

    Args:
        session_id: the provider's id of it, or one that was made for it.
        ended_unix_ns: wall clock of its end.
        connect_time: seconds that opening it took; None if it was never open.
        turn_count: turns that it carried.
        interruption_count: of those, how many the provider broke off because the caller spoke up.
        close_code: of the close frame; None without one.
        failure: why it could not be opened, or broke; None if it ended in peace.
    """

    session_id: str
    ended_unix_ns: int
    connect_time: float | None
    turn_count: int
    interruption_count: int
    close_code: int | None
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A finished session, as `on_session_end` gets it. Times are in seconds.

    Clocks run from the entry of the caller's call, retries included; None means that it never happened.
    """

    session_id: str | None
    """The id given to `streamspan.session(...)`, if any."""
    user_id: str | None
    operation: str
    provider: str
    model: str | None
    response_model: str | None
    response_id: str | None
    layer: str
    is_stream: bool
    outcome: Outcome
    cancel_reason: CancelReason | None
    cancel_exception: str | None
    error_type: str | None
    error_message: str
    started_unix_ns: int
    """Wall clock of the call, nanoseconds since the epoch."""
    duration: float
    time_to_headers: float | None
    time_to_first_chunk: float | None
    time_to_first_token: float | None
    time_to_first_answer: float | None
    provider_time: float
    consumer_time: float
    wait_p50: float | None
    wait_p95: float | None
    wait_max: float | None
    stall_count: int
    stall_time: float
    chunk_count: int
    output_characters: int
    reasoning_characters: int
    tool_call_count: int
    output_rate: float | None
    """(output tokens - 1) per second of the generation window, from counts that the provider sent."""
    character_rate: float | None
    finish_reasons: tuple[str, ...]
    usage: Mapping[str, int]
    """Token counts by the conventions' suffix, e.g. `input_tokens`, `cache_read.input_tokens`."""
    resend_count: int
    status_code: int | None
    request_id: str | None
    trace_id: str | None
    span_id: str | None
