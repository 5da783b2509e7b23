"""An HTTP client without a socket that plays what the demo provider has sent, one piece per event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from support.seen import TLS


def ask(library: Any, url: str, body: dict[str, Any]) -> Any:
    """Return the whole answer to a request, by a client of the library's own.

    Args:
        library: httpx or httpx2.
        url: where to.
        body: the parameters.
    """
    with library.Client(verify=TLS) as client:
        return client.post(url, json=body)


def pieces_of(answer: Any) -> list[bytes]:
    """Return the events of an answer, each with its end."""
    return [piece + b"\n\n" for piece in answer.content.split(b"\n\n")[:-1]]


def client_of(
    library: Any, status_code: int, headers: dict[str, str], pieces: Iterable[bytes], *, is_async: bool
) -> Any:
    """Make a client that gets these pieces, whatever it asks."""
    pieces = list(pieces)

    def handler(_request: Any) -> Any:
        return library.Response(status_code, headers=headers, content=iter(pieces))

    async def ahandler(_request: Any) -> Any:
        async def content() -> AsyncIterator[bytes]:
            for piece in pieces:
                yield piece

        return library.Response(status_code, headers=headers, content=content())

    if is_async:
        return library.AsyncClient(transport=library.MockTransport(ahandler))
    return library.Client(transport=library.MockTransport(handler))


def replaying(library: Any, answer: Any, request_id: str = "x-request-id", *, is_async: bool) -> Any:
    """Make a client that gets an answer again, with its type and the header that has its id."""
    kept = {name: answer.headers[name] for name in ("content-type", request_id)}
    return client_of(library, answer.status_code, kept, pieces_of(answer), is_async=is_async)
