"""The table of names against the registry and the code, and the checker itself: it must find what is wrong."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.trace import SpanKind, Status, StatusCode

import conformance
import conformance_table as table
from streamspan import _semconv
from streamspan._config import Config
from streamspan._records import OUTPUT_KINDS, Delta
from telemetry_rig import REQUEST, START_NS, Rig, failure, text, tool_call

_BESIDE = Path(__file__).resolve().parents[2] / "shared" / "reference" / "genai-registry.json"
_REGISTRY = Path(os.environ.get("STREAMSPAN_REGISTRY", _BESIDE))  # now: the tests themselves run without our variables
METRICS = {**table.RELEASED_METRICS, **table.LATEST_METRICS, **table.OWN_METRICS}


def _registry() -> dict[str, Any]:
    if not _REGISTRY.exists():
        pytest.skip("the registry of the conventions is not here; STREAMSPAN_REGISTRY may name its file")
    registry: dict[str, Any] = json.loads(_REGISTRY.read_text(encoding="utf-8"))
    return registry


# --- the table against the conventions -------------------------------------------------------------------------------


def test_names_of_the_conventions_have_the_conventions_types() -> None:
    """Every `gen_ai.*` and `openai.*` name is in the registry, with this type; ours is the newer one where they differ."""
    registry = _registry()
    types = {
        name: spec["type"]
        for part in ("released", "proposed_realtime", "main")
        for name, spec in registry[part]["attributes"].items()
    }
    ours = {
        name: kind
        for name, (kind, _) in table.SPAN_ATTRIBUTES.items()
        if name.startswith(("gen_ai.", "openai.")) and name not in registry["main"]["removed_since_released"]
    }
    assert ours == {name: types.get(name) for name in ours}


def test_the_inference_spans_attributes_have_their_levels() -> None:
    """Every attribute of the conventions' inference span is in the table with its level, but for templates."""
    main = _registry()["main"]
    wanted = dict(main["spans"]["gen_ai.client.inference"]["attributes"])
    wanted |= {k: v for k, v in main["span_refinements"]["openai"]["attributes"].items() if k not in wanted}
    del wanted["gen_ai.prompt.variable"]
    levels = {name: level for name, (_, level) in table.SPAN_ATTRIBUTES.items()}
    assert {name: levels.get(name) for name in wanted} == {name: spec["level"] for name, spec in wanted.items()}


def test_metrics_of_the_conventions_are_as_they_say() -> None:
    """Instrument, unit, buckets and attributes of the `gen_ai.*` metrics, released and latest, are the registry's."""
    registry = _registry()
    for part, metrics in (("released", table.RELEASED_METRICS), ("main", table.LATEST_METRICS)):
        for name, metric in metrics.items():
            spec = registry[part]["metrics"][name]
            assert (metric.instrument, metric.unit) == (spec["instrument"], spec["unit"]), name
            assert list(metric.buckets) == (spec["buckets"] or []), name
            extra = set(metric.extra) - {"streamspan.outcome"}
            assert {*table.COMMON, *extra} == set(spec["attributes"]), name


def test_the_latest_names_replace_all_released_ones() -> None:
    """Each released metric has its successors in the latest set."""
    renames = _registry()["metric_renames"]
    assert {re.sub(r"\{.*", "", name) for name in renames} == set(table.RELEASED_METRICS)
    successors = {name for new in renames.values() for name in ([new] if isinstance(new, str) else new)}
    assert successors <= set(table.LATEST_METRICS)


def test_events_of_the_conventions_are_in_the_registry() -> None:
    """The log events that are not ours are the conventions', with their severity."""
    events = _registry()["main"]["events"]
    assert {name: spec["severity_number"] for name, spec in events.items()} == {
        table.LOG_NAMES["exception"]: 13,
        table.DETAILS: 5,
    }


# --- our own names ---------------------------------------------------------------------------------------------------

_PATTERN = re.compile(r"[a-z][a-z0-9]*([._][a-z0-9]+)*")
_EVENT_ATTRIBUTES = {name for event in table.EVENTS.values() for name in event.attributes}


def test_our_names_follow_the_pattern() -> None:
    """Names are lower case, dotted, and under `streamspan.` unless they are OpenTelemetry's."""
    names = {*table.SPAN_ATTRIBUTES, *_EVENT_ATTRIBUTES, *table.EVENTS, *METRICS}
    assert {name for name in names if not _PATTERN.fullmatch(name)} == set()
    known = ("streamspan.", "gen_ai.", "openai.", "server.", "http.", "error.", "exception", "user.")
    assert {name for name in names if not name.startswith(known)} == set()


def test_no_attribute_is_the_namespace_of_another() -> None:
    """No attribute `a.b` beside an attribute `a.b.c`, in ours and in the conventions'."""
    names = {*table.SPAN_ATTRIBUTES, *_EVENT_ATTRIBUTES}
    assert {(a, b) for a in names for b in names if b.startswith(f"{a}.")} == set()


def test_our_histograms_have_no_whole_bounds() -> None:
    """The label of a whole bound differs between scraping and OTLP; only characters per second have such bounds."""
    checked = [metric for metric in table.OWN_METRICS.values() if metric.unit in {"s", "{token}/s", "{chunk}"}]
    assert len(checked) == 6
    assert [bound for metric in checked for bound in metric.buckets if bound == int(bound)] == []


# --- the table against the code --------------------------------------------------------------------------------------


def test_the_code_knows_the_names_of_the_table() -> None:
    """`_semconv` has no attribute or event that the table does not have."""
    constants = {value for name, value in vars(_semconv).items() if name.isupper() and isinstance(value, str)}
    metric_attributes = {name for metric in METRICS.values() for name in metric.extra}
    known = {*table.SPAN_ATTRIBUTES, *_EVENT_ATTRIBUTES, *table.EVENTS, *table.LOG_NAMES.values(), *metric_attributes}
    known |= {table.CONNECTION, *table.CONNECTION_ATTRIBUTES}
    assert constants - known == {"streamspan", "gen_ai.usage.", "unknown", table.DETAILS}


def test_the_code_has_exactly_the_metrics_of_the_table() -> None:
    """Names, kinds, units and bounds of all instruments agree."""
    values = [value for name, value in vars(_semconv).items() if name.startswith(("METRIC_", "LATEST_"))]
    metrics = [m for value in values for m in (value.values() if isinstance(value, dict) else [value])]
    assert {m.name: (m.kind, m.unit, m.buckets) for m in metrics} == {
        name: (metric.instrument, metric.unit, tuple(map(float, metric.buckets))) for name, metric in METRICS.items()
    }


def test_kinds_of_output_are_those_of_the_table() -> None:
    """The words for kinds agree."""
    assert OUTPUT_KINDS == table.OUTPUT_KINDS


# --- the checker -----------------------------------------------------------------------------------------------------


def _rich(config: Config | None = None) -> Rig:
    """Return a rig with a stream of every ending and most of what can happen, and a call without a stream."""
    rig = Rig(config)
    session = rig.open()
    session.attempt_failed(503, None)
    session.attempt()
    session.headers(200, "req-1")
    session.returned()
    thought = Delta(choice=0, reasoning="hm")
    rig.feed(session, [(0.25, thought), (6, text("Hello")), (0.25, tool_call("f", "{}"))])
    session.closed("KeyError")
    rig.stream([(0.25, text("a"))]).exhausted()
    rig.stream([(0.25, text("a"))]).failed(failure("429", "slow down"))
    rig.complete([(0.25, text("x"))] * 99)
    rig.complete()
    rig.open(replace(REQUEST, is_stream=False)).answered(text("Hi", finish_reason="stop", usage={"input_tokens": 1}))
    return rig


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(semconv="latest", events="log"),
        Config(semconv="both", events="both", cancel_status="error"),
        Config(events="off", chunk_metric=False),
        Config(chunk_events=5),
    ],
    ids=["default", "latest, log", "both", "off", "five"],
)
def test_what_is_emitted_conforms(config: Config) -> None:
    """Under every configuration there is nothing to find."""
    assert _rich(config).findings() == []


class _Altered:
    """A span with some of its parts replaced."""

    def __init__(self, span: Any, **changes: Any) -> None:
        self._span = span
        self._changes = changes

    def __getattr__(self, name: str) -> Any:
        return self._changes[name] if name in self._changes else getattr(self._span, name)


def _with(span: Any, **attributes: Any) -> _Altered:
    """Return the span with attributes set, or taken away by None; `__` stands for a dot."""
    changed = {name.replace("__", "."): value for name, value in attributes.items()}
    kept = {**span.attributes, **changed}
    return _Altered(span, attributes={name: value for name, value in kept.items() if value is not None})


ALTERATIONS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "name": (lambda s: _Altered(s, name="chat"), "its name is not operation and model"),
    "kind": (lambda s: _Altered(s, kind=SpanKind.INTERNAL), "its kind is INTERNAL"),
    "open": (lambda s: _Altered(s, end_time=None), "it does not end after its start"),
    "dropped": (lambda s: _Altered(s, dropped_events=1), "it lost attributes or events to a limit"),
    "ok": (lambda s: _Altered(s, status=Status(StatusCode.OK)), "status OK for the outcome completed"),
    "unknown attribute": (lambda s: _with(s, streamspan__x=1), "missing_attribute: streamspan.x is in no registry"),
    "removed attribute": (
        lambda s: _with(s, gen_ai__usage__cache_creation__input_tokens=1),
        "missing_attribute: gen_ai.usage.cache_creation.input_tokens is in no registry",
    ),
    "required": (
        lambda s: _with(s, gen_ai__provider__name=None),
        "required_attribute_not_present: gen_ai.provider.name",
    ),
    "bool for int": (
        lambda s: _with(s, gen_ai__usage__input_tokens=True),
        "type_mismatch: gen_ai.usage.input_tokens=True is no int",
    ),
    "text for list": (
        lambda s: _with(s, gen_ai__response__finish_reasons="stop"),
        "type_mismatch: gen_ai.response.finish_reasons='stop' is no string[]",
    ),
    "port": (lambda s: _with(s, server__port=None), "server.port is missing beside server.address"),
    "one choice": (
        lambda s: _with(s, gen_ai__request__choice__count=1),
        "gen_ai.request.choice.count is only for more than one choice",
    ),
    "outcome": (lambda s: _with(s, streamspan__outcome="fine"), "undefined_enum_variant: streamspan.outcome=fine"),
    "reason": (
        lambda s: _with(s, streamspan__cancel__reason="closed"),
        "streamspan.cancel.reason is not there exactly when it was cancelled",
    ),
    "strange reason": (
        lambda s: _with(s, streamspan__cancel__reason="tired"),
        "undefined_enum_variant: streamspan.cancel.reason=tired",
    ),
    "exception without close": (
        lambda s: _with(s, streamspan__cancel__exception="ValueError"),
        "streamspan.cancel.exception without a close",
    ),
    "error type": (
        lambda s: _with(s, error__type="429"),
        "error.type is not there exactly when the status is ERROR",
    ),
    "content": (
        lambda s: _with(s, gen_ai__input__messages="[]"),
        "gen_ai.input.messages is there although content is not captured on spans",
    ),
    "not streamed": (
        lambda s: _with(s, gen_ai__request__stream=False),
        "streamspan.chunk.count on a call without a stream",
    ),
    "no first chunk": (
        lambda s: _with(s, gen_ai__response__time_to_first_chunk=None),
        "time_to_first_chunk is not there exactly when there is a chunk",
    ),
    "no waits": (
        lambda s: _with(s, streamspan__wait__max=None),
        "waits are not there exactly when a second chunk came or was waited for too long",
    ),
    "backwards": (lambda s: _with(s, streamspan__time_to_first_token=0.1), "its clocks run backwards: "),
    "zero": (
        lambda s: _with(s, streamspan__stall__count=0),
        "streamspan.stall.count is only for more than none",
    ),
    "no stream measures": (
        lambda s: _with(s, streamspan__provider_time=None),
        "required_attribute_not_present: streamspan.provider_time",
    ),
    "chunk lost": (lambda s: _Altered(s, events=s.events[1:]), "chunk 0 is in no chunk event, or in two"),
    "characters lost": (
        lambda s: _with(s, streamspan__output__characters=6),
        "streamspan.output.characters of the chunk events adds up to 5, not 6",
    ),
    "first token twice": (
        lambda s: _Altered(s, events=[s.events[0], s.events[1], *s.events[1:]]),
        "2 streamspan.first_token events instead of 1",
    ),
    "order": (lambda s: _Altered(s, events=s.events[::-1]), "its events are not in the order of time"),
    "outside": (lambda s: _Altered(s, end_time=START_NS + 1), "an event lies outside of the span"),
    "unknown event": (lambda s: _Altered(s, events=[_Altered(s.events[0], name="x")]), "missing_event: x"),
    "kind of output": (
        lambda s: _Altered(s, events=[_with(s.events[1], streamspan__output__kind="text,smell")]),
        "event streamspan.first_token: undefined_enum_variant: streamspan.output.kind",
    ),
    "event attribute": (
        lambda s: _Altered(s, events=[_with(s.events[0], streamspan__wait__max="1")]),
        "event streamspan.chunk: type_mismatch: streamspan.wait.max='1' is no double",
    ),
}


@pytest.mark.parametrize("case", ALTERATIONS)
def test_the_checker_finds_what_is_wrong_with_a_span(case: str) -> None:
    """Each rule speaks up when a good span is altered against it."""
    alter, finding = ALTERATIONS[case]
    rig = Rig()
    rig.complete()
    found = conformance.findings(spans=[alter(rig.span)])
    assert any(finding in each for each in found), found


@pytest.mark.parametrize(
    ("alter", "finding"),
    [
        (
            lambda s: _Altered(s, status=Status(StatusCode.ERROR, "truncated")),
            "the status description only repeats error.type",
        ),
        (lambda s: _with(s, error__type="other"), "error.type of a truncated stream"),
        (
            lambda s: _Altered(s, events=[*s.events, _Altered(s.events[0], name="exception", attributes={})]),
            "an exception event too many",
        ),
    ],
)
def test_the_checker_knows_a_truncated_stream(alter: Callable[[Any], Any], finding: str) -> None:
    """Rules that only speak of failed streams."""
    rig = Rig()
    rig.stream([(0.25, text("a"))]).exhausted()
    found = conformance.findings(spans=[alter(rig.span)])
    assert any(finding in each for each in found), found


def _metrics_of(rig: Rig) -> MetricsData:
    data = rig.metrics_data()
    assert data is not None
    return copy.deepcopy(data)


def _metric(data: MetricsData, name: str) -> Any:
    return next(m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics if m.name == name)


@pytest.mark.parametrize(
    ("name", "changes", "finding"),
    [
        ("streamspan.chunks", {"unit": "1"}, "metric streamspan.chunks: unit_mismatch: 1"),
        ("streamspan.stalls", {"name": "gen_ai.server.time_to_first_token"}, "missing_metric: gen_ai.server"),
    ],
)
def test_the_checker_finds_what_is_wrong_with_a_metric(name: str, changes: dict[str, Any], finding: str) -> None:
    """Units, and instruments that are not ours to record."""
    rig = _rich()
    data = _metrics_of(rig)
    for field, value in changes.items():
        object.__setattr__(_metric(data, name), field, value)
    found = conformance.findings(metrics=data, has_every_span=False)
    assert any(finding in each for each in found), found


@pytest.mark.parametrize(
    ("name", "field", "value", "finding"),
    [
        ("streamspan.wait.max", "explicit_bounds", (1.0,), "metric streamspan.wait.max: buckets (1.0,)"),
        ("streamspan.wait.max", "attributes", {}, "required_attribute_not_present: streamspan.outcome"),
        ("streamspan.stalls", "attributes", {"session": "s"}, "metric streamspan.stalls: missing_attribute: session"),
        ("streamspan.stalls", "value", 3, "metric streamspan.stalls: adds up to 3, the spans say 1"),
        ("streamspan.active", "value", 1, "metric streamspan.active: streams are still open"),
        ("streamspan.consumer_time", "count", 9, "metric streamspan.consumer_time: recorded 9 times, the spans say"),
        (
            "gen_ai.client.operation.time_per_output_chunk",
            "count",
            1,
            "metric gen_ai.client.operation.time_per_output_chunk: recorded ",
        ),
    ],
)
def test_the_checker_finds_what_is_wrong_with_a_data_point(name: str, field: str, value: Any, finding: str) -> None:
    """Buckets, attributes, and numbers that do not agree with the spans."""
    rig = _rich()
    data = _metrics_of(rig)
    object.__setattr__(_metric(data, name).data.data_points[0], field, value)
    found = conformance.findings(spans=rig.spans, metrics=data)
    assert any(finding in each for each in found), found


def test_the_checker_misses_no_metric() -> None:
    """A metric that was not recorded is found by what the spans say."""
    rig = _rich()
    found = conformance.findings(spans=rig.spans, metrics=MetricsData(resource_metrics=[]))
    missed = {re.findall(r"metric (\S+):", each)[0] for each in found}
    assert missed == {*table.RELEASED_METRICS, *table.OWN_METRICS} - {"streamspan.active"}


def test_the_checker_finds_what_is_wrong_with_a_log_event() -> None:
    """Severity, ids, names and the agreement of the details event with its span."""
    rig = _rich(Config(events="log", capture_content="EVENT_ONLY"))
    details = next(log for log in rig.logs if log.log_record.event_name == table.DETAILS)
    first = rig.logs[0]
    record = first.log_record
    cases = {
        "belongs to no span": _Altered(first, log_record=_Altered(record, span_id=1)),
        "severity 5": _Altered(first, log_record=_Altered(record, severity_number=details.log_record.severity_number)),
        "missing_event: x": _Altered(first, log_record=_Altered(record, event_name="x")),
        "its attributes are not those of the span": _Altered(details, log_record=_with(details.log_record, a=1)),
        "gen_ai.input.messages is not structured": _Altered(
            details, log_record=_with(details.log_record, gen_ai__input__messages="[]")
        ),
    }
    for finding, log in cases.items():
        found = conformance.findings(spans=rig.spans, logs=[log], config=rig.config)
        assert any(finding in each for each in found), found
    found = conformance.findings(spans=rig.spans, logs=[cases["gen_ai.input.messages is not structured"]])
    assert any("although content is not captured in events" in each for each in found), found
