"""The exporters by name, and what feeds them.

Knows the constructors of OpenTelemetry's SDK and OTLP exporters, and mends what is known to be wrong with them.
Refuses to know when they are used and what becomes of the telemetry.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol

from streamspan._config import environment
from streamspan._otlp.delivery import current_attempt, silence
from streamspan._otlp.problems import of_success
from streamspan._otlp.settings import SignalName, Target

# Signal to module below `opentelemetry.exporter.otlp.proto.{http,grpc}`, and class.
_OTLP: dict[SignalName, tuple[str, str]] = {
    "traces": ("trace_exporter", "OTLPSpanExporter"),
    "metrics": ("metric_exporter", "OTLPMetricExporter"),
    "logs": ("_log_exporter", "OTLPLogExporter"),
}
# Loggers that exports and queues write to besides those of the exporters' own modules (1.45, and before 1.33).
_MORE_LOGGERS = {
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.sdk._shared_internal",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.sdk._logs._internal.export",
}
_CREDENTIAL_PROVIDER = "OTEL_PYTHON_EXPORTER_OTLP_HTTP_{}CREDENTIAL_PROVIDER"

_logger = logging.getLogger("streamspan")


class Send(Protocol):
    """Calls an exporter's `export` with what it was called with, and answers for it."""

    def __call__(self, export: Callable[..., Any], batch: Any, /, *args: Any, **kwargs: Any) -> Any: ...


def otlp_exporter(target: Target, send: Send) -> Any:
    """Return an OTLP exporter for `target` whose exports go through `send`.

    Raises:
        ImportError: the package for the protocol is not installed.
        ValueError, OSError: a variable or file that the exporter reads itself is malformed.
    """
    transport = "grpc" if target.protocol == "grpc" else "http"
    module_name, class_name = _OTLP[target.signal]
    module = import_module(f"opentelemetry.exporter.otlp.proto.{transport}.{module_name}")
    exporter_class = _watched(getattr(module, class_name), send)
    silence(_MORE_LOGGERS | {cls.__module__ for cls in exporter_class.__mro__ if "exporter.otlp" in cls.__module__})
    options = _grpc_options(target) if transport == "grpc" else _http_options(target.signal)
    return exporter_class(timeout=target.timeout, **options)


def other_exporters(signal: SignalName, names: Iterable[str]) -> Iterator[Any]:
    """Make the exporters `names` of the SDK's entry-point group; one that cannot be made is a warning."""
    for name in names:
        for entry_point in entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
            yield from _made(entry_point)


def _made(entry_point: EntryPoint) -> Iterator[Any]:
    try:
        exporter = entry_point.load()()
    except (ImportError, ValueError, TypeError, OSError, RuntimeError) as exc:
        _logger.warning(
            "streamspan: %s %r cannot be made, it is left out: %s", entry_point.group, entry_point.name, exc
        )
    else:
        yield exporter


def _watched(exporter_class: Any, send: Send) -> Any:
    """Return a subclass whose `export` goes through `send`.

    A subclass and no wrapper, because the SDK reads attributes of exporters that are not public (temporality).
    """

    def export(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        inherited: Callable[..., Any] = exporter_class.export.__get__(self)
        return send(inherited, batch, *args, **kwargs)

    return type(f"Watched{exporter_class.__name__}", (exporter_class,), {"export": export})


def _grpc_options(target: Target) -> dict[str, Any]:
    grpc = import_module("grpc")
    # Told and not left to the exporter: of `none`, which the specification allows, it says that it is invalid (1.45).
    gzip = target.compression == "gzip"
    return {"compression": grpc.Compression.Gzip if gzip else grpc.Compression.NoCompression}


def _http_options(signal: SignalName) -> dict[str, Any]:
    # A session that the user's credential provider makes would be replaced by ours.
    if any(environment(_CREDENTIAL_PROVIDER.format(part)) for part in ("", f"{signal.upper()}_")):
        return {}
    return {"session": _witness_session()}


def _witness_session() -> Any:
    """Return an HTTP session that tells the export in progress what became of its request."""
    import requests  # noqa: PLC0415
    from requests.adapters import HTTPAdapter  # noqa: PLC0415

    class WitnessSession(requests.Session):
        def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:
            attempt = current_attempt()
            if attempt and attempt.is_given_up:  # some exporters try again at once, whatever they are told
                raise requests.ConnectionError("the export was given up", request=request)
            try:
                # Exporters before 1.45 followed a redirect with a GET, which delivers nothing and looks like success.
                response = super().send(request, **kwargs | {"allow_redirects": False})
            except requests.RequestException as exc:
                if attempt:
                    attempt.failed(exc)
                raise
            if attempt:
                attempt.answered(response.status_code, response.reason or "")
                attempt.doubt = of_success(response.headers.get("content-type", ""), response.content)
            return response

        def forget_connections(self) -> None:
            # Not `close`: it takes locks, which another thread of the parent may have held at the fork.
            for prefix in ("http://", "https://"):
                self.mount(prefix, HTTPAdapter())

    session = WitnessSession()
    forget = weakref.WeakMethod(session.forget_connections)
    if hasattr(os, "register_at_fork"):
        # A forked child must not write into the connections of its parent.
        os.register_at_fork(after_in_child=lambda: (own := forget()) and own())
    return session
