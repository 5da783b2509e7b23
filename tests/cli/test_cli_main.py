"""The parser and the dispatch: help, versions, errors in one sentence, and cheap imports."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cli.process import Cli, environment
from streamspan._version import version
from streamspan.cli import main


@pytest.mark.parametrize("command", ["demo", "doctor", "run", "collector"])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`streamspan COMMAND --help` says how it is called, on stdout, with status 0."""
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: streamspan {command}")


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """`streamspan` alone lists the commands."""
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert [name for name in ("demo", "doctor", "run", "collector") if f"    {name}" not in shown] == []


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` prints the name and the distribution's version."""
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"streamspan {version()}\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["frob"], "frob"),
        (["demo", "--once", "nope"], "there is no scene nope; there are good-answer"),
        (["demo", "--frob"], "unrecognized arguments: --frob"),
        (["run"], "a script, or -m and a module, is needed"),
        (["run", "-m"], "-m needs the name of a module"),
        (["run", "--frob"], "unknown option --frob"),
        (["run", "no/such.py"], "there is no file no/such.py"),
        (["run", "-m", "no_such_module.x"], "there is no module no_such_module.x"),
        (["run", "-m", "json"], "json is a package without a __main__"),
        (["run", "-m", ".x"], "there is no module .x"),
        (["collector", "nope.yaml"], "there is no file nope.yaml; there are"),
        (["collector", "README.md", "--check"], "there is nothing to validate"),
    ],
)
def test_a_command_line_that_cannot_be_followed_is_one_sentence_and_status_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mistakes on the command line end with status 2 and one line on stderr."""
    try:
        status: object = main(arguments)
    except SystemExit as left:
        status = left.code
    told = capsys.readouterr()
    assert status == 2
    assert told.out == ""
    assert told.err.startswith("streamspan")
    assert says in told.err
    assert told.err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    """`streamspan demo --list | head` ends quietly."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "streamspan", "demo", "--list"],
        stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False, env=environment(),
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_the_command_line_is_cheap_to_import(cli: Cli) -> None:
    """Before a command is called neither the SDK, nor rich, nor OpenTelemetry is imported."""
    heavy = "{'openai', 'rich', 'httpx', 'opentelemetry', 'asyncio'}"
    code = f"import sys, streamspan.cli; print(sorted({heavy} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout == "[]\n"
    assert cli("--version").returncode == 0
