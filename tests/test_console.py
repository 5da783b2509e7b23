"""The line per finished stream: what it shows, where it goes, and when it has colours."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from streamspan import _console
from streamspan._config import Config
from streamspan._records import SessionSummary
from streamspan._session import Session
from streamspan._summary import summarize
from telemetry_rig import DONE, HELLO, REQUEST, Rig, Step, failure, text


def _summary(end: Callable[[Session], None] = Session.exhausted, steps: tuple[Step, ...] = HELLO) -> SessionSummary:
    rig = Rig()
    session = rig.stream(steps)
    end(session)
    return summarize(session)


class _Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_line_has_what_one_wants_to_know_first() -> None:
    """Time to first token, total, chunks, rate, longest wait, pace and outcome."""
    assert _console.line(_summary(), (0, 0, 1, 8, 4)) == (
        "● chat gpt-4o  ttft 500ms  total 1.50s  4 chunks  8.0 tok/s  max wait 500ms  ··▁█▄  completed"
    )


def test_without_token_counts_the_rate_is_of_characters() -> None:
    """Token counts are never made up, on the console neither."""
    steps = ((0.25, text("ab")), (0.5, text("abcd", finish_reason="stop")))
    assert _console.line(_summary(steps=steps)) == (
        "● chat gpt-4o  ttft 250ms  total 750ms  2 chunks  8 chars/s  max wait 500ms  completed"
    )


@pytest.mark.parametrize(
    ("end", "shown"),
    [
        (lambda s: s.closed(), "cancelled (closed)"),
        (lambda s: s.exhausted(), "truncated"),
        (lambda s: s.failed(failure("httpx.ReadTimeout", is_timeout=True)), "timeout (httpx.ReadTimeout)"),
        (lambda s: s.failed(failure("overloaded_error")), "error (overloaded_error)"),
    ],
)
def test_other_endings_say_why(end: Callable[[Session], None], shown: str) -> None:
    """The reason of a cancel and the type of an error follow the outcome."""
    line = _console.line(_summary(end, ((0.25, text("a")),)))
    assert line == f"● chat gpt-4o  ttft 250ms  total 250ms  1 chunk  {shown}"


def test_a_stream_that_never_came_is_short() -> None:
    """Without a chunk there is no time to the first token."""
    rig = Rig()
    session = rig.open(replace(REQUEST, model=None))
    rig.clock.wait(0.9996)
    session.failed(failure("429"))
    assert _console.line(summarize(session)) == "● chat  total 1.00s  0 chunks  error (429)"


def test_stalls_and_retries_are_shown_when_there_are_any() -> None:
    """They explain a slow stream."""
    summary = replace(_summary(), stall_count=1, resend_count=1)
    assert "max wait 500ms  1 stall  1 retry  completed" in _console.line(summary)
    assert "2 stalls  2 retries" in _console.line(replace(summary, stall_count=2, resend_count=2))


def test_nothing_from_the_wire_can_steer_the_terminal() -> None:
    """Escape sequences and line breaks in names are shown as question marks."""
    summary = replace(_summary(), model="m\x1b[2J\n", outcome="error", error_type="e\r\x07")
    line = _console.line(summary)
    assert line.startswith("● chat m?[2J?  ")
    assert line.endswith("error (e??)")


def test_colours_are_for_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file or pipe gets plain text, a terminal gets the colour of the outcome."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    summary, file, terminal = _summary(), io.StringIO(), _Terminal()
    _console.show(summary, stream=file)
    _console.show(summary, stream=terminal)
    assert file.getvalue() == _console.line(summary) + "\n"
    assert terminal.getvalue().startswith("\x1b[32m●\x1b[0m chat gpt-4o  \x1b[2mttft 500ms\x1b[0m")
    assert terminal.getvalue().endswith("\x1b[32mcompleted\x1b[0m\n")


@pytest.mark.parametrize(
    ("outcome", "colour"),
    [("completed", 32), ("cancelled", 33), ("truncated", 31), ("timeout", 31), ("error", 31)],
)
def test_each_outcome_has_its_colour(outcome: str, colour: int) -> None:
    """Green is well, yellow is the caller's own doing, red is a failure."""
    summary: SessionSummary = replace(_summary(), outcome=outcome)  # type: ignore[arg-type] # a str from the table
    assert _console.line(summary, is_coloured=True).startswith(f"\x1b[{colour}m●")


@pytest.mark.parametrize(("value", "is_plain"), [("1", True), ("", False)])
def test_no_color_is_honoured(value: str, is_plain: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """`NO_COLOR` with any value switches colours off; an empty one counts as not set."""
    monkeypatch.setenv("NO_COLOR", value)
    terminal = _Terminal()
    _console.show(_summary(), stream=terminal)
    assert ("\x1b" not in terminal.getvalue()) == is_plain


def test_a_terminal_that_cannot_show_it_gets_question_marks() -> None:
    """An ASCII stream is no reason to fail."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    _console.show(_summary(), (0, 1, 2), stream=stream)
    assert raw.getvalue().startswith(b"? chat gpt-4o  ttft 500ms")


def test_without_stderr_nothing_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program without a console has no stderr, and no fault either."""
    monkeypatch.setattr(sys, "stderr", None)
    _console.show(_summary())


def test_the_recorder_shows_each_finished_stream(capsys: pytest.CaptureFixture[str]) -> None:
    """With `STREAMSPAN_CONSOLE=true` each stream is a line on stderr with its pace, and other calls are none."""
    rig = Rig(Config(console=True))
    rig.complete()
    rig.open(replace(REQUEST, is_stream=False)).answered(DONE)
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "● chat gpt-4o  ttft 500ms  total 1.50s  4 chunks  8.0 tok/s  max wait 500ms  ···█··▆···  completed\n"
    )


def test_the_console_is_quiet_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed unless asked for."""
    Rig().complete()
    assert capsys.readouterr() == ("", "")


def test_a_stderr_that_is_closed_does_not_reach_the_stream(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The span and the summary are there, and the fault is logged once."""
    closed = io.StringIO()
    closed.close()
    rig = Rig(Config(console=True))
    monkeypatch.setattr(sys, "stderr", closed)
    rig.complete()
    rig.complete()
    assert len(rig.spans) == len(rig.summaries) == 2
    assert len(caplog.records) == 1
