"""Plays scenes through the real OpenAI SDK: threads and tasks, as an application has them.

Knows the SDK and how callers treat streams. What becomes of each call is not looked at here: that is what streamspan
is for. Refuses to know terminals.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

import streamspan
from streamspan.cli._scenes import Scene
from streamspan.demo import DemoProvider

_QUESTION = "Why do models answer in pieces?"


class Stage:
    """Plays scenes in the background, each when its time has come.

    Args:
        scenes: what to play.
        provider: who answers.
        pace: factor on all times; 1 is the normal pace.
    """

    def __init__(self, scenes: Sequence[Scene], provider: DemoProvider, pace: float) -> None:
        self._scenes = scenes
        self._provider = provider
        self._pace = pace
        self._is_stopped = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._all: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="streamspan-demo-stage", daemon=True)
        self.failures: dict[str, BaseException] = {}
        """What each call raised, by scene."""

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def is_over(self, seconds: float) -> bool:
        """Wait for `seconds` at most; tell whether all scenes are over."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Cancel the tasks, and let the threads close their streams at the next chunk."""
        self._is_stopped.set()
        if self._loop is not None and self._all is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._all.cancel)

    def _run(self) -> None:
        try:
            asyncio.run(self._play())
        except asyncio.CancelledError:
            return

    async def _play(self) -> None:
        self._loop, self._all = asyncio.get_running_loop(), asyncio.current_task()
        pool = ThreadPoolExecutor(max(1, len(self._scenes)), thread_name_prefix="streamspan-demo-caller")
        url = self._provider.url()
        async with openai.AsyncOpenAI(base_url=url, api_key="demo") as async_client:
            with openai.OpenAI(base_url=url, api_key="demo") as client:
                _warm_up(client, async_client)
                acts = [
                    self._aact(scene, async_client) if scene.is_async else self._act(scene, client, pool)
                    for scene in self._scenes
                ]
                outcomes = await asyncio.gather(*acts, return_exceptions=True)
        pool.shutdown(wait=False)
        for scene, outcome in zip(self._scenes, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self.failures[scene.name] = outcome

    async def _act(self, scene: Scene, client: openai.OpenAI, pool: ThreadPoolExecutor) -> None:
        await asyncio.sleep(scene.start * self._pace)
        await asyncio.get_running_loop().run_in_executor(pool, self._call, scene, client)

    def _call(self, scene: Scene, client: openai.OpenAI) -> None:
        with streamspan.session(scene.name):
            self._read(_ask(client.with_options(**self._options(scene)), scene), scene)
        if scene.stop_by == "drop":
            gc.collect()  # the SDK's stream is part of a cycle (openai 3.54), and would be found some time later

    def _read(self, answer: Any, scene: Scene) -> None:
        if not scene.is_stream:
            return
        chunks: Iterator[Any] = iter(answer)
        for number, _ in enumerate(chunks, 1):
            if self._is_stopped.is_set() or (scene.stop_by == "close" and number == scene.stop_after):
                answer.close()
                return
            if scene.stop_by == "drop" and number == scene.stop_after:
                return
            if scene.reader_delay:
                time.sleep(scene.reader_delay * self._pace)

    async def _aact(self, scene: Scene, client: openai.AsyncOpenAI) -> None:
        await asyncio.sleep(scene.start * self._pace)
        with streamspan.session(scene.name):
            answer: AsyncIterator[Any] = await _ask(client.with_options(**self._options(scene)), scene)
            number = 0
            async for _ in answer:
                number += 1
                if scene.stop_by == "cancel" and number == scene.stop_after:
                    _cancel(asyncio.current_task())  # and goes on: it is the next read that is cancelled

    def _options(self, scene: Scene) -> dict[str, Any]:
        options: dict[str, Any] = {"base_url": self._provider.url(scene.scenario(self._pace))}
        if scene.timeout:
            # A read that waits longer is not retried once the stream has begun.
            options["timeout"] = scene.timeout * self._pace
        return options


def _warm_up(*clients: Any) -> None:
    """Import what the SDK imports at first use, and make `gc.collect` short: either would show as a wait."""
    for client in clients:
        _ = client.chat.completions, client.responses
    gc.collect()
    gc.freeze()


def _cancel(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()


def _ask(client: Any, scene: Scene) -> Any:
    """Make the call; of an asynchronous client what it returns is to be awaited."""
    if scene.surface == "responses":
        return client.responses.create(model=scene.model, input=_QUESTION, stream=scene.is_stream)
    return client.chat.completions.create(
        model=scene.model, messages=[{"role": "user", "content": _QUESTION}], stream=scene.is_stream
    )
