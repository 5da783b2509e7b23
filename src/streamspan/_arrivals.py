"""What is kept of every chunk, in constant memory: merged chunk records and a histogram of waits.

Pure: numbers in, numbers out. Times are nanoseconds of the session's clock.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from itertools import accumulate

from streamspan._records import ChunkRecord

_COLUMNS = 5  # characters, reasoning characters, kinds, longest wait, arrival of the first chunk


class Arrivals:
    """Chunk records within a budget: every chunk is in exactly one record, and sums equal the totals.

    Up to the budget a record is one chunk. When the records are full, neighbours are merged pairwise and a record
    then spans twice as many chunks, so that a stream of any length costs the same memory and each chunk a constant
    time (amortised): after n chunks there are between budget / 2 and budget records. Which chunks are in a record
    goes without saying: all full ones span the same number.
    """

    __slots__ = (
        "_at_ns",
        "_budget",
        "_characters",
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
        self._span = 1  # chunks per full record
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
        rows, span = self._rows, self._span
        total = len(rows) // _COLUMNS * span + self._count
        if self._count:
            rows = rows + array("q", self._open_row())
        while most is not None and len(rows) > max(most, 1) * _COLUMNS:
            rows, span = _merged(rows), span * 2
        cells = zip(range(0, total, span), *[iter(rows)] * _COLUMNS, strict=True)
        records = [
            ChunkRecord(n, span, chars, thoughts, kinds, wait, at) for n, chars, thoughts, kinds, wait, at in cells
        ]
        if records:
            records[-1].count = total - records[-1].index
        return records

    def _open_row(self) -> tuple[int, ...]:
        return self._characters, self._reasoning, self._kinds, self._wait_ns, self._at_ns

    def _next_record(self) -> None:
        """Put the full record away; when that makes as many as the budget, merge them pairwise."""
        rows = self._rows
        rows.extend(self._open_row())
        self._count = 0
        if len(rows) < self._budget * _COLUMNS:
            return
        if self._budget % 2:  # the last record has no neighbour yet: it is filled further
            self._count = self._span
            self._characters, self._reasoning, self._kinds, self._wait_ns, self._at_ns = rows[-_COLUMNS:]
            del rows[-_COLUMNS:]
        self._rows = _merged(rows)
        self._span *= 2


def _merged(rows: array[int]) -> array[int]:
    """Merge neighbouring rows pairwise; a last row without a neighbour stays."""
    out = array("q")
    pair = 2 * _COLUMNS
    for n in range(0, len(rows) - _COLUMNS, pair):
        chars, thoughts, kinds, wait, at, chars2, thoughts2, kinds2, wait2, _ = rows[n : n + pair]
        out.extend((chars + chars2, thoughts + thoughts2, kinds | kinds2, max(wait, wait2), at))
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
    """A log-scale histogram of waits: quantiles within 5 % from a microsecond up, maximum exact, bounded size."""

    __slots__ = ("_counts", "max_ns")

    def __init__(self) -> None:
        self._counts = array("H")  # as long as the longest wait needs
        self.max_ns = -1

    def add(self, wait_ns: int) -> None:
        """Take one wait."""
        if wait_ns > self.max_ns:
            self._reach(wait_ns)
        bits = wait_ns.bit_length()
        if bits < _LOWEST:
            index = 0
        elif bits > _HIGHEST:
            index = _PARTS * _OCTAVES
        else:
            # 12 to 23 twelfths of the octave's lower edge; the table takes the first 12 off.
            index = _STARTS[bits] + (wait_ns * _PARTS >> bits - 1)
        try:
            self._counts[index] += 1
        except OverflowError:  # 65,535 waits of one length: a stream as long as that may have wider counts
            self._counts = array("Q", self._counts)
            self._counts[index] += 1

    def _reach(self, wait_ns: int) -> None:
        """Make room for the octave of a wait that is longer than all before it."""
        self.max_ns = wait_ns
        octaves = min(max(wait_ns.bit_length() - _LOWEST + 1, 0), _OCTAVES)
        missing = 1 + _PARTS * octaves - len(self._counts)
        if missing > 0:
            self._counts = self._counts + array(self._counts.typecode, bytes(missing * self._counts.itemsize))

    @property
    def count(self) -> int:
        """How many waits there were."""
        return sum(self._counts)

    def quantiles(self, *shares: float) -> list[float | None]:
        """Return the quantiles of the given shares, in seconds (nearest rank); None without waits."""
        totals = list(accumulate(self._counts))
        if not totals:
            return [None] * len(shares)
        ranks = [max(1, math.ceil(share * totals[-1])) for share in shares]
        return [min(_middle_ns(bisect_left(totals, rank)), self.max_ns) / 1e9 for rank in ranks]


def _middle_ns(index: int) -> float:
    if not index:
        return 0.0
    octave, part = divmod(index - 1, _PARTS)
    return (_PARTS + part + 0.5) / _PARTS * (1 << octave + _LOWEST - 1)
