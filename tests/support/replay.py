"""A server that answers every request with the same bytes, cut as told, and ends the connection as told.

For bytes that no scenario of the demo provider sends: recordings, and failures after the end of a stream.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Literal

End = Literal["last-chunk", "reset", "close", "nonsense", "silence"]


def cut(body: bytes, size: int) -> list[bytes]:
    """Cut a body into pieces of `size` bytes; 0 for one piece."""
    return [body[at : at + size] for at in range(0, len(body), size)] if size else [body]


class Replay:
    """Plays pieces as chunks of an HTTP/1.1 body, to any number of connections, each used once.

    Args:
        pieces: the body.
        end: what comes after them: `nonsense` is no chunk, `silence` lasts until the client goes.
        headers: further response headers.
        content_type: what it says that the body is.
    """

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        end: End = "last-chunk",
        headers: Iterable[str] = (),
        content_type: str = "text/event-stream",
    ) -> None:
        head = ["HTTP/1.1 200 OK", f"content-type: {content_type}", "transfer-encoding: chunked", *headers, "", ""]
        framed = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
        last = {"last-chunk": b"0\r\n\r\n", "nonsense": b"zz\r\nno chunk\r\n"}.get(end, b"")
        self._data = "\r\n".join(head).encode() + b"".join(framed) + last
        self._end = end
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.requests = 0

    @property
    def url(self) -> str:
        """The base URL for an OpenAI client."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Replay:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        if not _read_request(connection):
            return
        self.requests += 1
        try:
            connection.sendall(self._data)
            if self._end == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif self._end != "close":
                if self._end == "last-chunk":
                    connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        except OSError:
            return  # the client has gone


def _read_request(connection: socket.socket) -> bool:
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return False
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = int(lengths[0]) - len(body) if lengths else 0
    while missing > 0:
        missing -= len(connection.recv(65536))
    return True
