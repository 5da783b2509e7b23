"""An installed wheel: stream from the demo provider, and see one span."""

from __future__ import annotations

import sys
from pathlib import Path

from openai import OpenAI

import streamspan
from streamspan.demo import DemoProvider
from streamspan.testing import capture


def main() -> None:
    """Stream a complete answer and one that is left early."""
    home = Path(streamspan.__file__).parent
    assert home.is_relative_to(sys.prefix), f"streamspan was imported from {home}"
    with DemoProvider() as server, capture() as captured:
        with OpenAI(base_url=server.url("ok"), api_key="demo") as client:
            for most in (None, 2):
                with client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hello"}], stream=True
                ) as stream:
                    for number, _ in enumerate(stream, start=1):
                        if number == most:
                            break
        outcomes = [(span.attributes or {}).get("streamspan.outcome") for span in captured.spans]
    assert outcomes == ["completed", "cancelled"], outcomes
    sys.stdout.write(f"streamspan {streamspan.__version__} in {home}: {', '.join(map(str, outcomes))}\n")


if __name__ == "__main__":
    main()
