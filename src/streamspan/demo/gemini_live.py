"""Hand-made conversations of Gemini Live, the music model's included: pure data and functions."""

from __future__ import annotations

import re
from collections.abc import Iterator

from streamspan.demo.dialogues import Dialogue, Heard, State
from streamspan.demo.openai_prompts import Prompt
from streamspan.demo.prose import THOUGHT, pieces
from streamspan.demo.streams import Ask, Event, Json, Reply, as_object, to_json

_SOUND = "AAAA" * 400


def _hear(state: State, message: Json) -> Heard:
    if "setup" in message:
        state.settings = as_object(message["setup"])
        return Heard((to_json({"setupComplete": {"sessionId": "live_demo"}}),))
    said = as_object(message.get("client_content") or message.get("clientContent"))
    heard = as_object(message.get("realtime_input") or message.get("realtimeInput"))
    if said.get("turnComplete") or said.get("turn_complete") or heard.get("text"):
        return Heard((), _turn(state))
    if "activityEnd" in heard or "activity_end" in heard:
        lead = to_json({"serverContent": {"inputTranscription": {"text": "What is a stream?"}}})
        return Heard((lead,), _turn(state))
    if "tool_response" in message or "toolResponse" in message:
        return Heard((), Reply(tuple(_spoken(_prompt(state, "text"))), None, _faults()))
    return Heard()


def _prompt(state: State, variant: str) -> Prompt:
    return Prompt.of(Ask("{}", variant, state.scenario.chunks))


def _turn(state: State) -> Reply:
    state.turn += 1
    variant = state.scenario.variant
    prompt = _prompt(state, "text" if variant == "tools" else variant)
    if variant == "tools":
        call: Json = {"id": "call_demo", "name": "get_weather", "args": {"city": "Montréal"}}
        return Reply((Event(to_json({"toolCall": {"functionCalls": [call]}}), "done"),), None, _faults())
    return Reply(tuple(_spoken(prompt)), None, _faults())


def _content(**said: object) -> str:
    return to_json({"serverContent": said})


def _spoken(prompt: Prompt) -> Iterator[Event]:
    yield Event(_content(modelTurn={"parts": [{"text": THOUGHT, "thought": True}]}), "start")
    sound = {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": _SOUND}}]}
    for word in pieces(prompt.answer):
        yield Event(_content(outputTranscription={"text": word}))
        yield Event(_content(modelTurn=sound))
    yield Event(_content(generationComplete=True), "finish")
    yield Event(to_json({"serverContent": {"turnComplete": True}, "usageMetadata": _USAGE}), "done")


_SHORT_OF_INPUT: Json = {"turnComplete": True, "turnCompleteReason": "NEED_MORE_INPUT"}
_USAGE: Json = {
    "promptTokenCount": 12,
    "responseTokenCount": 40,
    "totalTokenCount": 52,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 12}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 40}],
    "thoughtsTokenCount": 5,
}


def _faults() -> dict[str, tuple[Event, ...]]:
    over = Event(to_json({"serverContent": {"turnComplete": True}, "usageMetadata": _USAGE}), "done")
    return {
        "error": (Event(to_json({"error": {"code": 503, "status": "UNAVAILABLE", "message": "try again"}})),),
        "interrupted": (Event(_content(interrupted=True)), over),
        "stopped": (Event(_content(interrupted=True)), over),
        "go_away": (
            Event(to_json({"sessionResumptionUpdate": {"newHandle": "handle_demo", "resumable": True}})),
            Event(to_json({"goAway": {"timeLeft": "10s"}})),
        ),
        "incomplete": (Event(to_json({"serverContent": _SHORT_OF_INPUT, "usageMetadata": _USAGE}), "done"),),
        "garbage": (Event("{not json}"),),
    }


# --- music -----------------------------------------------------------------------------------------------------------


def _hear_music(_state: State, message: Json) -> Heard:
    if "setup" in message:
        return Heard((to_json({"setupComplete": {}}),))
    control = message.get("playbackControl") or message.get("playback_control")
    if control == "PLAY":
        chunk = {"audioChunks": [{"data": _SOUND, "mimeType": "audio/l16;rate=48000;channels=2"}]}
        return Heard(
            (), Reply(tuple(Event(_content(**chunk), "done") for _ in range(5)), None, {"error": (), "stopped": ()})
        )
    return Heard(stops=control in {"STOP", "PAUSE"})


DIALOGUES = (
    Dialogue(
        re.compile(r".*\.BidiGenerateContent(?:Constrained)?|.*/BidiGenerateContent"),
        lambda _state: (),
        _hear,
        is_binary=True,
    ),
    Dialogue(re.compile(r".*\.BidiGenerateMusic"), lambda _state: (), _hear_music, is_binary=True),
)
