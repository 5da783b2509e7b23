"""Names, units and bucket bounds of everything that is emitted.

Names under `gen_ai.`, `openai.`, `server.`, `http.`, `error.` and `exception.` are OpenTelemetry's, everything under
`streamspan.` is our own. Knows what is emitted; refuses to know when.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

SCOPE = "streamspan"

# --- attributes of the conventions -----------------------------------------------------------------------------------

OPERATION_NAME = "gen_ai.operation.name"
PROVIDER_NAME = "gen_ai.provider.name"
CONVERSATION_ID = "gen_ai.conversation.id"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
REQUEST_CHOICE_COUNT = "gen_ai.request.choice.count"
RESPONSE_ID = "gen_ai.response.id"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_FINISH_REASONS = "gen_ai.response.finish_reasons"
RESPONSE_TIME_TO_FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
USAGE_PREFIX = "gen_ai.usage."
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - tokens of a model
TOKEN_MODALITY = "gen_ai.token.modality"  # noqa: S105
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"
ERROR_TYPE = "error.type"
HTTP_RESEND_COUNT = "http.request.resend_count"
HTTP_STATUS_CODE = "http.response.status_code"
USER_ID = "user.id"
REALTIME_SESSION_ID = "gen_ai.realtime_session.id"
"""Only proposed (semantic-conventions-genai #394), as is the operation `realtime_inference`."""
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

# --- our own attributes ----------------------------------------------------------------------------------------------

LAYER = "streamspan.layer"
OUTCOME = "streamspan.outcome"
CANCEL_REASON = "streamspan.cancel.reason"
CANCEL_EXCEPTION = "streamspan.cancel.exception"
REQUEST_ID = "streamspan.request_id"
TIME_TO_HEADERS = "streamspan.time_to_headers"
TIME_TO_FIRST_TOKEN = "streamspan.time_to_first_token"  # noqa: S105
TIME_TO_FIRST_ANSWER = "streamspan.time_to_first_answer"
PROVIDER_TIME = "streamspan.provider_time"
CONSUMER_TIME = "streamspan.consumer_time"
CHUNK_COUNT = "streamspan.chunk.count"
CHUNK_INDEX = "streamspan.chunk.index"
OUTPUT_CHARACTERS = "streamspan.output.characters"
OUTPUT_KIND = "streamspan.output.kind"
REASONING_CHARACTERS = "streamspan.reasoning.characters"
TOOL_CALL_COUNT = "streamspan.tool_call.count"
WAIT_P50 = "streamspan.wait.p50"
WAIT_P95 = "streamspan.wait.p95"
WAIT_MAX = "streamspan.wait.max"
STALL_COUNT = "streamspan.stall.count"
STALL_TIME = "streamspan.stall.time"
OUTPUT_RATE = "streamspan.output_rate"
CHARACTER_RATE = "streamspan.character_rate"
RETRY_DELAY = "streamspan.retry.delay"

# --- runs of a framework ---------------------------------------------------------------------------------------------

RUN_ID = "streamspan.langchain.run_id"
PARENT_RUN_ID = "streamspan.langchain.parent_run_id"
RUN_NAME = "streamspan.langchain.run_name"
RUN_TAGS = "streamspan.langchain.tags"

# --- connections -----------------------------------------------------------------------------------------------------

REALTIME_SESSION = "realtime_session"
"""The operation of a connection's span."""
CONNECT_TIME = "streamspan.connect_time"
TURN_COUNT = "streamspan.turn.count"
INTERRUPTION_COUNT = "streamspan.interruption.count"
CLOSE_CODE = "streamspan.close_code"
HOP_COUNT = "streamspan.hop.count"
HOP_NUMBER = "streamspan.hop.number"

# --- events ----------------------------------------------------------------------------------------------------------

EVENT_FIRST_TOKEN = "streamspan.first_token"  # noqa: S105
EVENT_CHUNK = "streamspan.chunk"
EVENT_STALL = "streamspan.stall"
EVENT_RETRY = "streamspan.retry"
EVENT_HOP = "streamspan.hop"
EVENT_CANCELLED = "streamspan.cancelled"
EVENT_EXCEPTION = "exception"
"""The span event; as a log event the same thing is called `EVENT_EXCEPTION_LOG`."""
EVENT_EXCEPTION_LOG = "gen_ai.client.operation.exception"
EVENT_DETAILS = "gen_ai.client.inference.operation.details"

# --- metrics ---------------------------------------------------------------------------------------------------------

InstrumentKind: TypeAlias = Literal["histogram", "counter", "up_down_counter"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One instrument: its name, kind, unit, meaning and, for a histogram, the advised bucket bounds."""

    name: str
    kind: InstrumentKind
    unit: str
    description: str
    buckets: tuple[float, ...] = ()


# The conventions' bounds. None of the durations is a whole number, but the token counts are.
_DURATIONS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**n) for n in range(14))

# Ours. The `le` label of a whole number differs between scraping ("1.0") and OTLP ("1"), so bounds avoid them.
_FIRST_TOKENS = (
    0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 2.5, 3.5, 5.5, 7.5, 10.5, 15.5, 30.5, 60.5,
)  # fmt: skip
_WAITS = (0.0025, 0.005, *_DURATIONS)
_RATES = (
    1.5, 2.5, 5.5, 10.5, 20.5, 30.5, 40.5, 60.5, 80.5, 100.5, 150.5, 200.5, 300.5, 500.5, 1000.5, 2500.5,
)  # fmt: skip
_CHARACTER_RATES = tuple(4 * bound for bound in _RATES)
_CHUNKS = (1.5, 5.5, 10.5, 25.5, 50.5, 100.5, 250.5, 500.5, 1000.5, 2500.5, 5000.5, 10000.5)

METRIC_DURATION = Metric(
    "gen_ai.client.operation.duration", "histogram", "s", "Duration of the call, to the end of its stream", _DURATIONS
)
METRIC_TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai.client.operation.time_to_first_chunk", "histogram", "s", "Time to the first chunk of any kind", _DURATIONS
)
METRIC_TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai.client.operation.time_per_output_chunk", "histogram", "s", "Time from one chunk to the next", _DURATIONS
)
METRIC_TOKEN_USAGE = Metric(
    "gen_ai.client.token.usage", "histogram", "{token}", "Tokens of a call, as the provider reported them", _TOKENS
)

LATEST_DURATION = Metric("gen_ai.client.inference.duration", "histogram", "s", METRIC_DURATION.description, _DURATIONS)
LATEST_TIME_TO_FIRST_CHUNK = Metric(
    "gen_ai.client.inference.time_to_first_chunk", "histogram", "s", METRIC_TIME_TO_FIRST_CHUNK.description, _DURATIONS
)
LATEST_TIME_PER_OUTPUT_CHUNK = Metric(
    "gen_ai.client.inference.time_per_output_chunk",
    "histogram",
    "s",
    METRIC_TIME_PER_OUTPUT_CHUNK.description,
    _DURATIONS,
)
LATEST_OPERATION_TOKENS = {
    "input_tokens": Metric(
        "gen_ai.client.inference.operation.input_tokens", "histogram", "{token}", "Input tokens of a call", _TOKENS
    ),
    "output_tokens": Metric(
        "gen_ai.client.inference.operation.output_tokens", "histogram", "{token}", "Output tokens of a call", _TOKENS
    ),
}
"""By the suffix of the usage attribute."""
LATEST_USAGE = {
    suffix: Metric(f"gen_ai.client.inference.usage.{suffix}", "counter", "{token}", description)
    for suffix, description in (
        ("input_tokens", "Input tokens"),
        ("output_tokens", "Output tokens"),
        ("cache_read.input_tokens", "Input tokens read from the provider's cache"),
        ("cache_write.input_tokens", "Input tokens written to the provider's cache"),
        ("reasoning.output_tokens", "Output tokens spent on reasoning"),
    )
}
"""By the suffix of the usage attribute."""
MODALITIES = ("text", "image", "audio")
UNKNOWN_MODALITY = "unknown"

METRIC_TIME_TO_FIRST_TOKEN = Metric(
    TIME_TO_FIRST_TOKEN, "histogram", "s", "Time to the first chunk with output", _FIRST_TOKENS
)
METRIC_TIME_TO_FIRST_ANSWER = Metric(
    TIME_TO_FIRST_ANSWER, "histogram", "s", "Time to the first output that is not reasoning", _FIRST_TOKENS
)
METRIC_OUTPUT_RATE = Metric(
    OUTPUT_RATE, "histogram", "{token}/s", "Output tokens per second, first to last output", _RATES
)
METRIC_CHARACTER_RATE = Metric(
    CHARACTER_RATE, "histogram", "{character}/s", "Characters per second, first to last output", _CHARACTER_RATES
)
METRIC_WAIT_MAX = Metric(WAIT_MAX, "histogram", "s", "Longest wait for a chunk after the first", _WAITS)
METRIC_CONSUMER_TIME = Metric(
    CONSUMER_TIME, "histogram", "s", "Time of a stream that was spent in the caller's code", _WAITS
)
METRIC_CHUNKS = Metric("streamspan.chunks", "histogram", "{chunk}", "Chunks of a stream", _CHUNKS)
METRIC_STALLS = Metric("streamspan.stalls", "counter", "{stall}", "Waits that were long enough to count as a stall")
METRIC_RETRIES = Metric("streamspan.retries", "counter", "{retry}", "Requests that were sent again")
METRIC_ACTIVE = Metric("streamspan.active", "up_down_counter", "{stream}", "Open streams")
