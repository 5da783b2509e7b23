"""The records that travel from a measuring process to the table, and the arithmetic over alternating runs.

Knows medians, ranges and budgets. Refuses to know what was measured, and how.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any, TypeAlias

Sample: TypeAlias = Mapping[str, float]
"""What one process measured."""
Samples: TypeAlias = Mapping[str, Sequence[Sample]]
"""Subject to its samples; the samples at one position were measured one right after the other."""
Sizes: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Figure:
    """A median over runs, and the range it came from."""

    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Summarise the values of several runs."""
        return cls(median(values), min(values), max(values), len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Args:
        measure: title of the group.
        what: what was measured, of which subject.
        unit: unit of the figure and of the limit.
        figure: the measured value.
        ratio: the value over that of the bare SDK, pair by pair, where that makes sense.
        limit: the budget, in `unit`; None where there is none.
        is_floor: the budget is a least value.
    """

    measure: str
    what: str
    unit: str
    figure: Figure
    ratio: float | None = None
    limit: float | None = None
    is_floor: bool = False

    @property
    def is_ok(self) -> bool | None:
        """Tell whether the median keeps to the budget; None without one."""
        if self.limit is None:
            return None
        return self.figure.median >= self.limit if self.is_floor else self.figure.median <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return the row as plain data."""
        return {**asdict(self), "ok": self.is_ok}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One thing to measure: what each process does, and the rows that come of it.

    Args:
        name: how the command line calls it.
        subjects: names of the subjects, one process each and in turn, in every round.
        prepare: what a process does first, given its subject and the sizes; returns what measures once.
        rows: makes the rows.
        sizes, quick: how much work there is, in the full and in the quick mode; `rounds` is the parent's.
        is_fresh: every sample needs a new process.
    """

    name: str
    subjects: tuple[str, ...]
    prepare: Callable[[str, Sizes], Callable[[], Sample]]
    rows: Callable[[Samples], list[Row]]
    sizes: Sizes = field(default_factory=dict[str, int])
    quick: Sizes = field(default_factory=dict[str, int])
    is_fresh: bool = False


def figure(samples: Samples, subject: str, key: str, scale: float = 1.0) -> Figure:
    """Summarise what a subject's processes measured."""
    return Figure.of([sample[key] * scale for sample in samples[subject]])


def added(samples: Samples, subject: str, key: str, scale: float = 1.0, base: str = "bare") -> Figure:
    """Summarise what a subject has more than the base, pair by pair."""
    pairs = zip(samples[subject], samples[base], strict=True)
    return Figure.of([(mine[key] - theirs[key]) * scale for mine, theirs in pairs])


def ratio(samples: Samples, subject: str, key: str, base: str = "bare") -> Figure:
    """Summarise a subject's value over the base's, pair by pair."""
    pairs = zip(samples[subject], samples[base], strict=True)
    return Figure.of([mine[key] / theirs[key] for mine, theirs in pairs])
