"""An application with another instrumentation beside streamspan; prints what it saw and what was told, as JSON.

A process of its own: not all of the others undo everything that they patch.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from contextlib import ExitStack
from importlib import import_module
from typing import Any

import openai
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from streamspan.demo import DemoProvider
from support.surfaces.openai import MESSAGES, MODEL
from support.telemetry import Told, scope_of


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def _stream(server: DemoProvider, scenario: str) -> list[Any]:
    with openai.OpenAI(base_url=server.url(scenario), api_key="key") as client:
        chunks = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
        return [chunk.model_dump() for chunk in chunks]


def _span(span: ReadableSpan) -> dict[str, Any]:
    return {
        "scope": scope_of(span),
        "id": span.context.span_id,
        "parent": None if span.parent is None else span.parent.span_id,
        "status": span.status.status_code.name,
        "outcome": dict(span.attributes or {}).get("streamspan.outcome"),
    }


def main() -> None:
    """Stream three times: bare, inside a span, and outside of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("instrumentor")
    parser.add_argument("scenario")
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--suppressed", action="store_true")
    given = parser.parse_args()
    told, lines = Told(), _Lines()
    logging.getLogger("streamspan").addHandler(lines)
    other = getattr(import_module(given.module), given.instrumentor)()
    found: dict[str, Any] = {}
    with DemoProvider() as server, ExitStack() as stack:
        found["bare"] = _stream(server, given.scenario)
        steps: list[Any] = [lambda: other.instrument(tracer_provider=told.tracers), told.instrument]
        for step in steps if given.first else reversed(steps):
            step()
        if given.suppressed:
            stack.enter_context(import_module("openinference.instrumentation").suppress_tracing())
        with told.tracers.get_tracer("app").start_as_current_span("app") as app:
            found["seen"] = _stream(server, given.scenario)
            found["is_app_current"] = trace.get_current_span() is app
        _stream(server, given.scenario)
    found |= {"active": told.active, "chunks": told.count_of("streamspan.chunks"), "warned": lines.lines}
    told.finish()
    found["spans"] = [_span(span) for span in told.all_spans]
    found["outcomes"] = [summary.outcome for summary in told.summaries]
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
