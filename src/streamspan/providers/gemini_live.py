"""Gemini Live: what the messages of its WebSocket mean, the music model's included.

A turn goes from what the user says to `turnComplete`, over any number of tool calls and their answers; its messages
carry no id, for there is one turn at a time. Speech that the server hears by itself begins a turn with the first
output. An interrupted turn still gets its `turnComplete`, and with it the usage. Music has no turns: it plays until
it is stopped. Keys come in camel case from the server, and in either case from clients.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from streamspan._records import AUDIO, IMAGE, AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers import Endpoint, Provider
from streamspan.providers._parameters import doubles, ints, known
from streamspan.providers._shapes import counts, fields, items, text
from streamspan.providers.sockets import Input, Received, Sent, Socket, has_output

Json = Mapping[str, Any]

# --- the client's messages -------------------------------------------------------------------------------------------

_MEDIA = re.compile(r'\s*\{\s*"realtime_?[iI]nput"\s*:\s*\{\s*"(audio|video|media_?[cC]hunks)"')


def is_sent(head: str) -> bool:
    """Tell whether a message of the client is worth reading: all but sound and pictures."""
    return _MEDIA.match(head) is None


def sent(message: Json) -> Sent:
    """Read a message of the client."""
    if setup := fields(message.get("setup")):
        return Sent(settings=setup)
    if said := fields(_either(message, "clientContent", "client_content")):
        turns = items(said.get("turns"))
        return Sent(asks=_either(said, "turnComplete", "turn_complete") is True, input=tuple(map(fields, turns)))
    if heard := fields(_either(message, "realtimeInput", "realtime_input")):
        spoken = text(heard.get("text"))
        ends = any(heard.get(key) for key in ("activityEnd", "activity_end", "audioStreamEnd", "audio_stream_end"))
        ends = ends or any(key in heard for key in ("activityEnd", "activity_end"))  # an empty object
        told = ({"role": "user", "parts": [{"text": spoken}]},) if spoken else ()
        return Sent(asks=bool(spoken), input=told, ends_speech=ends)
    if _either(message, "toolResponse", "tool_response"):
        return Sent(ends_speech=True)  # if the turn was over with the call, the answer begins one
    control = text(_either(message, "playbackControl", "playback_control"))
    return Sent(asks=control == "PLAY", stops=control in {"STOP", "PAUSE"})


# --- the server's ----------------------------------------------------------------------------------------------------

_MOST_SIGNS = 65536
_SIGNS = re.compile(
    r'"(?:turnComplete|interrupted|interactionStatus|setupComplete|voiceActivity|goAway|error|sessionResumptionUpdate)"'
)


def is_turn(head: str, size: int) -> bool:
    """Tell whether a message of the server is more than a piece of an answer."""
    return size <= len(head) and _SIGNS.search(head) is not None


def received(message: Json) -> Received:
    """Read a message of the server."""
    said = fields(message.get("serverContent"))
    calls = items(fields(message.get("toolCall")).get("functionCalls"))
    usage = fields(message.get("usageMetadata"))
    heard = Received(
        session_id=text(fields(message.get("setupComplete")).get("sessionId")),
        speech=_SPEECH.get(text(fields(message.get("voiceActivity")).get("voiceActivityType")), ""),
    )
    if "error" in message:
        heard.error = _error(fields(message["error"]))
    if calls or usage or said.keys() - _HEARD:
        heard.delta = _delta(said, calls, usage)
        heard.begins = has_output(heard.delta)
        heard.ends = bool(said.get("turnComplete")) or said.get("interactionStatus") == "IDLE"
    return heard


def glance(head: str) -> Received | None:
    """Read a long message by its first characters: sound and pictures need no more."""
    found = _BLOB.match(head)
    if found is None:
        return None
    return Received(Delta(choice=0, media=_MEDIA_BITS.get(found[1], 0)), begins=found[1] in _MEDIA_BITS)


_SPEECH: Mapping[str, Literal["began", "ended"]] = {"ACTIVITY_START": "began", "ACTIVITY_END": "ended"}
_MEDIA_BITS = {"audio": AUDIO, "image": IMAGE}
# What is about the user's side only.
_HEARD = frozenset({"inputTranscription", "interimInputTranscription", "waitingForInput"})
# One blob and nothing else before it; what may follow is told apart by `glance`'s caller, who knows the end.
_BLOB = re.compile(
    r'\s*\{\s*"serverContent"\s*:\s*\{\s*"(?:modelTurn"\s*:\s*\{\s*"parts"\s*:\s*\[\s*\{\s*"inlineData"|audioChunks"\s*:\s*\[)'
    r'[^\]]{0,80}?"mimeType"\s*:\s*"(audio|image)/'
)


def _delta(said: Json, calls: Iterable[Any], usage: Json) -> Delta:
    delta = Delta(choice=0)
    for part in map(fields, items(fields(said.get("modelTurn")).get("parts"))):
        _take_part(delta, part)
    delta.text += text(fields(said.get("outputTranscription")).get("text"))
    if items(said.get("audioChunks")):
        delta.media |= AUDIO
    if calls:
        delta.tool_calls = [_call(fields(call)) for call in calls]
    if usage:
        delta.usage = read_usage(usage)
    _take_ending(delta, said)
    return delta


def _take_part(delta: Delta, part: Json) -> None:
    if part.get("thought"):
        delta.reasoning += text(part.get("text"))
        return
    delta.text += text(part.get("text"))
    blob = fields(part.get("inlineData"))
    delta.media |= _MEDIA_BITS.get(text(blob.get("mimeType")).partition("/")[0], 0) if blob.get("data") else 0


def _call(call: Json) -> ToolCallDelta:
    arguments = call.get("args")
    return ToolCallDelta(None, text(call.get("id")), text(call.get("name")), json.dumps(arguments) if arguments else "")


def _take_ending(delta: Delta, said: Json) -> None:
    if said.get("interrupted"):
        delta.finish_reason = "interrupted"
        delta.is_interrupted = True
    elif said.get("turnComplete"):
        reason = text(said.get("turnCompleteReason"))
        delta.finish_reason = "turn_complete" if reason in _NO_REASON else reason
        delta.is_terminal = True
    elif said.get("interactionStatus") == "IDLE":
        delta.finish_reason = "idle"
        delta.is_terminal = True


_NO_REASON = frozenset({"", "TURN_COMPLETE_REASON_UNSPECIFIED"})


def _error(error: Json) -> ProviderError:
    word = error.get("status") or error.get("code")
    return ProviderError(str(word) if word else "_OTHER", text(error.get("message")))


# --- usage -----------------------------------------------------------------------------------------------------------


def read_usage(usage: Json) -> dict[str, int]:
    """Read the counts of a turn, by modality: output is the answer and the thoughts, as everywhere."""
    found = {
        "input_tokens": _sum(usage.get("promptTokenCount"), usage.get("toolUsePromptTokenCount")),
        "output_tokens": _sum(usage.get("responseTokenCount"), usage.get("thoughtsTokenCount")),
        "cache_read.input_tokens": usage.get("cachedContentTokenCount"),
        "reasoning.output_tokens": usage.get("thoughtsTokenCount"),
    }
    for key, suffix in _DETAILS.items():
        for detail in map(fields, items(usage.get(key))):
            modality = text(detail.get("modality")).lower()
            if modality in _MODALITIES:
                found[f"{modality}.{suffix}"] = detail.get("tokenCount")
    return counts(found)


_MODALITIES = frozenset({"text", "audio", "image"})
_DETAILS = {
    "promptTokensDetails": "input_tokens",
    "responseTokensDetails": "output_tokens",
    "cacheTokensDetails": "cache_read.input_tokens",
}


def _sum(count: object, more: object) -> int | None:
    if type(count) is not int:
        return None
    return count + more if type(more) is int else count


# --- what was asked --------------------------------------------------------------------------------------------------


def model(settings: Json, _body: Json) -> str:
    """Return the model without the path that it may stand under."""
    return text(settings.get("model")).rpartition("/")[2]


def attributes(settings: Json, _body: Json) -> dict[str, AttributeValue]:
    """Return the request attributes of a turn, which are those of the set-up."""
    asked = fields(_either(settings, "generationConfig", "generation_config"))
    modalities = items(_either(asked, "responseModalities", "response_modalities"))
    limit = {"maxOutputTokens": _either(asked, "maxOutputTokens", "max_output_tokens")}
    return {
        **doubles(asked, {"gen_ai.request.temperature": "temperature", "gen_ai.request.top_p": "topP"}),
        **ints(asked, {"gen_ai.request.seed": "seed"}),
        **ints(limit, {"gen_ai.request.max_tokens": "maxOutputTokens"}),
        **known({"gen_ai.output.type": _OUTPUTS.get(text(modalities[0])) if modalities else None}),
    }


_OUTPUTS = {"AUDIO": "speech", "TEXT": "text", "IMAGE": "image"}


def content(settings: Json, _body: Json, told: Input) -> dict[str, object]:
    """Return the instructions, the tools, and what the model was told in text since the last turn."""
    instructions = fields(_either(settings, "systemInstruction", "system_instruction"))
    tools = [
        {"type": "function", **{key: value for key, value in fields(each).items() if key in _OF_TOOLS}}
        for tool in items(settings.get("tools"))
        for each in items(_either(fields(tool), "functionDeclarations", "function_declarations"))
    ]
    found: dict[str, object] = {
        "gen_ai.input.messages": [_message(turn) for turn in told],
        "gen_ai.system_instructions": _parts(instructions),
        "gen_ai.tool.definitions": tools,
    }
    return {name: value for name, value in found.items() if value}


_OF_TOOLS = frozenset({"name", "description", "parameters"})


def _message(turn: Json) -> dict[str, object]:
    role = {"model": "assistant"}.get(text(turn.get("role")), "user")
    return {"role": role, "parts": _parts(turn)}


def _parts(turn: Json) -> list[dict[str, object]]:
    said = [text(fields(part).get("text")) for part in items(turn.get("parts"))]
    return [{"type": "text", "content": each} for each in said if each]


def _either(data: Json, camel: str, snake: str) -> Any:
    return data[camel] if camel in data else data.get(snake)


_TURNS = Endpoint(name="live", operation="realtime_inference", paths=(), read=lambda _chunk: Delta())
_HOSTS = Provider(
    name="gcp.gemini",
    endpoints=(_TURNS,),
    hosts={
        "generativelanguage.googleapis.com": "gcp.gemini",
        "*-aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
    },
)
LIVE = Socket(
    provider=_HOSTS,
    endpoint=_TURNS,
    paths=(r"BidiGenerateContent", r"BidiGenerateContentConstrained", r"BidiGenerateMusic"),
    is_sent=is_sent,
    sent=sent,
    is_turn=is_turn,
    received=received,
    glance=glance,
    merges=True,
    model=model,
    attributes=attributes,
    content=content,
)
