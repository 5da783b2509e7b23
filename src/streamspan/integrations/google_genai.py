"""google-genai: `generate_content` with its stream, and what the SDK sends for it.

The public methods (unchanged in google-genai 1.0 to 3.4) return generators that send nothing before the first read, so
that is when the session opens. In the place of the generator the caller gets a class that does the same. A chat is one
call of its own: it calls `Models` as often as the model asks for functions (from google-genai 3 on). Knows no telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

from streamspan._guard import Guard
from streamspan._ownership import Call
from streamspan._patching import Patch
from streamspan._records import Delta
from streamspan._sessions import Opening, Sessions
from streamspan._taps import AsyncItems, Items
from streamspan.integrations import google_interactions
from streamspan.integrations._calls import target_of
from streamspan.integrations.google_requests import (
    LAYER,
    Ask,
    Asking,
    AsyncReading,
    Reading,
    acalled,
    asent,
    called,
    current_ask,
    sent,
)
from streamspan.providers import Endpoint
from streamspan.providers._shapes import fields
from streamspan.providers.gemini import GEMINI, GENERATE_CONTENT, STREAM_GENERATE_CONTENT


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of `generate_content`, of chats and of the requests below them, and of Interactions."""
    models, chats, client = "google.genai.models", "google.genai.chats", "google.genai._api_client"
    functions = "google.genai._extra_utils"
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
        Patch(functions, "get_function_response_parts", called),
        Patch(functions, "get_function_response_parts_async", acalled),
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
    if ask is not None and ask.is_chat:  # functions of the application are called without it
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
        return stream if ask is None else _tapped(stream, ask, Items, Reading)

    async def astream(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, STREAM_GENERATE_CONTENT)
        with _Running(ask):  # before google-genai 2.12 this may send the request
            stream = await wrapped(*args, **kwargs)
        return stream if ask is None else _tapped(stream, ask, AsyncItems, AsyncReading)

    def generate(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, GENERATE_CONTENT)
        with _Running(ask if ask is not None and ask.begin() is not None else None) as running:
            return running.answered(wrapped(*args, **kwargs))

    async def agenerate(self, wrapped: Any, owner: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        ask = self._guard.call(self._ask, owner, args, kwargs, GENERATE_CONTENT)
        with _Running(ask if ask is not None and ask.begin() is not None else None) as running:
            return running.answered(await wrapped(*args, **kwargs))


class _Running:
    """The SDK's code for one call: what comes out of it is told. Without a call it does nothing."""

    __slots__ = ("_ask", "_asking")

    def __init__(self, ask: Ask | None) -> None:
        self._ask = ask
        self._asking = None if ask is None else Asking(ask)

    def __enter__(self) -> _Running:
        if self._asking is not None:
            self._asking.__enter__()
        return self

    def __exit__(self, kind: object, exc: BaseException | None, tb: object) -> None:
        if self._ask is not None and self._asking is not None:
            self._asking.__exit__()
            if exc is not None:
                self._ask.told(exc)

    def answered(self, response: Any) -> Any:
        """Take a whole answer, and return it."""
        if self._ask is not None and self._ask.call is not None:
            self._ask.call.guard.call(_conclude, self._ask, self._ask.call, response)
        return response


def _tapped(stream: Any, ask: Ask, tap: Any, reading: Any) -> Any:
    """Return what takes the place of the SDK's generator."""
    items = tap(reading(stream, ask), partial(_first_read, stream, ask))
    if ask.call is not None:
        ask.call.guard.call(items.resolve)
    return items


def _first_read(stream: Any, ask: Ask) -> Call | None:
    """Open the session, if something will be sent at all; from now on what is not a read is the caller's time."""
    call = None if _is_over(stream) else ask.begin()
    if call is not None:
        call.guard.call(call.session.returned)
    return call


def _conclude(ask: Ask, call: Call, response: Any) -> None:
    """Read a whole answer, and end."""
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
