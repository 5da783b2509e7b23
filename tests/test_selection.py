"""What is selected is patched, nothing else is, and nobody's SDK is imported for it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from streamspan._registry import INTEGRATIONS, known_names

# Top-level module of each integration's library, where it is not its name.
_MODULES = {"google_genai": "google.genai", "langchain": "langchain_core", "bedrock": "botocore"}

_IMPORTED = """
import json, sys, streamspan
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
before = set(sys.modules)
streamspan.instrument(tracer_provider=TracerProvider(), meter_provider=MeterProvider())
streamspan.uninstrument()
print(json.dumps(sorted(set(sys.modules) - before)))
"""

_PATCHED = """
import json, sys, streamspan
from importlib import import_module
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider
from streamspan import _api
libraries = json.loads(sys.argv[1])
streamspan.instrument(tracer_provider=TracerProvider(), meter_provider=MeterProvider(), libraries=libraries)
patches = _api.runtime().patches
for module in {patch.module for each in patches.values() for patch in each.patches}:
    try:
        import_module(module)
    except ImportError:
        pass
print(json.dumps({name: [patch.name for patch in each.patches if each.is_applied(patch)] for name, each in patches.items()}))
"""


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_instrumenting_imports_no_vendor() -> None:
    """Patches wait for the application's own import; our modules and OpenTelemetry's are all that is loaded."""
    vendors = {_MODULES.get(integration.name, integration.name) for integration in INTEGRATIONS}
    loaded = json.loads(_run(_IMPORTED))
    assert [name for name in loaded if any(name == vendor or name.startswith(f"{vendor}.") for vendor in vendors)] == []


def _is_installed(distribution: str) -> bool:
    try:
        return bool(version(distribution))
    except PackageNotFoundError:
        return False


@pytest.mark.parametrize("name", known_names())
def test_one_library_is_patched_with_what_it_needs_and_nothing_else(name: str) -> None:
    """`libraries=[name]`: its own seams, those of the HTTP clients below it, and no other vendor's."""
    (integration,) = [each for each in INTEGRATIONS if each.name == name]
    if not _is_installed(integration.distribution):
        pytest.skip(f"{integration.distribution} is not installed")
    patched = json.loads(_run(_PATCHED, json.dumps([name])))
    assert patched.pop("asyncio")
    assert set(patched) == {name, *integration.helpers}
    assert patched[name]
