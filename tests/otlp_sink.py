"""An OTLP receiver for tests: HTTP (protobuf) or gRPC on a loopback port, decoding to plain dictionaries.

    with OtlpSink("http") as sink:
        ...  # send to sink.endpoint
        assert [span["name"] for span in sink.spans] == [...]

`python tests/otlp_sink.py --protocol grpc --out FILE` runs one until its standard input ends; it prints its endpoint
and writes each item that it receives as a line of JSON.
"""

from __future__ import annotations

import argparse
import gzip
import json
import socket
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeAlias

import grpc  # type: ignore[import-untyped] # grpcio ships no types
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2_grpc as logs_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.metrics.v1 import metrics_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

Item: TypeAlias = dict[str, Any]
Protocol: TypeAlias = Literal["http", "grpc"]
Mode: TypeAlias = Literal["ok", "hang"] | int
"""What a request gets: success, no answer at all, or an HTTP status (for gRPC: `unavailable`, whatever the number)."""

_STEP_SECONDS = 20.0  # for a wait that only ends so when the test has failed


class OtlpSink:
    """Takes OTLP on a loopback port.

    Args:
        protocol: what it speaks.
        mode: what requests get; may be changed while it runs.
        port: where it listens; any free port by default.
        on_item: called with the signal's name and each item.
    """

    def __init__(
        self,
        protocol: Protocol = "http",
        mode: Mode = "ok",
        port: int = 0,
        on_item: Callable[[str, Item], object] = lambda *_: None,
    ) -> None:
        self.protocol = protocol
        self.mode = mode
        self.items: dict[str, list[Item]] = {"traces": [], "metrics": [], "logs": []}
        self.requests: list[Item] = []
        self._on_item = on_item
        self._changed = threading.Condition()
        self._is_closing = threading.Event()
        self._server: _HttpServer | _GrpcServer = (
            _HttpServer(self, port) if protocol == "http" else _GrpcServer(self, port)
        )
        self.port = self._server.port
        self.endpoint = f"http://127.0.0.1:{self.port}"

    @property
    def spans(self) -> list[Item]:
        return self.items["traces"]

    @property
    def metrics(self) -> list[Item]:
        return self.items["metrics"]

    @property
    def logs(self) -> list[Item]:
        return self.items["logs"]

    def __enter__(self) -> OtlpSink:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._is_closing.set()
        self._server.close()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something that was received makes `is_so` true."""
        with self._changed:
            assert self._changed.wait_for(is_so, _STEP_SECONDS), f"received: {self.items}"

    def receive(self, signal: str, request: Any, headers: dict[str, str], path: str, peer: str) -> Mode:
        """Take one decoded request and return what it gets for an answer."""
        mode = self.mode
        items = list(_DECODERS[signal](request)) if mode == "ok" else []
        with self._changed:
            self.requests.append({"signal": signal, "headers": headers, "path": path, "peer": peer})
            self.items[signal] += items
            self._changed.notify_all()
        for item in items:
            self._on_item(signal, item)
        if mode == "hang":
            self._is_closing.wait()
        return mode


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port at which connections are refused as long as the block lasts."""
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


class _HttpServer:
    _MESSAGES: dict[str, Any] = {  # noqa: RUF012 - never changed
        "traces": trace_service_pb2.ExportTraceServiceRequest,
        "metrics": metrics_service_pb2.ExportMetricsServiceRequest,
        "logs": logs_service_pb2.ExportLogsServiceRequest,
    }
    _CODINGS: dict[str, Callable[[bytes], bytes]] = {  # noqa: RUF012
        "gzip": gzip.decompress,
        "deflate": zlib.decompress,
        "": bytes,
    }

    def __init__(self, sink: OtlpSink, port: int) -> None:
        messages, codings = self._MESSAGES, self._CODINGS
        self._connections = connections = set[socket.socket]()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def setup(self) -> None:
                super().setup()
                connections.add(self.connection)

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                body = codings[headers.get("content-encoding", "")](self.rfile.read(int(headers["content-length"])))
                signal = self.path.rpartition("/")[2]
                peer = f"{self.client_address[0]}:{self.client_address[1]}"
                mode = sink.receive(signal, messages[signal].FromString(body), headers, self.path, peer)
                self._answer(mode if isinstance(mode, int) else 200)

            def _answer(self, status: int) -> None:
                try:
                    self.send_response(status)
                    if 300 <= status < 400:
                        self.send_header("Location", "/elsewhere")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                except OSError:
                    self.close_connection = True  # the client did not wait for an answer that hung

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        for connection in self._connections:  # a kept connection would be served on
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _GrpcServer:
    _SERVICES: tuple[tuple[str, Any, Callable[[], Any]], ...] = (
        ("traces", trace_grpc.add_TraceServiceServicer_to_server, trace_service_pb2.ExportTraceServiceResponse),
        (
            "metrics",
            metrics_grpc.add_MetricsServiceServicer_to_server,
            metrics_service_pb2.ExportMetricsServiceResponse,
        ),
        ("logs", logs_grpc.add_LogsServiceServicer_to_server, logs_service_pb2.ExportLogsServiceResponse),
    )

    def __init__(self, sink: OtlpSink, port: int) -> None:
        self._pool = ThreadPoolExecutor(8)
        # Like a backend as it comes: it takes 4 MiB at once.
        self._server = grpc.server(self._pool, options=[("grpc.so_reuseport", 0)])
        for signal, add, answer in self._SERVICES:
            add(_Servicer(sink, signal, answer), self._server)
        self.port: int = self._server.add_insecure_port(f"127.0.0.1:{port}")
        self._server.start()

    def close(self) -> None:
        self._server.stop(0).wait()
        self._pool.shutdown(wait=False)


class _Servicer:
    def __init__(self, sink: OtlpSink, signal: str, answer: Callable[[], Any]) -> None:
        self._sink = sink
        self._signal = signal
        self._answer = answer

    def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
        headers = {str(key): str(value) for key, value in context.invocation_metadata()}
        if self._sink.receive(self._signal, request, headers, "", context.peer()) != "ok":
            context.abort(grpc.StatusCode.UNAVAILABLE, "the sink was told so")
        return self._answer()


def _spans(request: trace_service_pb2.ExportTraceServiceRequest) -> Iterator[Item]:
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for span in scope.spans:
                yield {
                    "name": span.name,
                    "kind": trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    "trace_id": span.trace_id.hex(),
                    "span_id": span.span_id.hex(),
                    "parent_id": span.parent_span_id.hex(),
                    "start": span.start_time_unix_nano,
                    "end": span.end_time_unix_nano,
                    "attributes": _attributes(span.attributes),
                    "events": [
                        {"name": event.name, "time": event.time_unix_nano, "attributes": _attributes(event.attributes)}
                        for event in span.events
                    ],
                    "dropped_events": span.dropped_events_count,
                    "status": trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
                    "status_message": span.status.message,
                } | _origin(group, scope)


def _metrics(request: metrics_service_pb2.ExportMetricsServiceRequest) -> Iterator[Item]:
    for group in request.resource_metrics:
        for scope in group.scope_metrics:
            for metric in scope.metrics:
                kind = str(metric.WhichOneof("data"))
                data = getattr(metric, kind)
                yield {
                    "name": metric.name,
                    "unit": metric.unit,
                    "description": metric.description,
                    "kind": kind,
                    "temporality": _temporality(data),
                    "points": [_point(point) for point in data.data_points],
                } | _origin(group, scope)


def _temporality(data: Any) -> str:
    number: Any = getattr(data, "aggregation_temporality", 0)
    return str(metrics_pb2.AggregationTemporality.Name(number)).removeprefix("AGGREGATION_TEMPORALITY_")


def _point(point: Any) -> Item:
    known: Item = {"attributes": _attributes(point.attributes), "time": point.time_unix_nano}
    if isinstance(point, metrics_pb2.NumberDataPoint):
        return known | {"value": getattr(point, str(point.WhichOneof("value")))}
    known |= {"count": point.count, "sum": point.sum, "min": point.min, "max": point.max}
    known["exemplars"] = [{"trace_id": one.trace_id.hex(), "span_id": one.span_id.hex()} for one in point.exemplars]
    if isinstance(point, metrics_pb2.HistogramDataPoint):
        known |= {"bounds": list(point.explicit_bounds), "counts": list(point.bucket_counts)}
    return known


def _logs(request: logs_service_pb2.ExportLogsServiceRequest) -> Iterator[Item]:
    for group in request.resource_logs:
        for scope in group.scope_logs:
            for record in scope.log_records:
                yield {
                    "event_name": record.event_name,
                    "severity": record.severity_text,
                    "body": _value(record.body),
                    "time": record.time_unix_nano,
                    "trace_id": record.trace_id.hex(),
                    "span_id": record.span_id.hex(),
                    "attributes": _attributes(record.attributes),
                } | _origin(group, scope)


_DECODERS: dict[str, Callable[[Any], Iterator[Item]]] = {"traces": _spans, "metrics": _metrics, "logs": _logs}


def _origin(group: Any, scope: Any) -> Item:
    return {"resource": _attributes(group.resource.attributes), "scope": scope.scope.name}


def _attributes(pairs: Any) -> Item:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_value(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return _attributes(value.kvlist_value.values)
    return None if kind is None else getattr(value, kind)


def main() -> None:
    parser = argparse.ArgumentParser(description="Receive OTLP and write it as lines of JSON.")
    parser.add_argument("--protocol", choices=("http", "grpc"), default="http")
    parser.add_argument("--mode", default="ok", help="ok, hang, or an HTTP status")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    mode = int(options.mode) if options.mode.isdigit() else options.mode
    with options.out.open("w", encoding="utf-8") as out:

        def write(signal: str, item: Item) -> None:
            line = json.dumps({"signal": signal} | item, default=bytes.hex)
            out.write(f"{line}\n")
            out.flush()

        with OtlpSink(options.protocol, mode, options.port, write) as sink:
            sys.stdout.write(f"{sink.endpoint}\n")
            sys.stdout.flush()
            sys.stdin.read()


if __name__ == "__main__":
    main()
