"""Write the parts of the documentation that repeat the source: the table of options and the table of metrics.

    python docs/generate.py            writes them
    python docs/generate.py --check    exits with status 1 if a page is stale

Such a part stands between `<!-- NAME: written by docs/generate.py -->` and `<!-- end of NAME -->`.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

from streamspan import _semconv
from streamspan._config import options

DOCS = Path(__file__).resolve().parent


def option_table() -> str:
    """Return the table of all options, one row each, in the order of `Config`."""
    rows = (
        (f"`{option.variable}`", f"`{name}`", option.allowed, f"`{option.shown_default}`", option.doc)
        for name, option in options().items()
    )
    return _table(("variable", "field of `Config`", "allowed", "default", "meaning"), rows)


def metric_table() -> str:
    """Return the table of all metrics, in the order of the source."""
    rows = ((f"`{m.name}`", m.kind.replace("_", "-"), f"`{m.unit}`", m.description, _bounds(m)) for m in metrics())
    return _table(("metric", "instrument", "unit", "meaning", "bucket bounds"), rows)


def metrics() -> list[_semconv.Metric]:
    """Return every metric that the source defines."""
    found: list[object] = []
    for value in vars(_semconv).values():
        found += cast("dict[str, object]", value).values() if isinstance(value, dict) else [value]
    return [value for value in found if isinstance(value, _semconv.Metric)]


def _bounds(metric: _semconv.Metric) -> str:
    return " ".join(f"{bound:g}" if bound < 1e6 else f"{bound:.0f}" for bound in metric.buckets)  # noqa: PLR2004


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "options": ("configuration.md", option_table),
    "metrics": ("telemetry.md", metric_table),
}


def updated(text: str, name: str, part: str) -> str:
    """Return a page with one of its parts written anew.

    Raises:
        ValueError: the page has no such part.
    """
    begin, end = f"<!-- {name}: written by docs/generate.py -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(begin)}\n.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"the page has not exactly one part {name!r}")
    return pattern.sub(lambda _: f"{begin}\n\n{part}\n\n{end}", text)


def main(arguments: list[str] | None = None) -> int:
    """Write the pages, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a page is stale")
    is_check = parser.parse_args(arguments).check
    stale: list[str] = []
    for name, (page, write) in PARTS.items():
        path = DOCS / page
        old = path.read_text(encoding="utf-8")
        new = updated(old, name, write())
        if new != old:
            stale.append(f"docs/{page}")
            if not is_check:
                path.write_text(new, encoding="utf-8")
    if stale:
        sys.stderr.write(f"{'stale' if is_check else 'written'}: {', '.join(stale)}\n")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
