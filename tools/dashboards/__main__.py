"""Write the dashboards into collector/grafana/dashboards, and what their panels answer into docs/dashboards.md.

    python -m tools.dashboards            writes them
    python -m tools.dashboards --check    exits with status 1 if one is stale

The tables of the page stand between two comments.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

from tools.dashboards.grafana import Json
from tools.dashboards.one_model import one_model
from tools.dashboards.overview import overview

ROOT = Path(__file__).resolve().parents[2]
FOLDER = Path("collector/grafana/dashboards")
PAGE = Path("docs/dashboards.md")
_PART = re.compile(r"(<!-- panels: written by tools/dashboards -->\n).*?(<!-- end of panels -->)", re.DOTALL)


def dashboards() -> dict[str, Json]:
    """Return every dashboard by the name of its file."""
    return {"streams-overview.json": overview(), "one-model.json": one_model()}


def page(text: str) -> str:
    """Return the page of the documentation with the tables of panels as they are."""
    lines: list[str] = []
    for dashboard in dashboards().values():
        lines += ["", f"### {dashboard['title']}", "", "| panel | what it answers |", "|---|---|"]
        for panel in dashboard["panels"]:
            is_row = panel["type"] == "row"
            lines.append(f"| **{panel['title']}** | |" if is_row else f"| {panel['title']} | {panel['description']} |")
    tables = "\n".join(lines)
    return _PART.sub(lambda match: f"{match[1]}{tables}\n\n{match[2]}", text)


def files(root: Path) -> dict[Path, str]:
    """Return the content of every file that is written, by its place in the repository."""
    written = {
        FOLDER / name: json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        for name, dashboard in dashboards().items()
    }
    return written | {PAGE: page((root / PAGE).read_text(encoding="utf-8"))}


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write the files, or compare them; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing, and fail if a file is stale")
    is_check = parser.parse_args(arguments).check
    stale: list[str] = []
    for path, text in files(root).items():
        place = root / path
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            stale.append(path.as_posix())
            if not is_check:
                place.write_text(text, encoding="utf-8")
    if stale:
        sys.stderr.write(f"{'stale' if is_check else 'written'}: {', '.join(stale)}\n")
    return 1 if stale and is_check else 0


if __name__ == "__main__":
    sys.exit(main())
