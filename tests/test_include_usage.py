"""`STREAMSPAN_INCLUDE_USAGE`: usage is asked for, recorded, and kept from the caller, who has not asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import streamspan
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.surface import Surface
from support.surfaces.openai import (
    BYTES,
    CHAT,
    COMPLETIONS,
    HELPER,
    LINES,
    MESSAGES,
    MODEL,
    POST,
    RAW,
    RESPONSES,
    STREAMING,
)
from support.telemetry import Told
from support.twice import drive

_COLOURS = pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
_ASKING = streamspan.Config(include_usage=True)
_OK = "ok;chunks=4"
Act = Callable[[Caller], Any]


def _run(
    server: DemoProvider, act: Act, *, is_async: bool, config: streamspan.Config | None = _ASKING
) -> tuple[Caller, Told | None]:
    """Run with streamspan in this configuration, or without it where that is None."""
    server.clear()
    told = Told() if config is not None else None
    if told is not None:
        told.instrument(config)
    caller = Caller(server, is_async=is_async, ended_spans=None)

    async def life() -> None:
        await act(caller)
        for client in caller.clients:
            await caller.wait(client.close())

    asyncio.run(life()) if is_async else drive(life())
    if told is not None:
        told.finish()
    return caller, told


def _reading(surface: Surface, scenario: str = _OK) -> Act:
    async def act(caller: Caller) -> None:
        async with caller.noting():
            held = await caller.open(surface, scenario)
            async for _ in caller.reading(held, surface):
                pass

    return act


def _both(server: DemoProvider, act: Act, *, is_async: bool) -> tuple[Caller, Caller, Told, Any, Any]:
    """Run without and with; return callers, what was told, and the bodies of the requests."""
    bare, _ = _run(server, act, is_async=is_async, config=None)
    bare_body = server.exchanges[-1].body
    seen, told = _run(server, act, is_async=is_async)
    assert told is not None
    return bare, seen, told, bare_body, server.exchanges[-1].body


def _items(caller: Caller) -> list[Any]:
    """Return what the caller got. With `include_usage` a server sends `usage: null` on the other chunks."""
    return [note for note in caller.seen.notes if note[0] == "item"]


@pytest.mark.parametrize("surface", [CHAT, HELPER, COMPLETIONS, POST], ids=lambda surface: surface.name)
@_COLOURS
def test_usage_is_asked_for_recorded_and_hidden(server: DemoProvider, surface: Surface, is_async: bool) -> None:
    """The request asks, the span has the counts, and the caller gets exactly the items of the bare SDK."""
    bare, seen, told, bare_body, body = _both(server, _reading(surface), is_async=is_async)
    assert body == {**bare_body, "stream_options": {"include_usage": True}}
    assert _items(seen) == _items(bare)
    attributes = told.attributes
    assert attributes["gen_ai.usage.output_tokens"] == 4
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert told.count_of("gen_ai.client.token.usage") == 2
    assert attributes["streamspan.outcome"] == "completed"


@pytest.mark.parametrize("surface", [RAW, STREAMING, LINES, BYTES], ids=lambda surface: surface.name)
@_COLOURS
def test_raw_responses_are_left_alone(server: DemoProvider, surface: Surface, is_async: bool) -> None:
    """There the extra chunk could not be kept from the caller: nothing is asked."""
    bare, seen, told, bare_body, body = _both(server, _reading(surface), is_async=is_async)
    assert body == bare_body
    assert _items(seen) == _items(bare)
    assert "gen_ai.usage.output_tokens" not in told.attributes


@_COLOURS
def test_responses_need_no_asking(server: DemoProvider, is_async: bool) -> None:
    """That API sends usage anyway."""
    bare, seen, told, bare_body, body = _both(server, _reading(RESPONSES), is_async=is_async)
    assert body == bare_body
    assert _items(seen) == _items(bare)
    assert told.attributes["gen_ai.usage.output_tokens"] == 4


@pytest.mark.parametrize("wanted", [True, False])
@_COLOURS
def test_who_has_asked_gets_what_was_asked_for(server: DemoProvider, wanted: bool, is_async: bool) -> None:
    """A request with the option, on or off, is not touched, and nothing is hidden."""

    async def act(caller: Caller) -> None:
        client = CHAT.client(caller, _OK)
        caller.clients.append(client)
        options = {"include_usage": wanted}
        made = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options)
        stream = await caller.wait(made)
        while (item := await anext(stream, None) if is_async else next(stream, None)) is not None:
            caller.seen.note("item", item.model_dump())

    bare, seen, told, bare_body, body = _both(server, act, is_async=is_async)
    assert body == bare_body
    assert body["stream_options"] == {"include_usage": wanted}
    assert _items(seen) == _items(bare)
    assert len(_items(seen)) == 6 + wanted
    assert ("gen_ai.usage.output_tokens" in told.attributes) is wanted


@_COLOURS
def test_other_stream_options_are_kept(server: DemoProvider, is_async: bool) -> None:
    """Asking for usage adds to what the caller has set."""

    async def act(caller: Caller) -> None:
        client = CHAT.client(caller, _OK)
        caller.clients.append(client)
        options: Any = {"include_obfuscation": False}
        made = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, stream_options=options)
        stream = await caller.wait(made)
        await caller.wait(stream.close())

    _run(server, act, is_async=is_async)
    body = server.exchanges[-1].body
    assert body is not None
    assert body["stream_options"] == {"include_obfuscation": False, "include_usage": True}


@_COLOURS
def test_nothing_is_asked_by_default(server: DemoProvider, is_async: bool) -> None:
    """The request on the wire is the caller's."""
    _run(server, _reading(CHAT), is_async=is_async, config=streamspan.Config())
    body = server.exchanges[-1].body
    assert body is not None
    assert "stream_options" not in body


@_COLOURS
def test_the_callers_own_objects_are_not_changed(server: DemoProvider, is_async: bool) -> None:
    """What was passed in is as it was."""
    mine: dict[str, Any] = {"extra": 1}

    async def act(caller: Caller) -> None:
        client = CHAT.client(caller, _OK)
        caller.clients.append(client)
        made = client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True, extra_body=mine)
        stream = await caller.wait(made)
        await caller.wait(stream.close())

    _run(server, act, is_async=is_async)
    assert mine == {"extra": 1}
    body = server.exchanges[-1].body
    assert body is not None
    assert body["extra"] == 1


@_COLOURS
def test_a_call_without_a_stream_is_not_asked(server: DemoProvider, is_async: bool) -> None:
    """It has usage anyway, and the option would be refused."""

    async def act(caller: Caller) -> None:
        client = CHAT.client(caller, _OK)
        caller.clients.append(client)
        await caller.wait(client.chat.completions.create(model=MODEL, messages=MESSAGES))

    _run(server, act, is_async=is_async)
    body = server.exchanges[-1].body
    assert body is not None
    assert "stream_options" not in body


@pytest.mark.parametrize(
    "scenario", ["usage_on_finish;chunks=4", "usage_after_finish;chunks=4", "cumulative_usage;chunks=4"]
)
@_COLOURS
def test_only_the_chunk_that_is_nothing_but_usage_is_hidden(
    server: DemoProvider, scenario: str, is_async: bool
) -> None:
    """Servers that put usage on chunks with choices: the caller gets all of those."""
    bare, seen, told, _, _ = _both(server, _reading(CHAT, scenario), is_async=is_async)
    assert len(_items(seen)) == len(_items(bare))
    assert told.attributes["gen_ai.usage.output_tokens"] == 4
