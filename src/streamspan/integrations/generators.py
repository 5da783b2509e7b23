"""SDKs whose streams are generators that send nothing before the first read: Cohere (version 2 of the API) and Ollama.

So that is when the session opens. In the place of the generator the caller gets a class that does the same. The HTTP
library below adds attempts and headers; failures are seen as the caller sees them. Knows no telemetry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from streamspan._guard import Guard
from streamspan._ownership import Active, Call, current_call
from streamspan._patching import Patch
from streamspan._sessions import Opening, Sessions, find_endpoint
from streamspan._taps import AsyncItems, Items, Standin
from streamspan.integrations._calls import Running, target_of
from streamspan.providers import Provider
from streamspan.providers.cohere import COHERE
from streamspan.providers.ollama import OLLAMA


@dataclass(frozen=True, slots=True)
class Asked:
    """What a method was given: the path of the request, its parameters, the client's base URL."""

    path: str
    body: dict[str, Any]
    base: str
    is_stream: bool


def cohere_patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of Cohere's SDK."""
    streams = _Calls("cohere", COHERE, _asked_of_cohere(is_stream=True), sessions, guard)
    whole = _Calls("cohere", COHERE, _asked_of_cohere(is_stream=False), sessions, guard)
    return [
        Patch("cohere.v2.client", "V2Client.chat_stream", streams.request),
        Patch("cohere.v2.client", "AsyncV2Client.chat_stream", streams.generator),
        Patch("cohere.v2.client", "V2Client.chat", whole.request),
        Patch("cohere.v2.client", "AsyncV2Client.chat", whole.arequest),
    ]


def ollama_patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of Ollama's SDK; every method makes its request through one."""
    calls = _Calls("ollama", OLLAMA, _asked_of_ollama, sessions, guard)
    return [
        Patch("ollama._client", "Client._request", calls.request),
        Patch("ollama._client", "AsyncClient._request", calls.arequest),
    ]


def _asked_of_cohere(*, is_stream: bool) -> Callable[..., Asked]:
    def asked(client: Any, _args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked:
        return Asked("/v2/chat", kwargs, client._client_wrapper.get_base_url(), is_stream)  # noqa: SLF001

    return asked


def _asked_of_ollama(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Asked | None:
    path = next((arg for arg in args if isinstance(arg, str) and arg.startswith("/")), None)
    body = kwargs.get("json")
    if path is None or not isinstance(body, dict):
        return None
    return Asked(path, cast("dict[str, Any]", body), str(client._client.base_url), bool(kwargs.get("stream")))  # noqa: SLF001


class _Calls:
    """The wrappers of one SDK's methods."""

    def __init__(
        self, layer: str, provider: Provider, asked: Callable[..., Asked | None], sessions: Sessions, guard: Guard
    ) -> None:
        self._layer = layer
        self._provider = provider
        self._asked = asked
        self._sessions = sessions
        self._guard = guard

    def request(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opening = self._guard.call(self._look, client, args, kwargs)
        if opening is None:
            return wrapped(*args, **kwargs)
        if opening.is_stream:
            return self._tapped(wrapped(*args, **kwargs), opening)
        call = self._guard.call(self._sessions.open, opening, self._guard)
        if call is None:
            return wrapped(*args, **kwargs)
        with Running(call) as running:
            return running.answered(wrapped(*args, **kwargs))

    async def arequest(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opening = self._guard.call(self._look, client, args, kwargs)
        if opening is None:
            return await wrapped(*args, **kwargs)
        if opening.is_stream:
            return self._tapped(await wrapped(*args, **kwargs), opening)
        call = self._guard.call(self._sessions.open, opening, self._guard)
        if call is None:
            return await wrapped(*args, **kwargs)
        with Running(call) as running:
            return running.answered(await wrapped(*args, **kwargs))

    def generator(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        opening = self._guard.call(self._look, client, args, kwargs)
        stream = wrapped(*args, **kwargs)
        return stream if opening is None else self._tapped(stream, opening)

    def _look(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Opening | None:
        asked = None if self._guard.is_off or current_call() is not None else self._asked(client, args, kwargs)
        endpoint = None if asked is None else find_endpoint(self._provider, "POST", asked.path)
        if asked is None or endpoint is None:
            return None
        return Opening(
            layer=self._layer,
            provider=self._provider,
            endpoint=endpoint,
            target=target_of(asked.path, asked.base),
            is_stream=asked.is_stream,
            body=asked.body,
            provider_name=self._provider.name,
            client=client,
        )

    def _tapped(self, stream: Any, opening: Opening) -> Any:
        ask = _Ask(lambda: self._guard.call(self._sessions.open, opening, self._guard))
        if hasattr(stream, "__anext__"):
            return AsyncItems[Any](_AsyncReading(stream, ask), ask.begin)
        return Items[Any](_Reading(stream, ask), ask.begin)


class _Ask:
    """A call that is made when its stream is first read."""

    __slots__ = ("_open", "call")

    def __init__(self, open_call: Callable[[], Call | None]) -> None:
        self._open = open_call
        self.call: Call | None = None

    def begin(self) -> Call | None:
        """Open the session."""
        self.call = call = self._open()
        if call is not None:
            call.guard.call(call.session.returned)
        return call


class _Reading(Standin):
    """Reads the SDK's generator with the call current, until its headers are there."""

    __slots__ = ("_ask",)

    def __init__(self, items: Any, ask: _Ask) -> None:
        self._items = items
        self._ask = ask

    def __next__(self) -> Any:
        call = self._ask.call
        if call is None or call.session.is_accepted:
            return next(self._items)
        with Active(call):
            return next(self._items)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)


class _AsyncReading(Standin):
    """As `_Reading`, for asynchronous generators."""

    __slots__ = ("_ask",)

    def __init__(self, items: Any, ask: _Ask) -> None:
        self._items = items
        self._ask = ask

    async def __anext__(self) -> Any:
        call = self._ask.call
        if call is None or call.session.is_accepted:
            return await self._items.__anext__()
        with Active(call):
            return await self._items.__anext__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._items, name)
