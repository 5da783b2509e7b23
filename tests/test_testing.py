"""`streamspan.testing.capture`: what an application's tests see of its streams."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import TracerProvider

import streamspan
from streamspan import _api
from streamspan._records import SessionSummary
from streamspan.demo import DemoProvider
from streamspan.testing import capture


def read(*chunks: Any) -> list[Any]:
    return list(streamspan.observe(chunks, provider="acme", model="m1"))


def test_everything_that_was_recorded_is_there_as_plain_data() -> None:
    """Summaries, spans, metrics and logs of the streams inside the block."""
    with capture(config=streamspan.Config(events="both")) as captured:
        assert read("Hal", "lo") == ["Hal", "lo"]
        assert [(seen.outcome, seen.output_characters) for seen in captured.summaries] == [("completed", 5)]
        assert [span.name for span in captured.spans] == ["chat m1"]
        assert "streamspan.chunk" in {record.event_name for record in captured.logs}
        (point,) = captured.metrics["gen_ai.client.operation.duration"].data.data_points
        assert point.count == 1
    assert _api.runtime() is None


def test_before_the_first_stream_there_is_nothing() -> None:
    """Empty, and not an error."""
    with capture() as captured:
        assert (captured.summaries, captured.spans, captured.logs, captured.metrics) == ([], [], [], {})


def test_what_was_captured_can_be_looked_at_after_the_block() -> None:
    """Spans and summaries stay."""
    with capture() as captured:
        read("a")
    assert ([span.name for span in captured.spans], len(captured.summaries)) == (["chat m1"], 1)


def test_a_dropped_stream_is_there_without_waiting() -> None:
    """`spans` waits for what the garbage collector has handed over."""
    with capture() as captured:
        next(streamspan.observe(iter("ab"), provider="acme"))
        assert [dict(span.attributes or {})["streamspan.cancel.reason"] for span in captured.spans] == ["dropped"]


def test_clear_forgets_spans_logs_and_summaries() -> None:
    """For a test of several parts."""
    with capture(config=streamspan.Config(events="log")) as captured:
        read("a")
        captured.clear()
        assert (captured.spans, captured.logs, captured.summaries) == ([], [], [])
        read("b")
        assert (len(captured.spans), len(captured.summaries)) == (1, 1)


def test_the_applications_own_callback_is_called_too() -> None:
    """And every other argument of `instrument` is passed on."""
    own: list[SessionSummary] = []
    with capture(on_session_end=own.append, libraries=[], config=streamspan.Config(events="off")) as captured:
        read("a")
        assert captured.spans[0].events == ()
        assert own == captured.summaries
        assert len(own) == 1


def test_a_wrong_argument_is_said_and_leaves_nothing_in_place() -> None:
    """As `instrument` says it."""
    with pytest.raises(streamspan.ConfigError, match="unknown libraries 'opnai'"), capture(libraries=["opnai"]):
        raise AssertionError
    assert _api.runtime() is None


@pytest.mark.parametrize(
    ("argument", "message"),
    [({"on_session_end": "x"}, "on_session_end='x'"), ({"tracer_provider": None}, "leave out tracer_provider")],
)
def test_an_argument_that_it_cannot_take_is_said_before_anything_is_undone(
    argument: dict[str, Any], message: str
) -> None:
    """What the application has instrumented itself stays, as after any other wrong argument."""
    streamspan.instrument(
        libraries=[], tracer_provider=TracerProvider(), meter_provider=MeterProvider(), logger_provider=LoggerProvider()
    )
    before = _api.runtime()
    try:
        with pytest.raises(streamspan.ConfigError, match=message), capture(**argument):
            raise AssertionError
        assert _api.runtime() is before
        with pytest.raises(streamspan.ConfigError), capture(libraries=["opnai"]):
            raise AssertionError
        assert _api.runtime() is not None
    finally:
        streamspan.uninstrument()


def test_the_block_is_undone_by_an_exception_too() -> None:
    """The next test begins afresh."""
    with pytest.raises(KeyError), capture():
        raise KeyError
    assert _api.runtime() is None
    with capture() as captured:
        read("a")
        assert len(captured.summaries) == 1


def test_an_application_that_has_instrumented_itself_gets_that_back(caplog: pytest.LogCaptureFixture) -> None:
    """Inside the block everything goes to the capture, afterwards to the application again; nothing is said."""
    mine: list[SessionSummary] = []
    with capture(on_session_end=mine.append):
        before = _api.runtime()
        assert before is not None
        with capture() as captured:
            read("a")
        assert len(captured.summaries) == 1
        after = _api.runtime()
        assert after is not None
        assert after.arguments == before.arguments
        read("b")
    assert len(mine) == 1
    assert caplog.messages == []


def test_a_real_sdk_is_captured(server: DemoProvider) -> None:
    """The example of the module's documentation, with a client that existed before."""
    client = openai.OpenAI(base_url=server.url("ok;chunks=3"), api_key="k")
    with capture() as captured:
        with client.chat.completions.create(
            model="m1", messages=[{"role": "user", "content": "hi"}], stream=True
        ) as stream:
            chunks = list(stream)
        assert (captured.summaries[0].outcome, captured.summaries[0].chunk_count) == ("completed", len(chunks))
    client.close()
