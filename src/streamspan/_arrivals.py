"""What is kept of every chunk, in constant memory: merged chunk records and a histogram of waits.

Pure: numbers in, numbers out. Times are nanoseconds of the session's clock.
"""

from __future__ import annotations

import math
from array import array

from streamspan._records import ChunkRecord

_COLUMNS = 7  # index, count, characters, reasoning characters, kinds, longest wait, arrival of the first chunk


class Arrivals:
    """Chunk records within a budget: every chunk is in exactly one record, and sums equal the totals.

    Up to the budget a record is one chunk. When the records are full, neighbours are merged pairwise and a record
    then spans twice as many chunks, so that a stream of any length costs the same memory and each chunk a constant
    time (amortised): after n chunks there are between budget / 2 and budget records.
    """

    __slots__ = (
        "_at_ns",
        "_budget",
        "_characters",
        "_chunks",
        "_count",
        "_kinds",
        "_reasoning",
        "_rows",
        "_span",
        "_wait_ns",
    )

    def __init__(self, budget: int) -> None:
        self._budget = max(budget, 1)
        self._rows = array("q")  # the records that are full
        self._span = 1  # chunks per record
        self._chunks = 0  # in full records
        # The record that is being filled: in attributes, because an array costs three times as much to add to.
        self._count = 0
        self._characters = self._reasoning = self._kinds = self._wait_ns = self._at_ns = 0

    def add(self, characters: int, reasoning: int, kinds: int, wait_ns: int, at_ns: int) -> None:
        """Take one chunk."""
        if self._count == self._span:
            self._next_record()
        if self._count:
            self._count += 1
            self._characters += characters
            self._reasoning += reasoning
            self._kinds |= kinds
            if wait_ns > self._wait_ns:
                self._wait_ns = wait_ns
            return
        self._count = 1
        self._characters = characters
        self._reasoning = reasoning
        self._kinds = kinds
        self._wait_ns = wait_ns
        self._at_ns = at_ns

    def records(self, most: int | None = None) -> list[ChunkRecord]:
        """Return the records, merged further if there are more than `most` of them."""
        rows = self._all_rows()
        while most is not None and len(rows) > max(most, 1) * _COLUMNS:
            rows = _merged(rows)
        return [ChunkRecord(*rows[n : n + _COLUMNS]) for n in range(0, len(rows), _COLUMNS)]

    def _open_row(self) -> tuple[int, ...]:
        return (
            self._chunks,
            self._count,
            self._characters,
            self._reasoning,
            self._kinds,
            self._wait_ns,
            self._at_ns,
        )

    def _all_rows(self) -> array[int]:
        return self._rows + array("q", self._open_row()) if self._count else self._rows

    def _next_record(self) -> None:
        """Put the full record away; when that makes as many as the budget, merge them pairwise."""
        rows = self._rows
        rows.extend(self._open_row())
        self._chunks += self._count
        self._count = 0
        if len(rows) < self._budget * _COLUMNS:
            return
        self._rows = rows = _merged(rows)
        self._span *= 2
        if rows[1 - _COLUMNS] < self._span:  # an odd budget leaves the last record half full: it is filled further
            last = rows[-_COLUMNS:]
            del rows[-_COLUMNS:]
            self._chunks, self._count, self._characters, self._reasoning, self._kinds, self._wait_ns, self._at_ns = last


def _merged(rows: array[int]) -> array[int]:
    """Merge neighbouring rows pairwise; a last row without a neighbour stays."""
    out = array("q")
    pair = 2 * _COLUMNS
    for n in range(0, len(rows) - _COLUMNS, pair):
        index, count, chars, thoughts, kinds, wait, at, _, count2, chars2, thoughts2, kinds2, wait2, _ = rows[
            n : n + pair
        ]
        out.extend((index, count + count2, chars + chars2, thoughts + thoughts2, kinds | kinds2, max(wait, wait2), at))
    if len(rows) // _COLUMNS % 2:
        out.extend(rows[-_COLUMNS:])
    return out


# A wait falls into one of 16 equal parts of its octave, so the middle of a part is off by at most 1/32 (3.1 %) of its
# lower edge. There is a short list for each octave that occurs: one flat array needs bounds and offsets, and
# `array[i] += 1` with them takes twice as long.
_OCTAVES = 65  # by bit length: 0 to 2**64 ns
_PARTS = 16
_SHIFTS = tuple(max(bits - 5, 0) for bits in range(_OCTAVES))


class Waits:
    """A log-scale histogram of waits: quantiles within 5 %, maximum exact, bounded size."""

    __slots__ = ("_octaves", "max_ns")

    def __init__(self) -> None:
        self._octaves: list[list[int] | None] = [None] * _OCTAVES
        self.max_ns = -1

    def add(self, wait_ns: int) -> None:
        """Take one wait."""
        if wait_ns > self.max_ns:
            self.max_ns = wait_ns
        bits = wait_ns.bit_length()
        octave = self._octaves[bits]
        if octave is None:
            octave = self._octaves[bits] = [0] * _PARTS
        # The bit above these four is the octave's own; below 32 ns there is one part per nanosecond.
        octave[(wait_ns >> _SHIFTS[bits]) & (_PARTS - 1)] += 1

    @property
    def count(self) -> int:
        """How many waits there were."""
        return sum(sum(octave) for octave in self._octaves if octave)

    def quantile(self, q: float) -> float | None:
        """Return the `q` quantile in seconds (nearest rank), None without waits."""
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for bits, octave in enumerate(self._octaves):
            for part, waits in enumerate(octave or ()):
                seen += waits
                if seen >= rank:
                    return min(_middle_ns(bits, part), self.max_ns) / 1e9
        return None


def _middle_ns(bits: int, part: int) -> float:
    shift = _SHIFTS[bits]
    if not shift:
        return part + (_PARTS if bits > 4 else 0)  # noqa: PLR2004 - five bits: 16 to 31 ns
    return (_PARTS + part + 0.5) * (1 << shift)
