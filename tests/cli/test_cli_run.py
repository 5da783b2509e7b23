"""`streamspan run`: what a program may rely on is as with `python`, compared with `python` itself."""

from __future__ import annotations

import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cli.process import Cli, environment

SCRIPT = """\
import atexit, pickle, sys
import beside

class Thing: ...

atexit.register(lambda: print("late", type(pickle.loads(pickle.dumps(Thing()))) is Thing, flush=True))
print(__name__, __file__, __package__, __spec__ and __spec__.name, sys.argv, sys.path[0], beside.__name__, flush=True)

def fail():
    raise ValueError("mine")

what = sys.argv[1:2]
if what == ["raise"]:
    fail()
if what == ["interrupt"]:
    raise KeyboardInterrupt
if what == ["exit"]:
    sys.exit(7)
if what == ["message"]:
    sys.exit("gone")
if what == ["hook"]:
    sys.excepthook = lambda kind, value, tb: print("hook", kind.__name__, tb.tb_frame.f_code.co_name)
    fail()
"""

STREAM = """\
import openai, sys
from streamspan.demo import DemoProvider
with DemoProvider() as provider:
    client = openai.OpenAI(base_url=provider.url(), api_key="demo")
    for _ in client.chat.completions.create(model="gpt-5", messages=[{"role": "user", "content": "?"}], stream=True):
        pass
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A script with a module beside it, a package, and a script that is no Python."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "__main__.py").write_text(SCRIPT)
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "beside.py").touch()
    (tmp_path / "package" / "beside.py").touch()
    (tmp_path / "wrong.py").write_text("def f(\n")
    (tmp_path / "importing.py").write_text("import no_such_module\n")
    py_compile.compile(str(tmp_path / "script.py"), str(tmp_path / "compiled.pyc"), doraise=True)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SCRIPT)
        archive.writestr("beside.py", "")
    return tmp_path


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the interpreter itself."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, cwd=cwd, env=environment(),
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["script.py"],
        ["script.py", "--help", "-m", "x"],
        ["script.py", "raise"],
        ["script.py", "interrupt"],
        ["script.py", "exit"],
        ["script.py", "message"],
        ["script.py", "hook"],
        ["-m", "package", "raise"],
        ["-m", "script", "--flag"],
        ["package", "raise"],
        ["archive.zip", "exit"],
        ["compiled.pyc", "raise"],
        ["wrong.py"],
        ["importing.py"],
    ],
    ids=" ".join,
)
def test_a_program_runs_as_python_runs_it(arguments: list[str], app: Path, cli: Cli) -> None:
    """Output, traceback and exit status are the same as with `python`, down to the last character."""
    ours, theirs = cli("run", *arguments, cwd=app), python(*arguments, cwd=app)
    assert ours.stdout == theirs.stdout
    assert _without_runpy(ours.stderr) == _without_runpy(theirs.stderr)
    assert ours.returncode == theirs.returncode


def _without_runpy(traceback: str) -> str:
    """Leave out the frames of `runpy`, which `python -m` has on top."""
    return re.sub(r' {2}File "[^"]*runpy(\.py|>)", line .*\n( {4}.*\n)*', "", traceback)


def test_an_interrupt_kills_as_it_kills_python(app: Path, cli: Cli) -> None:
    """A KeyboardInterrupt that nobody catches ends the process by SIGINT, after the exit hooks."""
    done = cli("run", "script.py", "interrupt", cwd=app)
    assert done.returncode == -signal.SIGINT
    assert done.stdout.endswith("late True\n")


def test_streams_of_the_program_are_recorded(tmp_path: Path, cli: Cli) -> None:
    """A program that knows nothing of streamspan has its streams recorded; STREAMSPAN_CONSOLE shows them."""
    (tmp_path / "app.py").write_text(STREAM)
    done = cli("run", tmp_path / "app.py", STREAMSPAN_CONSOLE="true")
    assert done.returncode == 0
    assert "chat gpt-5" in done.stderr
    assert done.stderr.rstrip().endswith("completed")


def test_a_directory_without_a_program_is_one_sentence(tmp_path: Path, cli: Cli) -> None:
    """What cannot be run is told without a traceback."""
    done = cli("run", tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"streamspan run: there is no __main__ in {tmp_path}\n"
