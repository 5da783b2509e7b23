"""When things arrived: the clocks and counts of one stream, in constant memory.

Knows time as numbers that it is given. The clock is passed in. Refuses to know what a stream is and why it ends.
All clocks are nanoseconds of the session's clock; the properties that are told to people are seconds.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from streamspan._answer import Answer, OutputSink
from streamspan._arrivals import Arrivals, Waits
from streamspan._records import REASONING, ChunkRecord, Delta, Hop, Request, Retry, Stall
from streamspan._semconv import HOP_COUNT

_MOST_HOPS = 16
_MOST_STALLS = 8
_MOST_RETRIES = 16
_TOLD_AT_ONCE = 16  # arrivals; the code that takes them is then in the processor's cache for all but the first
_TOLD_WITHIN_NS = 1_000_000_000  # or with the next chunk after that


class Timeline(Answer):
    """The answer of a session on its clock.

    Args:
        request, has_finish_reasons, output, text_of: as `Answer`.
        clock: monotonic nanoseconds.
        started_unix_ns: the wall clock at the call.
        stall_ns: wait that counts as a stall.
        chunk_budget: most chunk records to keep; 0 for none.
        on_arrivals: takes the arrivals of chunks, several at a time; None when nobody wants to know.
    """

    __slots__ = (
        "_arrivals",
        "_arrived_at",
        "_failed_attempt",
        "_first_output_characters",
        "_kept",
        "_last_output_at",
        "_lent_at",
        "_on_arrivals",
        "_pulled_at",
        "_recent",
        "_stall_ns",
        "_tell_at",
        "chunk_count",
        "clock",
        "consumer_ns",
        "first_answer_at",
        "first_chunk_at",
        "first_output_at",
        "first_output_index",
        "first_output_kinds",
        "headers_at",
        "hops",
        "last_chunk_at",
        "output_chunk_count",
        "provider_ns",
        "request_id",
        "resend_count",
        "retries",
        "stall_count",
        "stall_ns",
        "stalls",
        "started_at",
        "started_unix_ns",
        "status_code",
        "waits",
    )

    def __init__(
        self,
        request: Request,
        *,
        clock: Callable[[], int],
        started_unix_ns: int,
        stall_ns: int,
        chunk_budget: int,
        on_arrivals: Callable[[Sequence[int]], object] | None,
        has_finish_reasons: bool,
        output: OutputSink | None,
        text_of: Callable[[Any], str | None] | None,
    ) -> None:
        super().__init__(request, has_finish_reasons=has_finish_reasons, output=output, text_of=text_of)
        self.clock = clock
        self.started_at = self._pulled_at = self._arrived_at = clock()
        self._kept: tuple[Any, int] | None = None
        self.started_unix_ns = started_unix_ns
        self._stall_ns = stall_ns
        self._on_arrivals = on_arrivals
        self._recent = None if on_arrivals is None else array("q")  # arrivals that nobody was told of yet
        self._failed_attempt: tuple[int, int | None, str | None] | None = None
        self.retries: list[Retry] = []
        self.hops: list[Hop] = []
        self.resend_count = 0
        self.status_code: int | None = None
        self.request_id: str | None = None
        self.headers_at: int | None = None
        self.first_chunk_at: int | None = None
        self.last_chunk_at: int | None = None
        self.first_output_at: int | None = None
        self.first_output_index = self.first_output_kinds = self._first_output_characters = 0
        self.first_answer_at: int | None = None
        self._last_output_at = self._tell_at = 0
        self.chunk_count = self.output_chunk_count = 0
        self.provider_ns: int = 0
        self.consumer_ns = self._lent_at = self.stall_count = self.stall_ns = 0
        self.stalls: list[Stall] = []
        self._arrivals = Arrivals(chunk_budget) if chunk_budget and request.is_stream else None
        self.waits = Waits() if request.is_stream else None

    def backdate(self, at_ns: int) -> None:
        """Begin earlier: what the answer is to was over before it was known that there would be one."""
        self.started_at = self._pulled_at = self._arrived_at = at_ns

    def unstreamed(self) -> None:
        """What was asked for as a stream is answered in one piece: it is a call without a stream from now on."""
        self.request = replace(self.request, is_stream=False)
        self.waits = self._arrivals = self._recent = None

    def lent(self) -> None:
        """The SDK runs code of the caller's inside its own read: from now on the time is the caller's."""
        self._lent_at = self.clock()

    def regained(self, chunk: Any) -> None:
        """That code is through; it was run for what a chunk says, and has kept that chunk from arriving."""
        kept_ns = self.clock() - self._lent_at
        self._lent_at = 0
        self._pulled_at += kept_ns
        if self.waits is not None:
            self._kept = chunk, kept_ns

    def _kept_back(self, chunk: Any) -> int:
        """Return how long the caller's own code has kept a chunk back, if it is the one."""
        kept, self._kept = self._kept, None
        return kept[1] if kept is not None and kept[0] is chunk else 0

    def attempt(self) -> bool:
        """An HTTP request is about to be sent: if an earlier one failed, this is a resend. Tell whether it is."""
        failed, self._failed_attempt = self._failed_attempt, None
        if failed is None:
            return False
        if not self.hops:  # else there was an answer, whose headers were the first
            self.headers_at = self.request_id = None  # of the attempt that failed
        failed_at, status_code, error_type = failed
        self._resent(failed_at, (self.clock() - failed_at) / 1e9, status_code, error_type)
        return True

    def was_resent(self, status_code: int | None, error_type: str | None) -> None:
        """An HTTP library says, when all is over, that an attempt had failed and that it has sent the request again."""
        self._resent(self.clock(), None, status_code, error_type)

    def _resent(self, at_ns: int, delay: float | None, status_code: int | None, error_type: str | None) -> None:
        self.resend_count += 1
        if len(self.retries) == _MOST_RETRIES:
            del self.retries[_MOST_RETRIES // 2]  # the first ones and the latest tell most
        self.retries.append(Retry(self.resend_count, at_ns, delay, status_code, error_type))

    def another(self, *, counts_anew: bool) -> None:
        """A further request of the same call is on its way; the first ones are kept."""
        super().another(counts_anew=counts_anew)
        number = int(self.attributes.get(HOP_COUNT, 0)) + 1  # type: ignore[arg-type] # it is set here only
        self.attributes[HOP_COUNT] = number
        if number <= _MOST_HOPS:
            self.hops.append(Hop(number, self.chunk_count, self.clock()))

    def attempt_failed(self, status_code: int | None, error_type: str | None) -> None:
        """An HTTP request failed, by its status or before it had one."""
        self._failed_attempt = (self.clock(), status_code, error_type)
        self.status_code = status_code

    def refused(self, status_code: int, request_id: str | None) -> None:
        """The headers of a response have arrived, and say that there will be no answer."""
        self.attempt_failed(status_code, None)
        if not self.hops:
            self.headers_at = self.clock()
        self.request_id = request_id or None

    def take_chunk(self, delta: Delta, at_ns: int, wait: int) -> None:
        """Take one chunk that arrived after a wait."""
        characters, thoughts = self.character_count, self.reasoning_count
        kinds = self.take(delta)
        if self.waits is None:  # a whole answer that came through the byte tap is no chunk
            self.provider_ns += wait
            return
        self.count(at_ns, wait, self.character_count - characters, self.reasoning_count - thoughts, kinds)

    def count(self, at_ns: int, wait: int, characters: int, thoughts: int, kinds: int) -> None:
        """Count one chunk. Every chunk passes here, so what is rare stands in other functions."""
        index = self.chunk_count
        self.chunk_count = index + 1
        self.last_chunk_at = at_ns
        self.provider_ns += wait
        if index:
            self.waits.add(wait)  # type: ignore[union-attr] # only streams are counted
            if wait >= self._stall_ns:
                self.stalled(index, wait, at_ns)
        else:
            self.first_chunk(at_ns)
        if kinds:
            self.output_chunk_count += 1
            self._last_output_at = at_ns
            if self.first_answer_at is None:
                self._first_output(index, at_ns, kinds)
        if self._arrivals is not None:
            self._arrivals.add(characters, thoughts, kinds, wait, at_ns)
        recent = self._recent
        if recent is not None:
            recent.append(at_ns)
            if len(recent) == _TOLD_AT_ONCE or at_ns >= self._tell_at:
                self.tell_arrivals()

    def tell_arrivals(self) -> None:
        """Tell of the chunks that nobody was told of yet."""
        recent = self._recent
        if recent and self._on_arrivals is not None:
            self._recent = array("q")
            self._tell_at = recent[-1] + _TOLD_WITHIN_NS
            self._on_arrivals(recent)

    def first_chunk(self, at_ns: int) -> None:
        """Note the first chunk of any kind."""
        self.first_chunk_at = at_ns
        self._tell_at = at_ns + _TOLD_WITHIN_NS

    def _first_output(self, index: int, at_ns: int, kinds: int) -> None:
        """Note the first output of any kind, and the first that is no reasoning."""
        if self.first_output_at is None:
            self.first_output_at = at_ns
            self.first_output_index = index
            self.first_output_kinds = kinds
            self._first_output_characters = self.character_count + self.reasoning_count
        if kinds != REASONING:
            self.first_answer_at = at_ns

    def stalled(self, index: int, wait: int, at_ns: int) -> None:
        """Note a wait of at least the stall limit; the longest are kept."""
        self.stall_count += 1
        self.stall_ns += wait
        self.stalls.append(Stall(index, at_ns, wait / 1e9))
        if len(self.stalls) > _MOST_STALLS:
            self.stalls.remove(min(self.stalls, key=lambda stall: stall.seconds))

    # --- what there is to tell -----------------------------------------------------------------------------------

    def seconds_to(self, at_ns: int | None) -> float | None:
        """Return the seconds from the call to a moment of the session's clock."""
        return None if at_ns is None else (at_ns - self.started_at) / 1e9

    def unix_ns(self, at_ns: int) -> int:
        """Return the wall clock of a moment of the session's clock."""
        return self.started_unix_ns + at_ns - self.started_at

    def chunk_records(self, most: int | None = None) -> list[ChunkRecord]:
        """Return the chunk records, merged down to `most` of them."""
        return [] if self._arrivals is None else self._arrivals.records(most)

    @property
    def window(self) -> float:
        """Seconds from the first to the last chunk with output; 0.0 with fewer than two of them."""
        if self.first_output_at is None:
            return 0.0
        return (self._last_output_at - self.first_output_at) / 1e9

    @property
    def output_rate(self) -> float | None:
        """Tokens per second over the window, from the provider's own counts; None where that is undefined.

        The first token opens the window and is no part of the rate: (N - 1) / window, as in the field's inter-token
        latency. Reasoning tokens count only when the reasoning itself was streamed; else the window is the answer's.
        """
        tokens = self.usage.get("output_tokens", 0)
        window_ns = self._last_output_at - (self.first_output_at or self._last_output_at)
        hidden = self.usage.get("reasoning.output_tokens")
        if not self.has_reasoning and hidden is not None:
            tokens -= hidden
            window_ns = self._last_output_at - (self.first_answer_at or self._last_output_at)
        return (tokens - 1) / (window_ns / 1e9) if tokens > 1 and window_ns > 0 else None

    @property
    def character_rate(self) -> float | None:
        """Characters after the first chunk with output per second of the window; None where that is undefined."""
        characters = self.character_count + self.reasoning_count - self._first_output_characters
        return characters / self.window if characters > 0 and self.window > 0 else None
