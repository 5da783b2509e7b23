"""Recorded conversations, played to the real SDKs: the turns that are recorded are the turns that the messages imply."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import pytest

import streamspan
from sockets.cassettes import FOLDER, Cassette, cassettes, playing
from support.seen import plain
from support.telemetry import Told

pytest.importorskip("websockets.sync.server", reason="recordings are played by a server of websockets 13")
if not FOLDER.is_dir():
    pytest.skip(f"no recordings at {FOLDER}; set STREAMSPAN_RECORDINGS", allow_module_level=True)

_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", content_max_bytes=1_000_000, redactions=())


# --- what a recording says, read without a line of streamspan's own code ----------------------------------------------


def _truth_of_realtime(cassette: Cassette) -> dict[str, Any]:
    said = [each for each in cassette.received if each["type"].startswith("response.")]
    (done,) = (each["response"] for each in said if each["type"] == "response.done")
    usage = done["usage"]
    texts = [each["delta"] for each in said if each["type"] == "response.output_audio_transcript.delta"]
    assert "".join(texts) == done["output"][0]["content"][0]["transcript"]
    return {
        "gen_ai.request.model": "gpt-realtime",
        "gen_ai.response.id": done["id"],
        "gen_ai.response.finish_reasons": (done["status"],),
        "gen_ai.output.type": "speech",
        "gen_ai.realtime_session.id": cassette.received[0]["session"]["id"],
        "streamspan.chunk.count": len(said),
        "streamspan.output.characters": sum(map(len, texts)),
        "gen_ai.usage.input_tokens": usage["input_tokens"],
        "gen_ai.usage.output_tokens": usage["output_tokens"],
        "gen_ai.usage.text.output_tokens": usage["output_token_details"]["text_tokens"],
        "gen_ai.usage.audio.output_tokens": usage["output_token_details"]["audio_tokens"],
        "text": "".join(texts),
    }


def _truth_of_live(cassette: Cassette) -> dict[str, Any]:
    said = [each for each in cassette.received if "serverContent" in each or "toolCall" in each]
    contents = [each.get("serverContent", {}) for each in said]
    texts = [content["outputTranscription"]["text"] for content in contents if "outputTranscription" in content]
    parts = [part for content in contents for part in content.get("modelTurn", {}).get("parts", [])]
    calls = [call for each in said for call in each.get("toolCall", {}).get("functionCalls", [])]
    arguments = sum(len(json.dumps(call["args"])) for call in calls)
    usage = said[-1]["usageMetadata"]
    counts = {each["modality"].lower(): each["tokenCount"] for each in usage["responseTokensDetails"]}
    return {
        "gen_ai.request.model": "gemini-2.5-flash-native-audio-preview-09-2025",
        "gen_ai.response.finish_reasons": ("turn_complete",),
        "gen_ai.output.type": "speech",
        "streamspan.chunk.count": len(said),
        "streamspan.output.characters": sum(map(len, texts)) + arguments,
        "streamspan.reasoning.characters": sum(len(part["text"]) for part in parts if part.get("thought")),
        "streamspan.tool_call.count": len(calls) or None,
        "gen_ai.usage.input_tokens": usage["promptTokenCount"],
        "gen_ai.usage.output_tokens": usage["responseTokenCount"] + usage.get("thoughtsTokenCount", 0),
        "gen_ai.usage.reasoning.output_tokens": usage.get("thoughtsTokenCount"),
        "gen_ai.usage.audio.output_tokens": counts["audio"],
        "text": "".join(texts),
    }


# --- the SDKs ----------------------------------------------------------------------------------------------------------


async def _talk_realtime(cassette: Cassette, url: str) -> list[Any]:
    openai = pytest.importorskip("openai")
    client = openai.AsyncOpenAI(websocket_base_url=url + "/v1", api_key="key")
    resource = client.realtime if hasattr(client, "realtime") else client.beta.realtime
    seen = []
    async with client, resource.connect(model="gpt-realtime") as talk:
        for direction, data in cassette.messages:
            if direction == "sent":
                await talk.send(data)
            else:
                seen.append(plain(await talk.recv()))
    return seen


async def _talk_live(cassette: Cassette, url: str) -> list[Any]:
    genai = pytest.importorskip("google.genai")
    client = genai.Client(api_key="key")
    client._api_client._websocket_ssl_ctx = {}
    client._api_client._websocket_base_url = lambda *_: url
    setup = cassette.sent[0]["setup"]
    config = {"response_modalities": setup["generationConfig"]["responseModalities"], "tools": setup.get("tools")}
    async with client.aio.live.connect(model=setup["model"], config=config) as session:
        seen = []
        for direction, data in cassette.messages[2:]:
            if direction == "received":
                seen.append(plain(await session._receive()))
            elif "client_content" in data:
                await session.send_client_content(turns=data["client_content"]["turns"])
            else:
                await session.send_tool_response(function_responses=data["tool_response"]["functionResponses"])
        return seen


Talk = Callable[[Cassette, str], Any]
_CASES = [
    *(pytest.param(each, _talk_realtime, _truth_of_realtime, id=each.name) for each in cassettes("openai_realtime")),
    *(pytest.param(each, _talk_live, _truth_of_live, id=each.name) for each in cassettes("gemini_live")),
]


@pytest.mark.parametrize(("cassette", "talk", "read"), _CASES)
def test_a_recorded_turn(cassette: Cassette, talk: Talk, read: Callable[[Cassette], dict[str, Any]]) -> None:
    """One turn, with the text, counts, usage and ids of the recording; the caller gets the same messages as without."""
    if talk is _talk_live and find_spec("google.genai") is None:
        pytest.skip("google-genai is not installed")
    truth = read(cassette)
    with playing(cassette) as url:
        bare = asyncio.run(talk(cassette, url))
        told = Told()
        told.instrument(_CONTENT)
        seen = asyncio.run(talk(cassette, url))
        told.finish()
    assert seen == bare
    turn, connection = told.spans
    attributes = dict(turn.attributes or {})
    text = truth.pop("text")
    assert {name: attributes.get(name) for name in truth} == truth
    assert attributes["streamspan.outcome"] == "completed"
    (message,) = json.loads(str(attributes["gen_ai.output.messages"]))
    assert "".join(part["content"] for part in message["parts"] if part["type"] == "text") == text
    assert connection.name == f"realtime_session {truth['gen_ai.request.model']}"
    assert dict(connection.attributes or {})["streamspan.turn.count"] == 1


@pytest.mark.parametrize(
    ("folder", "name", "kind"),
    [
        ("openai_realtime", "pydantic-ai__test_text_in_audio_out_turn", "text"),
        ("openai_realtime", "pydantic-ai__test_audio_in_server_vad_turn", "text"),
        ("gemini_live", "pydantic-ai__test_text_in_audio_out_turn", "reasoning"),
        ("gemini_live", "pydantic-ai__test_tool_call_round", "tool_call"),
    ],
)
def test_the_first_output_is_what_came_first(folder: str, name: str, kind: str) -> None:
    """The transcript comes before the sound, the thought before the transcript, the tool call before any text."""
    (cassette,) = (each for each in cassettes(folder) if each.name == name)
    talk = _talk_realtime if folder == "openai_realtime" else _talk_live
    told = Told()
    told.instrument()
    with playing(cassette) as url:
        asyncio.run(talk(cassette, url))
    told.finish()
    (first,) = (event for event in told.spans[0].events if event.name == "streamspan.first_token")
    assert dict(first.attributes or {})["streamspan.output.kind"] == kind


def test_a_turn_after_speech_begins_when_the_speech_was_over() -> None:
    """With server VAD nobody asks for the turn: it begins when the server says that the user has stopped speaking."""
    (cassette,) = (each for each in cassettes("openai_realtime") if "vad" in each.name)
    told = Told()
    told.instrument()
    with playing(cassette) as url:
        asyncio.run(_talk_realtime(cassette, url))
    told.finish()
    turn, connection = told.spans
    attributes: dict[str, Any] = dict(turn.attributes or {})
    created = next(event for event in turn.events if event.name == "streamspan.chunk")
    assert connection.start_time is not None
    assert turn.start_time is not None
    assert connection.start_time < turn.start_time < created.timestamp
    assert attributes["gen_ai.response.time_to_first_chunk"] > 0
