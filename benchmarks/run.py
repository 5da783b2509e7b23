"""The command: alternating runs of separate processes, and the table that comes of them."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from benchmarks import environment, tables
from benchmarks.children import Child, ChildError
from benchmarks.measures import MEASURES
from benchmarks.records import Measure, Row, Sample
from benchmarks.subjects import PACKAGES


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 1 if a budget was not kept, 2 if it could not be measured."""
    options = _parser().parse_args(arguments)
    python = environment.interpreter(options.python)
    versions = environment.versions(python)
    chosen = [MEASURES[name] for name in options.only or MEASURES]
    started = time.monotonic()
    rows: list[Row] = []
    try:
        for measure in chosen:
            rows += measure.rows(_samples(measure, python, options, versions))
    except ChildError as exc:
        sys.stderr.write(f"\n{exc}; what it said stands above\n")
        return 2
    about = {**versions, "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    about["seconds"] = round(time.monotonic() - started)
    _print(options, rows, about)
    return int(any(row.is_ok is False for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less work and fewer rounds, for a first impression")
    parser.add_argument("--rounds", type=int, help="rounds of every measure; default: its own number")
    parser.add_argument("--only", nargs="+", choices=list(MEASURES), metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument(
        "--python", help="interpreter to measure with; default: one in a virtual environment made for it"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print a Markdown table")
    return parser


def _samples(
    measure: Measure, python: str, options: argparse.Namespace, versions: dict[str, str]
) -> dict[str, list[Sample]]:
    """Ask every subject once in each round, in an order that turns from round to round."""
    sizes = measure.quick if options.quick else measure.sizes
    rounds = options.rounds or sizes["rounds"]
    subjects = [subject for subject in measure.subjects if PACKAGES.get(subject, subject) in {subject, *versions}]
    samples: dict[str, list[Sample]] = {subject: [] for subject in subjects}
    with ExitStack() as stack:
        children = {
            subject: stack.enter_context(Child(python, measure.name, subject, json.dumps(sizes)))
            for subject in subjects
        }
        for number in range(rounds):
            turn = number % len(subjects)
            for subject in subjects[turn:] + subjects[:turn]:
                sys.stderr.write(f"\r\033[K{measure.name} {number + 1}/{rounds}: {subject}")
                sys.stderr.flush()
                if measure.is_fresh and number:
                    children[subject] = stack.enter_context(Child(python, measure.name, subject, json.dumps(sizes)))
                samples[subject].append(children[subject].sample())
    sys.stderr.write("\r\033[K")
    return samples


def _print(options: argparse.Namespace, rows: list[Row], about: dict[str, Any]) -> None:
    if options.json:
        sys.stdout.write(tables.as_json(rows, about) + "\n")
        return
    table = tables.as_markdown(rows) if options.markdown else tables.as_text(rows)
    facts = ", ".join(f"{name} {value}" for name, value in about.items())
    sys.stdout.write(f"{table}\n\n{facts}\n")
