"""One call of an SDK's function, from its entry to what it returns: a parsed answer, a stream or an HTTP response.

Shared by the integrations whose SDKs sit on httpx or httpx2. Knows no SDK and no telemetry.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

from streamspan._bodies import attach
from streamspan._ownership import Active, Call
from streamspan._sessions import Target
from streamspan._taps import tell

PORTS = {"https": 443, "http": 80, "wss": 443, "ws": 80}


@lru_cache(maxsize=512)
def target_of(url: str, base: str = "") -> Target:
    """Return where a request to `url` goes, which may be the rest of a client's `base` URL."""
    parts, root = urlsplit(url), urlsplit(base)
    where = parts if parts.netloc else root
    path = parts.path if parts.netloc else root.path.rstrip("/") + "/" + parts.path.lstrip("/")
    return Target((where.hostname or "").lower(), where.port or PORTS.get(where.scheme), path)


class Running:
    """One call of an SDK's function: the call is current inside, and what comes out of it gets its tap."""

    __slots__ = ("_active", "_call")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._active = Active(call)

    def __enter__(self) -> Running:
        self._active.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._active.__exit__(kind, exc, tb)
        if exc is not None:
            self._call.guard.call(_failed, self._call, exc)

    def answered(self, result: Any) -> Any:
        """Take what the function returned, and return it."""
        call = self._call
        if not call.guard.call(_opened, call, result) and not call.session.is_ended:
            call.abandon()
        return result


def _failed(call: Call, exc: BaseException) -> None:
    """Tell the session what was raised; if that was about a whole answer that came (a parser's), take the answer first."""
    response = call.answer()
    if response is not None and not call.session.request.is_stream and response.is_closed:
        call.session.heard_all(_json(response))
    tell(call, exc)


def _opened(call: Call, result: Any) -> bool:
    """Put the tap where the answer will be read; return True (a fault returns nothing)."""
    session = call.session
    response = _http_response(result)
    if response is not None and not session.is_accepted:
        session.headers(response.status_code, call.request_id(response.headers))
    if not session.request.is_stream and (response is None or response.is_closed):
        session.answered(result if response is None else _json(response))
        return True
    session.returned()
    if response is None:  # an object that cannot be watched: the call is all there is to tell
        session.exhausted()
        return True
    attach(call, response)
    if result is not response and getattr(result, "response", None) is response:
        call.owned_by(result)
    return True


def _json(response: Any) -> Any:
    """Read a whole answer that the caller gets as a raw response."""
    try:
        return json.loads(response.content)
    except ValueError:
        return {}  # text, or nothing that says anything


def _http_response(result: Any) -> Any:
    """Find the HTTP response in what `request` returned; None when that is a parsed answer."""
    for candidate in (getattr(result, "response", None), getattr(result, "http_response", None), result):
        if candidate is not None and type(getattr(candidate, "extensions", None)) is dict:
            return candidate
    return None
