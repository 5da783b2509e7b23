"""Life and death of a process: what is exported of the streams that are open then."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streamspan.demo.server import DemoProvider

PRELUDE = """
import gc, json, os, signal, sys, threading, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts its background jobs with it ignored
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

URL, OUT = sys.argv[1], sys.argv[2]

class File(SpanExporter):
    def export(self, spans):
        with open(OUT, "a") as file:
            for span in spans:
                file.write(json.dumps({
                    "pid": os.getpid(), "name": span.name, "attributes": dict(span.attributes),
                    "start": span.start_time, "end": span.end_time, "noticed": time.time_ns(),
                    "status": span.status.status_code.name,
                    "events": [[event.name, event.timestamp] for event in span.events],
                }) + "\\n")
        return SpanExportResult.SUCCESS

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(File()))
trace.set_tracer_provider(provider)

import openai, streamspan
streamspan.instrument()

def stream(scenario="gate"):
    client = openai.OpenAI(base_url=URL.replace("/ok/", f"/{scenario}/"), api_key="x", max_retries=0, timeout=30)
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], stream=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    with DemoProvider() as server:
        yield server


class Process:
    """A Python process with streamspan in it, and the spans that it left behind."""

    def __init__(self, server: DemoProvider, out: Path, body: str) -> None:
        self.out = out
        url = server.url("ok")
        script = PRELUDE + textwrap.dedent(body)
        self.popen = subprocess.Popen(
            # Sockets that are still open at the very end are the SDK's, without us too.
            [sys.executable, "-W", "error", "-W", "ignore::ResourceWarning", "-c", script, url, str(out)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        assert self.popen.stdout is not None
        return self.popen.stdout.readline().strip()

    def finish(self) -> tuple[int, str, list[dict[str, Any]]]:
        _, stderr = self.popen.communicate(timeout=30)
        text = self.out.read_text() if self.out.exists() else ""
        return self.popen.returncode, stderr, [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def run(server: DemoProvider, tmp_path: Path) -> Any:
    return lambda body: Process(server, tmp_path / "spans.jsonl", body)


def ended(span: dict[str, Any]) -> tuple[str | None, str | None]:
    return span["attributes"].get("streamspan.outcome"), span["attributes"].get("streamspan.cancel.reason")


EXITS = {
    "normal exit with a stream in a global": ("s = stream('hang'); next(s); next(s)", 0, "exit"),
    "a stream in a local variable": ("def main():\n    s = stream('hang'); next(s)\nmain()", 0, "dropped"),
    "sys.exit beside an open stream": ("s = stream('hang'); next(s); sys.exit(3)", 3, "exit"),
    "sys.exit inside with": ("with stream('hang') as s:\n    next(s); sys.exit(3)", 3, "interrupted"),
    "an uncaught exception": ("s = stream('hang'); next(s); raise ValueError('boom')", 1, "exit"),
    "a suspended generator": (
        "def chunks():\n    with stream('hang') as s:\n        yield from s\ng = chunks(); next(g)",
        0,
        "exit",
    ),
    "an unread stream": ("s = stream('hang')", 0, "exit"),
    "a thread that is still reading": (
        (
            "def read():\n    [None for _ in stream('hang')]\n"
            "threading.Thread(target=read, daemon=True).start(); time.sleep(0.5)"
        ),
        0,
        "exit",
    ),
}


@pytest.mark.parametrize("name", EXITS)
def test_a_stream_open_at_exit_is_exported(run: Any, name: str) -> None:
    """It is a cancel with the right reason, the exit status is untouched, and nothing is said on stderr."""
    body, status, reason = EXITS[name]
    code, stderr, spans = run(body).finish()
    assert code == status
    assert [ended(span) for span in spans] == [("cancelled", reason)]
    assert ("ValueError: boom" in stderr) if status == 1 else stderr == ""
    assert spans[0]["status"] == "UNSET"


def test_a_span_ended_at_exit_ends_with_its_last_chunk(run: Any) -> None:
    """The time between the last chunk and the exit is not part of the stream."""
    _, _, [span] = run("s = stream('hang'); next(s); next(s); time.sleep(0.6)").finish()
    chunks = [at for name, at in span["events"] if name == "streamspan.chunk"]
    assert span["end"] == max(chunks)
    assert span["noticed"] - span["end"] >= 600_000_000


def test_ctrl_c_while_reading_is_interrupted(run: Any) -> None:
    """KeyboardInterrupt inside the read is a cancel, and still kills the process."""
    process = run("s = stream('hang'); next(s)\nprint('reading', flush=True)\nfor _ in s: pass")
    assert process.line() == "reading"
    time.sleep(0.3)  # let it block in the read
    process.popen.send_signal(signal.SIGINT)
    code, stderr, spans = process.finish()
    assert code == -signal.SIGINT
    assert "KeyboardInterrupt" in stderr
    assert [ended(span) for span in spans] == [("cancelled", "interrupted")]


def test_sigterm_without_a_handler_exports_and_still_kills(run: Any) -> None:
    """The process dies of the signal, as without streamspan, but not before its streams are told."""
    process = run("s = stream('hang'); next(s)\nprint('reading', flush=True)\nfor _ in s: pass")
    assert process.line() == "reading"
    time.sleep(0.3)  # let it block in the read
    process.popen.send_signal(signal.SIGTERM)
    code, stderr, spans = process.finish()
    assert (code, stderr) == (-signal.SIGTERM, "")
    assert [ended(span) for span in spans] == [("cancelled", "exit")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_own_sigterm_handler_keeps_working(run: Any, when: str) -> None:
    """A handler that was set before or after instrument() is the one that is called."""
    handler = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
    body = {
        "before": f"streamspan.uninstrument()\n{handler}streamspan.instrument()\n",
        "after": handler,
    }[when]
    process = run(body + "s = stream('hang'); next(s)\nprint('reading', flush=True)\nfor _ in s: pass")
    assert process.line() == "reading"
    time.sleep(0.3)  # let it block in the read
    process.popen.send_signal(signal.SIGTERM)
    code, _, spans = process.finish()
    assert code == 7
    assert [ended(span) for span in spans] == [("cancelled", "interrupted")]


def test_uninstrument_gives_sigterm_back(run: Any) -> None:
    """The default disposition is back."""
    code, _, _ = run(
        "assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL\n"
        "streamspan.uninstrument()\nassert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    ).finish()
    assert code == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_fork_with_an_open_stream_reports_it_once(run: Any) -> None:
    """The parent tells of its stream; the child forgets it silently, and its own streams work."""
    code, stderr, spans = run("""
        s = stream("ok")
        next(s)
        pid = os.fork()
        if pid == 0:
            list(stream("ok"))
            provider.force_flush()
            os._exit(0)
        os.waitpid(pid, 0)
        list(s)
        print(os.getpid(), pid)
    """).finish()
    assert (code, stderr) == (0, "")
    by_process = sorted((span["pid"], *ended(span)) for span in spans)
    assert len({pid for pid, *_ in by_process}) == 2
    assert [outcome for _, *outcome in by_process] == [["completed", None]] * 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_a_child_that_reads_or_drops_an_inherited_stream_says_nothing(run: Any) -> None:
    """Whatever the child does with it, the stream belongs to the parent."""
    code, stderr, spans = run("""
        s = stream("hang")
        next(s)
        pid = os.fork()
        if pid == 0:
            s.close()
            del s
            gc.collect()
            provider.force_flush()
            sys.exit(0)
        os.waitpid(pid, 0)
        s.close()
    """).finish()
    assert (code, stderr) == (0, "")
    assert [ended(span) for span in spans] == [("cancelled", "closed")]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
def test_the_active_count_of_a_child_returns_to_zero(run: Any, tmp_path: Path) -> None:
    """What the parent counted as open is taken back in the child."""
    code, stderr, _ = run("""
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import InMemoryMetricReader
        streamspan.uninstrument()
        reader = InMemoryMetricReader()
        streamspan.instrument(tracer_provider=provider, meter_provider=MeterProvider([reader]))

        def active():
            data = json.loads(reader.get_metrics_data().to_json())
            [metric] = [m for r in data["resource_metrics"] for s in r["scope_metrics"] for m in s["metrics"]
                        if m["name"] == "streamspan.active"]
            return sum(point["value"] for point in metric["data"]["data_points"])

        s = stream("hang")
        next(s)
        assert active() == 1
        pid = os.fork()
        if pid == 0:
            list(stream("ok"))
            for _ in range(100):
                if active() == 0:
                    os._exit(0)
                time.sleep(0.02)
            os._exit(5)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert active() == 1
        s.close()
        assert active() == 0
    """).finish()
    assert (code, stderr) == (0, "")


def test_nothing_is_said_at_interpreter_shutdown(run: Any) -> None:
    """Streams that die when modules are gone already leave no trace on stderr."""
    code, stderr, _ = run("""
        import builtins
        builtins.kept = [stream("hang") for _ in range(3)]
        next(builtins.kept[0])
        builtins.kept.append(builtins.kept)
    """).finish()
    assert (code, stderr) == (0, "")
