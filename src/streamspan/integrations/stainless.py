"""The SDKs that Stainless generates: OpenAI, and with the same seams Anthropic, Groq and their kin.

Two seams in each colour, unchanged in openai 1.0.0 to 3.54.0: `_base_client.{Sync,Async}APIClient.request`, which
every resource, helper, raw response and `client.post` goes through, and `_streaming.{Stream,AsyncStream}.__stream__`,
the iterator inside the stream object. Nothing that the caller holds is replaced. Knows no telemetry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from streamspan._bodies import attach
from streamspan._guard import Guard
from streamspan._ownership import Active, Call, call_of
from streamspan._patching import Patch, Wrapper
from streamspan._sessions import Opening, Sessions, Target, find_endpoint
from streamspan._taps import AsyncItems, Items, tell
from streamspan.providers import Provider

_RAW_RESPONSE = "x-stainless-raw-response"


@dataclass(frozen=True, slots=True)
class Sdk:
    """One Stainless SDK.

    Args:
        name: import name, and the layer of its sessions.
        provider: its wire formats.
        clients: client classes that tell the provider whatever the host is, by name.
    """

    name: str
    provider: Provider
    clients: Mapping[str, str]


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
        with _Request(call) as request:
            return request.answered(wrapped(*args, **kwargs))

    async def arequest(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with _Request(call) as request:
            return request.answered(await wrapped(*args, **kwargs))

    def _open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        if self._guard.is_off:
            return None
        options = kwargs["options"] if "options" in kwargs else args[1]
        path = urlsplit(str(options.url)).path
        endpoint = find_endpoint(self._sdk.provider, options.method.upper(), path)
        is_stream = bool(kwargs.get("stream"))
        if endpoint is None or not (is_stream or endpoint.read_whole):
            return None
        opening = Opening(
            layer=self._sdk.name,
            provider=self._sdk.provider,
            endpoint=endpoint,
            target=_target(client, options.url),
            is_stream=is_stream,
            body=_body(options),
            provider_name=self._client_provider(client),
        )
        call = self._sessions.open(opening, self._guard)
        if call is not None and is_stream and self._sessions.config.include_usage:
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


_PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80}


def _target(client: Any, url: str) -> Target:
    parts = urlsplit(url)
    base = urlsplit(str(client.base_url))
    where = parts if parts.netloc else base
    path = parts.path if parts.netloc else base.path.rstrip("/") + "/" + parts.path.lstrip("/")
    return Target((where.hostname or "").lower(), where.port or _PORTS.get(where.scheme), path)


class _Request:
    """One call of `request`: its span is current inside, and what comes out of it gets its tap."""

    __slots__ = ("_active", "_call")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._active = Active(call)

    def __enter__(self) -> _Request:
        self._active.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._active.__exit__(kind, exc, tb)
        if exc is not None:
            self._call.guard.call(_failed, self._call, exc)

    def answered(self, result: Any) -> Any:
        call = self._call
        if not call.guard.call(_opened, call, result) and not call.session.is_ended:
            call.abandon()
        return result


def _failed(call: Call, exc: BaseException) -> None:
    """Tell the session what was raised; if that was about a whole answer that came (a parser's), take the answer first."""
    response = call.answer()
    if response is not None and not call.session.request.is_stream and response.is_closed:
        call.session.heard_all(_json(response))
    tell(call, exc)


def _opened(call: Call, result: Any) -> bool:
    """Put the tap where the answer will be read; return True (a fault returns nothing)."""
    session = call.session
    response = _http_response(result)
    if response is not None and not session.is_accepted:
        session.headers(response.status_code, call.request_id(response.headers))
    if not session.request.is_stream and (response is None or response.is_closed):
        session.answered(result if response is None else _json(response))
        return True
    session.returned()
    if response is None:  # an object that cannot be watched: the call is all there is to tell
        session.exhausted()
        return True
    attach(call, response)
    if result is not response and getattr(result, "response", None) is response:
        call.owned_by(result)
    return True


def _json(response: Any) -> Any:
    """Read a whole answer that the caller gets as a raw response."""
    try:
        return json.loads(response.content)
    except ValueError:
        return {}  # text, or nothing that says anything


def _http_response(result: Any) -> Any:
    """Find the HTTP response in what `request` returned; None when that is a parsed answer."""
    for candidate in (getattr(result, "response", None), getattr(result, "http_response", None), result):
        if candidate is not None and type(getattr(candidate, "extensions", None)) is dict:
            return candidate
    return None
