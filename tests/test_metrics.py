"""The instruments: names, units, buckets, attributes and values of every metric, in both sets of names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import Metric

from conformance_table import LATEST_METRICS, OWN_METRICS, RELEASED_METRICS
from streamspan._config import Config
from streamspan._endings import Signal
from streamspan._records import Delta
from streamspan._session import Session
from telemetry_rig import DONE, REQUEST, Rig, attributes_of, checked_rigs, failure, point, telemetry_of, text

NewRig = Callable[..., Rig]

AT_START = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "server.address": "api.openai.com",
    "server.port": 443,
}
COMMON = {**AT_START, "gen_ai.response.model": "gpt-4o-2024-08-06"}
BY_OUTCOME = {**COMMON, "streamspan.outcome": "completed"}


@pytest.fixture(name="new_rig")
def _new_rig() -> Iterator[NewRig]:
    yield from checked_rigs()


def _values(metric: Metric) -> list[tuple[dict[str, object], Any]]:
    """Return the points of a metric as attributes, and count and sum or the value."""
    points: list[Any] = list(metric.data.data_points)
    return [(attributes_of(p), (p.count, p.sum) if hasattr(p, "count") else p.value) for p in points]


def _run(rig: Rig) -> Session:
    """Run a stream that leaves something in every instrument: a retry, a stall, 2 s of the caller's time."""
    session = rig.open()
    session.attempt_failed(503, None)
    session.attempt()
    session.headers(200, None)
    session.returned()
    role = Delta(choice=0, response_model="gpt-4o-2024-08-06")
    rig.feed(session, [(0.25, role), (0.25, text("Hel"))])
    rig.clock.wait(2)
    rig.feed(session, [(6, text("lo")), (0.5, DONE)])
    session.exhausted()
    return session


EVERY_STREAM: dict[str, list[tuple[dict[str, object], Any]]] = {
    "streamspan.time_to_first_token": [(COMMON, (1, 0.5))],
    "streamspan.time_to_first_answer": [(COMMON, (1, 0.5))],
    "streamspan.output_rate": [(COMMON, (1, 0.5))],
    "streamspan.character_rate": [(COMMON, (1, 0.25))],
    "streamspan.wait.max": [(BY_OUTCOME, (1, 6.0))],
    "streamspan.consumer_time": [(COMMON, (1, 2.0))],
    "streamspan.chunks": [(BY_OUTCOME, (1, 4))],
    "streamspan.stalls": [(COMMON, 1)],
    "streamspan.retries": [(COMMON, 1)],
    "streamspan.active": [(AT_START, 0)],
}
RELEASED: dict[str, list[tuple[dict[str, object], Any]]] = {
    "gen_ai.client.operation.duration": [(BY_OUTCOME, (1, 9.0))],
    "gen_ai.client.operation.time_to_first_chunk": [(COMMON, (1, 0.25))],
    "gen_ai.client.operation.time_per_output_chunk": [(COMMON, (3, 8.75))],
    "gen_ai.client.token.usage": [
        ({**COMMON, "gen_ai.token.type": "input"}, (1, 7)),
        ({**COMMON, "gen_ai.token.type": "output"}, (1, 5)),
    ],
}
UNKNOWN = {**COMMON, "gen_ai.token.modality": "unknown"}
LATEST: dict[str, list[tuple[dict[str, object], Any]]] = {
    "gen_ai.client.inference.duration": [(BY_OUTCOME, (1, 9.0))],
    "gen_ai.client.inference.time_to_first_chunk": [(COMMON, (1, 0.25))],
    "gen_ai.client.inference.time_per_output_chunk": [(COMMON, (3, 8.75))],
    "gen_ai.client.inference.operation.input_tokens": [(COMMON, (1, 7))],
    "gen_ai.client.inference.operation.output_tokens": [(COMMON, (1, 5))],
    "gen_ai.client.inference.usage.input_tokens": [(UNKNOWN, 7)],
    "gen_ai.client.inference.usage.output_tokens": [(UNKNOWN, 5)],
    "gen_ai.client.inference.usage.cache_read.input_tokens": [(UNKNOWN, 0)],
    "gen_ai.client.inference.usage.cache_write.input_tokens": [(UNKNOWN, 0)],
    "gen_ai.client.inference.usage.reasoning.output_tokens": [(UNKNOWN, 0)],
}
SETS = {"released": RELEASED, "latest": LATEST, "both": {**RELEASED, **LATEST}}


@pytest.mark.parametrize("semconv", SETS)
def test_a_stream_leaves_exactly_this_in_every_instrument(semconv: Any, new_rig: NewRig) -> None:
    """Each instrument has its values with its exact attributes, under the names that were asked for."""
    rig = new_rig(Config(semconv=semconv))
    _run(rig)
    assert {name: _values(metric) for name, metric in rig.metrics().items()} == {**SETS[semconv], **EVERY_STREAM}


def test_every_instrument_has_its_unit_and_its_buckets(new_rig: NewRig) -> None:
    """Units and bucket bounds of all instruments are those of the table."""
    rig = new_rig(Config(semconv="both"))
    _run(rig)
    told = {
        name: (metric.unit, tuple(getattr(metric.data.data_points[0], "explicit_bounds", ())))
        for name, metric in rig.metrics().items()
    }
    table = {**RELEASED_METRICS, **LATEST_METRICS, **OWN_METRICS}
    assert told == {name: (metric.unit, tuple(map(float, metric.buckets))) for name, metric in table.items()}
    assert all(metric.description for metric in rig.metrics().values())


def test_a_call_without_a_stream_is_only_in_duration_and_tokens(new_rig: NewRig) -> None:
    """A whole answer is no stream: nothing is open, nothing is clocked."""
    rig = new_rig()
    session = rig.open(replace(REQUEST, is_stream=False))
    session.attempt_failed(503, None)
    session.attempt()
    session.headers(200, None)
    rig.clock.wait(2)
    session.answered(text("Hi", finish_reason="stop", usage={"input_tokens": 3}))
    assert {name: _values(metric) for name, metric in rig.metrics().items()} == {
        "gen_ai.client.operation.duration": [({**AT_START, "streamspan.outcome": "completed"}, (1, 2.0))],
        "gen_ai.client.token.usage": [({**AT_START, "gen_ai.token.type": "input"}, (1, 3))],
    }


ENDINGS: dict[str, tuple[Callable[[Session], None], str, str | None]] = {
    "truncated": (lambda s: s.exhausted(), "truncated", "truncated"),
    "closed": (lambda s: s.closed(), "cancelled", None),
    "dropped": (lambda s: s.stopped(Signal.DROPPED), "cancelled", None),
    "timeout": (lambda s: s.failed(failure("ReadTimeout", is_timeout=True)), "timeout", "ReadTimeout"),
    "error": (lambda s: s.failed(failure("429")), "error", "429"),
}


@pytest.mark.parametrize("case", ENDINGS)
@pytest.mark.parametrize("has_chunks", [True, False], ids=["with chunks", "before the first chunk"])
def test_the_outcome_is_on_three_metrics_and_the_error_on_one(case: str, has_chunks: bool, new_rig: NewRig) -> None:
    """Duration, longest wait and chunks carry the outcome; `error.type` is on the duration, as on the span."""
    end, outcome, error_type = ENDINGS[case]
    rig = new_rig()
    end(rig.stream([(0.25, text("a")), (0.5, text("b"))]) if has_chunks else rig.open())
    metrics = rig.metrics()
    attributes = {**AT_START, "streamspan.outcome": outcome}
    error = {} if error_type is None else {"error.type": error_type}
    assert attributes_of(point(metrics["gen_ai.client.operation.duration"])) == {**attributes, **error}
    assert _values(metrics["streamspan.chunks"]) == [(attributes, (1, 2 if has_chunks else 0))]
    assert ("streamspan.wait.max" in metrics) == has_chunks
    assert attributes_of(rig.span).get("error.type") == error_type
    assert point(metrics["streamspan.active"]).value == 0


def test_open_streams_are_counted_while_they_are_open(new_rig: NewRig) -> None:
    """The count goes up at the call and down at the ending, of each stream by itself."""
    rig = new_rig()
    sessions = [rig.open() for _ in range(3)]
    assert point(rig.metrics()["streamspan.active"]).value == 3
    sessions[1].closed()
    assert point(rig.metrics()["streamspan.active"]).value == 2
    for session in sessions:
        session.closed()
    assert point(rig.metrics()["streamspan.active"]).value == 0


def test_gaps_can_be_switched_off(new_rig: NewRig) -> None:
    """With `STREAMSPAN_CHUNK_METRIC=off` there is no such instrument; all others are as before."""
    rig = new_rig(Config(chunk_metric=False))
    _run(rig)
    assert set(RELEASED) | set(EVERY_STREAM) == set(rig.metrics()) | {"gen_ai.client.operation.time_per_output_chunk"}
    assert "gen_ai.client.operation.time_per_output_chunk" not in rig.metrics()


def test_gaps_carry_the_responses_model_as_soon_as_it_is_known(new_rig: NewRig) -> None:
    """Gaps that are recorded before the chunk that names the model do not carry it, later ones do."""
    rig = new_rig()
    rig.complete([(0.25, text("a")), (1.5, text("b")), (1, text("c", response_model="m")), (2, DONE)])
    assert _values(rig.metrics()["gen_ai.client.operation.time_per_output_chunk"]) == [
        (AT_START, (1, 1.5)),
        ({**AT_START, "gen_ai.response.model": "m"}, (2, 3.0)),
    ]


def test_gaps_are_recorded_without_a_session_to_follow(new_rig: NewRig) -> None:
    """A telemetry that was not told which session it watches records the gaps with what it knows."""
    rig = new_rig()
    rig.complete(follows=False)
    assert _values(rig.metrics()["gen_ai.client.operation.time_per_output_chunk"]) == [(AT_START, (3, 1.25))]


def test_a_group_that_is_told_twice_counts_once(new_rig: NewRig) -> None:
    """A signal handler may tell it while the reading thread does: no gap is below zero, and none is counted again."""
    rig = new_rig()
    rig.is_checked = False  # the span has no chunks: they are told to the metric alone
    session = rig.open()
    group = [rig.clock.now + 1_000_000_000, rig.clock.now + 1_250_000_000]
    for told in (group, group, [group[-1] + 500_000_000]):
        session.observer.arrivals(told)  # type: ignore[misc] # only None where the metric is off
    session.closed()
    assert _values(rig.metrics()["gen_ai.client.operation.time_per_output_chunk"]) == [(AT_START, (2, 0.75))]


def test_tokens_are_recorded_only_when_the_provider_reported_them(new_rig: NewRig) -> None:
    """Without usage there is no released token metric; a reported 0 is one."""
    rig = new_rig()
    rig.complete([(0.25, text("a", finish_reason="stop"))])
    assert "gen_ai.client.token.usage" not in rig.metrics()
    rig.complete([(0.25, text("a", finish_reason="stop", usage={"output_tokens": 0}))])
    assert _values(rig.metrics()["gen_ai.client.token.usage"]) == [
        ({**AT_START, "gen_ai.token.type": "output"}, (1, 0))
    ]


def test_the_latest_names_count_every_call_and_split_by_modality(new_rig: NewRig) -> None:
    """What the provider assigned to a modality is counted there, the rest as unknown; without usage it is 0."""
    rig = new_rig(Config(semconv="latest"))
    usage = {"input_tokens": 100, "text.input_tokens": 70, "audio.input_tokens": 20, "output_tokens": 8,
             "text.output_tokens": 8}  # fmt: skip
    rig.complete([(0.25, text("a", finish_reason="stop", usage=usage))])
    rig.stream([(0.25, text("a"))]).failed(failure("429"))
    metrics = rig.metrics()

    def by_modality(suffix: str) -> dict[object, int]:
        points = _values(metrics[f"gen_ai.client.inference.usage.{suffix}"])
        return {attributes["gen_ai.token.modality"]: value for attributes, value in points}

    assert by_modality("input_tokens") == {"text": 70, "audio": 20, "unknown": 10}
    assert by_modality("output_tokens") == {"text": 8, "unknown": 0}
    assert by_modality("cache_write.input_tokens") == {"unknown": 0}
    assert _values(metrics["gen_ai.client.inference.operation.input_tokens"]) == [
        (AT_START, (1, 100)),
        ({**AT_START, "error.type": "429"}, (1, 0)),
    ]


def test_exemplars_lead_to_the_span_from_any_context(new_rig: NewRig) -> None:
    """Every instrument is recorded with the context of the session's span, and the gaps too."""
    rig = new_rig(has_all_exemplars=True)
    session = _run(rig)
    context = rig.span.context
    assert context is not None
    ids = {
        name: {(e.trace_id, e.span_id) for p in metric.data.data_points for e in p.exemplars}
        for name, metric in rig.metrics().items()
    }
    assert ids == {name: {(context.trace_id, context.span_id)} for name in ids}
    assert len(ids) == len(RELEASED) + len(EVERY_STREAM)
    assert telemetry_of(session).attributes == AT_START


def test_sampled_spans_get_exemplars_by_default(new_rig: NewRig) -> None:
    """With OpenTelemetry's default filter a sampled stream's duration has an exemplar."""
    rig = new_rig()
    rig.complete()
    (exemplar,) = point(rig.metrics()["gen_ai.client.operation.duration"]).exemplars
    assert f"{exemplar.span_id:016x}" == rig.summaries[0].span_id
