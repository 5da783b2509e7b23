"""Iterators around the items of a stream: deliver first, observe second, and notice every ending.

One class per colour, and they differ by the word `await`. They are classes and not generators on purpose: a
generator between the SDK and the caller makes asyncio's finalizer log "asynchronous generator is already running", and
runs its own finalizer at another moment than the SDK's. To whoever asks (`isinstance`, `inspect`, `repr`, `copy`) they
are what they stand for; only `type()` tells.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar

from streamspan._cancellation import is_finalizer, is_timeout
from streamspan._endings import Signal
from streamspan._failures import describe, qualified_name
from streamspan._ownership import Call, async_reader, sync_reader
from streamspan._records import Failure, ProviderError
from streamspan._session import Session

T = TypeVar("T")


def tell(call: Call, exc: BaseException) -> None:
    """Tell the session what an exception that came out of a call or a read means for it."""
    session = call.session
    if session.is_ended:
        return
    if isinstance(exc, StopIteration | StopAsyncIteration):
        session.exhausted()
    elif isinstance(exc, asyncio.CancelledError):
        told_cancelled(session, is_timeout=is_timeout(exc) or is_timeout(exc, call.maker()))
    elif isinstance(exc, KeyboardInterrupt | SystemExit):
        session.stopped(Signal.INTERRUPTED)
    elif isinstance(exc, GeneratorExit):
        told_closed(call)
    elif isinstance(exc, Exception):
        # Fenced: the text of an exception is made by its own `__str__`, which may raise.
        _failed(call, call.guard.call(describe, exc) or Failure(qualified_name(type(exc)), exception=exc))
    elif qualified_name(type(exc)) == "trio.Cancelled":
        session.stopped(Signal.TASK_CANCELLED)
    else:
        session.stopped(Signal.INTERRUPTED)


def told_cancelled(session: Session, *, is_timeout: bool) -> None:
    """Tell the session that its task was cancelled: by a deadline, or by somebody who wanted it to end."""
    if is_timeout:
        # The exception that is raised in the end is the timeout's, not this one.
        failure = Failure(qualified_name(TimeoutError), "a deadline of the caller passed", is_timeout=True)
        session.failed(failure)
    else:
        session.stopped(Signal.TASK_CANCELLED)


def _failed(call: Call, failure: Failure) -> None:
    session = call.session
    if session.is_accepted and failure.is_from_provider:
        # Inside the stream: the SDK made an exception of what the provider said, also after a finish reason. The SDK
        # keeps the chunk to itself, and with it usage that may have come in the same breath (OpenRouter).
        session.faulted(ProviderError(failure.type, failure.message))
        if session.last_words is not None:
            session.heard(session.last_words())
    session.failed(failure)


def told_closed(call: Call) -> None:
    """Tell the session that its stream was closed: by the caller, or by the finalizer of an object it let go of."""
    session = call.session
    if session.is_ended:
        return
    if call.is_dropped() or is_finalizer():
        call.lifecycle.dropped(session)
        return
    cause = call.cause_of_closing()
    if isinstance(cause, asyncio.CancelledError):
        session.stopped(Signal.TASK_CANCELLED)  # in the caller's own code: no timeout of the stream's
    elif isinstance(cause, KeyboardInterrupt | SystemExit):
        session.stopped(Signal.INTERRUPTED)
    elif cause is None or isinstance(cause, GeneratorExit | StopIteration | StopAsyncIteration):
        session.closed()
    else:
        session.closed(qualified_name(type(cause)))


class Standin:
    """Is in the place of another iterator, and says of itself what that one would say.

    A copy of a tap would end the session when it is let go; a generator cannot be copied at all, and says so.
    """

    __slots__ = ("__weakref__", "_items")

    _items: Any

    # `inspect.isgenerator` asks for it, and so does who treats generators specially.
    @property  # type: ignore[misc] # it has no setter
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self._items.__class__

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._items.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return repr(self._items)


class _Tap(Standin):
    """What both colours share: finding the call at the first read, and the fences around what is ours."""

    __slots__ = ("_call", "_find", "_hides", "_session")

    def __init__(self, items: Any, find: Callable[[], Call | None]) -> None:
        self._items = items
        self._find: Callable[[], Call | None] | None = find
        self._call: Call | None = None
        self._session: Any = None
        self._hides: Callable[[Any], bool] | None = None

    def resolve(self) -> None:
        """Find out whose items these are; not before the first read, for an SDK may make its iterator too early."""
        find, self._find = self._find, None
        call = find() if find is not None else None
        if call is None:
            return
        call.is_parsed = True
        # An SDK may keep it in an object that was made long after the call (a raw response that is parsed later).
        call.owned_by(self)
        self._call = call
        self._session = call.session
        self._hides = call.hides

    def _takes(self, exc: BaseException) -> bool:
        """Take a fault of ours in `pull`, which has no fence of its own: it is called for every chunk."""
        call = self._call
        return call is not None and call.guard.takes(call.session.pull, exc)

    def _tell(self, exc: BaseException) -> None:
        call = self._call
        if call is not None:
            call.guard.call(tell, call, exc)

    def _is_being_read(self) -> bool:
        return self._session is not None and bool(self._session.reader)

    def _tell_closed(self, is_refused: bool = False) -> None:
        """Tell of a close, unless it was refused: a generator that is running cannot be closed."""
        if not is_refused:
            self._tell(GeneratorExit())

    def _tell_thrown(self, thrown: object, exc: BaseException) -> None:
        """Tell what comes out when the caller throws something in: its own exception is no failure of the model's."""
        call = self._call
        is_its_own = exc is thrown or (isinstance(thrown, type) and isinstance(exc, thrown))
        if call is not None and is_its_own and isinstance(exc, Exception) and not isinstance(exc, StopIteration):
            call.guard.call(call.session.closed, qualified_name(type(exc)))
        else:
            self._tell(exc)

    def _is_hidden(self, item: Any) -> bool:
        call = self._call
        return call is not None and bool(call.guard.call(self._hides, item))  # type: ignore[arg-type] # only if set

    def __getattr__(self, name: str) -> Any:
        # Whatever else the SDK's own iterator offers; never what `__init__` did not come to set.
        if name in _Tap.__slots__ or name == "_items":
            raise AttributeError(name)
        return getattr(self._items, name)

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.session.is_ended:
            call.lifecycle.dropped(call.session)


class Items(_Tap, Generator[T, Any, Any]):
    """The items of a synchronous stream."""

    __slots__ = ()

    def __next__(self) -> T:
        if self._find is not None:
            self.resolve()
        session = self._session
        if session is None or session.is_ended:
            return next(self._items)  # type: ignore[no-any-return] # the SDK's items
        while True:
            try:
                session.pull(sync_reader())
            except BaseException as exc:
                if not self._takes(exc):
                    raise
            try:
                item: T = next(self._items)
            except BaseException as exc:
                self._tell(exc)
                raise
            session.arrived(item)
            if self._hides is None or not self._is_hidden(item):
                return item

    def __iter__(self) -> Items[T]:
        return self

    def send(self, value: Any) -> T:
        """Send into the SDK's generator; only `None` is ever sent by a `for`."""
        return self.__next__() if value is None else self._items.send(value)

    def throw(self, *args: Any) -> T:
        """Throw into the SDK's generator."""
        try:
            return self._items.throw(*args)  # type: ignore[no-any-return]
        except BaseException as exc:
            self._tell_thrown(args[0] if args else None, exc)
            raise

    def close(self) -> None:
        """Close the SDK's generator; what it closes in turn has told the session already."""
        close = getattr(self._items, "close", None)  # a plain iterator has none
        is_read = self._is_being_read()
        try:
            if close is not None:
                close()
        except BaseException as exc:
            self._tell_closed(is_read and isinstance(exc, ValueError))
            raise
        self._tell_closed()


class AsyncItems(_Tap, AsyncGenerator[T, Any]):
    """The items of an asynchronous stream."""

    __slots__ = ()

    async def __anext__(self) -> T:
        if self._find is not None:
            self.resolve()
        session = self._session
        if session is None or session.is_ended:
            return await self._items.__anext__()  # type: ignore[no-any-return] # the SDK's items
        while True:
            try:
                session.pull(async_reader())
            except BaseException as exc:
                if not self._takes(exc):
                    raise
            try:
                item: T = await self._items.__anext__()
            except BaseException as exc:
                self._tell(exc)
                raise
            session.arrived(item)
            if self._hides is None or not self._is_hidden(item):
                return item

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def asend(self, value: Any) -> T:
        """Send into the SDK's generator; only `None` is ever sent by an `async for`."""
        return await (self.__anext__() if value is None else self._items.asend(value))

    async def athrow(self, *args: Any) -> T:
        """Throw into the SDK's generator."""
        try:
            return await self._items.athrow(*args)  # type: ignore[no-any-return]
        except BaseException as exc:
            self._tell_thrown(args[0] if args else None, exc)
            raise

    async def aclose(self) -> None:
        """Close the SDK's generator; what it closes in turn has told the session already."""
        close = getattr(self._items, "aclose", None)  # a plain iterator has none
        is_read = self._is_being_read()
        try:
            if close is not None:
                await close()
        except BaseException as exc:
            self._tell_closed(is_read and isinstance(exc, RuntimeError))
            raise
        self._tell_closed()
