"""httpx and httpx2, below the SDKs: every attempt of a call that is being recorded.

`Client.send` is the level that SDK wrappers, redirects, custom, mock and aiohttp transports all pass exactly once.
httpx2 is a fork of httpx with the same names, so the module is an argument. Knows no vendor and no telemetry.
"""

from __future__ import annotations

from typing import Any

from streamspan._failures import qualified_name
from streamspan._guard import Guard
from streamspan._ownership import Call, Sending, current_call
from streamspan._patching import Patch
from streamspan._sessions import Sessions

_FIRST_ERROR_STATUS = 400


def patches(module: str, _sessions: Sessions, _guard: Guard) -> list[Patch]:
    """Return the patches of one of the two modules."""
    return [
        Patch(f"{module}._client", "Client.send", _send),
        Patch(f"{module}._client", "AsyncClient.send", _asend),
    ]


def _send(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = current_call()
    if call is None or not _is_its_own(call, args, kwargs):
        return wrapped(*args, **kwargs)
    with _Attempt(call) as attempt:
        return attempt.answered(wrapped(*args, **kwargs))


async def _asend(wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    call = current_call()
    if call is None or not _is_its_own(call, args, kwargs):
        return await wrapped(*args, **kwargs)
    with _Attempt(call) as attempt:
        return attempt.answered(await wrapped(*args, **kwargs))


def _is_its_own(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Tell the call's own request from one that is sent on the way, such as for an access token."""
    request = kwargs["request"] if "request" in kwargs else args[0] if args else None
    host = getattr(getattr(request, "url", None), "host", None)
    return not call.session.is_ended and host == call.session.request.server_address


class _Attempt:
    """One HTTP request of a call: its span is current inside."""

    __slots__ = ("_call", "_sending")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._sending = Sending(call)

    def __enter__(self) -> _Attempt:
        self._call.guard.call(self._call.session.attempt)
        self._sending.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._sending.__exit__(kind, exc, tb)
        if isinstance(exc, Exception):
            self._call.guard.call(self._call.session.attempt_failed, None, qualified_name(type(exc)))

    def answered(self, response: Any) -> Any:
        self._call.guard.call(self._note, response)
        return response

    def _note(self, response: Any) -> None:
        session, status = self._call.session, response.status_code
        request_id = self._call.request_id(response.headers)
        if status >= _FIRST_ERROR_STATUS:
            session.refused(status, request_id)
        else:
            session.headers(status, request_id)
            self._call.answered_by(response)
