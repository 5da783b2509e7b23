"""The board: what is known of each scene at a moment, from open sessions and from the summaries of finished ones.

Knows sessions and summaries. Refuses to know terminals and SDKs.
"""

from __future__ import annotations

import queue
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from streamspan._endings import State
from streamspan._records import SessionSummary
from streamspan._session import Session
from streamspan.cli._scenes import Scene
from streamspan.cli._table import Line, of_summary, rate


@dataclass(slots=True)
class Row:
    """One scene: its session while it is open, its summary afterwards, and when its chunks came.

    `moved_ns` is when a chunk was seen last, as exact as the looks are frequent.
    """

    scene: Scene
    session: Session | None = None
    summary: SessionSummary | None = None
    arrivals: list[int] = field(default_factory=list[int])
    seen: int = 0
    moved_ns: int = 0

    def count(self, chunks: int, part: int) -> None:
        """Put the chunks that were not seen before into this part of the session's time."""
        self.arrivals.extend([0] * (part + 1 - len(self.arrivals)))
        self.arrivals[part] += chunks - self.seen
        self.seen = chunks


class Board:
    """All scenes, in order. `ended` may be called from any thread, everything else from one.

    Args:
        scenes: what is played.
        part_ns: length of the equal parts in which chunks are counted.
        stall_ns: wait that counts as a stall.
    """

    def __init__(self, scenes: Sequence[Scene], *, part_ns: int, stall_ns: int) -> None:
        self.rows = [Row(scene) for scene in scenes]
        self._part_ns = part_ns
        self._stall_ns = stall_ns
        self._by_model = {row.scene.model: row for row in self.rows}
        self._by_name = {row.scene.name: row for row in self.rows}
        self._ended: queue.SimpleQueue[SessionSummary] = queue.SimpleQueue()

    def ended(self, summary: SessionSummary) -> None:
        """Take a finished session; `look` shows it."""
        self._ended.put(summary)

    def look(self, sessions: Iterable[Session], now_ns: int) -> list[Row]:
        """Bring the rows up to date; return those that have ended since the last look."""
        for session in sessions:
            row = self._by_model.get(session.request.model or "")
            if row is not None and row.summary is None:
                row.session = session
                if session.chunk_count != row.seen:
                    row.moved_ns = now_ns
                row.count(session.chunk_count, max(0, now_ns - session.started_at) // self._part_ns)
        return [row for summary in self._taken() if (row := self._end(summary)) is not None]

    def _taken(self) -> list[SessionSummary]:
        return [self._ended.get_nowait() for _ in range(self._ended.qsize())]

    def _end(self, summary: SessionSummary) -> Row | None:
        row = self._by_name.get(summary.session_id or "")
        if row is None:
            return None
        row.session, row.summary = None, summary
        if summary.is_stream:
            row.count(summary.chunk_count, int(summary.duration * 1e9) // self._part_ns)
        return row

    def lines(self, now_ns: int) -> list[Line]:
        """Return every scene as a line of the table."""
        return [self.line(row, now_ns) for row in self.rows]

    def line(self, row: Row, now_ns: int) -> Line:
        """Return one row as a line of the table."""
        if row.summary is not None:
            return of_summary(row.summary, name=row.scene.name, arrivals=row.arrivals)
        if row.session is None:
            return Line(name=row.scene.name, state="", mood="idle")
        return self._open_line(row, row.session, now_ns)

    def _open_line(self, row: Row, session: Session, now_ns: int) -> Line:
        wait_ns = now_ns - row.moved_ns if row.seen and session.reader else 0
        is_late = wait_ns >= self._stall_ns
        longest = max(wait_ns if is_late else 0, 0 if session.waits is None else session.waits.max_ns)
        return Line(
            name=row.scene.name,
            model=session.request.model or "",
            state=f"stalled {wait_ns / 1e9:.1f}s" if is_late else _STATES[session.state],
            mood="late" if is_late else "open",
            ttft=session.seconds_to(session.first_output_at),
            total=(now_ns - session.started_at) / 1e9,
            chunks=session.chunk_count if session.request.is_stream else None,
            rate=rate(None, session.character_rate),
            wait=longest / 1e9 if longest else None,
            retries=session.resend_count,
            arrivals=row.arrivals,
        )


_STATES = {
    State.REQUESTED: "calling",
    State.OPEN: "waiting",
    State.STREAMING: "streaming",
    State.FINISHED: "finishing",
    State.FAULTED: "failing",
    State.ENDED: "ended",
}
