"""Sending telemetry when the application has not configured OpenTelemetry: delivery, failure, exit, fork.

What happens at exit is seen from outside, in processes of their own; nothing of OpenTelemetry is replaced.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import SpanKind

from otlp_sink import Item, Mode, OtlpSink, Protocol, closed_port
from streamspan._otlp import check_endpoint, own_providers
from streamspan._otlp.delivery import Delivery, Notices
from streamspan._otlp.problems import CLOSED, of_exception, of_grpc, of_http, of_success
from streamspan._otlp.providers import OwnProviders
from streamspan._otlp.settings import Target, read_settings

ROOT = Path(__file__).parent.parent
SDK = tuple(int(part) for part in version("opentelemetry-sdk").split(".")[:2])
NAMES = {"http": "http/protobuf", "grpc": "grpc"}

# What an application is for these tests: three signals, then the end with exit status 7.
HEAD = """
import atexit, sys
from opentelemetry import _logs, metrics, trace
from streamspan._otlp import own_providers
own = own_providers(logs_needed=True)
atexit.register(own.shutdown)
"""
WORK = """
own.adopt()
tracer = trace.get_tracer("app", "1.0")
with tracer.start_as_current_span("first", attributes={"n": 1, "names": ["a", "b"]}) as span:
    span.add_event("happened", {"i": 0}, timestamp=17)
    metrics.get_meter("app").create_histogram("taken", "s").record(0.25, {"model": "m1"})
    _logs.get_logger("app").emit(event_name="said", body={"text": "hello"}, severity_text="INFO")
tracer.start_span("second").end()
"""
TAIL = "sys.exit(7)\n"
APP = HEAD + WORK + TAIL


def environment(protocol: Protocol, endpoint: str, **more: str) -> dict[str, str]:
    """The variables of an application that sends to `endpoint`, free of those of the process that runs the tests."""
    base = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return base | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": NAMES[protocol],
        **more,
    }


def run(code: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `code` as an application of its own."""
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code],
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def warnings_in(ended: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines on standard error, which are all warnings: nothing else may be written there."""
    return [line for line in ended.stderr.splitlines() if not line.startswith(("I0000", "WARNING: All log"))]


@pytest.fixture
def configured(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Set the environment of this process as for an application."""

    def configure(protocol: Protocol, endpoint: str, **more: str) -> None:
        for name in [name for name in os.environ if name.startswith("OTEL_")]:
            monkeypatch.delenv(name)
        for name, value in environment(protocol, endpoint, **more).items():
            if name.startswith("OTEL_"):
                monkeypatch.setenv(name, value)

    return configure


@pytest.fixture
def made() -> Iterator[list[OwnProviders]]:
    """Shut down what a test has made."""
    providers: list[OwnProviders] = []
    yield providers
    for own in providers:
        own.shutdown(0.5)


def make(made: list[OwnProviders]) -> OwnProviders:
    own = own_providers(logs_needed=False)
    assert own is not None
    made.append(own)
    return own


def span_of(own: OwnProviders, name: str) -> None:
    own.tracer_provider.get_tracer("test").start_span(name).end()


# --- delivery -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_all_signals_arrive_at_exit(protocol: Protocol) -> None:
    """Spans, metrics and log records of a process that ends arrive as they were, with its resource."""
    with OtlpSink(protocol) as sink:
        variables = environment(
            protocol,
            sink.endpoint,
            OTEL_SERVICE_NAME="shop",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test",
        )
        ended = run(APP, variables)
        assert (ended.returncode, ended.stderr, ended.stdout) == (7, "", "")
        first, second = sink.spans
        assert (first["name"], first["attributes"]) == ("first", {"n": 1, "names": ["a", "b"]})
        assert first["events"] == [{"name": "happened", "time": 17, "attributes": {"i": 0}}]
        assert (second["name"], second["kind"], second["scope"]) == ("second", SpanKind.INTERNAL.name, "app")
        assert first["resource"]["service.name"] == "shop"
        assert first["resource"]["deployment.environment.name"] == "test"
        (metric,) = sink.metrics
        assert (metric["name"], metric["unit"], metric["kind"]) == ("taken", "s", "histogram")
        (point,) = metric["points"]
        assert (point["attributes"], point["count"], point["sum"]) == ({"model": "m1"}, 1, 0.25)
        assert point["exemplars"] == [{"trace_id": first["trace_id"], "span_id": first["span_id"]}]
        (log,) = sink.logs
        assert (log["event_name"], log["body"], log["span_id"]) == ("said", {"text": "hello"}, first["span_id"])


def test_the_default_service_name_is_that_of_the_sdk() -> None:
    """Without OTEL_SERVICE_NAME the resource says what the SDK says."""
    with OtlpSink() as sink:
        run(APP, environment("http", sink.endpoint))
        assert sink.spans[0]["resource"]["service.name"].startswith("unknown_service")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_compression_and_headers_are_sent(protocol: Protocol) -> None:
    """OTEL_EXPORTER_OTLP_COMPRESSION and _HEADERS are the exporters' business and reach them."""
    more = {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_HEADERS": "x-key=k1"}
    with OtlpSink(protocol) as sink:
        assert warnings_in(run(APP, environment(protocol, sink.endpoint, **more))) == []
        assert [span["name"] for span in sink.spans] == ["first", "second"]
        assert {request["headers"].get("x-key") for request in sink.requests} == {"k1"}
        if protocol == "http":
            assert {request["headers"].get("content-encoding") for request in sink.requests} == {"gzip"}


def test_no_compression_can_be_said_by_name() -> None:
    """`none`, at which the gRPC exporter raises an error, means no compression."""
    with OtlpSink("grpc") as sink:
        assert warnings_in(run(APP, environment("grpc", sink.endpoint, OTEL_EXPORTER_OTLP_COMPRESSION="none"))) == []
        assert len(sink.spans) == 2


def test_each_signal_may_have_its_own_protocol_and_endpoint() -> None:
    """The variables of one signal beat those of all."""
    with OtlpSink("http") as by_http, OtlpSink("grpc") as by_grpc:
        more = {
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": by_grpc.endpoint,
            "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": f"{by_http.endpoint}/own/v1/logs",
        }
        assert warnings_in(run(APP, environment("http", by_http.endpoint, **more))) == []
        assert [len(items) for items in by_grpc.items.values()] == [2, 0, 0]
        assert [len(items) for items in by_http.items.values()] == [0, 1, 1]
        assert {request["path"] for request in by_http.requests} == {"/v1/metrics", "/own/v1/logs"}


def test_the_sampler_of_the_environment_decides() -> None:
    """OTEL_TRACES_SAMPLER=always_off keeps spans back; metrics and logs still go."""
    with OtlpSink() as sink:
        ended = run(APP, environment("http", sink.endpoint, OTEL_TRACES_SAMPLER="always_off"))
        assert (ended.returncode, warnings_in(ended)) == (7, [])
        assert [len(items) for items in sink.items.values()] == [0, 1, 1]


def test_metrics_are_sent_at_the_interval_of_the_environment() -> None:
    """OTEL_METRIC_EXPORT_INTERVAL in milliseconds: two exports come before the process ends."""
    code = HEAD + WORK + "sys.stdin.read()\n"
    with OtlpSink() as sink:
        variables = environment("http", sink.endpoint, OTEL_METRIC_EXPORT_INTERVAL="50")
        process = subprocess.Popen([sys.executable, "-c", code], env=variables, stdin=subprocess.PIPE)
        sink.wait_until(lambda: len(sink.metrics) >= 2)
        process.communicate(timeout=30)
        assert process.returncode == 0


# --- exporters by name ---------------------------------------------------------------------------------------------


def test_console_prints_and_sends_nothing() -> None:
    """`console` prints the signals as JSON on standard output."""
    names = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
    with OtlpSink() as sink:
        ended = run(APP, environment("http", sink.endpoint, **dict.fromkeys(names, "console")))
        assert (ended.returncode, warnings_in(ended), sink.requests) == (7, [], [])
        for expected in ('"name": "first"', '"name": "taken"', '"event_name": "said"'):
            assert expected in ended.stdout


def test_console_is_printed_even_if_otlp_hangs() -> None:
    """One exporter of a list does not wait for another: what can be shown is shown before the end."""
    with OtlpSink(mode="hang") as sink:
        hasty = APP.replace("(own.shutdown)", "(own.shutdown, 0.5)")
        ended = run(hasty, environment("http", sink.endpoint, OTEL_TRACES_EXPORTER="otlp, console"))
        assert '"name": "first"' in ended.stdout


def test_none_sends_nothing_and_still_makes_trace_ids() -> None:
    """`none` for all signals: no request, no warning, spans that have ids."""
    names = ("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER")
    code = HEAD + WORK + "print(span.get_span_context().is_valid)\n" + TAIL
    with OtlpSink() as sink:
        ended = run(code, environment("http", sink.endpoint, **dict.fromkeys(names, "none")))
        assert (ended.returncode, ended.stdout, warnings_in(ended), sink.requests) == (7, "True\n", [], [])


def test_an_unknown_exporter_is_one_warning_and_the_default_stays() -> None:
    """The warning names the variable, the value and what is allowed; the traces go by OTLP."""
    with OtlpSink() as sink:
        (line,) = warnings_in(run(APP, environment("http", sink.endpoint, OTEL_TRACES_EXPORTER="jaegr")))
        assert line.startswith("OTEL_TRACES_EXPORTER='jaegr' is not understood, the default (otlp) is used; allowed: ")
        assert {"console", "none", "otlp"} <= set(line.partition("a comma list of ")[2].split(", "))
        assert len(sink.spans) == 2


def test_an_unknown_protocol_is_one_warning_for_all_signals() -> None:
    """The shared variable is told once and not for each signal."""
    with OtlpSink() as sink:
        variables = environment("http", sink.endpoint) | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}
        (line,) = warnings_in(run(APP, variables))
        assert line == (
            "OTEL_EXPORTER_OTLP_PROTOCOL='http/json' is not understood, the default (http/protobuf) is used; "
            "allowed: http/protobuf, grpc"
        )
        assert len(sink.spans) == 2


def test_queue_variables_that_contradict_each_other_do_not_stop_telemetry() -> None:
    """OTEL_BSP_MAX_QUEUE_SIZE under the batch size, which the SDK refuses, is one warning."""
    with OtlpSink() as sink:
        (line,) = warnings_in(run(APP, environment("http", sink.endpoint, OTEL_BSP_MAX_QUEUE_SIZE="100")))
        assert line.startswith("OTEL_BSP_*: max_export_batch_size must be")
        assert len(sink.spans) == 2


def test_a_switched_off_sdk_gives_no_providers(configured: Any) -> None:
    """OTEL_SDK_DISABLED=true: nothing is made."""
    configured("http", "http://127.0.0.1:9", OTEL_SDK_DISABLED="TRUE ")
    assert own_providers(logs_needed=True) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10", 10.0), ("0.5", 0.5), ("10000", 10.0), ("2500", 2.5), ("", 10.0), ("ten", 10.0), ("-1", 10.0)],
)
def test_a_timeout_is_read_as_seconds_or_as_the_milliseconds_of_the_specification(
    configured: Any, text: str, seconds: float
) -> None:
    """The size of the number says which of the two is meant; nonsense leaves the default."""
    configured("http", "http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT=text)
    assert read_settings(("traces",))["traces"].target.timeout == seconds


def test_importing_the_package_imports_neither_sdk_nor_exporters() -> None:
    """`instrument()` of an application with its own set-up pays for nothing."""
    code = (
        "import sys, streamspan._otlp; print([m for m in sys.modules if m.startswith(('opentelemetry.sdk', 'grpc'))])"
    )
    assert run(code, environment("http", "")).stdout == "[]\n"


# --- endpoints that do not take it -----------------------------------------------------------------------------------

START = (
    "Start an OpenTelemetry Collector there, point OTEL_EXPORTER_OTLP_ENDPOINT to one, or switch sending off by "
    "OTEL_TRACES_EXPORTER=none (OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER alike)."
)


def assert_ends_in_time_with(protocol: Protocol, endpoint: str, expected: str) -> None:
    """One line on standard error, exit status untouched, and an exit that is not held up."""
    began = time.monotonic()
    ended = run(APP, environment(protocol, endpoint))
    took = time.monotonic() - began
    (line,) = warnings_in(ended)
    assert line.startswith(f"streamspan: {endpoint} {expected}: 2 spans could not be delivered. "), line
    assert ended.returncode == 7
    assert took < 6  # the contract is 2 seconds for the exit; the rest is the start of the process


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_endpoint_where_nothing_listens_is_one_warning(protocol: Protocol) -> None:
    """The line names the endpoint, what happened, how much is lost and what to do."""
    with closed_port() as port:
        assert_ends_in_time_with(protocol, f"http://127.0.0.1:{port}", "refuses connections, nothing listens there")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_endpoint_that_hangs_is_one_warning(protocol: Protocol) -> None:
    """An endpoint that takes requests and never answers does not keep the process."""
    with OtlpSink(protocol, mode="hang") as sink:
        assert_ends_in_time_with(protocol, sink.endpoint, "does not answer in time")


@pytest.mark.parametrize(
    ("protocol", "mode", "expected"),
    [
        ("http", 500, "answers HTTP 500 Internal Server Error"),
        ("http", 503, "answers HTTP 503 Service Unavailable"),
        ("http", 401, "answers HTTP 401 Unauthorized"),
        ("http", 302, "answers HTTP 302 Found"),
        ("grpc", 503, "answers gRPC UNAVAILABLE (the sink was told so)"),
    ],
)
def test_an_endpoint_that_refuses_what_it_gets_is_one_warning(protocol: Protocol, mode: Mode, expected: str) -> None:
    """A status that is no success is told, also where the exporter would take it for one (302)."""
    with OtlpSink(protocol, mode=mode) as sink:
        assert_ends_in_time_with(protocol, sink.endpoint, expected)


def test_an_endpoint_without_a_scheme_is_one_warning() -> None:
    """Every signal fails on it alike."""
    assert_ends_in_time_with("http", "localhost:4318", "is not an address that can be used")


def test_the_wrong_protocol_is_told_as_such() -> None:
    """HTTP to a gRPC port and the reverse: the warning says which variable to set."""
    with OtlpSink("grpc") as sink:
        assert_ends_in_time_with("http", sink.endpoint, "does not speak HTTP/1.1, it looks like a gRPC port")
    with OtlpSink("http") as sink:
        assert_ends_in_time_with("grpc", sink.endpoint, "does not speak gRPC, it looks like an HTTP port")


def test_a_receiver_without_metrics_is_told_per_signal() -> None:
    """A 404 concerns the path of one signal: each is told with the variable that switches it off."""
    with OtlpSink(mode=404) as sink:
        lines = warnings_in(run(APP, environment("http", sink.endpoint)))
        assert len(lines) == 3
        for signal in ("traces", "metrics", "logs"):
            (line,) = (line for line in lines if f"/v1/{signal} answers HTTP 404 Not Found" in line)
            assert f"set OTEL_{signal.upper()}_EXPORTER=none" in line


def test_credentials_in_the_endpoint_are_not_written_to_the_log() -> None:
    """User and password of a URL never appear."""
    with closed_port() as port:
        (line,) = warnings_in(run(APP, environment("http", f"http://me:secret@127.0.0.1:{port}")))
        assert f"http://127.0.0.1:{port} refuses" in line
        assert "secret" not in line


def test_a_process_without_telemetry_says_nothing_about_a_dead_endpoint() -> None:
    """No span, no metric: nothing is lost, so nothing is told."""
    with closed_port() as port:
        ended = run(HEAD + "own.adopt()\n" + TAIL, environment("http", f"http://127.0.0.1:{port}"))
        assert (ended.returncode, ended.stderr) == (7, "")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_an_endpoint_that_comes_back_gets_the_data(
    protocol: Protocol, configured: Any, made: list[OwnProviders], caplog: pytest.LogCaptureFixture
) -> None:
    """One warning when it goes, one information when it is back, and later spans arrive."""
    caplog.set_level(logging.INFO)
    with closed_port() as port:
        configured(
            protocol,
            f"http://127.0.0.1:{port}",
            OTEL_BSP_SCHEDULE_DELAY="20",
            OTEL_EXPORTER_OTLP_TIMEOUT="0.3",
            OTEL_METRICS_EXPORTER="none",
        )
        own = make(made)
        for number in range(2):  # two exports that fail are one warning
            span_of(own, f"lost {number}")
            own.tracer_provider.force_flush()
    with OtlpSink(protocol, port=port) as sink:

        def arrived() -> bool:
            span_of(own, "kept")  # gRPC tries again only after a while of its own
            return len(sink.spans) > 1

        deadline = time.monotonic() + 20
        while not arrived() and time.monotonic() < deadline:
            time.sleep(0.05)
        own.shutdown()
        assert {span["name"] for span in sink.spans} == {"kept"}
    assert [(record.name, record.levelname) for record in caplog.records[:2]] == [
        ("streamspan", "WARNING"),
        ("streamspan", "INFO"),
    ]
    lost, back = (record.getMessage() for record in caplog.records[:2])
    endpoint = f"http://127.0.0.1:{port}"
    assert lost.startswith(f"streamspan: {endpoint} refuses connections, nothing listens there: traces are lost until")
    assert lost.endswith(START)
    assert back == f"streamspan: {endpoint} takes telemetry again"
    assert all("could not be delivered" in record.getMessage() for record in caplog.records[2:])


def test_the_applications_own_exporters_keep_their_log_lines() -> None:
    """Lines of an exporter that the application made stay, also where ours writes the same ones."""
    own_exporter = """
import logging
logging.basicConfig(format="%(name)s %(message)s")
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
provider = TracerProvider(shutdown_on_exit=False)
provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(timeout=0.3)))
own.tracer_provider.get_tracer("ours").start_span("ours").end()
own.tracer_provider.force_flush()
provider.get_tracer("theirs").start_span("theirs").end()
"""
    with closed_port() as port:
        more = {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.3"}
        ended = run(HEAD + own_exporter + TAIL, environment("grpc", f"http://127.0.0.1:{port}", **more))
    names = [line.partition(" ")[0] for line in warnings_in(ended)]
    assert names == ["streamspan", "opentelemetry.exporter.otlp.proto.grpc.exporter"]


@pytest.mark.skipif(SDK < (1, 40), reason="the SDK before 1.40 drops spans without a word")
def test_a_full_queue_is_one_warning(
    configured: Any, made: list[OwnProviders], caplog: pytest.LogCaptureFixture
) -> None:
    """Spans that come faster than they are taken are dropped by the SDK; that is told once, with the remedy."""
    with OtlpSink(mode="hang") as sink:
        configured(
            "http",
            sink.endpoint,
            OTEL_BSP_MAX_QUEUE_SIZE="2",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1",
            OTEL_METRICS_EXPORTER="none",
        )
        own = make(made)
        span_of(own, "in the request that hangs")
        sink.wait_until(lambda: len(sink.requests) == 1)
        for number in range(5):
            span_of(own, f"{number}")
        (record,) = caplog.records
        assert record.getMessage() == (
            f"streamspan: {sink.endpoint} takes telemetry slower than it comes, the oldest is dropped: traces are lost. "
            "Raise OTEL_BSP_MAX_QUEUE_SIZE (logs: OTEL_BLRP_MAX_QUEUE_SIZE), or sample with OTEL_TRACES_SAMPLER."
        )
        own.shutdown(0.5)
        assert (
            caplog.records[-1]
            .getMessage()
            .startswith(f"streamspan: {sink.endpoint} does not answer in time: 6 spans could not be delivered.")
        )


def test_what_nobody_takes_at_the_end_is_not_tried_again() -> None:
    """Nothing listens while the process ends: the export is aborted, so that exit does not wait for retries."""
    calls: list[str] = []

    def export(batch: object) -> object:
        calls.append(f"export {batch}")
        raise ConnectionRefusedError

    delivery = Delivery(Target("traces", "http/protobuf", "http://127.0.0.1:9/v1/traces"), Notices())
    delivery.abort = lambda: calls.append("abort")
    delivery.send(export, 1)
    assert calls == ["export 1"]
    delivery.is_closing = True
    delivery.send(export, 2)
    delivery.send(export, 3)
    assert calls == ["export 1", "export 2", "abort"]


def test_shutting_down_twice_is_shutting_down_once(
    configured: Any, made: list[OwnProviders], caplog: pytest.LogCaptureFixture
) -> None:
    """Later calls, from other threads as well, return and say nothing."""
    with OtlpSink() as sink:
        configured("http", sink.endpoint)
        own = make(made)
        span_of(own, "only")
        threads = [threading.Thread(target=own.shutdown) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [span["name"] for span in sink.spans] == ["only"]
    assert caplog.records == []


# --- the application's own providers ---------------------------------------------------------------------------------

SETS_ITS_OWN = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
theirs = TracerProvider()
theirs.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(formatter=lambda span: span.name + "\\n")))
trace.set_tracer_provider(theirs)
"""


@pytest.mark.parametrize(
    "code", [f"from opentelemetry import trace\n{SETS_ITS_OWN}{APP}", f"{HEAD}{SETS_ITS_OWN}{WORK}{TAIL}"]
)
def test_providers_of_the_application_win(code: str) -> None:
    """Set before `instrument()` or before the first session: its spans are its own, and no signal goes elsewhere."""
    with OtlpSink() as sink:
        ended = run(code, environment("http", sink.endpoint))
        assert (ended.returncode, ended.stdout, ended.stderr) == (7, "first\nsecond\n", "")
        assert [len(items) for items in sink.items.values()] == [0, 0, 0]


def test_adoption_from_many_threads_is_one_adoption() -> None:
    """Simultaneous first sessions set the global providers once, without a warning of OpenTelemetry."""
    code = """
import threading
threads = [threading.Thread(target=own.adopt) for _ in range(20)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(trace.get_tracer_provider() is own.tracer_provider, metrics.get_meter_provider() is own.meter_provider)
"""
    with OtlpSink() as sink:
        ended = run(HEAD + code + TAIL, environment("http", sink.endpoint))
        assert (ended.returncode, ended.stdout, ended.stderr) == (7, "True True\n", "")


# --- fork ------------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_parent_and_forked_child_send_their_own_spans(protocol: Protocol) -> None:
    """Each span arrives once, although the parent's connection is open and a span of its waits at the fork."""
    code = """
import os
own.tracer_provider.force_flush()
tracer.start_span("waits in the parent").end()
child = os.fork()
if child == 0:
    tracer.start_span("of the child").end()
    own.shutdown()
    os._exit(3)
tracer.start_span("of the parent").end()
own.tracer_provider.force_flush()
sys.stdout.write(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""
    with OtlpSink(protocol) as sink:
        ended = run(HEAD + WORK + code + TAIL, environment(protocol, sink.endpoint))
        assert (ended.returncode, ended.stdout, warnings_in(ended)) == (7, "3", [])
        names = sorted(span["name"] for span in sink.spans)
        assert names == ["first", "of the child", "of the parent", "second", "waits in the parent"]
        if protocol == "http":  # the child does not write into its parent's connection
            assert len({request["peer"] for request in sink.requests if request["signal"] == "traces"}) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_answers_only_for_its_own_spans() -> None:
    """The child of a parent with undelivered spans counts its own."""
    code = """
import os
if os.fork() == 0:
    tracer.start_span("of the child").end()
    own.shutdown()
    os._exit(0)
os.wait()
"""
    with closed_port() as port:
        ended = run(HEAD + WORK + code + TAIL, environment("http", f"http://127.0.0.1:{port}"))
    assert [line.partition(" could not")[0].rpartition(": ")[2] for line in warnings_in(ended)] == ["1 span", "2 spans"]


# --- the check of `streamspan doctor` --------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_check_sends_one_span(protocol: Protocol, configured: Any) -> None:
    """An endpoint that takes it is reported as well; the span is called `streamspan doctor`."""
    with OtlpSink(protocol) as sink:
        configured(protocol, sink.endpoint)
        report = check_endpoint()
        assert (report.is_ok, report.protocol, report.problem, report.remedy) == (True, NAMES[protocol], "", "")
        assert report.endpoint == (f"{sink.endpoint}/v1/traces" if protocol == "http" else sink.endpoint)
        assert [span["name"] for span in sink.spans] == ["streamspan doctor"]


@pytest.mark.parametrize(
    ("receiver", "mode", "protocol", "expected"),
    [
        ("http", "hang", "http", "does not answer in time."),
        ("grpc", "hang", "grpc", "does not answer in time."),
        ("http", 500, "http", "answers HTTP 500 Internal Server Error."),
        ("grpc", 500, "grpc", "answers gRPC UNAVAILABLE (the sink was told so)."),
        ("grpc", "ok", "http", "does not speak HTTP/1.1, it looks like a gRPC port."),
        ("http", "ok", "grpc", "does not speak gRPC, it looks like an HTTP port."),
    ],
)
def test_the_check_tells_what_is_wrong(
    receiver: Protocol, mode: Mode, protocol: Protocol, expected: str, configured: Any
) -> None:
    """Each failure is told apart, with one sentence and a remedy."""
    with OtlpSink(receiver, mode=mode) as sink:
        configured(protocol, sink.endpoint)
        report = check_endpoint(1.0)
        assert (report.is_ok, report.problem) == (False, f"{sink.endpoint} {expected}")
        assert report.remedy.endswith(".")


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_check_tells_refusal_resolution_and_tls_apart(protocol: Protocol, configured: Any) -> None:
    """What happens below HTTP and gRPC has its own sentences."""
    with closed_port() as port:
        configured(protocol, f"http://127.0.0.1:{port}")
        report = check_endpoint()
        assert report.problem == f"http://127.0.0.1:{port} refuses connections, nothing listens there."
        assert report.remedy == START
    configured(protocol, "http://collector.invalid:4318")
    report = check_endpoint()
    assert report.problem == "http://collector.invalid:4318 is on a host whose name cannot be resolved."
    with OtlpSink(protocol) as sink:
        secure = sink.endpoint.replace("http:", "https:")
        configured(protocol, secure)
        report = check_endpoint()
        assert report.problem == f"{secure} fails the TLS handshake (wrong version number)."
        assert "OTEL_EXPORTER_OTLP_CERTIFICATE" in report.remedy


def test_the_check_of_an_endpoint_that_is_no_url_says_so(configured: Any) -> None:
    """An endpoint without a scheme is told with an example of a right one."""
    configured("http", "localhost:4318")
    report = check_endpoint()
    assert report.problem == "localhost:4318 is not an address that can be used."
    assert "http://localhost:4318" in report.remedy


@pytest.mark.parametrize("more", [{"OTEL_TRACES_EXPORTER": "console"}, {"OTEL_SDK_DISABLED": "true"}])
def test_the_check_has_nothing_to_send_without_otlp(more: dict[str, str], configured: Any) -> None:
    """Nothing is sent where nothing would be, and that is no failure."""
    with OtlpSink() as sink:
        configured("http", sink.endpoint, **more)
        report = check_endpoint()
        assert (report.is_ok, report.protocol, report.endpoint, sink.requests) == (True, "none", "", [])


# --- meanings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "kind"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: Connection refused", "refused"),
        ("DNS resolution failed for h:4317: C-ares status is not ARES_SUCCESS", "unresolved"),
        ("Trying to connect an http1.x server (HTTP status 400)", "protocol"),
        ("Ssl handshake failed: SSL_ERROR_SSL: error:0A000086:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED", "tls"),
        ("Connection reset by peer", "closed"),
        ("Socket closed", "closed"),
        ("tcp handshaker: timed out", "timeout"),
        ("", "grpc"),
    ],
)
def test_grpc_says_in_words_what_happened(details: str, kind: str) -> None:
    """UNAVAILABLE is read by its wording."""
    assert of_grpc("UNAVAILABLE", details).kind == kind


def test_statuses_have_their_remedies() -> None:
    """What to do depends on the status, not only that it is none of success."""
    assert "OTEL_EXPORTER_OTLP_HEADERS" in of_grpc("UNAUTHENTICATED").remedy
    assert "OTEL_EXPORTER_OTLP_HEADERS" in of_http(403).remedy
    assert "max_request_body_size" in of_http(413).remedy
    assert of_grpc("UNIMPLEMENTED").is_of_signal
    assert of_grpc("DEADLINE_EXCEEDED").kind == "timeout"


def test_an_exception_without_a_meaning_keeps_its_name() -> None:
    """Nothing is guessed: what is not known is told by its class."""
    assert of_exception(KeyError("x")).what == "did not take the telemetry (KeyError)"
    assert of_exception(ConnectionResetError()) == CLOSED


# --- the receiver of these tests -------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_the_receiver_runs_as_a_process_of_its_own(protocol: Protocol, tmp_path: Path) -> None:
    """It prints its endpoint and writes what it gets as lines of JSON, for tests that need a process to outlive."""
    out = tmp_path / "received.jsonl"
    command = [sys.executable, str(ROOT / "tests" / "otlp_sink.py"), "--protocol", protocol, "--out", str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    run(APP, environment(protocol, process.stdout.readline().strip()))
    process.communicate(timeout=30)
    received: list[Item] = [json.loads(line) for line in out.read_text().splitlines()]
    assert sorted(item["signal"] for item in received) == ["logs", "metrics", "traces", "traces"]


@pytest.mark.parametrize(
    ("kind", "body", "is_doubtful"),
    [
        ("application/x-protobuf", b"\x0a\x00", False),
        ("text/html; charset=utf-8", b"<!doctype html>", True),
        ("text/plain", b"ok", True),
        ("text/plain", b"", False),
        ("", b"anything", False),
        ("application/json", b"{}", False),
        ("application/json", b'{"partialSuccess": {"rejectedSpans": 1, "errorMessage": "a"}}', False),
        ("application/json", b'{"status":"Server available"}', True),
    ],
)
def test_a_page_that_answers_with_success_is_no_receiver(kind: str, body: bytes, is_doubtful: bool) -> None:
    """A receiver answers with its message, as protobuf or JSON, or with nothing."""
    assert (of_success(kind, body) is not None) is is_doubtful
