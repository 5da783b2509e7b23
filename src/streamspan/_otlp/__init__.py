"""Sending telemetry off when the application has not configured OpenTelemetry: OTLP, bounded and honest.

The face of the package. Importing it costs nothing: the SDK and the exporters are imported by `own_providers` and
`check_endpoint`. Refuses to know sessions.

    settings    what the environment asks for: exporters, protocol, endpoint, timeout
    problems    what a failed export means, in one sentence, and what to do about it
    delivery    one signal on its way: counts, one warning per cause, silence of the exporters' own log lines
    exporters   the exporters and what feeds them
    providers   the three providers: adopted as global ones, shut down within a bound
    check       one test span for `streamspan doctor`
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from streamspan._otlp.settings import is_disabled

if TYPE_CHECKING:
    from streamspan._otlp.check import EndpointReport as EndpointReport
    from streamspan._otlp.providers import OwnProviders as OwnProviders

__all__ = ["check_endpoint", "own_providers"]


def own_providers(*, logs_needed: bool) -> OwnProviders | None:
    """Return providers that send where the environment says, None if `OTEL_SDK_DISABLED` is true.

    They are not global yet (`adopt`), and the caller shuts them down (`shutdown`).
    """
    if is_disabled():
        return None
    # Late, because an application with its own OpenTelemetry set-up never needs the SDK and the exporters.
    from streamspan._otlp.providers import OwnProviders  # noqa: PLC0415

    return OwnProviders(logs_needed=logs_needed)


def check_endpoint(seconds: float = 5.0) -> EndpointReport:
    """Send one test span as configured and report within `seconds` what became of it."""
    from streamspan._otlp.check import check  # noqa: PLC0415 - as above

    return check(seconds)
