"""The configuration: one frozen record, one table of options, one pure reader of an environment.

The only module that reads `os.environ`. A malformed variable is one warning that names it, its value and what is
allowed, and the default stays; a malformed argument is a `ConfigError`.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, Literal, TypeAlias, TypeVar, cast

from streamspan._options import (
    BYTES,
    CHUNK_EVENTS,
    DEFAULT_CHUNK_EVENTS,
    HOSTS,
    NAMES,
    REDACTION,
    REDACTIONS,
    SECONDS,
    SWITCH,
    ConfigError,
    HostPattern,
    Kind,
    Option,
    StreamspanError,
    one_of,
)

__all__ = ["REDACTIONS", "Config", "ConfigError", "HostPattern", "Option", "StreamspanError", "environment", "options"]

T = TypeVar("T")

CaptureMode: TypeAlias = Literal["NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"]
EventTarget: TypeAlias = Literal["span", "log", "both", "off"]
Semconv: TypeAlias = Literal["released", "latest", "both"]
CancelStatus: TypeAlias = Literal["unset", "error"]
NativeSpans: TypeAlias = Literal["replace", "keep"]


_logger = logging.getLogger("streamspan")


def _option(default: T, variable: str, kind: Kind, shown: str, doc: str) -> T:
    return field(default=default, metadata={"option": Option(variable, kind, shown, doc)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """Every option of streamspan. Arguments beat the environment, the environment beats the defaults.

    `Config()` has the defaults; `Config.from_env()` reads the environment, and takes arguments on top.
    """

    libraries: tuple[str, ...] | None = _option(None, "STREAMSPAN_LIBRARIES", NAMES, "all", "Libraries to instrument.")
    exclude: tuple[str, ...] = _option((), "STREAMSPAN_EXCLUDE", NAMES, "none", "Libraries to leave alone.")
    hosts: tuple[HostPattern, ...] = _option(
        (),
        "STREAMSPAN_HOSTS",
        HOSTS,
        "none",
        "Further hosts whose streams are model streams, and the provider name to report for them.",
    )
    chunk_events: int = _option(
        DEFAULT_CHUNK_EVENTS,
        "STREAMSPAN_CHUNK_EVENTS",
        CHUNK_EVENTS,
        "merged",
        "Budget of chunk events per span: `merged` is 32, beyond it neighbouring chunks share an event.",
    )
    events: EventTarget = _option(  # noqa: RUF009
        "span",
        "STREAMSPAN_EVENTS",
        one_of("span", "log", "both", "off"),
        "span",
        "Where events go: on the span, as OpenTelemetry log events, both or nowhere.",
    )
    chunk_metric: bool = _option(
        True, "STREAMSPAN_CHUNK_METRIC", SWITCH, "on", "Record the time between every two chunks as a histogram."
    )
    semconv: Semconv = _option(  # noqa: RUF009
        "released",
        "STREAMSPAN_SEMCONV",
        one_of("released", "latest", "both"),
        "released",
        "Names of the conventions' metrics: the released ones, those of the development branch, or both.",
    )
    cancel_status: CancelStatus = _option(  # noqa: RUF009
        "unset", "STREAMSPAN_CANCEL_STATUS", one_of("unset", "error"), "unset", "Span status of a cancelled stream."
    )
    stall_seconds: float = _option(
        5.0, "STREAMSPAN_STALL_SECONDS", SECONDS, "5", "Wait for a chunk that counts as a stall."
    )
    include_usage: bool = _option(
        False,
        "STREAMSPAN_INCLUDE_USAGE",
        SWITCH,
        "false",
        "Ask OpenAI-style endpoints for token usage, and keep the extra chunk from the caller.",
    )
    content_max_bytes: int = _option(
        65536,
        "STREAMSPAN_CONTENT_MAX_BYTES",
        BYTES,
        "65536",
        "Most bytes of content kept of one session, its messages together; what is over is cut and marked.",
    )
    redactions: tuple[str, ...] = _option(
        REDACTIONS, "STREAMSPAN_REDACT", REDACTION, "all", "Built-in patterns that are removed from captured content."
    )
    console: bool = _option(
        False, "STREAMSPAN_CONSOLE", SWITCH, "false", "Print one line per finished stream on stderr."
    )
    native_spans: NativeSpans = _option(  # noqa: RUF009
        "replace",
        "STREAMSPAN_NATIVE_SPANS",
        one_of("replace", "keep"),
        "replace",
        "What happens to an SDK's own tracing: ours replaces it, or it stays.",
    )
    capture_content: CaptureMode = _option(  # noqa: RUF009
        "NO_CONTENT",
        "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
        one_of("NO_CONTENT", "SPAN_ONLY", "EVENT_ONLY", "SPAN_AND_EVENT"),
        "NO_CONTENT",
        "Whether prompts and answers are recorded, and where.",
    )
    given: frozenset[str] = field(default=frozenset(), init=False, compare=False, repr=False)
    """Names of the options that were given as arguments."""

    def __post_init__(self) -> None:
        """Check what the annotations cannot say; a list is taken for the tuple that it stands for.

        Raises:
            ConfigError: a field has a value that it cannot have.
        """
        for name, option in options().items():
            value = getattr(self, name)
            if isinstance(value, list):
                value = tuple(cast("Any", value))
                object.__setattr__(self, name, value)
            if not (option.kind.fits(value) or (name == "libraries" and value is None)):
                raise ConfigError(f"Config({name}={value!r}): allowed is {option.allowed.replace('`', '')}")

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
        return {name: option.kind.parse(text)}
    except ConfigError as exc:
        _logger.warning(
            "%s=%r is not understood, the default (%s) is used; allowed: %s",
            option.variable,
            text,
            option.shown_default,
            exc,
        )
        return {}
