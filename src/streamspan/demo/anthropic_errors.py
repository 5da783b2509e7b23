"""Anthropic's errors: the JSON bodies of refused requests, and the events of failures inside a stream."""

from __future__ import annotations

from collections.abc import Mapping

from streamspan.demo.streams import Event, Json, to_json

_FAILURES: Mapping[int, tuple[str, str]] = {
    400: ("invalid_request_error", "temperature: range: 0..1"),
    401: ("authentication_error", "invalid x-api-key"),
    404: ("not_found_error", "model: claude-none"),
    429: ("rate_limit_error", "This request would exceed your organization's rate limit."),
    500: ("api_error", "Internal server error"),
    503: ("overloaded_error", "Overloaded"),
}


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    kind, message = _FAILURES.get(status, ("api_error", "Something failed."))
    return {"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_demo"}


_OVERLOADED = Event(to_json(failure(503)), name="error")

FAULTS: Mapping[str, tuple[Event, ...]] = {
    "error": (_OVERLOADED,),
    # Without a name the SDK would skip it.
    "garbage": (Event("{not json}", name="content_block_delta"),),
}
"""Events of failures inside a stream."""
