"""Mistral's SDK makes a span of its own as soon as there is a tracer provider: replaced, or kept as a child of ours."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

import streamspan
from streamspan.demo import DemoProvider
from support.telemetry import Told

client = pytest.importorskip("mistralai.client")
retries = pytest.importorskip("mistralai.client.utils.retries")
if not hasattr(client, "Mistral"):
    pytest.skip("the SDK has no tracing of its own before version 2", allow_module_level=True)


def _ask(server: DemoProvider, told: Told, scenario: str = "ok;chunks=4") -> None:
    sdk = client.Mistral(api_key="key", server_url=server.url(scenario, base=""))
    # What the application may do itself; the SDK's own set-up would send to Mistral.
    for hook in sdk.sdk_configuration.__dict__["_hooks"].before_request_hooks:
        if hasattr(hook, "tracer_provider"):
            hook.tracer_provider = told.tracers
    messages: Any = [{"role": "user", "content": "Hi"}]
    config = retries.RetryConfig("backoff", retries.BackoffStrategy(1, 2, 1.0, 5000), retry_connection_errors=True)
    with sdk, sdk.chat.stream(model="mistral-demo", messages=messages, retries=config) as stream:
        for _ in stream:
            pass


def test_the_bare_sdk_traces(server: DemoProvider) -> None:
    """Without streamspan the SDK makes its span: what the other tests rely on."""
    told = Told()
    _ask(server, told)
    assert len(told.all_spans) == 1
    assert told.spans == []
    told.finish()


def test_replaced(server: DemoProvider) -> None:
    """By default ours is the only span, and the trace goes on at the server with it."""
    told = Told()
    told.instrument()
    server.clear()
    _ask(server, told)
    assert told.all_spans == told.spans
    assert told.attributes["streamspan.outcome"] == "completed"
    (exchange,) = server.exchanges
    assert told.span.context is not None
    assert f"{told.span.context.span_id:016x}" in exchange.headers["traceparent"]
    told.finish()


def test_kept(server: DemoProvider) -> None:
    """Kept, the SDK's span is a child of ours, and says all that it says without us."""
    told = Told()
    told.instrument(streamspan.Config(native_spans="keep"))
    _ask(server, told)
    (own,) = _own(told)
    assert _parents(told) == [_id(told.span)]
    assert told.attributes["streamspan.outcome"] == "completed"
    assert own.status.is_ok
    told.finish()


def test_kept_spans_are_of_attempts(server: DemoProvider) -> None:
    """The SDK makes one for each request of a call, which is why none of them can be the parent of ours."""
    for config in (None, streamspan.Config(native_spans="keep")):
        told = Told()
        if config is not None:
            told.instrument(config)
        server.clear()
        _ask(server, told, "flaky;chunks=4")
        # Those of the requests that failed are never ended by the SDK (3.7): only the last one is exported.
        assert len({exchange.headers["traceparent"] for exchange in server.exchanges}) == 3
        assert len(_own(told)) == 1
        told.finish()
    assert told.attributes["http.request.resend_count"] == 2
    assert _parents(told) == [_id(told.span)]


def _own(told: Told) -> list[ReadableSpan]:
    return [span for span in told.all_spans if span not in told.spans]


def _parents(told: Told) -> list[int | None]:
    return [None if span.parent is None else span.parent.span_id for span in _own(told)]


def _id(span: ReadableSpan) -> int:
    assert span.context is not None
    identity: int = span.context.span_id
    return identity
