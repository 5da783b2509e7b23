"""The entry point for `opentelemetry-instrument` and for code that treats all instrumentations alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined] # its module opts out of types

from streamspan import _api


class StreamspanInstrumentor(BaseInstrumentor):  # type: ignore[misc] # as above
    """`StreamspanInstrumentor().instrument(tracer_provider=…)`; takes the arguments of `streamspan.instrument`."""

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: every library is patched when it is there, and none has to be."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        _api.instrument(**{name: value for name, value in kwargs.items() if name != "skip_dep_check"})

    def _uninstrument(self, **_kwargs: Any) -> None:
        _api.uninstrument()
