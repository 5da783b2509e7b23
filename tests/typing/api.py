"""Code as a user writes it, over the whole public surface; mypy and pyright check that it is understood as typed.

Nothing here runs. A wrong use carries an `ignore` with its reason, and both checkers complain if it is not needed.
"""
# pyright: reportUnnecessaryTypeIgnoreComment=true

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

from opentelemetry._logs import LoggerProvider
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import TracerProvider
from typing_extensions import assert_type

import streamspan
from streamspan import (
    Config,
    ConfigError,
    Delta,
    Endpoint,
    HostPattern,
    Provider,
    ProviderError,
    SessionSummary,
    StreamspanError,
    StreamspanInstrumentor,
    ToolCallDelta,
)
from streamspan.demo import DemoProvider


class Piece(TypedDict):
    """A chunk of somebody's own stream."""

    word: str


# --- set-up --------------------------------------------------------------------------------------------------------------

streamspan.instrument()
streamspan.instrument(libraries=["openai", "httpx"])
streamspan.instrument(config=Config(stall_seconds=2, events="both", capture_content="SPAN_ONLY", redactions=("email",)))
streamspan.instrument(config=Config.from_env({"STREAMSPAN_EVENTS": "log"}, console=True))
streamspan.instrument(redact=str.lower, on_session_end=print)
streamspan.uninstrument()

StreamspanInstrumentor().instrument(skip_dep_check=True)
StreamspanInstrumentor().uninstrument()

assert_type(streamspan.__version__, str)
assert_type(Config().chunk_events, int)
assert_type(Config().hosts, tuple[HostPattern, ...])
assert_type(HostPattern("api.acme.example", provider="acme").matches("api.acme.example", 443, "/v2/chat"), bool)


def with_providers(tracers: TracerProvider, meters: MeterProvider, loggers: LoggerProvider) -> None:
    """Hand in the application's own providers."""
    streamspan.instrument(tracer_provider=tracers, meter_provider=meters, logger_provider=loggers)


def told(summary: SessionSummary) -> None:
    """Take a finished session."""
    assert_type(summary.time_to_first_token, float | None)
    assert_type(summary.session_id, str | None)
    assert_type(summary.chunk_count, int)
    assert_type(summary.finish_reasons, tuple[str, ...])
    assert_type(summary.usage.get("input_tokens"), int | None)
    if summary.outcome == "cancelled":
        assert_type(summary.cancel_exception, str | None)
    summary.chunk_count = 1  # type: ignore[misc] # a summary is final


streamspan.instrument(on_session_end=told)

try:
    streamspan.instrument(libraries=["no such library"])
except ConfigError as exc:
    as_value_error: ValueError = exc
    as_root: StreamspanError = exc

# --- wrong uses ------------------------------------------------------------------------------------------------------------

Config(events="elsewhere")  # type: ignore[arg-type] # no such place
Config(5)  # type: ignore[call-arg, arg-type] # options have names
streamspan.instrument(Config())  # type: ignore[call-arg, arg-type] # arguments have names
streamspan.instrument(redact=len)  # type: ignore[arg-type] # returns no string
streamspan.observe(["a"])  # type: ignore[call-overload] # whose stream is it?
streamspan.session(1)  # type: ignore[arg-type] # ids are strings

# --- around a stream -------------------------------------------------------------------------------------------------------


def read(piece: Piece) -> Delta:
    """Say what a piece says."""
    return Delta(piece["word"], choice=0)


def observed(pieces: Iterator[Piece]) -> Iterator[str]:
    """Read a stream of one's own: chunks keep their type."""
    with streamspan.session("s1", user_id="u1", plan="pro", tags=["a", "b"]) as entered:
        assert_type(entered, streamspan.session)
    with streamspan.observe(pieces, provider="acme", model="m1", read=read) as chunks:
        for piece in chunks:
            assert_type(piece, Piece)
            yield piece["word"]
    for word in streamspan.observe(["a", "b"], provider="acme"):
        assert_type(word, str)


async def aobserved(pieces: AsyncIterator[Piece]) -> None:
    """As `observed`, async."""
    async with streamspan.session("s1"):
        pass
    async with streamspan.observe(pieces, provider="acme", read=read) as chunks:
        async for piece in chunks:
            assert_type(piece, Piece)


# --- a provider of one's own -----------------------------------------------------------------------------------------------


def read_acme(chunk: Any) -> Delta:
    """Read a chunk of Acme's."""
    call = ToolCallDelta(index=0, id="c1", name="f", arguments="{}")
    error = ProviderError("busy", "later")
    return Delta(choice=0, tool_calls=[call], usage={"output_tokens": 1}, is_terminal=True, error=error)


ACME = Provider(
    name="acme",
    endpoints=(Endpoint(name="chat", operation="chat", paths=(r"/v2/chat",), read=read_acme),),
    hosts={"api.acme.example": "acme"},
)
assert_type(ACME.endpoints[0].marker_is_reliable, bool)

with DemoProvider() as server:
    assert_type(server.url("ok"), str)
