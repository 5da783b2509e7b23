"""Taps without an SDK around them: a session of the instrumented process, and the items that it watches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any


def open_call() -> Any:
    """Open a session as the OpenAI integration does for a streamed chat completion, up to the response headers."""
    from streamspan import _api  # noqa: PLC0415 - the parent process has no OpenTelemetry
    from streamspan._sessions import Opening, Target  # noqa: PLC0415
    from streamspan.providers.openai import OPENAI  # noqa: PLC0415

    runtime = _api.runtime()
    assert runtime is not None
    opening = Opening(
        layer="openai",
        provider=OPENAI,
        endpoint=OPENAI.endpoints[0],
        target=Target("api.openai.com", 443, "/v1/chat/completions"),
        is_stream=True,
        body={"model": "bench-1", "stream": True},
    )
    call = runtime.sessions.open(opening, _guard())
    assert call is not None
    call.session.headers(200, "req_bench")
    call.session.returned()
    return call


@cache
def _guard() -> Any:
    """Return the fence: an integration has one for all its calls."""
    from streamspan._guard import Guard  # noqa: PLC0415

    return Guard("benchmark")


def tapped(items: Iterable[Any], call: Any) -> Iterator[Any]:
    """Return the tap that the integration puts between the SDK's items and the caller."""
    from streamspan._taps import Items  # noqa: PLC0415

    tap: Iterator[Any] = Items(iter(items), lambda: call)
    return tap


def check_completed(call: Any) -> None:
    """Make sure that what was measured is a stream that was understood.

    Raises:
        RuntimeError: the session did not end as completed.
    """
    ending = call.session.ending
    if ending is None or ending.outcome != "completed":
        raise RuntimeError(f"the session that was measured ended as {ending}")
