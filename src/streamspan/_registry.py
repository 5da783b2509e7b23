"""Which libraries can be instrumented, and which providers third parties have added."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, entry_points, version
from typing import TypeAlias

from streamspan._config import Config, ConfigError
from streamspan._guard import Guard
from streamspan._patching import Patch
from streamspan._sessions import Sessions
from streamspan.integrations import (
    Integration,
    aiohttp,
    anthropic_tracing,
    botocore,
    generators,
    google_genai,
    httpx,
    huggingface_hub,
    langchain,
    mistralai,
    requests,
    stainless,
    together,
    websockets,
)
from streamspan.providers import Provider
from streamspan.providers.anthropic import ANTHROPIC
from streamspan.providers.bedrock import BEDROCK
from streamspan.providers.cohere import COHERE
from streamspan.providers.gemini import GEMINI
from streamspan.providers.mistral import MISTRAL
from streamspan.providers.ollama import OLLAMA
from streamspan.providers.openai import OPENAI

_logger = logging.getLogger("streamspan")

_Patches: TypeAlias = Callable[[Sessions, Guard], list[Patch]]
_RawPatches: TypeAlias = Callable[[Callable[[], Iterable[Provider]], Sessions, Guard], list[Patch]]

_OPENAI_SDK = stainless.Sdk(
    name="openai",
    provider=OPENAI,
    clients={
        "AzureOpenAI": "azure.ai.openai",
        "AsyncAzureOpenAI": "azure.ai.openai",
        "BedrockOpenAI": "aws.bedrock",
        "AsyncBedrockOpenAI": "aws.bedrock",
    },
)

_ANTHROPIC_SDK = stainless.Sdk(
    name="anthropic",
    provider=ANTHROPIC,
    clients={
        "AnthropicBedrock": "aws.bedrock",
        "AsyncAnthropicBedrock": "aws.bedrock",
        "AnthropicBedrockMantle": "aws.bedrock",
        "AsyncAnthropicBedrockMantle": "aws.bedrock",
        "AnthropicVertex": "gcp.vertex_ai",
        "AsyncAnthropicVertex": "gcp.vertex_ai",
        "AnthropicFoundry": "azure.ai.inference",
        "AsyncAnthropicFoundry": "azure.ai.inference",
    },
)

_GROQ_SDK = stainless.Sdk(name="groq", provider=OPENAI, clients={"Groq": "groq", "AsyncGroq": "groq"})

PROVIDERS: tuple[Provider, ...] = (BEDROCK, ANTHROPIC, GEMINI, COHERE, OLLAMA, OPENAI, MISTRAL)
"""Every wire format that a request without an SDK may speak; where two fit, the first."""


def all_providers() -> tuple[Provider, ...]:
    """Return every provider, those of third parties last."""
    return (*PROVIDERS, *third_party_providers().values())


def _raw(name: str, oldest: str, patches: _RawPatches, helper_patches: _Patches) -> Integration:
    return Integration(name, name, oldest, partial(patches, all_providers), helper_patches=helper_patches)


INTEGRATIONS: tuple[Integration, ...] = (
    # First, so that the SDKs' claims to a connection come before it: what is patched last is called first.
    Integration("websockets", "websockets", "13.0", partial(websockets.patches, websockets.RAW)),
    Integration(
        "openai",
        "openai",
        "1.66",
        together(partial(stainless.patches, _OPENAI_SDK), partial(websockets.patches, websockets.OPENAI)),
        helpers=("httpx", "httpx2"),
    ),
    Integration(
        "anthropic",
        "anthropic",
        "0.49",
        partial(anthropic_tracing.patches, _ANTHROPIC_SDK),
        helpers=("httpx", "httpx2"),
    ),
    Integration(
        "google_genai",
        "google-genai",
        "1.56",
        together(google_genai.patches, partial(websockets.patches, websockets.GOOGLE)),
        helpers=("httpx", "httpx2", "aiohttp", "requests"),
    ),
    Integration("langchain", "langchain-core", "0.3", langchain.patches),
    Integration("groq", "groq", "0.13", partial(stainless.patches, _GROQ_SDK), helpers=("httpx",)),
    Integration("mistralai", "mistralai", "1.5", mistralai.patches, helpers=("httpx", "httpx2")),
    Integration("cohere", "cohere", "5.17", generators.cohere_patches, helpers=("httpx",)),
    Integration("ollama", "ollama", "0.4", generators.ollama_patches, helpers=("httpx",)),
    Integration(
        "huggingface_hub",
        "huggingface-hub",
        "1.0",
        huggingface_hub.patches,
        helpers=("httpx",),
    ),
    Integration("bedrock", "botocore", "1.34.116", botocore.patches),
    _raw("httpx", "0.23", partial(httpx.patches, "httpx"), partial(httpx.helper_patches, "httpx")),
    _raw("httpx2", "2.0", partial(httpx.patches, "httpx2"), partial(httpx.helper_patches, "httpx2")),
    _raw("requests", "2.28", requests.patches, requests.helper_patches),
    _raw("aiohttp", "3.9", aiohttp.patches, aiohttp.helper_patches),
)
"""Every integration, by the order in which they are listed."""


TRANSPORTS = frozenset({"httpx", "httpx2", "requests", "aiohttp", "websockets"})
"""Libraries that carry models' streams among other things: who else instruments them records HTTP, no models."""


def known_names() -> list[str]:
    """Return the names that `libraries=` and the environment lists may use."""
    return [integration.name for integration in INTEGRATIONS]


def integration_of(name: str) -> Integration:
    """Return the integration of a known name."""
    return next(integration for integration in INTEGRATIONS if integration.name == name)


def checked_names(libraries: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return the names that `libraries=` asks for, None for all.

    Raises:
        ConfigError: it is no list of names, or names one that there is not.
    """
    if libraries is None:
        return None
    known = known_names()
    if isinstance(libraries, str) or not isinstance(libraries, Iterable):
        raise ConfigError(f"instrument(libraries={libraries!r}): allowed is a list of names, of {', '.join(known)}")
    names = tuple(libraries)
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"unknown libraries {', '.join(map(repr, unknown))}; known: {', '.join(known)}")
    return names


def selected(config: Config, libraries: Iterable[str] | None) -> list[Integration]:
    """Return the integrations that are wanted, with the helpers that they need.

    An unknown name in the configuration is a warning: it may be one of a newer version.
    """
    known = {integration.name: integration for integration in INTEGRATIONS}
    if libraries is not None:
        wanted = list(libraries)
    else:
        wanted = (config.libraries and _warned(config.libraries, known, "STREAMSPAN_LIBRARIES")) or list(known)
    excluded = set(_warned(config.exclude, known, "STREAMSPAN_EXCLUDE"))
    names = [name for name in wanted if name not in excluded]
    # A library left out by name is still patched where another one needs it: it then only adds to that one's calls.
    helpers = {helper for name in names for helper in known[name].helpers}
    below = {name: replace(known[name], patches=known[name].helper_patches or known[name].patches) for name in helpers}
    return [known[name] if name in names else below[name] for name in known if name in names or name in helpers]


def _warned(names: Iterable[str], known: Iterable[str], variable: str) -> list[str]:
    names = list(names)
    for name in names:
        if name not in known:
            _logger.warning("%s names %r, which there is not; known: %s", variable, name, ", ".join(known))
    return [name for name in names if name in known]


def is_too_old(integration: Integration) -> str | None:
    """Return the installed version of a library if it is older than what is supported; None if it is not."""
    installed = _installed(integration.distribution)
    numbers = _numbers(installed)
    return installed if numbers and numbers < _numbers(integration.oldest) else None


@cache
def _installed(distribution: str) -> str:
    """Return the version of a distribution, empty without a usable one; reading it parses a file, so once is enough."""
    try:
        return version(distribution) or ""
    except (PackageNotFoundError, KeyError):  # KeyError: metadata without a version, from Python 3.12
        return ""


def _numbers(text: str) -> tuple[int, ...]:
    """Return the leading numbers of a version, which is all that a lower bound needs."""
    return tuple(int(part) for part in re.findall(r"\d+", re.split(r"[^\d.]", text)[0]))


def third_party_providers() -> dict[str, Provider]:
    """Load the providers of the entry-point group `streamspan.providers`, by name; a bad one is a warning."""
    providers: dict[str, Provider] = {}
    for entry_point in entry_points(group="streamspan.providers"):
        origin = f"provider {entry_point.name!r} ({entry_point.value})"
        loaded = Guard(origin).call(entry_point.load)
        if isinstance(loaded, Provider) and loaded.endpoints:
            providers.setdefault(loaded.name, loaded)
        elif loaded is not None:
            _logger.warning("streamspan: %s is no streamspan.Provider with an endpoint, but %r", origin, loaded)
    return providers
