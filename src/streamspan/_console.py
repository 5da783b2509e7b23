"""One line per finished stream on stderr, for people who look at a terminal.

    * chat gpt-4o  ttft 400ms  total 3.28s  180 chunks  62.4 tok/s  max wait 820ms  ..12465  completed

The pace (the row of bars; dots where nothing came) shows how the output arrived over the stream's time. Knows the
record of a finished session; refuses to know where it comes from.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from streamspan._config import environment
from streamspan._records import Outcome, SessionSummary

_BARS = "▁▂▃▄▅▆▇█"
_GREEN, _YELLOW, _RED, _DIM, _RESET = "\x1b[32m", "\x1b[33m", "\x1b[31m", "\x1b[2m", "\x1b[0m"
_COLOURS: dict[Outcome, str] = {
    "completed": _GREEN,
    "cancelled": _YELLOW,
    "truncated": _RED,
    "timeout": _RED,
    "error": _RED,
}


def show(summary: SessionSummary, pace: Sequence[int] = (), stream: TextIO | None = None) -> None:
    """Write the line of a finished stream in one piece, to `stream` or else to what is stderr now."""
    stream = sys.stderr if stream is None else stream
    # `stderr` is None under pythonw, whatever the stubs say.
    if stream is None:  # pyright: ignore[reportUnnecessaryComparison]
        return
    text = line(summary, pace, is_coloured=_takes_colours(stream)) + "\n"
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "replace").decode(encoding))
    stream.flush()


def line(summary: SessionSummary, pace: Sequence[int] = (), *, is_coloured: bool = False) -> str:
    """Return the line of a finished stream, without its end."""
    colour, dim, reset = (_COLOURS[summary.outcome], _DIM, _RESET) if is_coloured else ("", "", "")
    name = f"{summary.operation} {summary.model}" if summary.model else summary.operation
    parts = [f"{colour}●{reset} {_plain(name)}", *(f"{dim}{fact}{reset}" for fact in _facts(summary))]
    if any(pace):
        parts.append(_bars(pace))
    parts.append(f"{colour}{_plain(_ending(summary))}{reset}")
    return "  ".join(parts)


def _facts(summary: SessionSummary) -> list[str]:
    chunks = summary.chunk_count
    facts = [f"total {_seconds(summary.duration)}", f"{chunks} chunk{'' if chunks == 1 else 's'}"]
    if summary.time_to_first_token is not None:
        facts.insert(0, f"ttft {_seconds(summary.time_to_first_token)}")
    if summary.output_rate is not None:
        facts.append(f"{summary.output_rate:.1f} tok/s")
    elif summary.character_rate is not None:
        facts.append(f"{summary.character_rate:.0f} chars/s")
    if summary.wait_max is not None:
        facts.append(f"max wait {_seconds(summary.wait_max)}")
    if summary.stall_count:
        facts.append(f"{summary.stall_count} stall{'' if summary.stall_count == 1 else 's'}")
    if summary.resend_count:
        facts.append(f"{summary.resend_count} retr{'y' if summary.resend_count == 1 else 'ies'}")
    return facts


def _ending(summary: SessionSummary) -> str:
    detail = summary.cancel_reason or summary.error_type
    if detail is None or detail == summary.outcome:
        return summary.outcome
    return f"{summary.outcome} ({detail})"


def _seconds(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds}ms" if milliseconds < 1000 else f"{seconds:.2f}s"  # noqa: PLR2004


def _bars(pace: Sequence[int]) -> str:
    top = max(pace)
    return "".join(_BARS[(characters * len(_BARS) - 1) // top] if characters else "·" for characters in pace)


def _plain(text: str) -> str:
    # Model names and error types come off the wire: an escape sequence in them must not reach the terminal.
    return "".join(c if c.isprintable() else "?" for c in text)


def _takes_colours(stream: TextIO) -> bool:
    return stream.isatty() and not environment("NO_COLOR")
