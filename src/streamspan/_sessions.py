"""Opening sessions: from what an integration saw of a call to a session that is being recorded.

The one place where the configuration, a provider and the telemetry meet. Knows no library.
"""

from __future__ import annotations

import re
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from streamspan._answer import OutputSink
from streamspan._config import Config
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._observers import ConnectionTelemetry, Recorder, Telemetry
from streamspan._ownership import Call, is_suppressed
from streamspan._records import Delta, Request
from streamspan._runs import current_run
from streamspan._session import Session
from streamspan.providers import Endpoint, Provider

Clock = Callable[[], int]


class Started(NamedTuple):
    """When a call was made that only now turns out to be one to record: on the session's clock, and on the wall."""

    at_ns: int
    unix_ns: int


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: scheme, host and port, and the URL's path."""

    host: str
    port: int | None
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an integration saw of a call.

    Args:
        layer: who owns the session.
        provider, endpoint: whose wire format it is.
        target: where the request goes.
        is_stream: whether a stream was asked for.
        body: the request's parameters as plain data; empty when they cannot be read.
        provider_name: `gen_ai.provider.name`, if the integration knows better than the host tables.
        client: the object that makes the call, or a tuple of all that stand for it.
    """

    layer: str
    provider: Provider
    endpoint: Endpoint
    target: Target
    is_stream: bool
    body: Mapping[str, Any]
    provider_name: str | None = None
    client: object = None


class _Watched:
    """The observer of a session: tells the lifecycle and, behind a fence, the telemetry."""

    __slots__ = ("_guard", "_lifecycle", "arrivals", "telemetry")

    def __init__(self, telemetry: Telemetry, lifecycle: Lifecycle, guard: Guard) -> None:
        self.telemetry = telemetry
        self.arrivals = telemetry.arrivals
        self._lifecycle = lifecycle
        self._guard = guard

    def ended(self, session: Session) -> None:
        self._lifecycle.closed(session)
        self._guard.call(self.telemetry.ended, session)

    def forgotten(self) -> None:
        self._guard.call(self.telemetry.forgotten)


class Sessions:
    """Opens sessions.

    Args:
        config: the configuration.
        recorder: who records them.
        lifecycle: who keeps track of them.
        guard: fence of the recording side.
        new_output: makes the assembler of captured content, None when no content is captured.
        clock: monotonic nanoseconds.
        before_each: called before each session, with its layer (late set-up of OpenTelemetry).
        clients: weak references to the only client objects whose calls are recorded; None for all.
        libraries: names of the libraries whose calls are recorded.
    """

    def __init__(
        self,
        *,
        config: Config,
        recorder: Recorder,
        lifecycle: Lifecycle,
        guard: Guard,
        new_output: Callable[[], OutputSink] | None = None,
        clock: Clock = time.monotonic_ns,
        before_each: Callable[[str], None] | None = None,
        clients: tuple[weakref.ref[Any], ...] | None = None,
        libraries: frozenset[str] = frozenset(),
    ) -> None:
        self.config = config
        self.libraries = libraries
        self._clients = clients
        self.lifecycle = lifecycle
        self._recorder = recorder
        self._lifecycle = lifecycle
        self._guard = guard
        self._new_output = new_output
        self._clock = clock
        self._before_each = before_each
        self.is_over = False
        """Nothing is opened any more: what was made before `uninstrument()` may be read for the first time after it."""

    @property
    def captures_content(self) -> bool:
        """Whether content is captured."""
        return self._new_output is not None

    def connecting(self, request: Request, started: Started) -> ConnectionTelemetry:
        """Begin a connection, which will carry sessions."""
        if self._before_each is not None:
            self._guard.call(self._before_each, request.layer)
        return self._recorder.connecting(request, started.unix_ns)

    def now(self) -> Started:
        """Return the moment, for a call that may turn out to be one to record."""
        return Started(self._clock(), time.time_ns())

    def watches(self, client: object) -> bool:
        """Tell whether the calls of a client object (or of one of a tuple of them) are to be recorded."""
        if self._clients is None:
            return True
        meant = cast("tuple[object, ...]", client) if isinstance(client, tuple) else (client,)
        return any(each is not None and each is ref() for each in meant for ref in self._clients)

    def open(self, opening: Opening, guard: Guard, started: Started | None = None) -> Call | None:
        """Open a session for a call, None if somebody asked that nothing be recorded here.

        `guard` is the fence of the integration that asks; `started` is when the call was made, if that was before.
        """
        if self.is_over or not self.watches(opening.client):
            return None
        name = opening.provider_name or self.provider_name(opening)
        call = self.begin(
            self._request(opening, name),
            endpoint=opening.endpoint,
            provider=opening.provider,
            guard=guard,
            started=started,
        )
        if call is not None:
            call.path = opening.target.path
        return call

    def begin(
        self,
        request: Request,
        *,
        endpoint: Endpoint,
        provider: Provider,
        guard: Guard,
        started: Started | None = None,
    ) -> Call | None:
        """Begin a session whose request is known; as `open`."""
        if is_suppressed():
            return None
        run = current_run()
        if run is not None:
            request = replace(request, attributes={**run.attributes, **request.attributes})
        if self._before_each is not None:
            self._guard.call(self._before_each, request.layer)
        started_unix_ns = time.time_ns() if started is None else started.unix_ns
        telemetry = self._recorder.start(request, started_unix_ns)
        session = self._session(request, telemetry, endpoint, provider, guard, started_unix_ns)
        if started is not None:
            session.backdate(started.at_ns)
        if run is not None:
            self._guard.call(run.recorded, session)
            witness = None if run.witness is None else run.witness()
            if witness is not None:
                self._lifecycle.leave_to(witness, session)
        telemetry.follow(session)
        self._lifecycle.opened(session)
        return Call(
            session,
            endpoint=endpoint,
            provider=provider,
            context=telemetry.context,
            lifecycle=self._lifecycle,
            guard=guard,
        )

    def _session(
        self,
        request: Request,
        telemetry: Telemetry,
        endpoint: Endpoint,
        provider: Provider,
        guard: Guard,
        started_unix_ns: int,
    ) -> Session:
        read = endpoint.read if request.is_stream else endpoint.read_whole or endpoint.read
        return Session(
            request,
            clock=self._clock,
            observer=_Watched(telemetry, self._lifecycle, self._guard),
            read=guard.wrap_reader(read, otherwise=_NOTHING),
            started_unix_ns=started_unix_ns,
            stall_ns=int(self.config.stall_seconds * 1e9) if endpoint.tells_waits else sys.maxsize,
            chunk_budget=self.config.chunk_events if self.config.events != "off" and telemetry.is_recording else 0,
            marker_is_reliable=endpoint.marker_is_reliable and request.provider not in provider.unreliable,
            has_finish_reasons=endpoint.has_finish_reasons,
            text_of=endpoint.text_of,
            output=self._new_output() if self._new_output is not None and telemetry.is_recording else None,
        )

    def provider_name(self, opening: Opening) -> str:
        """Name the provider by the user's hosts, then by the provider's own table, else by its wire format."""
        target = opening.target
        for pattern in self.config.hosts:
            if pattern.provider and pattern.matches(target.host, target.port, target.path):
                return pattern.provider
        return host_name(opening.provider, target.host) or opening.provider.name

    def _request(self, opening: Opening, provider_name: str) -> Request:
        body, endpoint = opening.body, opening.endpoint
        model = body.get(endpoint.model_key) or model_in(endpoint, opening.target.path)
        return Request(
            operation=endpoint.operation,
            provider=provider_name,
            layer=opening.layer,
            model=model if isinstance(model, str) and model else None,
            is_stream=opening.is_stream,
            server_address=opening.target.host or None,
            server_port=opening.target.port,
            choice_count=self._guard.call(endpoint.choices, body) or 1,
            attributes=self._guard.call(endpoint.attributes, body) or {},
            content=(self._guard.call(endpoint.content, body) or {}) if self._new_output is not None else _NO_CONTENT,
        )


_NOTHING = Delta()
_NO_CONTENT: Mapping[str, object] = MappingProxyType({})  # one for all requests


@lru_cache(maxsize=512)
def host_name(provider: Provider, host: str) -> str | None:
    """Return the provider's name for a host, None if its table does not know it."""
    for pattern, name in provider.hosts.items():
        if host == pattern or ("*" in pattern and _pattern(pattern).fullmatch(host)):
            return name
    return None


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile(".+".join(re.escape(part) for part in glob.split("*")))


@lru_cache(maxsize=512)
def find_endpoint(provider: Provider, method: str, path: str) -> Endpoint | None:
    """Return the provider's endpoint for a request, None if it is no inference."""
    for endpoint in provider.endpoints:
        if method in endpoint.methods and _match(endpoint, path):
            return endpoint
    return None


@lru_cache(maxsize=512)
def model_in(endpoint: Endpoint, path: str) -> str | None:
    """Return the model that a request's path names, None if the endpoint's paths name none."""
    match = _match(endpoint, path)
    model = match.groupdict().get("model") if match is not None else None
    return unquote(model) if model else None


def _match(endpoint: Endpoint, path: str) -> re.Match[str] | None:
    matches = (re.search(f"(?:{pattern})/?$", path) for pattern in endpoint.paths)
    return next((match for match in matches if match is not None), None)
