"""The board: open sessions and summaries become lines, and chunks are counted where they belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cli.summaries import SUMMARY
from streamspan._records import Delta, Request
from streamspan._session import Session
from streamspan.cli._board import Board
from streamspan.cli._scenes import SCENES, Scene

SECOND = 1_000_000_000
SCENE = Scene(name="one", about="", start=0.0, model="m1")


class Listener:
    """An observer that does nothing."""

    arrivals: Callable[[Sequence[int]], object] | None = None

    def ended(self, session: Session) -> None: ...

    def forgotten(self) -> None: ...


class Stream:
    """A session on a clock that the test sets."""

    def __init__(self, model: str = "m1") -> None:
        self.now = 0
        self.session = Session(
            Request(operation="chat", provider="openai", layer="openai", model=model),
            clock=lambda: self.now, observer=Listener(), read=lambda chunk: chunk, started_unix_ns=0,
        )  # fmt: skip

    def chunks(self, *at: int) -> None:
        for moment in at:
            self.session.pull(1)
            self.now = moment
            self.session.arrived(Delta(text="abc", choice=0))
        self.session.pull(1)


def board(*scenes: Scene) -> Board:
    return Board(scenes or (SCENE,), part_ns=SECOND, stall_ns=3 * SECOND)


def test_scenes_are_told_apart() -> None:
    """No two scenes share a name or a model."""
    assert len({scene.name for scene in SCENES}) == len({scene.model for scene in SCENES}) == len(SCENES)


def test_what_has_not_begun_is_idle() -> None:
    """Without session and summary a scene has its name and nothing else."""
    line = board().lines(0)[0]
    assert (line.name, line.state, line.mood, line.arrivals) == ("one", "", "idle", ())


def test_an_open_session_is_shown_as_it_goes() -> None:
    """State, first token, chunks and their times are those of the session."""
    view, stream = board(), Stream()
    view.look([stream.session], 0)
    assert view.lines(0)[0].state == "calling"
    stream.session.headers(200, None)
    view.look([stream.session], 0)
    assert view.lines(0)[0].state == "waiting"
    stream.chunks(SECOND // 2, SECOND)
    view.look([stream.session], SECOND)
    stream.chunks(2 * SECOND + 1)
    view.look([stream.session], 3 * SECOND)
    line = view.lines(3 * SECOND)[0]
    assert (line.state, line.mood, line.ttft, line.total, line.chunks) == ("streaming", "open", 0.5, 3.0, 3)
    assert line.arrivals == [0, 2, 0, 1]


def test_a_wait_in_progress_is_a_stall_when_it_is_long_enough() -> None:
    """The stall limit is what makes a wait one, and the wait so far is shown."""
    view, stream = board(), Stream()
    stream.chunks(SECOND, 2 * SECOND)
    view.look([stream.session], 2 * SECOND)
    assert (view.lines(5 * SECOND - 1)[0].state, view.lines(5 * SECOND - 1)[0].wait) == ("streaming", 1.0)
    late = view.lines(5 * SECOND)[0]
    assert (late.state, late.mood, late.wait) == ("stalled 3.0s", "late", 3.0)


def test_a_summary_ends_a_row_and_brings_the_rest_of_its_chunks() -> None:
    """Chunks since the last look count where the session ended; the row is reported once."""
    view, stream = board(), Stream()
    stream.chunks(SECOND // 2)
    view.look([stream.session], SECOND // 2)
    summary: Any = replace(SUMMARY, session_id="one", model="m1", duration=2.5, chunk_count=4)
    view.ended(summary)
    ended = view.look([stream.session], 3 * SECOND)
    assert [row.scene.name for row in ended] == ["one"]
    assert (view.lines(9 * SECOND)[0].mood, view.lines(9 * SECOND)[0].total) == ("good", 2.5)
    assert sum(view.rows[0].arrivals) == 4
    assert view.look([stream.session], 4 * SECOND) == []


def test_what_is_no_scene_is_left_out() -> None:
    """Sessions and summaries of other calls change nothing."""
    view = board()
    view.ended(SUMMARY)
    assert view.look([Stream("other").session], 0) == []
    assert view.lines(0)[0].mood == "idle"
