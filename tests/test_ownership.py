"""Whose call it is: in this thread or task, on a response, and through whatever objects the caller holds it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import context as otel_context
from opentelemetry.context import Context

from streamspan._ownership import (
    Active,
    Call,
    Sending,
    async_reader,
    call_of,
    current_call,
    is_suppressed,
    mark,
    sync_reader,
)
from streamspan.providers import Provider
from support.feeding import Feed


@pytest.fixture
def call() -> Call:
    made = Feed().call()
    made.context = Context({"span": "ours"})
    return made


def test_a_call_is_current_inside_its_block() -> None:
    """Before and after there is none; a nested call is current in its own block only."""
    outer, inner = Feed().call(), Feed().call()
    assert current_call() is None
    with Active(outer) as active:
        assert active is outer
        assert current_call() is outer
        with Active(inner):
            assert current_call() is inner
        assert current_call() is outer
    assert current_call() is None


def test_its_span_is_current_only_while_its_transport_is_sending(call: Call) -> None:
    """Not in between, where the SDK may run the caller's code; the call is current either way."""
    before = otel_context.get_current()
    with Active(call):
        assert otel_context.get_current() == before
        with Sending(call) as sending:
            assert sending is call
            assert current_call() is call
            assert otel_context.get_current() == {"span": "ours"}
        assert otel_context.get_current() == before
        assert current_call() is call
    assert current_call() is None


@pytest.mark.parametrize("kind", [Active, Sending])
def test_an_exception_leaves_nothing_current(call: Call, kind: type[Active]) -> None:
    """It goes on."""
    before = otel_context.get_current()
    with pytest.raises(KeyError), kind(call):
        raise KeyError
    assert current_call() is None
    assert otel_context.get_current() == before


def test_other_threads_and_tasks_have_their_own(call: Call) -> None:
    """A thread starts without; a task that is made inside takes it along."""
    seen: list[Call | None] = []
    with Active(call):
        thread = threading.Thread(target=lambda: seen.append(current_call()))
        thread.start()
        thread.join()
    assert seen == [None]

    async def look() -> Call | None:
        return current_call()

    async def main() -> tuple[Call | None, Call | None]:
        with Active(call):
            inside = asyncio.create_task(look())
        return await inside, await asyncio.create_task(look())

    assert asyncio.run(main()) == (call, None)


@pytest.mark.parametrize("kind", [Active, Sending])
def test_a_block_that_is_left_in_another_context_says_nothing(
    call: Call, kind: type[Active], caplog: pytest.LogCaptureFixture
) -> None:
    """A coroutine that the garbage collector closes is left that way: no log record, and nothing becomes current there."""
    caplog.set_level(logging.DEBUG)
    active = kind(call)
    contextvars.copy_context().run(active.__enter__)
    elsewhere = contextvars.copy_context()
    before = elsewhere.run(otel_context.get_current)
    elsewhere.run(active.__exit__, None, None, None)
    assert caplog.messages == []
    assert elsewhere.run(current_call) is None
    assert elsewhere.run(otel_context.get_current) == before


# --- the response ----------------------------------------------------------------------------------------------------------


def test_a_marked_response_says_whose_it_is(call: Call) -> None:
    """In a dictionary that every httpx response has."""
    response = SimpleNamespace(extensions={"http_version": b"HTTP/1.1"})
    assert call_of(response) is None
    mark(response, call)
    assert call_of(response) is call
    assert set(response.extensions) == {"http_version", "streamspan"}


@pytest.mark.parametrize("response", [None, object(), SimpleNamespace(extensions=None), SimpleNamespace(extensions=[])])
def test_what_is_no_response_is_nobodys(response: Any) -> None:
    """Whatever an SDK hands over."""
    assert call_of(response) is None


def test_the_request_id_is_in_the_best_header_that_there_is() -> None:
    """In the provider's order; empty ones do not count."""
    call = Feed().call(provider=Provider(name="acme", endpoints=(), request_id_headers=("x-request-id", "cf-ray")))
    assert call.request_id({"cf-ray": "r-2", "x-request-id": "r-1"}) == "r-1"
    assert call.request_id({"cf-ray": "r-2", "x-request-id": ""}) == "r-2"
    assert call.request_id({"x-other": "r-3"}) is None


# --- who still has it --------------------------------------------------------------------------------------------------------


class Owner:
    pass


def test_a_stream_is_dropped_when_one_of_its_owners_is_gone(call: Call) -> None:
    """Each of them leads to the stream; the call keeps none of them alive."""
    assert not call.is_dropped()
    first, second = Owner(), Owner()
    call.owned_by(first, second)
    assert not call.is_dropped()
    del second
    gc.collect()
    assert call.is_dropped()


def test_the_answer_is_remembered_and_not_kept(call: Call) -> None:
    """The response that accepted the call is its caller's."""
    assert call.answer() is None
    response = Owner()
    call.answered_by(response)
    assert call.answer() is response
    del response
    gc.collect()
    assert call.answer() is None


def test_an_abandoned_call_leaves_no_trace() -> None:
    """Its session ends without a word, is not open any more, and its count is taken back."""
    feed = Feed()
    call = feed.call()
    call.abandon()
    call.session.closed()
    note = feed.note
    assert (note.endings, note.forgotten_count, feed.lifecycle.sessions()) == ([], 1, [])


def test_the_cause_of_closing_is_the_exception_that_is_on_its_way(call: Call) -> None:
    """None outside of any exception."""
    assert call.cause_of_closing() is None
    exc = KeyError("x")
    try:
        raise exc
    except KeyError:
        assert call.cause_of_closing() is exc


def test_an_exception_that_was_there_before_the_call_is_no_cause() -> None:
    """The call was made while it was being handled; a new one inside is a cause again."""
    try:
        raise KeyError("before")  # noqa: TRY301 - the block that handles it is the point
    except KeyError:
        call = Feed().call()
        assert call.cause_of_closing() is None
        try:
            raise ValueError("now")  # noqa: TRY301 - the block that handles it is the point
        except ValueError as now:
            assert call.cause_of_closing() is now  # noqa: PT017 - looked at while it is handled
        assert call.cause_of_closing() is None


# --- suppression -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["suppress_instrumentation", "suppress_language_model_instrumentation"])
def test_who_asks_for_silence_gets_it(key: str) -> None:
    """OpenTelemetry's exporters set the first, other instrumentations the second; false is no request."""
    assert not is_suppressed()
    for value, is_wanted in ((True, True), (False, False)):
        token = otel_context.attach(otel_context.set_value(key, value))
        try:
            assert is_suppressed() is is_wanted
        finally:
            otel_context.detach(token)


# --- readers ----------------------------------------------------------------------------------------------------------------


def test_a_reader_is_a_thread_or_a_task() -> None:
    """Never 0, which stands for nobody; two tasks of one thread are told apart."""
    assert sync_reader() == threading.get_ident()
    assert async_reader() == threading.get_ident()

    async def name() -> int:
        await asyncio.sleep(0)
        return async_reader()

    async def main() -> list[int]:
        return [async_reader(), *await asyncio.gather(name(), name())]

    names = asyncio.run(main())
    assert len({0, *names}) == 4
