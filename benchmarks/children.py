"""The measuring processes, seen from the one that asks them."""

from __future__ import annotations

import json
import subprocess
from types import TracebackType

from benchmarks import environment
from benchmarks.records import Sample


class ChildError(RuntimeError):
    """A measuring process failed; what it had to say is on standard error."""


class Child:
    """A process that is ready to measure one subject whenever it is asked; a context manager.

    All subjects of a measure live at the same time and are asked in turn, a fraction of a second each: what else the
    machine does then falls on all of them.
    """

    def __init__(self, python: str, measure: str, subject: str, sizes: str) -> None:
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks.child", measure, subject, sizes],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment.variables(),
            cwd=environment.ROOT,
        )
        self._name = f"{measure}: {subject}"

    def __enter__(self) -> Child:
        self._line()  # ready
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._process.communicate()

    def sample(self) -> Sample:
        """Let it measure once."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        sample: Sample = json.loads(self._line())
        return sample

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"{self._name} failed")
        return line
