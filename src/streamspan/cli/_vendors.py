"""Whose SDK a scene is played through: which package that is, and the module here that knows it; httpx without one.

Refuses to import an SDK before it is needed: any of them may be missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, cast

from streamspan._registry import integration_of, is_too_old
from streamspan.cli._scenes import Scene, VendorName


class Calls(Protocol):
    """What a module of calls has."""

    BASE: str
    """What follows the scenario in the URL."""

    def client(self, url: str, *, is_async: bool) -> Any:
        """Make a client; a context manager."""

    def warm_up(self, client: Any) -> None:
        """Import what the SDK imports at first use, which would show as a wait."""

    def ask(self, client: Any, scene: Scene, url: str, timeout: float | None) -> Any:
        """Make the call; of an asynchronous client what it returns is to be awaited."""


@dataclass(frozen=True, slots=True)
class Vendor:
    """One vendor's SDK.

    Args:
        package: which has to be installed.
        library: what `libraries=` calls it.
        module: of this folder, with its calls.
        has_retries: whether it tries again by itself.
        has_whole: whether answers that are not streamed are recorded.
    """

    package: str
    library: str
    module: str
    has_retries: bool = True
    has_whole: bool = True

    @property
    def is_installed(self) -> bool:
        """Whether the package is there, in a version that is supported."""
        try:
            is_there = find_spec(self.package) is not None
        except ModuleNotFoundError:  # not even the package that it would be in
            return False
        return is_there and is_too_old(integration_of(self.library)) is None

    def plays(self, scene: Scene) -> bool:
        """Tell whether there is something to see of a scene."""
        return (scene.is_stream or self.has_whole) and (scene.plays != "flaky" or self.has_retries)

    def calls(self) -> Calls:
        """Import its calls, and with them the SDK."""
        return cast("Calls", import_module(f"streamspan.cli.{self.module}"))


VENDORS: Mapping[VendorName, Vendor] = {
    "openai": Vendor("openai", "openai", "_openai_calls"),
    "anthropic": Vendor("anthropic", "anthropic", "_anthropic_calls"),
    "gemini": Vendor("google.genai", "google_genai", "_gemini_calls"),
}

_WITHOUT_SDK: Mapping[VendorName, tuple[Vendor, ...]] = {
    "openai": tuple(
        Vendor(name, name, "_httpx_calls", has_retries=False, has_whole=False) for name in ("httpx", "httpx2")
    ),
}


def vendor_of(name: VendorName) -> Vendor:
    """Return what a vendor's scenes are played through: its SDK, or what there is instead of one."""
    choices = (VENDORS[name], *_WITHOUT_SDK.get(name, ()))
    return next((vendor for vendor in choices if vendor.is_installed), VENDORS[name])
