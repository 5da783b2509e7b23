"""What the tests of the command line share."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.process import Cli, environment


@pytest.fixture
def cli() -> Cli:
    """Run `streamspan` with arguments and variables, and return the finished process."""

    def run(*arguments: str | Path, cwd: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "streamspan", *map(str, arguments)],
            capture_output=True, text=True, encoding="utf-8", timeout=60, check=False, cwd=cwd,
            env=environment(**variables),
        )  # fmt: skip

    return run


@pytest.fixture
def distribution(tmp_path: Path) -> Callable[..., Path]:
    """Make an installed distribution that is nothing but metadata; return the directory for `sys.path`."""

    def make(name: str, version: str, entry_points: str = "") -> Path:
        info = tmp_path / "site" / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(entry_points)
        return info.parent

    return make
