"""Where the examples get their model from: OpenAI if there is a key, else the demo provider on the loopback interface.

The OpenAI SDK reads its address and its key from the environment anyway, so what the examples do inside the `with`
block is what an application does.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

from streamspan.demo import DemoProvider


@contextmanager
def demo_unless_key(scenario: str = "slow") -> Generator[Callable[[str], None], None, None]:
    """Serve `scenario` to the OpenAI SDK inside the block, unless OPENAI_API_KEY is set.

    What the block gets changes the scenario for clients that are made from then on. `python -m streamspan.demo --list`
    shows which scenarios there are.
    """
    if "OPENAI_API_KEY" in os.environ:
        yield lambda _: None
        return
    with DemoProvider() as server:

        def play(scenario: str) -> None:
            os.environ.update(OPENAI_API_KEY="demo", OPENAI_BASE_URL=server.url(scenario))

        play(scenario)
        try:
            yield play
        finally:
            del os.environ["OPENAI_API_KEY"], os.environ["OPENAI_BASE_URL"]
