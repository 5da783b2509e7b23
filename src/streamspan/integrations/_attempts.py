"""One HTTP request of a call that somebody above is recording: the attempt, its status and its headers.

The same for every HTTP library. Knows no library.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streamspan._failures import qualified_name
from streamspan._ownership import Call, Sending

_FIRST_ERROR_STATUS = 400


def is_its_own(call: Call, host: object) -> bool:
    """Tell the call's own request from one that is sent on the way, such as for an access token."""
    return not call.session.is_ended and host == call.session.request.server_address


class Attempt:
    """One HTTP request of a call: its span is current inside."""

    __slots__ = ("_call", "_sending")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._sending = Sending(call)

    def __enter__(self) -> Attempt:
        self._call.guard.call(self._call.session.attempt)
        self._sending.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._sending.__exit__(kind, exc, tb)
        if isinstance(exc, Exception):
            self._call.guard.call(self._call.session.attempt_failed, None, qualified_name(type(exc)))

    def answered(self, response: Any, status: int, headers: Mapping[str, str]) -> None:
        """Take the headers of the response."""
        self._call.guard.call(self._note, response, status, headers)

    def _note(self, response: Any, status: int, headers: Mapping[str, str]) -> None:
        session, request_id = self._call.session, self._call.request_id(headers)
        if status >= _FIRST_ERROR_STATUS:
            session.refused(status, request_id)
        else:
            session.headers(status, request_id)
            self._call.answered_by(response)
