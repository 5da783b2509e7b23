"""The table of sessions: cells, columns for each width, and the same lines drawn by rich."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from cli.summaries import SUMMARY
from streamspan.cli._live import final_table, live_view
from streamspan.cli._table import Line, columns, of_summary, plain, rate, seconds, sparkline

LINE = of_summary(SUMMARY, name="stalled", arrivals=(4, 0, 8))
LINES = [
    LINE,
    Line(
        name="open-one",
        state="streaming",
        mood="open",
        model="gpt-5-mini",
        ttft=0.1,
        total=1.0,
        chunks=7,
        rate="9 ch/s",
    ),
    of_summary(replace(SUMMARY, outcome="timeout", error_type="openai.APITimeoutError"), name="slow-first-token"),
    of_summary(replace(SUMMARY, outcome="cancelled", cancel_reason="task_cancelled"), name="task-cancelled"),
    Line(name="later", state="", mood="idle"),
]


def drawn(what: object, width: int) -> list[str]:
    """Return what rich shows on a terminal of this width, without colours."""
    console = Console(
        file=io.StringIO(), record=True, width=width, height=24, force_terminal=True, legacy_windows=False
    )
    console.print(what)
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_a_summary_becomes_a_line() -> None:
    """Every figure of the line is the summary's."""
    expected = Line(
        name="stalled", state="completed", mood="good", model="gpt-5", ttft=0.049, total=5.5, chunks=93, rate="17 tok/s",
        wait=2.234, provider_share=5.0 / 5.5, retries=2, stalls=1, arrivals=(4, 0, 8),
    )  # fmt: skip
    assert expected == LINE


def test_a_call_without_a_stream_has_no_chunks_and_no_shares() -> None:
    """What only streams have is empty, not 0."""
    line = of_summary(replace(SUMMARY, is_stream=False, chunk_count=0, wait_max=None), name="x")
    assert (line.chunks, line.provider_share, line.wait) == (None, None, None)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, ""), (0.0, "0ms"), (0.9994, "999ms"), (0.9996, "1.00s"), (99.994, "99.99s"), (123.4, "123s")],
)
def test_times_are_short(value: float | None, shown: str) -> None:
    """Milliseconds under a second, then seconds; never more than six characters."""
    assert seconds(value) == shown


def test_the_rate_is_in_tokens_where_they_are_known() -> None:
    """Characters only stand in for tokens."""
    assert [rate(10.4, 50.0), rate(None, 50.4), rate(None, None)] == ["10 tok/s", "50 ch/s", ""]


@pytest.mark.parametrize(
    ("arrivals", "width", "shown"),
    [
        ((), 5, ""),
        ((0, 0), 5, "··"),
        ((1, 2, 4, 8), 5, "▁▂▄█"),
        ((8, 1, 0), 5, "█▁·"),
        ((1, 1, 2, 2, 4), 3, "▄██"),
    ],
)
def test_arrivals_are_bars(arrivals: tuple[int, ...], width: int, shown: str) -> None:
    """The highest bar is the most; nothing is a dot, anything is at least the lowest bar; neighbours join to fit."""
    assert sparkline(arrivals, width) == shown


@pytest.mark.parametrize("width", [80, 100, 120, 140])
def test_the_columns_fit(width: int) -> None:
    """At usual widths no line of the plain table is too long and no number is cut."""
    text = plain(LINES[:2], width)
    assert max(map(len, text.splitlines())) <= width
    assert "17 tok/s" in text


def test_narrow_tables_tell_retries_beside_the_outcome() -> None:
    """What has no column of its own is not lost."""
    assert [column.title for column in columns(80)] == ["stream", "ttft", "total", "chunks", "rate", "wait", "outcome"]
    assert plain([LINE], 80).splitlines()[1].endswith("completed, 1 stall, 2 retries")
    assert plain([LINE], 140).splitlines()[1].endswith("2  completed, 1 stall")


def test_the_wide_table_has_every_column() -> None:
    """Model, pace, shares and retries are there when there is room."""
    assert plain([LINE], 140) == (
        "stream   model  pace  ttft  total  chunks      rate   wait  prov/you  retries  outcome\n"
        "stalled  gpt-5  ▄·█   49ms  5.50s      93  17 tok/s  2.23s    91%/9%        2  completed, 1 stall\n"
    )


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_final_table_cuts_reasons_and_no_numbers(width: int) -> None:
    """Drawn by rich, every line fits and shows its figures in full."""
    rows = drawn(final_table(LINES[:4], width), width)
    assert len(rows) == 5
    assert max(map(len, rows)) <= width
    assert all("17 tok/s" in row and "2.23s" in row for row in (rows[1], rows[3], rows[4]))


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_live_view_fits(width: int) -> None:
    """The view shows each stream on one line, and says how many are open."""
    rows = drawn(live_view(LINES, 3.25, "footer", width=width, height=24), width)
    assert max(map(len, rows)) <= width
    assert rows[0] == "streamspan demo   1 open · 3 of 5 finished · 3.2 s"
    assert [row.split()[1] for row in rows[3:8]] == [line.name for line in LINES]
    assert rows[8] == "footer"
    assert len(rows) == 9


def test_nothing_moves_while_numbers_grow() -> None:
    """The columns are as wide for an empty view as for a full one."""
    empty = drawn(live_view([LINES[-1]], 0.0, "", width=100, height=24), 100)
    full = drawn(live_view(LINES, 0.0, "", width=100, height=24), 100)
    assert empty[2] == full[2]


def test_a_low_terminal_drops_what_is_over() -> None:
    """Where there is no room for all, finished streams go first."""
    rows = drawn(live_view(LINES, 0.0, "footer", width=100, height=6), 100)
    assert [row.split()[1] for row in rows[3:-1]] == ["open-one", "later"]
