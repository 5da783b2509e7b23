"""What streamspan knows of the vendors: pure data and pure functions.

A `Provider` says how to recognise its requests and how to read its chunks. The same readers serve the SDK's objects
and decoded wire JSON. State lives in the session, once for all providers. This is also what a third party hands in
by the entry-point group `streamspan.providers`; fields are only ever added, with defaults.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from streamspan._records import AttributeValue, Delta


def no_attributes(_body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read nothing from a request."""
    return {}


def no_content(_body: Mapping[str, Any]) -> dict[str, object]:
    """Read no content from a request."""
    return {}


def asked_choices(body: Mapping[str, Any]) -> int:
    """Return how many choices a request asks for by `n`."""
    count = body.get("n")
    return count if type(count) is int and count > 0 else 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """One kind of request of a provider.

    Args:
        name: how documentation and `doctor` call it.
        operation: `gen_ai.operation.name`.
        paths: regular expressions; one must match the end of the URL's path. A group named `model` names the model
            where the body does not.
        read: chunk (SDK object or decoded JSON) to `Delta`; pure, may raise on nonsense.
        read_whole: the whole answer of a call without a stream to `Delta`; None where such calls are no inference.
        attributes: request body to the conventions' request attributes.
        content: request body to `gen_ai.input.messages`, `gen_ai.system_instructions`, `gen_ai.tool.definitions`.
        model_key: the body's key for the model.
        choices: request body to how many choices are due.
        marker_is_reliable: a stream without a terminal marker was cut short.
        has_finish_reasons: each choice is due a finish reason.
        done_data: `data:` line that ends the stream on the wire and that SDKs keep to themselves.
        done_event: name of the event that ends the stream, where an SDK keeps it to itself if the empty line after it
            is missing.
        methods: HTTP methods, upper case.
        streams: whether the answer is a stream; None where the body's `stream` says so and not the path.
        streams_unasked: the answer is a stream where the body's `stream` says nothing.
        wants_event: `read` gets `{"event": name, "data": payload}` from the wire, because the payload alone does not
            say what it is.
        silent_events: names of events on the wire that are no chunk: signs of life that SDKs keep to themselves.
        text_of: shortcut for the commonest chunk: its text (never empty) if that is all it says, of choice 0; else None.
        with_usage: request body to one that asks for usage, None if it asks already; None where there is no such
            question.
        is_usage_only: whether a chunk is only the answer to that question.
        tells_waits: it is known when the caller asks for a chunk; else a slow caller would look like a stall.
    """

    name: str
    operation: str
    paths: tuple[str, ...]
    read: Callable[[Any], Delta]
    read_whole: Callable[[Any], Delta] | None = None
    attributes: Callable[[Mapping[str, Any]], dict[str, AttributeValue]] = no_attributes
    content: Callable[[Mapping[str, Any]], dict[str, object]] = no_content
    model_key: str = "model"
    choices: Callable[[Mapping[str, Any]], int] = asked_choices
    marker_is_reliable: bool = True
    has_finish_reasons: bool = True
    done_data: str = ""
    done_event: str = ""
    methods: tuple[str, ...] = ("POST",)
    streams: bool | None = None
    streams_unasked: bool = False
    wants_event: bool = False
    silent_events: frozenset[str] = frozenset()
    text_of: Callable[[Any], str | None] | None = None
    with_usage: Callable[[Mapping[str, Any]], dict[str, Any] | None] | None = None
    is_usage_only: Callable[[Any], bool] | None = None
    tells_waits: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Provider:
    """A vendor, or a family of vendors that speak the same wire format.

    Args:
        name: `gen_ai.provider.name` where the host says nothing better.
        endpoints: its kinds of requests, most specific first.
        hosts: host (a leading `*.` for any subdomain) to provider name.
        unreliable: provider names of `hosts` (or of `STREAMSPAN_HOSTS`) whose streams may end without a marker.
        request_id_headers: response headers that carry the provider's request id, best first.
        error_type_headers: response headers that carry the provider's word for a refusal, best first; they go before
            what its body says.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    hosts: Mapping[str, str] = field(default_factory=dict[str, str])
    unreliable: frozenset[str] = frozenset()
    request_id_headers: tuple[str, ...] = ("x-request-id",)
    error_type_headers: tuple[str, ...] = ()
