"""What `streamspan doctor` says of the configuration: what is in force, what is malformed, and whether a span arrives."""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamspan import _otlp, _registry
from streamspan._config import Config, ConfigError, Option, environment, options
from streamspan._otlp.settings import is_disabled, read_settings
from streamspan.cli._findings import Check, warnings


def configuration() -> Iterator[Check]:
    """Yield every option with its value and where that is from, and every malformed variable."""
    section = "Configuration"
    with warnings() as told:
        _registry.selected(Config().over(), None)
        read_settings(("traces", "metrics", "logs"))
    for name, option in options().items():
        shown, source = _in_force(option)
        yield Check(section=section, mark="none", title=name, detail=f"{shown}  ({source}, {option.variable})")
    service = environment("OTEL_SERVICE_NAME")
    yield Check(
        section=section,
        mark="none",
        title="service name",
        detail=f"{service}  (environment, OTEL_SERVICE_NAME)"
        if service
        else "unknown_service  (default, OTEL_SERVICE_NAME)",
    )
    for message in dict.fromkeys(told):
        yield Check(section=section, mark="warn", title=re.split(r"[= ]", message)[0], detail=message)


def _in_force(option: Option) -> tuple[str, str]:
    """Return the value that is in force, as it was written, and where it is from."""
    text = environment(option.variable).strip()
    try:
        if text:
            option.kind.parse(text)
    except ConfigError:
        text = ""  # told as a warning
    return (text, "environment") if text else (option.shown_default, "default")


def delivery() -> Iterator[Check]:
    """Yield what became of one test span."""
    section = "Delivery"
    if is_disabled():
        remedy = "Unset OTEL_SDK_DISABLED."
        yield Check(
            section=section, mark="warn", title="telemetry", detail="switched off by OTEL_SDK_DISABLED", remedy=remedy
        )
        return
    with warnings():
        report = _otlp.check_endpoint()
    if report.protocol == "none":
        detail = "traces are not sent by OTLP, as OTEL_TRACES_EXPORTER says"
        yield Check(section=section, mark="none", title="endpoint", detail=detail)
    elif report.is_ok:
        detail = f"took a test span by {report.protocol}"
        yield Check(section=section, mark="ok", title=report.endpoint, detail=detail)
    else:
        yield Check(section=section, mark="fail", title="endpoint", detail=report.problem, remedy=report.remedy)
