"""The scenes of the demo as data: what the provider plays, and what the caller does with it.

Knows scenarios of the loopback provider by name. Refuses to know SDKs, threads and terminals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

VendorName: TypeAlias = Literal["openai", "anthropic", "gemini"]
Surface: TypeAlias = Literal["chat", "responses"]
Way: TypeAlias = Literal["", "close", "cancel", "drop"]

QUESTION = "Why do models answer in pieces?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One call of a model. Times are in seconds at the demo's normal pace.

    Args:
        name: how it is called.
        about: what happens, in one sentence.
        start: when the call is made.
        model: the requested model; no two scenes share one, so that it tells open sessions apart.
        plays: scenario of the provider.
        delay: between two events.
        pause: of the scenario's one long wait.
        after: events before the scenario's fault or pause.
        chunks: pieces of output; 0 for the scenario's own number.
        batch: events that arrive together.
        vendor: whose SDK is called.
        surface: which API of it.
        is_async: whether the asynchronous client is used.
        is_stream: whether a stream is asked for.
        stop_by: how the caller ends it early, if it does.
        stop_after: chunks before the caller ends it.
        reader_delay: that the caller takes over each chunk.
        timeout: of the client; 0 for none.
    """

    name: str
    about: str
    start: float
    model: str
    plays: str = "slow"
    delay: float = 0.03
    pause: float = 0.0
    after: int = 3
    chunks: int = 0
    batch: int = 1
    vendor: VendorName = "openai"
    surface: Surface = "chat"
    is_async: bool = False
    is_stream: bool = True
    stop_by: Way = ""
    stop_after: int = 0
    reader_delay: float = 0.0
    timeout: float = 0.0

    def scenario(self, pace: float) -> str:
        """Return the scenario for the provider's URL, all its waits multiplied by `pace`."""
        waits = f"delay={self.delay * pace:g};pause={self.pause * pace:g}"
        chunks = f";chunks={self.chunks}" if self.chunks else ""
        return f"{self.plays};{waits};after={self.after};batch={self.batch}{chunks};key={self.name}"


SCENES: tuple[Scene, ...] = (
    Scene(
        name="good-answer",
        about="A stream as it should be.",
        start=0.0,
        model="gpt-5",
        chunks=120,
    ),
    Scene(
        name="slow-first-token",
        about="The provider takes long before the first token.",
        start=0.3,
        model="gpt-5-mini",
        plays="stall",
        after=0,
        pause=2.4,
        chunks=70,
        is_async=True,
    ),
    Scene(
        name="reasoning-first",
        about="The model thinks before it answers.",
        start=0.8,
        model="o4-mini",
        plays="reasoning",
        delay=0.04,
        chunks=45,
        is_async=True,
    ),
    Scene(
        name="claude-thinks",
        about="Claude thinks before it answers.",
        start=1.1,
        model="claude-opus-4-5",
        plays="reasoning",
        delay=0.035,
        chunks=45,
        vendor="anthropic",
    ),
    Scene(
        name="gemini-closed",
        about="Gemini answers, and the caller closes its generator.",
        start=1.2,
        model="gemini-2.5-pro",
        delay=0.04,
        chunks=200,
        vendor="gemini",
        stop_by="close",
        stop_after=60,
    ),
    Scene(
        name="stalled",
        about="Nothing comes for two seconds in the middle, then it goes on.",
        start=1.4,
        model="gpt-4o",
        plays="stall",
        after=40,
        pause=2.2,
        chunks=90,
    ),
    Scene(
        name="closed",
        about="The user has read enough: the caller closes the stream.",
        start=2.0,
        model="gpt-4o-mini",
        chunks=200,
        stop_by="close",
        stop_after=60,
    ),
    Scene(
        name="tool-calls",
        about="The model calls two tools.",
        start=2.6,
        model="gpt-4.1",
        plays="tools",
        delay=0.06,
        chunks=20,
        is_async=True,
    ),
    Scene(
        name="claude-tools",
        about="Claude calls two tools.",
        start=3.0,
        model="claude-sonnet-4-5",
        plays="tools",
        delay=0.06,
        chunks=20,
        vendor="anthropic",
        is_async=True,
    ),
    Scene(
        name="cut-off",
        about="The stream ends cleanly in the middle, without its end marker.",
        start=3.4,
        model="gpt-4.1-mini",
        plays="short",
        after=50,
        chunks=200,
    ),
    Scene(
        name="retries",
        about="Two attempts are refused with HTTP 503, the third is answered.",
        start=4.0,
        model="gpt-4.1-nano",
        plays="flaky",
        chunks=50,
        is_async=True,
    ),
    Scene(
        name="bursts",
        about="Something on the way holds chunks back and passes them on in bursts.",
        start=4.6,
        model="gpt-5-nano",
        delay=0.5,
        chunks=100,
        batch=14,
    ),
    Scene(
        name="provider-error",
        about="The provider reports an error in the middle of the stream.",
        start=5.2,
        model="o3",
        plays="error_event",
        after=40,
        chunks=200,
        is_async=True,
    ),
    Scene(
        name="claude-overloaded",
        about="Anthropic reports in the middle of the stream that it is overloaded.",
        start=5.5,
        model="claude-haiku-4-5",
        plays="error_event",
        after=40,
        chunks=200,
        vendor="anthropic",
    ),
    Scene(
        name="timeout",
        about="The provider stops sending, and the client's timeout strikes.",
        start=5.8,
        model="o3-mini",
        plays="hang",
        after=30,
        chunks=200,
        timeout=1.8,
    ),
    Scene(
        name="gemini-overloaded",
        about="Gemini is overloaded in the middle, and says so outside of the stream's format.",
        start=6.1,
        model="gemini-2.5-flash",
        plays="error_event",
        after=40,
        chunks=200,
        vendor="gemini",
        is_async=True,
    ),
    Scene(
        name="responses-api",
        about="The same by the Responses API.",
        start=6.4,
        model="gpt-5.1",
        delay=0.035,
        chunks=70,
        surface="responses",
        is_async=True,
    ),
    Scene(
        name="not-streamed",
        about="The same question without a stream: nothing to see until everything is there.",
        start=7.0,
        model="gpt-4-turbo",
        plays="stall",
        pause=2.6,
        chunks=90,
        is_stream=False,
    ),
    Scene(
        name="slow-consumer",
        about="The provider is fast, the caller is not.",
        start=7.6,
        model="gpt-5.2",
        delay=0.002,
        chunks=60,
        reader_delay=0.05,
    ),
    Scene(
        name="task-cancelled",
        about="The task that reads the stream is cancelled.",
        start=8.2,
        model="gpt-4o-audio",
        chunks=200,
        is_async=True,
        stop_by="cancel",
        stop_after=50,
    ),
    Scene(
        name="dropped",
        about="The caller forgets the stream without closing it.",
        start=8.8,
        model="gpt-3.5-turbo",
        chunks=200,
        stop_by="drop",
        stop_after=45,
    ),
    Scene(
        name="connection-lost",
        about="The connection is reset in the middle.",
        start=9.4,
        model="o1",
        plays="rst",
        after=45,
        chunks=200,
        is_async=True,
    ),
)
"""The whole demo, in the order of the calls."""
