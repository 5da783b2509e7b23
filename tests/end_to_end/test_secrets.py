"""What must not leave the process does not: planted texts, keys and tokens, looked for in every byte that arrived."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from end_to_end.arrivals import Arrivals
from end_to_end.checks import Performance, Stream
from end_to_end.jobs import Job
from end_to_end.stage import Cast, Stage, to
from support.recorded import Recording
from support.truth import called, of_responses, said

_KEY = "sk-proj-Pl4ntedKeyOfTheCaller0123456789"
_TOKEN = "Pl4ntedTokenOfSomebody.0123456789"
_PASSWORD = "pl4ntedpassword"
_HEADER, _QUERY = "pl4nted-header-value", "pl4nted-query-value"
_SECRETS = (_KEY, _TOKEN, _PASSWORD, _HEADER, _QUERY)
_PERSONAL = ("someone.planted@example.com", "4111 1111 1111 1111", "+41 44 668 18 00")
_ASKED = ("marker-system", "marker-question", "marker-tool-description", "marker-metadata", "marker-end-user")
_ANSWERED = ("marker-answer", "marker-thought", "marker-arguments", "marker-refusal", "marker-garbage")
_COMPLAINT = f"Incorrect API key provided: {_KEY}. You sent 'Authorization: Bearer {_TOKEN}'."

_PARTS = (
    "The marker-answer is at someone.pla",
    "nted@example.com or +41 44 66",
    "8 18 00; card 4111 11",
    "11 1111 1111, ",
)
_MORE = ("key sk-proj-Pl4ntedKeyOf", f"TheCaller0123456789, Bearer {_TOKEN[:9]}", f"{_TOKEN[9:]} and so on.")
_REDACTED = (
    "The marker-answer is at [redacted:email] or [redacted:phone]; card [redacted:card], "
    "key [redacted:api_key], Bearer [redacted:bearer] and so on."
)
_REDACTED_QUESTION = (
    "marker-question from [redacted:email], [redacted:card], [redacted:phone] "
    "with [redacted:api_key] and Bearer [redacted:bearer]"
)
_OPENING = "The marker-answer is at [redacted:email] or +41 44 66"  # three chunks: the role, and two pieces


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-x", "choices": [choice]}


def _body(*payloads: dict[str, Any] | str) -> str:
    texts = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
    return "".join(f"data: {text}\n\n" for text in texts)


_ROLE = _chunk({"role": "assistant", "content": ""})
_PIECES = [_chunk({"content": piece}) for piece in (*_PARTS, *_MORE)]
_CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "send", "arguments": '{"to": "someone.'}}
_REST = {"index": 0, "function": {"arguments": 'planted@example.com", "text": "marker-arguments"}'}}
_FAILED = {"id": "r1", "status": "failed", "error": {"code": "server_error", "message": _COMPLAINT}}
_BODIES: dict[str, tuple[str, dict[str, Any]]] = {
    "whole": (_body(_ROLE, *_PIECES, _chunk({}, "stop"), "[DONE]"), {}),
    "thinking": (
        _body(
            _ROLE,
            _chunk({"reasoning_content": "A marker-thought about someone.planted"}),
            _chunk({"reasoning_content": "@example.com."}),
            _chunk({"tool_calls": [_CALL]}),
            _chunk({"tool_calls": [_REST]}),
            _chunk({}, "tool_calls"),
            "[DONE]",
        ),
        {},
    ),
    "refusing": (_body(_ROLE, _chunk({"refusal": "A marker-refusal."}), _chunk({}, "stop"), "[DONE]"), {}),
    "truncated": (_body(_ROLE, *_PIECES[:2]), {"outcome": "truncated", "error": "truncated"}),
    "closed": (
        _body(_ROLE, *_PIECES, _chunk({}, "stop"), "[DONE]"),
        {"act": "close", "outcome": "cancelled", "is_cut": True},
    ),
    "failing": (
        _body(_ROLE, *_PIECES[:2], {"error": {"message": _COMPLAINT, "type": "auth", "code": "invalid_api_key"}}),
        {"outcome": "error", "error": "invalid_api_key"},
    ),
    "garbled": (
        _body(_ROLE, *_PIECES[:2], "{marker-garbage someone.planted@example.com"),
        {"outcome": "error", "error": "json.decoder.JSONDecodeError"},
    ),
    "failed": (
        _body(
            {"type": "response.created", "sequence_number": 0, "response": {"id": "r1", "model": "gpt-x"}},
            {"type": "response.failed", "sequence_number": 1, "response": _FAILED},
        ),
        {"call": "responses.create", "read": of_responses, "outcome": "error", "error": "server_error"},
    ),
}


def _jobs() -> Iterator[Job]:
    tool = {
        "name": "send",
        "description": "marker-tool-description",
        "parameters": {"type": "object", "properties": {}},
    }
    question = f"marker-question from {', '.join(_PERSONAL)} with {_KEY} and Bearer {_TOKEN}"
    common = {"model": "gpt-x", "metadata": {"note": "marker-metadata"}, "user": "marker-end-user", "stream": True}
    chat: dict[str, Any] = {
        "messages": [{"role": "system", "content": "marker-system"}, {"role": "user", "content": question}],
        "tools": [{"type": "function", "function": tool}],
    }
    answer: dict[str, Any] = {
        "instructions": "marker-system",
        "input": question,
        "tools": [{"type": "function", "strict": False, **tool}],
    }
    for name, (body, more) in _BODIES.items():
        arguments = common | (answer if more.get("call") else chat)
        recording = Recording(name, "openai", "https://api.openai.com/v1/x", arguments, body)
        yield Job(name=name, recording=recording, arguments=arguments, retries=0, **more)


@contextmanager
def _refusing() -> Iterator[int]:
    """A provider that answers 401 and says what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            answer = json.dumps({"error": {"message": _COMPLAINT, "type": "auth", "code": "invalid_api_key"}}).encode()
            self.send_response(401)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """The planted streams, asked for with planted credentials."""
    with Stage(_jobs()) as stage, _refusing() as port:
        for first in [each for each in stage.cast if each.job.name == "whole"]:
            if first.colour == "sync":
                job = replace(first.job, name="refused", outcome="error", error="invalid_api_key")
                stage.cast.append(Cast(job, "sync", job.plan(f"http://127.0.0.1:{port}"), port))
        for each in stage.cast:
            url = each.plan["url"].replace("http://", f"http://robot:{_PASSWORD}@")
            each.plan.update(url=url, api_key=_KEY, headers={"x-internal": _HEADER}, query={"api-key": _QUERY})
        yield stage


def _performance(stage: Stage, directory: Path, backend: Arrivals, **variables: str) -> Performance:
    ended = stage.play(directory, to(backend.endpoint, "http", STREAMSPAN_EVENTS="both", **variables))
    assert (ended.status, ended.stderr) == (0, "")
    performance = Performance(stage, ended, backend)
    outcomes = {(s.cast.job.outcome, s.cast.job.error) for s in performance.streams}
    assert {(s["outcome"], s["error_type"]) for s in ended.report["summaries"]} == outcomes
    return performance


def _found(performance: Performance, markers: tuple[str, ...]) -> set[str]:
    """Return the markers that arrived, or that the application was told."""
    told = performance.arrived.raw + json.dumps(performance.ended.report["summaries"], ensure_ascii=False).encode()
    return {marker for marker in markers if marker.encode() in told}


def _messages(stream: Stream) -> list[dict[str, Any]]:
    """Return the answer, which the span and the log event agree on."""
    text = stream.attributes["gen_ai.output.messages"]
    (details,) = (
        record["attributes"]
        for record in stream.performance.arrived.logs
        if record["span_id"] == stream.span["span_id"] and "gen_ai.output.messages" in record["attributes"]
    )
    messages: list[dict[str, Any]] = json.loads(text)
    assert details["gen_ai.output.messages"] == messages
    return messages


def test_without_content_nothing_of_it_arrives(stage: Stage, tmp_path: Path) -> None:
    """No word of question and answer, no key, token, password, header or query, in no signal, failures included."""
    with Arrivals() as backend:
        performance = _performance(stage, tmp_path, backend)
        assert _found(performance, (*_SECRETS, *_PERSONAL, *_ASKED, *_ANSWERED)) == set()
        # The failures are told all the same, without what is secret.
        for name in ("failing", "refused", "failed"):
            stream = performance.stream(name)
            (event,) = (event for event in stream.span["events"] if event["name"] == "exception")
            assert "Incorrect API key provided: [redacted:api_key]" in event["attributes"]["exception.message"]
            assert "Incorrect API key provided: [redacted:api_key]" in stream.summary["error_message"]
            assert "Incorrect API key provided: [redacted:api_key]" in stream.span["status_message"]


def test_with_content_the_texts_arrive_and_the_secrets_do_not(stage: Stage, tmp_path: Path) -> None:
    """The answer is joined before it is redacted, so that what was split over chunks is found, also if it is cut short."""
    content = {"OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_AND_EVENT"}
    with Arrivals() as backend:
        performance = _performance(stage, tmp_path, backend, **content)
        assert _found(performance, (*_SECRETS, *_PERSONAL)) == set()
        expected = {"marker-system", "marker-question", "marker-tool-description", *_ANSWERED} - {"marker-garbage"}
        assert _found(performance, (*_ASKED, *_ANSWERED)) == expected
        for colour in ("sync", "async"):
            assert said(_messages(performance.stream("whole", colour)), "text") == _REDACTED
            for name in ("truncated", "closed", "failing", "garbled"):
                assert said(_messages(performance.stream(name, colour)), "text") == _OPENING, name
            thinking = _messages(performance.stream("thinking", colour))
            assert said(thinking, "reasoning") == "A marker-thought about [redacted:email]."
            assert called(thinking) == [("send", {"to": "[redacted:email]", "text": "marker-arguments"})]
            for name in ("whole", "failed"):
                asked = json.loads(performance.stream(name, colour).attributes["gen_ai.input.messages"])
                assert said(asked[-1:], "text") == _REDACTED_QUESTION
