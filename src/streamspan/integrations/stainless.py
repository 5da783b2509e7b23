"""The SDKs that Stainless generates: OpenAI, and with the same seams Anthropic, Groq and their kin.

Two seams in each colour, unchanged in openai 1.0.0 to 3.54.0: `_base_client.{Sync,Async}APIClient.request`, which
every resource, helper, raw response and `client.post` goes through, and `_streaming.{Stream,AsyncStream}.__stream__`,
the iterator inside the stream object. Nothing that the caller holds is replaced. Knows no telemetry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from streamspan._guard import Guard
from streamspan._ownership import Call, call_of
from streamspan._patching import Patch, Wrapper
from streamspan._sessions import Opening, Sessions, find_endpoint
from streamspan._taps import AsyncItems, Items
from streamspan.integrations._calls import Running, target_of
from streamspan.providers import Provider

_RAW_RESPONSE = "x-stainless-raw-response"


@dataclass(frozen=True, slots=True)
class Sdk:
    """One Stainless SDK.

    Args:
        name: import name.
        provider: its wire formats.
        clients: client classes that tell the provider whatever the host is, by name.
        layer: the layer of its sessions; the import name unless given.
    """

    name: str
    provider: Provider
    clients: Mapping[str, str]
    layer: str = ""


def patches(sdk: Sdk, sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of one SDK."""
    calls = _Calls(sdk, sessions, guard)
    client, streaming = f"{sdk.name}._base_client", f"{sdk.name}._streaming"
    return [
        Patch(client, "SyncAPIClient.request", calls.request),
        Patch(client, "AsyncAPIClient.request", calls.arequest),
        Patch(streaming, "Stream.__stream__", _items(Items)),
        Patch(streaming, "AsyncStream.__stream__", _items(AsyncItems)),
    ]


def _items(tap: type[Items[Any] | AsyncItems[Any]]) -> Wrapper:
    def items(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # The SDK calls this while the call is still on its way, before the response can say whose it is;
        # for a raw response that is parsed later, it can.
        response = stream.response
        call = call_of(response)
        if call is not None:
            call.owned_by(stream)
        return tap(wrapped(*args, **kwargs), lambda: call_of(response))

    return items


class _Calls:
    """The wrappers of `request`."""

    def __init__(self, sdk: Sdk, sessions: Sessions, guard: Guard) -> None:
        self._sdk = sdk
        self._sessions = sessions
        self._guard = guard

    def request(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with Running(call) as request:
            return request.answered(wrapped(*args, **kwargs))

    async def arequest(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with Running(call) as request:
            return request.answered(await wrapped(*args, **kwargs))

    def _open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        if self._guard.is_off:
            return None
        options: Any = kwargs["options"] if "options" in kwargs else next(iter(args[1:2]), None)
        if not (hasattr(options, "url") and hasattr(options, "method")):
            return None  # a wrong call, about which the SDK has its own word
        path = urlsplit(str(options.url)).path
        endpoint = find_endpoint(self._sdk.provider, options.method.upper(), path)
        is_stream = bool(kwargs.get("stream"))
        if endpoint is None or not (is_stream or endpoint.read_whole):
            return None
        opening = Opening(
            layer=self._sdk.layer or self._sdk.name,
            provider=self._sdk.provider,
            endpoint=endpoint,
            target=target_of(options.url, str(client.base_url)),
            is_stream=is_stream,
            body=_body(options),
            provider_name=self._client_provider(client),
            client=(client, getattr(client, "_client", None)),  # copies of a client share the one below
        )
        call = self._sessions.open(opening, self._guard)
        if call is not None:
            call.tells_hops = True  # middleware (anthropic 1) may ask again
            if is_stream and self._sessions.config.include_usage:
                _ask_for_usage(call, options)
        return call

    def _client_provider(self, client: Any) -> str | None:
        names = self._sdk.clients
        return next((names[base.__name__] for base in type(client).__mro__ if base.__name__ in names), None)


def _ask_for_usage(call: Call, options: Any) -> None:
    """Ask for the usage chunk on parsed streams; in a raw response it could not be kept from the caller."""
    endpoint = call.endpoint
    if endpoint.with_usage is None or _is_raw(options) or not _object(options.json_data):
        return
    if "stream_options" in _object(getattr(options, "extra_json", None)):
        return  # the caller's `extra_body` has the last word on the wire
    body = endpoint.with_usage(_object(options.json_data))
    if body is not None:
        options.json_data = body
        call.hides = endpoint.is_usage_only


def _body(options: Any) -> dict[str, Any]:
    """Return the parameters as they go out: `extra_body` beats the arguments; of a GET its query."""
    body = _object(options.json_data) or _object(options.params)
    extra = _object(getattr(options, "extra_json", None))
    return {**body, **extra} if extra else body


def _is_raw(options: Any) -> bool:
    return any(name.lower() == _RAW_RESPONSE for name in _object(options.headers))


def _object(value: object) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
