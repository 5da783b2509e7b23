"""An agent and two gateways: every trace worth looking at is kept, whole, and every span is counted."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Status, StatusCode, set_span_in_context
from opentelemetry.util.types import AttributeValue

from backends.collectors import Collector
from backends.jaegers import Jaeger, JaegerSpan
from backends.programs import until
from backends.prometheuses import Prometheus

MANY, FEW = 1000, 20
SECOND = 1_000_000_000


@dataclass(frozen=True)
class Kind:
    """Streams of one kind.

    Args:
        number: how many.
        attributes: what the library records of such a stream, as far as a sampler may look at it.
        is_failed: status ERROR.
        seconds: how long it takes.
    """

    number: int
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    is_failed: bool = False
    seconds: float = 3.0


KEPT = {
    "error": Kind(FEW, {"streamspan.outcome": "error", "error.type": "500"}, is_failed=True),
    "timeout": Kind(FEW, {"streamspan.outcome": "timeout"}, is_failed=True),
    "truncated": Kind(FEW, {"streamspan.outcome": "truncated"}, is_failed=True),
    "truncated-without-status": Kind(FEW, {"streamspan.outcome": "truncated"}),
    "stalled": Kind(FEW, {"streamspan.outcome": "completed", "streamspan.stall.count": 1}),
    "slow-first-token": Kind(FEW, {"streamspan.outcome": "completed", "streamspan.time_to_first_token": 2.51}),
    "slow": Kind(FEW, {"streamspan.outcome": "completed", "streamspan.time_to_first_token": 0.2}, seconds=61.0),
    "cancelled": Kind(FEW, {"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "closed"}),
}
REST = {
    "plain": Kind(MANY, {"streamspan.outcome": "completed", "streamspan.time_to_first_token": 2.49}),
    "plain-without-stalls": Kind(MANY, {"streamspan.outcome": "completed", "streamspan.stall.count": 0}),
}
KINDS = KEPT | REST
TRACES = sum(kind.number for kind in KINDS.values())


@dataclass
class Played:
    """What the backends have in the end."""

    traces: dict[str, list[JaegerSpan]]
    prometheus: Prometheus

    def of(self, kind: str) -> list[list[JaegerSpan]]:
        """Return the traces of a kind."""
        return [spans for spans in self.traces.values() if any(span.name == f"chat {kind}" for span in spans)]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """Send all streams, the second half while one of the gateways is away."""
    home: Path = tmp_path_factory.mktemp("sampling")
    with Jaeger(home / "jaeger") as jaeger, Prometheus(home / "prometheus") as prometheus:
        variables = {
            "JAEGER_ENDPOINT": jaeger.address,
            "PROMETHEUS_ENDPOINT": prometheus.otlp,
            # Longer than an agent waits before it tries again: the parts of a trace come apart when a gateway is away.
            "DECISION_WAIT": "12s",
            "DECISION_WAIT_AFTER_ROOT": "8s",
            "SPAN_METRICS_INTERVAL": "500ms",
        }
        first, second = (Collector("gateway", home / name, **variables) for name in ("first", "second"))
        addresses = f"[{first.address}, {second.address}]"
        with first, second, Collector("agent", home / "agent", GATEWAYS=addresses) as agent:
            shares = send(agent, 0)
            until(lambda: _accepted(first, second) == shares)
            until(lambda: prometheus.total(_CALLS) == shares)  # the connector forgets what it has not sent when it ends
            counted = second.own("otelcol_receiver_accepted_spans")  # it counts anew after the next start
            assert second.stop() == 0
            shares += send(agent, 1)
            second.start()
            until(lambda: counted + _accepted(first, second) == shares)
            until(lambda: prometheus.total(_CALLS), lambda calls: calls == 2 * TRACES)
            until(lambda: first.own("otelcol_processor_tail_sampling_global_count_traces_sampled"))
            for gateway in (first, second):
                # It decides at once on what it has not decided yet; what it keeps is in its queue, for the next start.
                assert gateway.stop() == 0
                gateway.start()
                gateway.drain()
            traces: dict[str, list[JaegerSpan]] = {}
            for span in jaeger.spans("shop"):
                traces.setdefault(span.trace_id, []).append(span)
            yield Played(traces, prometheus)


_CALLS = "sum(max_over_time(traces_span_metrics_calls_total[1h]))"


def _accepted(*collectors: Collector) -> float:
    return sum(collector.own("otelcol_receiver_accepted_spans") for collector in collectors)


def send(agent: Collector, half: int) -> int:
    """Send one half of the streams of each kind, the span of the application after that of its stream."""
    providers = [_tracers(agent) for _ in range(2)]
    streams, roots = (provider.get_tracer("test") for provider in providers)
    start = time.time_ns()
    for name, kind in KINDS.items():
        end = start + int(kind.seconds * SECOND)
        for _ in range(half, kind.number, 2):
            root = roots.start_span(f"answer {name}", start_time=start)
            span = streams.start_span(
                f"chat {name}", set_span_in_context(root), attributes=dict(kind.attributes), start_time=start
            )
            if kind.is_failed:
                span.set_status(Status(StatusCode.ERROR))
            span.end(end)
            root.end(end)
    for provider in providers:
        provider.force_flush()
        provider.shutdown()
    return 2 * sum(kind.number // 2 for kind in KINDS.values())


def _tracers(agent: Collector) -> TracerProvider:
    provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(agent.grpc), max_queue_size=10_000))
    return provider


@pytest.mark.parametrize("kind", KEPT)
def test_what_must_be_kept_is_kept(played: Played, kind: str) -> None:
    """All of them, each with all of its spans."""
    found = played.of(kind)
    assert len(found) == KEPT[kind].number
    for spans in found:
        assert Counter(span.name for span in spans) == {f"answer {kind}": 1, f"chat {kind}": 1}


@pytest.mark.parametrize("kind", REST)
def test_of_the_rest_a_share_is_kept(played: Played, kind: str) -> None:
    """About one of ten, each with all of its spans."""
    found = played.of(kind)
    assert 0.05 * MANY < len(found) < 0.16 * MANY  # five standard deviations and more
    for spans in found:
        assert Counter(span.name for span in spans) == {f"answer {kind}": 1, f"chat {kind}": 1}


def test_every_span_is_counted_though_it_is_not_kept(played: Played) -> None:
    """Metrics are made before the choice, by two gateways, whose series do not replace each other."""
    assert played.prometheus.total(_CALLS) == 2 * TRACES
    for name, kind in KINDS.items():
        assert (
            played.prometheus.total(
                f'sum(max_over_time(traces_span_metrics_calls_total{{span_name="chat {name}"}}[1h]))'
            )
            == kind.number
        )
    by_gateway = played.prometheus.query("count by (collector_instance_id) (traces_span_metrics_calls_total)")
    assert len(by_gateway) >= 2
