"""The table of sessions: what each column shows, which columns fit, and the table as plain text.

Pure: numbers in, strings out. The live view shows the same cells. Refuses to know where sessions come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from streamspan._records import SessionSummary

Mood: TypeAlias = Literal["idle", "open", "late", "good", "stopped", "bad"]

_BARS = "▁▂▃▄▅▆▇█"
_MOODS: dict[str, Mood] = {"completed": "good", "cancelled": "stopped"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One session as the table shows it, open or finished; None is shown as an empty cell.

    Args:
        name: what it is called.
        state: where it is, or how it ended.
        reason: why it ended so.
        mood: what the state means, for its colour.
        arrivals: chunks by equal parts of its time.
        rate: tokens or characters per second, with the unit.
        provider_share: of the time that provider and caller took, the provider's.
    """

    name: str
    state: str
    mood: Mood
    model: str = ""
    reason: str = ""
    ttft: float | None = None
    total: float | None = None
    chunks: int | None = None
    rate: str = ""
    wait: float | None = None
    provider_share: float | None = None
    retries: int = 0
    stalls: int = 0
    arrivals: Sequence[int] = field(default_factory=tuple)


def of_summary(summary: SessionSummary, *, name: str, arrivals: Sequence[int] = ()) -> Line:
    """Return the line of a finished session."""
    both = summary.provider_time + summary.consumer_time
    reason = summary.cancel_reason or (summary.error_type or "").rpartition(".")[2]
    return Line(
        name=name,
        model=summary.model or "",
        state=summary.outcome,
        reason="" if reason == summary.outcome else reason,
        mood=_MOODS.get(summary.outcome, "bad"),
        ttft=summary.time_to_first_token,
        total=summary.duration,
        chunks=summary.chunk_count if summary.is_stream else None,
        rate=rate(summary.output_rate, summary.character_rate),
        wait=summary.wait_max,
        provider_share=summary.provider_time / both if both and summary.is_stream else None,
        retries=summary.resend_count,
        stalls=summary.stall_count,
        arrivals=arrivals,
    )


def rate(tokens: float | None, characters: float | None) -> str:
    """Return tokens per second where they are known, else characters per second."""
    if tokens is not None:
        return f"{tokens:.0f} tok/s"
    return "" if characters is None else f"{characters:.0f} ch/s"


def seconds(value: float | None) -> str:
    """Return a time in at most six characters; empty for None."""
    if value is None:
        return ""
    milliseconds = round(value * 1000)
    if milliseconds < 1000:  # noqa: PLR2004
        return f"{milliseconds}ms"
    return f"{value:.2f}s" if value < 100 else f"{value:.0f}s"  # noqa: PLR2004


def sparkline(arrivals: Sequence[int], width: int) -> str:
    """Return the arrivals as bars, a dot where nothing came; neighbours are joined until they fit into `width`."""
    span = max(1, -(-len(arrivals) // max(1, width)))
    parts = [sum(arrivals[at : at + span]) for at in range(0, len(arrivals), span)]
    top = max(parts, default=0)
    return "".join(_BARS[(part * len(_BARS) - 1) // top] if part else "·" for part in parts)


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Args:
        title: its heading.
        cell: what it shows.
        from_width: terminal width from which on it is shown.
        is_number: whether it is aligned to the right.
    """

    title: str
    cell: Callable[[Line], str]
    from_width: int = 0
    is_number: bool = False


def _share(line: Line) -> str:
    return "" if line.provider_share is None else f"{line.provider_share:.0%}/{1 - line.provider_share:.0%}"


def ending(line: Line) -> str:
    """Return how it ended, with the reason and what was odd on the way."""
    state = f"{line.state} ({line.reason})" if line.reason else line.state
    return f"{state}, {_counted(line.stalls, 'stall', 'stalls')}" if line.stalls else state


def _ending_with_retries(line: Line) -> str:
    return f"{ending(line)}, {_counted(line.retries, 'retry', 'retries')}" if line.retries else ending(line)


def _counted(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


_PACE_WIDTH = 20
_FULL = (
    Column("stream", lambda line: line.name),
    Column("model", lambda line: line.model, 132),
    Column("pace", lambda line: sparkline(line.arrivals, _PACE_WIDTH), 118),
    Column("ttft", lambda line: seconds(line.ttft), 0, is_number=True),
    Column("total", lambda line: seconds(line.total), 0, is_number=True),
    Column("chunks", lambda line: "" if line.chunks is None else str(line.chunks), 0, is_number=True),
    Column("rate", lambda line: line.rate, 0, is_number=True),
    Column("wait", lambda line: seconds(line.wait), 0, is_number=True),
    Column("prov/you", _share, 92, is_number=True),
    Column("retries", lambda line: str(line.retries or ""), 100, is_number=True),
)
_ENDING = Column("outcome", ending)
_ENDING_WITH_RETRIES = Column("outcome", _ending_with_retries)


def columns(width: int) -> tuple[Column, ...]:
    """Return the columns for a terminal of `width`."""
    shown = tuple(column for column in _FULL if column.from_width <= width)
    has_retries = any(column.title == "retries" for column in shown)
    return (*shown, _ENDING if has_retries else _ENDING_WITH_RETRIES)


LEGEND = (
    "ttft: time to first token · wait: longest wait between two chunks · "
    "prov/you: who took the time, the provider or the code that reads"
)


def plain(lines: Iterable[Line], width: int) -> str:
    """Return the table as text, for wherever there is no terminal or no rich."""
    shown = columns(width)
    rows = [[column.title for column in shown], *([column.cell(line) for column in shown] for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(shown))]
    return "".join(f"{_row(row, widths, shown)}\n" for row in rows)


def _row(row: Sequence[str], widths: Sequence[int], shown: Sequence[Column]) -> str:
    cells = zip(row, widths, shown, strict=True)
    return "  ".join(
        cell.rjust(width) if column.is_number else cell.ljust(width) for cell, width, column in cells
    ).rstrip()
