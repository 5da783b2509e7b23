"""What google-genai sends for one call of a public method: any number of requests, and one session for all of them.

The SDK's generators send nothing before the first read and may then send several requests (automatic function
calling, automatic continuation). Every one goes through one private method (`BaseApiClient._request`, unchanged in
google-genai 1.40 to 3.4). Functions of the application that the SDK calls for the model run inside its own read,
from google-genai 3 on before it hands out the chunk that asks for them: so the call is current while a request is sent,
and not around the read, and the time of the functions is the caller's. Knows no telemetry.
"""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from streamspan._bodies import attach
from streamspan._failures import FIRST_ERROR_STATUS
from streamspan._guard import Guard
from streamspan._ownership import Call, Sending
from streamspan._sessions import Opening, Sessions, find_endpoint
from streamspan._taps import Standin, tell
from streamspan.providers.gemini import GEMINI

LAYER = "google_genai"

_asking: ContextVar[Ask | None] = ContextVar("streamspan_google_genai", default=None)


class Ask:
    """One call of a public method: its session, and how many requests it has come to.

    Args:
        sessions: who opens the session.
        guard: the fence.
        opening: what the call asks for.
        is_summed: the SDK adds up the usage of all requests itself.
        is_chat: it is a chat's.
    """

    __slots__ = ("_guard", "_opening", "_sessions", "call", "is_chat", "is_summed", "owner", "requests")

    def __init__(
        self, sessions: Sessions, guard: Guard, opening: Opening, *, is_summed: bool = False, is_chat: bool = False
    ) -> None:
        self._sessions, self._guard = sessions, guard
        self._opening: Opening | None = opening
        self.is_summed = is_summed
        self.is_chat = is_chat
        self.call: Call | None = None
        self.owner: weakref.ref[Any] | None = None
        self.requests = 0

    def begin(self) -> Call | None:
        """Open the session, once; None if nothing is to be recorded."""
        opening, self._opening = self._opening, None
        if opening is not None:
            self.call = self._guard.call(self._sessions.open, opening, self._guard)
        return self.call

    def sending(self, request: Any) -> Sending | None:
        """Note a request that is about to be sent; return what makes the call current, None without a session."""
        if self._guard.call(_is_something_else, request):
            return None
        call = self.begin()
        if call is None or call.session.is_ended:
            return None
        self.requests += 1
        if self.requests > 1:
            self._guard.call(self._note_another, call, request)
        return Sending(call)

    def _note_another(self, call: Call, request: Any) -> None:
        # What a continued stream has used so far is in its chunks already; an answer in one piece knows of itself only.
        is_continued = call.session.request.is_stream and b"ontinuation" in repr(getattr(request, "data", "")).encode()
        call.session.another(counts_anew=not self.is_summed and not is_continued)

    def accepted(self, response: Any) -> None:
        """Take status and headers of a response, if no HTTP layer below could tell them."""
        call = self.call
        if call is None or call.session.is_accepted:
            return
        raw = getattr(response, "response_stream", response)  # a list, or the response of the HTTP library
        status = getattr(raw, "status_code", None) or getattr(raw, "status", None)
        if type(status) is not int or status < FIRST_ERROR_STATUS:
            call.session.headers(status if type(status) is int else None, call.request_id(response.headers))

    def reopened(self, response: Any) -> None:
        """Watch the body of a further response, for a stream object that takes it in the place of the one before."""
        call = self.call
        if call is not None and self.owner is not None and self.requests > 1 and not response.is_closed:
            call.disowned()
            attach(call, response)
            if (owner := self.owner()) is not None:
                call.owned_by(owner)

    def told(self, exc: BaseException) -> None:
        """Tell the session what came out of the call."""
        if self.call is not None:
            self._guard.call(tell, self.call, exc)


class Asking:
    """While the SDK's code for a call runs, its requests are known to be the call's."""

    __slots__ = ("_ask", "_token")

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def __enter__(self) -> None:
        self._token: Token[Ask | None] = _asking.set(self._ask)

    def __exit__(self, *_: object) -> None:
        try:
            _asking.reset(self._token)
        except ValueError:  # closed in another context than begun in: an unfinished coroutine that is collected
            return


class _Request:
    """One request of the call in progress, if there is one: it is current while the request is sent."""

    __slots__ = ("_ask", "_sending")

    def __init__(self, request: Any) -> None:
        self._ask = ask = _asking.get()
        self._sending = None if ask is None else ask.sending(request)

    def __enter__(self) -> _Request:
        if self._sending is not None:
            self._sending.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._sending is not None:
            self._sending.__exit__(kind, exc, tb)

    def answered(self, response: Any) -> Any:
        """Take the response, and return it."""
        if self._ask is not None and self._sending is not None:
            self._sending.call.guard.call(self._ask.accepted, response)
            self._sending.call.guard.call(self._ask.reopened, response)
        return response


class _Lent:
    """While functions of the application run for an answer: their time is the caller's, and so is what they ask."""

    __slots__ = ("_answer", "_asking", "_call")

    def __init__(self, answer: Any) -> None:
        ask = _asking.get()
        self._call = None if ask is None else ask.call
        self._answer = answer

    def __enter__(self) -> None:
        self._asking: Token[Ask | None] = _asking.set(None)
        if self._call is not None:
            self._call.guard.call(self._call.session.lent)

    def __exit__(self, *_: object) -> None:
        if self._call is not None:
            self._call.guard.call(self._call.session.regained, self._answer)
        try:
            _asking.reset(self._asking)
        except ValueError:  # as in `Asking`
            return


class _Reading(Standin):
    """What both colours share: a stream of the SDK's whose reads may send requests."""

    __slots__ = ("_ask",)

    def __init__(self, items: Any, ask: Ask) -> None:
        self._items = items
        self._ask = ask

    def __getattr__(self, name: str) -> Any:
        if name in {"_ask", "_items"}:
            raise AttributeError(name)
        return getattr(self._items, name)


class Reading(_Reading, Generator[Any, Any, Any]):
    """A synchronous stream."""

    __slots__ = ()

    def __next__(self) -> Any:
        token = _asking.set(self._ask)
        try:
            return next(self._items)
        finally:
            _asking.reset(token)

    def send(self, value: Any) -> Any:
        """Send into the SDK's generator."""
        with Asking(self._ask):
            return self._items.send(value)

    def throw(self, *args: Any) -> Any:
        """Throw into the SDK's generator."""
        with Asking(self._ask):
            return self._items.throw(*args)

    def close(self) -> None:
        """Close the SDK's generator."""
        self._items.close()


class AsyncReading(_Reading, AsyncGenerator[Any, Any]):
    """An asynchronous stream."""

    __slots__ = ()

    async def __anext__(self) -> Any:
        with Asking(self._ask):
            return await self._items.__anext__()

    async def asend(self, value: Any) -> Any:
        """Send into the SDK's generator."""
        with Asking(self._ask):
            return await self._items.asend(value)

    async def athrow(self, *args: Any) -> Any:
        """Throw into the SDK's generator."""
        with Asking(self._ask):
            return await self._items.athrow(*args)

    async def aclose(self) -> None:
        """Close the SDK's generator."""
        await self._items.aclose()


def _is_something_else(request: Any) -> bool:
    """Tell whether a function of the application asks for something else meanwhile: embeddings, counts, files."""
    url, method = getattr(request, "url", None), getattr(request, "method", None)
    # What Interactions hand in is no request yet, and nothing else goes that way.
    if not url or not isinstance(method, str):
        return False
    return find_endpoint(GEMINI, method.upper(), urlsplit(str(url)).path) is None


# --- requests ---------------------------------------------------------------------------------------------------


def sent(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Send one request of the call in progress, with all its attempts."""
    with _Request(args[0] if args else kwargs.get("http_request")) as request:
        return request.answered(wrapped(*args, **kwargs))


async def asent(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Send one request of the call in progress, with all its attempts."""
    with _Request(args[0] if args else kwargs.get("http_request")) as request:
        return request.answered(await wrapped(*args, **kwargs))


# --- functions --------------------------------------------------------------------------------------------------


def called(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the functions that an answer asks for."""
    with _Lent(args[0] if args else kwargs.get("response")):
        return wrapped(*args, **kwargs)


async def acalled(wrapped: Any, _module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call the functions that an answer asks for."""
    with _Lent(args[0] if args else kwargs.get("response")):
        return await wrapped(*args, **kwargs)


def current_ask() -> Ask | None:
    """Return the call whose SDK code runs now in this thread or task."""
    return _asking.get()
