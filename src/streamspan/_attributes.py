"""What a span and a metric say of a session, as attributes. Pure: records in, dictionaries without a None out."""

from __future__ import annotations

from collections.abc import Mapping

from streamspan import _semconv as names
from streamspan._identity import Identity
from streamspan._records import Attributes, AttributeValue, Request, SessionSummary

# Attribute to field of the summary; absent when the field is None.
_OF_EVERY_CALL = (
    (names.OUTCOME, "outcome"),
    (names.CANCEL_REASON, "cancel_reason"),
    (names.CANCEL_EXCEPTION, "cancel_exception"),
    (names.RESPONSE_ID, "response_id"),
    (names.RESPONSE_MODEL, "response_model"),
    (names.HTTP_STATUS_CODE, "status_code"),
    (names.REQUEST_ID, "request_id"),
)
_OF_STREAMS = (
    (names.TIME_TO_HEADERS, "time_to_headers"),
    (names.RESPONSE_TIME_TO_FIRST_CHUNK, "time_to_first_chunk"),
    (names.TIME_TO_FIRST_TOKEN, "time_to_first_token"),
    (names.TIME_TO_FIRST_ANSWER, "time_to_first_answer"),
    (names.PROVIDER_TIME, "provider_time"),
    (names.CONSUMER_TIME, "consumer_time"),
    (names.CHUNK_COUNT, "chunk_count"),
    (names.OUTPUT_CHARACTERS, "output_characters"),
    (names.REASONING_CHARACTERS, "reasoning_characters"),
    (names.WAIT_P50, "wait_p50"),
    (names.WAIT_P95, "wait_p95"),
    (names.WAIT_MAX, "wait_max"),
    (names.OUTPUT_RATE, "output_rate"),
    (names.CHARACTER_RATE, "character_rate"),
)
# Absent when there is none to count.
_OF_STREAMS_IF_ANY = (
    (names.TOOL_CALL_COUNT, "tool_call_count"),
    (names.STALL_COUNT, "stall_count"),
    (names.STALL_TIME, "stall_time"),
)


def span_name(request: Request) -> str:
    """Return the name of the call's span."""
    return f"{request.operation} {request.model}" if request.model else request.operation


def metric_attributes(request: Request) -> dict[str, AttributeValue]:
    """Return what every metric of the call carries, and samplers look at; nothing with unbounded values."""
    attributes: dict[str, AttributeValue] = {
        names.OPERATION_NAME: request.operation,
        names.PROVIDER_NAME: request.provider,
    }
    if request.model:
        attributes[names.REQUEST_MODEL] = request.model
    if request.server_address:
        attributes[names.SERVER_ADDRESS] = request.server_address
        if request.server_port is not None:
            attributes[names.SERVER_PORT] = request.server_port
    return attributes


def with_response_model(attributes: Attributes, model: str | None) -> Attributes:
    """Return metric attributes with the model that answered, if it is known."""
    return {**attributes, names.RESPONSE_MODEL: model} if model else attributes


def start_attributes(request: Request, identity: Identity | None) -> dict[str, AttributeValue]:
    """Return what is known of the call's span when it starts."""
    attributes: dict[str, AttributeValue] = {}
    if identity is not None:
        attributes.update(identity.attributes)
    attributes.update(_present(request.attributes))
    attributes.update(metric_attributes(request))
    attributes[names.REQUEST_STREAM] = request.is_stream
    attributes[names.LAYER] = request.layer
    if request.choice_count != 1:
        attributes[names.REQUEST_CHOICE_COUNT] = request.choice_count
    if identity is not None and identity.session_id is not None:
        attributes[names.CONVERSATION_ID] = identity.session_id
    if identity is not None and identity.user_id is not None:
        attributes[names.USER_ID] = identity.user_id
    return attributes


def end_attributes(
    summary: SessionSummary, response: Mapping[str, AttributeValue], error_type: str | None
) -> dict[str, AttributeValue]:
    """Return what is known of the call's span when it ends.

    Args:
        summary: the finished session.
        response: further response attributes, by their full names.
        error_type: the span's and every metric's `error.type`.
    """
    attributes = _present(response)
    fields = _OF_EVERY_CALL + _OF_STREAMS if summary.is_stream else _OF_EVERY_CALL
    for name, field in fields:
        value: AttributeValue | None = getattr(summary, field)
        if value is not None:
            attributes[name] = value
    if summary.is_stream:
        attributes.update({name: value for name, field in _OF_STREAMS_IF_ANY if (value := getattr(summary, field))})
    if summary.resend_count:
        attributes[names.HTTP_RESEND_COUNT] = summary.resend_count
    if summary.finish_reasons:
        attributes[names.RESPONSE_FINISH_REASONS] = summary.finish_reasons
    for suffix, count in summary.usage.items():
        attributes[names.USAGE_PREFIX + suffix] = count
    if error_type is not None:
        attributes[names.ERROR_TYPE] = error_type
    return attributes


def _present(attributes: Mapping[str, AttributeValue]) -> dict[str, AttributeValue]:
    # A provider's reader is third-party code at times, whatever the annotation says.
    return {name: value for name, value in attributes.items() if value is not None}  # pyright: ignore[reportUnnecessaryComparison]
