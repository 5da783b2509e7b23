"""What an exception means for telemetry. Looks at shapes, so that no SDK has to be imported.

`error.type` is the provider's own code or type when it sent one, else the HTTP status, else the exception's name
(conventions: a low-cardinality identifier, the same on span and metrics).
"""

from __future__ import annotations

from typing import Any, cast

from streamspan._guard import Guard
from streamspan._records import Failure

# Class names anywhere in the MRO. openai.APITimeoutError is also an APIConnectionError, so this is asked first.
_TIMEOUTS = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "Timeout", "ServerTimeoutError"})


_FIRST_ERROR_STATUS = 400


def qualified_name(kind: type[BaseException]) -> str:
    """Return the exception type's canonical name: with its module, unless it is a built-in."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def describe(exc: BaseException) -> Failure:
    """Describe an exception that ended a call or a read."""
    name = qualified_name(type(exc))
    text = message(exc)
    if any(base.__name__ in _TIMEOUTS for base in type(exc).__mro__):
        return Failure(name, text, is_timeout=True, exception=exc)
    if code := _provider_code(exc):
        return Failure(code, text, is_from_provider=True, exception=exc)
    return Failure(_status(exc) or name, text, exception=exc)


def message(exc: BaseException) -> str:
    """Return the exception's text, without content: pydantic's `ValidationError` quotes the answer that did not fit."""
    if quotes_content(exc):
        return f"{vars(type(exc))['error_count'](exc)} validation error(s) for {getattr(exc, 'title', 'the answer')}"
    return Guard("the text of an exception").call(str, exc) or ""  # it is made by code that may raise itself


def quotes_content(exc: BaseException) -> bool:
    """Tell whether the exception's text repeats what the model said."""
    return type(exc).__name__ == "ValidationError" and "error_count" in vars(type(exc))


def status_code(exc: BaseException) -> int | None:
    """Return the HTTP status that the exception carries, if any."""
    code = vars(exc).get("status_code")
    return code if type(code) is int else None


def _status(exc: BaseException) -> str:
    # Anthropic reports an error event in the stream as an APIStatusError with status 200.
    code = status_code(exc)
    return str(code) if code is not None and code >= _FIRST_ERROR_STATUS else ""


def _provider_code(exc: BaseException) -> str:
    """Read the provider's word from the body that Stainless SDKs put on their exceptions."""
    body = vars(exc).get("body")
    error = _object(_object(body).get("error")) or _object(body)
    for key in ("code", "type"):
        value = error.get(key)
        if type(value) in (str, int) and value != "":
            return str(value)
    return ""


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if type(value) is dict else {}
