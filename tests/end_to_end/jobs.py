"""What the application is to do, and what is true of it: every scenario of the demo, and every recording.

Knows the outcomes, written down by hand; refuses to know telemetry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.recorded import RECORDINGS, Recording, known
from support.truth import Payload, Truth, of_chat, of_responses, of_run

Reader = Callable[[Iterable[Payload]], Truth]
QUESTION = "What is a stream?"
_BOTH = ("sync", "async")


@dataclass(frozen=True, kw_only=True)
class Job:
    """One call.

    Args:
        name: of the job; unlike all others.
        scenario: what the demo provider plays; empty for a recording.
        recording: what is played instead.
        call: the SDK's method, as a path from the client.
        arguments: what it is called with.
        act: what the application does with the stream.
        view: method of the response that gives what is iterated over, if it is not iterated over itself.
        is_manager: whether the call returns a context manager.
        is_raw: whether the items are bytes or lines, or events of an SDK's helper, and not the chunks of the wire.
        operation: as the span has it.
        outcome, error, reasons: as recorded.
        hidden: payloads that the SDK turns into an exception.
        is_cut: whether the provider may have sent more than arrived.
        read: reads the truth out of the payloads.
        colours, retries, timeout: of the client.
    """

    name: str
    scenario: str = ""
    recording: Recording | None = None
    call: str = "chat.completions.create"
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    act: str = "read"
    view: str = ""
    is_manager: bool = False
    is_raw: bool = False
    operation: str = "chat"
    outcome: str = "completed"
    error: str | None = None
    reasons: tuple[str, ...] = ()
    hidden: int = 0
    is_cut: bool = False
    read: Reader = of_chat
    colours: tuple[str, ...] = _BOTH
    retries: int = 2
    timeout: float = 20.0

    @property
    def is_stream(self) -> bool:
        """Whether a stream is asked for."""
        return self.act != "whole"

    def plan(self, url: str) -> dict[str, Any]:
        """Return the job as the application takes it."""
        is_azure = self.recording is not None and "azure" in self.recording.url
        return {
            "url": url if is_azure or self.scenario else f"{url}/v1",
            "is_azure": is_azure,
            "api_key": "key",
            "headers": {},
            "query": {},
            "call": self.call,
            "arguments": dict(self.arguments),
            "act": self.act,
            "view": self.view,
            "is_manager": self.is_manager,
            "retries": self.retries,
            "timeout": self.timeout,
        }


_MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
_TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}}]

_READ_TIMED_OUT, _CONNECTION = "openai.APITimeoutError", "openai.APIConnectionError"
_COMPLETED: dict[str, Any] = {}
_TRUNCATED: dict[str, Any] = {"outcome": "truncated", "error": "truncated"}
_CUT: dict[str, Any] = {"outcome": "error", "error": _CONNECTION, "is_cut": True}
_IN_BAND: dict[str, Any] = {"outcome": "error", "error": "overloaded", "hidden": 1}
_SLOW: dict[str, Any] = {"outcome": "timeout", "error": _READ_TIMED_OUT, "retries": 0, "timeout": 0.4, "is_cut": True}


def _error(kind: str, **more: Any) -> dict[str, Any]:
    return {"outcome": "error", "error": kind} | more


CHAT: dict[str, dict[str, Any]] = {
    "ok": _COMPLETED,
    "slow": _COMPLETED,
    "late": _COMPLETED,
    "big": _COMPLETED,
    "one_chunk": _COMPLETED,
    "tools": _COMPLETED,
    "reasoning": _COMPLETED,
    "refusal": _COMPLETED,
    "audio": _COMPLETED,
    "n2": _COMPLETED,
    "null_choices": _COMPLETED,
    "empty_choices_first": _COMPLETED,
    "no_delta": _COMPLETED,
    "missing_tool_index": _COMPLETED,
    "cumulative_usage": _COMPLETED,
    "usage_only": _COMPLETED,
    "usage_on_finish": _COMPLETED,
    "usage_after_finish": _COMPLETED,
    "obfuscation": _COMPLETED,
    "openrouter_error": _error("502", hidden=1),
    "keepalive": _COMPLETED,
    "crlf": _COMPLETED,
    "multiline": _COMPLETED,
    "gzip": _COMPLETED,
    "split": _COMPLETED,
    "stall": _COMPLETED,
    "gate": _COMPLETED,
    "steps": _COMPLETED,
    "hang": _SLOW,
    "hang_headers": _SLOW,
    "hang_before": _SLOW,
    "error_event": _IN_BAND,
    "error_event_named": _IN_BAND,
    "response_error_item": _IN_BAND,
    "response_failed": _IN_BAND,
    "response_incomplete": _COMPLETED,
    "garbage": _error("json.decoder.JSONDecodeError", is_cut=True),
    "short": _TRUNCATED,
    "short_role": _TRUNCATED,
    "short_tool": _TRUNCATED,
    "empty": _TRUNCATED,
    "no_done": _COMPLETED,
    "done_only": _COMPLETED,
    "drop": _CUT,
    "rst": _CUT,
    "eof": _CUT,
    "reset_before": _CUT | {"retries": 0},
    "flaky": _COMPLETED,
    "status_400": _error("invalid_value"),
    "status_401": _error("invalid_api_key"),
    "status_404": _error("model_not_found"),
    "status_429": _error("rate_limit_exceeded"),
    "status_500": _error("server_error"),
    "status_503": _error("overloaded"),
}
"""Every scenario of the demo that a chat stream can have."""
OF_OTHERS = {
    "barge_in", "blocked", "cached", "citations", "close_1011", "compaction", "continuation", "go_away",
    "partial_arguments", "redacted", "refused", "server_tools", "unrelated_error",
}  # fmt: skip
"""Those of the wire formats of other vendors, and of WebSockets."""
_CHUNKS = {"ok": 50, "slow": 12, "big": 700}
"""Where it matters; short answers else, so that the play does not take long."""

_RESPONSES: dict[str, dict[str, Any]] = {
    "ok": _COMPLETED,
    "tools": _COMPLETED,
    "reasoning": _COMPLETED,
    "refusal": _COMPLETED,
    "one_chunk": _COMPLETED,
    "obfuscation": _COMPLETED,
    "response_incomplete": _COMPLETED,
    "response_failed": _error("server_error"),
    "response_error_item": _error("server_error"),
    "short": _TRUNCATED,
    "status_429": _error("rate_limit_exceeded"),
}
_RUNS: dict[str, dict[str, Any]] = {
    "ok": _COMPLETED,
    "tools": _COMPLETED,
    "response_incomplete": _COMPLETED,
    "response_failed": _error("server_error"),
    "short": _TRUNCATED,
}
_SHORT: dict[str, dict[str, Any]] = {
    # What the application does, and how that is recorded.
    "close": {"reasons": ("closed",)},
    "leave": {"reasons": ("closed",)},
    "raise": {"reasons": ("closed",)},
    "drop": {"reasons": ("dropped",)},
    "keep": {"reasons": ("exit",), "colours": ("sync",)},
    "cancel": {"reasons": ("task_cancelled",), "colours": ("async",)},
}


def demo_jobs() -> Iterator[Job]:
    """Yield the scenarios on their surfaces, and what an application can do with a stream."""
    for scenario, expected in CHAT.items():
        yield _chat(f"chat-{scenario}", f"{scenario};chunks={_CHUNKS.get(scenario, 8)}", **expected)
    for act, expected in _SHORT.items():
        yield _chat(f"act-{act}", "gate", act=act, outcome="cancelled", is_cut=True, **expected)
    for scenario, expected in _RESPONSES.items():
        yield _responses(f"responses-{scenario}", f"{scenario};chunks=8", **expected)
    for scenario, expected in _RUNS.items():
        yield _run(f"runs-{scenario}", scenario, **expected)
    yield Job(
        name="completions-ok",
        scenario="ok",
        call="completions.create",
        arguments={"model": "gpt-completions-ok", "prompt": QUESTION, "stream": True},
        operation="text_completion",
    )
    streaming: dict[str, Any] = {"is_manager": True, "is_raw": True}
    raw = "chat.completions.with_streaming_response.create"
    yield _chat("chat-bytes", "ok", call=raw, view="iter_bytes", **streaming)
    yield _chat("chat-lines", "tools", call=raw, view="iter_lines", **streaming)
    helped = _chat("chat-helper", "ok", call="chat.completions.stream", **streaming)
    helped_arguments = {name: value for name, value in helped.arguments.items() if name != "stream"}
    yield _chat("chat-helper", "ok", call=helped.call, arguments=helped_arguments, **streaming)
    whole = {"model": "gpt-chat-whole", "messages": _MESSAGES}
    yield _chat("chat-whole", "ok", act="whole", arguments=whole, is_raw=True)


def _chat(name: str, scenario: str, **more: Any) -> Job:
    arguments = {"model": f"gpt-{name}", "messages": _MESSAGES, "tools": _TOOLS, "temperature": 0.5, "stream": True}
    arguments["stream_options"] = {"include_usage": True}
    return Job(**{"name": name, "scenario": scenario, "arguments": arguments} | more)


def _responses(name: str, scenario: str, **more: Any) -> Job:
    arguments = {"model": f"gpt-{name}", "input": QUESTION, "instructions": "Be brief.", "stream": True}
    return Job(name=name, scenario=scenario, call="responses.create", arguments=arguments, read=of_responses, **more)


def _run(name: str, scenario: str, **more: Any) -> Job:
    arguments = {"thread_id": "thread_demo", "assistant_id": "asst_demo", "model": f"gpt-{name}", "stream": True}
    call: dict[str, Any] = {"call": "beta.threads.runs.create", "operation": "invoke_agent", "read": of_run}
    return Job(name=name, scenario=scenario, arguments=arguments, **call, **more)


def recorded_jobs() -> Iterator[Job]:
    """Yield the recordings that the application's SDK can play; none where they are not at hand."""
    for recording in RECORDINGS:
        if recording.vendor == "openai":
            yield _recorded(recording)


def _recorded(recording: Recording) -> Job:
    path, body = recording.url.partition("?")[0], recording.request
    common: dict[str, Any] = {"name": recording.name, "recording": recording, "retries": 0}
    if path.endswith("/chat/completions"):
        call: dict[str, Any] = {"arguments": known(body, "model", "messages")}
    elif path.endswith("/completions"):
        call = {
            "call": "completions.create",
            "arguments": known(body, "model", "prompt"),
            "operation": "text_completion",
        }
    elif path.endswith("/responses"):
        call = {
            "call": "responses.create",
            "arguments": known(body, "model", "input", model="gpt-x"),
            "read": of_responses,
        }
    else:
        run = {"thread_id": "thread_x"} | known(body, "assistant_id")
        call = {"call": "beta.threads.runs.create", "arguments": run, "operation": "invoke_agent", "read": of_run}
    error = call.get("read", of_chat)(recording.events).error
    failure: dict[str, Any] = {"outcome": "error", "error": error, "hidden": 1} if error else {}
    return Job(**common | call | failure)
