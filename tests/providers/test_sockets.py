"""What the messages of WebSockets mean: each kind once, and any nonsense without harm."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._records import AUDIO, Delta, ToolCallDelta
from streamspan.providers import gemini_live, openai_realtime, openai_responses_socket
from streamspan.providers.gemini_live import LIVE
from streamspan.providers.openai_realtime import REALTIME
from streamspan.providers.openai_responses_socket import RESPONSES
from streamspan.providers.sockets import Received, Sent, Socket
from support.payloads import check

SOCKETS = [REALTIME, RESPONSES, LIVE]
_NAMES = [socket.endpoint.name for socket in SOCKETS]

# --- nonsense ------------------------------------------------------------------------------------------------------------

_KEYS = st.sampled_from(
    [
        "type", "response", "response_id", "delta", "item", "error", "session", "usage", "status", "id", "stream_id",
        "event_id", "serverContent", "modelTurn", "parts", "text", "thought", "inlineData", "mimeType", "toolCall",
        "functionCalls", "args", "usageMetadata", "promptTokenCount", "responseTokensDetails", "turnComplete",
        "interrupted", "setup", "model", "generationConfig", "client_content", "realtime_input", "turns", "output",
        "status_details", "reason", "output_index", "name", "call_id", "tools", "input",
    ]
)  # fmt: skip
_KINDS = st.sampled_from([*openai_realtime._READERS, "response.create", "session.update", "conversation.item.create"])
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 99) | st.text(max_size=4) | _KINDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)
_MESSAGES = st.dictionaries(_KEYS, _VALUES, max_size=6)


@pytest.mark.parametrize("socket", SOCKETS, ids=_NAMES)
@given(message=_MESSAGES)
def test_no_message_is_too_odd(socket: Socket, message: dict[str, Any]) -> None:
    """Whatever comes, a reader returns what its annotation says, and never raises."""
    received = socket.received(message)
    assert type(received) is Received
    if received.delta is not None:
        check(received.delta)
    assert type(received.answer) is type(received.lane) is type(received.session_id) is str
    sent = socket.sent(message)
    assert type(sent) is Sent
    assert type(sent.asks) is bool
    for name, value in socket.attributes(message, message).items():
        assert name.startswith(("gen_ai.", "openai."))
        assert type(value) in {str, int, float, bool, list}
    assert type(socket.model(message, {})) is str
    assert type(socket.content(message, {}, (message,))) is dict


@pytest.mark.parametrize("socket", SOCKETS, ids=_NAMES)
@given(head=st.text(max_size=60) | _MESSAGES.map(json.dumps))
def test_no_head_is_too_odd(socket: Socket, head: str) -> None:
    """What is asked of the first characters of a message has an answer for any of them."""
    assert type(socket.is_turn(head, len(head))) is bool
    assert type(socket.is_sent(head)) is bool
    assert socket.glance(head) is None or type(socket.glance(head)) is Received


# --- OpenAI ---------------------------------------------------------------------------------------------------------------


def of_realtime(kind: str, **fields: Any) -> Received:
    return openai_realtime.received({"type": kind, "response_id": "r", **fields})


@pytest.mark.parametrize(
    ("kind", "fields", "delta"),
    [
        ("response.output_text.delta", {"delta": "Hi"}, Delta("Hi", 0)),
        ("response.text.delta", {"delta": "Hi"}, Delta("Hi", 0)),
        ("response.output_audio_transcript.delta", {"delta": "Hi"}, Delta("Hi", 0)),
        ("response.audio_transcript.delta", {"delta": "Hi"}, Delta("Hi", 0)),
        ("response.output_audio.delta", {"delta": "AAAA"}, Delta(choice=0, media=AUDIO)),
        ("response.audio.delta", {"delta": ""}, Delta(choice=0)),
        (
            "response.function_call_arguments.delta",
            {"delta": "{", "output_index": 2},
            Delta(choice=0, tool_calls=(ToolCallDelta(2, "", "", "{"),)),
        ),
        ("response.content_part.done", {}, Delta()),
    ],
)
def test_a_piece_of_a_response(kind: str, fields: dict[str, Any], delta: Delta) -> None:
    """Each kind of piece says what it is; what is no output still counts as a chunk of its response."""
    received = of_realtime(kind, **fields)
    assert (received.delta, received.answer) == (delta, "r")


@pytest.mark.parametrize(
    ("status", "details", "reason", "is_terminal", "is_interrupted"),
    [
        ("completed", None, "completed", True, False),
        ("incomplete", {"reason": "content_filter"}, "content_filter", True, False),
        ("cancelled", {"reason": "turn_detected"}, "turn_detected", False, True),
    ],
)
def test_the_end_of_a_response(status: str, details: Any, reason: str, is_terminal: bool, is_interrupted: bool) -> None:
    """The status of the last event and its details say how it ended."""
    received = openai_realtime.received(
        {"type": "response.done", "response": {"id": "r", "status": status, "status_details": details}}
    )
    delta = received.delta
    assert delta is not None
    assert (delta.finish_reason, delta.is_terminal, delta.is_interrupted) == (reason, is_terminal, is_interrupted)
    assert (received.answer, received.ends) == ("r", True)


def test_a_failed_response_is_an_error_with_its_code() -> None:
    """A failure's code is in the details of the status."""
    details = {"type": "failed", "error": {"code": "rate_limit_exceeded", "type": "requests"}}
    received = openai_realtime.received(
        {"type": "response.done", "response": {"id": "r", "status": "failed", "status_details": details}}
    )
    assert received.delta is not None
    assert received.delta.error is not None
    assert received.delta.error.type == "rate_limit_exceeded"


def test_usage_has_modalities() -> None:
    """Counts by modality under the conventions' names; zeros of modalities that took no part are left out."""
    usage = {
        "input_tokens": 41, "output_tokens": 164,
        "input_token_details": {"text_tokens": 14, "audio_tokens": 27, "image_tokens": 0, "cached_tokens": 10,
                                "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 0}},
        "output_token_details": {"text_tokens": 28, "audio_tokens": 136},
    }  # fmt: skip
    assert openai_realtime.read_usage(usage) == {
        "input_tokens": 41, "output_tokens": 164, "cache_read.input_tokens": 10, "text.cache_read.input_tokens": 10,
        "text.input_tokens": 14, "audio.input_tokens": 27, "text.output_tokens": 28, "audio.output_tokens": 136,
    }  # fmt: skip
    assert openai_realtime.read_usage(None) is None


@pytest.mark.parametrize(
    ("parameter", "is_refusal"), [(None, True), ("response.tools", True), ("session.voice", False)]
)
def test_an_error_may_refuse_a_response(parameter: str | None, is_refusal: bool) -> None:
    """An error about the session or an item is none about a request for a response."""
    received = openai_realtime.received({"type": "error", "error": {"code": "c", "param": parameter, "event_id": "e"}})
    assert (received.is_refusal, received.error_of) == (is_refusal, "e")


def test_pieces_are_told_by_their_heads() -> None:
    """Deltas wait, all else is read at once; an unknown order of keys is read at once too."""
    assert not openai_realtime.is_turn('{"event_id":"e","type":"response.output_text.delta"', 100)
    assert openai_realtime.is_turn('{"type":"response.done"', 100)
    assert openai_realtime.is_turn('{"response":{"type":"message"},"type":"response.output_text.delta"}', 100)
    sound = openai_realtime.glance('{"type":"response.output_audio.delta","response_id":"r","delta":"AAAA')
    assert sound == Received(Delta(choice=0, media=AUDIO), "r")
    assert openai_realtime.glance('{"type":"response.done"') is None


def test_lanes_of_responses() -> None:
    """`stream_id` names the lane; an error ends what is in progress there."""
    created = openai_responses_socket.received({"type": "response.created", "stream_id": "a", "response": {"id": "r"}})
    assert (created.begins, created.lane, created.answer) == (True, "a", "")
    failed = openai_responses_socket.received({"type": "error", "stream_id": "a", "error": {"code": "c"}})
    assert (failed.ends, failed.lane, failed.delta) == (True, "a", None)


# --- Gemini ---------------------------------------------------------------------------------------------------------------


def of_live(**content: Any) -> Received:
    return gemini_live.received({"serverContent": content})


@pytest.mark.parametrize(
    ("content", "delta"),
    [
        ({"modelTurn": {"parts": [{"text": "Hm", "thought": True}]}}, Delta(choice=0, reasoning="Hm")),
        ({"modelTurn": {"parts": [{"text": "Hi"}, {"text": "!"}]}}, Delta("Hi!", 0)),
        ({"outputTranscription": {"text": "Hi"}}, Delta("Hi", 0)),
        (
            {"modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": "AAAA"}}]}},
            Delta(choice=0, media=AUDIO),
        ),
        ({"generationComplete": True}, Delta(choice=0)),
        ({"interrupted": True}, Delta(choice=0, finish_reason="interrupted", is_interrupted=True)),
        ({"turnComplete": True}, Delta(choice=0, finish_reason="turn_complete", is_terminal=True)),
        ({"interactionStatus": "IDLE"}, Delta(choice=0, finish_reason="idle", is_terminal=True)),
    ],
)
def test_a_piece_of_a_turn(content: dict[str, Any], delta: Delta) -> None:
    """Each kind of content says what it is."""
    assert of_live(**content).delta == delta


@pytest.mark.parametrize(
    "message",
    [
        {"serverContent": {"inputTranscription": {"text": "Hi"}}},
        {"setupComplete": {}},
        {"goAway": {"timeLeft": "10s"}},
        {"sessionResumptionUpdate": {"newHandle": "h"}},
        {"toolCallCancellation": {"ids": ["c"]}},
    ],
)
def test_what_is_no_piece_of_an_answer(message: dict[str, Any]) -> None:
    """What the user said, and what is about the connection, is no chunk of a turn."""
    assert gemini_live.received(message).delta is None


@pytest.mark.parametrize(
    ("message", "asks", "ends_speech"),
    [
        ({"client_content": {"turns": [], "turn_complete": True}}, True, False),
        ({"clientContent": {"turns": [], "turnComplete": True}}, True, False),
        ({"client_content": {"turns": [], "turn_complete": False}}, False, False),
        ({"realtime_input": {"text": "Hi"}}, True, False),
        ({"realtimeInput": {"activityEnd": {}}}, False, True),
        ({"realtime_input": {"audio_stream_end": True}}, False, True),
        ({"tool_response": {"functionResponses": []}}, False, True),
        ({"playbackControl": "PLAY"}, True, False),
    ],
)
def test_what_asks_for_a_turn(message: dict[str, Any], asks: bool, ends_speech: bool) -> None:
    """Text asks, and the end of speech may be answered; in camel and in snake case."""
    sent = gemini_live.sent(message)
    assert (sent.asks, sent.ends_speech) == (asks, ends_speech)


def test_sound_of_the_user_is_not_read() -> None:
    """Of the many messages with the user's sound only the head is looked at."""
    assert not gemini_live.is_sent('{"realtime_input": {"audio": {"data": "')
    assert not gemini_live.is_sent('{"realtimeInput":{"mediaChunks":[{"data":"')
    assert gemini_live.is_sent('{"realtime_input": {"activityEnd"')
    assert not openai_realtime.is_sent('{"type":"input_audio_buffer.append","audio":"')
    assert openai_realtime.is_sent('{"type":"response.create"}')


def test_the_settings_of_a_connection_are_the_request_of_its_turns() -> None:
    """Model, sampling and the kind of output come from the set-up."""
    setup = {
        "model": "projects/p/locations/l/publishers/google/models/gemini-x",
        "generationConfig": {"temperature": 0.5, "maxOutputTokens": 9, "responseModalities": ["TEXT"]},
    }
    assert gemini_live.model(setup, {}) == "gemini-x"
    assert gemini_live.attributes(setup, {}) == {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.output.type": "text",
    }
