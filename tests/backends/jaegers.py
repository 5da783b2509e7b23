"""Jaeger with the bundled configuration, and what its query API says, as plain spans."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.programs import FILES, Program, binary, free_ports

_VARIABLES = (
    "JAEGER_OTLP_PORT",
    "JAEGER_QUERY_PORT",
    "JAEGER_QUERY_GRPC_PORT",
    "JAEGER_HEALTH_PORT",
)
_HOUR = 3_600_000_000  # in microseconds


@dataclass(frozen=True)
class JaegerSpan:
    """A span as Jaeger shows it.

    Args:
        trace_id, span_id, parent_id: in hexadecimal; no parent is "".
        name: what Jaeger calls the operation.
        service: and
        resource: what Jaeger calls the process.
        tags: attributes, and what Jaeger makes tags of: kind, status, scope.
        events: what Jaeger calls logs; each with its "event".
        start, duration: in microseconds.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    service: str
    resource: dict[str, Any]
    tags: dict[str, Any]
    events: list[dict[str, Any]]
    start: int
    duration: int

    @property
    def event_names(self) -> list[str]:
        """The names of its events, in their order."""
        return [event["event"] for event in self.events]


class Jaeger(Program):
    """A Jaeger that keeps traces in memory until it ends."""

    def __init__(self, directory: Path, **variables: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        ports = dict(zip(_VARIABLES, map(str, free_ports(len(_VARIABLES))), strict=True))
        self.address = f"127.0.0.1:{ports['JAEGER_OTLP_PORT']}"
        self.url = f"http://127.0.0.1:{ports['JAEGER_QUERY_PORT']}"
        super().__init__(
            [binary("jaeger"), "--config", str(FILES / "jaeger" / "jaeger.yaml")],
            f"http://127.0.0.1:{ports['JAEGER_HEALTH_PORT']}/status",
            directory / "jaeger.log",
            ports | variables,
        )

    def __enter__(self) -> Jaeger:
        super().__enter__()
        return self

    def services(self) -> set[str]:
        """Return the names of the services that it knows."""
        return set(self._get("services") or ())

    def operations(self, service: str) -> set[str]:
        """Return the names of the spans of a service."""
        return set(self._get(f"services/{service}/operations"))

    def spans(self, service: str, **tags: str) -> list[JaegerSpan]:
        """Return all spans of the traces that a search for these tags finds."""
        return found_at(self.url, service, tags)

    def trace(self, trace_id: str) -> list[JaegerSpan]:
        """Return the spans of one trace."""
        return [span for trace in self._get(f"traces/{trace_id}") for span in _spans(trace)]

    def _get(self, path: str) -> Any:
        return _get(self.url, path)


def found_at(url: str, service: str, tags: Mapping[str, str]) -> list[JaegerSpan]:
    """Return all spans of the traces of the last hour that a Jaeger finds by a service and tags."""
    now = int(time.time() * 1e6)
    query = {"service": service, "limit": "20000", "start": str(now - _HOUR), "end": str(now + _HOUR)}
    if tags:
        query["tags"] = json.dumps(tags)
    return [span for trace in _get(url, f"traces?{urllib.parse.urlencode(query)}") for span in _spans(trace)]


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/api/{path}", timeout=60) as answer:
        return json.load(answer)["data"]


def _spans(trace: dict[str, Any]) -> list[JaegerSpan]:
    processes = trace["processes"]
    return [
        JaegerSpan(
            trace_id=span["traceID"],
            span_id=span["spanID"],
            parent_id=next((one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"), ""),
            name=span["operationName"],
            service=processes[span["processID"]]["serviceName"],
            resource=_values(processes[span["processID"]]["tags"]),
            tags=_values(span["tags"]),
            events=[_values(event["fields"]) | {"timestamp": event["timestamp"]} for event in span["logs"]],
            start=span["startTime"],
            duration=span["duration"],
        )
        for span in trace["spans"]
    ]


def _values(pairs: list[dict[str, Any]]) -> dict[str, Any]:
    return {pair["key"]: pair["value"] for pair in pairs}
