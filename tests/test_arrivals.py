"""Chunk records and waits: constant memory, exact sums, bounded error."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._arrivals import Arrivals, Waits

CHUNKS = st.lists(
    st.tuples(
        st.integers(0, 50), st.integers(0, 50), st.integers(0, 63), st.integers(0, 10**10), st.integers(0, 10**6)
    ),
    max_size=300,
)


def filled(budget: int, chunks: list[tuple[int, int, int, int, int]]) -> Arrivals:
    arrivals = Arrivals(budget)
    for chunk in chunks:
        arrivals.add(*chunk)
    return arrivals


@given(CHUNKS, st.integers(1, 40), st.none() | st.integers(1, 40))
def test_every_chunk_is_in_exactly_one_record_and_the_sums_are_the_totals(
    chunks: list[tuple[int, int, int, int, int]], budget: int, most: int | None
) -> None:
    """Records are neighbours without gaps; counts, characters, kinds and longest waits are those of their chunks."""
    records = filled(budget, chunks).records(most)
    position = 0
    for record in records:
        own = chunks[position : position + record.count]
        assert record.index == position
        assert record.characters == sum(chunk[0] for chunk in own)
        assert record.reasoning_characters == sum(chunk[1] for chunk in own)
        assert record.kinds == math_or(chunk[2] for chunk in own)
        assert record.wait_max_ns == max(chunk[3] for chunk in own)
        assert record.at_ns == own[0][4]
        position += record.count
    assert position == len(chunks)


@given(CHUNKS, st.integers(1, 40))
def test_records_keep_within_the_budget_and_use_at_least_half_of_it(
    chunks: list[tuple[int, int, int, int, int]], budget: int
) -> None:
    """Merging happens when the budget is full, and then only by pairs."""
    count = len(filled(budget, chunks).records())
    assert count <= budget
    assert count >= min(len(chunks), budget // 2)


def test_up_to_the_budget_every_chunk_has_its_own_record() -> None:
    """32 chunks within a budget of 32 are 32 records."""
    records = filled(32, [(1, 0, 1, 5, n) for n in range(32)]).records()
    assert [record.count for record in records] == [1] * 32


def test_memory_does_not_grow_with_the_stream() -> None:
    """After 100,000 chunks the full records are still within the budget."""
    arrivals = Arrivals(32)
    for n in range(100_000):
        arrivals.add(1, 0, 1, n, n)
    assert len(arrivals._rows) <= 32 * 5
    assert sum(record.count for record in arrivals.records()) == 100_000


@given(st.lists(st.integers(1024, 10**12), min_size=1, max_size=200), st.floats(0.01, 1))
def test_quantiles_are_within_five_percent(waits: list[int], q: float) -> None:
    """The nearest-rank quantile of the histogram is within 5 % of the true one."""
    histogram = Waits()
    for wait in waits:
        histogram.add(wait)
    true = sorted(waits)[max(1, math.ceil(q * len(waits))) - 1] / 1e9
    assert histogram.quantiles(q) == [pytest.approx(true, rel=0.05)]
    assert histogram.max_ns == max(waits)
    assert histogram.count == len(waits)


def test_waits_of_any_length_are_taken() -> None:
    """Nothing, less than a unit, and hours all have a place."""
    histogram = Waits()
    for wait in (0, 1, 31, 10**15, 2**62):
        histogram.add(wait)
    assert histogram.count == 5


def test_no_waits_have_no_quantile() -> None:
    """A stream of one chunk has no waits."""
    assert Waits().quantiles(0.5, 0.95) == [None, None]


def math_or(bits: object) -> int:
    total = 0
    for each in bits:  # type: ignore[attr-defined] # an iterable of ints
        total |= each
    return total


def test_several_quantiles_are_found_in_one_pass() -> None:
    """Each is the nearest rank of its own share."""
    histogram = Waits()
    for milliseconds in range(1, 101):
        histogram.add(milliseconds * 1_000_000)
    assert histogram.quantiles(0.0, 0.5, 0.95, 1.0) == [
        pytest.approx(seconds, rel=0.05) for seconds in (0.001, 0.05, 0.095, 0.1)
    ]


def test_very_long_streams_get_wider_counts() -> None:
    """The 65,536th wait of one length is counted like the others."""
    histogram = Waits()
    for _ in range(70_000):
        histogram.add(2_000_000)
    histogram.add(900_000_000)
    assert histogram.count == 70_001
    assert histogram.quantiles(0.5, 1.0) == [pytest.approx(0.002, rel=0.05), pytest.approx(0.9, rel=0.05)]
