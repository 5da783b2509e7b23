"""Plays scenes through the real SDKs: threads and tasks, as an application has them.

Knows how callers treat streams. What becomes of each call is not looked at here: that is what streamspan
is for. Refuses to know SDKs and terminals.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import streamspan
from streamspan.cli._scenes import Scene, VendorName
from streamspan.cli._vendors import Calls, vendor_of
from streamspan.demo import DemoProvider


@dataclass(frozen=True, slots=True)
class _Clients:
    """A vendor's calls, and its clients in both colours."""

    calls: Calls
    client: Any
    async_client: Any


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
        self._clients: dict[VendorName, _Clients] = {}
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
        async with AsyncExitStack() as stack:
            vendors: list[VendorName] = [scene.vendor for scene in self._scenes]
            preparing = (self._prepare(vendor, stack) for vendor in dict.fromkeys(vendors))
            failed = [each for each in await asyncio.gather(*preparing, return_exceptions=True) if each is not None]
            if failed:  # a client cannot be made
                self.failures |= {scene.name: failed[0] for scene in self._scenes}
                return
            gc.collect()  # now, and short from here on: it would show as a wait
            gc.freeze()
            acts = [self._aact(scene) if scene.is_async else self._act(scene, pool) for scene in self._scenes]
            outcomes = await asyncio.gather(*acts, return_exceptions=True)
        pool.shutdown(wait=False)
        for scene, outcome in zip(self._scenes, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self.failures[scene.name] = outcome

    async def _prepare(self, vendor: VendorName, stack: AsyncExitStack) -> None:
        calls = vendor_of(vendor).calls()
        url = self._provider.url(base=calls.BASE)
        client = stack.enter_context(calls.client(url, is_async=False))
        async_client = await stack.enter_async_context(calls.client(url, is_async=True))
        for each in (client, async_client):
            calls.warm_up(each)
        self._clients[vendor] = _Clients(calls, client, async_client)

    async def _act(self, scene: Scene, pool: ThreadPoolExecutor) -> None:
        await asyncio.sleep(scene.start * self._pace)
        await asyncio.get_running_loop().run_in_executor(pool, self._call, scene)

    def _call(self, scene: Scene) -> None:
        with streamspan.session(scene.name):
            self._read(self._ask(scene), scene)
        if scene.stop_by == "drop":
            gc.collect()  # openai's stream is part of a cycle (openai 3.54), and would be found some time later

    def _ask(self, scene: Scene) -> Any:
        clients = self._clients[scene.vendor]
        client = clients.async_client if scene.is_async else clients.client
        url = self._provider.url(scene.scenario(self._pace), base=clients.calls.BASE)
        return clients.calls.ask(client, scene, url, scene.timeout * self._pace or None)

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

    async def _aact(self, scene: Scene) -> None:
        await asyncio.sleep(scene.start * self._pace)
        with streamspan.session(scene.name):
            answer: AsyncIterator[Any] = await self._ask(scene)
            number = 0
            async for _ in answer:
                number += 1
                if scene.stop_by == "cancel" and number == scene.stop_after:
                    _cancel(asyncio.current_task())  # and goes on: it is the next read that is cancelled


def _cancel(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
