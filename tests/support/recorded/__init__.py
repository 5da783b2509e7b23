"""Public recordings of real vendor streams: a vendor is a module here, with `VENDOR`.

The recordings are no part of the repository: `STREAMSPAN_RECORDINGS` names their folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

from support.truth import Payload, Truth, payloads

FOLDER = Path(os.environ.get("STREAMSPAN_RECORDINGS") or Path(__file__).parents[4] / "shared" / "recordings")
# Module here to the package that plays its recordings.
VENDORS = {
    "openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google.genai",
}
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, kw_only=True)
class Call:
    """How a recorded request is made again.

    Args:
        operation: `gen_ai.operation.name`.
        start: client and recorded request to what the SDK returns.
        truth: events to what they say.
    """

    operation: str
    start: Callable[[Any, dict[str, Any]], Any]
    truth: Callable[[Iterable[Payload]], Truth]


@dataclass(frozen=True, kw_only=True)
class Vendor:
    """Whose recordings they are.

    Args:
        folders: where they are.
        client: makes the client of a recording, given where it is played and the colour.
        call: how a recording is made again.
        failures: what its SDK raises for an error inside a stream.
        described: what to compare of such an error.
        facts: by file: numbers of data lines and finish reasons, as the recordings' README has them.
        lines: counts the data lines of a recording that are no chunks.
    """

    folders: tuple[str, ...]
    client: Callable[[Recording, str, bool], Any]
    call: Callable[[Recording], Call]
    failures: tuple[type[Exception], ...]
    described: Callable[[Any], tuple[Any, ...]]
    facts: Mapping[str, tuple[list[int], list[str]]]
    lines: Callable[[Recording], int]


@dataclass(frozen=True)
class Recording:
    """One recorded request and its stream."""

    name: str
    vendor: str
    url: str
    request: dict[str, Any] = field(repr=False)
    body: str = field(repr=False)

    @property
    def events(self) -> list[Payload]:
        """Its events."""
        return list(payloads(self.body))

    @property
    def file(self) -> str:
        """The name of its file, without what the file's system could not have."""
        head, dash, tail = self.name.rpartition("-")
        return head if dash and tail.isdigit() else self.name


def _found() -> Iterator[Recording]:
    for vendor, made in _MADE.items():
        for folder in made.folders:
            for path in sorted((FOLDER / folder).glob("*")):
                found = list(_streams(path))
                for number, (url, request, body) in enumerate(found):
                    suffix = f"-{number}" if len(found) > 1 else ""
                    yield Recording(path.stem.rstrip("_") + suffix, vendor, url, request, body)


def _streams(path: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    if path.suffix in {".txt", ".sse"}:  # a body without its request
        yield "", {}, path.read_text()
        return
    if path.suffix == ".json":
        record = json.loads(path.read_text())
        yield record["request"]["url"], json.loads(record["request"]["body"]), record["response"]["body"]
        return
    for interaction in yaml.load(path.read_text(), _LOADER)["interactions"]:
        request, body = interaction["request"], interaction["response"]["body"].get("string")
        text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
        if text and "data: " in text:
            yield request["uri"], request.get("parsed_body") or json.loads(request["body"]), text


def known(body: dict[str, Any], *names: str, **otherwise: Any) -> dict[str, Any]:
    """Return a request as arguments: those that the SDK wants by name, and the rest as they are."""
    rest = {name: value for name, value in body.items() if name not in (*names, "stream")}
    return {name: body.get(name, otherwise.get(name)) for name in names} | {"stream": True, "extra_body": rest}


_MADE: dict[str, Vendor] = {
    vendor: import_module(f"support.recorded.{vendor}").VENDOR
    for vendor, package in VENDORS.items()
    if find_spec(package) is not None
}
RECORDINGS: list[Recording] = list(_found()) if FOLDER.is_dir() else []


def vendor_of(recording: Recording) -> Vendor:
    """Return whose recording it is."""
    return _MADE[recording.vendor]


FACTS: dict[str, tuple[list[int], list[str]]] = {
    name: facts for vendor in _MADE.values() for name, facts in vendor.facts.items()
}
"""The facts of every vendor's files."""
