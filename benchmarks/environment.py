"""The interpreter that measures: a virtual environment outside of the tree, made once.

Everybody who is measured lives in the same environment, so that the SDKs below are the same.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from benchmarks.subjects import PACKAGES

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = (
    "openai>=3",
    "anthropic>=2",
    "google-genai>=3",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp",
    "opentelemetry-instrumentation",
    *(f"{package}==1.3b0" for package in PACKAGES.values()),
    "aiohttp>=3.9",
    "requests>=2.28",
    "websockets>=13",
    "wrapt",
)
_SHOWN = ("openai", "anthropic", "google-genai", "httpx2", "requests", "aiohttp", "opentelemetry-sdk")


def cache_folder() -> Path:
    """Return where environments are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "streamspan-benchmarks"


def interpreter(given: str | None) -> str:
    """Return the interpreter to measure with: the given one, else that of the environment, which is made if need be."""
    if given is not None:
        return given
    folder = cache_folder() / f"py{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / "bin" / "python"
    installed = folder / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS)
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        sys.stderr.write(f"making {folder} (once)\n")
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *REQUIREMENTS], check=True)
        installed.write_text(wanted, encoding="utf-8")
    return str(python)


def variables() -> dict[str, str]:
    """Return the variables of a measuring process: this one's, without what would change what is measured."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "STREAMSPAN_", "OPENAI_", "ANTHROPIC_", "GEMINI_", "GOOGLE_"))
        and name != "PYTHONDONTWRITEBYTECODE"  # else `import` would measure the compiler
    }
    paths = [str(ROOT / "src"), str(ROOT)]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "NO_PROXY": "127.0.0.1", "PYTHONHASHSEED": "0"}


def versions(python: str) -> dict[str, str]:
    """Return the versions of what matters, as the interpreter that measures has them."""
    program = (
        "import json, platform\n"
        "from importlib.metadata import PackageNotFoundError, version\n"
        "found = {'python': platform.python_version()}\n"
        f"for name in {[*_SHOWN, *PACKAGES.values()]!r}:\n"
        "    try: found[name] = version(name)\n"
        "    except PackageNotFoundError: pass\n"
        "print(json.dumps(found))\n"
    )
    import json  # noqa: PLC0415

    output = subprocess.run([python, "-c", program], check=True, capture_output=True, text=True).stdout
    found: dict[str, str] = json.loads(output)
    return found
