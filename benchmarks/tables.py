"""The one place where rows become text: for a terminal, as Markdown, as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.records import Row

_HEAD = ("what", "median", "min..max", "x bare", "budget", "ok")


def as_text(rows: Sequence[Row]) -> str:
    """Return the table for a terminal."""
    cells = [_cells(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(_HEAD, *cells, strict=True)]
    lines = [_line(_HEAD, widths)]
    group = ""
    for row, line in zip(rows, cells, strict=True):
        if row.measure != group:
            group = row.measure
            lines += ["", group]
        lines.append(_line(line, widths))
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}"
        for n, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(("  " + first, *rest)).rstrip()


def as_markdown(rows: Sequence[Row]) -> str:
    """Return one Markdown table, with the measure as its first column."""
    head = ("measure", *_HEAD)
    lines = ["| " + " | ".join(head) + " |", "|---|---|--:|--:|--:|--:|---|"]
    group = ""
    for row in rows:
        title, group = ("" if row.measure == group else row.measure), row.measure
        lines.append("| " + " | ".join((title, *_cells(row))) + " |")
    return "\n".join(lines)


def as_json(rows: Sequence[Row], about: dict[str, Any]) -> str:
    """Return everything that was measured as JSON."""
    return json.dumps({"about": about, "rows": [row.as_json() for row in rows]}, indent=2, ensure_ascii=False)


def _cells(row: Row) -> tuple[str, ...]:
    figure = row.figure
    sign = "≥" if row.is_floor else "≤"
    return (
        row.what,
        f"{_number(figure.median)} {row.unit}",
        f"{_number(figure.low)}..{_number(figure.high)}",
        "" if row.ratio is None else f"{row.ratio:.3f}",
        "" if row.limit is None else f"{sign} {_number(row.limit)} {row.unit}",
        {None: "", True: "yes", False: "NO"}[row.is_ok],
    )


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"
