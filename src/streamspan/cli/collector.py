"""`streamspan collector`: the bundled collector, compose, dashboard and alert files.

Knows where they are (inside the wheel, or beside the sources) and how an `otelcol` validates a configuration. Never
replaces a file that differs unless it is told to.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from streamspan._config import environment
from streamspan.cli._errors import CommandError

_BINARIES = ("otelcol-contrib", "otelcol-streamspan", "otelcol")
_SECONDS = 60


def collector(names: Sequence[str], *, out: Path | None, is_forced: bool, is_checked: bool) -> int:
    """List the files; with names print them, with `out` write them, with `is_checked` validate them.

    Raises:
        CommandError: a name is unknown, a file would be lost, or there is nothing to validate with.
    """
    home = _home()
    chosen = _chosen(home, names)
    if out is not None:
        _write(home, chosen, out, is_forced=is_forced)
    if is_checked:
        return _check([(out or home) / name for name in chosen])
    if out is None and names:
        for name in chosen:
            sys.stdout.write((home / name).read_text(encoding="utf-8"))
    elif out is None:
        _list(home, chosen)
    return 0


def _home() -> Path:
    package = Path(__file__).resolve().parent.parent
    for home in (package / "_collector", package.parent.parent / "collector"):
        if home.is_dir():
            return home
    raise CommandError("the collector files are not in this installation; reinstall streamspan from a wheel")


def _chosen(home: Path, names: Sequence[str]) -> list[str]:
    files = (path.relative_to(home) for path in home.rglob("*") if path.is_file())
    known = sorted(path.as_posix() for path in files if not any(part.startswith(".") for part in path.parts))
    if unknown := [name for name in names if name not in known]:
        raise CommandError(f"there is no file {', '.join(unknown)}; there are {', '.join(known)}", 2)
    return list(dict.fromkeys(names)) or known


def _list(home: Path, names: Iterable[str]) -> None:
    width = max((len(name) for name in names), default=0)
    for name in names:
        print(f"{name:{width}}  {_about(home / name)}".rstrip())
    print("\nstreamspan collector NAME prints a file, --out DIR writes them all, --check validates the configurations")


def _about(path: Path) -> str:
    """Return the first comment line, or the title of a page or a dashboard."""
    text = path.read_text(encoding="utf-8")
    if text.startswith("#"):
        return next((line.strip("# ") for line in text.splitlines() if not line.startswith("#!")), "")
    found = re.search(r'^ {2}"title": "([^"]*)"', text, re.MULTILINE)
    return found.group(1) if found else ""


def _write(home: Path, names: Iterable[str], out: Path, *, is_forced: bool) -> None:
    contents = {out / name: (home / name).read_bytes() for name in names}
    try:
        lost = [path for path, data in contents.items() if path.exists() and path.read_bytes() != data]
        if lost and not is_forced:
            raise CommandError(
                f"{', '.join(map(str, lost))} would be replaced by something else; --force does it, nothing was written"
            )
        for path, data in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(path)
    except OSError as exc:
        raise CommandError(f"{exc.filename} cannot be written: {exc.strerror}") from exc


def _check(paths: Iterable[Path]) -> int:
    configurations = [path for path in paths if _is_configuration(path)]
    if not configurations:
        raise CommandError("none of these files is a collector configuration, so there is nothing to validate", 2)
    binary = _binary()
    failed = [path for path in configurations if not _is_valid(binary, path)]
    return 1 if failed else 0


def _is_configuration(path: Path) -> bool:
    if path.suffix not in {".yaml", ".yml"}:
        return False
    text = path.read_text(encoding="utf-8")
    keys = set(re.findall(r"^(\w+):", text, re.MULTILINE))
    # Jaeger is a collector with components of its own, which no other collector knows.
    return {"receivers", "exporters", "service"} <= keys and "jaeger_storage:" not in text


def _binary() -> str:
    named = environment("STREAMSPAN_OTELCOL")
    if named:
        if found := shutil.which(named):
            return found
        raise CommandError(f"STREAMSPAN_OTELCOL={named!r} is no program that can be run")
    for name in _BINARIES:
        if found := shutil.which(name):
            return found
    raise CommandError(
        f"no collector found to validate with; put one of {', '.join(_BINARIES)} on PATH, or name it in STREAMSPAN_OTELCOL"
    )


def _is_valid(binary: str, path: Path) -> bool:
    command = [binary, "validate", f"--config={path}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603 - the user's own program
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise CommandError(f"{binary} cannot be used: {exc}") from exc
    print(f"{'ok  ' if done.returncode == 0 else 'fail'}  {path}")
    if done.returncode != 0:
        print("".join(f"      {line}\n" for line in (done.stderr or done.stdout).splitlines()), end="")
    return done.returncode == 0
