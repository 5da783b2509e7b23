"""Writes the pictures of docs/jaeger.md anew, from what a real Jaeger answers: `python tests/backends/jaeger_page.py`.

Knows the page's blocks and how a trace is drawn in text; the programs and the query API are those of the tests. With
the URL of a Jaeger, a service and tags it draws what that one has instead, and leaves the page alone:
`python tests/backends/jaeger_page.py http://127.0.0.1:16686 shop streamspan.outcome=cancelled`.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parents[2])]  # as pytest has it

import openai  # noqa: E402

from backends.collectors import Collector  # noqa: E402
from backends.jaegers import Jaeger, JaegerSpan, found_at  # noqa: E402
from backends.programs import until  # noqa: E402
from backends.shop import QUESTION, Shop  # noqa: E402
from streamspan.demo import DemoProvider  # noqa: E402

PAGE = HERE.parents[2] / "docs" / "jaeger.md"
_WIDTH = 30
_LEFT_AT = 7
_OF_JAEGER = {"span.kind", "otel.scope.name", "otel.scope.version"}
_SCENARIOS = {
    "completed": "ok;chunks=12;delay=0.03",
    "cancelled": "ok;chunks=12;delay=0.03",
    "truncated": "short;delay=0.03",
    "error": "status_500",
    "timeout": "hang",
}


def pictures(home: Path) -> dict[str, str]:
    """Play one stream for each ending to a Jaeger of its own, and return the pictures by their names."""
    with Jaeger(home / "jaeger") as jaeger, DemoProvider() as provider:
        variables = {"JAEGER_ENDPOINT": jaeger.address, "METRICS_EXPORTERS": "[debug]"}
        with Collector("local", home / "collector", **variables) as collector, Shop(collector) as shop:
            for name, scenario in _SCENARIOS.items():
                _ask(shop, provider.url(scenario), is_left_early=name == "cancelled")
            shop.flush()
            spans = until(lambda: jaeger.spans("shop"), lambda found: len(found) == 2 * len(_SCENARIOS))
            cancelled = jaeger.spans("shop", **{"streamspan.outcome": "cancelled"})
            return {"search": search(spans), "trace": "\n".join(drawn(cancelled))}


def _ask(shop: Shop, url: str, *, is_left_early: bool) -> None:
    """Ask one question, below a span of the application."""
    client = openai.OpenAI(base_url=url, api_key="demo", max_retries=0, timeout=0.5)
    messages: Any = QUESTION
    with (
        shop.tracers.get_tracer("shop").start_as_current_span("POST /answer"),
        suppress(openai.OpenAIError),
        client.chat.completions.create(model="gpt-4o-mini", messages=messages, stream=True) as stream,
    ):
        for number, _ in enumerate(stream):
            if is_left_early and number == _LEFT_AT:
                break


def search(spans: Iterable[JaegerSpan]) -> str:
    """Return one line for each outcome: the tag to search by, and what is found."""
    lines = [f"{'tags':36}{'operation':20}{'duration':>9}  events"]
    streams = [span for span in spans if "streamspan.outcome" in span.tags]
    for span in sorted(streams, key=lambda span: list(_SCENARIOS).index(span.tags["streamspan.outcome"])):
        last = span.event_names[-1] if span.event_names else ""
        tag = f"streamspan.outcome={span.tags['streamspan.outcome']}"
        lines.append(f"{tag:36}{span.name:20}{_ms(span.duration):>9}  {len(span.events)}, the last is {last}")
    return "\n".join(lines)


def drawn(spans: Iterable[JaegerSpan]) -> Iterator[str]:
    """Yield the lines of traces: each span on the timeline of its trace, streams with their tags and events."""
    traces: dict[str, list[JaegerSpan]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, []).append(span)
    for trace in traces.values():
        start = min(span.start for span in trace)
        whole = max(span.start + span.duration for span in trace) - start
        for span in sorted(trace, key=lambda span: (bool(span.parent_id), span.start)):
            title = f"{'  ' if span.parent_id else ''}{span.service}: {span.name}"
            yield f"{title:34}{_bar(span.start - start, span.duration, whole)} {_ms(span.duration)}"
            if "streamspan.outcome" in span.tags:
                yield from _details(span)


def _details(span: JaegerSpan) -> Iterator[str]:
    yield "    tags"
    for name, value in sorted(span.tags.items()):
        if name not in _OF_JAEGER:
            yield f"      {name:38}{value:.3f}" if isinstance(value, float) else f"      {name:38}{value}"
    yield "    events"
    for event in span.events:
        fields = [
            f"{name.removeprefix('streamspan.')}={value:.3f}"
            if isinstance(value, float)
            else f"{name.removeprefix('streamspan.')}={value}"
            for name, value in event.items()
            if name not in {"event", "timestamp"}
        ]
        yield f"      +{_ms(event['timestamp'] - span.start):>7}  {event['event']:24}{'  '.join(fields)}"


def _bar(offset: int, duration: int, whole: int) -> str:
    before = round(offset / whole * _WIDTH)
    length = max(round(duration / whole * _WIDTH), 1)
    return f"{' ' * before}{'━' * length}".ljust(_WIDTH)


def _ms(microseconds: int) -> str:
    return f"{microseconds / 1000:.0f} ms"


def write(page: Path, blocks: dict[str, str]) -> None:
    """Put each picture between its marks."""
    text = page.read_text(encoding="utf-8")
    for name, block in blocks.items():
        head, mark, rest = text.partition(f"<!-- picture: {name} -->\n```\n")
        text = head + mark + block + "\n```\n" + rest.partition("\n```\n")[2]
    page.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Write the page, or print what a Jaeger that runs has."""
    if not arguments:
        with tempfile.TemporaryDirectory() as home:
            write(PAGE, pictures(Path(home)))
        return
    url, service, *tags = arguments
    print("\n".join(drawn(found_at(url, service, dict(tag.split("=", 1) for tag in tags)))))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1:])
