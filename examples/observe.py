"""Record a stream of any origin: wrap it, and tell how a chunk is read if it is not plain text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TypedDict

import streamspan

streamspan.instrument()


class Piece(TypedDict, total=False):
    """A chunk of a home-made model server."""

    word: str
    tokens: int


def home_made_model() -> Iterator[Piece]:
    for word in ("Any", "iterable", "of", "chunks", "will", "do."):
        time.sleep(0.01)
        yield {"word": f"{word} "}
    yield {"tokens": 6}


def read(piece: Piece) -> streamspan.Delta:
    if "tokens" in piece:
        return streamspan.Delta(choice=0, finish_reason="stop", usage={"output_tokens": piece["tokens"]})
    return streamspan.Delta(piece.get("word", ""), choice=0)


if __name__ == "__main__":
    with streamspan.observe(home_made_model(), provider="acme", model="m1", read=read) as pieces:
        for piece in pieces:
            print(piece.get("word", ""), end="")
    print()
