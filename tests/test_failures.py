"""What an exception means: its type for telemetry, whose word that is, and whether it was a timeout."""

from __future__ import annotations

import asyncio
import concurrent.futures
import socket
from typing import Any, cast

import httpx
import openai
import pytest
from pydantic import BaseModel, ValidationError

from streamspan._failures import (
    describe,
    header_word,
    message,
    provider_error,
    qualified_name,
    quotes_content,
    status_code,
)
from streamspan._records import Failure, ProviderError

HERE = __name__


class Acme(Exception):  # noqa: N818 - reads better without a suffix
    """An SDK's exception: what it carries is in its attributes."""

    def __init__(self, message: str = "it broke", **attributes: Any) -> None:
        super().__init__(message)
        vars(self).update(attributes)


class AcmeTimeout(TimeoutError):  # noqa: N818 - reads better without a suffix
    """A timeout by inheritance."""


def told(exc: BaseException) -> tuple[str, bool, bool]:
    failure = describe(exc)
    return failure.type, failure.is_timeout, failure.is_from_provider


def test_an_exception_has_its_name_and_message() -> None:
    """The name has its module, but for a built-in; the exception itself is kept."""
    exc = Acme("it broke")
    assert describe(exc) == Failure(f"{HERE}.Acme", "it broke", exception=exc)
    assert describe(exc).exception is exc
    assert told(ValueError("x")) == ("ValueError", False, False)
    assert qualified_name(KeyboardInterrupt) == "KeyboardInterrupt"


def test_a_nested_class_has_its_qualified_name() -> None:
    """Two classes of one name can be told apart."""

    class Inner(Exception):  # noqa: N818 - reads better without a suffix
        pass

    assert qualified_name(Inner).endswith("test_a_nested_class_has_its_qualified_name.<locals>.Inner")


TIMEOUTS: list[BaseException] = [
    TimeoutError("slow"),
    asyncio.TimeoutError("slow"),
    concurrent.futures.TimeoutError("slow"),
    socket.timeout("slow"),  # noqa: UP041 - the name that old code raises
    AcmeTimeout("slow"),
    httpx.ReadTimeout("slow"),
    httpx.ConnectTimeout("slow"),
    httpx.PoolTimeout("slow"),
    openai.APITimeoutError(cast("Any", httpx.Request("POST", "http://localhost"))),
]


@pytest.mark.parametrize("exc", TIMEOUTS, ids=lambda exc: type(exc).__name__)
def test_a_timeout_is_known_by_its_family(exc: BaseException) -> None:
    """Whatever library raised it, a timeout is a timeout, and has its own name."""
    assert told(exc) == (qualified_name(type(exc)), True, False)


BODIES: list[tuple[Any, str]] = [
    ({"code": "rate_limit_exceeded", "type": "requests"}, "rate_limit_exceeded"),
    ({"code": None, "type": "server_error"}, "server_error"),
    ({"code": "", "type": "server_error"}, "server_error"),
    ({"error": {"code": "overloaded", "type": "server_error"}}, "overloaded"),
    ({"type": "error", "error": {"type": "overloaded_error"}}, "overloaded_error"),
    ({"error": "text", "code": "bad"}, "bad"),
    ({"code": 400, "message": "no"}, "400"),
    ({"code": 0}, "0"),
]


@pytest.mark.parametrize(("body", "word"), BODIES)
def test_the_providers_own_word_comes_first(body: Any, word: str) -> None:
    """The error's code says most, then its type; a status or the exception's name say less."""
    assert told(Acme(body=body, status_code=429)) == (word, False, True)


@pytest.mark.parametrize(
    "body", [None, "", "text", [], {}, {"error": {}}, {"code": True}, {"code": ["x"], "type": {}}, {"message": "no"}]
)
def test_without_a_word_of_the_providers_the_status_counts(body: Any) -> None:
    """An error status is the type; a status that is none leaves the exception's name."""
    assert told(Acme(body=body, status_code=503)) == ("503", False, False)
    assert told(Acme(body=body, status_code=400)) == ("400", False, False)
    assert told(Acme(body=body, status_code=200)) == (f"{HERE}.Acme", False, False)
    assert told(Acme(body=body)) == (f"{HERE}.Acme", False, False)


def test_a_status_is_a_number() -> None:
    """Anything else in the attribute is no status."""
    assert status_code(Acme(status_code=418)) == 418
    for value in ("418", 418.0, True, None):
        assert status_code(Acme(status_code=value)) is None
    assert status_code(Acme()) is None


def test_the_sdks_own_exceptions_are_read() -> None:
    """The status errors of openai carry the body of the answer."""
    response: Any = httpx.Response(429, request=httpx.Request("POST", "http://localhost"))
    exc = openai.RateLimitError("slow down", response=response, body={"code": "rate_limit_exceeded"})
    assert told(exc) == ("rate_limit_exceeded", False, True)
    assert status_code(exc) == 429
    bare = openai.RateLimitError("slow down", response=response, body=None)
    assert told(bare) == ("429", False, False)


def test_what_an_exception_quotes_is_not_its_message() -> None:
    """A validation error of pydantic repeats the answer that did not fit."""

    class Answer(BaseModel):
        count: int

    with pytest.raises(ValidationError) as raised:
        Answer.model_validate({"count": "the model's secret"})
    assert "secret" in str(raised.value)
    assert quotes_content(raised.value)
    failure = describe(raised.value)
    assert (failure.type, failure.message) == (qualified_name(ValidationError), "1 validation error(s) for Answer")


def test_another_validation_error_says_what_it_says() -> None:
    """The name alone is no reason."""
    namesake = type("ValidationError", (Exception,), {})("no such field")
    assert not quotes_content(namesake)
    assert message(namesake) == "no such field"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("ThrottlingException", "ThrottlingException"),
        ("ValidationException:http://internal.amazon.com/coral/com.amazon.coral.validate/", "ValidationException"),
        ("com.amazonaws.bedrock#AccessDeniedException", "AccessDeniedException"),
        ("", ""),
    ],
)
def test_a_header_says_what_is_wrong(said: str, word: str) -> None:
    """In the forms that botocore's `RestJSONParser` knows."""
    headers = httpx.Headers({"X-Amzn-ErrorType": said})
    assert header_word(headers, ("x-amzn-errortype",)) == word
    assert header_word(headers, ()) == ""


def test_what_a_header_said_goes_before_the_body() -> None:
    """The body only adds its message, which AWS writes in two ways."""
    assert provider_error({"code": "other", "message": "later"}, "Throttled") == ProviderError("Throttled", "later")
    assert provider_error({"Message": "not you"}, "Forbidden") == ProviderError("Forbidden", "not you")
    assert provider_error(None, "Throttled") == ProviderError("Throttled")
