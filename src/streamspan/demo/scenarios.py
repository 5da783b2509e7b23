"""The scenarios: what happens before a stream, its steps, and how it ends, as one table.

A scenario's name may be followed by parameters that override its defaults: `late;pause=0.3;chunks=5`. The parameter
`key` changes nothing of the scenario; it keeps gates and counted attempts of concurrent users apart.
Knows pacing and faults. Refuses to know vendors and sockets.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Literal, TypeAlias

from streamspan.demo.steps import (
    Action,
    Playback,
    Step,
    first,
    hold,
    one_by_one,
    opening,
    output,
    pause,
    rest,
    say,
    three_deltas,
)
from streamspan.demo.streams import Kind, Reply

Ending: TypeAlias = Literal["end", "hang", "drop", "rst", "eof", "close_1011"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What the server does with a request.

    Args:
        summary: one sentence for people.
        status: HTTP status; 0 for no answer at all.
        steps: what is sent, in this order, while events are left.
        ending: what becomes of the connection after the last step.
        variant: which form of the vendor's stream is played.
        omitted: kinds of events that are left out.
        dress: how events look on the wire, a name of `streams.DRESSES`.
        coding: content coding.
        fails: how many first attempts (per key) get a 503 instead.
        delay: seconds before every event but the first.
        pause: seconds of the one long wait.
        after: number of events before the fault or the pause.
        chunks: pieces of output; None for the vendor's own number.
        split: bytes per write; 0 for whole events.
        batch: events per write.
    """

    summary: str
    status: int = 200
    steps: tuple[Step, ...] = ()
    ending: Ending = "end"
    variant: str = "text"
    omitted: tuple[Kind, ...] = ()
    dress: str = "lf"
    coding: Literal["", "gzip"] = ""
    fails: int = 0
    delay: float = 0.0
    pause: float = 0.3
    after: int = 3
    chunks: int | None = None
    split: int = 0
    batch: int = 1

    @property
    def is_silent(self) -> bool:
        """Whether there is no answer at all."""
        return self.status == 0

    @property
    def is_refusal(self) -> bool:
        """Whether the answer is an HTTP error."""
        return self.status >= HTTPStatus.BAD_REQUEST

    def script(self, reply: Reply) -> Iterator[Action]:
        """Yield what to do, in order."""
        left = deque(event for event in reply.events if event.kind not in self.omitted)
        play = Playback(left, reply, self.after, self.pause)
        for step in self.steps:
            yield from step(play)

    def as_whole(self) -> Scenario:
        """Return the scenario for an answer in one piece, of which a broken connection leaves the first half."""
        waits = tuple(step for step in self.steps if step in (pause, hold))
        steps = (*waits, rest) if self.ending == "end" else (opening,)
        return replace(self, steps=steps if self.steps else (), omitted=(), dress="bare")


def _plays(summary: str, variant: str = "text", **more: Any) -> Scenario:
    return replace(Scenario(summary=summary, steps=(rest,), variant=variant), **more)


def _fails(status: int, meaning: str) -> Scenario:
    return Scenario(summary=f"HTTP {status}: {meaning}.", status=status)


SCENARIOS: Mapping[str, Scenario] = {
    # Healthy streams and their shapes.
    "ok": _plays("A good answer."),
    "slow": _plays("20 ms between chunks.", delay=0.02),
    "late": Scenario(summary="The first chunk at once, the first token after a pause.", steps=(opening, pause, rest)),
    "big": _plays("A long answer, as fast as it goes.", chunks=2000),
    "one_chunk": _plays("The whole answer in one chunk.", "one_chunk"),
    "tools": _plays("Two parallel tool calls.", "tools"),
    "reasoning": _plays("Thoughts before the answer.", "reasoning"),
    "refusal": _plays("The model refuses.", "refusal"),
    "audio": _plays("A spoken answer.", "audio"),
    "n2": _plays("Two interleaved choices, the second ends at the token limit.", "n2"),
    "server_tools": _plays("A tool that runs at the provider, and its result.", "server_tools"),
    "citations": _plays("An answer with citations.", "citations"),
    "redacted": _plays("Thoughts that are not shown before the answer.", "redacted"),
    "compaction": _plays("The conversation is summed up before the answer.", "compaction"),
    "cached": _plays("Most of the prompt comes from the provider's cache.", "cached"),
    "partial_arguments": _plays("A tool call whose arguments come in pieces of their values.", "partial_arguments"),
    "blocked": _plays("The prompt is blocked: there is no answer.", "blocked"),
    "continuation": _plays("An answer that a second request goes on with.", "continuation"),
    # Odd data.
    "null_choices": _plays("A chunk with `choices: null`.", "null_choices"),
    "empty_choices_first": _plays("Azure's first chunk: no choices, empty id and model.", "empty_choices_first"),
    "no_delta": _plays("A choice without a delta.", "no_delta"),
    "missing_tool_index": _plays("Tool calls without an index.", "missing_tool_index"),
    "cumulative_usage": _plays("Usage on every chunk.", "cumulative_usage"),
    "usage_only": _plays("No finish reason; a usage chunk is the last one.", "usage_only"),
    "usage_on_finish": _plays("Usage on the chunk with the finish reason.", "usage_on_finish"),
    "usage_after_finish": _plays("After the finish reason a chunk without one, with usage.", "usage_after_finish"),
    "obfuscation": _plays("Padding in every chunk.", "obfuscation"),
    "openrouter_error": _plays("An error in a chunk together with choices and usage.", "openrouter_error"),
    # The same events in other bytes.
    "keepalive": _plays("Comment lines between the events.", dress="keepalive"),
    "crlf": _plays("Lines end in CRLF.", dress="crlf"),
    "multiline": _plays("Payloads over several data lines.", dress="multiline"),
    "gzip": _plays("A compressed body, flushed at every event.", coding="gzip"),
    "split": _plays("Bytes in small odd pieces.", split=7),
    # Waits.
    "stall": Scenario(summary="A pause in the middle.", steps=(first, pause, rest), pause=0.5),
    "gate": Scenario(summary="Waits in the middle until released.", steps=(first, hold, rest)),
    "steps": Scenario(summary="Waits before every event until released.", steps=(one_by_one,)),
    "hang": Scenario(summary="Stops sending, the connection stays open.", steps=(first,), ending="hang"),
    "hang_headers": Scenario(summary="Headers and nothing more.", ending="hang"),
    "hang_before": Scenario(summary="Takes the request and never answers.", status=0, ending="hang"),
    # Errors inside the stream.
    "error_event": Scenario(summary="An error event in the middle.", steps=(first, say("error"))),
    "error_event_named": Scenario(summary="An error under `event: error`.", steps=(first, say("error_named"))),
    "response_error_item": Scenario(summary="Responses: an `error` item.", steps=(first, say("error_item"))),
    "response_failed": Scenario(summary="Responses: `response.failed`.", steps=(first, say("failed"))),
    "response_incomplete": Scenario(summary="Cut at the token limit.", steps=(output, say("incomplete"))),
    "garbage": Scenario(summary="A payload that is no JSON.", steps=(first, say("garbage"), rest)),
    # Cut off, cleanly.
    "short": Scenario(summary="A clean end in the middle, without any marker.", steps=(first,)),
    "short_role": Scenario(summary="A clean end before any output.", steps=(opening,)),
    "short_tool": Scenario(summary="A clean end inside a tool call.", steps=(three_deltas,), variant="tools"),
    "empty": Scenario(summary="HTTP 200 and no data."),
    "no_done": _plays("A finish reason, no end marker.", omitted=("done",)),
    "done_only": _plays("An end marker, no finish reason.", omitted=("finish", "usage")),
    # Cut off, uncleanly.
    "drop": Scenario(summary="The connection is dropped in the middle.", steps=(first,), ending="drop"),
    "rst": Scenario(summary="The connection is reset in the middle.", steps=(first,), ending="rst"),
    "eof": Scenario(summary="The connection is closed inside a chunk.", steps=(first,), ending="eof"),
    "reset_before": Scenario(summary="Reset before the headers.", status=0, ending="rst"),
    # Only on a WebSocket.
    "close_1011": Scenario(summary="The server closes with 1011 in the middle.", steps=(first,), ending="close_1011"),
    "barge_in": Scenario(summary="The user speaks into the answer.", steps=(first, say("interrupted"))),
    "go_away": Scenario(summary="The server announces its end, then goes on.", steps=(first, say("go_away"), rest)),
    "refused": Scenario(summary="The question is refused with an error.", steps=(say("refused"),)),
    "unrelated_error": Scenario(summary="An error about something else.", steps=(first, say("unrelated"), rest)),
    # Refused.
    "flaky": _plays("Fails twice, then a good answer.", fails=2),
    "status_400": _fails(400, "the request is wrong"),
    "status_401": _fails(401, "the key is wrong"),
    "status_404": _fails(404, "there is no such model"),
    "status_429": _fails(429, "too many requests"),
    "status_500": _fails(500, "the server failed"),
    "status_503": _fails(503, "the server is overloaded"),
}

_PARAMETERS: Mapping[str, Callable[[str], object]] = {
    "pause": float,
    "delay": float,
    "after": int,
    "chunks": int,
    "split": int,
    "batch": int,
    "fails": int,
    "key": str,
}


class UnknownScenarioError(ValueError):
    """The URL names a scenario or a parameter that there is not; the message lists those that there are."""


def key_of(text: str) -> str:
    """Return the key in `name;parameter=value;…`: the `key` parameter, else all of it."""
    keys = [pair.removeprefix("key=") for pair in text.split(";") if pair.startswith("key=")]
    return keys[-1] if keys else text


def parse(text: str) -> Scenario:
    """Read `name;parameter=value;…`.

    Raises:
        UnknownScenarioError: the name or a parameter is unknown, or a value is none.
    """
    name, *pairs = text.split(";")
    if name not in SCENARIOS:
        raise UnknownScenarioError(f"no scenario {name!r}; there are {', '.join(SCENARIOS)}")
    changes: dict[str, Any] = {}
    for pair in pairs:
        parameter, _, value = pair.partition("=")
        try:
            changes[parameter] = _PARAMETERS[parameter](value)
        except (KeyError, ValueError):
            message = f"scenario parameter {pair!r}; there are {', '.join(_PARAMETERS)}, each with a value"
            raise UnknownScenarioError(message) from None
    changes.pop("key", None)
    return replace(SCENARIOS[name], **changes)
