"""`streamspan collector`: lists, prints, writes without loss, and validates with whatever `otelcol` there is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from cli.process import Cli

BUNDLED = Path(__file__).resolve().parents[2] / "collector"
NAMES = sorted(path.relative_to(BUNDLED).as_posix() for path in BUNDLED.rglob("*") if path.is_file())


def otelcol(directory: Path, *, status: int) -> str:
    """Make a program that notes its arguments and ends with `status`."""
    path = directory / "otelcol"
    path.write_text(f'#!/bin/sh\necho "$@" >> "{directory}/calls"\necho "something is wrong" >&2\nexit {status}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_the_files_are_listed(cli: Cli) -> None:
    """Without options every bundled file is named."""
    done = cli("collector")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.split("\n\n")[0].splitlines()] == NAMES


def test_a_file_is_printed_as_it_is(cli: Cli) -> None:
    """A name prints that file, and nothing else."""
    done = cli("collector", "local.yaml")
    assert (done.returncode, done.stdout) == (0, (BUNDLED / "local.yaml").read_text(encoding="utf-8"))


def test_the_files_are_written(cli: Cli, tmp_path: Path) -> None:
    """`--out` makes the directory and writes every file; a second time is harmless."""
    for _ in range(2):
        done = cli("collector", "--out", tmp_path / "new" / "home")
        assert (done.returncode, done.stderr) == (0, "")
    home = tmp_path / "new" / "home"
    assert {name: (home / name).read_bytes() for name in NAMES} == {
        name: (BUNDLED / name).read_bytes() for name in NAMES
    }


def test_a_file_that_differs_is_kept(cli: Cli, tmp_path: Path) -> None:
    """Where a file would be lost nothing is written at all, unless `--force` is given."""
    (tmp_path / "local.yaml").write_text("mine")
    refused = cli("collector", "--out", tmp_path)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"streamspan collector: {tmp_path / 'local.yaml'} would be replaced by something else; "
        "--force does it, nothing was written\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["local.yaml"]
    assert (tmp_path / "local.yaml").read_text() == "mine"
    assert cli("collector", "--out", tmp_path, "--force").returncode == 0
    assert (tmp_path / "local.yaml").read_bytes() == (BUNDLED / "local.yaml").read_bytes()


def test_a_place_that_cannot_be_written_is_one_sentence(cli: Cli, tmp_path: Path) -> None:
    """`--out` into a file says so, without a traceback."""
    (tmp_path / "file").touch()
    done = cli("collector", "--out", tmp_path / "file")
    assert done.returncode == 1
    assert done.stderr.startswith("streamspan collector: ")
    assert done.stderr.count("\n") == 1


def test_only_configurations_are_validated(cli: Cli, tmp_path: Path) -> None:
    """`--check` calls `otelcol validate` for each collector configuration, and not for the builder's manifest."""
    done = cli("collector", "--check", STREAMSPAN_OTELCOL=otelcol(tmp_path, status=0))
    assert (done.returncode, done.stderr) == (0, "")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert f"validate --config={BUNDLED / 'local.yaml'}" in calls
    assert [call for call in calls if "builder" in call] == []


def test_the_written_files_are_validated(cli: Cli, tmp_path: Path) -> None:
    """With `--out` it is the written files that are validated."""
    done = cli(
        "collector",
        "--out",
        tmp_path / "out",
        "--check",
        "local.yaml",
        STREAMSPAN_OTELCOL=otelcol(tmp_path, status=0),
    )
    assert done.returncode == 0
    assert (tmp_path / "calls").read_text() == f"validate --config={tmp_path / 'out' / 'local.yaml'}\n"


def test_an_invalid_configuration_is_told(cli: Cli, tmp_path: Path) -> None:
    """What the collector says against a configuration is shown, and the status is 1."""
    done = cli("collector", "--check", "local.yaml", STREAMSPAN_OTELCOL=otelcol(tmp_path, status=1))
    assert done.returncode == 1
    assert done.stdout == f"fail  {BUNDLED / 'local.yaml'}\n      something is wrong\n"


def test_the_binary_is_found_on_path(cli: Cli, tmp_path: Path) -> None:
    """Without STREAMSPAN_OTELCOL an `otelcol` on PATH is used."""
    otelcol(tmp_path, status=0)
    assert cli("collector", "--check", PATH=f"{tmp_path}:/bin:/usr/bin").returncode == 0
    assert (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("", "no collector found to validate with; put one of otelcol-contrib, otelcol-streamspan, otelcol on PATH"),
        ("/no/such", "STREAMSPAN_OTELCOL='/no/such' is no program that can be run"),
    ],
)
def test_without_a_binary_there_is_one_sentence(named: str, says: str, cli: Cli, tmp_path: Path) -> None:
    """Where there is nothing to validate with, `--check` says what to do."""
    done = cli("collector", "--check", STREAMSPAN_OTELCOL=named, PATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith(f"streamspan collector: {says}")
    assert done.stderr.count("\n") == 1
