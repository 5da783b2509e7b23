"""What the environment asks for: exporters, protocol, endpoint and timeout of each signal.

Knows OpenTelemetry's variables and their defaults. Refuses to know exporters: everything that they read themselves
(headers, certificates, temporality …) is left to them. A malformed value is one warning that names the variable,
the value and what is allowed, and the default stays.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from streamspan._config import environment

SignalName: TypeAlias = Literal["traces", "metrics", "logs"]
Protocol: TypeAlias = Literal["http/protobuf", "grpc"]

OTLP = "otlp"
NONE = "none"

_PROTOCOLS: tuple[Protocol, ...] = ("http/protobuf", "grpc")
_ENDPOINTS: dict[Protocol, str] = {"http/protobuf": "http://localhost:4318", "grpc": "http://localhost:4317"}
_TIMEOUT = 10.0  # the exporters' default
# The specification counts this variable in milliseconds, the Python exporters in seconds (1.45). Nobody waits minutes
# for one export, and nobody gives it a tenth of a second: the size of the number says what was meant.
_MOST_SECONDS = 100.0

_logger = logging.getLogger("streamspan")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one signal goes by OTLP.

    Args:
        signal: `traces`, `metrics` or `logs`.
        protocol: the OTLP protocol.
        endpoint: full URL of the signal for HTTP, what was configured for gRPC.
        timeout: seconds that one export may take, retries included.
        compression: `gzip`, `deflate` or `none`.
    """

    signal: SignalName
    protocol: Protocol
    endpoint: str
    timeout: float = _TIMEOUT
    compression: str = NONE

    @property
    def shown(self) -> str:
        """The endpoint without credentials and query, for people."""
        return _without_secrets(self.endpoint)

    @property
    def base(self) -> str:
        """Scheme, host and port, of what is no URL the whole: what the signals of one collector have in common."""
        parts = urlsplit(self.shown)
        return f"{parts.scheme}://{parts.netloc}" if parts.netloc else self.shown.removesuffix(f"/v1/{self.signal}")


@dataclass(frozen=True, slots=True)
class SignalSettings:
    """Where one signal goes: the exporters by name, and the OTLP target if `otlp` is among them."""

    exporters: tuple[str, ...]
    target: Target


def is_disabled() -> bool:
    """Tell whether `OTEL_SDK_DISABLED` switches telemetry off."""
    return environment("OTEL_SDK_DISABLED").strip().lower() == "true"


def read_settings(signals: Iterable[SignalName]) -> dict[SignalName, SignalSettings]:
    """Read the settings of `signals`; each malformed variable is told once, also where it counts for all of them."""
    reader = _Reader()
    return {signal: SignalSettings(reader.exporters(signal), reader.target(signal)) for signal in signals}


class _Reader:
    def __init__(self) -> None:
        self._told: set[tuple[str, str]] = set()

    def exporters(self, signal: SignalName) -> tuple[str, ...]:
        variable = f"OTEL_{signal.upper()}_EXPORTER"
        names = [name.strip() for name in environment(variable).split(",") if name.strip()]
        known = {OTLP, NONE, *entry_points(group=f"opentelemetry_{signal}_exporter").names}
        wanted = tuple(dict.fromkeys(name for name in names if name in known))
        if unknown := [name for name in names if name not in known]:
            kept = "the others are used" if wanted else "the default (otlp) is used"
            self._tell(variable, ",".join(unknown), f"{kept}; allowed: a comma list of {', '.join(sorted(known))}")
        return tuple(name for name in wanted or (OTLP,) if name != NONE)

    def target(self, signal: SignalName) -> Target:
        protocol = self._protocol(signal)
        endpoint = environment(_variable(signal, "ENDPOINT"))
        if not endpoint:
            endpoint = environment("OTEL_EXPORTER_OTLP_ENDPOINT") or _ENDPOINTS[protocol]
            if protocol == "http/protobuf":
                endpoint = f"{endpoint.removesuffix('/')}/v1/{signal}"
        return Target(signal, protocol, endpoint, self._timeout(signal), self._compression(signal, protocol))

    def _protocol(self, signal: SignalName) -> Protocol:
        variable, text = _first_set(signal, "PROTOCOL")
        for protocol in _PROTOCOLS:
            if text.lower() == protocol:
                return protocol
        if text:
            self._tell(variable, text, f"the default (http/protobuf) is used; allowed: {', '.join(_PROTOCOLS)}")
        return "http/protobuf"

    def _timeout(self, signal: SignalName) -> float:
        variable, text = _first_set(signal, "TIMEOUT")
        if not text:
            return _TIMEOUT
        try:
            seconds = float(text)
        except ValueError:
            seconds = 0.0
        if not 0 < seconds < math.inf:
            self._tell(
                variable, text, f"the default ({_TIMEOUT:g} seconds) is used; allowed: a number of seconds over 0"
            )
            return _TIMEOUT
        return seconds if seconds <= _MOST_SECONDS else seconds / 1000

    def _compression(self, signal: SignalName, protocol: Protocol) -> str:
        variable, text = _first_set(signal, "COMPRESSION")
        # The gRPC exporter of 1.45 refuses to be made with `none`, which the specification allows, and with `deflate`.
        allowed = ("gzip", NONE) if protocol == "grpc" else ("gzip", "deflate", NONE)
        if text and text.lower() not in allowed:
            self._tell(variable, text, f"nothing is compressed; allowed with {protocol}: {', '.join(allowed)}")
        return text.lower() if text.lower() in allowed else NONE

    def _tell(self, variable: str, value: str, rest: str) -> None:
        if (variable, value) not in self._told:
            self._told.add((variable, value))
            _logger.warning("%s=%r is not understood, %s", variable, value, rest)


def _variable(signal: SignalName, what: str) -> str:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{what}"


def _first_set(signal: SignalName, what: str) -> tuple[str, str]:
    """Return the variable that counts for the signal, and its value: its own one, else the one of all signals."""
    own = _variable(signal, what)
    if text := environment(own).strip():
        return own, text
    shared = f"OTEL_EXPORTER_OTLP_{what}"
    return shared, environment(shared).strip()


def _without_secrets(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:  # a bracket that opens no IPv6 address
        return url.rpartition("@")[2]
    if not parts.netloc:
        return url
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
