"""The documentation: what it says of the source is true, its programs run, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest

from streamspan import _answer, _records, _semconv
from streamspan._config import options

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(
    path
    for path in chain(ROOT.glob("*.md"), *(ROOT.joinpath(name).rglob("*.md") for name in ("docs", "examples", "benchmarks")))
)  # fmt: skip
README = ROOT / "README.md"
TELEMETRY = ROOT / "docs" / "telemetry.md"
NAME = re.compile(r"(?:streamspan|gen_ai|openai|server|http|error|exception|user)(?:\.[a-z0-9_]+)+")


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """Return the code blocks of a page in one language; '' for those that name none."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text(path), re.MULTILINE | re.DOTALL)
    return [code for name, code in fenced if name == language]


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page, with their numbers, that are neither code nor a table."""
    is_code = False
    for number, line in enumerate(text(path).splitlines(), start=1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith("|"):
            yield number, line


def page_id(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


# --- what is written by a program --------------------------------------------------------------------------------------


def test_generated_parts_are_up_to_date() -> None:
    """The tables of options and metrics say what the source says; `python docs/generate.py` writes them."""
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


def test_every_variable_of_ours_is_an_option() -> None:
    """A variable that the documentation names exists, but for those of continuous integration and the tests."""
    known = {option.variable for option in options().values()} | {"STREAMSPAN_CACHE", "STREAMSPAN_RECORDINGS"}
    named = {name for path in PAGES for name in re.findall(r"\bSTREAMSPAN_[A-Z_]+", text(path))}
    assert named - known == set()


# --- names ---------------------------------------------------------------------------------------------------------------


def semconv_names() -> set[str]:
    """Return the names in `_semconv`: of attributes, events and metrics."""
    values = list(vars(_semconv).values())
    values += [each for value in values if isinstance(value, dict) for each in value.values()]
    metrics = {value.name for value in values if isinstance(value, _semconv.Metric)}
    return metrics | {value for value in values if isinstance(value, str) and NAME.fullmatch(value)} - {
        _semconv.__name__
    }


def provider_names() -> set[str]:
    """Return the attributes that providers set by their full names, and those of usage that they set by suffix."""
    source = "".join(text(path) for path in (ROOT / "src" / "streamspan" / "providers").glob("*.py"))
    literals = set(re.findall(r'"((?:gen_ai|openai)\.[a-z0-9_.]+)"', source))
    usage = {
        f"{_semconv.USAGE_PREFIX}{suffix}" for suffix in re.findall(r'"([a-z_.]*(?:input|output)_tokens)":', source)
    }
    # Parts that only some vendors count; the session adds them up, so no attribute has their names.
    parts = {f"{_semconv.USAGE_PREFIX}{part}" for part in _answer._PARTS}
    return (literals | usage) - parts


def documented_names() -> set[str]:
    return {name for code in re.findall(r"`([^`\n]+)`", text(TELEMETRY)) for name in NAME.findall(code)}


def test_every_name_is_documented() -> None:
    """docs/telemetry.md has every name that can be emitted."""
    assert (semconv_names() | provider_names()) - documented_names() == set()


def test_every_documented_name_exists() -> None:
    """docs/telemetry.md has no name that cannot be emitted; what looks like one is in the public face."""
    faces = {"streamspan.observe", "streamspan.session"}
    assert documented_names() - semconv_names() - provider_names() - faces == set()


@pytest.mark.parametrize("page", [README, TELEMETRY], ids=page_id)
def test_endings_are_documented(page: Path) -> None:
    """Both tables of endings have exactly the outcomes that there are, and the page has every cancel reason."""
    rows = re.findall(r"^\| `(\w+)` \| .* \| (?:unset|error) \|$", text(page), re.MULTILINE)
    assert tuple(rows) == get_args(_records.Outcome)
    assert [reason for reason in get_args(_records.CancelReason) if f"`{reason}`" not in text(page)] == []


def test_output_kinds_are_documented() -> None:
    """docs/telemetry.md has every kind of output."""
    assert [kind for kind in _records.OUTPUT_KINDS if f"`{kind}`" not in text(TELEMETRY)] == []


# --- programs ------------------------------------------------------------------------------------------------------------


def run(program: str, *arguments: str, directory: Path) -> subprocess.CompletedProcess[str]:
    silent = {"OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "none", "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(
        [sys.executable, *arguments, program],
        env=os.environ | silent,
        cwd=directory,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    """It is shorter than 15 lines, streams, and says how the stream ended as the README shows it."""
    (example,) = blocks(README, "python")
    assert len(example.splitlines()) < 15
    result = run(example, "-c", directory=tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("A stream is a promise kept in pieces.")
    shown = next(block for block in blocks(README, "") if block.startswith("● "))
    assert _without_figures(result.stderr) == _without_figures(shown)


def _without_figures(line: str) -> str:
    return re.sub(r"[▁▂▃▄▅▆▇█·]+", "pace", re.sub(r"[\d.]+(ms|s| tok/s)\b", r"N", line))


def test_the_span_of_the_readme_has_real_names() -> None:
    """Every attribute and event in the README is one that can be emitted."""
    (span,) = (block for block in blocks(README, "") if not block.startswith("● "))
    names = set(NAME.findall(span))
    assert names
    assert names - semconv_names() - provider_names() == set()


def test_the_test_of_the_documentation_passes(tmp_path: Path) -> None:
    """The test that docs/testing.md shows passes as it stands."""
    (program,) = blocks(ROOT / "docs" / "testing.md", "python")
    path = tmp_path / "test_shown.py"
    path.write_text(program, encoding="utf-8")
    result = run(str(path), "-m", "pytest", "-q", "-p", "no:cacheprovider", directory=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 passed" in result.stdout


def test_the_provider_of_the_documentation_works(tmp_path: Path) -> None:
    """The provider that docs/add-a-provider.md shows reads text, usage, its end marker and an error."""
    (program,) = blocks(ROOT / "docs" / "add-a-provider.md", "python")
    checks = """
assert read({"id": "r1", "token": "Hi"}) == Delta("Hi", choice=0, response_id="r1")
last = read({"stop": "stop", "usage": {"in": 3, "out": 1}})
assert last.is_terminal and last.usage == {"input_tokens": 3, "output_tokens": 1} and last.finish_reason == "stop"
assert read({"error": {"code": "busy", "message": "later"}}).error == ProviderError("busy", "later")
assert ACME.endpoints[0].read is read
"""
    result = run(program + checks, "-c", directory=tmp_path)
    assert result.returncode == 0, result.stderr


# --- commands, links, form -------------------------------------------------------------------------------------------------


def test_the_readme_has_its_two_commands() -> None:
    """The README has exactly two shell commands of one line each; .ci/run runs them as they stand."""
    demo, tests = blocks(README, "sh")
    assert (demo.count("\n"), tests.count("\n")) == (1, 1)
    assert demo.startswith("python3 -m venv .venv && ")
    assert demo.endswith(" && .venv/bin/streamspan demo\n")
    assert tests.startswith("python3 -m venv .venv && ")
    assert tests.endswith(" && .venv/bin/python -m pytest\n")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file or folder that exists."""
    links = [link for _, line in prose(page) for link in re.findall(r"\]\(([^)\s]+)\)", line)]
    local = [link.partition("#")[0] for link in links if "://" not in link]
    assert [link for link in local if link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_line_has_one_sentence(page: Path) -> None:
    """Paragraphs have one sentence per line, so that a change shows what it changes; list items are free."""
    items = re.compile(r"\s*(?:[-*]|\d+\.)\s")
    two = re.compile(r"[a-z`)][.!?] [A-Z`\[]")
    paragraphs = [(number, re.sub(r"`[^`]*`", "`", line)) for number, line in prose(page) if not items.match(line)]
    assert [number for number, line in paragraphs if two.search(line)] == []
