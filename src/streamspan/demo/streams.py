"""What a vendor's stream is to the server: events with a role, and where they are served.

The border between the server and the vendors' modules. A vendor is one more module with `ROUTES`; it knows nothing of
sockets, delays and faults, and nothing here knows a vendor.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias, cast

Kind: TypeAlias = Literal["start", "delta", "finish", "usage", "done"]
Json: TypeAlias = dict[str, Any]


class Event(NamedTuple):
    """One event of a stream.

    Args:
        data: the payload: JSON text, or the vendor's marker.
        kind: its role: what comes before any output; output and what belongs to it; what says why it ended; counts;
            the end marker.
        name: the `event:` line; empty for none.
        is_bare: it stands on the wire as it is, whatever the dress.
    """

    data: str
    kind: Kind = "delta"
    name: str = ""
    is_bare: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked of a vendor's module; equal ones get the same answer.

    Args:
        parameters: body and query of the request, as canonical JSON.
        variant: which form of the stream the scenario wants; a vendor without it plays its ordinary text.
        chunks: how many pieces of output; None for the vendor's own number.
        path: named groups of the route's pattern.
    """

    parameters: str
    variant: str = "text"
    chunks: int | None = None
    path: tuple[tuple[str, str], ...] = ()

    def group(self, name: str) -> str:
        """Return a group of the route's pattern; empty when it took no part."""
        return dict(self.path).get(name, "")

    def body(self) -> Json:
        """Return the parameters as plain data."""
        found: Json = json.loads(self.parameters)
        return found


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete, healthy answer.

    Args:
        events: the whole stream.
        whole: the same as one JSON value, for a request that wants no stream.
        content_type: what the stream is.
        faults: events that belong to faults, by name; `error` is always there and stands in for absent ones.
    """

    events: tuple[Event, ...]
    whole: object
    faults: Mapping[str, tuple[Event, ...]] = field(default_factory=dict[str, tuple[Event, ...]])
    content_type: str = "text/event-stream; charset=utf-8"

    def as_whole(self) -> Reply:
        """Return the whole answer as two pieces of its JSON text."""
        text = to_json(self.whole)
        middle = len(text) // 2
        events = (Event(text[:middle], "start"), Event(text[middle:], "finish"))
        return replace(self, events=events, content_type="application/json")

    def fault(self, name: str) -> tuple[Event, ...]:
        """Return the events of a fault, or the vendor's ordinary error."""
        return self.faults.get(name) or self.faults["error"]


def no_headers(_status: int) -> Mapping[str, str]:
    """Return nothing that goes with an HTTP error."""
    return {}


class Route(NamedTuple):
    """Where a kind of answer is served.

    Args:
        method: HTTP method.
        pattern: regular expression for the whole path after the scenario's segment.
        reply: builds the answer.
        failure: the JSON body that goes with an HTTP error status.
        request_id_header: the header that carries the vendor's id of a request.
        streams: whether the answer is a stream; None where the request's `stream` says so and not the path.
        streams_unasked: the answer is a stream where the request's `stream` says nothing.
        failure_headers: the headers that go with an HTTP error status.
    """

    method: str
    pattern: re.Pattern[str]
    reply: Callable[[Ask], Reply]
    failure: Callable[[int], object]
    request_id_header: str = "x-request-id"
    streams: bool | None = None
    streams_unasked: bool = False
    failure_headers: Callable[[int], Mapping[str, str]] = no_headers

    def wants_stream(self, parameters: Mapping[str, Any]) -> bool:
        """Tell whether a request for this route, given its body and query, asks for a stream."""
        return wants_stream(parameters, unasked=self.streams_unasked) if self.streams is None else self.streams


class NoRouteError(LookupError):
    """No vendor serves this method and path."""


def match(routes: Iterable[Route], method: str, path: str) -> tuple[Route, tuple[tuple[str, str], ...]]:
    """Find the route of a request and the named groups of its pattern.

    Raises:
        NoRouteError: there is none.
    """
    for route in routes:
        if route.method == method and (found := route.pattern.fullmatch(path)):
            return route, tuple(found.groupdict("").items())
    raise NoRouteError(f"{method} {path} is not served here")


def as_object(value: Any) -> Json:
    """Return `value` if it is a JSON object, else an empty one."""
    return cast("Json", value) if isinstance(value, dict) else {}


def to_json(value: object) -> str:
    """Return compact JSON text, as the vendors send it: UTF-8, no spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def wants_stream(parameters: Mapping[str, Any], *, unasked: bool = False) -> bool:
    """Tell whether a body or query asks for a stream; forms and queries say it in text."""
    return parameters.get("stream", unasked) in (True, "true")


def _lf(event: Event) -> str:
    return f"event: {event.name}\ndata: {event.data}\n\n" if event.name else f"data: {event.data}\n\n"


def _crlf(event: Event) -> str:
    return _lf(event).replace("\n", "\r\n")


def _multiline(event: Event) -> str:
    if not event.data.startswith("{"):
        return _lf(event)
    lines = json.dumps(json.loads(event.data), ensure_ascii=False, indent=1).split("\n")
    return _lf(event._replace(data="\ndata: ".join(lines)))


def _keepalive(event: Event) -> str:
    return ": keep-alive\n\n" + _lf(event)


def _bare(event: Event) -> str:
    return event.data


DRESSES: Mapping[str, Callable[[Event], str]] = {
    "lf": _lf,
    "crlf": _crlf,
    "multiline": _multiline,
    "keepalive": _keepalive,
    "bare": _bare,
}
"""How an event looks on the wire; `bare` is a piece of a whole answer."""
