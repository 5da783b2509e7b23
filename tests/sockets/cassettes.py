"""Recordings of WebSocket conversations, and a loopback server that plays them.

Only formats and sockets are known here; what a recording implies is read in `test_socket_recordings`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

_HERE = Path(__file__).resolve().parent.parent.parent
FOLDER = Path(os.environ.get("STREAMSPAN_RECORDINGS") or _HERE.parent / "shared" / "recordings")


@dataclass(frozen=True)
class Cassette:
    """One conversation: who said what, in order."""

    name: str
    messages: tuple[tuple[str, dict[str, Any]], ...]

    @property
    def received(self) -> list[dict[str, Any]]:
        """What the provider said."""
        return [data for direction, data in self.messages if direction == "received"]

    @property
    def sent(self) -> list[dict[str, Any]]:
        """What the client said."""
        return [data for direction, data in self.messages if direction == "sent"]


def cassettes(folder: str) -> list[Cassette]:
    """Return the recordings of one vendor, none where there are none."""
    found = []
    for path in sorted((FOLDER / folder).glob("*.yaml")):
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        messages = tuple(
            (each["direction"], each["data"]) for each in data["interactions"] if each["kind"] == "message"
        )
        found.append(Cassette(path.stem, messages))
    return found


@contextmanager
def playing(cassette: Cassette) -> Iterator[str]:
    """Serve a recording to one client after another: it goes on when the client has said what it said then."""
    from websockets.sync.server import serve  # noqa: PLC0415 - where it is installed

    def play(socket: Any) -> None:
        for direction, data in cassette.messages:
            if direction == "sent":
                socket.recv()
            else:
                socket.send(json.dumps(data))
        for _ in socket:  # until the client closes
            pass

    with serve(play, "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
