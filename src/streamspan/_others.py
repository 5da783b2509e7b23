"""Who else records the same calls: instrumentations that are active in this process, and what to do about it.

Two spans and double counts for each call are nobody's intention, and nobody sees them before the bill. Knows how the
others name their modules; imports none of them.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_logger = logging.getLogger("streamspan")

_MODULE = re.compile(r"(?:opentelemetry|openinference)\.instrumentation\.(?:genai\.)?(?P<name>[a-z0-9_]+)")
# What they call a library to what it is called here.
_ALIASES = {"google_generativeai": "google_genai", "bedrock": "botocore", "agno": "openai", "mistral": "mistralai"}
# An instrumentation on these helpers of OpenTelemetry keeps the contract of `_double_span`.
_KEEPS_CONTRACT = "opentelemetry.util.genai"


@dataclass(frozen=True, slots=True)
class Other:
    """An active instrumentation of somebody else's.

    Args:
        library: the library that it records, by our name.
        instrumentor: its class, as `module.Class`.
        keeps_contract: one span for both: ours is left out, and what we know is added to its.
    """

    library: str
    instrumentor: str
    keeps_contract: bool

    @property
    def effect(self) -> str:
        """What it means for the telemetry."""
        if self.keeps_contract:
            return (
                f"{self.instrumentor} records {self.library} too, and both keep to one span per call: "
                "streamspan adds what it knows to the other one's spans and makes no spans and metrics of its own"
            )
        return (
            f"{self.instrumentor} records {self.library} too: each call is two spans, and its tokens are counted twice"
        )

    @property
    def remedy(self) -> str:
        """What to do about it."""
        name = self.library.replace("_", "-")
        return (
            f"keep one of them: leave out {self.instrumentor.rpartition('.')[2]}().instrument() or set "
            f"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS={name}, or set STREAMSPAN_EXCLUDE={self.library}"
        )


def library_of(module: str) -> str | None:
    """Return the library that an instrumentation's module is about, None if it is no instrumentation."""
    found = _MODULE.fullmatch(module)
    if found is None:
        return None
    name = re.sub(r"_v\d+$", "", found["name"])
    return _ALIASES.get(name, name)


def active_others(libraries: frozenset[str]) -> Iterator[Other]:
    """Yield the active instrumentations of these libraries, of whatever is imported."""
    for name, module in list(sys.modules.items()):
        library = library_of(name)
        if library is None or library not in libraries:
            continue
        for kind in list(vars(module).values()):
            if isinstance(kind, type) and _is_active(kind):
                yield Other(library, f"{kind.__module__}.{kind.__qualname__}", _keeps_contract(name))


def _is_active(kind: Any) -> bool:
    # `BaseInstrumentor` is a singleton; asking for its instance by the constructor would make one.
    instance = kind.__dict__.get("_instance")
    return bool(getattr(instance, "_is_instrumented_by_opentelemetry", False))


def _keeps_contract(module: str) -> bool:
    inside = f"{module}."
    modules = [each for name, each in list(sys.modules.items()) if name == module or name.startswith(inside)]
    return any(
        getattr(value, "__module__", "").startswith(_KEEPS_CONTRACT)
        for each in modules
        for value in list(vars(each).values())
        if isinstance(value, type)
    )


class Neighbours:
    """Warns of the others, once each.

    Args:
        libraries: what is instrumented here.
    """

    def __init__(self, libraries: frozenset[str]) -> None:
        self._libraries = libraries
        self._met: set[str] = set()
        self._layers: set[str] = set()

    def look(self, layer: str) -> None:
        """Look around before the first call of a layer: others may have come after us."""
        if layer in self._layers:
            return
        self._layers.add(layer)
        for other in active_others(self._libraries):
            if other.instrumentor not in self._met:
                self._met.add(other.instrumentor)
                _logger.warning("%s; %s", other.effect, other.remedy)
