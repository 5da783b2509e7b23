"""The command line as a user has it: another process, with the environment that a test gives it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a command: no telemetry unless it is asked for, nothing coloured."""
    quiet = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "NO_COLOR": "1", "PYTHONUTF8": "1"}
    return {**os.environ, **quiet, **variables}
