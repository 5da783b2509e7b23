"""What really happened: one record per request, written as it happens, and a way to wait for it.

The truth that tests compare with. Knows time and threads, nothing of HTTP or scenarios.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Exchange:
    """One request and what became of it. Times are `time.monotonic_ns()`.

    Args:
        scenario: the first path segment, as written in the URL.
        key: the scenario's `key=` parameter, else `scenario`.
        method: HTTP method.
        path: the path after the scenario's segment.
        headers: request headers, names in lower case.
        body: the JSON object of the body, or a form's fields; None without one.
        connection: number of the TCP connection, from 1.
        attempt: number of the request among those with the same key, from 1.
        received_ns: when the request was complete.
        status: status that was answered; 0 before that, and when there is no answer.
        headers_ns: taken just before the head was handed to the socket.
        sent: payloads, each with the time just before its bytes were handed to the socket; a client has none that is
            not here, and none earlier. Those that the socket had not taken when the client went are removed.
        is_held: whether the exchange waits at a gate.
        messages: what the client said on a WebSocket.
        closed_with: the code of the client's close frame.
        client_gone_ns: when the client's close or reset was seen while the exchange was in progress.
        finished_ns: when the server was done with it, for whatever reason; to be waited for, as the client may be ahead.
    """

    scenario: str
    key: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: dict[str, Any] | None
    connection: int
    attempt: int
    received_ns: int = field(default_factory=time.monotonic_ns)
    status: int = 0
    headers_ns: int | None = None
    sent: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    is_held: bool = False
    messages: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    closed_with: int | None = None
    client_gone_ns: int | None = None
    finished_ns: int | None = None

    @property
    def request_id(self) -> str:
        """The provider's id of the request, as its answer's header has it."""
        return f"req_demo{self.connection:04d}{self.attempt:04d}"


class Ledger:
    """The exchanges of a server, in the order of their requests.

    Args:
        keep: whether records are kept; a benchmark does without.
    """

    def __init__(self, *, keep: bool = True) -> None:
        self.exchanges: list[Exchange] = []
        self.connections = 0
        self.is_kept = keep
        self._attempts: dict[str, int] = {}
        self._changed = threading.Condition()
        self._waiting = 0

    def attempt(self, key: str) -> int:
        """Count a request with this key, and return its number."""
        number = self._attempts[key] = self._attempts.get(key, 0) + 1
        return number

    def opened(self, exchange: Exchange) -> None:
        """Keep a new record."""
        if self.is_kept:
            self.exchanges.append(exchange)
        self.changed()

    def changed(self) -> None:
        """Wake those who wait; without any it costs next to nothing."""
        if self._waiting:
            with self._changed:
                self._changed.notify_all()

    def clear(self) -> None:
        """Forget all records and counts."""
        self.exchanges.clear()
        self._attempts.clear()
        self.connections = 0

    def wait_for(self, predicate: Callable[[], T], timeout: float) -> T:
        """Return the predicate's value once it is true; it is asked at every change.

        Raises:
            TimeoutError: it did not become true in time; the message shows the exchanges.
        """
        with self._changed:
            self._waiting += 1
            try:
                value = self._changed.wait_for(predicate, timeout)
            finally:
                self._waiting -= 1
        if not value:
            raise TimeoutError(f"not within {timeout} s; exchanges: {self.exchanges[-5:]}")
        return value
