"""What a public surface that gives a stream is to the tests: how it is called, read and closed, and what it says.

Knows no SDK. The surfaces themselves are in `support.surfaces`, one module per vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from support.seen import headers

if TYPE_CHECKING:
    from support.caller import Caller

READ_TIMEOUT = 0.3
TIMEOUTS = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}


def same(value: Any) -> Any:
    """Return the value."""
    return value


def one(_: Any) -> int:
    """Count an item as one event of the wire."""
    return 1


def response_of(entered: Any) -> Any:
    """Return the HTTP response of an SDK's stream."""
    return entered.response


def stream_of(_: Any, stream: Any) -> Any:
    """Close what is read."""
    return stream


def entered_of(entered: Any, _: Any) -> Any:
    """Close what was entered."""
    return entered


def head_of(response: Any) -> tuple[Any, ...]:
    """Return what an open response of httpx or httpx2 shows: status, headers, whether it is closed and read."""
    return response.status_code, headers(response.headers), response.is_closed, response.is_stream_consumed


def progress_of(response: Any, _client: Any) -> tuple[Any, ...]:
    """Return how far a response of httpx or httpx2 has been read."""
    return response.num_bytes_downloaded, response.is_closed, response.is_stream_consumed


def whole_of(response: Any) -> Any:
    """Read the whole body of a response; in the async colour what is returned is to be awaited."""
    return response.aread() if hasattr(response.stream, "__aiter__") else response.read()


def is_no_marker(payload: str) -> bool:
    """Tell whether the SDK hands out an event: all but OpenAI's end marker."""
    return payload != "[DONE]"


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One way to get a stream.

    Args:
        name: how the test is called.
        layer: who owns the session.
        start: client to what the SDK returns: a stream, its awaitable, or a manager.
        client: makes the client, given the caller and a scenario.
        view: what was returned or entered, to what is iterated over.
        awaits_start: whether what `start` returns has to be awaited in the async colour.
        awaits_view: whether what `view` returns has to be awaited in the async colour.
        is_manager: whether `start` returns a context manager.
        closer: what has `close`.
        response: what was entered, to the HTTP response; None where the caller cannot get at it.
        head: what an open response shows.
        progress: how far a response has been read, given its client too.
        whole: reads the whole body of a response.
        bases: classes that the stream must be an instance of, whatever is done to it.
        weight: how many events of the wire an item completes.
        hands_out: whether the SDK hands out an event of the server's, by its payload.
        operation, model, finish: as the span of a complete stream has them.
        finishes: finish reasons of other streams, by what makes them so: `token-limit`, `tools`, `two-choices`.
        errors: what `error.type` is, by the neutral words of `matrix.endings`; a word that is not here is itself.
        resends: whether the SDK tries again when an attempt fails.
        traits: what applies to it, see `matrix.endings`.
    """

    name: str
    layer: str
    start: Callable[[Any], Any]
    client: Callable[[Caller, str], Any]
    view: Callable[[Any], Any] = same
    awaits_start: bool = True
    awaits_view: bool = False
    is_manager: bool = False
    closer: Callable[[Any, Any], Any] = stream_of
    response: Callable[[Any], Any] | None = response_of
    head: Callable[[Any], tuple[Any, ...]] = head_of
    progress: Callable[[Any, Any], tuple[Any, ...]] = progress_of
    whole: Callable[[Any], Any] = whole_of
    bases: tuple[type, ...] = ()
    weight: Callable[[Any], int] = one
    hands_out: Callable[[str], bool] = is_no_marker
    operation: str = "chat"
    model: str | None = None
    finish: tuple[str, ...] = ("stop",)
    finishes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    resends: bool = True
    traits: frozenset[str] = frozenset()

    @property
    def missing(self) -> tuple[str, ...]:
        """Finish reasons of a stream that was cut off."""
        return ("error",) if self.finish else ()
