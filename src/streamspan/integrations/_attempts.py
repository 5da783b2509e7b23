"""One HTTP request of a call that somebody above is recording: the attempt, its status and its headers.

The same for every HTTP library. Knows no library.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamspan._failures import FIRST_ERROR_STATUS, error_status, qualified_name
from streamspan._ownership import Call, Sending
from streamspan._records import Delta
from streamspan._sessions import find_endpoint


def is_its_own(call: Call, method: str, host: str | None, path: str, *, is_marked: bool = False) -> bool:
    """Tell the call's own request from one that is sent on the way, such as for an access token.

    That may go to the same host (Anthropic's `WorkloadIdentityCredentials`), but to no endpoint of a model. The path is
    not compared itself: SDKs rewrite it on its way (Azure, Bedrock, Vertex), from one endpoint's to another's.

    Args:
        call: in progress.
        method: of the request.
        host: of the request.
        path: of the request.
        is_marked: the SDK has marked it as its own, so that it is the call's wherever a subclass has led it.
    """
    if call.session.is_ended or host != call.session.request.server_address:
        return False
    return is_marked or find_endpoint(call.provider, method.upper(), path) is not None or not _is_at_an_endpoint(call)


def _is_at_an_endpoint(call: Call) -> bool:
    """Tell whether what is known of the call's request names an endpoint; it may be a base URL, or a user's own path."""
    path = call.path
    return path is not None and any(find_endpoint(call.provider, each, path) for each in call.endpoint.methods)


class Attempt:
    """One HTTP request of a call: its span is current inside."""

    __slots__ = ("_call", "_is_outermost", "_sending")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._sending = Sending(call)
        self._is_outermost = not call.is_sending

    def __enter__(self) -> Attempt:
        call = self._call
        call.is_sending = True
        is_resend = call.guard.call(call.session.attempt)
        if call.tells_hops and self._is_outermost and call.session.is_accepted and not is_resend:
            call.guard.call(_note_hop, call)
        self._sending.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._sending.__exit__(kind, exc, tb)
        if self._is_outermost:
            self._call.is_sending = False
        if isinstance(exc, Exception):
            self._call.guard.call(self._failed, error_status(exc), None, qualified_name(type(exc)))

    def answered(self, response: Any, status: int, headers: Mapping[str, str]) -> None:
        """Take the headers of the response."""
        self._call.guard.call(self._note, response, status, headers)

    def _note(self, response: Any, status: int, headers: Mapping[str, str]) -> None:
        session, request_id = self._call.session, self._call.request_id(headers)
        if status >= FIRST_ERROR_STATUS:
            self._failed(status, request_id)
        else:
            session.headers(status, request_id)
            self._call.answered_by(response)

    def _failed(self, status: int | None, request_id: str | None, error_type: str | None = None) -> None:
        session = self._call.session
        answered = session.status_code, session.request_id
        if status is None:
            session.attempt_failed(None, error_type)
        else:
            session.refused(status, request_id)
        if self._call.is_spliced:  # the caller goes on with an earlier answer
            session.status_code, session.request_id = answered


def _note_hop(call: Call) -> None:
    """Note a further request after an answer.

    Of a whole answer that the caller does not get the usage is added; what a stream made of several answers has used so
    far is said in the stream.
    """
    session, answer = call.session, call.answer()
    content = getattr(answer, "_content", None)  # of httpx and httpx2: not there before it was read
    if not session.request.is_stream and content:
        delta = session.read(json.loads(content))
        session.heard((delta,) if isinstance(delta, Delta) else delta)
    session.another(counts_anew=not session.request.is_stream)
