"""What has been agreed on a WebSocket so far, and what an answer that is asked for now is asked with.

Knows settings that hold, and what the model was told since the last answer. Refuses to know turns and time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from streamspan import _semconv as names
from streamspan._guard import Guard
from streamspan._records import Request
from streamspan.providers.sockets import Input, Socket

_MOST_INPUTS = 64


class Address(NamedTuple):
    """Whose connection it is and where it goes; the settings are those of its URL."""

    layer: str
    provider: str
    host: str
    port: int | None
    settings: Mapping[str, Any]


class Terms:
    """The terms of one connection.

    Args:
        socket: what its messages mean.
        address: where it goes.
        guard: the fence.
    """

    def __init__(self, socket: Socket, address: Address, guard: Guard) -> None:
        self._socket, self._address, self._guard = socket, address, guard
        self._settings: dict[str, Any] = dict(address.settings)
        self._told: Input = ()

    @property
    def model(self) -> str:
        """The model that was agreed on, empty if it is not known yet."""
        return self._guard.call(self._socket.model, self._settings, {}) or ""

    def settle_on(self, settings: Mapping[str, Any]) -> None:
        """Take what holds from now on."""
        self._settings = {**self._settings, **settings}

    def tell(self, told: Input) -> None:
        """Take what the model was told; of very much, the latest."""
        self._told = (*self._told, *told)[-_MOST_INPUTS:]

    def connecting(self) -> Request:
        """Return the connection as a request."""
        return self._request(names.REALTIME_SESSION, {})

    def asking(self, body: Mapping[str, Any], *, captures_content: bool) -> Request:
        """Return the request for an answer with the parameters of `body`; what was told goes with it."""
        told, self._told = self._told, ()
        content = self._guard.call(self._socket.content, self._settings, body, told) if captures_content else None
        return self._request(self._socket.endpoint.operation, body, content or {})

    def _request(self, operation: str, body: Mapping[str, Any], content: Mapping[str, object] | None = None) -> Request:
        socket, address = self._socket, self._address
        return Request(
            operation=operation,
            provider=address.provider,
            layer=address.layer,
            model=self._guard.call(socket.model, self._settings, body) or None,
            server_address=address.host or None,
            server_port=address.port,
            attributes=self._guard.call(socket.attributes, self._settings, body) or {},
            content=content or {},
        )
