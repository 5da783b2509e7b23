"""The composition root: `instrument()` and `uninstrument()`. Holds the only global state.

Here the three sides meet: integrations that feed facts, sessions, and the recorder that tells.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from opentelemetry import _logs, metrics, trace

from streamspan import _cancellation, _registry
from streamspan._arguments import Arguments, check, references
from streamspan._config import Config
from streamspan._content import OutputAssembler
from streamspan._guard import Guard
from streamspan._lifecycle import Lifecycle
from streamspan._others import Neighbours
from streamspan._patching import Patches
from streamspan._recorder import Recorder
from streamspan._records import SessionSummary
from streamspan._session import Session
from streamspan._sessions import Sessions
from streamspan._version import version
from streamspan.integrations import Integration
from streamspan.providers import Provider

if TYPE_CHECKING:
    from streamspan._otlp import OwnProviders

_FLUSH_MILLISECONDS = 1000

_logger = logging.getLogger("streamspan")


@dataclass(slots=True)
class Runtime:
    """One `instrument()`: what was asked for, and what is in place."""

    arguments: Arguments
    config: Config
    sessions: Sessions
    patches: dict[str, Patches] = field(default_factory=dict[str, Patches])
    observers: dict[str, Guard] = field(default_factory=dict[str, Guard])
    """The fence of each provider that `observe()` was called for: one bad reader is not all of them."""
    third_parties: dict[str, Provider] | None = None
    """Providers of third parties by name; None until somebody asks for one."""

    def provider(self, name: str) -> Provider | None:
        """Return a third party's provider, None if there is none of that name."""
        if self.third_parties is None:
            self.third_parties = _registry.third_party_providers()
        return self.third_parties.get(name)


@dataclass(slots=True)
class _State:
    runtime: Runtime | None = None
    lifecycle: Lifecycle | None = None
    own: OwnProviders | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)
    """Around `instrument()` and `uninstrument()`, which no finalizer calls."""


_state = _State()


def instrument(
    *,
    tracer_provider: trace.TracerProvider | None = None,
    meter_provider: metrics.MeterProvider | None = None,
    logger_provider: _logs.LoggerProvider | None = None,
    libraries: Iterable[str] | None = None,
    config: Config | None = None,
    redact: Callable[[str], str] | None = None,
    on_session_end: Callable[[SessionSummary], object] | None = None,
    clients: Iterable[object] | None = None,
) -> None:
    """Record every model stream of this process, also of clients that exist already and libraries imported later.

    Without providers the global ones are used, also if they are set before the first stream only; if the application
    sets none, telemetry goes by OTLP to `OTEL_EXPORTER_OTLP_ENDPOINT`, `http://localhost:4318` by default.

    Args:
        tracer_provider: where spans go.
        meter_provider: where metrics go.
        logger_provider: where log events go.
        libraries: names of the libraries to instrument; default: all.
        config: options; what it was not given as an argument comes from the environment.
        redact: further redaction of captured content; gets and returns a string.
        on_session_end: called with the summary of each finished session, once, in the thread that ends it: keep it short.
        clients: client objects of SDKs and HTTP libraries; if given, only what is asked through them is recorded.

    Raises:
        ConfigError: an argument has a value that it cannot have.
    """
    names = _registry.checked_names(libraries)
    arguments = Arguments(
        tracer_provider, meter_provider, logger_provider, names, config, redact, on_session_end, references(clients)
    )
    check(arguments)
    with _state.lock:
        _instrument(arguments)


def _instrument(arguments: Arguments) -> None:
    if _state.runtime is not None:
        if _state.runtime.arguments != arguments:
            _logger.warning(
                "streamspan.instrument() was called before with other arguments, which stay in force; "
                "call streamspan.uninstrument() first to change them"
            )
        return
    settings = (arguments.config or Config()).over()
    integrations = _registry.selected(settings, arguments.libraries)
    lifecycle = _lifecycle()
    recorder = _recorder(settings, arguments)
    sessions = Sessions(
        config=settings,
        recorder=recorder,
        lifecycle=lifecycle,
        guard=Guard("recorder"),
        new_output=_output_of(settings),
        before_each=_before_each(recorder, arguments, integrations),
        clients=arguments.clients,
        libraries=frozenset(integration.name for integration in integrations),
    )
    patches = {"asyncio": Patches(_cancellation.patches())} | {
        integration.name: _patches(integration, sessions) for integration in integrations
    }
    _state.runtime = Runtime(arguments, settings, sessions, patches)
    for each in patches.values():
        each.apply()
    lifecycle.install()


def _patches(integration: Integration, sessions: Sessions) -> Patches:
    made = integration.patches(sessions, Guard(integration.name))
    if not _warn_if_too_old(integration):
        return Patches(made)
    return Patches(replace(patch, is_optional=True) for patch in made)  # that one is missing is no further news


def _warn_if_too_old(integration: Integration) -> bool:
    installed = _registry.is_too_old(integration)
    if installed is not None:
        _logger.warning(
            "%s %s is older than %s, the oldest version that streamspan supports: your code is not affected, "
            "but streams may be missing or incomplete; upgrade %s, or leave it out with STREAMSPAN_EXCLUDE=%s",
            integration.distribution,
            installed,
            integration.oldest,
            integration.distribution,
            integration.name,
        )
    return installed is not None


def _recorder(config: Config, arguments: Arguments) -> Recorder:
    return Recorder(
        config=config,
        tracer=trace.get_tracer("streamspan", version(), arguments.tracer_provider),
        meter=metrics.get_meter("streamspan", version(), arguments.meter_provider),
        logger=_logs.get_logger("streamspan", version(), logger_provider=arguments.logger_provider),
        on_session_end=arguments.on_session_end,
        redact=arguments.redact,
    )


def uninstrument() -> None:
    """Undo `instrument()`. Every original is back, unless somebody has patched on top; open sessions still end."""
    with _state.lock:
        runtime, _state.runtime = _state.runtime, None
        if runtime is None:
            return
        runtime.sessions.is_over = True
        for patches in reversed(runtime.patches.values()):  # two may have patched the same place
            patches.undo()
        _lifecycle().uninstall()


def runtime() -> Runtime | None:
    """Return what is in place, None if nothing is."""
    return _state.runtime


def drain(seconds: float = 1.0) -> None:
    """Wait until sessions whose streams were garbage-collected have been recorded, at most `seconds`."""
    if _state.lifecycle is not None:
        _state.lifecycle.drain(seconds)


def open_sessions() -> list[Session]:
    """Return the sessions that are open now, oldest first."""
    return [] if _state.lifecycle is None else _state.lifecycle.sessions()


def _lifecycle() -> Lifecycle:
    if _state.lifecycle is None:
        _state.lifecycle = Lifecycle(Guard("lifecycle"), _flush)
    return _state.lifecycle


def _flush(is_last: bool) -> None:
    """Send off what our own providers hold; those of the application too if nobody else can any more."""
    if _state.own is not None:
        _state.own.shutdown()
    if not is_last:
        return
    given: tuple[object, ...] = () if _state.runtime is None else _state.runtime.arguments[:3]
    for provider in (*given, trace.get_tracer_provider(), metrics.get_meter_provider(), _logs.get_logger_provider()):
        flush = getattr(provider, "force_flush", None)
        if flush is not None:
            flush(_FLUSH_MILLISECONDS)


def _output_of(config: Config) -> Callable[[], OutputAssembler] | None:
    if config.capture_content == "NO_CONTENT":
        return None
    return lambda: OutputAssembler(config.content_max_bytes)


def _before_each(
    recorder: Recorder, arguments: Arguments, integrations: Iterable[Integration]
) -> Callable[[str], None]:
    prepare = _preparation(recorder) if arguments.tracer_provider is None else None
    neighbours = Neighbours(frozenset(each.name for each in integrations) - _registry.TRANSPORTS)

    def before(layer: str) -> None:
        neighbours.look(layer)
        if prepare is not None:
            prepare()

    return before


def _preparation(recorder: Recorder) -> Callable[[], None] | None:
    """Prepare providers for an application that sets none; whether it does is only known at each stream."""
    if not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return None
    if _state.own is None:
        from streamspan import _otlp  # noqa: PLC0415 - the exporters take 0.2 s to import

        # Logs too, although they are not always used: another instrument() may want them, and exceptions go there by
        # a variable of OpenTelemetry's.
        _state.own = _otlp.own_providers(logs_needed=True)
    own, used = _state.own, trace.get_tracer_provider()

    def prepare() -> None:
        nonlocal used
        if own is not None:
            own.adopt()
        provider = trace.get_tracer_provider()
        if provider is not used:  # a tracer keeps the provider that it was first used with
            used = provider
            recorder.use(trace.get_tracer("streamspan", version()), _logs.get_logger("streamspan", version()))

    return prepare
