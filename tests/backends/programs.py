"""The real programs: where their binaries are, how they are started, and when they are ready.

Knows processes, ports and logs; refuses to know what is sent to the programs or asked of them.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, TypeVar

import pytest

ROOT = Path(__file__).parents[2]
FILES = ROOT / "collector"

Name: TypeAlias = Literal["otelcol", "jaeger", "prometheus", "promtool"]
T = TypeVar("T")

_SECONDS = 60.0  # for a wait that only takes so long when the test has failed
_STEP = 0.05
_ENVIRONMENT = dict(os.environ)  # as the tests were started; each test has a cleaner one
_OURS = (
    "OTELCOL_",
    "JAEGER_",
    "PROMETHEUS_",
    "BACKEND_",
    "GATEWAY",
    "LOKI_",
    "SPAN_METRICS_",
    "OTEL_",
    "STREAMSPAN_",
    "DEBUG_",
)


def binary(name: Name) -> str:
    """Return the path of a program: the one that a variable names, or the one that was built; skip without it."""
    path = Path(_ENVIRONMENT.get(f"STREAMSPAN_{name.upper()}") or _built(name))
    if path.is_file():
        return str(path)
    script = ".ci/build-collector" if name == "otelcol" else f".ci/build-backends {name}"
    missing = f"there is no {name} at {path}; run {script}, or name one by STREAMSPAN_{name.upper()}"
    if _ENVIRONMENT.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def _built(name: Name) -> Path:
    """Where .ci/build-collector and .ci/build-backends put what they build."""
    cache = Path(_ENVIRONMENT.get("STREAMSPAN_CACHE") or Path.home() / ".cache" / "streamspan")
    if name == "otelcol":
        manifest = (FILES / "builder.yaml").read_bytes()
        return cache / "collector" / hashlib.sha256(manifest).hexdigest()[:16] / "otelcol-streamspan"
    project = "prometheus" if name == "promtool" else name
    script = (ROOT / ".ci" / "build-backends").read_text(encoding="utf-8")
    found = re.search(rf"^{project}=(\S+)$", script, re.MULTILINE)
    assert found is not None
    return cache / project / found[1] / name


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def until(told: Callable[[], T], is_so: Callable[[T], bool] = bool, seconds: float = _SECONDS) -> T:
    """Ask again and again until the answer is the one that is waited for, and return it."""
    deadline = time.monotonic() + seconds
    while True:
        answer = told()
        if is_so(answer):
            return answer
        assert time.monotonic() < deadline, f"after {seconds} s still: {str(answer)[:2000]}"
        time.sleep(_STEP)


class Program:
    """A program with a configuration, which can be started, ended, killed and started again at the same ports.

    Args:
        command: how it is started.
        health: URL that answers with success when it is ready.
        log: file that its standard output and standard error are added to.
        variables: of its environment, beside this process's own.
    """

    def __init__(self, command: Sequence[str], health: str, log: Path, variables: Mapping[str, str]) -> None:
        self._command = list(command)
        self._health = health
        self._log = log
        self._variables = {name: value for name, value in _ENVIRONMENT.items() if not name.startswith(_OURS)}
        self._variables |= variables
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """Everything that it has written."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def __enter__(self) -> Program:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=self._variables, stdout=log, stderr=log, cwd=self._log.parent
            )
        until(self._is_ready)

    def stop(self) -> int:
        """Ask it to end, wait until it has, and return its status."""
        self.send_signal(signal.SIGTERM)
        assert self._process is not None
        return self._process.wait(_SECONDS)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it without asking, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log[-5000:]
        try:
            with urllib.request.urlopen(self._health, timeout=5) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
