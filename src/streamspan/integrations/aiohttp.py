"""aiohttp: model streams that are read without an SDK, and every attempt of a call that is being recorded.

`ClientSession._request` is what every method of a session, `aiohttp.request` and httpx transports on aiohttp pass
exactly once, redirects included (unchanged in aiohttp 3.9 to 3.14). Knows no vendor and no telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from streamspan._guard import Guard
from streamspan._ownership import Call, current_call
from streamspan._patching import Patch
from streamspan._raw import UNREAD, RawStreams, Watch
from streamspan._sessions import Sessions
from streamspan.integrations import _aiohttp_body
from streamspan.integrations._attempts import Attempt, is_its_own
from streamspan.providers import Provider


def patches(providers: Callable[[], Iterable[Provider]], sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of aiohttp."""
    raw = RawStreams("aiohttp", sessions, guard, providers)
    return [Patch("aiohttp.client", "ClientSession._request", _Requests(raw).request)]


def helper_patches(_sessions: Sessions, _guard: Guard) -> list[Patch]:
    """Return the patches where aiohttp is only needed below another library: it opens no sessions."""
    return [Patch("aiohttp.client", "ClientSession._request", _Requests(None).request)]


class _Requests:
    """The wrapper of `_request`."""

    def __init__(self, raw: RawStreams | None) -> None:
        self._raw = raw

    def _call_above(self) -> Call | None:
        """Return the call that this request is made for; what is sent on the way of a call of ours is another one."""
        call, raw = current_call(), self._raw
        return None if call is not None and raw is not None and call.session.request.layer == raw.layer else call

    async def request(self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = self._call_above()
        if call is not None:
            if not call.guard.call(_is_its_own, call, client, args, kwargs):
                return await wrapped(*args, **kwargs)
            with Attempt(call) as attempt:
                response = await wrapped(*args, **kwargs)
                attempt.answered(response, response.status, response.headers)
                return response
        raw = self._raw
        watch = None if raw is None else raw.guard.call(_look, raw, client, args, kwargs)
        if watch is None:
            return await wrapped(*args, **kwargs)
        with watch:
            response = await wrapped(*args, **kwargs)
            is_decoded = bool(kwargs.get("auto_decompress", getattr(client, "auto_decompress", True)))
            watch.answered(
                response.status,
                response.headers,
                lambda call: _aiohttp_body.attach(call, response, is_decoded=is_decoded),
            )
            return response


def _look(raw: RawStreams, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Watch | None:
    if raw.guard.is_off:
        return None
    url = _url(client, args, kwargs)
    method = _method(args, kwargs)
    where, headers = (url.host or "", url.port, url.path), kwargs.get("headers")
    own = cast("Mapping[str, object]", headers) if isinstance(headers, Mapping) else None
    return raw.look(client, method, where, _body(kwargs), _query(url, kwargs), own)


def _url(client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    url = kwargs["str_or_url"] if "str_or_url" in kwargs else args[1]
    return client._build_url(url)  # noqa: SLF001 - with the session's base URL; aiohttp does it once more


def _method(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return str(kwargs.get("method") or args[0]).upper()


def _is_its_own(call: Call, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    url = _url(client, args, kwargs)
    return is_its_own(call, _method(args, kwargs), url.host, url.path)


def _body(kwargs: Mapping[str, Any]) -> object:
    """Return the parameters, or the bytes; forms, files and generators are sent from, and stay unread."""
    if kwargs.get("json") is not None:
        body: Any = kwargs["json"]
        return cast("object", body) if isinstance(body, Mapping) else UNREAD
    data = kwargs.get("data")
    return data if data is None or isinstance(data, bytes | bytearray | str) else UNREAD


def _query(url: Any, kwargs: Mapping[str, Any]) -> str:
    params = kwargs.get("params")
    return str((url.update_query(params) if params else url).query_string)
