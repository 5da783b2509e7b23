"""Library, collector, Jaeger: what a person finds in Jaeger is what the library recorded, all of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from backends.collectors import Collector
from backends.jaegers import Jaeger, JaegerSpan
from backends.programs import until
from backends.shop import OUTCOMES, SESSIONS, Shop
from otlp_sink import Protocol
from streamspan.demo import DemoProvider

_OF_JAEGER = {
    "span.kind",
    "otel.scope.name",
    "otel.scope.version",
    "otel.status_code",
    "otel.status_description",
    "error",
}


@dataclass
class Played:
    """What the application has recorded, and the Jaeger that has it."""

    recorded: list[ReadableSpan]
    jaeger: Jaeger
    shown: dict[str, JaegerSpan]

    def session(self, name: str) -> tuple[ReadableSpan, JaegerSpan]:
        """Return the span of a session, as it was recorded and as it is shown."""
        (span,) = (span for span in self.recorded if span.name == f"chat gpt-{name}")
        return span, self.shown[_span_id(span)]


@pytest.fixture(scope="module", params=["http", "grpc"])
def played(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """One session for each ending, sent by either protocol."""
    protocol: Protocol = request.param
    home = tmp_path_factory.mktemp(protocol)
    with Jaeger(home / "jaeger") as jaeger, DemoProvider() as provider:
        variables = {"JAEGER_ENDPOINT": jaeger.address, "METRICS_EXPORTERS": "[debug]"}
        with Collector("local", home / "collector", **variables) as collector:
            with Shop(collector, protocol) as shop:
                shop.open(provider)
                shown = until(lambda: jaeger.spans("shop"), lambda found: len(found) >= len(shop.spans))
            yield Played(shop.spans, jaeger, {span.span_id: span for span in shown})


def test_every_span_arrives_once(played: Played) -> None:
    """No span is missing, none is double."""
    assert len(played.recorded) == 2 * len(SESSIONS)
    assert sorted(played.shown) == sorted(map(_span_id, played.recorded))


@pytest.mark.parametrize("name", SESSIONS)
def test_a_session_is_shown_as_it_was_recorded(played: Played, name: str) -> None:
    """Every attribute, every event with its time and attributes, the status, and the span above it."""
    span, shown = played.session(name)
    assert span.attributes is not None
    assert span.attributes["streamspan.outcome"] == OUTCOMES[name]
    assert _without(shown.tags, _OF_JAEGER) == {key: _shown(value) for key, value in span.attributes.items()}
    assert [(event.name, event.timestamp // 1000, _values(event.attributes)) for event in span.events] == [
        (event["event"], event["timestamp"], _without(event, {"event", "timestamp"})) for event in shown.events
    ]
    assert shown.tags.get("error", False) is (span.status.status_code is StatusCode.ERROR)
    assert shown.tags.get("otel.status_description") == span.status.description
    assert (shown.tags["span.kind"], shown.tags["otel.scope.name"]) == ("client", "streamspan")
    assert span.parent is not None
    above = played.shown[shown.parent_id]
    assert (above.span_id, above.trace_id) == (f"{span.parent.span_id:016x}", shown.trace_id)
    assert (above.name, above.parent_id) == (f"answer {name}", "")
    assert span.start_time is not None
    assert span.end_time is not None
    assert shown.start == span.start_time // 1000
    assert shown.duration == pytest.approx((span.end_time - span.start_time) / 1000, abs=1)


def test_the_events_tell_the_story(played: Played) -> None:
    """First token, chunks, stall, retry, cancel and exception are on the timeline."""
    assert "streamspan.first_token" in played.session("completed")[1].event_names
    assert "streamspan.stall" in played.session("stalled")[1].event_names
    assert "streamspan.retry" in played.session("retried")[1].event_names
    assert played.session("cancelled")[1].event_names[-1] == "streamspan.cancelled"
    assert played.session("timeout")[1].event_names[-1] == "exception"
    chunks = [event for event in played.session("completed")[1].events if event["event"] == "streamspan.chunk"]
    total = played.session("completed")[1].tags["streamspan.chunk.count"]
    assert sum(chunk["streamspan.chunk.count"] for chunk in chunks) == total > 60


@pytest.mark.parametrize(
    ("tags", "names"),
    [
        ({"streamspan.outcome": "cancelled"}, {"cancelled", "dropped"}),
        ({"streamspan.outcome": "cancelled", "streamspan.cancel.reason": "dropped"}, {"dropped"}),
        ({"streamspan.outcome": "truncated"}, {"truncated"}),
        ({"streamspan.outcome": "timeout"}, {"timeout"}),
        ({"streamspan.outcome": "error"}, {"error", "error-in-stream"}),
        ({"error.type": "truncated"}, {"truncated"}),
        ({"streamspan.stall.count": "1"}, {"stalled"}),
        ({"http.request.resend_count": "2"}, {"retried"}),
        ({"gen_ai.request.model": "gpt-tools"}, {"tools"}),
    ],
)
def test_a_search_by_tags_finds_the_traces(played: Played, tags: dict[str, str], names: set[str]) -> None:
    """Exactly the traces with such a session."""
    found = {span.name for span in played.jaeger.spans("shop", **tags)}
    assert found == {f"chat gpt-{name}" for name in names} | {f"answer {name}" for name in names}


def test_service_and_operations_can_be_chosen(played: Played) -> None:
    """The service is the application, an operation is a kind of call and a model; the resource is shown."""
    assert played.jaeger.services() == {"shop"}
    expected = {f"chat gpt-{name}" for name in SESSIONS} | {f"answer {name}" for name in SESSIONS}
    assert played.jaeger.operations("shop") == expected
    resources = {json.dumps(span.resource, sort_keys=True) for span in played.shown.values()}
    (resource,) = map(json.loads, resources)
    assert resource["deployment.environment.name"] == "test"
    assert resource["telemetry.sdk.language"] == "python"


def _span_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.span_id:016x}"


def _without(values: dict[str, Any], names: set[str]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key not in names}


def _values(attributes: Any) -> dict[str, Any]:
    return {key: _shown(value) for key, value in (attributes or {}).items()}


def _shown(value: Any) -> Any:
    """Return a value as Jaeger has it: lists are JSON."""
    return json.dumps(list(value), separators=(",", ":")) if isinstance(value, (list, tuple)) else value
