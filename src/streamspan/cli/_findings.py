"""What `streamspan doctor` finds, as data: a mark, what was looked at, what was found, what to do.

Also how the warnings that streamspan gives while it is looked at become findings instead of noise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from typing import Literal, TypeAlias

Mark: TypeAlias = Literal["ok", "none", "warn", "fail"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding.

    Args:
        section: what it belongs to.
        mark: `ok`, `none` (nothing to judge), `warn` (works, but not as it looks) or `fail`.
        title: what was looked at.
        detail: what was found.
        remedy: what to do about it.
    """

    section: str
    mark: Mark
    title: str
    detail: str = ""
    remedy: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return the finding as plain data."""
        return {name: getattr(self, name) for name in ("section", "mark", "title", "detail", "remedy")}


def installed_version(distribution: str) -> str | None:
    """Return the version of a distribution, None if it is not installed."""
    try:
        return version_of(distribution)
    except PackageNotFoundError:
        return None


@contextmanager
def warnings() -> Generator[list[str]]:
    """Collect what streamspan warns of, and keep it from the terminal."""
    told: list[str] = []
    logger = logging.getLogger("streamspan")
    handler = _Listener(told.append)
    was_propagating = logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    try:
        yield told
    finally:
        logger.removeHandler(handler)
        logger.propagate = was_propagating


class _Listener(logging.Handler):
    def __init__(self, tell: Callable[[str], object]) -> None:
        super().__init__(logging.WARNING)
        self._tell = tell

    def emit(self, record: logging.LogRecord) -> None:
        self._tell(record.getMessage())
