"""Google's errors: the JSON bodies of refused requests, and what is sent when a stream fails."""

from __future__ import annotations

import json
from collections.abc import Mapping

from streamspan.demo.streams import Event, Json, to_json

_FAILURES: Mapping[int, tuple[str, str]] = {
    400: ("Invalid value at 'generation_config.temperature'.", "INVALID_ARGUMENT"),
    401: ("Request had invalid authentication credentials.", "UNAUTHENTICATED"),
    404: ("models/gemini-none is not found for API version v1beta.", "NOT_FOUND"),
    429: ("You exceeded your current quota, please check your plan and billing details.", "RESOURCE_EXHAUSTED"),
    500: ("An internal error has occurred.", "INTERNAL"),
    503: ("The model is overloaded. Please try again later.", "UNAVAILABLE"),
}


def failure(status: int) -> Json:
    """Return the body of an HTTP error."""
    message, word = _FAILURES.get(status, ("Something failed.", "UNKNOWN"))
    return {"error": {"code": status, "message": message, "status": word}}


def interactions_failure(status: int) -> Json:
    """Return the body of an HTTP error of Interactions, whose code is a word."""
    message, word = _FAILURES.get(status, ("Something failed.", "UNKNOWN"))
    return {"error": {"code": word.lower(), "message": message}}


FAULTS: Mapping[str, tuple[Event, ...]] = {
    # In the middle of a stream the same JSON comes as it is, over several lines and no event of the stream's format.
    "error": (Event(json.dumps(failure(503), indent=2) + "\n\n", is_bare=True),),
    "error_named": (Event(to_json(failure(503))),),
    "garbage": (Event("{not json}"),),
}
