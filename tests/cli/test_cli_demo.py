"""`streamspan demo`: every scene ends as it says, without a terminal and on one, to the end and interrupted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import pytest

from cli.process import Cli, environment
from streamspan.cli._scenes import SCENES
from streamspan.cli._vendors import VENDORS

OUTCOMES = {
    "good-answer": "completed",
    "slow-first-token": "completed",
    "reasoning-first": "completed",
    "stalled": "completed",
    "closed": "cancelled (closed)",
    "tool-calls": "completed",
    "cut-off": "truncated",
    "retries": "completed",
    "bursts": "completed",
    "provider-error": "error (overloaded)",
    "timeout": "timeout (APITimeoutError)",
    "responses-api": "completed",
    "not-streamed": "completed",
    "slow-consumer": "completed",
    "task-cancelled": "cancelled (task_cancelled)",
    "dropped": "cancelled (dropped)",
    "connection-lost": "error (APIConnectionError)",
}
ANTHROPIC = {
    "claude-thinks": "completed",
    "claude-tools": "completed",
    "claude-overloaded": "error (overloaded_error)",
}
GEMINI = {
    "gemini-closed": "cancelled (closed)",
    "gemini-overloaded": "error (UNAVAILABLE)",
}
# By vendor, for only what is installed is played.
SHOWN = (
    OUTCOMES
    | (ANTHROPIC if VENDORS["anthropic"].is_installed else {})
    | (GEMINI if VENDORS["gemini"].is_installed else {})
)
COMMAND = [sys.executable, "-m", "streamspan", "demo"]


def table_of(output: str) -> dict[str, list[str]]:
    """Return the cells of the plain table by scene."""
    rows = output.partition("\nstream ")[2].partition("\n\n")[0].splitlines()[1:]
    return {cells[0]: cells for cells in (re.split(r" {2,}", row) for row in rows)}


def test_every_scene_ends_as_it_should(cli: Cli) -> None:
    """The whole demo at its fast pace: one line per stream, one row per stream, each with its own ending."""
    done = cli("demo", "--fast")
    assert (done.returncode, done.stderr) == (0, "")
    rows = table_of(done.stdout)
    assert {name: cells[-1].partition(",")[0] for name, cells in rows.items()} == SHOWN
    finished = re.findall(r"^ +[0-9.]+s  (\S+) ", done.stdout, re.MULTILINE)
    assert sorted(finished) == sorted(SHOWN)
    assert " stall" in rows["stalled"][-1]
    assert rows["retries"][-2] == "2"
    assert "streamspan doctor" in done.stdout


def test_the_scenes_are_listed(cli: Cli) -> None:
    """`--list` names every scene and plays none."""
    done = cli("demo", "--list")
    assert [line.split()[0] for line in done.stdout.splitlines()] == [scene.name for scene in SCENES]


def test_one_scene_can_be_played(cli: Cli) -> None:
    """`--once` plays only what it names."""
    done = cli("demo", "--fast", "--once", "retries", "--once", "tool-calls")
    assert done.returncode == 0
    assert list(table_of(done.stdout)) == ["retries", "tool-calls"]


def test_nothing_is_exported_unless_somebody_says_where_to(cli: Cli) -> None:
    """Without an endpoint the default one is not tried, so there is nothing to warn of; with one it is."""
    unset = {"OTEL_TRACES_EXPORTER": "", "OTEL_METRICS_EXPORTER": ""}
    quiet = cli("demo", "--fast", "--once", "closed", **unset)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    nowhere = "http://127.0.0.1:1"
    told = cli("demo", "--fast", "--once", "closed", **unset, OTEL_EXPORTER_OTLP_ENDPOINT=nowhere)
    assert told.returncode == 0
    assert f"{nowhere} refuses connections" in told.stderr
    assert f"sent to {nowhere}" in told.stdout


@pytest.mark.skipif(find_spec("anthropic") is None, reason="needs the anthropic package")
def test_scenes_of_a_vendor_that_is_not_installed_are_left_out() -> None:
    """Without one SDK the others' scenes are played."""
    code = "import sys; sys.modules['openai'] = None; from streamspan.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--fast"],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = table_of(done.stdout)
    assert not set(rows) & set(OUTCOMES)
    assert {name: rows[name][-1].partition(",")[0] for name in ANTHROPIC} == ANTHROPIC


def _without(*packages: str) -> str:
    absent = "".join(f"sys.modules[{package!r}] = None; " for package in packages)
    return f"import sys; {absent}from streamspan.cli import main; sys.exit(main(sys.argv[1:]))"


SDKS = ("openai", "anthropic", "google.genai")


@pytest.mark.parametrize("http", ["httpx", "httpx2"])
def test_without_any_sdk_it_plays_through_httpx(http: str) -> None:
    """What needs no SDK is the same as through one."""
    pytest.importorskip(http)
    missing = (*SDKS, *(name for name in ("httpx", "httpx2") if name != http))
    done = subprocess.run(
        [sys.executable, "-c", _without(*missing), "demo", "--fast"],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, env=environment(),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    rows = table_of(done.stdout)
    assert set(rows) == set(OUTCOMES) - {"retries", "not-streamed"}
    for name in ("good-answer", "closed", "cut-off", "provider-error", "task-cancelled"):
        assert rows[name][-1].partition(",")[0] == OUTCOMES[name]


@pytest.mark.parametrize("missing", ["openai", "rich"])
def test_what_is_not_installed_is_told(missing: str) -> None:
    """Without the SDK and httpx there is one sentence that says what to install; without rich the plain view."""
    code = _without(*(("httpx", "httpx2", "openai") if missing == "openai" else ("rich",)))
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--fast", "--once", "closed"],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, env=environment(),
    )  # fmt: skip
    if missing == "rich":
        assert (done.returncode, done.stderr) == (0, "")
        assert table_of(done.stdout)["closed"][-1] == "cancelled (closed)"
        return
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith('which is not installed, or too old: pip install "streamspan[demo]"\n')


def test_an_sdk_that_is_too_old_is_as_good_as_none(tmp_path: Path) -> None:
    """The demo plays through what is supported; the scenes of the old one say what to install."""
    (tmp_path / "openai").mkdir()
    (tmp_path / "openai" / "__init__.py").touch()
    about = tmp_path / "openai-1.30.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: openai\nVersion: 1.30.0\n", encoding="utf-8")
    code = _without("httpx", "httpx2")
    done = subprocess.run(
        [sys.executable, "-c", code, "demo", "--fast", "--once", "closed"],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False,
        env=environment(PYTHONPATH=str(tmp_path)),
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith('openai, which is not installed, or too old: pip install "streamspan[demo]"\n')


def test_ctrl_c_ends_with_the_table_so_far() -> None:
    """An interrupt closes what is open, prints the table, and the status is 130."""
    command = [*COMMAND, "--once", "closed", "--once", "not-streamed"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - a shell's background job ignores it
    ) as process:
        assert process.stdout is not None
        assert any("closed" in line for line in process.stdout)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    assert list(table_of(output)) == ["closed"]


def on_terminal(*arguments: str, until: str = "", **variables: str) -> tuple[int, str]:
    """Run the demo on a pseudo-terminal; send SIGTERM when `until` is shown. Return the status and what was written."""
    pty = pytest.importorskip("pty", reason="needs a pseudo-terminal, which Windows has not")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**{"TERM": "xterm", "COLUMNS": "100", "LINES": "30"} | variables),
    )  # fmt: skip
    os.close(theirs)
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        shown = read_all(terminal, process, until)
    return process.wait(timeout=60), shown


def read_all(terminal: IO[bytes], process: subprocess.Popen[bytes], until: str) -> str:
    shown = b""
    while True:
        try:
            piece = terminal.read(4096)
        except OSError:  # Linux: the other side is closed
            piece = b""
        if not piece:
            return shown.decode("utf-8", "replace")
        shown += piece
        if until and until.encode() in shown:
            process.send_signal(signal.SIGTERM)
            until = ""


def test_a_terminal_gets_the_live_view_and_its_cursor_back() -> None:
    """The view hides the cursor while it draws, shows it at the end, and leaves the table."""
    status, shown = on_terminal("--fast", "--once", "closed")
    assert status == 0
    assert "1 open · 0 of 1 finished" in shown
    assert re.findall(r"\x1b\[\?25[hl]", shown) == ["\x1b[?25l", "\x1b[?25h"]
    assert "cancelled (closed)" in shown.rpartition("\x1b[?25h")[2]


def test_a_terminated_demo_gives_the_cursor_back() -> None:
    """SIGTERM in the middle of the view ends with status 143 and a visible cursor."""
    status, shown = on_terminal("--once", "closed", until="1 open")
    assert status == 128 + signal.SIGTERM
    assert re.findall(r"\x1b\[\?25[hl]", shown)[-1] == "\x1b[?25h"


def test_no_color_is_honoured() -> None:
    """With NO_COLOR no colour is set; without it the outcome has one."""
    colour = re.compile(r"\x1b\[(?:\d+;)*3[0-7]m")
    assert colour.search(on_terminal("--fast", "--once", "closed", NO_COLOR="1")[1]) is None
    assert colour.search(on_terminal("--fast", "--once", "closed", NO_COLOR="")[1]) is not None


def test_a_dumb_terminal_gets_plain_lines() -> None:
    """Where the terminal cannot move its cursor nothing tries to."""
    status, shown = on_terminal("--fast", "--once", "closed", TERM="dumb")
    assert status == 0
    assert "\x1b" not in shown
    assert "cancelled (closed)" in shown
