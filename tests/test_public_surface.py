"""What a program can import, what importing costs it, and what the installed package offers."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any

import pytest

import streamspan

FACE = Path(streamspan.__file__)
SDKS = (
    "openai",
    "anthropic",
    "google",
    "langchain_core",
    "httpx",
    "httpx2",
    "aiohttp",
    "requests",
    "websockets",
    "grpc",
)
HEAVY = ("opentelemetry.sdk", "opentelemetry.exporter", "wrapt", "rich", "asyncio")


def in_a_process(program: str) -> Any:
    """Return what a program prints as JSON, run in a process of its own."""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def imported_for_typing() -> dict[str, str]:
    """Return the names that the package's face imports for type checkers, with their modules."""
    block = next(node for node in ast.parse(FACE.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(node.module) for node in imports for alias in node.names}


def test_the_list_of_public_names_is_sorted() -> None:
    """`__all__` is in the order of the alphabet, without doubles."""
    assert streamspan.__all__ == sorted(set(streamspan.__all__))


def test_every_public_name_is_what_type_checkers_see() -> None:
    """The names that are loaded when they are used are those that type checkers are told, from the same modules."""
    typed = imported_for_typing()
    assert sorted(typed) == streamspan.__all__
    for name, module in typed.items():
        value = getattr(streamspan, name)
        assert value is getattr(sys.modules[module], name)


def test_dir_lists_the_public_names() -> None:
    """`dir()` shows what `__all__` lists, and the version."""
    assert dir(streamspan) == sorted([*streamspan.__all__, "__version__"])


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As for any module; `hasattr` and `from … import` rely on it."""
    with pytest.raises(AttributeError, match="module 'streamspan' has no attribute 'no_such_name'"):
        _ = streamspan.no_such_name


def test_the_version_is_that_of_the_distribution() -> None:
    """`streamspan.__version__` says what is installed."""
    assert streamspan.__version__ == version("streamspan")


@pytest.mark.parametrize("name", streamspan.__all__)
def test_public_names_are_documented(name: str) -> None:
    """Each has a docstring of its own that begins with a sentence, and so has each of its public methods."""
    value = getattr(streamspan, name)
    methods = [member for key, member in vars(value).items() if inspect.isfunction(member) and not key.startswith("_")]
    for thing in (value, *(methods if inspect.isclass(value) else [])):
        first = (thing.__doc__ or "").strip().partition("\n\n")[0]
        assert first, f"{name}: {thing} has no docstring"
        assert not first.startswith(f"{name}("), f"{name} has the docstring that a dataclass makes itself"
        assert first.rstrip().endswith((".", ":", "`")), f"{name}: {first!r} is no sentence"


@pytest.mark.parametrize("name", ["Config", "Endpoint", "HostPattern", "Provider", "SessionSummary"])
def test_public_records_are_final(name: str) -> None:
    """What is handed in or out once is a frozen dataclass."""
    assert getattr(streamspan, name).__dataclass_params__.frozen


@pytest.mark.parametrize("name", ["Config", "Delta", "Endpoint", "Provider", "ProviderError", "ToolCallDelta"])
def test_records_that_others_make_can_grow(name: str) -> None:
    """Whatever a third party builds has defaults, but for what it cannot do without, so that fields can be added."""
    needed = {
        field.name
        for field in dataclasses.fields(getattr(streamspan, name))
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    assert needed <= {"name", "endpoints", "operation", "paths", "read", "type"}


def test_importing_has_no_side_effects() -> None:
    """`import streamspan` imports no SDK, no exporter and no part of itself but its face, and starts nothing."""
    found = in_a_process(
        "import sys, threading, json; before = set(sys.modules); import streamspan; "
        "print(json.dumps([sorted(set(sys.modules) - before), threading.active_count()]))"
    )
    modules, threads = found
    assert [name for name in modules if name.partition(".")[0] == "streamspan"] == ["streamspan"]
    assert [name for name in modules if name.startswith((*SDKS, *HEAVY, "opentelemetry"))] == []
    assert threads == 1


def test_instrumenting_imports_no_sdk() -> None:
    """`instrument()` with the application's providers imports no library that it is to watch, and no exporter."""
    found = in_a_process(
        "import sys, json; import streamspan; from opentelemetry.trace import NoOpTracerProvider as P; "
        "streamspan.instrument(tracer_provider=P()); print(json.dumps(sorted(sys.modules)))"
    )
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "rich")
    assert [
        name for name in found if any(name == each or name.startswith(f"{each}.") for each in (*SDKS, *heavy))
    ] == []


def test_the_package_says_that_it_is_typed() -> None:
    """`py.typed` is there, or type checkers ignore the annotations."""
    assert (FACE.parent / "py.typed").is_file()


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        ("console_scripts", "streamspan", "streamspan.cli:main"),
        ("opentelemetry_instrumentor", "streamspan", "streamspan.instrumentor:StreamspanInstrumentor"),
    ],
)
def test_entry_points_lead_to_something(group: str, name: str, value: str) -> None:
    """The command and the instrumentor are found by their entry points, and load."""
    (found,) = (each for each in entry_points(group=group) if each.name == name and each.value == value)
    assert callable(found.load())
