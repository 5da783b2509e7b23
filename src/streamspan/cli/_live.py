"""The view on a terminal, with rich: one line per stream while they run, the table of sessions at the end.

Knows rich. Shows what the board says; refuses to know how it came to know.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streamspan.cli import _table
from streamspan.cli._table import Line, Mood, seconds, sparkline

_STYLES: dict[Mood, str] = {
    "idle": "dim",
    "open": "cyan",
    "late": "bold yellow",
    "good": "green",
    "stopped": "yellow",
    "bad": "red",
}
_MARKS: dict[Mood, str] = {"idle": "·", "open": "▶", "late": "▶", "good": "●", "stopped": "●", "bad": "●"}
_FRAME = 4  # title, empty line, headings, footer


class LiveScreen:
    """Redraws in place; leaves nothing behind, and the cursor as it was."""

    def __init__(self, console: Console, footer: str) -> None:
        self._console = console
        self._footer = footer
        # Refreshed by `show` only: a second thread that redraws would show half of a change.
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")
        self._live.start()

    def close(self) -> None:
        """Take the view away."""
        self._live.stop()

    def show(self, lines: Sequence[Line], ended: Sequence[Line], elapsed: float) -> None:  # noqa: ARG002 - as `Screen`
        """Draw the lines as they are now."""
        view = live_view(lines, elapsed, self._footer, width=self._console.width, height=self._console.height)
        self._live.update(view, refresh=True)


def live_view(lines: Sequence[Line], elapsed: float, footer: str, *, width: int, height: int) -> Group:
    """Return the whole view; where the terminal is too low for all lines, what is over for longest goes first."""
    running = sum(line.mood in {"open", "late"} for line in lines)
    over = sum(line.mood not in {"idle", "open", "late"} for line in lines)
    title = Text.assemble(
        ("streamspan demo", "bold"),
        (f"   {running} open · {over} of {len(lines)} finished · {elapsed:.1f} s", "dim"),
    )
    table = _grid()
    for column in _live_columns(width):
        table.add_column(
            column.title, justify="right" if column.is_number else "left", no_wrap=True, min_width=column.room
        )
    for line in _fitting(lines, height - _FRAME):
        table.add_row(*(column.cell(line) for column in _live_columns(width)))
    return Group(title, Padding(table, (1, 0, 0, 0)), Text(footer, style="dim", no_wrap=True, overflow="ellipsis"))


def _fitting(lines: Sequence[Line], room: int) -> list[Line]:
    surplus = max(0, len(lines) - max(1, room))
    over = [line.name for line in lines if line.mood not in {"idle", "open", "late"}][:surplus]
    return [line for line in lines if line.name not in over][: max(1, room)]


class _LiveColumn:
    """A column of the live view. Each has room for its widest cell, so that nothing moves while numbers grow."""

    __slots__ = ("cell", "is_number", "room", "title")

    def __init__(self, title: str, room: int, cell: Callable[[Line], Text], *, is_number: bool = True) -> None:
        self.title = title
        self.room = room
        self.cell = cell
        self.is_number = is_number


def _live_columns(width: int) -> list[_LiveColumn]:
    pace = 16 if width < 96 else 26 if width < 120 else 40  # noqa: PLR2004 - widths of usual terminals
    is_wide = width >= 96  # noqa: PLR2004
    shown = [
        _LiveColumn("stream", 18, _named, is_number=False),
        _LiveColumn("pace", pace, lambda line: _paced(line, pace), is_number=False),
        _LiveColumn("ttft", 6, lambda line: _plain(seconds(line.ttft), line)),
        _LiveColumn("chunks", 6, lambda line: _plain(str(line.chunks or ""), line)),
        _LiveColumn("rate", 9, lambda line: _plain(line.rate, line)),
        _LiveColumn("wait", 6, lambda line: _plain(seconds(line.wait), line)),
        _LiveColumn("state", 26 if is_wide else 12, lambda line: _stated(line, is_full=is_wide), is_number=False),
    ]
    if width >= 134:  # noqa: PLR2004
        shown.insert(1, _LiveColumn("model", 13, lambda line: _plain(line.model, line), is_number=False))
    return shown if width >= 80 else [column for column in shown if column.title not in {"rate", "chunks"}]  # noqa: PLR2004


def _named(line: Line) -> Text:
    return Text.assemble(
        (_MARKS[line.mood], _STYLES[line.mood]), " ", (line.name, "dim" if line.mood == "idle" else "")
    )


def _paced(line: Line, width: int) -> Text:
    return Text(sparkline(line.arrivals, width), style=_STYLES[line.mood])


def _plain(cell: str, line: Line) -> Text:
    return Text(cell, style="" if line.mood in {"open", "late"} else "dim")


def _stated(line: Line, *, is_full: bool) -> Text:
    state = f"{line.state} ({line.reason})" if line.reason and is_full else line.state
    return Text(state, style=_STYLES[line.mood])


def _grid() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")


def console() -> Console:
    """Return a console on what is stdout now; nothing in it is highlighted that was not meant to be."""
    return Console(highlight=False)


def show_table(lines: Sequence[Line]) -> None:
    """Print the table of sessions."""
    out = console()
    out.print(final_table(lines, out.width))
    out.print(Text(f"\n{_table.LEGEND}", style="dim"))


def final_table(lines: Sequence[Line], width: int) -> Table:
    """Return the table of sessions with the columns that fit."""
    table = _grid()
    shown = _table.columns(width)
    rooms = [max(len(column.title), *(len(column.cell(line)) for line in lines)) for column in shown]
    # Where it is too narrow, the reason at the end of a line is cut, never a number.
    rooms[-1] = max(len(shown[-1].title), min(rooms[-1], width - sum(rooms[:-1]) - len(rooms)))
    for column, room in zip(shown, rooms, strict=True):
        justify: Literal["left", "right"] = "right" if column.is_number else "left"
        table.add_column(column.title, justify=justify, no_wrap=True, width=room)
    for line in lines:
        style = _STYLES[line.mood]
        cells = [
            Text(column.cell(line), style=style if column.title in {"outcome", "pace"} else "") for column in shown
        ]
        table.add_row(*cells)
    return table
