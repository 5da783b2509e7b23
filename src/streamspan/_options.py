"""What an option may say: the errors, and the kinds of values, each with its parser and its check. Pure.

A parser raises `ConfigError` with nothing but the words for what is allowed; who calls it knows the option's name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

DEFAULT_CHUNK_EVENTS = 32
REDACTIONS = ("api_key", "bearer", "card", "email", "phone")
_MOST_SECONDS = 1e9  # over 30 years; more would not fit into nanoseconds
_MOST_DIGITS = 15

Items: TypeAlias = tuple[object, ...]


class StreamspanError(Exception):
    """Root of the errors that streamspan raises, all of them at configuration time."""


class ConfigError(StreamspanError, ValueError):
    """An option has a value that it cannot have; the message says which are allowed."""


@dataclass(frozen=True, slots=True)
class HostPattern:
    """A host, or host and path prefix, whose streams are model streams.

    Args:
        host: host name or `host:port`; a leading `*.` stands for any subdomain, an IPv6 address stands in brackets.
        path: path that is the request's path or lies above it; empty for any.
        provider: `gen_ai.provider.name` to report; empty to let the built-in table decide.
    """

    host: str
    path: str = ""
    provider: str = ""

    def matches(self, host: str, port: int | None, path: str) -> bool:
        """Tell whether a request to `host`, `port`, `path` is meant."""
        wanted, wanted_port = _host_and_port(self.host.lower())
        if wanted_port and wanted_port != str(port):
            return False
        if not (host == wanted or (wanted.startswith("*.") and host.endswith(wanted[1:]))):
            return False
        above = self.path.rstrip("/")
        return not above or path == above or path.startswith(above + "/")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of values.

    Args:
        parse: text of a variable to a value.
        fits: whether an argument is such a value.
        allowed: what is allowed, in words.
    """

    parse: Callable[[str], Any]
    fits: Callable[[Any], bool]
    allowed: str


@dataclass(frozen=True, slots=True)
class Option:
    """What the table of options says of one field: its variable, its values, its meaning."""

    variable: str
    kind: Kind
    shown_default: str
    doc: str

    @property
    def allowed(self) -> str:
        """What is allowed, in words."""
        return self.kind.allowed


_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})


def _parse_switch(text: str) -> bool:
    value = text.strip().lower()
    if value not in _TRUE | _FALSE:
        raise ConfigError("'true' or 'false'")
    return value in _TRUE


def _is_switch(value: object) -> bool:
    return isinstance(value, bool)


def _parse_names(text: str) -> tuple[str, ...]:
    names = _split(text)
    if not names:
        raise ConfigError("a comma list of names")
    return names


def _split(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _are(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, tuple) and all(isinstance(item, kind) for item in cast("Items", value))


def _parse_hosts(text: str) -> tuple[HostPattern, ...]:
    return tuple(_parse_host(item) for item in _parse_names(text))


def _parse_host(item: str) -> HostPattern:
    target, _, provider = item.partition("=")
    host, slash, path = target.partition("/")
    name, port = _host_and_port(host)
    is_spaced = any(c.isspace() for c in item)
    is_starred = "*" in name.removeprefix("*.") or "*" in path
    if not name or "://" in target or is_spaced or is_starred or (port and not _is_number(port)) or host.endswith(":"):
        raise ConfigError("a comma list of host, *.host, host:port or host/path, each with =provider or without")
    return HostPattern(host.lower(), slash + path, provider.strip())


def _host_and_port(host: str) -> tuple[str, str]:
    """Split `host:port`; the colons of an IPv6 address stand in brackets."""
    address, bracket, rest = host.removeprefix("[").partition("]")
    if bracket and host.startswith("["):
        return address, rest.removeprefix(":")
    name, _, port = host.partition(":")
    return name, port


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS


def _parse_chunk_events(text: str) -> int:
    value = text.strip().lower()
    if value in {"merged", "off"}:
        return DEFAULT_CHUNK_EVENTS if value == "merged" else 0
    if not _is_number(value):
        raise ConfigError("'merged', 'off' or a number of events per span")
    return int(value)


def _parse_count(text: str) -> int:
    if not _is_number(text.strip()):
        raise ConfigError("a whole number, 0 or more")
    return int(text)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse_seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not _is_seconds(value):
        raise ConfigError("a number of seconds above 0, at most 1e9")
    return value


def _is_seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= _MOST_SECONDS


def _parse_redactions(text: str) -> tuple[str, ...]:
    value = text.strip().lower()
    if value in {"all", "off", "none"}:
        return REDACTIONS if value == "all" else ()
    names = _split(value)
    if not names or not _are_redactions(names):
        raise ConfigError("'all', 'off' or a comma list of " + ", ".join(REDACTIONS))
    return names


def _are_redactions(value: object) -> bool:
    return isinstance(value, tuple) and all(name in REDACTIONS for name in cast("Items", value))


def one_of(*allowed: str) -> Kind:
    """Return the kind of values that are one of some words; their case does not matter in a variable."""
    known = {word.lower(): word for word in allowed}

    def parse(text: str) -> str:
        value = known.get(text.strip().lower())
        if value is None:
            raise ConfigError("one of " + ", ".join(allowed))
        return value

    return Kind(parse, lambda value: isinstance(value, str) and value in allowed, _either(allowed))


def _either(words: Iterable[str]) -> str:
    *others, last = (f"`{word}`" for word in words)
    return f"{', '.join(others)} or {last}"


SWITCH = Kind(_parse_switch, _is_switch, "`true` or `false`")
NAMES = Kind(_parse_names, _are(str), "comma list of library names (in Python: a tuple of them)")
HOSTS = Kind(
    _parse_hosts,
    _are(HostPattern),
    "comma list of `host`, `host:port` or `host/path`, `=provider` may follow (in Python: a tuple of `HostPattern`)",
)
CHUNK_EVENTS = Kind(_parse_chunk_events, _is_count, "`merged`, `off` or a number (in Python: a number, 0 for off)")
SECONDS = Kind(_parse_seconds, _is_seconds, "seconds above 0")
BYTES = Kind(_parse_count, _is_count, "bytes")
REDACTION = Kind(_parse_redactions, _are_redactions, f"`all`, `off` or a comma list of {_either(REDACTIONS)}")
