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


# A wait falls into one of 12 equal parts of its octave, so the middle of a part is off by at most 1/24 (4.2 %) of its
# lower edge. Octaves are from 2**10 ns (about a microsecond: shorter waits are all one) to 2**41 ns (over half an hour).
# Tables by bit length stand for the bounds and offsets that a flat array needs, at a third of their price.
_PARTS = 12
_LOWEST, _HIGHEST = 11, 41  # bit lengths
_OCTAVES = _HIGHEST - _LOWEST + 1
_BITS = range(65)
_STARTS = tuple(1 + _PARTS * (min(max(bits, _LOWEST), _HIGHEST) - _LOWEST - 1) for bits in _BITS)


class Waits:
    """A log-scale histogram of waits: quantiles within 5 % from a microsecond up, maximum exact, fixed size."""

    __slots__ = ("_counts", "max_ns")

    def __init__(self) -> None:
        self._counts = array("H", bytes(2 * (1 + _PARTS * _OCTAVES)))
        self.max_ns = -1

    def add(self, wait_ns: int) -> None:
        """Take one wait."""
        if wait_ns > self.max_ns:
            self.max_ns = wait_ns
        bits = wait_ns.bit_length()
        if bits < _LOWEST:
            index = 0
        elif bits > _HIGHEST:
            index = -1
        else:
            # 12 to 23 twelfths of the octave's lower edge; the table takes the first 12 off.
            index = _STARTS[bits] + (wait_ns * _PARTS >> bits - 1)
        try:
            self._counts[index] += 1
        except OverflowError:  # 65,535 waits of one length: a stream as long as that may have wider counts
            self._counts = array("Q", self._counts)
            self._counts[index] += 1

    @property
    def count(self) -> int:
        """How many waits there were."""
        return sum(self._counts)

    def quantiles(self, *shares: float) -> list[float | None]:
        """Return the quantiles of the given shares, in rising order, in seconds (nearest rank); None without waits."""
        count = self.count
        found: list[float | None] = [None] * len(shares)
        ranks = [max(1, math.ceil(share * count)) for share in shares]
        seen = done = 0
        for index, waits in enumerate(self._counts):
            seen += waits
            while done < len(ranks) and waits and seen >= ranks[done]:
                found[done] = min(_middle_ns(index), self.max_ns) / 1e9
                done += 1
        return found


def _middle_ns(index: int) -> float:
    if not index:
        return 0.0
    octave, part = divmod(index - 1, _PARTS)
    return (_PARTS + part + 0.5) / _PARTS * (1 << octave + _LOWEST - 1)
