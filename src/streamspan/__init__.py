"""Observability for LLM streams: one line, one span per stream, every ending right.

    import streamspan

    streamspan.instrument()

Everything that is listed in `__all__` is public, and nothing else. Importing this has no side effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamspan._api import instrument, uninstrument
    from streamspan._config import Config, ConfigError, HostPattern, StreamspanError
    from streamspan._identity import session
    from streamspan._observe import observe
    from streamspan._records import Delta, ProviderError, SessionSummary, ToolCallDelta
    from streamspan.instrumentor import StreamspanInstrumentor
    from streamspan.providers import Endpoint, Provider

    __version__: str

__all__ = [
    "Config",
    "ConfigError",
    "Delta",
    "Endpoint",
    "HostPattern",
    "Provider",
    "ProviderError",
    "SessionSummary",
    "StreamspanError",
    "StreamspanInstrumentor",
    "ToolCallDelta",
    "instrument",
    "observe",
    "session",
    "uninstrument",
]

_HOMES = {
    "Config": "_config",
    "ConfigError": "_config",
    "Delta": "_records",
    "Endpoint": "providers",
    "HostPattern": "_config",
    "Provider": "providers",
    "ProviderError": "_records",
    "SessionSummary": "_records",
    "StreamspanError": "_config",
    "StreamspanInstrumentor": "instrumentor",
    "ToolCallDelta": "_records",
    "instrument": "_api",
    "observe": "_observe",
    "session": "_identity",
    "uninstrument": "_api",
}


def __getattr__(name: str) -> Any:
    # Lazily, so that importing streamspan costs nothing until it is used.
    if name == "__version__":
        from streamspan._version import version  # noqa: PLC0415

        return version()
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
