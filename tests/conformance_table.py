"""Every name that streamspan emits: type, unit and level, as the conventions or `streamspan` itself define them.

Written down a second time on purpose: `streamspan._semconv` is the code's, this is the contract that it is checked
against, and `test_conformance.py` compares it with the conventions' registry where that is at hand.
"""

from __future__ import annotations

from typing import NamedTuple

SPAN_ATTRIBUTES: dict[str, tuple[str, str]] = {
    # name: (type, level on the span)
    "gen_ai.operation.name": ("string", "required"),
    "gen_ai.provider.name": ("string", "required"),
    "gen_ai.request.model": ("string", "conditionally_required"),
    "server.address": ("string", "recommended"),
    "server.port": ("int", "conditionally_required"),
    "error.type": ("string", "conditionally_required"),
    "gen_ai.conversation.compacted": ("boolean", "recommended"),
    "gen_ai.conversation.id": ("string", "conditionally_required"),
    "gen_ai.agent.id": ("string", "conditionally_required"),
    "gen_ai.request.stream_cursor": ("string", "conditionally_required"),
    "gen_ai.response.status": ("string", "recommended"),
    "gen_ai.output.type": ("string", "conditionally_required"),
    "gen_ai.prompt.name": ("string", "conditionally_required"),
    "gen_ai.prompt.version": ("string", "conditionally_required"),
    "gen_ai.request.choice.count": ("int", "conditionally_required"),
    "gen_ai.request.frequency_penalty": ("double", "recommended"),
    "gen_ai.request.max_tokens": ("int", "recommended"),
    "gen_ai.request.presence_penalty": ("double", "recommended"),
    "gen_ai.request.previous_response.id": ("string", "recommended"),
    "gen_ai.request.reasoning.level": ("string", "recommended"),
    "gen_ai.request.seed": ("int", "conditionally_required"),
    "gen_ai.request.stop_sequences": ("string[]", "recommended"),
    "gen_ai.request.stream": ("boolean", "conditionally_required"),
    "gen_ai.request.temperature": ("double", "recommended"),
    "gen_ai.request.top_k": ("int", "conditionally_required"),
    "gen_ai.request.top_p": ("double", "recommended"),
    "gen_ai.response.finish_reasons": ("string[]", "recommended"),
    "gen_ai.response.id": ("string", "recommended"),
    "gen_ai.response.model": ("string", "recommended"),
    "gen_ai.response.time_to_first_chunk": ("double", "recommended"),
    "gen_ai.usage.input_tokens": ("int", "recommended"),
    "gen_ai.usage.output_tokens": ("int", "recommended"),
    "gen_ai.usage.cache_read.input_tokens": ("int", "recommended"),
    "gen_ai.usage.cache_write.input_tokens": ("int", "recommended"),
    "gen_ai.usage.reasoning.output_tokens": ("int", "recommended"),
    "gen_ai.usage.text.input_tokens": ("int", "recommended"),
    "gen_ai.usage.text.output_tokens": ("int", "recommended"),
    "gen_ai.usage.text.cache_read.input_tokens": ("int", "recommended"),
    "gen_ai.usage.image.input_tokens": ("int", "recommended"),
    "gen_ai.usage.image.output_tokens": ("int", "recommended"),
    "gen_ai.usage.image.cache_read.input_tokens": ("int", "recommended"),
    "gen_ai.usage.audio.input_tokens": ("int", "recommended"),
    "gen_ai.usage.audio.output_tokens": ("int", "recommended"),
    "gen_ai.usage.audio.cache_read.input_tokens": ("int", "recommended"),
    "gen_ai.input.messages": ("any", "opt_in"),
    "gen_ai.output.messages": ("any", "opt_in"),
    "gen_ai.system_instructions": ("any", "opt_in"),
    "gen_ai.tool.definitions": ("any", "opt_in"),
    "openai.api.type": ("string", "recommended"),
    "openai.request.service_tier": ("string", "conditionally_required"),
    "openai.response.service_tier": ("string", "conditionally_required"),
    "openai.response.system_fingerprint": ("string", "recommended"),
    # Only proposed.
    "gen_ai.realtime_session.id": ("string", "conditionally_required"),
    # Other parts of OpenTelemetry.
    "http.request.resend_count": ("int", "recommended"),
    "http.response.status_code": ("int", "recommended"),
    "user.id": ("string", "recommended"),
    # Our own.
    "streamspan.layer": ("string", "required"),
    "streamspan.outcome": ("string", "required"),
    "streamspan.cancel.reason": ("string", "conditionally_required"),
    "streamspan.cancel.exception": ("string", "conditionally_required"),
    "streamspan.request_id": ("string", "recommended"),
    "streamspan.time_to_headers": ("double", "recommended"),
    "streamspan.time_to_first_token": ("double", "recommended"),
    "streamspan.time_to_first_answer": ("double", "recommended"),
    "streamspan.provider_time": ("double", "conditionally_required"),
    "streamspan.consumer_time": ("double", "conditionally_required"),
    "streamspan.chunk.count": ("int", "conditionally_required"),
    "streamspan.output.characters": ("int", "conditionally_required"),
    "streamspan.reasoning.characters": ("int", "conditionally_required"),
    "streamspan.tool_call.count": ("int", "recommended"),
    "streamspan.wait.p50": ("double", "recommended"),
    "streamspan.wait.p95": ("double", "recommended"),
    "streamspan.wait.max": ("double", "recommended"),
    "streamspan.stall.count": ("int", "recommended"),
    "streamspan.stall.time": ("double", "recommended"),
    "streamspan.hop.count": ("int", "recommended"),
    "streamspan.langchain.run_id": ("string", "conditionally_required"),
    "streamspan.langchain.parent_run_id": ("string", "conditionally_required"),
    "streamspan.langchain.run_name": ("string", "conditionally_required"),
    "streamspan.langchain.tags": ("string[]", "conditionally_required"),
    "streamspan.output_rate": ("double", "recommended"),
    "streamspan.character_rate": ("double", "recommended"),
}

CONTENT = ("gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions")

STREAM_ALWAYS = (
    "streamspan.provider_time",
    "streamspan.consumer_time",
    "streamspan.chunk.count",
    "streamspan.output.characters",
    "streamspan.reasoning.characters",
)
"""On every stream's span."""
STREAM_ONLY = (
    *STREAM_ALWAYS,
    "gen_ai.response.time_to_first_chunk",
    "streamspan.time_to_headers",
    "streamspan.time_to_first_token",
    "streamspan.time_to_first_answer",
    "streamspan.tool_call.count",
    "streamspan.wait.p50",
    "streamspan.wait.p95",
    "streamspan.wait.max",
    "streamspan.stall.count",
    "streamspan.stall.time",
    "streamspan.output_rate",
    "streamspan.character_rate",
)
"""Never on the span of a call without a stream."""

OUTCOMES = {"completed": False, "truncated": True, "cancelled": False, "timeout": True, "error": True}
"""Outcome to whether the span's status is ERROR."""
CANCEL_REASONS = ("closed", "task_cancelled", "interrupted", "dropped", "exit")
OUTPUT_KINDS = ("text", "reasoning", "refusal", "tool_call", "audio", "image")


class Event(NamedTuple):
    """An event: its attributes with their types, and those of them that must be there."""

    attributes: dict[str, str]
    required: tuple[str, ...] = ()


_INDEX, _COUNT, _CHARACTERS = "streamspan.chunk.index", "streamspan.chunk.count", "streamspan.output.characters"
_THOUGHTS, _KIND, _WAIT = "streamspan.reasoning.characters", "streamspan.output.kind", "streamspan.wait.max"

EVENTS: dict[str, Event] = {
    "streamspan.first_token": Event({_INDEX: "int", _KIND: "string"}, (_INDEX, _KIND)),
    "streamspan.chunk": Event(
        {_INDEX: "int", _COUNT: "int", _CHARACTERS: "int", _THOUGHTS: "int", _KIND: "string", _WAIT: "double"},
        (_INDEX, _COUNT, _CHARACTERS, _WAIT),
    ),
    "streamspan.stall": Event({_INDEX: "int", _WAIT: "double"}, (_INDEX, _WAIT)),
    "streamspan.hop": Event({"streamspan.hop.number": "int", _INDEX: "int"}, ("streamspan.hop.number", _INDEX)),
    "streamspan.retry": Event(
        {
            "http.request.resend_count": "int",
            "http.response.status_code": "int",
            "error.type": "string",
            "streamspan.retry.delay": "double",
        },
        ("http.request.resend_count", "streamspan.retry.delay"),
    ),
    "streamspan.cancelled": Event(
        {"streamspan.cancel.reason": "string", _COUNT: "int", _CHARACTERS: "int", _THOUGHTS: "int"},
        ("streamspan.cancel.reason",),
    ),
    "exception": Event(
        {"exception.type": "string", "exception.message": "string", "exception.stacktrace": "string"},
        ("exception.type",),
    ),
}
LOG_NAMES = {"exception": "gen_ai.client.operation.exception"}
"""Span event to log event, where the names differ."""
DETAILS = "gen_ai.client.inference.operation.details"


class Metric(NamedTuple):
    """An instrument. `extra` are the attributes beyond the common ones; `required` are those of them always there."""

    instrument: str
    unit: str
    buckets: tuple[float, ...] = ()
    extra: tuple[str, ...] = ()
    required: tuple[str, ...] = ()


COMMON_REQUIRED = ("gen_ai.operation.name", "gen_ai.provider.name")
COMMON = (*COMMON_REQUIRED, "gen_ai.request.model", "gen_ai.response.model", "server.address", "server.port")

_D = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_T = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
_FIRST = (
    0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 2.5, 3.5, 5.5, 7.5, 10.5, 15.5, 30.5, 60.5,
)  # fmt: skip
_WAITS = (
    0.0025, 0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
_RATES = (
    1.5, 2.5, 5.5, 10.5, 20.5, 30.5, 40.5, 60.5, 80.5, 100.5, 150.5, 200.5, 300.5, 500.5, 1000.5, 2500.5,
)  # fmt: skip
_CHARACTERS_PER_SECOND = (6, 10, 22, 42, 82, 122, 162, 242, 322, 402, 602, 802, 1202, 2002, 4002, 10002)
_CHUNKS = (1.5, 5.5, 10.5, 25.5, 50.5, 100.5, 250.5, 500.5, 1000.5, 2500.5, 5000.5, 10000.5)
_OUTCOME, _ERROR = ("streamspan.outcome",), ("error.type",)
_TYPE, _MODALITY = ("gen_ai.token.type",), ("gen_ai.token.modality",)

RELEASED_METRICS: dict[str, Metric] = {
    "gen_ai.client.operation.duration": Metric("histogram", "s", _D, _OUTCOME + _ERROR, _OUTCOME),
    "gen_ai.client.operation.time_to_first_chunk": Metric("histogram", "s", _D),
    "gen_ai.client.operation.time_per_output_chunk": Metric("histogram", "s", _D),
    "gen_ai.client.token.usage": Metric("histogram", "{token}", _T, _TYPE, _TYPE),
}
LATEST_METRICS: dict[str, Metric] = {
    "gen_ai.client.inference.duration": Metric("histogram", "s", _D, _OUTCOME + _ERROR, _OUTCOME),
    "gen_ai.client.inference.time_to_first_chunk": Metric("histogram", "s", _D),
    "gen_ai.client.inference.time_per_output_chunk": Metric("histogram", "s", _D),
    "gen_ai.client.inference.operation.input_tokens": Metric("histogram", "{token}", _T, _ERROR),
    "gen_ai.client.inference.operation.output_tokens": Metric("histogram", "{token}", _T, _ERROR),
    **{
        f"gen_ai.client.inference.usage.{suffix}": Metric("counter", "{token}", (), _MODALITY, _MODALITY)
        for suffix in (
            "input_tokens",
            "output_tokens",
            "cache_read.input_tokens",
            "cache_write.input_tokens",
            "reasoning.output_tokens",
        )
    },
}
OWN_METRICS: dict[str, Metric] = {
    "streamspan.time_to_first_token": Metric("histogram", "s", _FIRST),
    "streamspan.time_to_first_answer": Metric("histogram", "s", _FIRST),
    "streamspan.output_rate": Metric("histogram", "{token}/s", _RATES),
    "streamspan.character_rate": Metric("histogram", "{character}/s", _CHARACTERS_PER_SECOND),
    "streamspan.wait.max": Metric("histogram", "s", _WAITS, _OUTCOME, _OUTCOME),
    "streamspan.consumer_time": Metric("histogram", "s", _WAITS),
    "streamspan.chunks": Metric("histogram", "{chunk}", _CHUNKS, _OUTCOME, _OUTCOME),
    "streamspan.stalls": Metric("counter", "{stall}"),
    "streamspan.retries": Metric("counter", "{retry}"),
    "streamspan.active": Metric("up_down_counter", "{stream}"),
}

# The span of a WebSocket connection, around those of its turns.
CONNECTION = "realtime_session"
CONNECTION_ATTRIBUTES = {
    "gen_ai.operation.name": "string",
    "gen_ai.provider.name": "string",
    "gen_ai.request.model": "string",
    "gen_ai.realtime_session.id": "string",
    "gen_ai.conversation.id": "string",
    "user.id": "string",
    "server.address": "string",
    "server.port": "int",
    "error.type": "string",
    "streamspan.layer": "string",
    "streamspan.connect_time": "double",
    "streamspan.turn.count": "int",
    "streamspan.interruption.count": "int",
    "streamspan.close_code": "int",
}
