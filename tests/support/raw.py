"""What raw HTTP surfaces share: the requests, and how what comes of them is counted, whatever the library.

Knows vendors' wire formats by their request and by what a complete stream of them says. Knows no library.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from support.surface import Surface, entered_of, is_no_marker, same

MODEL = "gpt-demo"
_QUESTION = "What is a stream?"
_MESSAGES = [{"role": "user", "content": _QUESTION}]
_EMPTY_LINE = re.compile(rb"\n\n")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """One wire format: its request, and what a complete stream of it says.

    Args:
        name: as part of a surface's name.
        path: after the base URL.
        base: the base URL's own path.
        body: the parameters.
        operation, model, finish, finishes: as `Surface`.
        traits: what applies to streams of this format.
        errors: what the provider's errors are called.
        event: what is there once in each event that is a chunk: its end, or what its last line has.
        hands_out: whether an event of the server's is a chunk, by its payload.
    """

    name: str
    path: str
    body: Mapping[str, Any]
    base: str = "/v1"
    operation: str = "chat"
    model: str | None = MODEL
    finish: tuple[str, ...] = ("stop",)
    finishes: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    traits: frozenset[str]
    errors: Mapping[str, str]
    event: re.Pattern[bytes] = _EMPTY_LINE
    hands_out: Callable[[str], bool] = is_no_marker

    def ends_event(self, line: str | bytes) -> int:
        """Count the events that a line completes, with its end or without it: httpx keeps it before 0.24."""
        if self.event is _EMPTY_LINE:
            return int(not line.strip())
        return self.events_in(line.encode() if isinstance(line, str) else line)

    def events_in(self, data: bytes) -> int:
        """Count the events that a piece completes."""
        return len(self.event.findall(data))

    def events_in_text(self, text: str) -> int:
        """Count the events that a piece of text completes."""
        return self.events_in(text.encode())


_OPENAI_ERRORS = {
    "error-event": "overloaded",
    "status-400": "invalid_value",
    "status-401": "invalid_api_key",
    "status-404": "model_not_found",
    "status-429": "rate_limit_exceeded",
    "status-500": "server_error",
    "status-503": "overloaded",
}
CHAT = Wire(
    name="chat",
    path="/chat/completions",
    body={"model": MODEL, "messages": _MESSAGES, "stream": True},
    finishes={"token-limit": ("length",), "tools": ("tool_calls",), "two-choices": ("stop", "length")},
    traits=frozenset({"chat", "done"}),
    errors=_OPENAI_ERRORS,
)
COMPLETIONS = Wire(
    name="completions",
    path="/completions",
    body={"model": MODEL, "prompt": "What is a stream?", "stream": True},
    operation="text_completion",
    traits=frozenset({"completions", "done"}),
    errors=_OPENAI_ERRORS,
)
RESPONSES = Wire(
    name="responses",
    path="/responses",
    body={"model": MODEL, "input": "What is a stream?", "stream": True},
    finish=("completed",),
    finishes={"token-limit": ("max_output_tokens",)},
    traits=frozenset({"responses"}),
    errors=_OPENAI_ERRORS,
)

ANTHROPIC = Wire(
    name="messages",
    path="/messages",
    body={"model": MODEL, "max_tokens": 64, "messages": _MESSAGES, "stream": True},
    finish=("end_turn",),
    finishes={"token-limit": ("max_tokens",), "tools": ("tool_use",)},
    traits=frozenset({"messages"}),
    errors={
        "error-event": "overloaded_error",
        "status-400": "invalid_request_error",
        "status-401": "authentication_error",
        "status-404": "not_found_error",
        "status-429": "rate_limit_error",
        "status-500": "api_error",
        "status-503": "overloaded_error",
    },
    event=re.compile(rb'data: (?!\{"type":"ping"\})'),
    hands_out=lambda payload: payload != '{"type":"ping"}',
)
_CONTENTS: Mapping[str, Any] = {"contents": [{"role": "user", "parts": [{"text": _QUESTION}]}]}
CONTENT = Wire(
    name="content",
    path=f"/models/{MODEL}:streamGenerateContent?alt=sse",
    base="/v1beta",
    body=_CONTENTS,
    operation="generate_content",
    finish=("STOP",),
    finishes={"token-limit": ("MAX_TOKENS",), "tools": ("STOP",), "two-choices": ("STOP", "MAX_TOKENS")},
    traits=frozenset({"content"}),
    errors={
        "error-event": "UNAVAILABLE",
        "status-400": "INVALID_ARGUMENT",
        "status-401": "UNAUTHENTICATED",
        "status-404": "NOT_FOUND",
        "status-429": "RESOURCE_EXHAUSTED",
        "status-500": "INTERNAL",
        "status-503": "UNAVAILABLE",
    },
)
CONTENT_ARRAY = replace(
    CONTENT,
    name="content-array",
    path=f"/models/{MODEL}:streamGenerateContent",
    event=re.compile(rb'"responseId":'),
    hands_out=lambda payload: payload != "]",
)
_BY_STATUS = {f"status-{status}": str(status) for status in (400, 401, 404, 429, 500, 503)}
COHERE = Wire(
    name="cohere",
    path="/chat",
    base="/v2",
    body={"model": MODEL, "messages": _MESSAGES, "stream": True},
    finish=("COMPLETE",),
    finishes={"token-limit": ("MAX_TOKENS",), "tools": ("TOOL_CALL",)},
    traits=frozenset(),
    errors=_BY_STATUS | {"error-event": "ERROR"},
)
OLLAMA = Wire(
    name="ollama",
    path="/chat",
    base="/api",
    body={"model": MODEL, "messages": _MESSAGES, "stream": True},
    finishes={"token-limit": ("length",), "tools": ("stop",)},
    traits=frozenset(),
    errors=_BY_STATUS | {"error-event": "_OTHER"},
    event=re.compile(rb'"done":'),
)
GENERATE = replace(
    OLLAMA,
    name="generate",
    path="/generate",
    # It streams unless it is told not to.
    body={"model": MODEL, "prompt": _QUESTION},
    operation="text_completion",
    finishes={"token-limit": ("length",)},
)
CONVERSE = Wire(
    name="converse",
    path=f"/{MODEL}/converse-stream",
    base="/model",
    body={"messages": [{"role": "user", "content": [{"text": _QUESTION}]}]},
    finish=("end_turn",),
    finishes={"token-limit": ("max_tokens",), "tools": ("tool_use",)},
    traits=frozenset(),
    errors={
        "error-event": "throttlingException",
        "status-400": "ValidationException",
        "status-401": "UnrecognizedClientException",
        "status-404": "ResourceNotFoundException",
        "status-429": "ThrottlingException",
        "status-500": "InternalServerException",
        "status-503": "ServiceUnavailableException",
    },
    event=re.compile(rb":event-type"),
)
INVOKE = replace(
    CONVERSE,
    name="invoke",
    path=f"/{MODEL}/invoke-with-response-stream",
    body={"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64, "messages": _MESSAGES},
)
WIRES = (
    CHAT, COMPLETIONS, RESPONSES, ANTHROPIC, CONTENT, CONTENT_ARRAY, COHERE, OLLAMA, GENERATE, CONVERSE, INVOKE,
)  # fmt: skip
"""Every wire format."""
OTHERS = WIRES[3:]
"""Those of other vendors than OpenAI."""
IN_PIECES = (CONTENT_ARRAY, CONVERSE, INVOKE)
"""Those whose events are no lines."""


def surface_of(wire: Wire, way: str, **more: Any) -> Surface:
    """Return the surface of a format that is read in one way; what the library has of its own comes with it."""
    made: dict[str, Any] = {
        "name": f"{wire.name}-{way}",
        "is_manager": True,
        "closer": entered_of,
        "response": same,
        "hands_out": wire.hands_out,
        "operation": wire.operation,
        "model": wire.model,
        "finish": wire.finish,
        "finishes": wire.finishes,
        "resends": False,
    }
    return Surface(**made | more)
