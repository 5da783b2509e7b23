"""The version of the distribution."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as _distribution_version


@cache
def version() -> str:
    """Return streamspan's version, `0` when it runs from sources that are not installed."""
    try:
        return _distribution_version("streamspan")
    except PackageNotFoundError:
        return "0"
