"""The entry point for `opentelemetry-instrument` and for code that treats all instrumentations alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # opts out of types

from streamspan import _api
from streamspan._config import Config, ConfigError, options

_OF_THE_AGENT = frozenset({"skip_dep_check", "raise_exception_on_conflict"})


class StreamspanInstrumentor(BaseInstrumentor):  # type: ignore[misc] # as above
    """`StreamspanInstrumentor().instrument(tracer_provider=…)`.

    Takes the arguments of `streamspan.instrument`, and the fields of `Config` by themselves, as a declarative
    configuration file gives them.
    """

    configuration = Config

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: every library is patched when it is there, and none has to be."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        fields = {name: value for name, value in kwargs.items() if name in options() and name != "libraries"}
        arguments = {name: value for name, value in kwargs.items() if name not in {*_OF_THE_AGENT, *fields}}
        if fields and "config" in arguments:
            raise ConfigError(f"instrument(config=..., {', '.join(fields)}=...): allowed is one or the other")
        if fields:
            arguments["config"] = Config(**fields)
        _api.instrument(**arguments)

    def _uninstrument(self, **_kwargs: Any) -> None:
        _api.uninstrument()
