"""One program, run twice: without and with streamspan. What the caller sees must be identical.

told = run_twice(server, program, is_async=True)
assert told.attributes["streamspan.outcome"] == "completed"
"""

from __future__ import annotations

import asyncio
import gc
import http.client
import logging
import sys
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import conformance
import streamspan
from streamspan.demo import DemoProvider
from support.caller import Caller
from support.seen import Seen, headers, steady
from support.telemetry import Told

Program = Callable[[Caller], Awaitable[None]]
_BARRIER = "/barrier"
# aiohttp's, when a response and its connection are collected together: it depends on which of them goes first.
_GARBAGE_NOISE = ("ResourceWarning: Unclosed connection", "ResourceWarning: unclosed <socket")
_LOOP_NOISE = "asyncio ERROR an error occurred during closing of asynchronous generator"


def run_twice(
    server: DemoProvider,
    program: Program,
    *,
    is_async: bool,
    options: dict[str, Any] | None = None,
    config: streamspan.Config | None = None,
    spans: int = 1,
    is_noisy: bool = False,
) -> Told:
    """Run a program without and with streamspan, compare what the caller saw, and return what was told.

    Args:
        server: who answers.
        program: what the caller does; it calls `caller.ended()` at the ending.
        is_async: the colour.
        options: of the client.
        config: of streamspan.
        spans: how many spans there must be, all of them ended when the program says so.
        is_noisy: the program leaves generators of the SDK to the end of the event loop, which logs errors about them
            in an order of its own.
    """
    told = Told()
    with _collecting_by_hand():
        bare, _ = _run(server, program, is_async=is_async, options=options, told=None)
        told.instrument(config)
        try:
            seen, caller = _run(server, program, is_async=is_async, options=options, told=told)
        finally:
            told.finish()
    if is_noisy:
        for each in (bare, seen):
            each.logs = [line for line in each.logs if not line.startswith(_LOOP_NOISE)]
            each.warnings = [line for line in each.warnings if not line.startswith(_GARBAGE_NOISE)]
    assert_same(bare, seen)
    assert caller.ended_at_ending == spans, f"{caller.ended_at_ending} spans at the ending, not {spans}"
    assert len(told.spans) == spans
    assert told.active == 0
    assert conformance.findings(spans=told.all_spans, metrics=told.metrics_data, logs=told.logs, config=config) == []
    return told


@contextmanager
def _collecting_by_hand() -> Iterator[None]:
    """Collect garbage only when the program says so, in both runs.

    In which order asyncio's finalizers close the nested generators that a dropped stream consists of depends on where an
    automatic collection falls; in some orders asyncio logs "asynchronous generator is already running" (Python 3.10,
    without streamspan: in none to 20 of 20 runs, by `gc.set_threshold`).
    """
    # What is there now will stay: it need not be looked at by every collection of the test, and there are many.
    gc.collect()
    gc.freeze()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def assert_same(bare: Seen, seen: Seen) -> None:
    """Assert that the caller saw the same in both runs, and that streamspan logged nothing."""
    assert [line for line in seen.logs if line.startswith("streamspan")] == []
    assert seen.notes == bare.notes
    assert seen.requests == bare.requests
    assert seen.connections == bare.connections
    assert seen.left_open == bare.left_open
    assert seen.logs == bare.logs
    assert seen.warnings == bare.warnings
    assert seen.unraisable == bare.unraisable


def _run(
    server: DemoProvider, program: Program, *, is_async: bool, options: dict[str, Any] | None, told: Told | None
) -> tuple[Seen, Caller]:
    server.clear()
    caller = Caller(server, is_async=is_async, ended_spans=None if told is None else lambda: len(told.spans))
    caller.options = options or {}
    with _watching(caller.seen):
        if is_async:
            asyncio.run(_async_life(caller, program))
        else:
            drive(_sync_life(caller, program))
        caller.kept.clear()
        gc.collect()
        if told is not None:
            streamspan._api.drain()
    return caller.seen, caller


async def _sync_life(caller: Caller, program: Program) -> None:
    try:
        await program(caller)
        _look(caller)
    finally:
        for client in caller.clients:
            client.close()


async def _async_life(caller: Caller, program: Program) -> None:
    try:
        await program(caller)
        for _ in range(5):
            await asyncio.sleep(0)
        _look(caller)
    finally:
        for client in caller.clients:
            await client.close()


def drive(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError("a program of the sync colour must not wait")


def settle(server: DemoProvider) -> None:
    """Return when the server has noticed everything that was done to its connections before."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    connection.request("GET", f"/ok{_BARRIER}")
    connection.getresponse().read()
    connection.close()


def _look(caller: Caller) -> None:
    """Note what the server saw; a connection for the barrier is no part of it."""
    settle(caller.server)
    seen = caller.seen
    exchanges = [each for each in caller.server.exchanges if each.path != _BARRIER]
    seen.connections = caller.server.connections - 1
    seen.requests = [(each.method, each.path, each.attempt, headers(each.headers), each.body) for each in exchanges]
    seen.left_open = sum(each.client_gone_ns is None and each.finished_ns is None for each in exchanges)


class _Logs(logging.Handler):
    def __init__(self, lines: list[str]) -> None:
        super().__init__(logging.INFO)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        name = "" if error is None else f" [{error.__name__}: {record.exc_info[1] if record.exc_info else ''}]"
        self._lines.append(steady(f"{record.name} {record.levelname} {record.getMessage()}{name}"))


@contextmanager
def _watching(seen: Seen) -> Iterator[None]:
    """Note log lines, warnings, and exceptions that nobody could catch."""
    root, handler, hook = logging.getLogger(), _Logs(seen.logs), sys.unraisablehook
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    sys.unraisablehook = lambda args: seen.unraisable.append(
        steady(f"{args.err_msg} {args.exc_value!r} {args.object!r}")
    )
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        seen.warnings = sorted(steady(f"{each.category.__name__}: {each.message}") for each in caught)
    finally:
        sys.unraisablehook = hook
        root.setLevel(level)
        root.removeHandler(handler)
