"""The `websockets` library, as a client: connections to models, whoever has opened them.

One seam for raw connections and for the SDKs above, all of which open theirs here: the opening handshake of a client
connection, a method of `websockets.{asyncio,sync}.client.ClientConnection` from 13.0 to 17.4. What opens it is told by
the call stack, because the SDKs reach this point by a dozen ways that change from version to version, and their
wrappers, retries and reconnects all end here. A connection that nobody claims is not touched, and neither are those
of a server, which is another class.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from streamspan._connection import Connection
from streamspan._failures import describe
from streamspan._guard import Guard
from streamspan._ownership import is_suppressed
from streamspan._patching import Patch
from streamspan._sessions import Sessions, host_name
from streamspan._sockets import tap
from streamspan._terms import Address
from streamspan.providers.gemini_live import LIVE
from streamspan.providers.openai_realtime import REALTIME
from streamspan.providers.openai_responses_socket import RESPONSES
from streamspan.providers.sockets import Socket

_MOST_FRAMES = 48
_CLAIMED = "_streamspan_claimed"


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
    handshakes = _Handshakes(claim, sessions, guard)
    is_optional = bool(claim.package)  # an SDK does without the library until a WebSocket is asked for
    return [
        Patch("websockets.asyncio.client", "ClientConnection.handshake", handshakes.ashake, is_optional),
        Patch("websockets.sync.client", "ClientConnection.handshake", handshakes.shake, is_optional),
    ]


class _Handshakes:
    """The wrappers of `handshake`."""

    def __init__(self, claim: Claim, sessions: Sessions, guard: Guard) -> None:
        self._claim = claim
        self._sessions = sessions
        self._guard = guard

    def shake(self, wrapped: Callable[..., Any], websocket: Any, args: Any, kwargs: Any) -> Any:
        connection = self._guard.call(self._open, websocket)
        if connection is None:
            return wrapped(*args, **kwargs)
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as exc:
            self._guard.call(_refused, connection, exc)
            raise
        self._guard.call(_opened, websocket, connection, is_async=False)
        return result

    async def ashake(self, wrapped: Callable[..., Any], websocket: Any, args: Any, kwargs: Any) -> Any:
        connection = self._guard.call(self._open, websocket)
        if connection is None:
            return await wrapped(*args, **kwargs)
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as exc:
            self._guard.call(_refused, connection, exc)
            raise
        self._guard.call(_opened, websocket, connection, is_async=True)
        return result

    def _open(self, websocket: Any) -> Connection | None:
        if self._guard.is_off or _CLAIMED in vars(websocket) or is_suppressed():
            return None
        protocol = websocket.protocol
        target: Any = getattr(protocol, "uri", None) or protocol.wsuri  # its name until websockets 17
        url = urlsplit(str(target.resource_name))
        found = self._find(target.host.lower(), target.port, url.path)
        if found is None:
            return None
        setattr(websocket, _CLAIMED, True)
        socket, provider = found
        settings = socket.settings(dict(parse_qsl(url.query)))
        address = Address(self._claim.layer, provider, target.host.lower(), target.port, settings)
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


def _opened(websocket: Any, connection: Connection, *, is_async: bool) -> None:
    connection.connected()
    tap(websocket, connection, is_async=is_async)


def _refused(connection: Connection, exc: BaseException) -> None:
    connection.closed(None, describe(exc))
