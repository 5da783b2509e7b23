"""What `streamspan doctor` looks at. Every check is data: a mark, what was looked at, what was found, what to do.

Knows where versions, patches, entry points, options and the endpoint can be asked for. Nothing stays patched.
"""

from __future__ import annotations

import logging
import platform
import re
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, entry_points
from importlib.metadata import version as version_of
from typing import Literal, TypeAlias

from streamspan import _api, _otlp, _registry
from streamspan._config import Config, ConfigError, Option, environment, options
from streamspan._otlp.settings import is_disabled, read_settings
from streamspan._patching import Patches
from streamspan._version import version
from streamspan.cli._quiet import quiet_providers
from streamspan.integrations import Integration

Mark: TypeAlias = Literal["ok", "none", "warn", "fail"]

_TELEMETRY = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp", "opentelemetry-instrumentation")
_BY_CALL = {"logfire": "logfire.instrument_{}()", "openlit": "openlit.init()", "traceloop-sdk": "Traceloop.init()"}
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Args:
        section: what it belongs to.
        mark: `ok`, `none` (nothing to judge), `warn` (works, but not as it looks) or `fail`.
        title: what was looked at.
        detail: what was found.
        remedy: what to do about it.
    """

    section: str
    mark: Mark
    title: str
    detail: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as plain data."""
        return {name: getattr(self, name) for name in ("section", "mark", "title", "detail", "remedy")}


def checks() -> Iterator[Check]:
    """Yield every finding; sends one test span where telemetry would go."""
    yield from installed()
    yield from libraries()
    yield from doubles()
    yield from configuration()
    yield from delivery()


# --- what is installed -------------------------------------------------------------------------------------------


def installed() -> Iterator[Check]:
    """Yield the versions of Python, streamspan and OpenTelemetry."""
    section = "Installed"
    yield Check(section=section, mark="ok", title="python", detail=platform.python_version())
    yield Check(section=section, mark="ok", title="streamspan", detail=version())
    for name in _TELEMETRY:
        found = _version(name)
        if found is None:
            yield Check(section=section, mark="fail", title=name, detail="not installed", remedy=f"pip install {name}")
        else:
            yield Check(section=section, mark="ok", title=name, detail=found)


def _version(distribution: str) -> str | None:
    try:
        return version_of(distribution)
    except PackageNotFoundError:
        return None


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


# --- what is patched ---------------------------------------------------------------------------------------------


def libraries() -> Iterator[Check]:
    """Yield for each library its version, and whether each seam is patched; undoes what it patches."""
    with _instrumented() as patches:
        for integration in _registry.INTEGRATIONS:
            yield _library(integration, is_wanted=integration.name in patches)
            if _version(integration.distribution) is not None and integration.name in patches:
                yield from _seams(patches[integration.name])
        for name in patches.keys() - set(_registry.known_names()):
            yield Check(section="Libraries", mark="ok", title=name, detail="of the standard library")
            yield from _seams(patches[name])


def _library(integration: Integration, *, is_wanted: bool) -> Check:
    section = "Libraries"
    found = _version(integration.distribution)
    if found is None:
        detail = f"not installed; supported from {integration.oldest} on"
        return Check(section=section, mark="none", title=integration.name, detail=detail)
    if not is_wanted:
        detail = f"{found}, left out by STREAMSPAN_LIBRARIES or STREAMSPAN_EXCLUDE"
        return Check(section=section, mark="none", title=integration.name, detail=detail)
    if _numbers(found) < _numbers(integration.oldest):
        remedy = f'pip install "{integration.distribution}>={integration.oldest}"'
        detail = f"{found} is older than the oldest supported version, {integration.oldest}"
        return Check(section=section, mark="warn", title=integration.name, detail=detail, remedy=remedy)
    detail = f"{found}, supported from {integration.oldest} on"
    return Check(section=section, mark="ok", title=integration.name, detail=detail)


@contextmanager
def _instrumented() -> Generator[dict[str, Patches]]:
    """Instrument this process for a moment, or look at what an agent has instrumented already."""
    runtime = _api.runtime()
    if runtime is not None:
        yield runtime.patches
        return
    with _warnings():
        _api.instrument(**quiet_providers())
        runtime = _api.runtime()
    try:
        yield {} if runtime is None else runtime.patches
    finally:
        _api.uninstrument()


def _seams(patches: Patches) -> Iterator[Check]:
    section = "Libraries"
    for patch in patches.patches:
        title = f"  {patch.name}"
        with _warnings():
            problem = _import(patch.module)
        if patches.is_applied(patch):
            yield Check(section=section, mark="ok", title=title, detail=f"patched in {patch.module}")
        elif patch.is_optional:
            yield Check(
                section=section, mark="none", title=title, detail=f"{patch.module} of this version has no such seam"
            )
        else:
            yield Check(
                section=section,
                mark="fail",
                title=title,
                detail=problem or f"{patch.module} has no such name; what goes through it is not recorded",
                remedy="Please report it with both versions; until then use another version of the library.",
            )


def _import(module: str) -> str:
    try:
        import_module(module)
    except ImportError as exc:
        return f"{module} cannot be imported: {exc}"
    return ""


# --- who else records the same calls -----------------------------------------------------------------------------


def doubles() -> Iterator[Check]:
    """Yield the other instrumentations of the same libraries."""
    section = "Other instrumentations"
    names = [name for name in _registry.known_names() if not name.startswith("httpx")]  # they record HTTP, no models
    disabled = {name.strip() for name in environment(_DISABLED).split(",") if name.strip()}
    found = [
        *_entry_points(section, names, disabled),
        *_by_call(section, names),
    ]
    yield from found or [Check(section=section, mark="ok", title="none", detail="nobody else records the same calls")]


def _entry_points(section: str, names: Iterable[str], disabled: Iterable[str]) -> Iterator[Check]:
    for entry_point in entry_points(group="opentelemetry_instrumentor"):
        if entry_point.value.startswith("streamspan.") or not is_double(entry_point.name, entry_point.value, names):
            continue
        owner = "" if entry_point.dist is None else f"{entry_point.dist.name} {entry_point.dist.version}"
        if not {entry_point.name, "*"}.isdisjoint(disabled):
            yield Check(
                section=section, mark="ok", title=entry_point.name, detail=f"{owner}, switched off by {_DISABLED}"
            )
            continue
        every = ",".join([*disabled, entry_point.name])
        yield Check(
            section=section,
            mark="warn",
            title=entry_point.name,
            detail=f"{owner} records the same calls under opentelemetry-instrument",
            remedy=f"{_DISABLED}={every}",
        )


def is_double(name: str, value: str, libraries: Iterable[str]) -> bool:
    """Tell whether an entry point of an instrumentation is about one of these libraries."""
    module = value.partition(":")[0].rpartition(".")[2]
    names = {re.sub(r"^genai[-_]|[-_]v\d+$", "", text.lower()) for text in (name, module)}
    return not names.isdisjoint(libraries)


def _by_call(section: str, names: Iterable[str]) -> Iterator[Check]:
    for distribution, call in _BY_CALL.items():
        found = _version(distribution)
        if found is not None:
            calls = " or ".join(dict.fromkeys(call.format(name) for name in names))
            yield Check(
                section=section,
                mark="none",
                title=distribution,
                detail=f"{found} records the same calls once the application calls {calls}",
            )


# --- how it is configured ----------------------------------------------------------------------------------------


def configuration() -> Iterator[Check]:
    """Yield every option with its value and where that is from, and every malformed variable."""
    section = "Configuration"
    with _warnings() as told:
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
            option.parse(text)
    except ConfigError:
        text = ""  # told as a warning
    return (text, "environment") if text else (option.shown_default, "default")


@contextmanager
def _warnings() -> Generator[list[str]]:
    """Collect what streamspan warns of, and keep it from the terminal."""
    told: list[str] = []
    logger = logging.getLogger("streamspan")
    handler = _Listener(told.append)
    was_propagating = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.propagate = was_propagating


class _Listener(logging.Handler):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())


# --- where it goes -----------------------------------------------------------------------------------------------


def delivery() -> Iterator[Check]:
    """Yield what became of one test span."""
    section = "Delivery"
    if is_disabled():
        remedy = "Unset OTEL_SDK_DISABLED."
        yield Check(
            section=section, mark="warn", title="telemetry", detail="switched off by OTEL_SDK_DISABLED", remedy=remedy
        )
        return
    with _warnings():
        report = _otlp.check_endpoint()
    if report.protocol == "none":
        detail = "traces are not sent by OTLP, as OTEL_TRACES_EXPORTER says"
        yield Check(section=section, mark="none", title="endpoint", detail=detail)
    elif report.is_ok:
        detail = f"took a test span by {report.protocol}"
        yield Check(section=section, mark="ok", title=report.endpoint, detail=detail)
    else:
        yield Check(section=section, mark="fail", title="endpoint", detail=report.problem, remedy=report.remedy)
