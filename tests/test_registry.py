"""Which libraries are instrumented, whether they are too old, and the providers of third parties."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streamspan import _registry
from streamspan._config import Config, ConfigError
from streamspan._registry import INTEGRATIONS, checked_names, is_too_old, known_names, selected
from streamspan.integrations import Integration

KNOWN = ", ".join(known_names())


def names(config: Config | None = None, libraries: Any = None) -> list[str]:
    return [integration.name for integration in selected(config or Config(), libraries)]


# --- which -------------------------------------------------------------------------------------------------------------------


def test_all_are_selected_by_default() -> None:
    """Every integration that there is, in the order of the list."""
    assert names() == known_names() == [integration.name for integration in INTEGRATIONS]
    assert {"openai", "httpx", "httpx2", "requests", "aiohttp"} <= set(known_names())


def test_a_library_brings_what_lies_below_it() -> None:
    """The SDK's attempts are seen in the HTTP client; order and repetition in the list do not matter."""
    assert names(libraries=["openai"]) == ["openai", "httpx", "httpx2"]
    assert names(libraries=["httpx2", "httpx", "httpx2"]) == ["httpx", "httpx2"]
    assert names(libraries=iter(["httpx"])) == ["httpx"]
    assert names(libraries=[]) == []


def test_the_argument_beats_the_configuration() -> None:
    """`instrument(libraries=...)` counts; then the configuration's list."""
    config = Config(libraries=("httpx",))
    assert names(config) == ["httpx"]
    assert names(config, ["httpx2"]) == ["httpx2"]


def test_what_is_excluded_is_left_out_of_either() -> None:
    """Unless another library needs it: then it only adds to that one's calls."""
    config = Config(exclude=("httpx", "httpx2"))
    assert names(config, ["httpx", "httpx2"]) == []
    assert names(config, ["openai", "httpx"]) == ["openai", "httpx", "httpx2"]
    assert names(Config(exclude=("openai",))) == [name for name in known_names() if name != "openai"]


def test_a_library_that_only_helps_opens_nothing_of_its_own() -> None:
    """It comes with other patches than one that is wanted itself."""
    (_, helping, _), (wanted,) = selected(Config(), ["openai"]), selected(Config(), ["httpx"])
    assert helping.name == wanted.name == "httpx"
    assert helping.patches is wanted.helper_patches
    assert wanted.patches is not wanted.helper_patches


@pytest.mark.parametrize(
    ("field", "variable"), [("libraries", "STREAMSPAN_LIBRARIES"), ("exclude", "STREAMSPAN_EXCLUDE")]
)
def test_an_unknown_name_in_the_environment_is_one_warning_that_lists_the_known(
    field: str, variable: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It names the variable and the value; the names that are known count."""
    config = Config.from_env({variable: "opnai,httpx"})
    # Excluded by name, httpx is still needed by the SDK.
    assert names(config) == (["httpx"] if field == "libraries" else known_names())
    (message,) = caplog.messages
    assert message.startswith(f"{variable} names 'opnai', which there is not; known: {KNOWN}")


def test_unknown_names_as_arguments_are_config_errors() -> None:
    """What the program says wrongly it is told at once, with what it may say."""
    wrong: list[list[Any]] = [["opnai"], [""], [3], [[]]]
    for libraries in wrong:
        with pytest.raises(ConfigError) as raised:
            checked_names(libraries)
        assert str(raised.value).startswith(f"unknown libraries {libraries[0]!r}; known: {KNOWN}")
    for odd in ("httpx", 3, object()):
        with pytest.raises(ConfigError) as raised:
            checked_names(odd)  # type: ignore[arg-type]
        assert str(raised.value).startswith(f"instrument(libraries={odd!r}): allowed is a list of names, of {KNOWN}")


def test_known_names_are_taken_as_they_come() -> None:
    """Any iterable of them; None stands for all."""
    assert checked_names(None) is None
    assert checked_names([]) == ()
    assert checked_names(iter(["httpx", "openai"])) == ("httpx", "openai")


# --- how old -------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Integration]:
    """Pretend that a version of a distribution is installed."""
    _registry._installed.cache_clear()  # what is installed does not change under a real program

    def do(metadata: str, oldest: str = "1.66") -> Integration:
        info = tmp_path / "acme_sdk-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(metadata)
        monkeypatch.syspath_prepend(tmp_path)
        return Integration("acme", "acme-sdk", oldest, lambda *_: [])

    return do


@pytest.mark.parametrize(
    ("version", "is_old"),
    [
        ("1.65.9", True),
        ("1.9", True),
        ("0.28.1", True),
        ("1.66", False),
        ("1.66.0", False),
        ("1.66.0rc1", False),
        ("1.66.1.post1", False),
        ("1.100.0", False),
        ("2.0.0", False),
        ("10.0", False),
        ("1.65.0+local.99", True),
    ],
)
def test_a_version_is_compared_by_its_numbers(install: Callable[..., Integration], version: str, is_old: bool) -> None:
    """Not as text; what follows the numbers does not matter."""
    integration = install(f"Metadata-Version: 2.1\nName: acme-sdk\nVersion: {version}\n")
    assert is_too_old(integration) == (version if is_old else None)


@pytest.mark.parametrize(
    "metadata", ["", "Name: acme-sdk\n", "Name: acme-sdk\nVersion: \n", "Name: acme-sdk\nVersion: dev\n"]
)
def test_a_distribution_without_a_version_is_not_too_old(install: Callable[..., Integration], metadata: str) -> None:
    """A broken installation of a stranger's is no reason to raise, or to claim anything."""
    assert is_too_old(install(metadata)) is None


def test_what_is_not_installed_is_not_too_old() -> None:
    """There is nothing to warn of."""
    assert is_too_old(Integration("acme", "acme-sdk-that-nobody-has", "1.0", lambda *_: [])) is None


OLD_SDK = """
    import logging, sys
    logging.basicConfig(format="%(name)s:%(levelname)s:%(message)s")
    import streamspan
    streamspan.instrument()
    import openai
    print(openai.OpenAI().chat())
    streamspan.uninstrument()
    print(openai.OpenAI().chat())
"""

# An SDK of another age: the places that streamspan patches are not there.
OLD_OPENAI = """
class OpenAI:
    def chat(self):
        return ["Hal", "lo"]
"""


def test_an_sdk_that_is_too_old_is_one_clear_warning_and_no_harm(tmp_path: Path) -> None:
    """What is installed, what is supported, what to do; the application runs as without us."""
    package, info = tmp_path / "openai", tmp_path / "openai-1.30.0.dist-info"
    package.mkdir()
    info.mkdir()
    (package / "__init__.py").write_text(textwrap.dedent(OLD_OPENAI))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: openai\nVersion: 1.30.0\n")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(OLD_SDK)],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": path, "PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none",
             "OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"},
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "['Hal', 'lo']\n" * 2)
    assert result.stderr == (
        "streamspan:WARNING:openai 1.30.0 is older than 1.66, the oldest version that streamspan supports: "
        "your code is not affected, but streams may be missing or incomplete; "
        "upgrade openai, or leave it out with STREAMSPAN_EXCLUDE=openai\n"
    )
