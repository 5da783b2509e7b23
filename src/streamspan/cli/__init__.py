"""The command line `streamspan`: one parser, and one module per command.

Knows how commands are called and how they fail: one sentence on stderr and a status that is not 0. The modules of the
commands are imported when they are called, so that `--help` costs nothing.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from streamspan._version import version
from streamspan.cli._errors import INTERRUPTED, CommandError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    `run` leaves by the exception or the `SystemExit` that the program leaves by.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments:
        _parser().print_help()
        return 0
    try:
        if arguments[0] == "run" and arguments[1:2] not in (["-h"], ["--help"]):
            # Not parsed here: what follows the program's name is the program's, whatever it looks like.
            return _run(arguments[1:])
        return _command(arguments)
    except CommandError as exc:
        print(f"streamspan {arguments[0]}: {exc}", file=sys.stderr)
        return exc.status


def _command(arguments: Sequence[str]) -> int:
    options = _parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to fail
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        status = command(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; what is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="streamspan", description="Observability for LLM streams.")
    parser.add_argument("--version", action="version", version=f"streamspan {version()}")
    commands = parser.add_subparsers(metavar="command", required=True)

    def add(name: str, command: Callable[[argparse.Namespace], int], does: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=does, description=f"{does[0].upper()}{does[1:]}.")
        added.set_defaults(command=command)
        return added

    demo = add("demo", _demo, "watch model streams of every kind; needs no key and no network")
    demo.add_argument("--fast", action="store_true", help="play at ten times the pace")
    demo.add_argument("--once", action="append", metavar="NAME", help="play only this scene; may be repeated")
    demo.add_argument("--list", action="store_true", help="list the scenes and exit")

    doctor = add("doctor", _doctor, "check what is installed, patched and configured; sends one test span")
    doctor.epilog = "The exit status is 0 if all is well, 1 if there is a warning or a failure."
    doctor.add_argument("--json", action="store_true", help="print the report as JSON")

    run = add("run", _run_help, "run a script or module with its model streams recorded")
    run.usage = "streamspan run script.py [argument ...]\n       streamspan run -m module [argument ...]"
    run.epilog = "Options are environment variables: STREAMSPAN_CONSOLE=true prints one line per finished stream."

    collector = add("collector", _collector, "list, print, write or validate the bundled collector files")
    collector.epilog = "Without options the files are listed; with names their contents are printed."
    collector.add_argument("names", nargs="*", metavar="NAME", help="file to print, write or validate; default: all")
    collector.add_argument("--out", type=Path, metavar="DIR", help="write the files into this directory")
    collector.add_argument("--force", action="store_true", help="let --out replace files that differ")
    collector.add_argument(
        "--check",
        action="store_true",
        help="validate the configurations with the otelcol of STREAMSPAN_OTELCOL or PATH",
    )
    return parser


def _demo(options: argparse.Namespace) -> int:
    from streamspan.cli import demo  # noqa: PLC0415 - each command imports what it needs, when it is called

    if options.list:
        return demo.show_scenes()
    return demo.demo(names=options.once, is_fast=options.fast)


def _doctor(options: argparse.Namespace) -> int:
    from streamspan.cli import doctor  # noqa: PLC0415

    return doctor.doctor(as_json=options.json)


def _run(arguments: list[str]) -> int:
    from streamspan.cli import run  # noqa: PLC0415

    return run.run(arguments)


def _run_help(_: argparse.Namespace) -> int:
    return 0  # `--help` has left already, and everything else goes by `_run`


def _collector(options: argparse.Namespace) -> int:
    from streamspan.cli import collector  # noqa: PLC0415

    return collector.collector(options.names, out=options.out, is_forced=options.force, is_checked=options.check)
