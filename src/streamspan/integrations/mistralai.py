"""The SDK of Mistral: `stream` and `complete` of chat, fill-in-the-middle and agents.

The methods are the calls; `stream_events` makes the iterator inside the stream object, and nothing that the caller
holds is replaced. The package moved from `mistralai` to `mistralai.client` in version 2. Knows no telemetry but that
of the SDK itself, which would be a second span of the same call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.propagate import inject

from streamspan._guard import Guard
from streamspan._ownership import Call, call_of, current_call
from streamspan._patching import Patch, Wrapper
from streamspan._sessions import Opening, Sessions
from streamspan._taps import AsyncItems, Items
from streamspan.integrations._calls import Running, target_of
from streamspan.providers import Endpoint
from streamspan.providers.mistral import AGENTS, CHAT, FIM, MISTRAL

_PLACES = ("mistralai.client", "mistralai")
_METHODS: Mapping[str, Endpoint] = {"chat.Chat": CHAT, "fim.Fim": FIM, "agents.Agents": AGENTS}


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of the SDK in either place."""
    found: list[Patch] = []
    for place in _PLACES:
        for path, endpoint in _METHODS.items():
            module, name = path.split(".")
            calls = _Calls(endpoint, sessions, guard)
            found += [
                Patch(f"{place}.{module}", f"{name}.stream", calls.stream),
                Patch(f"{place}.{module}", f"{name}.stream_async", calls.astream),
                Patch(f"{place}.{module}", f"{name}.complete", calls.complete),
                Patch(f"{place}.{module}", f"{name}.complete_async", calls.acomplete),
            ]
        events = f"{place}.utils.eventstreaming"
        found += [
            Patch(events, "stream_events", _items(Items)),
            Patch(events, "stream_events_async", _items(AsyncItems)),
            Patch(
                f"{place}._hooks.tracing",
                "get_traced_request_and_span",
                _Tracing(sessions, guard).traced,
                is_optional=True,
            ),
        ]
    return found


def _items(tap: type[Items[Any] | AsyncItems[Any]]) -> Wrapper:
    def items(wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        # Made inside the call, before the response can say whose it is.
        response = kwargs["response"] if "response" in kwargs else args[0]
        return tap(wrapped(*args, **kwargs), lambda: call_of(response))

    return items


class _Calls:
    """The wrappers of one resource's methods."""

    def __init__(self, endpoint: Endpoint, sessions: Sessions, guard: Guard) -> None:
        self._endpoint = endpoint
        self._sessions = sessions
        self._guard = guard

    def stream(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(wrapped, resource, args, kwargs, is_stream=True)

    def complete(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return self._run(wrapped, resource, args, kwargs, is_stream=False)

    async def astream(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._arun(wrapped, resource, args, kwargs, is_stream=True)

    async def acomplete(self, wrapped: Any, resource: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return await self._arun(wrapped, resource, args, kwargs, is_stream=False)

    def _run(self, wrapped: Any, resource: Any, args: Any, kwargs: Any, *, is_stream: bool) -> Any:
        call = self._guard.call(self._open, resource, kwargs, is_stream)
        if call is None:
            return wrapped(*args, **kwargs)
        with Running(call) as running:
            return running.answered(wrapped(*args, **kwargs))

    async def _arun(self, wrapped: Any, resource: Any, args: Any, kwargs: Any, *, is_stream: bool) -> Any:
        call = self._guard.call(self._open, resource, kwargs, is_stream)
        if call is None:
            return await wrapped(*args, **kwargs)
        with Running(call) as running:
            return running.answered(await wrapped(*args, **kwargs))

    def _open(self, resource: Any, kwargs: dict[str, Any], is_stream: bool) -> Call | None:
        if self._guard.is_off or current_call() is not None:
            return None
        url = kwargs.get("server_url") or resource.sdk_configuration.get_server_details()[0]
        opening = Opening(
            layer="mistralai",
            provider=MISTRAL,
            endpoint=self._endpoint,
            target=target_of(str(url)),
            is_stream=is_stream,
            body=kwargs,
        )
        return self._sessions.open(opening, self._guard)


class _Tracing:
    """The SDK's own spans, of calls that are recorded here.

    Replaced, there is none, and the trace goes on at the server with ours. Kept, they are children of ours and not the
    parent: the SDK makes one for each request of a call, inside its retries (mistralai 2 to 3.7), and in the async
    colour in another thread, whose context nothing comes back from.
    """

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        self._sessions = sessions
        self._guard = guard

    def traced(self, wrapped: Any, _: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current_call()
        if call is None:
            return wrapped(*args, **kwargs)
        if self._sessions.config.native_spans == "keep":
            token = otel_context.attach(call.context)
            try:
                return wrapped(*args, **kwargs)
            finally:
                otel_context.detach(token)
        request = kwargs["request"]
        if kwargs["tracing_enabled"]:
            self._guard.call(inject, request.headers, call.context)
        return request, None
