"""httpx and httpx2: model streams that are read without an SDK, and every attempt of a call that is being recorded.

`Client.send` is the level that `stream()`, SDK wrappers, redirects, custom, mock and aiohttp transports all pass
exactly once. httpx2 is a fork of httpx with the same names, so the module is an argument. Knows no vendor and no
telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from streamspan._bodies import attach
from streamspan._byte_feed import take_whole
from streamspan._guard import Guard
from streamspan._ownership import Call, current_call
from streamspan._patching import Patch
from streamspan._raw import UNREAD, RawStreams, Watch
from streamspan._sessions import Sessions
from streamspan.integrations._attempts import Attempt, is_its_own
from streamspan.integrations._calls import PORTS
from streamspan.providers import Provider

_STAINLESS = "x-stainless-lang"  # on each request of a generated SDK (OpenAI, Anthropic, Groq), and on no other


def patches(module: str, providers: Callable[[], Iterable[Provider]], sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of one of the two modules."""
    return _patches(module, _Sends(RawStreams(module, sessions, guard, providers)))


def helper_patches(module: str, _sessions: Sessions, _guard: Guard) -> list[Patch]:
    """Return the patches of a module that is only needed below another library: it opens no sessions."""
    return _patches(module, _Sends(None))


def _patches(module: str, sends: _Sends) -> list[Patch]:
    return [
        Patch(f"{module}._client", "Client.send", sends.send),
        Patch(f"{module}._client", "AsyncClient.send", sends.asend),
    ]


class _Sends:
    """The wrappers of `send`."""

    def __init__(self, raw: RawStreams | None) -> None:
        self._raw = raw

    def send(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._call_above()
        if call is not None:
            if not call.guard.call(_is_its_own, call, _request(args, kwargs)):
                return wrapped(*args, **kwargs)
            with Attempt(call) as attempt:
                response = wrapped(*args, **kwargs)
                attempt.answered(response, response.status_code, response.headers)
                return response
        watch = self._look(client, args, kwargs) if kwargs.get("stream") else None
        if watch is None:
            return wrapped(*args, **kwargs)
        with watch:
            return _answered(watch, wrapped(*args, **kwargs))

    async def asend(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._call_above()
        if call is not None:
            if not call.guard.call(_is_its_own, call, _request(args, kwargs)):
                return await wrapped(*args, **kwargs)
            with Attempt(call) as attempt:
                response = await wrapped(*args, **kwargs)
                attempt.answered(response, response.status_code, response.headers)
                return response
        watch = self._look(client, args, kwargs) if kwargs.get("stream") else None
        if watch is None:
            return await wrapped(*args, **kwargs)
        with watch:
            return _answered(watch, await wrapped(*args, **kwargs))

    def _call_above(self) -> Call | None:
        """Return the call that this request is made for; what is sent on the way of a call of ours is another one."""
        call, raw = current_call(), self._raw
        return None if call is not None and raw is not None and call.session.request.layer == raw.layer else call

    def _look(self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch | None:
        raw = self._raw
        return None if raw is None or raw.guard.is_off else raw.guard.call(_look, raw, client, _request(args, kwargs))


def _look(raw: RawStreams, client: Any, request: Any) -> Watch | None:
    url = request.url
    where = url.host, url.port or PORTS.get(url.scheme), url.path
    # Only what is there already: a body that is made while it is sent stays unread.
    body = getattr(request, "_content", UNREAD)
    return raw.look(client, request.method.upper(), where, body, url.query.decode("ascii", "replace"), request.headers)


def _answered(watch: Watch, response: Any) -> Any:
    def tap(call: Call) -> bool:
        if response.is_closed:  # in memory since before: a transport that makes its answers up
            take_whole(call, response.content, response.headers.get("content-type", ""))
        else:
            attach(call, response)
        return True

    watch.answered(response.status_code, response.headers, tap)
    return response


def _request(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    return kwargs["request"] if "request" in kwargs else args[0] if args else None


def _is_its_own(call: Call, request: Any) -> bool:
    is_marked = _STAINLESS in request.headers
    return is_its_own(call, request.method, request.url.host, request.url.path, is_marked=is_marked)
