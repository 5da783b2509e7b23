"""Hand-made runs of the Assistants API: `thread.*` events, and the run they belong to.

Pure data and functions. Unlike elsewhere, the event's name is not in its data, and `done` has a name as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from streamspan.demo.openai_errors import FAULTS, OVERLOADED
from streamspan.demo.openai_prompts import CREATED, Prompt
from streamspan.demo.prose import fragments
from streamspan.demo.streams import Ask, Event, Json, Reply, to_json

DONE = Event("[DONE]", "done", "done")


def run(ask: Ask) -> Reply:
    """Answer a request that starts or continues a run."""
    prompt = Prompt.of(ask)
    thread, run_id = ask.group("thread") or "thread_demo", ask.group("run") or "run_demo"
    common = {"created_at": CREATED, "assistant_id": prompt.body.get("assistant_id", "asst_demo"), "thread_id": thread}
    begun = _run(prompt, run_id, common)
    step = _Step(prompt, {**common, "run_id": run_id})
    counts = {"prompt_tokens": prompt.token_count, "completion_tokens": step.count}
    counts["total_tokens"] = sum(counts.values())
    ended = {"status": "completed", "started_at": CREATED, "completed_at": CREATED + 1, "usage": counts}
    done = {**begun, **ended, **step.ending}
    prelude = [] if ask.group("thread") else [_event("thread.created", _thread(thread))]
    started = {**begun, "status": "in_progress", "started_at": CREATED}
    events = [
        *prelude,
        *(_event(f"thread.run.{status}", {**begun, "status": status}) for status in ("created", "queued")),
        _event("thread.run.in_progress", started),
        *step.events(),
        Event(to_json(done), "finish", f"thread.run.{done['status']}"),
        DONE,
    ]
    failed = {**started, "status": "failed", "last_error": {"code": "server_error", "message": OVERLOADED}}
    incomplete = {**done, "status": "incomplete", "incomplete_details": {"reason": "max_completion_tokens"}}
    faults = {
        "failed": (Event(to_json(failed), "finish", "thread.run.failed"), DONE),
        "incomplete": (Event(to_json(incomplete), "finish", "thread.run.incomplete"), DONE),
    }
    return Reply(tuple(events), done, {**FAULTS, **faults})


class _Step:
    """The one step of a run: a message, or calls of the caller's functions."""

    def __init__(self, prompt: Prompt, common: Json) -> None:
        self._is_call = prompt.variant in ("tools", "missing_tool_index")
        self._words = prompt.words()
        self._calls = [(name, fragments(arguments, prompt.chunks)) for name, arguments in prompt.tool_calls()]
        self._common = common
        self.count = sum(len(cut) for _, cut in self._calls) if self._is_call else len(self._words)

    @property
    def ending(self) -> Json:
        """What the step makes of the run's end."""
        if not self._is_call:
            return {}
        calls = [_function(at, name, "".join(cut)) for at, (name, cut) in enumerate(self._calls)]
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        return {"status": "requires_action", "completed_at": None, "required_action": action}

    def events(self) -> Iterator[Event]:
        """Yield the step's events."""
        details: Json = {"type": "message_creation", "message_creation": {"message_id": "msg_demo"}}
        if self._is_call:
            details = {"type": "tool_calls", "tool_calls": []}
        step: Json = {"id": "step_demo", "object": "thread.run.step", **self._common, "type": details["type"]}
        step |= {"status": "in_progress", "step_details": details, "last_error": None, "usage": None}
        yield _event("thread.run.step.created", step)
        yield _event("thread.run.step.in_progress", step)
        yield from self._call_events() if self._is_call else self._message_events()
        if not self._is_call:
            done = {**step, "status": "completed", "completed_at": CREATED + 1}
            yield Event(to_json(done), "delta", "thread.run.step.completed")

    def _message_events(self) -> Iterator[Event]:
        message: Json = {
            "id": "msg_demo",
            "object": "thread.message",
            **self._common,
            "role": "assistant",
            "content": [],
        }
        message |= {"status": "in_progress", "attachments": [], "metadata": {}, "incomplete_details": None}
        yield _event("thread.message.created", message)
        yield _event("thread.message.in_progress", message)
        for word in self._words:
            content: list[Json] = [{"index": 0, "type": "text", "text": {"value": word, "annotations": []}}]
            delta: Json = {"id": "msg_demo", "object": "thread.message.delta", "delta": {"content": content}}
            yield Event(to_json(delta), "delta", "thread.message.delta")
        full: list[Json] = [{"type": "text", "text": {"value": "".join(self._words), "annotations": []}}]
        done = {**message, "status": "completed", "completed_at": CREATED + 1, "content": full}
        yield Event(to_json(done), "delta", "thread.message.completed")

    def _call_events(self) -> Iterator[Event]:
        for at, (name, cut) in enumerate(self._calls):
            yield _call_delta({"index": at, **_function(at, name, "", output=None)})
            for piece in cut:
                yield _call_delta({"index": at, "type": "function", "function": {"arguments": piece}})


def _function(at: int, name: str, arguments: str, **more: None) -> Json:
    function = {"name": name, "arguments": arguments, **more}
    return {"id": f"call_demo{at:04d}", "type": "function", "function": function}


def _call_delta(call: Json) -> Event:
    details = {"type": "tool_calls", "tool_calls": [call]}
    delta = {"id": "step_demo", "object": "thread.run.step.delta", "delta": {"step_details": details}}
    return Event(to_json(delta), "delta", "thread.run.step.delta")


def _event(name: str, data: Json) -> Event:
    return Event(to_json(data), "start", name)


def _thread(identity: str) -> Json:
    return {"id": identity, "object": "thread", "created_at": CREATED, "metadata": {}, "tool_resources": {}}


def _run(prompt: Prompt, identity: str, common: Json) -> Json:
    return {
        "id": identity,
        "object": "thread.run",
        **common,
        "status": "queued",
        "started_at": None,
        "expires_at": CREATED + 600,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "incomplete_details": None,
        "model": prompt.model,
        "instructions": prompt.body.get("instructions") or "",
        "tools": prompt.body.get("tools") or [],
        "metadata": {},
        "usage": None,
        "temperature": 1.0,
        "top_p": 1.0,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }
