"""What `instrument()` was called with: the record, and the check of each argument. Knows nothing of what it is for."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from functools import reduce
from typing import Any, NamedTuple

from opentelemetry import _logs, metrics, trace

from streamspan._config import Config, ConfigError
from streamspan._records import SessionSummary


class Arguments(NamedTuple):
    """What `instrument()` was called with."""

    tracer_provider: trace.TracerProvider | None
    meter_provider: metrics.MeterProvider | None
    logger_provider: _logs.LoggerProvider | None
    libraries: tuple[str, ...] | None
    config: Config | None
    redact: Callable[[str], str] | None
    on_session_end: Callable[[SessionSummary], object] | None
    clients: tuple[weakref.ref[Any], ...] | None
    """The only client objects that are recorded; nobody is to keep them because of us."""


_FITTING: dict[str, tuple[Callable[[Any], bool], str]] = {
    "tracer_provider": (lambda value: hasattr(value, "get_tracer"), "a TracerProvider"),
    "meter_provider": (lambda value: hasattr(value, "get_meter"), "a MeterProvider"),
    "logger_provider": (lambda value: hasattr(value, "get_logger"), "a LoggerProvider"),
    "config": (lambda value: isinstance(value, Config), "a streamspan.Config"),
    "redact": (callable, "a callable"),
    "on_session_end": (callable, "a callable"),
}


def check(arguments: Arguments) -> None:
    """Check what can be told from the arguments alone.

    Raises:
        ConfigError: one of them has a value that it cannot have.
    """
    for name, (fits, allowed) in _FITTING.items():
        value = getattr(arguments, name)
        if value is not None and not fits(value):
            raise ConfigError(f"instrument({name}={value!r}): allowed is {allowed} or None")


# An SDK's client makes copies of itself for other options, all of them with the same HTTP client. Google's client is a
# face of another one, whose HTTP clients it gives to a third (Interactions).
_BELOW = ("_client", "_api_client", "_api_client._httpx_client", "_api_client._async_httpx_client")


def _found(client: object, path: str) -> object:
    return reduce(lambda value, name: getattr(value, name, None), path.split("."), client)


def references(clients: Iterable[object] | None) -> tuple[weakref.ref[Any], ...] | None:
    """Return weak references to the client objects.

    Raises:
        ConfigError: it is no list of them, or one of them cannot be told from others.
    """
    if clients is None:
        return None
    try:
        given = tuple(clients)
        below = (_found(client, path) for client in given for path in _BELOW)
        return tuple(weakref.ref(client) for client in (*given, *below) if client is not None)
    except TypeError:
        raise ConfigError(f"instrument(clients={clients!r}): allowed is a list of client objects or None") from None
