"""The openai SDK that is installed: its HTTP library, and what only some versions of it have.

openai 3 is on httpx2, a fork of httpx with the same names; the tests call it `http`, whichever it is.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

import openai

VERSION = tuple(int(part) for part in openai.__version__.split(".")[:3])

_client = next(base for base in openai.DefaultHttpxClient.__mro__ if base.__name__ == "Client")
http: Any = import_module(_client.__module__.partition(".")[0])
"""httpx or httpx2."""

# Failures of the connection in the middle of a stream came as the HTTP library's own until openai 3.0.
_WRAPS = VERSION >= (3, 20)
_WORDS = {
    "connection-failed": "openai.APIConnectionError",
    "headers-timed-out": "openai.APITimeoutError",
    "garbage": "json.decoder.JSONDecodeError",
    "error-event": "overloaded",
    "status-400": "invalid_value",
    "status-401": "invalid_api_key",
    "status-404": "model_not_found",
    "status-429": "rate_limit_exceeded",
    "status-500": "server_error",
    "status-503": "overloaded",
}
ERRORS_RAW = {
    **_WORDS,
    "lost-connection": f"{http.__name__}.RemoteProtocolError",
    "broken-read": f"{http.__name__}.ReadError",
    "read-timed-out": f"{http.__name__}.ReadTimeout",
}
"""What failures are called on streams that the SDK does not parse, by the neutral words of the matrix."""
ERRORS = {
    **ERRORS_RAW,
    **(
        {
            "lost-connection": "openai.APIConnectionError",
            "broken-read": "openai.APIConnectionError",
            "read-timed-out": "openai.APITimeoutError",
        }
        if _WRAPS
        else {}
    ),
}
"""What failures are called on streams that the SDK parses."""


def has_argument(resource: str, method: str, argument: str) -> bool:
    """Tell whether a method of a resource's module, such as `images` and `Images.generate`, takes an argument."""
    # Not through the package's attributes: it imports its modules lazily, so one may look absent and be there.
    kind, name = method.split(".")
    found = getattr(getattr(import_module(f"openai.resources.{resource}"), kind), name, None)
    return found is not None and argument in inspect.signature(found).parameters
