"""From what an integration saw of a call to a session: names, parameters, limits, and who is asked first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from opentelemetry import context as otel_context

from streamspan._config import Config, HostPattern
from streamspan._records import Delta, Request
from streamspan._sessions import Opening, Target, find_endpoint, host_name
from streamspan.providers import Endpoint, Provider
from support.feeding import Feed, as_it_is

ENDPOINT = Endpoint(
    name="chat",
    operation="chat",
    paths=(r"/chat", r"/threads/[^/]+/runs"),
    read=as_it_is,
    attributes=lambda body: {"gen_ai.request.seed": body["seed"]} if "seed" in body else {},
    content=lambda body: {"gen_ai.input.messages": body["messages"]},
)
GET = Endpoint(name="fetch", operation="fetch_response", paths=(r"/chat/[^/]+",), read=as_it_is, methods=("GET",))
ACME = Provider(
    name="acme",
    endpoints=(ENDPOINT, GET),
    hosts={"api.acme.com": "acme.cloud", "*.eu.acme.com": "acme.eu", "run.*.acme.net": "acme.run"},
    unreliable=frozenset({"loose"}),
)


def opening(host: str = "llm.lan", body: Mapping[str, Any] | None = None, **fields: Any) -> Opening:
    given: dict[str, Any] = {
        "layer": "test",
        "provider": ACME,
        "endpoint": ENDPOINT,
        "target": Target(host, 8443, "/v1/chat"),
        "is_stream": True,
        "body": body or {},
    }
    return Opening(**given | fields)


def request(feed: Feed, made: Opening) -> Request:
    call = feed.sessions.open(made, feed.guard)
    assert call is not None
    return feed.recorder.notes[-1].request


# --- the request -----------------------------------------------------------------------------------------------------------


def test_the_request_is_what_was_asked() -> None:
    """Operation and wire format by the endpoint, the rest by the call."""
    seen = request(Feed(), opening(body={"model": "m1", "n": 3, "seed": 7}))
    assert seen == Request(
        operation="chat",
        provider="acme",
        layer="test",
        model="m1",
        is_stream=True,
        server_address="llm.lan",
        server_port=8443,
        choice_count=3,
        attributes={"gen_ai.request.seed": 7},
        content={},
    )


@pytest.mark.parametrize("model", [None, "", 5, ["m1"], {}])
def test_a_model_that_is_no_name_is_unknown(model: Any) -> None:
    """The call goes on; the provider will say what it thinks of it."""
    assert request(Feed(), opening(body={"model": model})).model is None


@pytest.mark.parametrize("count", [None, 0, -1, True, "2", 2.0])
def test_a_count_of_choices_that_is_none_means_one(count: Any) -> None:
    """As the API has it when nothing is said."""
    assert request(Feed(), opening(body={"n": count})).choice_count == 1


def test_the_model_may_have_another_key() -> None:
    """Not every API calls it `model`."""
    endpoint = replace(ENDPOINT, model_key="engine")
    assert request(Feed(), opening(body={"engine": "m1", "model": "m2"}, endpoint=endpoint)).model == "m1"


def test_a_host_that_is_unknown_is_left_out() -> None:
    """Nothing is made up."""
    seen = request(Feed(), opening(target=Target("", None, "/chat"), is_stream=False))
    assert (seen.server_address, seen.server_port, seen.is_stream) == (None, None, False)


def test_parameters_that_cannot_be_read_cost_only_themselves(caplog: pytest.LogCaptureFixture) -> None:
    """One line is logged for each reader that fails; the session is opened."""
    feed = Feed(new_output=lambda: None)

    def bad(_body: Mapping[str, Any]) -> dict[str, Any]:
        raise ValueError("boom")

    seen = request(feed, opening(endpoint=replace(ENDPOINT, attributes=bad, content=bad)))
    assert (seen.attributes, seen.content) == ({}, {})
    assert len(caplog.messages) == 1  # one place, one kind


def test_content_is_read_only_when_it_is_captured() -> None:
    """Otherwise nobody looks at the messages."""
    body = {"messages": ["secret"]}
    assert request(Feed(), opening(body=body)).content == {}
    made: list[str] = []
    feed = Feed(new_output=lambda: made.append("new"))
    assert request(feed, opening(body=body)).content == {"gen_ai.input.messages": ["secret"]}
    assert made == ["new"]


# --- the provider's name -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.acme.com", "acme.cloud"),
        ("a.eu.acme.com", "acme.eu"),
        ("b.a.eu.acme.com", "acme.eu"),
        ("eu.acme.com", None),
        ("run.east-1.acme.net", "acme.run"),
        ("run..acme.net", None),
        ("xapi.acme.com", None),
        ("api.acme.com.evil.org", None),
        ("apiXacme.com", None),
        ("", None),
    ],
)
def test_a_host_has_a_name_by_the_providers_table(host: str, name: str | None) -> None:
    """Exactly, or with at least one character for each star; a dot is a dot."""
    assert host_name(ACME, host) == name


def test_the_name_is_the_users_then_the_clients_then_the_tables() -> None:
    """What the integration knows better beats everything; a pattern without a provider decides nothing."""
    hosts = (
        HostPattern("api.acme.com", "/v2", "never"),
        HostPattern("api.acme.com"),
        HostPattern("api.acme.com:8443", "/v1", "mine"),
        HostPattern("*.acme.com", "", "later"),
    )
    feed = Feed(Config(hosts=hosts))
    assert request(feed, opening("api.acme.com")).provider == "mine"
    assert request(feed, opening("b.acme.com")).provider == "later"
    assert request(feed, opening("api.acme.com", provider_name="client's")).provider == "client's"
    assert request(Feed(), opening("api.acme.com")).provider == "acme.cloud"
    assert request(Feed(), opening("llm.lan")).provider == "acme"


# --- the session -------------------------------------------------------------------------------------------------------------


def test_a_session_is_opened_recorded_and_kept_track_of() -> None:
    """The recorder is told first, then the lifecycle knows it, and the call carries what the layers need."""
    feed = Feed()
    call = feed.sessions.open(opening(), feed.guard)
    assert call is not None
    assert (call.endpoint, call.provider, call.guard, call.lifecycle) == (ENDPOINT, ACME, feed.guard, feed.lifecycle)
    assert call.context is feed.note.context
    assert feed.note.session is call.session
    assert feed.lifecycle.sessions() == [call.session]


@pytest.mark.parametrize(
    "key",
    [
        "suppress_instrumentation",
        otel_context._SUPPRESS_INSTRUMENTATION_KEY,
        "suppress_language_model_instrumentation",
    ],
)
def test_where_silence_was_asked_for_nothing_is_opened(key: str) -> None:
    """Not even the late set-up runs."""
    before: list[str] = []
    feed = Feed(before_each=lambda _: before.append("set-up"))
    token = otel_context.attach(otel_context.set_value(key, True))
    try:
        assert feed.sessions.open(opening(), feed.guard) is None
    finally:
        otel_context.detach(token)
    assert (feed.recorder.notes, before) == ([], [])


def test_the_late_set_up_runs_before_each_session() -> None:
    """The recorder starts after it: the application may have set its providers only now."""
    order: list[int] = []
    feed: Feed = Feed(before_each=lambda _: order.append(len(feed.recorder.notes)))
    for _ in range(3):
        feed.sessions.open(opening(), feed.guard)
    assert order == [0, 1, 2]


def test_a_set_up_that_fails_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """The sessions are opened all the same."""

    def broken(_: str) -> None:
        raise OSError("no exporter")

    feed = Feed(before_each=broken)
    for _ in range(3):
        assert feed.sessions.open(opening(), feed.guard) is not None
    assert len(caplog.messages) == 1


def test_a_whole_answer_has_its_own_reader() -> None:
    """Where the endpoint has one; a fault in it is a chunk that says nothing."""
    endpoint = replace(ENDPOINT, read_whole=lambda _: Delta("whole", 0))
    feed = Feed()
    for made, characters in (
        (opening(endpoint=endpoint, is_stream=False), 5),
        (opening(endpoint=endpoint, is_stream=True), 4),
        (opening(is_stream=False), 4),
    ):
        call = feed.sessions.open(made, feed.guard)
        assert call is not None
        call.session.answered("text")
        assert call.session.character_count == characters


def test_limits_come_from_the_configuration() -> None:
    """Stall limit, budget of chunk records, and none where events are off."""
    for config, records, stalls in (
        (Config(), 3, 0),
        (Config(chunk_events=2), 2, 0),
        (Config(chunk_events=0), 0, 0),
        (Config(events="off"), 0, 0),
        (Config(stall_seconds=0.5), 3, 2),
    ):
        feed = Feed(config)
        call = feed.sessions.open(opening(), feed.guard)
        assert call is not None
        call.session.returned()
        for text in "abc":
            call.session.pull(1)
            call.session.arrived(text)
        call.session.closed()
        kept = call.session.chunk_records()
        assert (len(kept), sum(record.count for record in kept)) == (records, 3 if records else 0)
        assert call.session.stall_count == stalls


def test_what_only_a_span_would_carry_is_not_collected_without_one() -> None:
    """Unsampled: no chunk records and no content, but the counts are there for the metrics."""
    made: list[str] = []
    feed = Feed(new_output=lambda: made.append("new"))
    feed.recorder.is_recording = False
    call = feed.sessions.open(opening(body={"messages": []}), feed.guard)
    assert call is not None
    call.session.pull(1)
    call.session.arrived("a")
    call.session.closed()
    assert (call.session.chunk_records(), made, call.session.chunk_count) == ([], [], 1)


@pytest.mark.parametrize(("name", "outcome"), [("loose", "completed"), ("acme", "truncated")])
def test_who_may_end_without_a_marker(name: str, outcome: str) -> None:
    """The provider's list of those whose servers are known for it."""
    feed = Feed()
    call = feed.sessions.open(opening(provider_name=name), feed.guard)
    assert call is not None
    call.session.exhausted()
    assert feed.note.ending[0] == outcome


def test_a_recorder_that_fails_at_the_end_is_fenced(caplog: pytest.LogCaptureFixture) -> None:
    """The session has ended for the lifecycle too."""
    feed = Feed()
    call = feed.sessions.open(opening(), feed.guard)
    assert call is not None
    feed.note.endings = None  # type: ignore[assignment]
    call.session.closed()
    assert feed.lifecycle.sessions() == []
    assert len(caplog.messages) == 1


# --- endpoints ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "endpoint"),
    [
        ("POST", "/chat", ENDPOINT),
        ("POST", "/v1/chat", ENDPOINT),
        ("POST", "/any/prefix/chat/", ENDPOINT),
        ("POST", "/v1/threads/t_1/runs", ENDPOINT),
        ("GET", "/v1/chat/c_1", GET),
        ("GET", "/v1/chat", None),
        ("POST", "/v1/chat/c_1", None),
        ("POST", "/v1/chats", None),
        ("POST", "/v1/threads//runs", None),
        ("DELETE", "/v1/chat", None),
        ("POST", "", None),
    ],
)
def test_an_endpoint_is_known_by_method_and_the_end_of_the_path(
    method: str, path: str, endpoint: Endpoint | None
) -> None:
    """Whatever prefix a gateway puts before it."""
    assert find_endpoint(ACME, method, path) is endpoint
