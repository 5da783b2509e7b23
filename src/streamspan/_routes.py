"""Which signal takes what: span or log, for events, exceptions and content. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from streamspan._config import Config


@dataclass(frozen=True, slots=True)
class Routes:
    """Where the parts of a session's story go."""

    events_on_span: bool
    events_in_log: bool
    exceptions_on_span: bool
    exceptions_in_log: bool
    content_on_span: bool
    content_in_details: bool
    has_details: bool
    """Whether the conventions' details event is emitted, with content or without."""


def routes_of(config: Config, *, exception_opt_in: str = "", emit_event: str = "") -> Routes:
    """Return the routes for a configuration.

    Args:
        config: the configuration.
        exception_opt_in: `OTEL_SEMCONV_EXCEPTION_SIGNAL_OPT_IN`: `logs` moves exceptions from spans to logs,
            `logs/dup` puts them in both.
        emit_event: `OTEL_INSTRUMENTATION_GENAI_EMIT_EVENT`: `true` or `false`; else the details event is emitted
            when it is to carry content.
    """
    on_span, in_log = config.events in {"span", "both"}, config.events in {"log", "both"}
    moved, doubled = _opt_in(exception_opt_in)
    has_exceptions = config.events != "off"
    content_in_event = config.capture_content in {"EVENT_ONLY", "SPAN_AND_EVENT"}
    has_details = {"true": True, "false": False}.get(emit_event.strip().lower(), content_in_event)
    return Routes(
        events_on_span=on_span,
        events_in_log=in_log,
        exceptions_on_span=has_exceptions and (doubled or (on_span and not moved)),
        exceptions_in_log=has_exceptions and (doubled or moved or in_log),
        content_on_span=config.capture_content in {"SPAN_ONLY", "SPAN_AND_EVENT"},
        content_in_details=has_details and content_in_event,
        has_details=has_details,
    )


def _opt_in(text: str) -> tuple[bool, bool]:
    """Tell whether exceptions move to the logs, and whether they are in both, which wins."""
    values = {value.strip().lower() for value in text.split(",")}
    doubled = "logs/dup" in values
    return "logs" in values and not doubled, doubled
