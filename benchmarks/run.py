"""The command: alternating runs of separate processes, and the table that comes of them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import environment, tables
from benchmarks.measures import MEASURES
from benchmarks.records import Measure, Row, Sample
from benchmarks.subjects import OTHER, OTHER_PACKAGE

_ROUNDS, _QUICK_ROUNDS = 5, 2
_PATIENCE = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status tells whether every budget was kept."""
    options = _parser().parse_args(arguments)
    python = environment.interpreter(options.python)
    versions = environment.versions(python)
    chosen = [MEASURES[name] for name in options.only or MEASURES]
    rounds = options.rounds or (_QUICK_ROUNDS if options.quick else _ROUNDS)
    started = time.monotonic()
    rows: list[Row] = []
    for measure in chosen:
        rows += measure.rows(_samples(measure, python, rounds, options.quick, has_other=OTHER_PACKAGE in versions))
    about = {**versions, "cores": os.cpu_count(), "rounds": rounds, "date": time.strftime("%Y-%m-%d")}
    about["seconds"] = round(time.monotonic() - started)
    _print(options, rows, about)
    return int(any(row.is_ok is False for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds, for a first impression")
    parser.add_argument("--rounds", type=int, help=f"rounds (default: {_ROUNDS}, quick: {_QUICK_ROUNDS})")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--python", help="interpreter to measure with; default: one in a virtual environment made for it")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser


def _samples(
    measure: Measure, python: str, rounds: int, is_quick: bool, *, has_other: bool
) -> dict[str, list[Sample]]:
    """Run every subject once in each round, in an order that turns from round to round."""
    subjects = [subject for subject in measure.subjects if has_other or subject != OTHER]
    sizes = json.dumps(measure.quick if is_quick else measure.sizes)
    samples: dict[str, list[Sample]] = {subject: [] for subject in subjects}
    for number in range(rounds):
        turn = number % len(subjects)
        for subject in subjects[turn:] + subjects[:turn]:
            sys.stderr.write(f"\r\033[K{measure.name} {number + 1}/{rounds}: {subject}")
            sys.stderr.flush()
            samples[subject].append(_child(python, measure.name, subject, sizes))
    sys.stderr.write("\r\033[K")
    return samples


def _child(python: str, *arguments: str) -> Sample:
    command = [python, "-m", "benchmarks.child", *arguments]
    finished = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment.variables(), timeout=_PATIENCE
    )
    if finished.returncode:
        raise SystemExit(f"\n{' '.join(command)} failed:\n{finished.stderr}")
    sample: Sample = json.loads(finished.stdout.splitlines()[-1])
    return sample


def _print(options: argparse.Namespace, rows: list[Row], about: dict[str, Any]) -> None:
    if options.json:
        sys.stdout.write(tables.as_json(rows, about) + "\n")
        return
    table = tables.as_markdown(rows) if options.markdown else tables.as_text(rows)
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    sys.stdout.write(f"{table}\n\n{facts}\n")
