"""The tap in a body of urllib3, which is what `requests` reads from: `Response.raw`.

The response object keeps its identity, its attributes and its file's reference counts: it only changes its class, to a
subclass of the same name whose readers tell what they return. So `iter_content`, `iter_lines`, `content`, sseclient and
whoever reads `raw` by hand are all seen. An adapter whose `raw` is no response of urllib3 gives nothing to hold on to.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Literal, cast

from streamspan._byte_feed import ByteFeed, take_unseen, take_whole
from streamspan._failures import describe, qualified_name
from streamspan._ownership import Call, sync_reader
from streamspan._session import Session

_KEY = "_streamspan"
# What `Response.iter_content` makes of urllib3's exceptions for its caller.
_NAMES = {
    "IncompleteRead": "requests.exceptions.ChunkedEncodingError",
    "InvalidChunkLength": "requests.exceptions.ChunkedEncodingError",
    "ProtocolError": "requests.exceptions.ChunkedEncodingError",
    "DecodeError": "requests.exceptions.ContentDecodingError",
    "ReadTimeoutError": "requests.exceptions.ConnectionError",
    "SSLError": "requests.exceptions.SSLError",
}


def attach(call: Call, response: Any) -> bool | None:
    """Put a tap in the body of a response of requests; None if that cannot be done."""
    raw = response.raw
    kind = cast("Any", type(raw))
    if not all(hasattr(kind, name) for name in ("read_chunked", "release_conn")) or _KEY in vars(raw):
        return None
    call.owned_by(response)
    encoding = response.headers.get("content-encoding") or ""
    known: list[str] = getattr(kind, "CONTENT_DECODERS", [])  # zstd since urllib3 2, br if its package is there
    is_decodable = all(name.strip() in known for name in encoding.lower().split(","))
    content_type: str = response.headers.get("content-type") or ""
    own = cast("dict[str, Any]", vars(response))
    if own.get("_content_consumed"):  # by a hook
        body: bytes | Literal[False] | None = own.get("_content", False)
        if body is False:
            take_unseen(call)
        else:
            take_whole(call, body or b"", content_type, "" if is_decodable else encoding)
        return True
    vars(raw)[_KEY] = _Tap(call, content_type, encoding, is_decodable=is_decodable)
    raw.__class__ = _tapped(kind)
    return True


def note_retries(session: Session, raw: Any) -> None:
    """Note what urllib3's `Retry` has sent again; it keeps no times."""
    history: Iterable[Any] = getattr(getattr(raw, "retries", None), "history", None) or ()
    for failed in history:
        if failed.redirect_location is None:
            error: Exception | None = failed.error
            session.was_resent(failed.status, None if error is None else qualified_name(type(error)))


class _Tap:
    """What is known of one body: who is told, and whether a read is in progress, which may call another one."""

    __slots__ = ("_call", "_content_type", "_encoding", "_feed", "_is_decodable", "is_inside")

    def __init__(self, call: Call, content_type: str, encoding: str, *, is_decodable: bool) -> None:
        self._call, self._content_type, self._encoding = call, content_type, encoding
        self._is_decodable = is_decodable
        self._feed: ByteFeed | None = None
        self.is_inside = False

    def __del__(self) -> None:
        if not self._call.session.is_ended:
            self._call.lifecycle.dropped(self._call.session)

    def before(self, *, is_decoded: bool) -> None:
        """Say that the caller asks for bytes."""
        self.is_inside = True
        if self._feed is None:
            encoding = "" if is_decoded and self._is_decodable else self._encoding
            self._feed = self._call.guard.call(ByteFeed, self._call, self._content_type, encoding)
        if self._feed is not None:
            self._feed.before(sync_reader())

    def after(self, data: Any) -> None:
        """Take what the caller has got."""
        self.is_inside = False
        if self._feed is not None and data:
            self._feed.after(data)

    def over(self, exc: BaseException) -> None:
        """Take what a read raised, or the end."""
        self.is_inside = False
        if self._feed is not None:
            self._feed.over(exc)

    def failed(self, exc: BaseException, name: str) -> None:
        """Take what a read raised, and what requests makes of it for its caller."""
        self.is_inside = False
        failure = self._call.guard.call(describe, exc)
        if self._feed is not None and failure is not None:
            self._feed.failed(replace(failure, type=name))

    def is_over(self, raw: Any) -> bool:
        """Tell whether the body was given out to its end."""
        return bool(self._call.guard.call(_is_exhausted, raw))

    def closed(self, raw: Any) -> None:
        """Take a close, which may come when there is nothing left to read."""
        if self._feed is None:
            self._feed = self._call.guard.call(ByteFeed, self._call, self._content_type, "")
        if self._feed is None:
            return
        if not self.is_inside and self.is_over(raw):
            self._feed.over(StopIteration())
        self._feed.closed(sync_reader())


class _Pieces(Generator[bytes, Any, Any]):
    """The pieces of `stream` and `read_chunked`."""

    __slots__ = ("_is_decoded", "_names", "_pieces", "_raw", "_tap")

    def __init__(self, pieces: Any, raw: Any, tap: _Tap, names: Mapping[str, str], *, is_decoded: bool) -> None:
        self._pieces, self._raw, self._tap, self._is_decoded = pieces, raw, tap, is_decoded
        self._names = names

    def __next__(self) -> bytes:
        tap = self._tap
        tap.before(is_decoded=self._is_decoded)
        try:
            data: bytes = next(self._pieces)
        except BaseException as exc:
            name = self._names.get(type(exc).__name__)
            if name is None:
                tap.over(exc)
            else:
                tap.failed(exc, name)
            raise
        tap.after(data)
        return data

    def __iter__(self) -> _Pieces:
        return self

    def send(self, value: Any) -> bytes:
        """Send into urllib3's generator; only `None` is ever sent by a `for`."""
        return self.__next__() if value is None else self._pieces.send(value)

    def throw(self, *args: Any) -> bytes:
        """Throw into urllib3's generator."""
        return self._pieces.throw(*args)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close urllib3's generator, which closes the connection of a chunked body and of no other."""
        self._pieces.close()
        if self._raw.closed:
            self._tap.closed(self._raw)


@cache
def _tapped(kind: type[Any]) -> type[Any]:
    """Make the class of tapped responses for one class of responses."""

    def read(self: Any, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        return _read(self, kind.read, amt, args, kwargs)

    def read1(self: Any, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        return _read(self, kind.read1, amt, args, kwargs)

    def stream(self: Any, *args: Any, **kwargs: Any) -> Any:
        # Only requests asks for decoded pieces by name.
        names = _NAMES if kwargs.get("decode_content") else {}
        return _pieces(self, kind.stream(self, *args, **kwargs), names, args, kwargs)

    def read_chunked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return _pieces(self, kind.read_chunked(self, *args, **kwargs), {}, args, kwargs)

    def close(self: Any) -> None:
        tap: _Tap | None = cast("dict[str, Any]", vars(self)).get(_KEY)
        if tap is not None:
            tap.closed(self)
        kind.close(self)

    def drain_conn(self: Any) -> None:
        _tap_of(self).closed(self)  # nobody gets what is thrown away now
        kind.drain_conn(self)

    members: dict[str, Any] = {"read": read, "stream": stream, "read_chunked": read_chunked, "close": close}
    members["drain_conn"] = drain_conn
    if hasattr(kind, "read1"):  # urllib3 2
        members["read1"] = read1
    members |= {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    return type(kind.__name__, (kind,), members)


def _is_exhausted(raw: Any) -> bool:
    """Tell whether the body was given out to its end: http.client lets go of the connection there.

    Where somebody has closed it before, it still says how much was missing.
    """
    file = raw._fp  # noqa: SLF001 - its `closed` says what `auto_close` says
    if not getattr(file, "isclosed", bool)():
        return False
    decoder, held = getattr(raw, "_decoder", None), getattr(raw, "_decoded_buffer", b"")
    if len(held) or getattr(decoder, "has_unconsumed_tail", False):
        return False
    if file.chunked:
        return raw.tell() > 0 and file.chunk_left is None  # as before the first chunk
    return not file.length


def _tap_of(raw: Any) -> _Tap:
    return cast("_Tap", vars(raw)[_KEY])


def _is_decoded(raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any], at: int) -> bool:
    asked = kwargs.get("decode_content", args[at] if len(args) > at else None)
    return bool(raw.decode_content if asked is None else asked)


def _read(raw: Any, function: Any, amt: int | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Read once; nothing at all is the end, unless nothing was asked for."""
    tap = _tap_of(raw)
    if tap.is_inside:
        return function(raw, amt, *args, **kwargs)
    tap.before(is_decoded=_is_decoded(raw, args, kwargs, 0))
    try:
        data = function(raw, amt, *args, **kwargs)
    except BaseException as exc:
        tap.over(exc)
        raise
    tap.after(data)
    if amt != 0 and (not data or amt is None or amt < 0) and (raw.closed or tap.is_over(raw)):
        tap.over(StopIteration())
    return data


def _pieces(raw: Any, pieces: Any, names: Mapping[str, str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    tap = _tap_of(raw)
    if tap.is_inside:
        return pieces
    return _Pieces(pieces, raw, tap, names, is_decoded=_is_decoded(raw, args, kwargs, 1))
