"""Whose call this is: the call in progress, the response that belongs to it, and who else has a say.

The outermost layer that knows the vendor owns the session. While its SDK code runs, the call is current in a context
variable, so that the HTTP layer below adds to it and opens nothing. The variable alone is not enough: a raw response
may be parsed much later, in another task or thread, so the response carries the call as well.
"""

from __future__ import annotations

import asyncio
import sys
import weakref
from collections.abc import Callable
from contextvars import ContextVar, Token
from threading import get_ident
from types import TracebackType
from typing import Any, cast

from opentelemetry import context as otel_context

from streamspan._cancellation import current_task
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._session import Session
from streamspan.providers import Endpoint, Provider

_EXTENSION = "streamspan"  # key in Response.extensions, a plain dict in every httpx and httpx2
# The plain name is the older one. The other has a random part, made when OpenTelemetry is imported: it is what its
# exporters set, and OpenInference's `suppress_tracing`. The third one is OpenLLMetry's.
_SUPPRESSED = (
    "suppress_instrumentation",
    getattr(otel_context, "_SUPPRESS_INSTRUMENTATION_KEY", "suppress_instrumentation"),
    "suppress_language_model_instrumentation",
)

_current: ContextVar[Call | None] = ContextVar("streamspan_call", default=None)
_undecided: ContextVar[bool] = ContextVar("streamspan_undecided", default=False)


class Call:
    """A session and what the layers need to know about it.

    Args:
        session: the session.
        endpoint, provider: what it reads.
        context: OpenTelemetry context with the session's span, for the code below that makes HTTP spans.
        lifecycle: where finalizers report to.
        guard: the fence of the integration that owns it.
    """

    __slots__ = (
        "_ambient",
        "_answer",
        "_maker",
        "_owners",
        "_token",
        "context",
        "endpoint",
        "guard",
        "hides",
        "is_parsed",
        "is_sending",
        "is_spliced",
        "lifecycle",
        "path",
        "provider",
        "session",
        "tells_hops",
    )

    def __init__(
        self,
        session: Session,
        *,
        endpoint: Endpoint,
        provider: Provider,
        context: otel_context.Context,
        lifecycle: Lifecycle,
        guard: Guard,
    ) -> None:
        self.session = session
        self.endpoint = endpoint
        self.provider = provider
        self.context = context
        self.lifecycle = lifecycle
        self.guard = guard
        self.is_parsed = False
        """The SDK parses the stream: the item tap reads it, and the byte tap only watches."""
        self.hides: Callable[[Any], bool] | None = None
        """Tells an item that only we asked for, and that the caller must not see."""
        self.path: str | None = None
        """The path of its request, as far as it was known when the call was made."""
        self.tells_hops = False
        """The SDK's own code may send further requests after an answer: each is a hop, noticed where it is sent."""
        self.is_sending = False
        """One of its requests is on its way, and those below are the same one (another HTTP library as a transport)."""
        self.is_spliced = False
        """The caller reads a body that the SDK's own code makes of the answers to several requests."""
        # An exception that was being handled when the call was made is not the caller's reason to close the stream.
        self._ambient = id(sys.exc_info()[1])
        task = current_task()
        self._maker = None if task is None else weakref.ref(task)
        self._owners: list[weakref.ref[Any]] = []
        self._answer: weakref.ref[Any] | None = None

    def owned_by(self, *owners: object) -> None:
        """Remember the objects through which the caller holds the stream."""
        self._owners.extend(weakref.ref(owner) for owner in owners)

    def disowned(self) -> None:
        """Forget the objects through which the caller held the stream: others take their place."""
        self._owners.clear()

    def is_dropped(self) -> bool:
        """Tell whether the caller can no longer reach the stream: one of its objects is gone already.

        Weak references are cleared before finalizers run, so a close that a finalizer makes is told from the caller's.
        """
        return any(owner() is None for owner in self._owners)

    def maker(self) -> asyncio.Task[Any] | None:
        """Return the task that made the call; it may have others read for it (`asyncio.wait_for` up to Python 3.11)."""
        return None if self._maker is None else self._maker()

    def answered_by(self, response: object) -> None:
        """Remember the HTTP response that accepted the call, without keeping it."""
        self._answer = weakref.ref(response)

    def answer(self) -> Any:
        """Return the HTTP response that accepted the call, None if there is none or nobody holds it any more."""
        return None if self._answer is None else self._answer()

    def abandon(self) -> None:
        """Give the session up without a word: a fault of ours has cost it its taps."""
        self.session.forget()
        self.lifecycle.closed(self.session)
        self.session.observer.forgotten()

    def cause_of_closing(self) -> BaseException | None:
        """Return the exception that is leaving the caller's code now, if that is why the stream is being closed."""
        exc = sys.exc_info()[1]
        while isinstance(exc, GeneratorExit):  # the SDK's way to close a generator: why, is what it came from
            exc = exc.__context__
        return None if exc is None or id(exc) == self._ambient else exc

    def request_id(self, headers: Any) -> str | None:
        """Return the provider's request id from the response headers."""
        for name in self.provider.request_id_headers:
            if value := headers.get(name):
                return str(value)
        return None


class Active:
    """Makes a call current while SDK code runs, so that the layers below add to it."""

    __slots__ = ("_token", "call")

    def __init__(self, call: Call) -> None:
        self.call = call

    def __enter__(self) -> Call:
        self._token: Token[Call | None] = _current.set(self.call)
        return self.call

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.left()

    def left(self) -> bool:
        """Put back what was current; return False if that is not to be had any more."""
        try:
            _current.reset(self._token)
        except ValueError:  # closed in another context than begun in: an unfinished coroutine that is collected
            return False
        return True


class Sending(Active):
    """Makes a call's span current too, while transport code runs: never while the caller's code does."""

    __slots__ = ("_context_token",)

    def __enter__(self) -> Call:
        super().__enter__()
        self._context_token = otel_context.attach(self.call.context)
        return self.call

    def left(self) -> bool:
        """Put back what was current."""
        if is_left := super().left():  # else there is nothing to undo, and `detach` would log an error
            otel_context.detach(self._context_token)
        return is_left


class Undecided:
    """Is current while a request is sent that may turn out to be a call: the layers below leave it to the one above."""

    __slots__ = ("_token",)

    def __enter__(self) -> None:
        self._token: Token[bool] = _undecided.set(True)

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            _undecided.reset(self._token)
        except ValueError:  # as in `Active`
            return


def is_undecided() -> bool:
    """Tell whether a layer above is finding out whether this is a call."""
    return _undecided.get()


def current_call() -> Call | None:
    """Return the call in progress in this thread or task."""
    return _current.get()


def mark(response: Any, call: Call) -> None:
    """Note on an HTTP response whose it is."""
    response.extensions[_EXTENSION] = call


def call_of(response: Any) -> Call | None:
    """Return the call that an HTTP response belongs to."""
    extensions = getattr(response, "extensions", None)
    return cast("dict[str, Any]", extensions).get(_EXTENSION) if type(extensions) is dict else None


def is_suppressed() -> bool:
    """Tell whether somebody asked that nothing be recorded here, as OpenTelemetry's exporters do."""
    context = otel_context.get_current()
    return bool(context) and any(map(context.get, _SUPPRESSED))


sync_reader = get_ident
"""Names the thread that reads; not a function around it, which would cost as much again on the chunk path."""


def async_reader() -> int:
    """Name the task that reads; by its id, for a session must not keep a task alive."""
    try:
        return id(asyncio.current_task())
    except RuntimeError:  # not asyncio (trio)
        return get_ident()
