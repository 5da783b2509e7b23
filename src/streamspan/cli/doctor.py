"""`streamspan doctor`: is everything installed, patched, configured and reachable; one line per check.

Knows how findings are shown and what they add up to. What is looked at is in `_checks` and `_settings`.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterable

from streamspan._config import environment
from streamspan.cli._checks import doubles, installed, libraries
from streamspan.cli._findings import Check, Mark
from streamspan.cli._settings import configuration, delivery

_COLOURS: dict[Mark, str] = {"ok": "\x1b[32m", "none": "\x1b[2m", "warn": "\x1b[33m", "fail": "\x1b[31m"}
_MARKS: dict[Mark, str] = {"ok": "ok", "none": "-", "warn": "warn", "fail": "fail"}
_REMEDY_WIDTH = 100
_BOLD, _RESET = "\x1b[1m", "\x1b[0m"


def doctor(*, as_json: bool) -> int:
    """Print every check; return 0 if all is well, 1 if anything is to be looked at."""
    found = [*installed(), *libraries(), *doubles(), *configuration(), *delivery()]
    is_well = all(check.mark in {"ok", "none"} for check in found)
    if as_json:
        print(json.dumps({"is_well": is_well, "checks": [check.as_dict() for check in found]}, indent=2))
    else:
        print(text(found, is_coloured=sys.stdout.isatty() and not environment("NO_COLOR")))
    return 0 if is_well else 1


def text(found: Iterable[Check], *, is_coloured: bool = False) -> str:
    """Return the report for people."""
    found = list(found)
    room = max((len(check.title) for check in found), default=0) + 2
    lines: list[str] = []
    section = ""
    counts = {"warn": 0, "fail": 0}
    for check in found:
        if check.section != section:
            section = check.section
            lines += ["", _painted(section, _BOLD, is_coloured)]
        if check.mark in counts:
            counts[check.mark] += 1
        mark = _painted(f"{_MARKS[check.mark]:4}", _COLOURS[check.mark], is_coloured)
        lines.append(f"  {mark}  {check.title:{room}}{check.detail}".rstrip())
        if check.remedy:
            lines += textwrap.wrap(check.remedy, _REMEDY_WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8)
    return "\n".join([*lines[1:], "", _verdict(counts)])


def _verdict(counts: dict[str, int]) -> str:
    if not any(counts.values()):
        return "All is well."
    told = [
        f"{number} {'failure' if mark == 'fail' else 'warning'}{'' if number == 1 else 's'}"
        for mark, number in (("fail", counts["fail"]), ("warn", counts["warn"]))
        if number
    ]
    return f"{' and '.join(told)}."


def _painted(text: str, colour: str, is_coloured: bool) -> str:
    return f"{colour}{text}{_RESET}" if is_coloured else text
