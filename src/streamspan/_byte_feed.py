"""What a tap on a body does with the bytes that it sees when no SDK parses them; the same for every HTTP library.

The order of calls is the taps': `before` a read, `after` it with the bytes that the caller has, `over` for the end or
the exception, `closed` for a close. Knows sessions and the wire. Refuses to know libraries and sockets.
"""

from __future__ import annotations

import sys

from streamspan._failures import FIRST_ERROR_STATUS
from streamspan._ownership import Call
from streamspan._records import Failure
from streamspan._taps import tell, told_closed
from streamspan._wire import FLUSH, REST, RefusalReader, WireReader

_SHORT = 512
_MOST_HELD = 8192
_CORRUPT = Failure("_OTHER", "the body is not in the coding that its header names")


class ByteFeed:
    """Feeds a session with the pieces of its body, and with the ways in which that can end.

    Args:
        call: whose body it is.
        content_type, content_encoding: of the response; no encoding where the pieces are decoded already.
    """

    __slots__ = ("_call", "_half", "_is_in_lines", "_last", "_reader", "_session")

    def __init__(self, call: Call, content_type: str, content_encoding: str) -> None:
        self._call = call
        self._session = session = call.session
        self._half = bytearray()  # of a line
        self._last = b""
        self._reader: WireReader | RefusalReader
        status, fault = session.status_code or 0, session.fault
        if status >= FIRST_ERROR_STATUS:
            word = "" if fault is None or fault.type == str(status) else fault.type
            self._reader = RefusalReader(content_encoding, word)
        else:
            self._reader = reader = WireReader(
                call.endpoint, content_type, content_encoding, session.request.is_stream, call.guard
            )
            session.was_done = reader.was_done
        self._is_in_lines = self._reader.is_in_lines
        session.read_wire(call.guard.wrap_reader(self._reader.read, otherwise=()), REST)

    def before(self, reader: int) -> None:
        """Say that the caller asks for bytes; `reader` names the thread or task that will wait for them."""
        session = self._session
        if session.is_ended:
            return
        if self._half:
            session.pull(reader)  # needs no fence: there is nothing to read
        else:
            self._call.guard.call(session.pull, reader)

    def after(self, data: bytes) -> None:
        """Take bytes that the caller has got."""
        session = self._session
        if session.is_ended:
            return
        # Written out: there are callers who read byte by byte.
        if self._is_in_lines and len(data) < _SHORT and b"\n" not in data and b"\r" not in data:
            self._half += data
            if len(self._half) < _MOST_HELD:
                session.returned()
                return
            data = b""
        self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        if self._half:
            data = bytes(self._half) + data
            self._half.clear()
        self._last = data
        self._session.arrived(data)

    def unread(self, data: bytes) -> None:
        """Take back the end of what arrived last: the caller has given it back, and will read it again."""
        if self._half.endswith(data):
            self._half = self._half.removesuffix(data)
        elif self._last.endswith(data):
            self._session.parsed(self._last.removesuffix(data) or None)

    def over(self, exc: BaseException) -> None:
        """Take what a read raised; `StopIteration` stands for the end of the body."""
        if not self._session.is_ended:
            self._call.guard.call(self._tell, exc)

    def failed(self, failure: Failure) -> None:
        """Take a failure that the caller will get in other words than those of the read."""
        if not self._session.is_ended:
            self._call.guard.call(self._session.failed, failure)

    def closed(self, reader: int) -> None:
        """Take a close, unless the library makes it inside its own read."""
        session = self._session
        if not session.is_ended and session.reader != reader:
            self._call.guard.call(self._told_closed)

    def _tell(self, exc: BaseException) -> None:
        session = self._session
        if isinstance(exc, StopIteration | StopAsyncIteration):
            session.settle()
            if self._half:
                self._pass_on(b"")
                session.settle()
            if isinstance(self._reader, WireReader) and self._reader.is_whole:
                session.unstreamed()
            session.leftover(FLUSH)
            if isinstance(self._reader, RefusalReader):
                session.fault = self._reader.error or session.fault
            elif self._reader.is_blind:
                session.marked()  # nobody can tell what was in it: the end is all there is to go by
        tell(self._call, exc)

    def _told_closed(self) -> None:
        session, exc = self._session, sys.exc_info()[1]
        if exc is not None:
            session.settle()  # the last piece may be the one that cannot be decoded
            if self._reader.is_corrupt:
                # httpx decodes above the bytes: what leaves the block is its own exception, not the caller's. httpx2
                # closes while it unwinds, when nobody can see the exception yet.
                if isinstance(exc, Exception):
                    tell(self._call, exc)
                else:
                    session.failed(_CORRUPT)
                return
        told_closed(self._call)


def take_unseen(call: Call) -> None:
    """Take the end of a body that somebody else has read piece by piece: nobody can tell what was in it."""
    call.session.marked()
    call.session.exhausted()


def take_whole(call: Call, content: bytes, content_type: str, content_encoding: str = "") -> None:
    """Take a body that was in memory before anybody read it: a transport of a test, a cache, or a hook that reads."""
    feed = ByteFeed(call, content_type, content_encoding)
    call.session.arrived(content)
    feed.over(StopIteration())
