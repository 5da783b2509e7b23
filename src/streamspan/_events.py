"""What happened in a session, in the order of time: the events that a span or a log can show. Pure.

Every chunk is in exactly one chunk event. When the room is scarce, chunk events give way first (they are merged
further), then retries, stalls and the first token, so that the ending is lost last.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from operator import attrgetter

from streamspan import _semconv as names
from streamspan._failures import message, qualified_name, quotes_content
from streamspan._records import Attributes, AttributeValue, ChunkRecord, Ending, Hop, Retry, Stall, kinds_of
from streamspan._session import Session
from streamspan._summary import ending_of


@dataclass(slots=True)  # neither frozen nor a named tuple: those take longer to make, and there are 32 a stream
class Event:
    """Something that happened at a moment of the session's clock."""

    name: str
    at_ns: int
    attributes: Attributes


def events_of(
    session: Session, *, budget: int, room: int | None = None, exception: Attributes | None = None
) -> list[Event]:
    """Return the events of a session that has ended, in the order of time.

    Args:
        session: the session.
        budget: most chunk events.
        room: most events; None for any number.
        exception: attributes of the `exception` event, where there is one.
    """
    ends = ending_events(session, exception)
    # The first entry is kept longest.
    vital = ends + _first_token(session) + _stalls(session) + _retries(session)
    vital += [_hop(hop) for hop in session.hops]
    if room is not None:
        vital = vital[:room]
        budget = min(budget, room - len(vital))
    chunks = [_chunk(record) for record in session.chunk_records(budget)] if budget > 0 else []
    # Python's sort is stable: at the same moment, what led to a chunk goes before the chunk, and the ending comes last.
    return sorted(vital[len(ends) :] + chunks + ends[: len(vital)], key=attrgetter("at_ns"))


def ending_events(session: Session, exception: Attributes | None) -> list[Event]:
    """Return the event of the ending, if it makes one: a cancel, or the exception."""
    ending = ending_of(session)
    if exception is not None:
        return [Event(names.EVENT_EXCEPTION, ending.at_ns, exception)]
    if ending.cancel_reason is None:
        return []
    attributes: dict[str, AttributeValue] = {names.CANCEL_REASON: ending.cancel_reason}
    if session.request.is_stream:
        attributes[names.CHUNK_COUNT] = session.chunk_count
        attributes[names.OUTPUT_CHARACTERS] = session.character_count
        if session.reasoning_count:
            attributes[names.REASONING_CHARACTERS] = session.reasoning_count
    return [Event(names.EVENT_CANCELLED, ending.at_ns, attributes)]


def exception_attributes(ending: Ending, scrub: Callable[[str], str]) -> Attributes:
    """Return what the `exception` event says of an error or a timeout.

    A failure that the provider only reported inside the stream has the provider's word for its type and no stack.
    """
    exc = ending.exception
    if exc is None:
        attributes = {names.EXCEPTION_TYPE: ending.error_type or "_OTHER"}
        if ending.error_message:
            attributes[names.EXCEPTION_MESSAGE] = scrub(ending.error_message)
        return attributes
    return {
        names.EXCEPTION_TYPE: qualified_name(type(exc)),
        names.EXCEPTION_MESSAGE: scrub(message(exc)),
        names.EXCEPTION_STACKTRACE: scrub(_stacktrace(exc)),
    }


def _stacktrace(exc: BaseException) -> str:
    if not any(map(quotes_content, _chain(exc))):
        return "".join(traceback.format_exception(exc))
    frames = "".join(traceback.format_tb(exc.__traceback__))
    return f"Traceback (most recent call last):\n{frames}{qualified_name(type(exc))}: {message(exc)}\n"


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def _first_token(session: Session) -> list[Event]:
    if session.first_output_at is None:
        return []
    attributes: Attributes = {
        names.CHUNK_INDEX: session.first_output_index,
        names.OUTPUT_KIND: _kinds(session.first_output_kinds),
    }
    return [Event(names.EVENT_FIRST_TOKEN, session.first_output_at, attributes)]


def _stalls(session: Session) -> list[Event]:
    return [_stall(stall) for stall in session.stalls]


def _stall(stall: Stall) -> Event:
    return Event(names.EVENT_STALL, stall.at_ns, {names.CHUNK_INDEX: stall.chunk_index, names.WAIT_MAX: stall.seconds})


def _retries(session: Session) -> list[Event]:
    return [_retry(retry) for retry in session.retries]


def _retry(retry: Retry) -> Event:
    attributes: dict[str, AttributeValue] = {names.HTTP_RESEND_COUNT: retry.number}
    if retry.delay is not None:
        attributes[names.RETRY_DELAY] = retry.delay
    if retry.status_code is not None:
        attributes[names.HTTP_STATUS_CODE] = retry.status_code
    elif retry.error_type is not None:
        attributes[names.ERROR_TYPE] = retry.error_type
    return Event(names.EVENT_RETRY, retry.at_ns, attributes)


def _hop(hop: Hop) -> Event:
    return Event(names.EVENT_HOP, hop.at_ns, {names.HOP_NUMBER: hop.number, names.CHUNK_INDEX: hop.chunk_index})


def _chunk(record: ChunkRecord) -> Event:
    attributes: dict[str, AttributeValue] = {
        names.CHUNK_INDEX: record.index,
        names.CHUNK_COUNT: record.count,
        names.OUTPUT_CHARACTERS: record.characters,
        names.WAIT_MAX: record.wait_max_ns / 1e9,
    }
    if record.reasoning_characters:
        attributes[names.REASONING_CHARACTERS] = record.reasoning_characters
    if record.kinds:
        attributes[names.OUTPUT_KIND] = _kinds(record.kinds)
    return Event(names.EVENT_CHUNK, record.at_ns, attributes)


@cache
def _kinds(bits: int) -> str:
    return ",".join(kinds_of(bits))
