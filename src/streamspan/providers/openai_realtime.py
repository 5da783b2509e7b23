"""OpenAI Realtime: what the messages of its WebSockets mean, translation and Live sessions included.

A turn is a response, `response.created` to `response.done`, of which several may be on their way at once; every one
of their events names its response. A response that was not asked for by `response.create` follows speech that the
server heard the end of. Translation and Live sessions have one endless answer, that says nothing of responses.
Names that only the beta has (`response.text.delta`, `response.audio.delta`) are read as what they are now.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from streamspan._records import AUDIO, AttributeValue, Delta, ToolCallDelta
from streamspan.providers import Endpoint, openai_messages
from streamspan.providers._openai_chat import read_error
from streamspan.providers._parameters import doubles, ints, known
from streamspan.providers._shapes import counts, fields, items, text
from streamspan.providers.openai import OPENAI
from streamspan.providers.sockets import Input, Received, Sent, Socket

Event = Mapping[str, Any]

_KIND = re.compile(r'"type"\s*:\s*"([\w.]+)"')
_ANSWER = re.compile(r'"response_id"\s*:\s*"([^"\\]+)"')


def kind_of(head: str) -> str:
    """Return the type of an event by its first characters; of an object inside it where that comes first."""
    found = _KIND.search(head)
    return found[1] if found else ""


# --- the client's messages -------------------------------------------------------------------------------------------

_UNREAD = frozenset({"input_audio_buffer.append", "session.input_audio.append", "output_audio_buffer.clear"})


def is_sent(head: str) -> bool:
    """Tell whether a message of the client is worth reading: all but sound."""
    return kind_of(head) not in _UNREAD


def sent(event: Event) -> Sent:
    """Read a message of the client."""
    kind = text(event.get("type"))
    if kind == "response.create":
        return Sent(asks=True, event_id=text(event.get("event_id")), body=fields(event.get("response")))
    if kind in {"session.update", "session.start"}:
        return Sent(settings=fields(event.get("session")))
    if kind == "conversation.item.create":
        return Sent(input=(fields(event.get("item")),))
    return Sent(ends_speech=kind == "input_audio_buffer.commit")


# --- the server's ----------------------------------------------------------------------------------------------------


def is_turn(head: str, size: int) -> bool:  # noqa: ARG001 - the signature of all sockets
    """Tell whether a message of the server is more than a piece of an answer."""
    return kind_of(head) not in _PIECES


def received(event: Event) -> Received:
    """Read a message of the server."""
    reader = _READERS.get(text(event.get("type")))
    answer = text(event.get("response_id"))
    if reader is not None:
        return reader(event, answer)
    return Received(Delta(), answer) if answer else Received()


def glance(head: str) -> Received | None:
    """Read a long message by its first characters: sound needs no more."""
    answer = _ANSWER.search(head)
    kind = kind_of(head)
    if kind not in _SOUND or not (answer or kind in _ENDLESS):
        return None
    return Received(Delta(choice=0, media=AUDIO), answer[1] if answer else "", begins=kind in _ENDLESS)


def _text(event: Event, answer: str) -> Received:
    return Received(Delta(text(event.get("delta")), 0), answer)


def _audio(event: Event, answer: str) -> Received:
    return Received(Delta(choice=0, media=AUDIO if event.get("delta") else 0), answer)


def _arguments(event: Event, answer: str) -> Received:
    call = ToolCallDelta(_index(event), "", "", text(event.get("delta")))
    return Received(Delta(choice=0, tool_calls=(call,)), answer)


def _item_added(event: Event, answer: str) -> Received:
    item = fields(event.get("item"))
    if text(item.get("type")) not in {"function_call", "mcp_call"}:
        return Received(Delta(), answer)
    call = ToolCallDelta(_index(event), text(item.get("call_id")) or text(item.get("id")), text(item.get("name")))
    return Received(Delta(choice=0, tool_calls=(call,)), answer)


def _index(event: Event) -> int | None:
    index = event.get("output_index")
    return index if type(index) is int else None


def _created(event: Event, _answer: str) -> Received:
    answer = text(fields(event.get("response")).get("id"))
    return Received(Delta(choice=0, response_id=answer), answer, begins=True)


def _done(event: Event, _answer: str) -> Received:
    response = fields(event.get("response"))
    status, details = text(response.get("status")), fields(response.get("status_details"))
    delta = Delta(choice=0, response_id=text(response.get("id")), usage=read_usage(response.get("usage")))
    if status == "failed":
        delta.error = read_error(details.get("error") or {"message": "the response failed"})
    else:
        delta.finish_reason = text(details.get("reason")) or status
        delta.is_interrupted = status == "cancelled"
        delta.is_terminal = status in {"completed", "incomplete"}
    return Received(delta, delta.response_id, ends=True) if delta.response_id else Received()


def _session(event: Event, _answer: str) -> Received:
    session = fields(event.get("session"))
    return Received(session_id=text(session.get("id")), settings=session)


def _error(event: Event, _answer: str) -> Received:
    error = fields(event.get("error")) or event
    parameter = text(error.get("param"))
    return Received(
        error=read_error(error),
        error_of=text(error.get("event_id")),
        # What is wrong with the session or with an item is not wrong with a request for an answer.
        is_refusal=not parameter.startswith(("session", "item", "audio")),
    )


def _endless_text(event: Event, _answer: str) -> Received:
    return Received(Delta(text(event.get("delta")), 0), begins=True)


def _endless_audio(event: Event, _answer: str) -> Received:
    return Received(Delta(choice=0, media=AUDIO if event.get("delta") else 0), begins=True)


def _session_closed(_event: Event, _answer: str) -> Received:
    return Received(Delta(choice=0, finish_reason="closed", is_terminal=True), ends=True)


_ENDLESS = frozenset({"session.output_audio.delta", "session.output_transcript.delta"})
_SOUND = frozenset({"response.output_audio.delta", "response.audio.delta", "session.output_audio.delta"})
_READERS: dict[str, Callable[[Event, str], Received]] = {
    "session.created": _session,
    "session.updated": _session,
    "session.started": _session,
    "input_audio_buffer.speech_started": lambda _event, _answer: Received(speech="began"),
    "input_audio_buffer.speech_stopped": lambda _event, _answer: Received(speech="ended"),
    "response.created": _created,
    "response.output_item.added": _item_added,
    "response.output_text.delta": _text,
    "response.text.delta": _text,
    "response.output_audio_transcript.delta": _text,
    "response.audio_transcript.delta": _text,
    "response.output_audio.delta": _audio,
    "response.audio.delta": _audio,
    "response.function_call_arguments.delta": _arguments,
    "response.mcp_call_arguments.delta": _arguments,
    "response.done": _done,
    "session.output_transcript.delta": _endless_text,
    "session.output_audio.delta": _endless_audio,
    "session.closed": _session_closed,
    "error": _error,
}
# Of these there are many, and they are nothing but pieces.
_PIECES = frozenset(kind for kind in _READERS if kind.endswith(".delta")) | {
    "conversation.item.input_audio_transcription.delta",
    "session.input_transcript.delta",
}


def read_usage(usage: Any) -> dict[str, int] | None:
    """Read the usage of a response, by modality; None where there is none."""
    data = fields(usage)
    if not data:
        return None
    asked, said = fields(data.get("input_token_details")), fields(data.get("output_token_details"))
    cached = fields(asked.get("cached_tokens_details"))
    found = {
        "input_tokens": data.get("input_tokens"),
        "output_tokens": data.get("output_tokens"),
        "cache_read.input_tokens": asked.get("cached_tokens"),
    }
    parts = {
        "text.input_tokens": asked.get("text_tokens"),
        "audio.input_tokens": asked.get("audio_tokens"),
        "image.input_tokens": asked.get("image_tokens"),
        "text.output_tokens": said.get("text_tokens"),
        "audio.output_tokens": said.get("audio_tokens"),
        "image.output_tokens": said.get("image_tokens"),
        "text.cache_read.input_tokens": cached.get("text_tokens"),
        "audio.cache_read.input_tokens": cached.get("audio_tokens"),
        "image.cache_read.input_tokens": cached.get("image_tokens"),
    }
    return counts({**found, **{name: count for name, count in parts.items() if count}})


# --- what was asked --------------------------------------------------------------------------------------------------


def settings(query: Mapping[str, str]) -> dict[str, Any]:
    """Read the model from the query of the URL; Azure calls it a deployment."""
    model = query.get("model") or query.get("deployment")
    return {"model": model} if model else {}


def model(settings: Event, body: Event) -> str:
    """Return the model of a response."""
    return text(body.get("model")) or text(settings.get("model"))


def attributes(settings: Event, body: Event) -> dict[str, AttributeValue]:
    """Return the request attributes of a response."""
    asked = {**settings, **body}
    modalities = items(asked.get("output_modalities")) or items(asked.get("modalities"))
    return {
        **doubles(asked, {"gen_ai.request.temperature": "temperature"}),
        **ints(asked, {"gen_ai.request.max_tokens": "max_output_tokens"}),  # the text "inf" is no limit
        **known(
            {
                "gen_ai.request.reasoning.level": fields(asked.get("reasoning")).get("effort"),
                "gen_ai.output.type": ("speech" if "audio" in modalities else "text") if modalities else None,
            }
        ),
    }


def content(settings: Event, body: Event, told: Input) -> dict[str, object]:
    """Return instructions, tools, and what the model was told; its items are those of the Responses API."""
    asked = {**settings, **body}
    return openai_messages.responses_content(
        {
            "instructions": asked.get("instructions"),
            "tools": asked.get("tools"),
            "input": [*told, *items(body.get("input"))],
        }
    )


REALTIME = Socket(
    provider=OPENAI,
    endpoint=Endpoint(name="realtime", operation="realtime_inference", paths=(), read=lambda _chunk: Delta()),
    paths=(r"/realtime", r"/realtime/translations", r"/live/.+"),
    is_sent=is_sent,
    sent=sent,
    is_turn=is_turn,
    received=received,
    glance=glance,
    glance_from=2048,  # nothing but sound is that long
    settings=settings,
    model=model,
    attributes=attributes,
    content=content,
)
