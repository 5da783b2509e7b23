"""Hand-made conversations of OpenAI's WebSockets: Realtime, and Responses over one.

Pure data and functions. A turn of Realtime is spoken, transcript before sound, unless the session wants text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from streamspan.demo import openai_responses
from streamspan.demo.dialogues import Dialogue, Heard, State
from streamspan.demo.openai_errors import OVERLOADED
from streamspan.demo.openai_prompts import Prompt
from streamspan.demo.prose import fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, as_object, to_json

_SOUND = "AAAA" * 400
_BASE = r"(?:/openai)?(?:/v1)?"


def _model(state: State) -> str:
    return str(state.settings.get("model") or state.parameters.get("model") or "gpt-realtime")


def _session(state: State) -> Json:
    return {
        "type": "realtime",
        "id": "sess_demo",
        "output_modalities": ["audio"],
        **state.settings,
        "model": _model(state),
    }


def _greet(state: State) -> Iterator[str]:
    yield to_json({"type": "session.created", "event_id": "event_demo", "session": _session(state)})


def _hear(state: State, message: Json) -> Heard:
    kind = message.get("type")
    if kind == "session.update":
        state.settings = {**state.settings, **as_object(message.get("session"))}
        return Heard((_event("session.updated", session=_session(state)),))
    if kind == "conversation.item.create":
        return Heard((_event("conversation.item.added", item={"id": "item_demo", **as_object(message.get("item"))}),))
    if kind == "response.create":
        return Heard((), _turn(state, message))
    if kind == "input_audio_buffer.commit":  # as if the server had heard the end of speech
        heard = ("speech_started", "speech_stopped", "committed")
        return Heard(
            tuple(_event(f"input_audio_buffer.{each}", item_id="item_user") for each in heard), _turn(state, message)
        )
    return Heard(stops=kind == "response.cancel")


def _event(name: str, **fields: object) -> str:
    return to_json({"type": name, "event_id": "event_demo", **fields})


def _turn(state: State, message: Json) -> Reply:
    state.turn += 1
    asked = {**state.settings, **as_object(message.get("response"))}
    identity = f"resp_demo{state.turn}"
    begun: Json = {"object": "realtime.response", "id": identity, "status": "in_progress", "output": [], "usage": None}
    prompt = Prompt.of(Ask(to_json(asked), state.scenario.variant, state.scenario.chunks))
    story = list(_tools(prompt) if prompt.variant == "tools" else _spoken(prompt, asked))
    count = sum(name.endswith(".delta") for _, name, _ in story)
    events = [
        Event(_event("response.created", response=begun), "start"),
        *(Event(_event(name, response_id=identity, **fields), kind) for kind, name, fields in story),
        Event(_done(begun, "completed", None, count), "done"),
    ]
    return Reply(tuple(events), None, _faults(begun, count, str(message.get("event_id") or "")))


def _spoken(prompt: Prompt, asked: Json) -> Iterator[tuple[Kind, str, Json]]:
    where: Json = {"item_id": "item_demo", "output_index": 0, "content_index": 0}
    item: Json = {"id": "item_demo", "type": "message", "status": "in_progress", "role": "assistant", "content": []}
    is_text = asked.get("output_modalities") == ["text"]
    name = "output_text" if is_text else "output_audio_transcript"
    yield "start", "response.output_item.added", {"output_index": 0, "item": item}
    for word in pieces(prompt.answer):
        yield "delta", f"response.{name}.delta", {**where, "delta": word}
        if not is_text:
            yield "delta", "response.output_audio.delta", {**where, "delta": _SOUND}
    yield "finish", f"response.{name}.done", {**where, "text" if is_text else "transcript": prompt.answer}
    yield "finish", "response.output_item.done", {"output_index": 0, "item": {**item, "status": "completed"}}


def _tools(prompt: Prompt) -> Iterator[tuple[Kind, str, Json]]:
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        item: Json = {"id": f"fc_demo{index}", "type": "function_call", "call_id": f"call_demo{index}", "name": name}
        where: Json = {"item_id": item["id"], "output_index": index, "call_id": item["call_id"]}
        yield "delta", "response.output_item.added", {"output_index": index, "item": {**item, "arguments": ""}}
        for piece in fragments(arguments):
            yield "delta", "response.function_call_arguments.delta", {**where, "delta": piece}
        yield "finish", "response.function_call_arguments.done", {**where, "arguments": arguments}


def _done(begun: Json, status: str, details: Json | None, count: int) -> str:
    usage: Json = {
        "total_tokens": 20 + count,
        "input_tokens": 20,
        "output_tokens": count,
        "input_token_details": {"text_tokens": 8, "audio_tokens": 12, "cached_tokens": 4},
        "output_token_details": {"text_tokens": count // 2, "audio_tokens": count - count // 2},
    }
    return _event("response.done", response={**begun, "status": status, "status_details": details, "usage": usage})


def _faults(begun: Json, count: int, event_id: str) -> dict[str, tuple[Event, ...]]:
    def done(status: str, details: Json) -> Event:
        return Event(_done(begun, status, {"type": status, **details}, count), "done")

    def error(code: str, **fields: object) -> Event:
        return Event(_event("error", error={"type": "server_error", "code": code, "message": OVERLOADED, **fields}))

    return {
        "error": (error("overloaded"),),
        "unrelated": (error("invalid_value", param="session.voice"),),
        "refused": (error("rate_limit_exceeded", event_id=event_id or None),),
        "failed": (done("failed", {"error": {"type": "server_error", "code": "server_error"}}),),
        "incomplete": (done("incomplete", {"reason": "max_output_tokens"}),),
        "interrupted": (
            Event(_event("input_audio_buffer.speech_started", item_id="item_user")),
            done("cancelled", {"reason": "turn_detected"}),
        ),
        "stopped": (done("cancelled", {"reason": "client_cancelled"}),),
        "garbage": (Event("{not json}"),),
    }


# --- Responses over a WebSocket --------------------------------------------------------------------------------------


def _hear_responses(state: State, message: Json) -> Heard:
    if message.get("type") != "response.create":
        return Heard(stops=message.get("type") == "response.cancel")
    state.turn += 1
    asked = {name: value for name, value in message.items() if name not in {"type", "stream_id"}}
    reply = openai_responses.response(Ask(to_json(asked), state.scenario.variant, state.scenario.chunks))
    lane = {"stream_id": message["stream_id"]} if "stream_id" in message else {}
    error = _event("error", error={"type": "server_error", "code": "overloaded", "message": OVERLOADED}, **lane)
    faults = {**reply.faults, "error": (Event(error, "done"),), "refused": (Event(error, "done"),)}
    events = [
        event._replace(data=_in_lane(event.data, lane), kind="done" if event is reply.events[-1] else event.kind)
        for event in reply.events
    ]
    return Heard((), replace(reply, events=tuple(events), faults=faults))


def _in_lane(data: str, lane: Json) -> str:
    return data if not lane else f'{data[:-1]},"stream_id":{to_json(lane["stream_id"])}}}'


DIALOGUES = (
    Dialogue(re.compile(f"{_BASE}/realtime"), _greet, _hear),
    Dialogue(re.compile(f"{_BASE}/responses"), lambda _state: (), _hear_responses),
)
