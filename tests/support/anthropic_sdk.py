"""The anthropic SDK that is installed: its HTTP library, and what only some versions of it have.

anthropic 1 is on httpx2, a fork of httpx with the same names; the tests call it `http`, whichever it is.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import anthropic

VERSION = tuple(int(part) for part in anthropic.__version__.split(".")[:3])
RAW_IS_API_RESPONSE = VERSION >= (1, 0)
"""Raw responses are of one kind since 1.0: `parse` is awaited in the async colour."""
BEDROCK_KNOWS_EVENTS = VERSION >= (1, 0)
"""Older versions hand out all that comes in Bedrock's frames, signs of life and errors too."""
TRACES_ITSELF = find_spec("anthropic._tracing") is not None
"""The SDK has OpenTelemetry tracing of its own, from 1.14 on."""

_client = next(base for base in anthropic.DefaultHttpxClient.__mro__ if base.__name__ == "Client")
http: Any = import_module(_client.__module__.partition(".")[0])
"""httpx or httpx2."""

ERRORS = {
    "connection-failed": "anthropic.APIConnectionError",
    "headers-timed-out": "anthropic.APITimeoutError",
    "garbage": "json.decoder.JSONDecodeError",
    "error-event": "overloaded_error",
    "status-400": "invalid_request_error",
    "status-401": "authentication_error",
    "status-404": "not_found_error",
    "status-429": "rate_limit_error",
    "status-500": "api_error",
    "status-503": "overloaded_error",
    # Failures of the connection in the middle of a stream come as the HTTP library's own.
    "lost-connection": f"{http.__name__}.RemoteProtocolError",
    "broken-read": f"{http.__name__}.ReadError",
    "read-timed-out": f"{http.__name__}.ReadTimeout",
}
"""What failures are called, by the neutral words of the matrix."""


def has(path: str) -> bool:
    """Tell whether a client of this version has something, such as `beta.messages.stream`."""
    found: Any = anthropic.Anthropic(api_key="key")
    for name in path.split("."):
        found = getattr(found, name, None)
    return found is not None
