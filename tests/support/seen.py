"""What a caller sees, as plain data that can be compared.

Knows how to make values comparable. Refuses to know SDKs and telemetry.
"""

from __future__ import annotations

import re
import ssl
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

TLS = ssl.create_default_context()
"""One for all clients: making it takes ten times as long as a stream."""

_VARYING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "HOST"),
    (re.compile(r"Signature=[0-9a-f]+"), "Signature=S"),
    (re.compile(r"boundary=\S+"), "boundary=B"),
    (re.compile(r"0x[0-9a-f]+"), "0xADDRESS"),
    (re.compile(r"fd=\d+"), "fd=N"),
    (re.compile(r"\('127\.0\.0\.1', \d+\)"), "HOST"),
    (re.compile(r"in \d+\.\d+ seconds"), "in S seconds"),
    (re.compile(r"name='Task-\d+'"), "name='Task-N'"),
)
# They hold the port, a random id or the time.
_VARYING_HEADERS = frozenset(
    {
        "host",
        "date",
        "idempotency-key",
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "x-amz-date",
        "x-amzn-trace-id",
        "sec-websocket-key",
    }
)


def steady(text: str) -> str:
    """Return text without what differs from run to run."""
    for pattern, instead in _VARYING:
        text = pattern.sub(instead, text)
    return text


def type_name(value: object) -> str:
    """Return the qualified name of a value's type."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def plain(value: Any) -> Any:
    """Return an item as plain data, with its type."""
    if isinstance(value, BaseModel):
        return type_name(value), value.model_dump(warnings="none")
    if value is None or isinstance(value, str | bytes | int | float):
        return value
    if type(value) is dict:
        return {name: plain(each) for name, each in value.items()}
    if type(value) in {list, tuple}:
        return [plain(each) for each in value]
    return type_name(value)


def headers(received: Mapping[str, str]) -> dict[str, str]:
    """Return headers without what differs from run to run."""
    return {name: steady(value) for name, value in received.items() if name.lower() not in _VARYING_HEADERS}


def fault(exc: BaseException) -> tuple[Any, ...]:
    """Return an exception as plain data: type, message, causes, and what SDKs put on it."""
    causes = []
    cause = exc.__cause__
    while cause is not None:
        causes.append(type_name(cause))
        cause = cause.__cause__
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aiohttp's `code` has another name now
        shown = [
            steady(repr(getattr(exc, name, None))) for name in ("code", "type", "status_code", "body", "request_id")
        ]
    return type_name(exc), steady(str(exc)), tuple(causes), *shown


@dataclass(slots=True)
class Seen:
    """Everything that the caller and the server saw of one run."""

    notes: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    requests: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    connections: int = 0
    left_open: int = 0
    logs: list[str] = field(default_factory=list[str])
    warnings: list[str] = field(default_factory=list[str])
    unraisable: list[str] = field(default_factory=list[str])

    def note(self, *what: Any) -> None:
        """Write down what the caller sees."""
        self.notes.append(what)
