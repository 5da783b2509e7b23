"""Amazon Bedrock through botocore: `converse`, `converse_stream`, `invoke_model` and its streamed form.

`BaseClient._make_api_call` is what every method of every client goes through. Of the `EventStream` in its answer the
generator of raw events is tapped, which sees every read and every failure of the connection; what the SDK makes of an
event, or raises for it, is seen in `_parse_event`. The object that the caller holds stays the SDK's own. urllib3 is
below, so the attempts are those of `Endpoint._send`. Knows no telemetry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from streamspan._guard import Guard
from streamspan._ownership import Active, Call, current_call
from streamspan._patching import Patch
from streamspan._sessions import Opening, Sessions
from streamspan._taps import Items, tell, told_closed
from streamspan.integrations._attempts import Attempt
from streamspan.integrations._calls import target_of
from streamspan.providers import Endpoint
from streamspan.providers.bedrock import BEDROCK, CONVERSE, CONVERSE_STREAM, INVOKE, INVOKE_STREAM

_SERVICE = "bedrock-runtime"
_OPERATIONS: Mapping[str, tuple[Endpoint, str]] = {
    "Converse": (CONVERSE, ""),
    "ConverseStream": (CONVERSE_STREAM, "stream"),
    "InvokeModel": (INVOKE, ""),
    "InvokeModelWithResponseStream": (INVOKE_STREAM, "body"),
}
"""Operation to its endpoint, and the member of the answer that is the stream."""

_COUNTS = {
    "x-amzn-bedrock-input-token-count": "inputTokenCount",
    "x-amzn-bedrock-output-token-count": "outputTokenCount",
    "x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    "x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of botocore."""
    calls = _Calls(sessions, guard)
    return [
        Patch("botocore.client", "BaseClient._make_api_call", calls.request),
        Patch("botocore.endpoint", "Endpoint._send", _send),
        Patch("botocore.eventstream", "EventStream._parse_event", _parse),
        Patch("botocore.eventstream", "EventStream.close", _close),
    ]


class _Calls:
    """The wrapper of all API calls."""

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        self._sessions = sessions
        self._guard = guard

    def request(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = None if self._guard.is_off else self._guard.call(self._open, client, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        try:
            with Active(call):
                answer = wrapped(*args, **kwargs)
        except BaseException as exc:
            self._guard.call(tell, call, exc)
            raise
        if not self._guard.call(_opened, call, answer, _argument(args, kwargs, 0)) and not call.session.is_ended:
            call.abandon()
        return answer

    def _open(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        operation = _OPERATIONS.get(_argument(args, kwargs, 0))
        if operation is None or client.meta.service_model.service_name != _SERVICE or current_call() is not None:
            return None
        endpoint, member = operation
        opening = Opening(
            layer="bedrock",
            provider=BEDROCK,
            endpoint=endpoint,
            target=target_of(client.meta.endpoint_url),
            is_stream=bool(member),
            body=_body(_argument(args, kwargs, 1)),
            provider_name=BEDROCK.name,
            client=client,
        )
        return self._sessions.open(opening, self._guard)


def _argument(args: tuple[Any, ...], kwargs: dict[str, Any], position: int) -> Any:
    return args[position] if len(args) > position else kwargs[("operation_name", "api_params")[position]]


def _body(parameters: Any) -> dict[str, Any]:
    """Return the parameters; of InvokeModel also those in its body, which are the model's own."""
    found = cast("dict[str, Any]", parameters) if isinstance(parameters, dict) else {}
    body = found.get("body")
    if not isinstance(body, str | bytes | bytearray):
        return found
    try:
        own = json.loads(body)
    except ValueError:
        return found
    return {**own, **found} if isinstance(own, dict) else found


def _opened(call: Call, answer: Any, operation: str) -> bool:
    """Put the tap into the stream of the answer; return True (a fault returns nothing)."""
    session, member = call.session, _OPERATIONS[operation][1]
    if not member:
        session.answered(_counts(answer) if operation == "InvokeModel" else answer)
        return True
    stream = answer[member]
    session.accepted()
    session.returned()
    stream._event_generator = _Events(stream._event_generator, call)  # noqa: SLF001 - the seam
    call.owned_by(stream)
    return True


def _counts(answer: Any) -> dict[str, Any]:
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    return {name: int(headers[header]) for header, name in _COUNTS.items() if header in headers}


class _Events(Items[Any]):
    """The raw events of a stream, and whose they are."""

    __slots__ = ()

    def __init__(self, events: Any, call: Call) -> None:
        super().__init__(events, lambda: call)
        self.resolve()  # it may be closed unread

    @property
    def call(self) -> Call | None:
        """The call that they answer."""
        return self._call


def _call_of(stream: Any) -> Call | None:
    events = cast("dict[str, object]", vars(stream)).get("_event_generator")
    return events.call if isinstance(events, _Events) else None


def _parse(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _call_of(stream)
    try:
        event = wrapped(*args, **kwargs)
    except BaseException as exc:
        if call is not None:
            call.guard.call(call.session.parsed, None)
            call.guard.call(tell, call, exc)
        raise
    if call is not None:
        call.guard.call(call.session.parsed, event or None)
    return event


def _close(wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = _call_of(stream)
    if call is not None:
        call.guard.call(told_closed, call)
    return wrapped(*args, **kwargs)


def _send(wrapped: Any, _endpoint: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = current_call()
    if call is None or call.provider is not BEDROCK:
        return wrapped(*args, **kwargs)
    with Attempt(call) as attempt:
        response = wrapped(*args, **kwargs)
        attempt.answered(response, response.status_code, response.headers)
        return response
