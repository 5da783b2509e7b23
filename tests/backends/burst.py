"""An application that reads many long streams at once: `python burst.py SESSIONS CHUNKS`.

Its streams are of its own making, so that they come as fast as they are read. The number of each is its
`gen_ai.conversation.id`. It stays until everything is sent, as a server would. Knows nothing of the tests.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

import streamspan

_AT_ONCE = 100


def answer(chunks: int) -> Iterator[str]:
    """Yield the chunks of one answer."""
    for _ in range(chunks):
        yield "word "


def read(sessions: int, chunks: int) -> None:
    """Open all sessions, and read them in turns."""
    opened: list[Iterator[str]] = []
    for number in range(sessions):
        with streamspan.session(f"{number}"):
            opened.append(iter(streamspan.observe(answer(chunks), provider="acme", model=f"m{number % 4}")))
    while opened:
        opened = [stream for stream in opened if sum(1 for _ in zip(range(_AT_ONCE), stream, strict=False)) == _AT_ONCE]


def main() -> None:
    """Set OpenTelemetry up, read, and send everything."""
    tracers, meters = TracerProvider(), MeterProvider([PeriodicExportingMetricReader(OTLPMetricExporter())])
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(tracers)
    metrics.set_meter_provider(meters)
    streamspan.instrument()
    read(*map(int, sys.argv[1:]))
    tracers.force_flush()
    meters.force_flush()


if __name__ == "__main__":
    main()
