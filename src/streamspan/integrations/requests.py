"""requests: model streams that are read without an SDK, and every attempt of a call that is being recorded.

`Session.send` is the level that the functions of the module, sessions and custom adapters all pass; it calls itself
for redirects, inside the outermost call. Knows no vendor and no telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

from streamspan._guard import Guard
from streamspan._ownership import Call, current_call
from streamspan._patching import Patch
from streamspan._raw import UNREAD, RawStreams, Watch
from streamspan._sessions import Sessions
from streamspan.integrations import _urllib3
from streamspan.integrations._attempts import Attempt, is_its_own
from streamspan.integrations._calls import PORTS
from streamspan.providers import Provider


def patches(providers: Callable[[], Iterable[Provider]], sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of requests."""
    return [Patch("requests.sessions", "Session.send", _Sends(RawStreams("requests", sessions, guard, providers)).send)]


def helper_patches(_sessions: Sessions, _guard: Guard) -> list[Patch]:
    """Return the patches where requests is only needed below another library: it opens no sessions."""
    return [Patch("requests.sessions", "Session.send", _Sends(None).send)]


class _Sends:
    """The wrapper of `send`."""

    def __init__(self, raw: RawStreams | None) -> None:
        self._raw = raw

    def send(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        request = kwargs["request"] if "request" in kwargs else args[0] if args else None
        call = current_call()
        if call is not None:
            return _below(call, wrapped, request, args, kwargs)
        is_stream = kwargs.get("stream", client.stream)
        raw = self._raw
        watch = raw.guard.call(_look, raw, client, request) if raw is not None and is_stream else None
        if watch is None:
            return wrapped(*args, **kwargs)
        with watch:
            response = wrapped(*args, **kwargs)
            watch.answered(response.status_code, response.headers, lambda call: _tap(call, response))
            return response


def _tap(call: Call, response: Any) -> bool | None:
    call.guard.call(_urllib3.note_retries, call.session, response.raw)
    return _urllib3.attach(call, response)


def _below(call: Call, wrapped: Any, request: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Send a request of a call; one of our own is a redirect's, and is told of by the outermost `send`."""
    if call.session.request.layer == "requests" or not call.guard.call(_is_its_own, call, request):
        return wrapped(*args, **kwargs)
    with Attempt(call) as attempt:
        response = wrapped(*args, **kwargs)
        attempt.answered(response, response.status_code, response.headers)
        return response


def _look(raw: RawStreams, client: Any, request: Any) -> Watch | None:
    if raw.guard.is_off:
        return None
    url = urlsplit(str(request.url))
    where = (url.hostname or "").lower(), url.port or PORTS.get(url.scheme), unquote(url.path)
    body = request.body
    # Files and generators are sent from: they stay unread.
    return raw.look(
        client,
        (request.method or "").upper(),
        where,
        body if body is None or isinstance(body, bytes | str) else UNREAD,
        url.query,
        request.headers,
    )


def _is_its_own(call: Call, request: Any) -> bool:
    url = urlsplit(request.url or "")
    return is_its_own(call, request.method or "", url.hostname, unquote(url.path))
