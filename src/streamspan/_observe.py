"""`observe()`: a session around any iterable of chunks, for whatever no integration covers."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, TypeVar, overload

from streamspan import _api
from streamspan._config import ConfigError
from streamspan._guard import Guard
from streamspan._ownership import Call, call_of
from streamspan._records import Delta, Request
from streamspan._taps import AsyncItems, Items
from streamspan.providers import Endpoint, Provider
from streamspan.providers._generic import read_anything

T = TypeVar("T")


@overload
def observe(
    stream: AsyncIterable[T],
    *,
    provider: str,
    model: str | None = None,
    operation: str = "chat",
    read: Callable[[T], Delta] | None = None,
) -> ObservedAsync[T]: ...


@overload
def observe(
    stream: Iterable[T],
    *,
    provider: str,
    model: str | None = None,
    operation: str = "chat",
    read: Callable[[T], Delta] | None = None,
) -> Observed[T]: ...


def observe(
    stream: Any,
    *,
    provider: str,
    model: str | None = None,
    operation: str = "chat",
    read: Callable[[Any], Delta] | None = None,
) -> Any:
    """Record a stream that streamspan does not know; the chunks come out as they went in.

    The clock starts here, so call it where the request is made. What comes back is an iterator (an async one for an
    async iterable) and a context manager: `with streamspan.observe(...) as chunks:` ends the session when the block
    is left. A stream that runs to its end is `completed`; only an exception or a chunk whose `Delta` says so is an error.

    Args:
        stream: any iterable or async iterable of chunks: str, bytes, dict or object.
        provider: `gen_ai.provider.name`; the name of a third-party provider brings its reader.
        model: the requested model.
        operation: `gen_ai.operation.name`.
        read: maps a chunk to what it said; default: text is text, and common shapes are understood.

    Raises:
        ConfigError: `stream` is neither, or `provider` is empty.
    """
    is_async = hasattr(stream, "__aiter__")
    if not is_async and not hasattr(stream, "__iter__"):
        raise ConfigError(f"observe({stream!r}): allowed is an iterable or an async iterable of chunks")
    if not provider or not isinstance(provider, str):
        raise ConfigError(f"observe(provider={provider!r}): allowed is the provider's name, such as 'acme'")
    items = stream.__aiter__() if is_async else iter(stream)
    runtime = _api.runtime()
    call = None
    is_recorded = call_of(getattr(stream, "response", None)) is not None  # an SDK's stream that has its session already
    if runtime is not None and not is_recorded:
        guard = runtime.observers.setdefault(provider, Guard(f"observe(provider={provider!r})"))
        call = None if guard.is_off else guard.call(_open, runtime, guard, provider, model, operation, read)
    return ObservedAsync(items, call) if is_async else Observed(items, call)


def _open(
    runtime: _api.Runtime,
    guard: Guard,
    provider: str,
    model: str | None,
    operation: str,
    read: Callable[[Any], Delta] | None,
) -> Call | None:
    known = None if read is not None else runtime.provider(provider)
    if known is not None:
        endpoint = known.endpoints[0]
    else:
        reader = read_anything if read is None else _checked(read)
        endpoint = Endpoint(
            name="observed",
            operation=operation,
            paths=(),
            read=reader,
            marker_is_reliable=False,
            has_finish_reasons=False,
        )
    return runtime.sessions.begin(
        Request(operation=operation, provider=provider, layer="manual", model=model),
        endpoint=endpoint,
        provider=known or Provider(name=provider, endpoints=(endpoint,)),
        guard=guard,
    )


def _checked(read: Callable[[Any], Delta]) -> Callable[[Any], Delta]:
    @wraps(read)  # a fault is told with the name of the caller's function
    def checked(chunk: Any) -> Delta:
        delta = read(chunk)
        if type(delta) is not Delta:
            raise TypeError(f"observe(read=...) returned a {type(delta).__qualname__}, expected a streamspan.Delta")
        return delta

    return checked


class Observed(Items[T]):
    """An observed iterable: an iterator over its chunks, and a context manager."""

    __slots__ = ()

    def __init__(self, items: Iterator[T], call: Call | None) -> None:
        super().__init__(items, lambda: call)
        self.resolve()  # unlike an SDK's iterator it knows its call at once, and may be closed unread
        _returned(call)

    def __enter__(self) -> Observed[T]:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class ObservedAsync(AsyncItems[T]):
    """An observed async iterable: an async iterator over its chunks, and an async context manager."""

    __slots__ = ()

    def __init__(self, items: AsyncIterator[T], call: Call | None) -> None:
        super().__init__(items, lambda: call)
        self.resolve()  # unlike an SDK's iterator it knows its call at once, and may be closed unread
        _returned(call)

    async def __aenter__(self) -> ObservedAsync[T]:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()


def _returned(call: Call | None) -> None:
    if call is not None:
        call.session.accepted()
        call.session.returned()
