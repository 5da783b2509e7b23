"""The configuration: one frozen record, one table of options, one pure reader of an environment.

The only module that reads `os.environ`. A malformed variable is one warning that names it, its value and what is
allowed, and the default stays; a malformed argument is a `ConfigError`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, Literal, TypeAlias, TypeVar, cast

from streamspan._options import (
    DEFAULT_CHUNK_EVENTS,
    REDACTIONS,
    ConfigError,
    HostPattern,
    Option,
    StreamspanError,
    one_of,
    parse_bool,
    parse_chunk_events,
    parse_hosts,
    parse_names,
    parse_redactions,
    parse_seconds,
    parse_size,
)

__all__ = ["REDACTIONS", "Config", "ConfigError", "HostPattern", "Option", "StreamspanError", "environment", "options"]

T = TypeVar("T")

CaptureMode: TypeAlias = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]
EventTarget: TypeAlias = Literal["span", "log", "both", "off"]
Semconv: TypeAlias = Literal["released", "latest", "both"]
CancelStatus: TypeAlias = Literal["unset", "error"]
NativeSpans: TypeAlias = Literal["replace", "keep"]


_logger = logging.getLogger("streamspan")


def _option(default: T, variable: str, parse: Callable[[str], Any], allowed: str, shown: str, doc: str) -> T:
    option = Option(variable, parse, allowed, shown, doc)
    return field(default=default, metadata={"option": option})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every option of streamspan. Arguments beat the environment, the environment beats the defaults.

    `Config()` has the defaults; `Config.from_env()` reads the environment, and takes arguments on top.
    """

    libraries: tuple[str, ...] | None = _option(
        None,
        "STREAMSPAN_LIBRARIES",
        parse_names,
        "comma list of library names",
        "all",
        "Libraries to instrument.",
    )
    exclude: tuple[str, ...] = _option(
        (),
        "STREAMSPAN_EXCLUDE",
        parse_names,
        "comma list of library names",
        "none",
        "Libraries to leave alone.",
    )
    hosts: tuple[HostPattern, ...] = _option(
        (),
        "STREAMSPAN_HOSTS",
        parse_hosts,
        "comma list of `host`, `host:port` or `host/path`, `=provider` may follow",
        "none",
        "Further hosts whose streams are model streams, and the provider name to report for them.",
    )
    chunk_events: int = _option(
        DEFAULT_CHUNK_EVENTS,
        "STREAMSPAN_CHUNK_EVENTS",
        parse_chunk_events,
        "`merged`, `off` or a number",
        "merged",
        "Budget of chunk events per span: `merged` is 32, beyond it neighbouring chunks share an event.",
    )
    events: EventTarget = _option(  # noqa: RUF009
        "span",
        "STREAMSPAN_EVENTS",
        one_of("span", "log", "both", "off"),
        "`span`, `log`, `both` or `off`",
        "span",
        "Where events go: on the span, as OpenTelemetry log events, both or nowhere.",
    )
    chunk_metric: bool = _option(
        True,
        "STREAMSPAN_CHUNK_METRIC",
        parse_bool,
        "`on` or `off`",
        "on",
        "Record the time between every two chunks as a histogram.",
    )
    semconv: Semconv = _option(  # noqa: RUF009
        "released",
        "STREAMSPAN_SEMCONV",
        one_of("released", "latest", "both"),
        "`released`, `latest` or `both`",
        "released",
        "Names of the conventions' metrics: the released ones, those of the development branch, or both.",
    )
    cancel_status: CancelStatus = _option(  # noqa: RUF009
        "unset",
        "STREAMSPAN_CANCEL_STATUS",
        one_of("unset", "error"),
        "`unset` or `error`",
        "unset",
        "Span status of a cancelled stream.",
    )
    stall_seconds: float = _option(
        5.0,
        "STREAMSPAN_STALL_SECONDS",
        parse_seconds,
        "seconds above 0",
        "5",
        "Wait for a chunk that counts as a stall.",
    )
    include_usage: bool = _option(
        False,
        "STREAMSPAN_INCLUDE_USAGE",
        parse_bool,
        "`true` or `false`",
        "false",
        "Ask OpenAI-style endpoints for token usage, and keep the extra chunk from the caller.",
    )
    content_max_bytes: int = _option(
        65536,
        "STREAMSPAN_CONTENT_MAX_BYTES",
        parse_size,
        "bytes",
        "65536",
        "Most bytes of content kept per message list; what is over is cut and marked.",
    )
    redactions: tuple[str, ...] = _option(
        REDACTIONS,
        "STREAMSPAN_REDACT",
        parse_redactions,
        "`all`, `off` or a comma list of " + ", ".join(f"`{name}`" for name in REDACTIONS),
        "all",
        "Built-in patterns that are removed from captured content.",
    )
    console: bool = _option(
        False,
        "STREAMSPAN_CONSOLE",
        parse_bool,
        "`true` or `false`",
        "false",
        "Print one line per finished stream on stderr.",
    )
    native_spans: NativeSpans = _option(  # noqa: RUF009
        "replace",
        "STREAMSPAN_NATIVE_SPANS",
        one_of("replace", "keep"),
        "`replace` or `keep`",
        "replace",
        "What happens to an SDK's own tracing: ours replaces it, or it stays as the parent.",
    )
    capture_content: CaptureMode = _option(  # noqa: RUF009
        "NO_CONTENT",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        one_of("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT", upper=True),
        "`NO_CONTENT`, `SPAN_ONLY`, `EVENT_ONLY` or `SPAN_AND_EVENT`",
        "NO_CONTENT",
        "Whether prompts and answers are recorded, and where.",
    )

    given: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    """Names of the options that were given as arguments."""

    def __post_init__(self) -> None:
        """Check what the annotations cannot say.

        Raises:
            ConfigError: a field has a value that it cannot have.
        """
        for name, option in options().items():
            _check(name, option, getattr(self, name))

    @classmethod
    def from_env(cls, environ: Mapping[str, str] | None = None, **arguments: Any) -> Config:
        """Read the configuration from `environ` (default: the process's), with `arguments` on top.

        Raises:
            ConfigError: an argument is unknown or has a value that it cannot have. A malformed variable only warns.
        """
        known = options()
        if unknown := sorted(set(arguments) - set(known)):
            raise ConfigError(f"unknown option {', '.join(unknown)}; known: {', '.join(known)}")
        return cls(**arguments).over(environ)

    def over(self, environ: Mapping[str, str] | None = None) -> Config:
        """Return this configuration with what was not given as an argument taken from `environ`."""
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for name, option in options().items():
            text = environ.get(option.variable, "")
            if name in self.given:
                values[name] = getattr(self, name)
            elif text.strip():
                values |= _from_text(name, option, text)
        return Config(**values)


_generated_init = Config.__init__


@wraps(_generated_init)
def _init(self: Config, **arguments: Any) -> None:
    _generated_init(self, **arguments)
    object.__setattr__(self, "given", frozenset(arguments))


# So that arguments beat the environment even where they repeat a default: a dataclass does not say what was given.
Config.__init__ = _init  # type: ignore[method-assign] # the generated one, with a note of its arguments


def options() -> dict[str, Option]:
    """Return the option table: field name to option, in the order of the documentation."""
    return {f.name: f.metadata["option"] for f in fields(Config) if "option" in f.metadata}


def environment(name: str, default: str = "") -> str:
    """Return a variable of the process's environment: the only door to it for the other modules."""
    return os.environ.get(name, default)


def _from_text(name: str, option: Option, text: str) -> dict[str, Any]:
    try:
        return {name: option.parse(text)}
    except ConfigError as exc:
        _logger.warning(
            "%s=%r is not understood, the default (%s) is used; allowed: %s",
            option.variable,
            text,
            option.shown_default,
            exc,
        )
        return {}


def _check(name: str, option: Option, value: object) -> None:
    kind = _TYPES[name]
    fits = isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
    if fits and isinstance(value, str):
        fits = _parses(option, value)
    if fits and isinstance(value, int | float) and not isinstance(value, bool):
        fits = value > 0 if name == "stall_seconds" else value >= 0
    if fits and name == "redactions":
        fits = set(cast("tuple[str, ...]", value)) <= set(REDACTIONS)
    if not fits:
        raise ConfigError(f"Config({name}={value!r}): allowed is {option.allowed.replace('`', '')}")


def _parses(option: Option, value: str) -> bool:
    try:
        return bool(option.parse(value) == value)
    except ConfigError:
        return False


_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "libraries": (tuple, type(None)),
    "exclude": tuple,
    "hosts": tuple,
    "chunk_events": int,
    "events": str,
    "chunk_metric": bool,
    "semconv": str,
    "cancel_status": str,
    "stall_seconds": (int, float),
    "include_usage": bool,
    "content_max_bytes": int,
    "redactions": tuple,
    "console": bool,
    "native_spans": str,
    "capture_content": str,
}
