"""OpenAI Responses over a WebSocket: what its messages mean.

The events are those of the stream over HTTP, read by the same functions. One connection carries any number of
responses, one after the other in each lane: `stream_id` names the lane where there is more than one. The events
between the first and the last do not name their response.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import AttributeValue, Delta
from streamspan.providers import Endpoint, _openai_responses, openai_messages
from streamspan.providers._openai_chat import read_error
from streamspan.providers._shapes import fields, text
from streamspan.providers.openai import OPENAI
from streamspan.providers.openai_realtime import kind_of
from streamspan.providers.sockets import Input, Received, Sent, Socket

Event = Mapping[str, Any]

_ENDINGS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})


def sent(event: Event) -> Sent:
    """Read a message of the client; its parameters stand beside its type."""
    if text(event.get("type")) != "response.create":
        return Sent()
    body = {**event, **fields(event.get("response"))}
    return Sent(asks=True, lane=text(event.get("stream_id")), event_id=text(event.get("event_id")), body=body)


def is_turn(head: str, size: int) -> bool:  # noqa: ARG001 - the signature of all sockets
    """Tell whether a message of the server is more than a piece of a response."""
    return not kind_of(head).endswith(".delta")


def received(event: Event) -> Received:
    """Read a message of the server."""
    kind, lane = text(event.get("type")), text(event.get("stream_id"))
    if kind == "error":
        error = fields(event.get("error")) or event
        # As over HTTP, where it ends the stream.
        return Received(error=read_error(error), error_of=text(error.get("event_id")), lane=lane, ends=True)
    if not kind.startswith("response."):
        return Received(lane=lane)
    delta = _openai_responses.read_event(event)
    if kind == "response.cancelled":
        delta = Delta(choice=0, finish_reason="cancelled", is_interrupted=True)
    return Received(delta, lane=lane, begins=kind == "response.created", ends=kind in _ENDINGS)


def model(settings: Event, body: Event) -> str:
    """Return the model of a response."""
    return text(body.get("model")) or text(settings.get("model"))


def attributes(settings: Event, body: Event) -> dict[str, AttributeValue]:
    """Return the request attributes of a response."""
    return _openai_responses.request_attributes({**settings, **body})


def content(_settings: Event, body: Event, _told: Input) -> dict[str, object]:
    """Return what the model was told."""
    return openai_messages.responses_content(body)


_NOTHING: Callable[[str], None] = lambda _head: None  # noqa: E731 - there is no message of which its head says enough

RESPONSES = Socket(
    provider=OPENAI,
    endpoint=Endpoint(name="responses (WebSocket)", operation="chat", paths=(), read=_openai_responses.read_event),
    paths=(r"/responses",),
    is_sent=lambda head: kind_of(head) in {"", "response.create"} or not kind_of(head).startswith("response."),
    sent=sent,
    is_turn=is_turn,
    received=received,
    glance=_NOTHING,
    model=model,
    attributes=attributes,
    content=content,
)
