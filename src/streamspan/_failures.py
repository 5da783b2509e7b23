"""What an exception means for telemetry. Looks at shapes, so that no SDK has to be imported.

`error.type` is the provider's own code or type when it sent one, else the HTTP status, else the exception's name
(conventions: a low-cardinality identifier, the same on span and metrics).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, cast

from streamspan._guard import Guard
from streamspan._records import Failure, ProviderError

# Class names anywhere in the MRO. openai.APITimeoutError is also an APIConnectionError, so this is asked first.
_TIMEOUTS = frozenset({"TimeoutError", "TimeoutException", "APITimeoutError", "Timeout", "ServerTimeoutError"})


FIRST_ERROR_STATUS = 400
_GOOGLE_STATUS = re.compile(r"[A-Z]+(_[A-Z]+)*")  # the names of google.rpc.Code


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
    return Failure(str(error_status(exc) or name), text, exception=exc)


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
    said = vars(exc)
    code = said.get("status_code")
    if code is None and "details" in said:  # google-genai's errors, whose `code` is the status
        code = said.get("code")
    if code is None and "request_info" in said and exc.__cause__ is None:
        code = said.get("status")  # aiohttp's `ClientResponseError`; its 400 for bad HTTP is made up, and has a cause
    if code is None:  # httpx, requests and huggingface_hub leave it on the response
        code = getattr(said.get("response"), "status_code", None)
    return code if type(code) is int else None


def error_status(exc: BaseException) -> int | None:
    """Return the HTTP status of the refusal that the exception is about, if it is about one."""
    # Anthropic reports an error event in the stream as an APIStatusError with status 200.
    code = status_code(exc)
    return code if code is not None and code >= FIRST_ERROR_STATUS else None


def header_word(headers: Mapping[str, str], names: Iterable[str]) -> str:
    """Return a provider's word for a refusal from its headers, without what AWS puts around it (as botocore does)."""
    said = next((value for name in names if (value := headers.get(name))), "")
    return said.partition(":")[0].rpartition("#")[2].strip()


def provider_error(body: object, word: str = "") -> ProviderError | None:
    """Read what a provider says in the body of a refusal; None if it names neither a code nor a type.

    `word` is what its headers said, to which the body only adds the message.
    """
    if type(body) is list:  # Gemini's array, of which this is the only element
        body = next(iter(cast("list[object]", body)), None)
    error = _object(_object(body).get("error")) or _object(body)
    text = error.get("message") or error.get("Message")  # the capital is AWS's, where a policy forbids the call
    if word:
        return ProviderError(word, text if type(text) is str else "")
    status = error.get("status")  # Google's word; its `code` only repeats the HTTP status
    keys = ("status",) if type(status) is str and _GOOGLE_STATUS.fullmatch(status) else ("code", "type")
    for key in keys:
        value = error.get(key)
        if type(value) in (str, int) and value != "":
            return ProviderError(str(value), text if type(text) is str else "")
    return None


def _provider_code(exc: BaseException) -> str:
    """Read the provider's word from what SDKs put on their exceptions: `body` (Stainless; Mistral's is text) or `details`."""
    said = vars(exc)
    body = said.get("body") or said.get("details")
    error = provider_error(_decoded(body) if type(body) is str else body)
    return _aws_code(exc) if error is None else error.type


def _aws_code(exc: BaseException) -> str:
    """Read the code of botocore's `ClientError`, which has the parsed response."""
    code = _object(_object(vars(exc).get("response")).get("Error")).get("Code")
    return code if type(code) is str else ""


def _decoded(text: str) -> object:
    try:
        found: object = json.loads(text)
    except ValueError:
        return None
    return found


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if type(value) is dict else {}
