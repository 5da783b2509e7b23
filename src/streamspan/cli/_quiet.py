"""OpenTelemetry providers that take everything and send nothing, for commands that only want to look.

The SDK's and not the API's no-op ones, so that what is looked at takes the same way as in an application.
"""

from __future__ import annotations

from typing import TypedDict

from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider


class Providers(TypedDict):
    """Arguments of `streamspan.instrument`."""

    tracer_provider: TracerProvider
    meter_provider: MeterProvider
    logger_provider: LoggerProvider


def quiet_providers() -> Providers:
    """Return one provider for each signal; none is global, none sends."""
    return Providers(
        tracer_provider=TracerProvider(shutdown_on_exit=False),
        meter_provider=MeterProvider(shutdown_on_exit=False),
        logger_provider=LoggerProvider(shutdown_on_exit=False),
    )
