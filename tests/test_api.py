"""`instrument()` and `uninstrument()`: whatever they are given, wherever they are called, the application is unharmed."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import openai
import pytest
from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracer, Span

import streamspan
from streamspan import Config, ConfigError, _api, _otlp, _registry
from streamspan._guard import FAULT_LIMIT
from streamspan._patching import Patch
from streamspan.demo import DemoProvider
from streamspan.integrations import Integration
from support.telemetry import Told

ROOT = Path(__file__).resolve().parent.parent
OTHER_ARGUMENTS = (
    "streamspan.instrument() was called before with other arguments, which stay in force; "
    "call streamspan.uninstrument() first to change them"
)


@pytest.fixture
def client(server: DemoProvider) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url("ok;chunks=3"), api_key="k", max_retries=0) as client:
        yield client


def chat(client: openai.OpenAI) -> int:
    """Read a stream, and return how many chunks there were."""
    messages: Any = [{"role": "user", "content": "hi"}]
    with client.chat.completions.create(model="m1", messages=messages, stream=True) as stream:
        return len(list(stream))


# --- twice, in turn, too often -------------------------------------------------------------------------------------------------


def test_twice_with_the_same_arguments_is_once(caplog: pytest.LogCaptureFixture) -> None:
    """Silently; a stream is recorded one time. Arguments that are equal are the same."""
    told = Told()
    for _ in range(2):
        told.instrument(Config(events="off"))
    list(streamspan.observe("ab", provider="acme"))
    assert (len(told.spans), caplog.messages) == (1, [])


@pytest.mark.parametrize(
    "other",
    [{"libraries": ["openai"]}, {"config": Config(events="log")}, {"redact": str.upper}, {"on_session_end": print}],
    ids=lambda other: next(iter(other)),
)
def test_twice_with_other_arguments_is_one_warning_and_the_first_ones_stay(
    other: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing changes until `uninstrument()`."""
    told = Told()
    told.instrument()
    first = _api.runtime()
    streamspan.instrument(**other)
    assert _api.runtime() is first
    assert caplog.messages == [OTHER_ARGUMENTS]


def test_a_second_call_with_a_wrong_argument_is_still_a_config_error() -> None:
    """It is not taken for the first one."""
    told = Told()
    told.instrument()
    with pytest.raises(ConfigError):
        streamspan.instrument(libraries="openai")
    assert _api.runtime() is not None


def test_uninstrument_can_be_called_at_any_time(caplog: pytest.LogCaptureFixture) -> None:
    """Before, twice, and again."""
    streamspan.uninstrument()
    told = Told()
    told.instrument()
    for _ in range(2):
        streamspan.uninstrument()
    assert (_api.runtime(), caplog.messages) == (None, [])


def test_instrument_after_uninstrument_is_a_new_beginning(client: openai.OpenAI) -> None:
    """With other arguments, and for clients that exist already."""
    first, second = Told(), Told()
    first.instrument()
    chat(client)
    streamspan.uninstrument()
    chat(client)
    second.instrument(Config(events="off"))
    chat(client)
    assert ([len(told.spans) for told in (first, second)], second.span.events) == ([1, 1], ())


def test_many_rounds_leave_no_trace() -> None:
    """Exit hooks, signal handler and open sessions are as after the first round."""
    told = Told()
    for _ in range(20):
        told.instrument()
        list(streamspan.observe("ab", provider="acme"))
        streamspan.uninstrument()
    assert (len(told.spans), _api.open_sessions()) == (20, [])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# --- bad arguments -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"redact": 3},
        {"redact": "all"},
        {"on_session_end": []},
        {"config": "x"},
        {"config": {"events": "off"}},
        {"tracer_provider": 3},
        {"meter_provider": object()},
        {"logger_provider": "x"},
        {"libraries": 3},
        {"libraries": "openai"},
        {"libraries": [[]]},
    ],
    ids=str,
)
def test_a_wrong_argument_is_a_config_error_that_names_it(arguments: dict[str, Any]) -> None:
    """With its value; nothing is in place, and a correct call works."""
    ((name, value),) = arguments.items()
    with pytest.raises(ConfigError) as raised:
        streamspan.instrument(**arguments)
    assert name in str(raised.value)
    assert repr(value) in str(raised.value) or name == "libraries"
    assert _api.runtime() is None
    Told().instrument()
    assert _api.runtime() is not None


def test_the_message_of_a_wrong_callable_says_what_is_allowed() -> None:
    """In the words of every other configuration error."""
    with pytest.raises(ConfigError) as raised:
        streamspan.instrument(redact=3)  # type: ignore[arg-type]
    assert str(raised.value) == "instrument(redact=3): allowed is a callable or None"


# --- where it is called --------------------------------------------------------------------------------------------------------


def test_from_another_thread_than_the_main_one(client: openai.OpenAI) -> None:
    """Signals can only be set by the main thread: they are left alone, everything else works."""
    told, raised = Told(), list[BaseException]()

    def run(what: Callable[[], None]) -> None:
        def body() -> None:
            try:
                what()
            except BaseException as exc:  # noqa: BLE001 - all that is raised is the point
                raised.append(exc)

        thread = threading.Thread(target=body)
        thread.start()
        thread.join()

    before = signal.getsignal(signal.SIGTERM)
    run(told.instrument)
    assert signal.getsignal(signal.SIGTERM) == before
    chat(client)
    run(streamspan.uninstrument)
    assert raised == []
    assert told.attributes["streamspan.outcome"] == "completed"


@pytest.mark.parametrize("is_debug", [False, True])
def test_inside_a_running_event_loop(server: DemoProvider, is_debug: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Also in asyncio's debug mode: nothing is said, and the stream is recorded."""
    told = Told()

    async def main() -> int:
        told.instrument()
        messages: Any = [{"role": "user", "content": "hi"}]
        async with openai.AsyncOpenAI(base_url=server.url("ok;chunks=3"), api_key="k", max_retries=0) as client:
            stream = await client.chat.completions.create(model="m1", messages=messages, stream=True)
            count = len([chunk async for chunk in stream])
        streamspan.uninstrument()
        return count

    caplog.set_level(logging.WARNING)
    assert asyncio.run(main(), debug=is_debug) > 3
    assert told.attributes["streamspan.outcome"] == "completed"
    assert [message for message in caplog.messages if "took" not in message] == []  # a slow callback, in debug mode


PROGRAM = """
    import asyncio, sys, warnings
    import openai, streamspan
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    streamspan.instrument(tracer_provider=provider)
    ask = dict(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)

    async def main():
        asyncio.get_running_loop().slow_callback_duration = 60  # on a busy machine -X dev would tell of one
        async with openai.AsyncOpenAI(base_url=sys.argv[1], api_key="k") as client:
            return len([chunk async for chunk in await client.chat.completions.create(**ask)])

    with openai.OpenAI(base_url=sys.argv[1], api_key="k") as client:
        first = len(list(client.chat.completions.create(**ask)))
    print(first == asyncio.run(main()) > 3)
    print(list(streamspan.observe("ab", provider="acme")))
    print([span.attributes["streamspan.outcome"] for span in exporter.get_finished_spans()])
"""


@pytest.mark.parametrize(
    "flags",
    [["-W", "error"], ["-O"], ["-OO"], ["-X", "dev", "-W", "error"], ["-b", "-W", "error"]],
    ids=" ".join,
)
def test_under_the_flags_of_the_interpreter(server: DemoProvider, flags: list[str]) -> None:
    """Warnings as errors, without assertions and docstrings, in development mode: same output, nothing on stderr."""
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    silent = dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none")
    result = subprocess.run(
        [sys.executable, *flags, "-c", textwrap.dedent(PROGRAM), server.url("ok;chunks=3")],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path, **silent},
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == ["True", "['a', 'b']", "['completed', 'completed', 'completed']"]


# --- what the application hands in, and fails ----------------------------------------------------------------------------------


class Tracer(NoOpTracer):
    """Cannot start a span."""

    def start_span(self, *_args: Any, **_kwargs: Any) -> Span:
        raise OSError("no spans today")


class Tracers(TracerProvider):
    """Has no other tracers."""

    def get_tracer(self, *_args: Any, **_kwargs: Any) -> Any:
        return Tracer()


class Exporter(SpanExporter):
    """Cannot export."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise OSError("no network today")


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "streamspan"]


def test_a_tracer_that_cannot_start_spans(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    """Streams are whole, summaries come without a trace id, and one line is logged."""
    told = Told()
    streamspan.instrument(
        tracer_provider=Tracers(shutdown_on_exit=False),
        meter_provider=told.meters,
        logger_provider=told.loggers,
        on_session_end=told.summaries.append,
    )
    counts = [chat(client) for _ in range(3)]
    assert [(seen.outcome, seen.chunk_count, seen.trace_id) for seen in told.summaries] == [
        ("completed", count, None) for count in counts
    ]
    assert told.count_of("gen_ai.client.operation.duration") == 3
    assert len(faults(caplog)) == 1


def test_an_exporter_that_raises(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    """OpenTelemetry logs it; streams and summaries are whole."""
    told = Told()
    told.tracers.add_span_processor(SimpleSpanProcessor(Exporter()))
    told.instrument()
    count = chat(client)
    assert (told.summary.outcome, told.summary.chunk_count) == ("completed", count)
    assert len(told.spans) == 1
    assert faults(caplog) == []


@pytest.mark.parametrize("exc", [ValueError("boom"), StopIteration(), RecursionError("deep")], ids=repr)
def test_a_callback_that_raises(client: openai.OpenAI, exc: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """The stream is whole, the span is there, one line is logged, and it is called for every session all the same."""
    told, calls = Told(), list[str]()

    def callback(summary: streamspan.SessionSummary) -> None:
        calls.append(summary.outcome)
        raise exc

    streamspan.instrument(
        tracer_provider=told.tracers, meter_provider=told.meters, logger_provider=told.loggers, on_session_end=callback
    )
    assert chat(client) > 3
    for _ in range(FAULT_LIMIT + 5):
        list(streamspan.observe("ab", provider="acme"))
    assert calls == ["completed"] * (FAULT_LIMIT + 6)
    assert len(told.spans) == FAULT_LIMIT + 6
    assert len(faults(caplog)) == 1
    assert "on_session_end" in faults(caplog)[0]


@pytest.mark.parametrize("result", [ValueError("boom"), None, 3], ids=repr)
def test_a_redaction_that_fails_never_lets_content_through(
    client: openai.OpenAI, result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Whether it raises or returns nonsense: the stream is whole, and what could not be checked is not recorded."""

    def redact(_text: str) -> str:
        if isinstance(result, Exception):
            raise result
        return result  # type: ignore[no-any-return]

    told = Told()
    streamspan.instrument(
        tracer_provider=told.tracers,
        meter_provider=told.meters,
        logger_provider=told.loggers,
        config=Config(capture_content="SPAN_ONLY"),
        redact=redact,
    )
    messages: Any = [{"role": "user", "content": "my secret is swordfish"}]
    stream = client.chat.completions.create(model="m1", messages=messages, stream=True)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert said
    assert told.attributes["streamspan.outcome"] == "completed"
    everything = str(dict(told.attributes)) + str([dict(event.attributes or {}) for event in told.span.events])
    assert "swordfish" not in everything
    assert said[:20] not in everything
    assert "swordfish" not in caplog.text


def test_a_session_callback_that_uses_the_sdk_is_no_endless_loop(client: openai.OpenAI) -> None:
    """What it opens itself is recorded like everything else, once for each."""
    told, depth = Told(), list[int]()

    def callback(_summary: streamspan.SessionSummary) -> None:
        if len(depth) < 2:
            depth.append(1)
            chat(client)

    streamspan.instrument(
        tracer_provider=told.tracers, meter_provider=told.meters, logger_provider=told.loggers, on_session_end=callback
    )
    chat(client)
    assert len(told.spans) == 3


def test_without_instrument_there_is_nothing_to_drain_or_list() -> None:
    """Also in a process that never called it."""
    program = """
        from streamspan import _api
        _api.drain()
        print(_api.open_sessions(), _api.runtime())
    """
    path = os.pathsep.join([str(ROOT / "src"), *filter(None, sys.path)])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": path},
    )
    assert (result.stdout, result.stderr) == ("[] None\n", "")


# --- what the process has at its end, and what it has before its first stream ---------------------------------------------------


class Flushed:
    """A provider that notes how long it may take."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    def force_flush(self, limit: int) -> bool:
        self.limits.append(limit)
        return True


def test_only_a_dying_process_flushes_the_applications_providers(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a normal exit they do that themselves; after SIGTERM nobody else would. Bounded, and not all can."""
    tracers, loggers = Flushed(), Flushed()
    monkeypatch.setattr(_api._state, "own", None)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracers)
    monkeypatch.setattr(metrics, "get_meter_provider", object)
    monkeypatch.setattr(_logs, "get_logger_provider", lambda: loggers)
    _api._flush(False)
    assert (tracers.limits, loggers.limits) == ([], [])
    _api._flush(True)
    assert (tracers.limits, loggers.limits) == ([1000], [1000])


def test_our_own_providers_are_shut_down_at_any_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    """And then nobody else's are touched."""
    stopped: list[str] = []
    own = SimpleNamespace(shutdown=lambda: stopped.append("stopped"))
    monkeypatch.setattr(_api._state, "own", own)
    for is_last in (False, True):
        _api._flush(is_last)
    assert stopped == ["stopped"] * 2


def test_providers_are_prepared_once_and_looked_for_at_each_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """The application may set its own at any time: from then on its provider is used."""
    current: list[Any] = [trace.ProxyTracerProvider()]
    adopted: list[str] = []
    made: list[str] = []
    used: list[Any] = []

    def own_providers(**_options: Any) -> Any:
        made.append("made")
        return SimpleNamespace(adopt=lambda: adopted.append("adopted"))

    monkeypatch.setattr(_otlp, "own_providers", own_providers)
    monkeypatch.setattr(_api._state, "own", None)
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: current[-1])
    recorder: Any = SimpleNamespace(use=lambda tracer, _logger: used.append(tracer))
    first, second = _api._preparation(recorder), _api._preparation(recorder)
    assert first is not None
    assert second is not None
    assert (made, adopted, used) == (["made"], [], [])
    first()
    assert (adopted, used) == (["adopted"], [])
    current.append(TracerProvider(shutdown_on_exit=False))
    first()
    first()
    assert (len(adopted), len(used)) == (3, 1)
    assert _api._preparation(recorder) is None


def test_exporters_that_are_switched_off_leave_nothing_to_adopt(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_TRACES_EXPORTER=none` and its like: the application may still set its own later."""
    monkeypatch.setattr(_otlp, "own_providers", lambda **_options: None)
    monkeypatch.setattr(_api._state, "own", None)
    monkeypatch.setattr(trace, "get_tracer_provider", trace.ProxyTracerProvider)
    used: list[Any] = []
    prepare = _api._preparation(cast("Any", SimpleNamespace(use=lambda tracer, _logger: used.append(tracer))))
    assert prepare is not None
    prepare()
    assert len(used) == 1


def test_an_installed_sdk_that_is_too_old_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once per `instrument()`, with what to do; the rest is in place."""
    monkeypatch.setattr(_registry, "is_too_old", lambda library: "1.30.0" if library.name == "openai" else None)
    Told().instrument()
    assert _api.runtime() is not None
    (message,) = caplog.messages
    assert message == (
        "openai 1.30.0 is older than 1.66, the oldest version that streamspan supports: your code is not affected, but "
        "streams may be missing or incomplete; upgrade openai, or leave it out with STREAMSPAN_EXCLUDE=openai"
    )


@pytest.mark.parametrize("installed", ["1.0", None], ids=["too old", "supported"])
def test_a_seam_that_an_old_version_lacks_is_no_further_news(
    installed: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning either way: of the version if that is too old, else of the seam."""
    fake = Integration("fake", "fakelib", "2.0", lambda *_: [Patch("json", "no_such_name", lambda *_: None)])
    monkeypatch.setattr(_registry, "selected", lambda *_: [fake])
    monkeypatch.setattr(_registry, "is_too_old", lambda _: installed)
    Told().instrument()
    assert len(caplog.messages) == 1
    assert ("is older than 2.0" if installed else "json has no no_such_name") in caplog.messages[0]
