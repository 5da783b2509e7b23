"""What the provider has said so far: the deltas of a session joined, once for all providers.

Knows counts, tool calls, choices, usage and names. Refuses to know time and endings: what a delta says about the end
of the stream is passed on to `marked` and `faulted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from streamspan._records import (
    REASONING,
    REFUSAL,
    TEXT,
    TOOL_CALL,
    AttributeValue,
    Delta,
    ProviderError,
    Request,
    ToolCallDelta,
)

_MOST_CHOICES = 128
# Counts that only some providers have, to the total that they are a part of, and the other parts of it.
_PARTS = {
    "uncached.input_tokens": ("input_tokens", ("cache_read.input_tokens", "cache_write.input_tokens")),
    "answer.output_tokens": ("output_tokens", ("reasoning.output_tokens",)),
    "prompt.input_tokens": ("input_tokens", ("tool_use.input_tokens",)),
    "tool_use.input_tokens": ("input_tokens", ("prompt.input_tokens",)),
}


class OutputSink(Protocol):
    """Who assembles the output's content, when it is captured."""

    def text(self, choice: int, text: str) -> None:
        """Take a piece of answer text."""

    def reasoning(self, choice: int, text: str) -> None:
        """Take a piece of reasoning."""

    def refusal(self, choice: int, text: str) -> None:
        """Take a piece of a refusal."""

    def tool_call(self, choice: int, ordinal: int, piece: ToolCallDelta) -> None:
        """Take a piece of the session's tool call number `ordinal`."""


class Answer:
    """The joined deltas of one response.

    Args:
        request: what was asked.
        has_finish_reasons: whether each choice is due a finish reason.
        output: who assembles the content, if it is captured.
        text_of: shortcut for the commonest chunk: the text (not empty) of choice 0 if that is all there is in it.
    """

    __slots__ = (
        "_choices",
        "_finish_reasons",
        "_has_finish_reasons",
        "_parts",
        "_shortcut",
        "_spent",
        "_text_of",
        "_tool_calls",
        "attributes",
        "character_count",
        "has_reasoning",
        "is_answered",
        "output",
        "reasoning_count",
        "request",
        "response_id",
        "response_model",
        "usage",
    )

    def __init__(
        self,
        request: Request,
        *,
        has_finish_reasons: bool,
        output: OutputSink | None,
        text_of: Callable[[Any], str | None] | None,
    ) -> None:
        self.request = request
        self.output = output
        self.character_count = 0
        self.reasoning_count = 0
        self.has_reasoning = False
        """The reasoning itself was streamed, not only a summary of it."""
        self.usage: dict[str, int] = {}
        self.attributes: dict[str, AttributeValue] = {}
        self.response_id: str | None = None
        self.response_model: str | None = None
        self._has_finish_reasons = has_finish_reasons
        self._parts: dict[str, int] = {}
        self.is_answered = False
        """Every choice has its finish reason, whatever the wire format still owes."""
        self._spent: dict[str, int] | None = None  # usage of earlier requests of the same call
        self._choices = 0  # a bit for each that was seen
        self._finish_reasons: dict[int, str] = {}
        self._tool_calls: dict[tuple[int, int | str], int] = {}
        self._text_of = text_of
        self._shortcut: Callable[[Any], str | None] | None = None

    def marked(self) -> None:
        """The terminal marker was seen."""

    def faulted(self, error: ProviderError) -> None:
        """The provider reported a failure inside the stream."""

    def another(self, *, counts_anew: bool) -> None:
        """A further request of the same call is on its way: its finish reasons are its own, and mostly its usage."""
        self._finish_reasons.clear()
        self.is_answered = False
        if counts_anew:
            self._spent = {**self.usage, **self._parts}

    def take(self, delta: Delta) -> int:  # noqa: C901 - one line for each thing that a delta can say
        """Join what a chunk said to what is known; return the kinds of its output."""
        kinds = delta.media
        choice = delta.choice
        if choice is not None:
            choice = min(max(choice, 0), _MOST_CHOICES - 1)  # an index is what the wire says it is
            self._choices |= 1 << choice
            if delta.text:
                kinds |= TEXT
                self.character_count += len(delta.text)
            if delta.reasoning:
                kinds |= REASONING
                self.reasoning_count += len(delta.reasoning)
                self.has_reasoning |= not delta.is_summary
            if delta.refusal:
                kinds |= REFUSAL
                self.character_count += len(delta.refusal)
            if self.output is not None and kinds:
                _pass_on(self.output, choice, delta)
            if delta.tool_calls:
                kinds |= self._take_tool_calls(choice, delta.tool_calls)
            if delta.finish_reason:
                self._take_finish_reason(choice, delta)
        if (
            delta.usage
            or delta.attributes
            or self._shortcut is None
            or (delta.response_model and not delta.response_id)
        ):
            self._take_response(delta)
        if delta.is_terminal:
            self.marked()
        if delta.error is not None:
            self.faulted(delta.error)
        for other in delta.others:
            kinds |= self.take(other)
        return kinds

    def take_text(self, text: str) -> None:
        """Join a chunk that said nothing but a text of choice 0."""
        self.character_count += len(text)
        if self.output is not None:
            self.output.text(0, text)

    def heard(self, deltas: Iterable[Delta]) -> None:
        """Take the usage from what was on the wire and never came out as a chunk."""
        for delta in deltas:
            if delta.usage:
                self.take(Delta(usage=delta.usage))

    def _take_tool_calls(self, choice: int, pieces: Iterable[ToolCallDelta]) -> int:
        kinds = 0
        for piece in pieces:
            ordinal = self._ordinal(choice, piece)
            if piece.name or piece.arguments:
                kinds = TOOL_CALL
                self.character_count += len(piece.arguments)
            if self.output is not None:
                self.output.tool_call(choice, ordinal, piece)
        return kinds

    def _ordinal(self, choice: int, piece: ToolCallDelta) -> int:
        """Number the tool calls of the session: pieces of one call share a number."""
        calls = self._tool_calls
        if piece.index is not None:
            key: int | str = piece.index
        elif piece.id or not calls:
            key = piece.id
        elif piece.begins:
            key = f"#{len(calls)}"
        else:
            return len(calls) - 1  # neither index nor id: it goes on with the last call
        return calls.setdefault((choice, key), len(calls))

    def _take_finish_reason(self, choice: int, delta: Delta) -> None:
        self._finish_reasons[choice] = delta.finish_reason
        due = max(self.request.choice_count, self._choices.bit_count())
        if delta.is_interrupted or not self._has_finish_reasons or len(self._finish_reasons) < due:
            return
        self.is_answered = True
        if delta.reason_ends:
            self.marked()

    def _take_response(self, delta: Delta) -> None:
        if delta.usage:
            self._take_usage(delta.usage)
        if delta.attributes:
            self.attributes.update(delta.attributes)
        self.response_id = self.response_id or delta.response_id or None
        if delta.response_model and not (self.response_model and delta.response_id):
            self.response_model = delta.response_model
        if self.response_id and self.response_model:
            self._shortcut = self._text_of  # nothing else is expected of a chunk of text from now on

    def _take_usage(self, usage: Mapping[str, int]) -> None:
        if self._spent:  # counts are cumulative within one request
            usage = {name: count + self._spent.get(name, 0) for name, count in usage.items()}
        self.usage.update(usage)
        for part, (total, others) in _PARTS.items():
            if part in self.usage:
                self._parts[part] = self.usage.pop(part)
            if part in self._parts:
                rest = sum(self.usage.get(name, self._parts.get(name, 0)) for name in others)
                self.usage[total] = self._parts[part] + rest

    @property
    def tool_call_count(self) -> int:
        """How many tool calls the answer has."""
        return len(self._tool_calls)

    def reasons(self, *, is_started: bool) -> tuple[str, ...]:
        """Return the provider's finish reasons by choice; `error` where one was due and never came.

        None is due before the provider has accepted the request (`is_started`).
        """
        if not is_started or not (self._has_finish_reasons or self._finish_reasons):
            return ()
        due = min(max(self.request.choice_count, self._choices.bit_length()), _MOST_CHOICES)
        return tuple(self._finish_reasons.get(choice, "error") for choice in range(due))


def _pass_on(output: OutputSink, choice: int, delta: Delta) -> None:
    if delta.text:
        output.text(choice, delta.text)
    if delta.reasoning:
        output.reasoning(choice, delta.reasoning)
    if delta.refusal:
        output.refusal(choice, delta.refusal)
