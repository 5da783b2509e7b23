"""`streamspan demo`: the provider, the scenes, the view and the table, put together.

Knows who starts and stops whom, and what happens on Ctrl-C. Everything else is its neighbours'.
"""

from __future__ import annotations

import importlib.util
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from types import FrameType
from typing import Any, Protocol

import streamspan
from streamspan import _api
from streamspan._config import environment
from streamspan._otlp.settings import read_settings
from streamspan.cli import _table
from streamspan.cli._board import Board
from streamspan.cli._errors import INTERRUPTED, CommandError
from streamspan.cli._quiet import quiet_providers
from streamspan.cli._scenes import SCENES, Scene
from streamspan.cli._table import Line, seconds
from streamspan.cli._vendors import VENDORS, vendor_of
from streamspan.demo import DemoProvider

_FAST = 0.1
_STALL_SECONDS = 1.0
_PART_SECONDS = 0.15
_TICK = 0.1
_GRACE = 1.0  # for streams that Ctrl-C has interrupted
_WIDE = 160  # where there is no terminal to fit into
_SIGNALS = ("TRACES", "METRICS", "LOGS")
_INSTALL = 'pip install "streamspan[demo]"'


class Screen(Protocol):
    """What shows the streams while they run."""

    def show(self, lines: Sequence[Line], ended: Sequence[Line], elapsed: float) -> None:
        """Show all lines, and those among them that have ended since the last time."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def show_scenes() -> int:
    """Print the scenes' names and what happens in them."""
    for scene in SCENES:
        print(f"{scene.name:18}{scene.about}")
    return 0


def demo(*, names: Sequence[str] | None, is_fast: bool) -> int:
    """Play the scenes, show them, and print the table of sessions.

    Raises:
        CommandError: no SDK is installed, or there is no such scene.
    """
    scenes = _chosen(names)
    signal.signal(signal.SIGTERM, _terminated)  # so that the view is taken down and the cursor comes back
    pace = _FAST if is_fast else 1.0
    board = Board(scenes, part_ns=int(_PART_SECONDS * pace * 1e9), stall_ns=int(_STALL_SECONDS * pace * 1e9))
    print(
        f"{len(scenes)} stream{'' if len(scenes) == 1 else 's'} against a provider on this machine: no key, no network.\n"
    )
    sys.stdout.flush()
    with DemoProvider(keep=False) as provider:
        _instrument(board, scenes, _STALL_SECONDS * pace)
        lines, is_interrupted = _play(scenes, provider, board, pace)
    streamspan.uninstrument()
    if lines:
        _conclude(lines)
    return INTERRUPTED if is_interrupted else 0


def _chosen(names: Sequence[str] | None) -> tuple[Scene, ...]:
    by_name = {scene.name: scene for scene in SCENES}
    if unknown := [name for name in names or () if name not in by_name]:
        raise CommandError(f"there is no scene {', '.join(unknown)}; there are {', '.join(by_name)}", 2)
    chosen = [by_name[name] for name in dict.fromkeys(names or by_name)]
    if not names:  # what is installed is shown; without any SDK, what httpx can show
        with_sdk = [scene for scene in chosen if VENDORS[scene.vendor].is_installed]
        chosen = with_sdk or [scene for scene in chosen if _can_play(scene)] or chosen
    if absent := [vendor_of(scene.vendor).package for scene in chosen if not _can_play(scene)]:
        packages = " and ".join(dict.fromkeys(absent))
        raise CommandError(f"these scenes play through {packages}, which is not installed, or too old: {_INSTALL}")
    first = min(scene.start for scene in chosen)
    return tuple(replace(scene, start=scene.start - first) for scene in chosen)


def _can_play(scene: Scene) -> bool:
    vendor = vendor_of(scene.vendor)
    return vendor.is_installed and vendor.plays(scene)


def _terminated(number: int, _: FrameType | None) -> None:
    sys.exit(128 + number)


def _instrument(board: Board, scenes: Sequence[Scene], stall_seconds: float) -> None:
    streamspan.uninstrument()  # by an agent that has started this process, without the board as its listener
    config = streamspan.Config(stall_seconds=stall_seconds, include_usage=True, console=False)
    libraries = list({vendor_of(scene.vendor).library: None for scene in scenes})
    listening: dict[str, Any] = {"libraries": libraries, "config": config, "on_session_end": board.ended}
    if _is_exporting():
        streamspan.instrument(**listening)
    else:
        streamspan.instrument(**quiet_providers(), **listening)


def _is_exporting() -> bool:
    """Tell whether somebody has said where telemetry goes; the default endpoint alone is no reason to try it."""
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", *(f"OTEL_EXPORTER_OTLP_{name}_ENDPOINT" for name in _SIGNALS))
    exporters = (f"OTEL_{name}_EXPORTER" for name in _SIGNALS)
    return any(environment(name) for name in (*endpoints, *exporters))


def _play(scenes: Sequence[Scene], provider: DemoProvider, board: Board, pace: float) -> tuple[list[Line], bool]:
    """Play to the end, or to Ctrl-C; return what there is to tell of the scenes then, and whether it was Ctrl-C.

    Raises:
        CommandError: a call failed before streamspan could see it.
    """
    from streamspan.cli._stage import Stage  # noqa: PLC0415 - imports the SDK, which may be missing

    stage = Stage(scenes, provider, pace)
    is_interrupted = False
    with closing(_screen(f"provider at {provider.url()} · Ctrl-C ends it")) as screen:
        began = time.monotonic()
        try:
            stage.start()
            while not stage.is_over(_TICK * pace):
                _refresh(board, screen, began)
        except KeyboardInterrupt:
            is_interrupted = True
            stage.stop()
            stage.is_over(_GRACE)
        _api.drain()
        lines = _refresh(board, screen, began)
    for line in lines:
        if line.mood == "idle" and line.name in stage.failures:
            raise CommandError(f"scene {line.name} failed: {stage.failures[line.name]!r}")
    return [_as_left(line) for line in lines if line.mood != "idle"], is_interrupted


def _as_left(line: Line) -> Line:
    """Return a line that says so if it was interrupted."""
    return replace(line, state="interrupted", reason=line.state, mood="late") if line.mood in {"open", "late"} else line


def _refresh(board: Board, screen: Screen, began: float) -> list[Line]:
    now_ns = time.monotonic_ns()
    ended = board.look(_api.open_sessions(), now_ns)
    lines = board.lines(now_ns)
    screen.show(lines, [board.line(row, now_ns) for row in ended], time.monotonic() - began)
    return lines


def _screen(footer: str) -> Screen:
    if not _has_live_view():
        return _PlainScreen()
    from streamspan.cli import _live  # noqa: PLC0415 - imports rich, which may be missing

    return _live.LiveScreen(_live.console(), footer)


def _has_live_view() -> bool:
    is_terminal = sys.stdout.isatty() and environment("TERM") not in {"dumb", "unknown"}
    return is_terminal and importlib.util.find_spec("rich") is not None


class _PlainScreen:
    """One line per stream, when it has ended."""

    def close(self) -> None:
        pass

    def show(self, lines: Sequence[Line], ended: Sequence[Line], elapsed: float) -> None:  # noqa: ARG002 - as `Screen`
        """Print the streams that have ended."""
        for line in ended:
            facts = [f"ttft {seconds(line.ttft)}"] if line.ttft is not None else []
            facts.append(f"total {seconds(line.total)}")
            if line.chunks is not None:
                facts.append(f"{line.chunks} chunks")
            print(f"{elapsed:5.1f}s  {line.name:18}{_table.ending(line):34}  {'  '.join(facts)}")
        sys.stdout.flush()


def _conclude(lines: Sequence[Line]) -> None:
    if _has_live_view():
        from streamspan.cli import _live  # noqa: PLC0415

        _live.show_table(lines)
    else:
        print()
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE
        print(_table.plain(lines, width), end="")
        print(f"\n{_table.LEGEND}")
    print(f"\n{_where_next()}")


def _where_next() -> str:
    traces = read_settings(("traces",))["traces"]
    endpoint = traces.target.base
    is_sent = _is_exporting() and "otlp" in traces.exporters
    hints = [
        ("in your code", "import streamspan; streamspan.instrument()"),
        ("without code", "streamspan run app.py"),
        ("the traces", f"sent to {endpoint}" if is_sent else f"set OTEL_EXPORTER_OTLP_ENDPOINT={endpoint}"),
        ("a collector", "streamspan collector --out collector"),
        ("the set-up", "streamspan doctor"),
    ]
    if sys.stdout.isatty() and importlib.util.find_spec("rich") is None:
        hints.insert(0, ("a live view", _INSTALL))
    return "Where to look next\n" + "\n".join(f"  {what:15}{how}" for what, how in hints)
