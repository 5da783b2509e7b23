"""What the messages of a WebSocket mean, in no vendor's words: the vocabulary of the modules that read them.

A `Socket` is to a connection what an `Endpoint` is to a request: pure data and pure functions over decoded JSON.
Whoever reads a message says what it does to the turns of the connection; which turn that is, when it was and how it
ended is decided by the connection.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from streamspan._records import AttributeValue, Delta, ProviderError
from streamspan.providers import Endpoint, Provider

Input: TypeAlias = tuple[Mapping[str, Any], ...]
"""What the model was told since the last answer was asked for."""


@dataclass(slots=True)
class Sent:
    """What a message of the client means.

    Args:
        asks: it asks for an answer.
        lane: of several streams of answers on one connection, the one that it belongs to.
        event_id: the client's own id of the message, by which an error refers to it.
        settings: what holds from now on, such as the model.
        body: the parameters of this one answer.
        input: what it tells the model, in the provider's words; empty if nothing.
        ends_speech: the user has finished, and the provider may answer by itself.
        stops: the answer in progress is not wanted any more, and the provider will not say that it has ended.
    """

    asks: bool = False
    lane: str = ""
    event_id: str = ""
    settings: Mapping[str, Any] | None = None
    body: Mapping[str, Any] = field(default_factory=dict[str, Any])
    input: Input = ()
    ends_speech: bool = False
    stops: bool = False


@dataclass(slots=True)
class Received:
    """What a message of the provider means.

    Args:
        delta: what it says of an answer; None when it is about none.
        answer: the answer's id; empty for the one in progress.
        lane: as in `Sent`.
        begins: an answer begins with it, whether one was asked for or not.
        ends: the answer ends with it.
        session_id: the provider's id of the connection.
        settings: what holds from now on.
        speech: the user was heard to begin or to stop speaking.
        error: a failure that is reported outside of any answer.
        error_of: the client's id of the message that the error is about.
        is_refusal: the error may be about a request for an answer.
    """

    delta: Delta | None = None
    answer: str = ""
    lane: str = ""
    begins: bool = False
    ends: bool = False
    session_id: str = ""
    settings: Mapping[str, Any] | None = None
    speech: Literal["", "began", "ended"] = ""
    error: ProviderError | None = None
    error_of: str = ""
    is_refusal: bool = False


def has_output(delta: Delta) -> bool:
    """Tell whether a message brings any output."""
    return bool(delta.text or delta.reasoning or delta.refusal or delta.tool_calls or delta.media)


def no_settings(_query: Mapping[str, str]) -> dict[str, Any]:
    """Read nothing from the query of the URL."""
    return {}


def no_content(_settings: Mapping[str, Any], _body: Mapping[str, Any], _input: Input) -> dict[str, object]:
    """Read no content."""
    return {}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Socket:
    """One kind of WebSocket connection of a provider.

    Args:
        provider: whose it is.
        endpoint: how its turns are recorded; its reader is not used.
        paths: regular expressions; one must match the end of the URL's path.
        is_sent: whether a message of the client is worth reading, by its first characters.
        sent: message of the client to what it means.
        is_turn: whether a message of the provider, by its first characters and its length, may begin or end a turn
            or is about the connection; such a message is read at once, any other when there is time.
        received: message of the provider to what it means.
        glance: the same from the first characters of a long message alone; None where they do not say enough.
        glance_from: characters from which on a message is long.
        merges: whether a question that is put before the answer to the last one has begun is one with it.
        settings: query of the URL to what holds from the start.
        model: settings and parameters to the model.
        attributes: settings and parameters to the conventions' request attributes.
        content: settings, parameters and input to the conventions' messages, instructions and tool definitions.
    """

    provider: Provider
    endpoint: Endpoint
    paths: tuple[str, ...]
    is_sent: Callable[[str], bool]
    sent: Callable[[Mapping[str, Any]], Sent]
    is_turn: Callable[[str, int], bool]
    received: Callable[[Mapping[str, Any]], Received]
    glance: Callable[[str], Received | None]
    glance_from: int = 1024 * 1024
    merges: bool = False
    settings: Callable[[Mapping[str, str]], dict[str, Any]] = no_settings
    model: Callable[[Mapping[str, Any], Mapping[str, Any]], str]
    attributes: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, AttributeValue]]
    content: Callable[[Mapping[str, Any], Mapping[str, Any], Input], dict[str, object]] = no_content

    def serves(self, path: str) -> bool:
        """Tell whether connections to this path are of this kind."""
        return any(re.search(f"{pattern}/?$", path) for pattern in self.paths)
