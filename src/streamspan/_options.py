"""What an option may say: the errors, the values, and the parsers from text. Pure.

A parser raises `ConfigError` with nothing but the words for what is allowed; who calls it knows the option's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DEFAULT_CHUNK_EVENTS = 32
REDACTIONS = ("api_key", "bearer", "card", "email", "phone")


class StreamspanError(Exception):
    """Root of the errors that streamspan raises, all of them at configuration time."""


class ConfigError(StreamspanError, ValueError):
    """An option has a value that it cannot have; the message says which are allowed."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host, or host and path prefix, whose streams are model streams.

    Args:
        host: host name or `host:port`, lower case; a leading `*.` stands for any subdomain.
        path: path that the request's path must start with; empty for any.
        provider: `gen_ai.provider.name` to report; empty to let the built-in table decide.
    """

    host: str
    path: str = ""
    provider: str = ""

    def matches(self, host: str, port: int | None, path: str) -> bool:
        """Tell whether a request to `host`, `port`, `path` is meant."""
        wanted, _, wanted_port = self.host.partition(":")
        if wanted_port and wanted_port != str(port):
            return False
        if not (host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:]))):
            return False
        return path.startswith(self.path)


def parse_bool(text: str) -> bool:
    value = text.strip().lower()
    if value in {"true", "1", "yes", "on"}:
        return True
    if value in {"false", "0", "no", "off"}:
        return False
    raise ConfigError("'true' or 'false'")


def parse_names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def parse_hosts(text: str) -> tuple[HostPattern, ...]:
    return tuple(_parse_host(item) for item in parse_names(text))


def _parse_host(item: str) -> HostPattern:
    target, _, provider = item.partition("=")
    host, slash, path = target.partition("/")
    if not host or "://" in target or any(c.isspace() for c in item):
        raise ConfigError("a comma list of host, host:port or host/path, each with =provider or without")
    return HostPattern(host.lower(), slash + path, provider.strip())


def parse_chunk_events(text: str) -> int:
    value = text.strip().lower()
    if value == "merged":
        return DEFAULT_CHUNK_EVENTS
    if value == "off":
        return 0
    if value.isdigit():
        return int(value)
    raise ConfigError("'merged', 'off' or a number of events per span")


def parse_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigError("a number of seconds above 0")
    return value


def parse_size(text: str) -> int:
    if not text.strip().isdigit():
        raise ConfigError("a number of bytes, 0 or more")
    return int(text)


def parse_redactions(text: str) -> tuple[str, ...]:
    value = text.strip().lower()
    if value == "all":
        return REDACTIONS
    if value in {"off", "none"}:
        return ()
    names = parse_names(value)
    if not set(names) <= set(REDACTIONS):
        raise ConfigError("'all', 'off' or a comma list of " + ", ".join(REDACTIONS))
    return names


def one_of(*allowed: str, upper: bool = False) -> Callable[[str], str]:
    def parse(text: str) -> str:
        value = text.strip().upper() if upper else text.strip().lower()
        if value not in allowed:
            raise ConfigError("one of " + ", ".join(allowed))
        return value

    return parse


@dataclass(frozen=True, slots=True)
class Option:
    """What the table of options says of one field: its variable, its values, its meaning."""

    variable: str
    parse: Callable[[str], Any]
    allowed: str
    shown_default: str
    doc: str
