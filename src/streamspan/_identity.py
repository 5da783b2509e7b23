"""Who a stream belongs to: the ids that the application gives to everything inside a `with` block.

Knows what the application said; nothing is ever made up here.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import cast

from streamspan._config import ConfigError
from streamspan._records import Attributes, AttributeValue


@dataclass(frozen=True, slots=True)
class Identity:
    """The ids and free attributes that streams carry."""

    session_id: str | None = None
    user_id: str | None = None
    attributes: Attributes = field(default_factory=dict[str, AttributeValue])


_current: ContextVar[Identity | None] = ContextVar("streamspan_identity", default=None)


def current_identity() -> Identity | None:
    """Return the identity of the code that is running, None outside of any `session`."""
    return _current.get()


class session:  # noqa: N801 - reads as a statement: `with streamspan.session("id"):`
    """Give every stream that is started inside the block a session id, a user id and free attributes.

    Works with `with` and `async with`, follows tasks, and threads through `contextvars.copy_context`. An inner
    session takes over what it does not set itself.

    Args:
        session_id: becomes `gen_ai.conversation.id`.
        user_id: becomes `user.id`.
        **attributes: span attributes, under the names given; bool, int, float, str, or a list or tuple of them.

    Raises:
        ConfigError: an id is no string, or an attribute has a value of another type.
    """

    __slots__ = ("_attributes", "_session_id", "_tokens", "_user_id")

    def __init__(self, /, session_id: str, *, user_id: str | None = None, **attributes: AttributeValue) -> None:
        self._session_id = _checked_id("session_id", session_id)
        self._user_id = None if user_id is None else _checked_id("user_id", user_id)
        self._attributes = {name: _checked(name, value) for name, value in attributes.items()}
        self._tokens: list[Token[Identity | None]] = []

    def __enter__(self) -> session:
        outer = _current.get() or Identity()
        inner = Identity(
            self._session_id,
            outer.user_id if self._user_id is None else self._user_id,
            MappingProxyType({**outer.attributes, **self._attributes}),
        )
        self._tokens.append(_current.set(inner))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        try:
            _current.reset(self._tokens.pop())
        except ValueError:
            # A generator that holds the block was closed from another context (asyncio closes forgotten async
            # generators that way). The value lived in the first context only, so there is nothing to put back.
            return

    async def __aenter__(self) -> session:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.__exit__(kind, exc, tb)


def _checked_id(name: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    raise ConfigError(f"session({name}={value!r}): allowed is a string that is not empty")


def _checked(name: str, value: object) -> AttributeValue:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        items = tuple(cast("list[object]", value))  # a copy: the caller's list may change before the stream starts
        if all(isinstance(item, bool | int | float | str) for item in items):
            return cast("tuple[str, ...]", items)
    raise ConfigError(f"session({name}={value!r}): allowed are bool, int, float and str, and lists or tuples of them")
