"""Every wire format without an SDK: what is recorded does not depend on how the bytes are cut or laid out."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

import streamspan
from streamspan.demo import DemoProvider
from streamspan.demo.aws_frames import exception_frame, frame
from support.raw import COHERE, COMPLETIONS, CONTENT_ARRAY, CONVERSE, GENERATE, INVOKE, WIRES, Wire
from support.replay import Replay, cut
from support.seen import TLS
from support.telemetry import Told
from support.truth import Payload, messages_of, of_content, said

LIBRARY = next((name for name in ("httpx2", "httpx") if find_spec(name) is not None), "")
pytestmark = pytest.mark.skipif(not LIBRARY, reason="neither httpx2 nor httpx is installed")
_CONTENT = streamspan.Config(capture_content="SPAN_ONLY", redactions=())
_SAYS = (
    "gen_ai.output.messages",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.output_tokens",
    "streamspan.chunk.count",
    "streamspan.outcome",
    "streamspan.tool_call.count",
)


def _told(url: str, body: Any) -> dict[str, Any]:
    """Read a stream with the HTTP library alone; return what the span says."""
    return dict(_run(url, body).attributes)


def _run(url: str, body: Any) -> Told:
    http: Any = import_module(LIBRARY)
    told = Told()
    told.instrument(_CONTENT)
    with http.Client(verify=TLS) as client, client.stream("POST", url, json=body) as response:
        for _ in response.iter_raw():
            pass
    told.finish()
    return told


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: attributes.get(name) for name in _SAYS}


_VARIANTS = ("ok", "tools", "reasoning")
_HAVE = {COMPLETIONS.name: ("ok",), GENERATE.name: ("ok", "reasoning")}
_CASES = [
    pytest.param(wire, variant, id=f"{wire.name}-{variant}")
    for wire in WIRES
    for variant in _HAVE.get(wire.name, _VARIANTS)
]


@pytest.mark.parametrize(("wire", "variant"), _CASES)
def test_a_body_in_pieces_says_what_the_whole_body_says(server: DemoProvider, wire: Wire, variant: str) -> None:
    """Three bytes at a time make the same chunks, output, usage and outcome as whole events."""
    whole = _told(server.url(f"{variant};chunks=3", base=wire.base) + wire.path, dict(wire.body))
    pieces = _told(server.url(f"{variant};chunks=3;split=3", base=wire.base) + wire.path, dict(wire.body))

    assert _said(pieces) == _said(whole)
    sent = [payload for _, payload in server.exchanges[-1].sent if wire.hands_out(payload)]
    assert pieces["streamspan.chunk.count"] == len(sent)
    assert pieces["streamspan.outcome"] == "completed"
    (message, *_) = messages_of(pieces)
    kinds = {part["type"] for part in message["parts"]}
    assert {"ok": "text", "tools": "tool_call", "reasoning": "reasoning"}[variant] in kinds


def _chunk(text: str, finish: str = "") -> dict[str, Any]:
    candidate = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
    counts = {"promptTokenCount": 4, "candidatesTokenCount": 2}
    reason = {"finishReason": finish} if finish else {}
    return {"candidates": [candidate | reason], "usageMetadata": counts, "modelVersion": "gemini-x", "responseId": "r"}


@pytest.mark.parametrize("size", [0, 5])
def test_an_array_over_many_lines_is_read_element_by_element(size: int) -> None:
    """Gemini lays its array out over many lines, with brackets and quotes in its strings: every element is a chunk."""
    chunks = [_chunk('A "stream": ['), _chunk("1, {2}"), _chunk("]", "STOP")]
    body = ("[" + "\n,\r\n".join(json.dumps(chunk, indent=2) for chunk in chunks) + "\n]\n").encode()
    truth = of_content(Payload("", chunk) for chunk in chunks)
    with Replay(cut(body, size), content_type="application/json; charset=UTF-8") as replay:
        attributes = _told(f"{replay.url}/v1beta{CONTENT_ARRAY.path}", dict(CONTENT_ARRAY.body))

    assert said(messages_of(attributes), "text") == truth.text == 'A "stream": [1, {2}]'
    assert attributes["streamspan.chunk.count"] == truth.chunks
    assert attributes["gen_ai.response.finish_reasons"] == ("STOP",)
    assert attributes["streamspan.outcome"] == "completed"


def test_a_request_that_does_not_say_whether_it_streams_is_recorded_when_the_response_does() -> None:
    """The response's type decides."""
    asked = {name: value for name, value in COHERE.body.items() if name != "stream"}
    events = [
        {"type": "message-start", "id": "1"},
        {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"output_tokens": 1}}}},
    ]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    with Replay(cut(body, 0)) as replay:
        attributes = _told(f"{replay.url}{COHERE.base}{COHERE.path}", asked)

    assert attributes["streamspan.layer"] == LIBRARY
    assert attributes["streamspan.chunk.count"] == 2
    assert attributes["streamspan.outcome"] == "completed"
    assert attributes["gen_ai.usage.output_tokens"] == 1


def _exception(kind: str, message: str) -> bytes:
    return exception_frame(kind, json.dumps({"message": message}))


def _fault(code: str, message: str) -> bytes:
    """Return what the service says when it fails without an exception that it declares."""
    return frame({":message-type": "error", ":error-code": code, ":error-message": message}, b"")


@pytest.mark.parametrize("wire", [CONVERSE, INVOKE], ids=lambda wire: wire.name)
@pytest.mark.parametrize("make", [_exception, _fault])
def test_a_failure_in_an_event_stream_is_an_error(wire: Wire, make: Callable[[str, str], bytes]) -> None:
    """By the code that boto3 gives, with the service's message."""
    with Replay(
        [make("modelTimeoutException", "too slow")], content_type="application/vnd.amazon.eventstream"
    ) as replay:
        told = _run(f"{replay.url}{wire.base}{wire.path}", dict(wire.body))

    assert (told.summary.outcome, told.summary.error_type) == ("error", "modelTimeoutException")
    assert told.span.status.description == "too slow"
