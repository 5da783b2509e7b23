"""Calls of Anthropic's SDK that send more than one request: a model that refuses, and those that are asked instead."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from streamspan.demo import DemoProvider, Exchange
from support.caller import Caller
from support.seen import plain
from support.telemetry import Told
from support.twice import run_twice

pytest.importorskip("anthropic")

import anthropic

from support.anthropic_sdk import http
from support.surfaces.anthropic import ASKED, anthropic_client

pytestmark = [
    pytest.mark.usefixtures("_quick_retries"),
    pytest.mark.skipif(
        not hasattr(anthropic, "BetaRefusalFallbackMiddleware"), reason="this version of anthropic asks no other model"
    ),
]
_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])


def _asking(caller: Caller, scenario: str) -> Any:
    """Make a client that asks two other models in turn."""
    fallbacks: Any = [{"model": "claude-second"}, {"model": "claude-third"}]
    client = anthropic_client(caller, scenario)
    caller.clients.append(client)
    return client.with_options(middleware=[anthropic.BetaRefusalFallbackMiddleware(fallbacks)])


async def _stream(caller: Caller, client: Any) -> None:
    stream = await caller.wait(client.beta.messages.create(**ASKED, stream=True))
    async for event in _each(caller, stream):
        caller.seen.note("item", plain(event))


async def _helper(caller: Caller, client: Any) -> None:
    manager = client.beta.messages.stream(**ASKED)
    stream = await caller.enter(manager)
    async for event in _each(caller, stream):
        caller.seen.note("item", event.type)
    caller.seen.note("final", plain(await caller.wait(stream.get_final_message())))
    await caller.wait(manager.__aexit__(None, None, None) if caller.is_async else manager.__exit__(None, None, None))


async def _lines(caller: Caller, client: Any) -> None:
    manager = client.beta.messages.with_streaming_response.create(**ASKED, stream=True)
    response = await caller.enter(manager)
    async for line in _each(caller, response.iter_lines()):
        caller.seen.note("line", line)
    await caller.wait(manager.__aexit__(None, None, None) if caller.is_async else manager.__exit__(None, None, None))


async def _whole(caller: Caller, client: Any) -> None:
    caller.seen.note("answer", plain(await caller.wait(client.beta.messages.create(**ASKED))))


async def _raw(caller: Caller, client: Any) -> None:
    response = await caller.wait(client.beta.messages.with_raw_response.create(**ASKED))
    caller.seen.note("answer", plain(await caller.wait(response.parse())))


async def _each(caller: Caller, stream: Any) -> Any:
    if caller.is_async:
        async for item in stream:
            yield item
    else:
        for item in stream:
            yield item


_STREAMED: list[Any] = [_stream, _helper, _lines]
_WAYS = pytest.mark.parametrize("way", [*_STREAMED, _whole, _raw], ids=lambda way: way.__name__.strip("_"))


def _run(server: DemoProvider, way: Callable[..., Any], scenario: str, *, is_async: bool) -> Told:
    async def program(caller: Caller) -> None:
        async with caller.noting():
            await way(caller, _asking(caller, scenario))
        caller.ended()

    return run_twice(server, program, is_async=is_async)


def _hops(told: Told) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in told.events("streamspan.hop")]


@_COLOURS
@_WAYS
@pytest.mark.parametrize("said", [0, 2], ids=["at once", "midway"])
def test_another_model_is_a_hop(server: DemoProvider, way: Any, said: int, is_async: bool) -> None:
    """One session for all models that are asked, with the tokens of each, and the finish reason of the last."""
    told = _run(server, way, f"refusal;chunks={said}" if said else "refusal", is_async=is_async)
    assert [exchange.body["model"] for exchange in server.exchanges if exchange.body] == [
        "claude-demo",
        "claude-second",
    ]
    attributes = told.attributes
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["streamspan.hop.count"] == 1
    (hop,) = _hops(told)
    assert hop["streamspan.hop.number"] == 1
    assert attributes["gen_ai.response.model"] == "claude-second"
    assert attributes["gen_ai.response.finish_reasons"] == ("end_turn",)
    assert attributes["http.response.status_code"] == 200
    assert "http.request.resend_count" not in attributes
    used = [_used(exchange) for exchange in server.exchanges if exchange.sent]
    for number, name in enumerate(("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")):
        assert attributes[name] == sum(counts[number] for counts in used) > 0
    assert (used[0][1] > 0) == bool(said)


def _used(exchange: Exchange) -> tuple[int, int]:
    """Return the tokens of one request, as the server has said them in the end."""
    said = "".join(payload for _, payload in exchange.sent)
    input_tokens, output_tokens = (re.findall(rf'"{name}_tokens":(\d+)', said)[-1] for name in ("input", "output"))
    return int(input_tokens), int(output_tokens)


@_COLOURS
@_WAYS
def test_without_a_refusal_there_is_no_hop(server: DemoProvider, way: Any, is_async: bool) -> None:
    """Middleware that has nothing to do leaves a call what it is."""
    told = _run(server, way, "ok;chunks=2", is_async=is_async)
    assert told.attributes["streamspan.outcome"] == "completed"
    assert "streamspan.hop.count" not in told.attributes
    assert _hops(told) == []


@_COLOURS
def test_a_refusal_of_all_is_one(server: DemoProvider, is_async: bool) -> None:
    """What is left then is the last model's refusal."""

    async def program(caller: Caller) -> None:
        await _stream(caller, _playing(caller, [_refused("a", 3), _refused("b", 5), _refused("c", 7)]))
        caller.ended()

    told = run_twice(server, program, is_async=is_async)
    assert told.attributes["streamspan.hop.count"] == 2
    assert [hop["streamspan.hop.number"] for hop in _hops(told)] == [1, 2]
    assert told.attributes["gen_ai.response.finish_reasons"] == ("refusal",)
    assert told.attributes["gen_ai.usage.input_tokens"] == 3 + 5 + 7


# --- hops that fail ----------------------------------------------------------------------------------------------


@_COLOURS
@pytest.mark.parametrize(
    ("last", "reason", "tokens"), [("answer", "end_turn", 3 + 7), ("failure", "refusal", 3)], ids=str
)
def test_a_hop_that_fails_is_tried_with_the_next(
    server: DemoProvider, last: str, reason: str, tokens: int, is_async: bool
) -> None:
    """A failed request is a retry as everywhere; the answer that the caller reads already keeps status and headers."""

    async def program(caller: Caller) -> None:
        ending: bytes | int = _answered("c", 7) if last == "answer" else 529
        await _stream(caller, _playing(caller, [_refused("a", 3), 529, ending]))
        caller.ended()

    told = run_twice(server, program, is_async=is_async)
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["http.response.status_code"]) == ("completed", 200)
    assert (attributes["streamspan.hop.count"], attributes["http.request.resend_count"]) == (1, 1)
    assert attributes["gen_ai.response.finish_reasons"] == (reason,)
    assert attributes["gen_ai.usage.input_tokens"] == tokens
    (retry,) = told.events("streamspan.retry")
    assert (retry.attributes or {})["http.response.status_code"] == 529
    assert attributes["streamspan.time_to_headers"] <= attributes["gen_ai.response.time_to_first_chunk"]


@_COLOURS
def test_a_hop_that_fails_may_fail_the_call(server: DemoProvider, is_async: bool) -> None:
    """Without a stream the caller gets the failure, after all the attempts that the SDK makes of the whole chain."""

    async def program(caller: Caller) -> None:
        plan: list[bytes | int] = [_message("a", 3, "refusal"), 529, _message("a", 3, "refusal"), 529]
        async with caller.noting():
            await _whole(caller, _playing(caller, plan, max_retries=1, fallbacks=1))
        caller.ended()

    told = run_twice(server, program, is_async=is_async)
    attributes = told.attributes
    assert (attributes["streamspan.outcome"], attributes["http.response.status_code"]) == ("error", 529)
    assert (attributes["streamspan.hop.count"], attributes["http.request.resend_count"]) == (2, 1)


def _playing(caller: Caller, plan: list[bytes | int], *, max_retries: int = 0, fallbacks: int = 2) -> Any:
    """Make a client that gets one thing after the other: bodies, and failures by their status."""
    played = iter(plan)

    def handler(_: Any) -> Any:
        thing = next(played)
        if isinstance(thing, int):
            return http.Response(thing, json={"type": "error", "error": {"type": "overloaded_error", "message": "no"}})
        kind = "text/event-stream" if thing.startswith(b"event") else "application/json"
        return http.Response(200, headers={"content-type": kind}, content=thing)

    transport = http.MockTransport(handler)
    client_http: Any = http.AsyncClient(transport=transport) if caller.is_async else http.Client(transport=transport)
    kind: Any = anthropic.AsyncAnthropic if caller.is_async else anthropic.Anthropic
    models: Any = [{"model": f"model-{number}"} for number in range(fallbacks)]
    client = kind(
        base_url="http://localhost",
        api_key="key",
        http_client=client_http,
        max_retries=max_retries,
        middleware=[anthropic.BetaRefusalFallbackMiddleware(models)],
    )
    caller.clients.append(client)
    return client


def _begun(name: str, tokens: int, reason: str | None) -> dict[str, Any]:
    usage = {"input_tokens": tokens, "output_tokens": 1}
    said: dict[str, Any] = {
        "id": name,
        "type": "message",
        "role": "assistant",
        "model": name,
        "content": [],
        "stop_sequence": None,
    }
    return {**said, "stop_reason": reason, "usage": usage}


def _message(name: str, tokens: int, reason: str) -> bytes:
    return json.dumps(_begun(name, tokens, reason)).encode()


def _events(name: str, tokens: int, reason: str, *between: dict[str, Any]) -> bytes:
    events = [
        {"type": "message_start", "message": _begun(name, tokens, None)},
        *between,
        {
            "type": "message_delta",
            "delta": {"stop_reason": reason, "stop_sequence": None},
            "usage": {"input_tokens": tokens, "output_tokens": 2},
        },
        {"type": "message_stop"},
    ]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events).encode()


def _refused(name: str, tokens: int) -> bytes:
    return _events(name, tokens, "refusal")


def _answered(name: str, tokens: int) -> bytes:
    text = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}}
    block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
    return _events(name, tokens, "end_turn", block, text, {"type": "content_block_stop", "index": 0})
