"""google-genai: `generate_content` with its stream, and what the SDK sends for it.

The public methods (unchanged in google-genai 1.0 to 3.4) return generators that send nothing before the first read, so
that is when the session opens. In the place of the generator the caller gets a class that does the same. A chat is one
call of its own: it calls `Models` as often as the model asks for functions (from google-genai 3 on). Knows no telemetry.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import FrameType
from typing import Any, NamedTuple, cast

from streamspan._guard import Guard
from streamspan._ownership import Call
from streamspan._patching import Patch
from streamspan._records import Delta
from streamspan._sessions import Opening, Sessions
from streamspan._taps import AsyncItems, Items
from streamspan.integrations import google_interactions
from streamspan.integrations._calls import target_of
from streamspan.integrations.google_requests import LAYER, Ask, Asking, AsyncReading, Reading, asent, current_ask, sent
from streamspan.providers import Endpoint
from streamspan.providers._shapes import fields
from streamspan.providers.gemini import GEMINI, GENERATE_CONTENT, STREAM_GENERATE_CONTENT


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of `generate_content`, of chats and of the requests below them, and of Interactions."""
    models, chats, client = "google.genai.models", "google.genai.chats", "google.genai._api_client"
    content = _Calls(sessions, guard, _asked_of_models, is_chat=False)
    chat = _Calls(sessions, guard, _asked_of_chat, is_chat=True)
    return [
        Patch(models, "Models.generate_content_stream", content.stream),
        Patch(models, "AsyncModels.generate_content_stream", content.astream),
        Patch(models, "Models.generate_content", content.generate),
        Patch(models, "AsyncModels.generate_content", content.agenerate),
        Patch(chats, "Chat.send_message_stream", chat.stream),
        Patch(chats, "AsyncChat.send_message_stream", chat.astream),
        Patch(chats, "Chat.send_message", chat.generate),
        Patch(chats, "AsyncChat.send_message", chat.agenerate),
        Patch(models, "Models._generate_content", _answered),
        Patch(models, "AsyncModels._generate_content", _aanswered),
        Patch(client, "BaseApiClient._request", sent),
        Patch(client, "BaseApiClient._async_request", asent),
        *google_interactions.patches(sessions, guard),
    ]


def _answered(wrapped: Any, _models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    response = wrapped(*args, **kwargs)
    _hear(response)
    return response


async def _aanswered(wrapped: Any, _models: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    response = await wrapped(*args, **kwargs)
    _hear(response)
    return response


def _hear(response: Any) -> None:
    """Take the usage of one whole answer, of which the caller gets only the last."""
    ask = current_ask()
    call = ask.call if ask is not None else None
    if call is not None and not call.session.is_ended:
        call.guard.call(_take_usage, call, response)


def _take_usage(call: Call, response: Any) -> None:
    call.session.heard([call.endpoint.read(response)])


# --- calls ------------------------------------------------------------------------------------------------------


class _Asked(NamedTuple):
    """What a public method was given."""

    client: Any
    model: str
    contents: Any
    config: Any


def _asked_of_models(models: Any, _args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Asked | None:
    ask = current_ask()
    if ask is not None and ask.is_chat and _is_called_by_chat():
        return None
    client = models._api_client  # noqa: SLF001 - no public way says whether it is Vertex
    return _Asked(client, str(kwargs.get("model") or ""), kwargs.get("contents"), kwargs.get("config"))


def _asked_of_chat(chat: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> _Asked:
    given = {**dict(zip(("message", "config"), args, strict=False)), **kwargs}
    said = cast("dict[str, Any]", vars(chat))
    history = list(said.get("_curated_history") or ())
    message = given.get("message")
    messages = cast("list[object]", message) if isinstance(message, list) else [message]
    contents = [*history, *messages]
    config = given.get("config") or said.get("_config")
    return _Asked(said["_modules"]._api_client, str(said.get("_model") or ""), contents, config)  # noqa: SLF001


def _is_called_by_chat() -> bool:
    """Tell whether the SDK's own chat makes this call, and not a function of the application that the chat has called."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # the way to frames
    while frame is not None:
        name = str(frame.f_globals.get("__name__"))
        if name.startswith("google.genai."):
            return name == "google.genai.chats"
        frame = frame.f_back
    return False


class _Calls:
    """The wrappers of the public methods.

    Args:
        asked: reads what a method was given; None where the call is a part of one that is in progress.
        is_chat: whether it is a chat's, which makes the calls of `Models` for its own.
    """

    def __init__(self, sessions: Sessions, guard: Guard, asked: Callable[..., _Asked | None], *, is_chat: bool) -> None:
        self._sessions = sessions
        self._guard = guard
        self._asked = asked
        self._is_chat = is_chat

    def _ask(self, owner: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], endpoint: Endpoint) -> Ask | None:
        asked = None if self._guard.is_off else self._asked(owner, args, kwargs)
        if asked is None:
            return None
        return Ask(self._sessions, self._guard, _opening(asked, endpoint), is_chat=self._is_chat)

    def stream(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        stream = wrapped(*args, **kwargs)  # a generator: nothing has happened yet
        ask = self._guard.call(self._ask, owner, args, kwargs, STREAM_GENERATE_CONTENT)
        if ask is None:
            return stream
        items: Items[Any] = Items(Reading(stream, ask), lambda: None if _is_over(stream) else ask.begin())
        return items

    async def astream(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, STREAM_GENERATE_CONTENT)
        if ask is None:
            return await wrapped(*args, **kwargs)
        try:
            with Asking(ask):  # before google-genai 2.12 this may send the request
                stream = await wrapped(*args, **kwargs)
        except BaseException as exc:
            ask.told(exc)
            raise
        items: AsyncItems[Any] = AsyncItems(
            AsyncReading(stream, ask), lambda: None if _is_over(stream) else ask.begin()
        )
        if ask.call is not None:
            self._guard.call(items.resolve)
            self._guard.call(ask.call.session.returned)
        return items

    def generate(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, GENERATE_CONTENT)
        if ask is None or ask.begin() is None:
            return wrapped(*args, **kwargs)
        try:
            with Asking(ask):
                response = wrapped(*args, **kwargs)
        except BaseException as exc:
            ask.told(exc)
            raise
        self._guard.call(conclude, ask, response)
        return response

    async def agenerate(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, GENERATE_CONTENT)
        if ask is None or ask.begin() is None:
            return await wrapped(*args, **kwargs)
        try:
            with Asking(ask):
                response = await wrapped(*args, **kwargs)
        except BaseException as exc:
            ask.told(exc)
            raise
        self._guard.call(conclude, ask, response)
        return response


def conclude(ask: Ask, response: Any) -> None:
    """Read a whole answer, and end."""
    call = ask.call
    if call is None:
        return
    read = call.session.read
    if ask.requests > 1 and not ask.is_summed:  # counted one by one; and where answers are merged, so are their counts

        def without_usage(answer: Any) -> Delta:
            return replace(cast("Delta", read(answer)), usage=None)

        call.session.read = without_usage
    call.session.answered(response)


def _is_over(generator: Any) -> bool:
    """Tell whether a generator that was never read has been closed: nothing will be sent for it."""
    return getattr(generator, "gi_frame", True) is None or getattr(generator, "ag_frame", True) is None


def _opening(asked: _Asked, endpoint: Endpoint) -> Opening:
    """Return the opening of a call: a client knows whether it speaks to Vertex, whatever the host is."""
    client, config = asked.client, fields(asked.config)
    url = fields(config.get("http_options")).get("base_url") or client._http_options.base_url  # noqa: SLF001
    return Opening(
        layer=LAYER,
        provider=GEMINI,
        endpoint=endpoint,
        target=target_of(str(url)),
        is_stream=endpoint.streams is not False,
        body={
            "model": asked.model.rpartition("/")[2],  # without the collection that it is in
            "contents": asked.contents,
            "system_instruction": config.get("system_instruction"),
            "tools": config.get("tools"),
            "generation_config": dict(config),
        },
        provider_name="gcp.vertex_ai" if client.vertexai else "gcp.gemini",
        client=client,
    )
