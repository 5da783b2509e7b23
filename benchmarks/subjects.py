"""Who is measured: the bare SDK, streamspan in several configurations, and another instrumentation.

All of them that record use the same OpenTelemetry SDK: finished spans go through a batch processor to an exporter that
drops them, metrics are aggregated and never collected.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

BARE = "bare"
FULL = "streamspan"
NO_GAP = "streamspan, no per-gap metric"
LEAN = "streamspan, no chunk events, no per-gap metric"
UNSAMPLED = "streamspan, not sampled"
OTHER = "genai-openai"
OTHER_ANTHROPIC = "genai-anthropic"
OTHER_GEMINI = "google-genai"
NATIVE = "the SDK's own tracing"

OURS = (BARE, FULL, NO_GAP, LEAN, UNSAMPLED)
PACKAGES = {
    OTHER: "opentelemetry-instrumentation-genai-openai",
    OTHER_ANTHROPIC: "opentelemetry-instrumentation-genai-anthropic",
    OTHER_GEMINI: "opentelemetry-instrumentation-google-genai",
}
"""What has to be installed for a subject."""


def telemetry(*, is_sampled: bool = True) -> dict[str, Any]:
    """Return the providers that every subject records to, as the arguments of `instrument()`."""
    from opentelemetry.sdk._logs import LoggerProvider  # noqa: PLC0415 - the bare subject must not import it
    from opentelemetry.sdk.metrics import MeterProvider  # noqa: PLC0415
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON  # noqa: PLC0415

    class Dropping(SpanExporter):
        def export(self, spans: Any) -> SpanExportResult:  # noqa: ARG002 - the exporter's signature
            return SpanExportResult.SUCCESS

    tracing = TracerProvider(sampler=ALWAYS_ON if is_sampled else ALWAYS_OFF)
    tracing.add_span_processor(BatchSpanProcessor(Dropping()))
    return {
        "tracer_provider": tracing,
        "meter_provider": MeterProvider([InMemoryMetricReader()]),
        "logger_provider": LoggerProvider(),
    }


def streamspan(*, is_sampled: bool = True, **options: Any) -> None:
    """Instrument this process with streamspan."""
    import streamspan as library  # noqa: PLC0415 - only where it is measured

    library.instrument(**telemetry(is_sampled=is_sampled), config=library.Config(**options))


def _other() -> None:
    import_module("opentelemetry.instrumentation.genai.openai").OpenAIInstrumentor().instrument(**telemetry())


def _other_anthropic() -> None:
    import_module("opentelemetry.instrumentation.genai.anthropic").AnthropicInstrumentor().instrument(**telemetry())


def _other_gemini() -> None:
    instrumentor = import_module("opentelemetry.instrumentation.google_genai").GoogleGenAiSdkInstrumentor()
    # Version 1.3b0 says that it is for google-genai before 3, and refuses later ones unless told not to look.
    instrumentor.instrument(skip_dep_check=True, **telemetry())


def _native() -> None:
    from opentelemetry.trace import set_tracer_provider  # noqa: PLC0415 - only where it is measured

    set_tracer_provider(telemetry()["tracer_provider"])  # it starts by itself when there is one


SUBJECTS: dict[str, Callable[[], None]] = {
    BARE: lambda: None,
    FULL: streamspan,
    NO_GAP: lambda: streamspan(chunk_metric=False),
    LEAN: lambda: streamspan(chunk_metric=False, chunk_events=0),
    UNSAMPLED: lambda: streamspan(is_sampled=False),
    OTHER: _other,
    OTHER_ANTHROPIC: _other_anthropic,
    OTHER_GEMINI: _other_gemini,
    NATIVE: _native,
}
