"""Opening sessions: from what an integration saw of a call to a session that is being recorded.

The one place where the configuration, a provider and the telemetry meet. Knows no library.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Protocol

from opentelemetry.context import Context

from streamspan._answer import OutputSink
from streamspan._config import Config
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._ownership import Call, is_suppressed
from streamspan._records import Delta, Request
from streamspan._session import Observer, Session
from streamspan.providers import Endpoint, Provider

Clock = Callable[[], int]


class Telemetry(Observer, Protocol):
    """The observer of one session, and the context that its span is in."""

    @property
    def context(self) -> Context:
        """OpenTelemetry context with the session's span."""
        ...

    @property
    def is_recording(self) -> bool:
        """Whether the span takes events and content."""
        ...

    def follow(self, session: Session) -> None:
        """Take the session that this is the telemetry of."""


class Recorder(Protocol):
    """Who makes a session's telemetry."""

    def start(self, request: Request, started_unix_ns: int) -> Telemetry:
        """Start the span of a session."""
        ...


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
    """

    layer: str
    provider: Provider
    endpoint: Endpoint
    target: Target
    is_stream: bool
    body: Mapping[str, Any]
    provider_name: str | None = None


class _Watched:
    """The observer of a session: tells the lifecycle and, behind a fence, the telemetry."""

    __slots__ = ("_guard", "_lifecycle", "chunk", "telemetry")

    def __init__(self, telemetry: Telemetry, lifecycle: Lifecycle, guard: Guard) -> None:
        self.telemetry = telemetry
        self.chunk = telemetry.chunk
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
        before_each: called before each session (late set-up of OpenTelemetry).
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
        before_each: Callable[[], None] | None = None,
    ) -> None:
        self.config = config
        self._recorder = recorder
        self._lifecycle = lifecycle
        self._guard = guard
        self._new_output = new_output
        self._clock = clock
        self._before_each = before_each

    def open(self, opening: Opening, guard: Guard) -> Call | None:
        """Open a session for a call, None if somebody asked that nothing be recorded here.

        `guard` is the fence of the integration that asks.
        """
        name = opening.provider_name or self.provider_name(opening)
        return self.begin(
            self._request(opening, name), endpoint=opening.endpoint, provider=opening.provider, guard=guard
        )

    def begin(self, request: Request, *, endpoint: Endpoint, provider: Provider, guard: Guard) -> Call | None:
        """Begin a session whose request is known; as `open`."""
        if is_suppressed():
            return None
        if self._before_each is not None:
            self._guard.call(self._before_each)
        started_unix_ns = time.time_ns()
        telemetry = self._recorder.start(request, started_unix_ns)
        read = endpoint.read if request.is_stream else endpoint.read_whole or endpoint.read
        session = Session(
            request,
            clock=self._clock,
            observer=_Watched(telemetry, self._lifecycle, self._guard),
            read=guard.wrap_reader(read, otherwise=_NOTHING),
            started_unix_ns=started_unix_ns,
            stall_ns=int(self.config.stall_seconds * 1e9),
            chunk_budget=self.config.chunk_events if self.config.events != "off" and telemetry.is_recording else 0,
            marker_is_reliable=endpoint.marker_is_reliable and request.provider not in provider.unreliable,
            has_finish_reasons=endpoint.has_finish_reasons,
            text_of=endpoint.text_of,
            output=self._new_output() if self._new_output is not None and telemetry.is_recording else None,
        )
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

    def provider_name(self, opening: Opening) -> str:
        """Name the provider by the user's hosts, then by the provider's own table, else by its wire format."""
        target = opening.target
        for pattern in self.config.hosts:
            if pattern.provider and pattern.matches(target.host, target.port, target.path):
                return pattern.provider
        return host_name(opening.provider, target.host) or opening.provider.name

    def _request(self, opening: Opening, provider_name: str) -> Request:
        body, endpoint = opening.body, opening.endpoint
        model = body.get(endpoint.model_key)
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
            content=(self._guard.call(endpoint.content, body) or {}) if self._new_output is not None else {},
        )


_NOTHING = Delta()


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
        if method in endpoint.methods and any(re.search(f"{pattern}/?$", path) for pattern in endpoint.paths):
            return endpoint
    return None
