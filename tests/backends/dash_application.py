"""An application whose streams end in every way, with several providers and models; it sends metrics by OTLP.

    python dash_application.py REPORT

It holds one stream open, sends its metrics, waits for a line on standard input, and ends. The report is what
`on_session_end` told it. Knows nothing of dashboards.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import openai
from opentelemetry import metrics

import streamspan
from streamspan.demo import DemoProvider

SLOW_START = 2.6  # beyond the objective of 2.5 s
_MESSAGES: Any = [{"role": "user", "content": "Why is the sky blue?"}]

# Model, scenario, what the application does, how often.
_CHATS: tuple[tuple[str, str, str, int], ...] = (
    ("gpt-4o", "slow", "read", 4),
    ("gpt-4o", "late;pause=0.2", "read", 2),
    ("gpt-4o", "stall;pause=0.7", "read", 6),
    ("gpt-4o", "slow", "close", 3),
    ("gpt-4o", "short", "read", 2),
    ("gpt-4o", "error_event", "read", 1),
    ("gpt-4o", "status_429", "read", 2),
    ("gpt-4o", "ok", "whole", 2),
    ("gpt-4o", "flaky;fails=1", "read", 1),
    ("o3", "reasoning;delay=0.03", "read", 3),
    ("o3", "flaky;fails=1", "read", 2),
    ("o3", "hang", "timeout", 1),
    ("o3", "rst", "read", 1),
)


def chat(client: openai.OpenAI, model: str, act: str) -> None:
    """Make one call and do with its stream what is to be done."""
    if act == "whole":
        client.chat.completions.create(model=model, messages=_MESSAGES)
        return
    options: Any = {"timeout": 0.3} if act == "timeout" else {}
    usage: Any = {"include_usage": True}
    with client.chat.completions.create(
        model=model, messages=_MESSAGES, stream=True, stream_options=usage, **options
    ) as stream:
        for index, _ in enumerate(stream):
            if act == "close" and index == 3:
                return
            time.sleep(0.001)  # the application's own share


def words(before: float) -> Iterator[str]:
    """Yield the answer of a vendor that no integration knows."""
    time.sleep(before)
    for word in ("A ", "stream ", "is ", "kept ", "in ", "pieces."):
        yield word
        time.sleep(0.01)


def other_vendor(model: str, before: float) -> None:
    """Read a stream that is observed."""
    for _ in streamspan.observe(words(before), provider="acme", model=model):
        pass


def jobs(server: DemoProvider) -> Iterator[Callable[[], None]]:
    """Yield everything that is done, one call each."""
    for number, (model, scenario, act, count) in enumerate(_CHATS):
        for index in range(count):
            retries = 1 if scenario.startswith("flaky") else 0
            url = server.url(f"{scenario};key={number}-{index}")
            client = openai.OpenAI(base_url=url, api_key="demo", max_retries=retries)
            yield partial(chat, client, model, act)
    yield from [partial(other_vendor, "acme-slow", SLOW_START)] * 22
    yield from [partial(other_vendor, "acme-fast", 0.1)] * 4


def attempt(job: Callable[[], None]) -> None:
    """Do it, whatever comes of it."""
    with suppress(openai.APIError, OSError):
        job()


def main(report: Path) -> None:
    """Stream, hold one stream open over an export, and report."""
    told: list[dict[str, Any]] = []
    config = streamspan.Config(stall_seconds=0.25)
    streamspan.instrument(config=config, on_session_end=lambda summary: told.append(asdict(summary)))
    with DemoProvider() as server:
        with ThreadPoolExecutor(24) as pool:
            list(pool.map(attempt, jobs(server)))
        client = openai.OpenAI(base_url=server.url("gate;key=held"), api_key="demo")
        held = client.chat.completions.create(model="gpt-4o", messages=_MESSAGES, stream=True)
        next(iter(held))
        provider: Any = metrics.get_meter_provider()
        provider.force_flush()
        sys.stdout.write("sent\n")
        sys.stdout.flush()
        sys.stdin.readline()
        held.close()
    streamspan.uninstrument()
    report.write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
