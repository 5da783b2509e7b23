"""Providers that the application sets after its first stream: they are taken, and nothing is counted twice."""

from __future__ import annotations

import subprocess
import sys

from streamspan.demo import DemoProvider

CODE = """
import sys, openai, streamspan
streamspan.instrument()

def stream():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="demo")
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)

first = stream()
next(first)

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
theirs = TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(theirs)
metrics.set_meter_provider(MeterProvider([reader]))
first.close()
list(stream())
print([span.attributes["streamspan.outcome"] for span in spans.get_finished_spans()])
points = [
    point.value
    for resource in reader.get_metrics_data().resource_metrics
    for scope in resource.scope_metrics
    for metric in scope.metrics
    if metric.name == "streamspan.active"
    for point in metric.data.data_points
]
print(points)
"""


def test_providers_set_after_the_first_stream_are_used_from_then_on(server: DemoProvider) -> None:
    """The API's warning of a second provider does not come, and the count of open streams is back at zero."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, server.url("ok")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "['completed']\n[0]\n", "")


AT_ONCE = """
import sys, threading, openai, streamspan
streamspan.instrument()
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
spans, theirs = InMemorySpanExporter(), TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(theirs)
count = 8
barrier = threading.Barrier(count)

def stream():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="demo")
    barrier.wait()
    chunks = client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
    list(chunks)

threads = [threading.Thread(target=stream) for _ in range(count)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(sorted(span.attributes["streamspan.outcome"] for span in spans.get_finished_spans()) == ["completed"] * count)
print(len(streamspan._api.open_sessions()))
"""


def test_threads_that_open_the_first_streams_together_lose_none(server: DemoProvider) -> None:
    """The late set-up runs in several threads at once; each stream is one span of the application's provider."""
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, server.url("ok")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n0\n", "")
