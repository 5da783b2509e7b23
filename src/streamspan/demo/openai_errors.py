"""OpenAI's errors: the JSON bodies of refused requests, and the events of failures inside a stream."""

from __future__ import annotations

from collections.abc import Mapping

from streamspan.demo.streams import Event, Json, to_json

_FAILURES: Mapping[int, tuple[str, str, str | None]] = {
    400: ("Invalid value for 'temperature': must be between 0 and 2.", "invalid_request_error", "invalid_value"),
    401: ("Incorrect API key provided: demo.", "invalid_request_error", "invalid_api_key"),
    404: (
        "The model `gpt-none` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    429: ("Rate limit reached for requests. Please try again shortly.", "requests", "rate_limit_exceeded"),
    500: ("The server had an error while processing your request.", "server_error", None),
    503: ("The engine is currently overloaded, please try again later.", "server_error", "overloaded"),
}


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    message, kind, code = _FAILURES.get(status, ("Something failed.", "server_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


OVERLOADED = "The server is overloaded, please try again later."
_ERROR = {"message": OVERLOADED, "type": "server_error", "code": "overloaded"}

FAULTS: Mapping[str, tuple[Event, ...]] = {
    "error": (Event(to_json({"error": {**_ERROR, "param": None}})),),
    # Groq names the event; the payload is the same (groq SDK 1.x, _streaming.py).
    "error_named": (Event(to_json({"error": _ERROR}), name="error"),),
    "garbage": (Event("{not json}"),),
}
"""Events of failures that every OpenAI surface has in common."""
