"""Which requests of an HTTP library are model streams, and when their sessions open. Knows no library.

A request is one if nobody above has a call, the host or the end of the path is a provider's (or `STREAMSPAN_HOSTS`
names it), the request asks for a stream, and the response says that it is one. Never by the content type alone: tools,
chats and feeds of any kind stream events. Where the request leaves no doubt the session opens before it is sent, so
that the spans of the HTTP layer below are its children; else when the response's headers are there, with the
request's clock. What turns out to be no stream leaves nothing, but for an answer or an error in JSON where a session
was open: it is a call without a stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl

from streamspan._failures import FIRST_ERROR_STATUS, error_status, header_word
from streamspan._guard import Guard
from streamspan._ownership import Call, Sending, Undecided, is_undecided
from streamspan._records import ProviderError
from streamspan._sessions import Opening, Sessions, Target, find_endpoint, host_name, model_in
from streamspan._taps import tell
from streamspan._wire import JSON_TYPE
from streamspan.providers import Endpoint, Provider
from streamspan.providers._generic import read_anything

_STREAM_TYPES = (
    "text/event-stream",
    "application/x-ndjson",
    "application/stream+json",
    "application/vnd.amazon.eventstream",
)
_NO_CONTENT = 204
UNREAD: Any = object()
"""Stands for a request body that is made while it is sent."""
_MOST_BODY = 8 * 1024 * 1024  # a bigger request is not read in the caller's time
# What is in the user agents of SDKs on these HTTP libraries, and what they are called here.
_AGENTS = (
    ("OpenAI/Python", "openai"),
    ("Anthropic", "anthropic"),
    ("Groq/Python", "groq"),
    ("google-genai-sdk/", "google_genai"),
    ("mistral-client-python/", "mistralai"),
    ("cohere/", "cohere"),
    ("ollama-python/", "ollama"),
    ("hf_hub/", "huggingface_hub"),
    ("litellm/", "litellm"),
)
# Nothing that these send for a call gets past their integration. What comes outside of a call belongs to one all the
# same: Anthropic's `BetaRefusalFallbackMiddleware` sends its second request while the caller reads the first answer.
_WHOLLY_COVERED = frozenset({"openai", "anthropic", "groq"})
_ANY = Endpoint(
    name="stream",
    operation="chat",
    paths=(),
    read=read_anything,
    marker_is_reliable=False,
    has_finish_reasons=False,
)


class Found(NamedTuple):
    """Whose endpoint a request goes to."""

    provider: Provider
    endpoint: Endpoint
    is_known: bool
    """The host is the provider's, or the user's own word; else only the path speaks for it."""


class RawStreams:
    """Recognises the model streams of one HTTP library.

    Args:
        layer: the library.
        sessions: who opens sessions.
        guard: the library's fence.
        providers: everybody's wire formats, best first; asked for once, when a request is looked at.
    """

    def __init__(
        self, layer: str, sessions: Sessions, guard: Guard, providers: Callable[[], Iterable[Provider]]
    ) -> None:
        self.layer = layer
        self._sessions = sessions
        self.guard = guard
        self._providers = cache(lambda: tuple(providers()))
        self._find = lru_cache(maxsize=512)(self._search)

    def look(
        self,
        client: object,
        method: str,
        where: tuple[str, int | None, str],
        body: object,
        query: str = "",
        headers: Mapping[str, Any] | None = None,
    ) -> Watch | None:
        """Look at a request that is about to be sent; None if it cannot become a model stream.

        Args:
            client: the object that sends it.
            method: HTTP method, upper case.
            where: host, port and path.
            body: bytes, text or parameters; anything else is left unread, and nothing is no body.
            query: the URL's query, which has the parameters of a request without a body.
            headers: of the request, which tell the SDK that sends it.
        """
        found = self._find(method, *where)
        if found is None or is_undecided() or not self._sessions.watches(client) or self._is_an_sdks(headers):
            return None
        fields = _parameters(body) if body else _fields(query)
        is_asked, target = _is_asked(found.endpoint, fields), Target(*where)
        if is_asked is False or not _is_plausible(found, fields, target):
            return None
        opening = Opening(
            layer=self.layer,
            provider=found.provider,
            endpoint=found.endpoint,
            target=target,
            is_stream=True,
            body=fields or {},
            client=client,
        )
        if not is_asked:
            return Watch(self._sessions, self.guard, opening, None)
        call = self._sessions.open(opening, self.guard)
        return None if call is None else Watch(self._sessions, self.guard, opening, call)

    def _is_an_sdks(self, headers: Mapping[str, Any] | None) -> bool:
        """Tell whether an SDK sends it that is left out by name, or that has told of it already."""
        closed = self._sessions.config.exclude or ()
        covered = _WHOLLY_COVERED & self._sessions.libraries
        if not headers or not (closed or covered):
            return False
        agent = next((str(value) for name, value in headers.items() if str(name).lower() == "user-agent"), "")
        return any(name in closed or name in covered for mark, name in _AGENTS if mark in agent)

    def _search(self, method: str, host: str, port: int | None, path: str) -> Found | None:
        for pattern in self._sessions.config.hosts:
            if pattern.matches(host, port, path):
                return self._named(pattern.provider, method, path)
        matches = [(each, found) for each in self._providers() if (found := find_endpoint(each, method, path))]
        for provider, endpoint in matches:
            if host_name(provider, host) is not None:
                return Found(provider, endpoint, is_known=True)
        return Found(*matches[0], is_known=False) if matches else None

    def _named(self, name: str, method: str, path: str) -> Found:
        """Find what speaks for a host that the user names: the provider of that name, else the path, else nothing."""
        providers = sorted(self._providers(), key=lambda provider: provider.name != name)
        for provider in providers:
            endpoint = find_endpoint(provider, method, path)
            if endpoint is not None:
                return Found(provider, endpoint, is_known=True)
        if providers and providers[0].name == name:
            return Found(providers[0], providers[0].endpoints[0], is_known=True)
        return Found(Provider(name=name or "_OTHER", endpoints=(_ANY,)), _ANY, is_known=True)


class Watch:
    """The sending of a request that is, or may become, a model stream; a context manager around transport code."""

    __slots__ = ("_guard", "_opening", "_sending", "_sessions", "_started", "call")

    def __init__(self, sessions: Sessions, guard: Guard, opening: Opening, call: Call | None) -> None:
        self._sessions = sessions
        self._guard = guard
        self._opening = opening
        self._started = sessions.now()
        self.call = call
        self._sending: Sending | Undecided = Undecided() if call is None else Sending(call)

    def __enter__(self) -> Watch:
        self._sending.__enter__()
        return self

    def __exit__(self, kind: Any, exc: BaseException | None, tb: Any) -> None:
        self._sending.__exit__(kind, exc, tb)
        if exc is not None and self.call is not None:
            self._guard.call(_failed, self.call, exc)

    def answered(self, status_code: int, headers: Mapping[str, str], attach: Callable[[Call], object]) -> None:
        """Take the headers of the final response; `attach` puts a tap on its body if it is a model stream."""
        call = self._guard.call(self._decide, status_code, headers)
        if call is None:
            return
        attached = self._guard.call(attach, call)
        if attached is None and not call.session.is_ended:
            call.abandon()

    def _decide(self, status_code: int, headers: Mapping[str, str]) -> Call | None:
        call = self.call
        if status_code >= FIRST_ERROR_STATUS and call is not None:
            call.session.refused(status_code, call.request_id(headers))
            word = header_word(headers, call.provider.error_type_headers)
            call.session.faulted(ProviderError(word or str(status_code)))
            call.session.returned()
            return call
        if status_code >= _NO_CONTENT or not self._is_answer(headers):
            if call is not None:
                call.abandon()
            return None
        if call is None:
            call = self._sessions.open(self._opening, self._guard, self._started)
        if call is not None:
            call.session.headers(status_code, call.request_id(headers))
            call.session.returned()
        return call

    def _is_answer(self, headers: Mapping[str, str]) -> bool:
        """Tell whether it is a stream, or JSON where no doubt was left that a model was asked for one.

        That is an error of a gateway, or the answer in one piece. Ollama says in JSON, unasked, that a model is loaded.
        """
        kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        if kind != JSON_TYPE:
            return kind in _STREAM_TYPES
        endpoint, fields = self._opening.endpoint, self._opening.body
        return endpoint.streams is True or (self.call is not None and "stream" in fields)


def _failed(call: Call, exc: BaseException) -> None:
    """Tell the session what was raised; that may be a refusal (aiohttp's `raise_for_status=True`, or a hook's)."""
    status = error_status(exc)
    if status is not None:
        said: Mapping[str, str] | None = getattr(exc, "headers", None)
        headers = said or cast("Mapping[str, str]", getattr(getattr(exc, "response", None), "headers", None) or {})
        call.session.refused(status, call.request_id(headers))
        if word := header_word(headers, call.provider.error_type_headers):
            call.session.faulted(ProviderError(word))
    tell(call, exc)


def _is_asked(endpoint: Endpoint, fields: Mapping[str, Any] | None) -> bool | None:
    """Tell whether a stream is asked for, None if the request does not say."""
    if endpoint.streams is not None or fields is None:
        return endpoint.streams
    asked = fields.get("stream")
    if asked is None:
        return True if endpoint.streams_unasked else None
    return asked in (True, "true", "True", "1")


def _is_plausible(found: Found, fields: Mapping[str, Any] | None, target: Target) -> bool:
    """Tell whether a request may be the provider's: on a host that nobody knows others use such paths too."""
    if fields is None or "jsonrpc" in fields:  # MCP, also on a host that the user names
        return fields is None
    if found.is_known:
        return True
    endpoint = found.endpoint
    has_model = bool(fields.get(endpoint.model_key) or model_in(endpoint, target.path))
    return has_model or endpoint.streams is True or bool(fields.get("stream"))


def _parameters(body: object) -> Mapping[str, Any] | None:
    """Read the parameters of a request, without touching what it is sent from; None if that cannot be done."""
    if isinstance(body, Mapping):
        return cast("Mapping[str, Any]", body)
    if not isinstance(body, bytes | bytearray | str) or len(body) > _MOST_BODY:
        return None
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", fields) if isinstance(fields, dict) else {}


def _fields(query: str) -> Mapping[str, Any]:
    return dict(parse_qsl(query)) if query else {}
