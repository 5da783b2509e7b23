"""What `streamspan doctor` looks at: versions, seams, other instrumentations. Nothing stays patched.

Knows where each of them can be asked for. What is configured, and whether it arrives, is in `_settings`.
"""

from __future__ import annotations

import platform
import re
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points

from streamspan import _api, _registry
from streamspan._config import environment
from streamspan._others import library_of
from streamspan._patching import Patches
from streamspan._version import version
from streamspan.cli._findings import Check, installed_version, warnings
from streamspan.cli._quiet import quiet_providers
from streamspan.integrations import Integration

_TELEMETRY = ("opentelemetry-api", "opentelemetry-sdk", "opentelemetry-exporter-otlp", "opentelemetry-instrumentation")
_BY_CALL = {"logfire": "logfire.instrument_{}()", "openlit": "openlit.init()", "traceloop-sdk": "Traceloop.init()"}
_DISABLED = "OTEL_PYTHON_DISABLED_INSTRUMENTATIONS"


# --- what is installed -------------------------------------------------------------------------------------------


def installed() -> Iterator[Check]:
    """Yield the versions of Python, streamspan and OpenTelemetry."""
    section = "Installed"
    yield Check(section=section, mark="ok", title="python", detail=platform.python_version())
    yield Check(section=section, mark="ok", title="streamspan", detail=version())
    for name in _TELEMETRY:
        found = installed_version(name)
        if found is None:
            yield Check(section=section, mark="fail", title=name, detail="not installed", remedy=f"pip install {name}")
        else:
            yield Check(section=section, mark="ok", title=name, detail=found)


# --- what is patched ---------------------------------------------------------------------------------------------


def libraries() -> Iterator[Check]:
    """Yield for each library its version, and whether each seam is patched; undoes what it patches."""
    with _instrumented() as patches:
        for integration in _registry.INTEGRATIONS:
            yield _library(integration, is_wanted=integration.name in patches)
            if installed_version(integration.distribution) is not None and integration.name in patches:
                yield from _seams(patches[integration.name])
        for name in patches.keys() - set(_registry.known_names()):
            yield Check(section="Libraries", mark="ok", title=name, detail="of the standard library")
            yield from _seams(patches[name])


def _library(integration: Integration, *, is_wanted: bool) -> Check:
    section = "Libraries"
    found = installed_version(integration.distribution)
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
    with warnings():
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
        with warnings():
            problem = _import(patch.module)
        if patches.is_applied(patch):
            yield Check(section=section, mark="ok", title=title, detail=f"patched in {patch.module}")
        elif patch.is_optional:
            package = patch.module.partition(".")[0]
            detail = f"{package} is not installed" if problem else f"{patch.module} of this version has no such seam"
            yield Check(section=section, mark="none", title=title, detail=detail)
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


def _numbers(text: str) -> tuple[int, ...]:
    found = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found.group().split(".")) if found else ()


# --- who else records the same calls -----------------------------------------------------------------------------


def doubles() -> Iterator[Check]:
    """Yield the other instrumentations of the same libraries."""
    section = "Other instrumentations"
    names = [name for name in _registry.known_names() if name not in _registry.TRANSPORTS]
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
    named = re.sub(r"^genai[-_]|[-_]v\d+$", "", name.lower()).replace("-", "_")
    return not {named, library_of(value.partition(":")[0])}.isdisjoint(libraries)


def _by_call(section: str, names: Iterable[str]) -> Iterator[Check]:
    for distribution, call in _BY_CALL.items():
        found = installed_version(distribution)
        if found is not None:
            calls = " or ".join(dict.fromkeys(call.format(name) for name in names))
            yield Check(
                section=section,
                mark="none",
                title=distribution,
                detail=f"{found} records the same calls once the application calls {calls}",
            )
