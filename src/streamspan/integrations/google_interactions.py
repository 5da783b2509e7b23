"""google-genai's Interactions, in both generations of its client.

Up to google-genai 2.0 it is a Stainless SDK. From 2.12 the stream object holds its iterator as `generator`, which the
SDK replaces itself to go on in further requests; so the tap takes the place of the outermost one. Knows no telemetry.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from streamspan._guard import Guard
from streamspan._patching import Patch
from streamspan._sessions import Opening, Sessions
from streamspan._taps import AsyncItems, Items
from streamspan.integrations import stainless
from streamspan.integrations._calls import Running, target_of
from streamspan.integrations.google_requests import LAYER, Ask, Asking, AsyncReading, Reading, asent, sent
from streamspan.providers import Endpoint
from streamspan.providers._shapes import everything
from streamspan.providers.gemini import FETCH_INTERACTION, GEMINI, INTERACTIONS

_STAINLESS = stainless.Sdk(name="google.genai._interactions", provider=GEMINI, clients={}, layer=LAYER)


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of both generations."""
    calls = _Calls(sessions, guard)
    client, base = "google.genai._gaos.google_genai", "google.genai._gaos.basesdk"
    made = [
        *stainless.patches(_STAINLESS, sessions, guard),
        Patch(client, "GeminiNextGenInteractions.create", calls.create),
        Patch(client, "AsyncGeminiNextGenInteractions.create", calls.acreate),
        Patch(client, "GeminiNextGenInteractions.get", calls.get),
        Patch(client, "AsyncGeminiNextGenInteractions.get", calls.aget),
        Patch(base, "BaseSDK.do_request", sent),
        Patch(base, "AsyncBaseSDK.do_request_async", asent),
    ]
    return [replace(patch, is_optional=True) for patch in made]  # no version has both


class _Calls:
    """The wrappers of the public methods, from google-genai 2.12 on."""

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        self._sessions = sessions
        self._guard = guard

    def create(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(INTERACTIONS, wrapped, resource, args, kwargs)

    def get(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(FETCH_INTERACTION, wrapped, resource, args, kwargs)

    async def acreate(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._arun(INTERACTIONS, wrapped, resource, args, kwargs)

    async def aget(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._arun(FETCH_INTERACTION, wrapped, resource, args, kwargs)

    def _run(self, endpoint: Endpoint, wrapped: Any, resource: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, endpoint, resource, kwargs)
        call = ask.begin() if ask is not None else None
        if ask is None or call is None:
            return wrapped(*args, **kwargs)
        with Running(call) as request, Asking(ask):
            result = request.answered(wrapped(*args, **kwargs))
        self._guard.call(_watch, ask, result, Items, Reading)
        return result

    async def _arun(self, endpoint: Endpoint, wrapped: Any, resource: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, endpoint, resource, kwargs)
        call = ask.begin() if ask is not None else None
        if ask is None or call is None:
            return await wrapped(*args, **kwargs)
        with Running(call) as request, Asking(ask):
            result = request.answered(await wrapped(*args, **kwargs))
        self._guard.call(_watch, ask, result, AsyncItems, AsyncReading)
        return result

    def _ask(self, endpoint: Endpoint, resource: Any, kwargs: Mapping[str, Any]) -> Ask | None:
        body = _body(kwargs)
        is_stream = bool(body.get("stream"))
        if self._guard.is_off or not (is_stream or endpoint.read_whole):
            return None
        setup = resource.sdk_configuration
        is_vertex = "/projects/" in str(everything(setup.globals).get("api_version"))
        opening = Opening(
            layer=LAYER,
            provider=GEMINI,
            endpoint=endpoint,
            target=target_of(setup.get_server_details()[0]),
            is_stream=is_stream,
            body=body,
            provider_name="gcp.vertex_ai" if is_vertex else None,
            client=(resource, setup.client, setup.async_client),
        )
        return Ask(self._sessions, self._guard, opening, is_summed=True)


def _body(kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters, which may also come in one object; `extra_body` beats them."""
    request = everything(kwargs.get("request"))
    return {**kwargs, **everything(request.get("body") or request), **(kwargs.get("extra_body") or {})}


def _watch(ask: Ask, stream: Any, tap: Any, reading: Any) -> None:
    """Put the tap around the outermost iterator of a stream object."""
    call = ask.call
    if call is None or call.session.is_ended or not hasattr(stream, "generator"):
        return
    ask.owner = weakref.ref(stream)
    stream.generator = tap(reading(stream.generator, ask), lambda: call)
