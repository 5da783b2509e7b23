"""The `websockets` library, as a client: connections to models, whoever has opened them.

One seam for raw connections and for the SDKs above, all of which open theirs here. What opens a connection is told by
the call stack, because the SDKs reach this point by a dozen ways that change from version to version, and their
wrappers, retries and reconnects all end here. A connection that nobody claims is not touched, and neither are those
of a server, which is another class.

What is watched is the opening as a whole, from the name of the host to the end of the handshake, where the library
has a method for it that every caller passes: `connect.__await__` (asyncio) and `reconnect.connect` (threads; before
there was one, the function `connect`, which is missed where it was imported before it was patched). The handshake of
`ClientConnection` is a method in all versions from 13.0 to 17.4, and watched by itself where nothing around it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlsplit

from streamspan._connection import Connection
from streamspan._guard import Guard
from streamspan._ownership import is_suppressed
from streamspan._patching import Patch
from streamspan._sessions import Sessions, host_name
from streamspan._sockets import tap
from streamspan._terms import Address
from streamspan.integrations._calls import PORTS
from streamspan.providers.gemini_live import LIVE
from streamspan.providers.openai_realtime import REALTIME
from streamspan.providers.openai_responses_socket import RESPONSES
from streamspan.providers.sockets import Socket

_MOST_FRAMES = 48
_ASYNC, _SYNC = "websockets.asyncio.client", "websockets.sync.client"

_is_claimed: ContextVar[bool] = ContextVar("streamspan_websocket_is_claimed", default=False)
"""The connection that the code that runs now opens has been claimed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Who claims which connections.

    Args:
        layer: who owns their turns.
        package: import name of the SDK that opens them; empty for those that no SDK opens.
        sockets: what they can be, the first of them where the path says nothing.
    """

    layer: str
    package: str
    sockets: tuple[Socket, ...]


RAW = Claim("websockets", "", (REALTIME, RESPONSES, LIVE))
OPENAI = Claim("openai", "openai", (REALTIME, RESPONSES))
GOOGLE = Claim("google_genai", "google.genai", (LIVE,))


def patches(claim: Claim, sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches that let one claim be made."""
    openings = _Openings(claim, sessions, guard)
    is_optional = bool(claim.package)  # an SDK does without the library until a WebSocket is asked for
    return [
        Patch(_ASYNC, "connect.__await__", openings.awaited, is_optional),
        Patch(_SYNC, "reconnect.connect", openings.connected, is_optional=True),
        Patch(_SYNC, "connect", openings.called, is_optional=True),
        Patch(_ASYNC, "ClientConnection.handshake", openings.ashaken, is_optional),
        Patch(_SYNC, "ClientConnection.handshake", openings.shaken, is_optional),
    ]


class _Openings:
    """The wrappers of what opens a connection."""

    def __init__(self, claim: Claim, sessions: Sessions, guard: Guard) -> None:
        self._claim = claim
        self._sessions = sessions
        self._guard = guard

    def awaited(self, wrapped: Callable[..., Any], connect: Any, args: Any, kwargs: Any) -> Generator[Any, Any, Any]:
        # The URI is not on the object before websockets 13.1: there the handshake is all that is seen.
        with _Opening(self._open(getattr(connect, "uri", None)), is_async=True) as opening:
            return opening.opened((yield from wrapped(*args, **kwargs)))

    def connected(self, wrapped: Callable[..., Any], reconnect: Any, args: Any, kwargs: Any) -> Any:
        with _Opening(self._open(getattr(reconnect, "uri", None)), is_async=False) as opening:
            return opening.opened(wrapped(*args, **kwargs))

    def called(self, wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
        if hasattr(sys.modules[_SYNC], "reconnect"):
            return wrapped(*args, **kwargs)
        with _Opening(self._open(args[0] if args else kwargs.get("uri")), is_async=False) as opening:
            return opening.opened(wrapped(*args, **kwargs))

    async def ashaken(self, wrapped: Callable[..., Any], websocket: Any, args: Any, kwargs: Any) -> Any:
        with _Opening(self._open(websocket), is_async=True) as opening:
            result = await wrapped(*args, **kwargs)
            opening.opened(websocket)
        return result

    def shaken(self, wrapped: Callable[..., Any], websocket: Any, args: Any, kwargs: Any) -> Any:
        with _Opening(self._open(websocket), is_async=False) as opening:
            result = wrapped(*args, **kwargs)
            opening.opened(websocket)
        return result

    def _open(self, target: Any) -> Connection | None:
        """Return the connection that is about to be opened if it is ours."""
        if target is None or self._guard.is_off or _is_claimed.get():
            return None
        return self._guard.call(self._claimed, target)

    def _claimed(self, target: Any) -> Connection | None:
        if is_suppressed():
            return None
        url = urlsplit(target) if isinstance(target, str) else _url_of(target)
        try:
            host, port = url.hostname, url.port or PORTS.get(url.scheme)
        except ValueError:  # the library says so too
            return None
        if host is None or port is None or (found := self._find(host, port, url.path)) is None:
            return None
        socket, provider = found
        settings = socket.settings(dict(parse_qsl(url.query)))
        address = Address(self._claim.layer, provider, host, port, settings)
        return Connection(socket, address, sessions=self._sessions, guard=self._guard)

    def _find(self, host: str, port: int, path: str) -> tuple[Socket, str] | None:
        """Return what a connection is and whose, None if it is not ours."""
        claim = self._claim
        openers = _openers(claim.package)
        if not openers and claim.package:
            return None
        if not self._sessions.watches(None) and not self._sessions.watches(_held_by(openers)):
            return None
        pattern = next((each for each in self._sessions.config.hosts if each.matches(host, port, path)), None)
        serving = [socket for socket in claim.sockets if socket.serves(path)]
        for socket in serving:
            name = (pattern and pattern.provider) or host_name(socket.provider, host)
            if name or pattern or claim.package:
                return socket, name or socket.provider.name
        if pattern is None and not claim.package:
            return None
        named = [socket for socket in claim.sockets if pattern and pattern.provider in _names(socket)]
        socket = (*named, claim.sockets[0])[0]
        return socket, (pattern and pattern.provider) or socket.provider.name


class _Opening:
    """A connection on its way, None for one that is not ours: in a `with` around what opens it."""

    __slots__ = ("_connection", "_is_async", "_token")

    def __init__(self, connection: Connection | None, *, is_async: bool) -> None:
        self._connection = connection
        self._is_async = is_async
        self._token: Token[bool] | None = None

    def __enter__(self) -> _Opening:
        if self._connection is not None:
            self._token = _is_claimed.set(True)
        return self

    def opened(self, websocket: Any) -> Any:
        """Take the connection that is open now."""
        connection = self._connection
        if connection is not None:
            connection.guard.call(connection.connected)
            connection.guard.call(tap, websocket, connection, is_async=self._is_async)
        return websocket

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        connection = self._connection
        if connection is None or self._token is None:
            return
        if exc is not None:
            connection.guard.call(connection.refused, exc)
        with suppress(ValueError):  # nobody awaits it any more, and a collection or the loop's end closes it elsewhere
            _is_claimed.reset(self._token)


def _url_of(websocket: Any) -> SplitResult:
    """Return where the handshake of a connection goes to."""
    protocol = websocket.protocol
    target: Any = getattr(protocol, "uri", None) or protocol.wsuri  # its name until websockets 17
    host = f"[{target.host}]" if ":" in target.host else target.host
    return urlsplit(f"{'wss' if target.secure else 'ws'}://{host}:{target.port}{target.resource_name}")


def _names(socket: Socket) -> Iterable[str]:
    return {socket.provider.name, *socket.provider.hosts.values()}


def _openers(package: str) -> list[FrameType]:
    """Return those among the callers of the code that runs now that are a package's."""
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 # pyright: ignore[reportPrivateUsage] # else only a traceback has frames
    found: list[FrameType] = []
    for _ in range(_MOST_FRAMES if package else 0):
        if frame is None:
            break
        name = str(frame.f_globals.get("__name__"))
        if name == package or name.startswith(f"{package}."):
            found.append(frame)
        frame = frame.f_back
    return found


def _held_by(openers: Iterable[FrameType]) -> tuple[object, ...]:
    """Return what the objects hold whose methods open a connection: the client that it is for is among it."""
    objects = [frame.f_locals.get("self") for frame in openers]
    return tuple(held for each in objects for held in (each, *getattr(each, "__dict__", {}).values()))
