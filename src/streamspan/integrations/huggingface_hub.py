"""The InferenceClient of huggingface_hub: `chat_completion`, also as `chat.completions.create`.

The request is made in `_inner_post`, which alone knows where it goes; the method returns a generator over what comes.
It ends at the end marker: the response is kept open by the client until that is closed. Knows no telemetry.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, cast
from urllib.parse import urlsplit

from streamspan._bodies import attach
from streamspan._guard import Guard
from streamspan._ownership import Active, Call, current_call
from streamspan._patching import Patch
from streamspan._sessions import Opening, Sessions, find_endpoint, host_name
from streamspan._taps import AsyncItems, Items, tell
from streamspan.integrations._calls import target_of
from streamspan.providers.openai import OPENAI

_PROVIDER = "hugging_face"
_CLIENT = "huggingface_hub.inference._client"
_ASYNC_CLIENT = "huggingface_hub.inference._generated._async_client"


class _Ask:
    """A call of `chat_completion`, whose session opens below."""

    __slots__ = ("call",)

    def __init__(self) -> None:
        self.call: Call | None = None


_asking: ContextVar[_Ask | None] = ContextVar("streamspan_huggingface", default=None)


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of both clients."""
    calls = _Calls(sessions, guard)
    return [
        Patch(_CLIENT, "InferenceClient.chat_completion", calls.chat),
        Patch(_CLIENT, "InferenceClient._inner_post", calls.post),
        Patch(_ASYNC_CLIENT, "AsyncInferenceClient.chat_completion", calls.achat),
        Patch(_ASYNC_CLIENT, "AsyncInferenceClient._inner_post", calls.apost),
    ]


class _Calls:
    """The wrappers of the clients' methods."""

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        self._sessions = sessions
        self._guard = guard

    def chat(self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._guard.is_off or current_call() is not None:
            return wrapped(*args, **kwargs)
        ask = _Ask()
        token = _asking.set(ask)
        try:
            answer = wrapped(*args, **kwargs)
        except BaseException as exc:
            self._told(ask, exc)
            raise
        finally:
            _asking.reset(token)
        return self._answered(ask, answer)

    async def achat(self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._guard.is_off or current_call() is not None:
            return await wrapped(*args, **kwargs)
        ask = _Ask()
        token = _asking.set(ask)
        try:
            answer = await wrapped(*args, **kwargs)
        except BaseException as exc:
            self._told(ask, exc)
            raise
        finally:
            _asking.reset(token)
        return self._answered(ask, answer)

    def post(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        with Active(call):
            return wrapped(*args, **kwargs)

    async def apost(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        with Active(call):
            return await wrapped(*args, **kwargs)

    def _open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        ask = _asking.get()
        if ask is None or ask.call is not None:
            return None
        asked = args[0] if args else kwargs["request_parameters"]
        body, url = asked.json, str(asked.url)
        endpoint = find_endpoint(OPENAI, "POST", urlsplit(url).path)
        if not isinstance(body, dict) or endpoint is None:
            return None
        target = target_of(url)
        opening = Opening(
            layer="huggingface_hub",
            provider=OPENAI,
            endpoint=endpoint,
            target=target,
            is_stream=bool(kwargs.get("stream")),
            body=cast("dict[str, Any]", body),
            # The client talks to the servers of other vendors as well.
            provider_name=None if host_name(OPENAI, target.host) else _PROVIDER,
            client=client,
        )
        ask.call = self._sessions.open(opening, self._guard)
        return ask.call

    def _told(self, ask: _Ask, exc: BaseException) -> None:
        if ask.call is not None:
            self._guard.call(tell, ask.call, exc)

    def _answered(self, ask: _Ask, answer: Any) -> Any:
        call = ask.call
        if call is None or call.session.is_ended:
            return answer
        if not call.session.request.is_stream:
            self._guard.call(call.session.answered, answer)
            return answer
        self._guard.call(_opened, call)
        kind = AsyncItems[Any] if hasattr(answer, "__anext__") else Items[Any]
        tap = kind(answer, lambda: call)
        tap.resolve()  # it may be closed unread
        return tap


def _opened(call: Call) -> None:
    session, response = call.session, call.answer()
    session.accepted()
    session.returned()
    if type(getattr(response, "extensions", None)) is dict:
        attach(call, response)  # for the end marker, which the SDK keeps to itself
