"""Every surface and form of the demo's OpenAI, through the real SDK."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from streamspan.demo import DemoProvider
from streamspan.demo.prose import ANSWER, REFUSAL, SPOKEN, THOUGHT

ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "What is a stream?"}]}
TEXT = ANSWER.rstrip()
CALLS = [("get_weather", '{"city":"Montréal","unit":"celsius"}'), ("get_local_time", '{"city":"Montréal"}')]

assistants = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # the SDK calls the Assistants API deprecated


class Plan(BaseModel):
    """A structured answer."""

    title: str
    steps: list[str]


Connect = Callable[[str], openai.OpenAI]


@pytest.fixture(scope="module")
def server() -> Iterator[DemoProvider]:
    """One provider for all tests of the module."""
    with DemoProvider() as server:
        yield server


@pytest.fixture(scope="module")
def connect(server: DemoProvider) -> Iterator[Connect]:
    """Clients for each scenario, over one connection pool."""
    with openai.OpenAI(base_url=server.url(), api_key="demo", max_retries=0, timeout=10) as client:
        yield lambda scenario: client.with_options(base_url=server.url(scenario))


# --- chat completions ------------------------------------------------------------------------------------------------


def test_chat_streams_the_text(connect: Connect) -> None:
    """Role first, then the words, then the reason, and the model as asked."""
    chunks = list(connect("ok").chat.completions.create(**ASK, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == TEXT
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert {chunk.model for chunk in chunks} == {"gpt-x"}
    assert all(chunk.usage is None for chunk in chunks)


def test_chat_sends_usage_when_asked(connect: Connect) -> None:
    """A last chunk without choices counts the tokens, and all others have a null."""
    chunks = list(
        connect("ok;chunks=4").chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.completion_tokens, chunks[-1].usage.total_tokens) == (
        4,
        4 + chunks[-1].usage.prompt_tokens,
    )
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * 6
    assert "usage" in chunks[0].model_fields_set


@pytest.mark.parametrize(
    "scenario", ["ok", "one_chunk", "keepalive", "crlf", "multiline", "gzip", "split", "split;split=1"]
)
def test_chat_whole_is_what_the_stream_adds_up_to(connect: Connect, scenario: str) -> None:
    """The same text, however it is packed."""
    client = connect(scenario)
    whole = client.chat.completions.create(**ASK)
    streamed = client.chat.completions.create(**ASK, stream=True)
    assert whole.choices[0].message.content == TEXT
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == TEXT


@pytest.mark.parametrize(
    ("scenario", "count", "odd"),
    [
        ("null_choices", 9, lambda c: c.choices is None),
        ("empty_choices_first", 9, lambda c: (c.id, c.model, c.choices) == ("", "", [])),
        ("no_delta", 9, lambda c: bool(c.choices) and getattr(c.choices[0], "delta", None) is None),
        ("cumulative_usage", 8, lambda c: c.usage.completion_tokens == 3),
        ("usage_only", 8, lambda c: c.choices == [] and c.usage.completion_tokens == 6),
        ("usage_on_finish", 8, lambda c: c.choices[0].finish_reason == "stop" and c.usage.completion_tokens == 6),
        ("usage_after_finish", 9, lambda c: c.choices[0].finish_reason is None and c.usage is not None),
        ("no_done", 8, lambda c: c.choices[0].finish_reason == "stop"),
        ("response_incomplete", 8, lambda c: c.choices[0].finish_reason == "length"),
    ],
)
def test_odd_data_is_in_the_stream_once(
    connect: Connect, scenario: str, count: int, odd: Callable[[Any], bool]
) -> None:
    """The one odd chunk is there, among ordinary ones."""
    chunks = list(connect(f"{scenario};chunks=6").chat.completions.create(**ASK, stream=True))
    assert len(chunks) == count
    assert sum(odd(chunk) for chunk in chunks) == 1


def test_obfuscation_is_on_every_chunk(connect: Connect) -> None:
    """Padding of changing length, as the vendor sends it."""
    chunks = list(connect("obfuscation").chat.completions.create(**ASK, stream=True))
    assert all(chunk.to_dict()["obfuscation"] for chunk in chunks)


def test_missing_tool_index_is_missing(connect: Connect) -> None:
    """The pieces of tool calls carry no index."""
    chunks = list(connect("missing_tool_index").chat.completions.create(**ASK, stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or ()]
    assert len(calls) > 2
    assert {call.index for call in calls} == {None}


def test_openrouter_error_comes_with_choices_and_usage(connect: Connect, server: DemoProvider) -> None:
    """The SDK raises; on the wire the chunk has all three."""
    with pytest.raises(openai.APIError, match="Provider returned error"):
        list(connect("openrouter_error;key=router").chat.completions.create(**ASK, stream=True))
    failed = next(
        chunk for chunk in map(json.loads, [p for _, p in server.of("router")[0].sent[:-1]]) if "error" in chunk
    )
    assert (failed["choices"][0]["finish_reason"], failed["usage"]["completion_tokens"]) == ("error", 2)


@pytest.mark.parametrize(
    ("scenario", "field", "text"),
    [
        ("refusal", "refusal", REFUSAL),
        ("reasoning", "reasoning_content", THOUGHT.rstrip()),
        ("reasoning", "content", TEXT),
    ],
)
def test_chat_forms(connect: Connect, scenario: str, field: str, text: str) -> None:
    """Each form's text is in its field, streamed and whole."""
    client = connect(scenario)
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**ASK, stream=True)]
    assert "".join(getattr(delta, field, None) or "" for delta in deltas) == text
    assert getattr(client.chat.completions.create(**ASK).choices[0].message, field) == text


def test_reasoning_comes_before_the_answer(connect: Connect) -> None:
    """No thought after the first word, and thoughts are counted."""
    client = connect("reasoning")
    deltas = [chunk.choices[0].delta for chunk in client.chat.completions.create(**ASK, stream=True)]
    kinds = ["r" if getattr(delta, "reasoning_content", None) else "c" for delta in deltas[1:-1]]
    assert kinds == sorted(kinds, reverse=True)
    usage = client.chat.completions.create(**ASK).usage
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == kinds.count("r")


def test_audio_is_spoken(connect: Connect) -> None:
    """Transcript and sound come in pieces."""
    client = connect("audio")
    parts: list[Any] = [
        chunk.choices[0].delta.to_dict() for chunk in client.chat.completions.create(**ASK, stream=True)
    ]
    sound = [part["audio"] for part in parts if "audio" in part]
    assert "".join(part.get("transcript", "") for part in sound) == SPOKEN
    assert sum("data" in part for part in sound) == len(SPOKEN.split())
    audio = client.chat.completions.create(**ASK).choices[0].message.audio
    assert audio is not None
    assert (audio.transcript, audio.expires_at > 0) == (SPOKEN, True)


def test_tools_are_two_parallel_calls(connect: Connect) -> None:
    """The helper joins the pieces to two calls."""
    with connect("tools").chat.completions.stream(**ASK) as stream:
        message = stream.get_final_completion().choices[0].message
    assert [(call.function.name, call.function.arguments) for call in message.tool_calls or ()] == CALLS


def test_the_tools_of_the_request_are_called(connect: Connect) -> None:
    """A forced tool is called even in an ordinary scenario, with arguments that fit."""
    tools = [openai.pydantic_function_tool(Plan)]
    completion = connect("ok").chat.completions.parse(**ASK, tools=tools, tool_choice="required")
    called = (completion.choices[0].message.tool_calls or [])[0].function
    assert (completion.choices[0].finish_reason, called.name) == ("tool_calls", "Plan")
    assert called.parsed_arguments == Plan(title="a title", steps=["a steps"])


def test_after_the_tools_comes_the_answer(connect: Connect) -> None:
    """An agent's next turn ends with text, so that its loop ends."""
    messages = [*ASK["messages"], {"role": "tool", "tool_call_id": "call_demo0000", "content": "4 degrees"}]
    completion = connect("tools").chat.completions.create(model="m", messages=messages)
    assert completion.choices[0].message.content == TEXT


@pytest.mark.parametrize(
    ("scenario", "more", "reasons"), [("n2", {}, ["stop", "length"]), ("ok", {"n": 3}, ["stop"] * 3)]
)
def test_choices_are_interleaved(connect: Connect, scenario: str, more: dict[str, Any], reasons: list[str]) -> None:
    """Each choice has its own end, and the later ones end first."""
    choices = [c.choices[0] for c in connect(scenario).chat.completions.create(**ASK, **more, stream=True)]
    ends = [(choice.index, choice.finish_reason) for choice in choices if choice.finish_reason]
    assert ends == list(reversed(list(enumerate(reasons))))
    assert [choice.index for choice in choices[:4]] == ([0, 1, 0, 1] if scenario == "n2" else [0, 1, 2, 0])


def test_structured_output_is_parsed(connect: Connect) -> None:
    """The answer fits the schema, whole and streamed."""
    client = connect("ok")
    expected = Plan(title="a title", steps=["a steps"])
    assert client.chat.completions.parse(**ASK, response_format=Plan).choices[0].message.parsed == expected
    with client.chat.completions.stream(**ASK, response_format=Plan) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == expected


def test_raw_and_streaming_responses(connect: Connect) -> None:
    """The SDK's other two ways to the same stream."""
    completions = connect("ok;chunks=5").chat.completions
    raw = completions.with_raw_response.create(**ASK, stream=True)
    assert raw.request_id
    assert len(list(raw.parse())) == 7
    with completions.with_streaming_response.create(**ASK, stream=True) as response:
        assert [line for line in response.iter_lines() if line][-1] == "data: [DONE]"


# --- the other surfaces ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"stream_options": {"include_usage": True}}])
def test_completions(connect: Connect, more: dict[str, Any]) -> None:
    """Legacy completions, streamed and whole."""
    client = connect("ok")
    chunks = list(client.completions.create(model="gpt-x", prompt="Once", stream=True, **more))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == TEXT
    assert [chunk.usage is not None for chunk in chunks].count(True) == len(more)
    assert client.completions.create(model="gpt-x", prompt="Once").choices[0].text == TEXT


@pytest.mark.parametrize(("scenario", "kinds"), [
    ("ok", ["message"]), ("tools", ["function_call"] * 2), ("reasoning", ["reasoning", "message"]),
    ("refusal", ["message"]), ("one_chunk", ["message"]), ("obfuscation", ["message"]), ("audio", []),
])  # fmt: skip
def test_responses(connect: Connect, scenario: str, kinds: list[str]) -> None:
    """Numbered events that lead to the response that a whole answer has."""
    client = connect(scenario)
    events: list[Any] = list(client.responses.create(model="gpt-x", input="Hello", stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    whole = client.responses.create(model="gpt-x", input="Hello")
    assert events[-1].response.to_dict() == whole.to_dict()
    assert ([item.type for item in whole.output], whole.model) == (kinds, "gpt-x")


def test_responses_helpers(connect: Connect) -> None:
    """`stream()` and `parse()` get what they need."""
    client = connect("ok")
    with client.responses.stream(model="gpt-x", input="Hello") as stream:
        assert stream.get_final_response().output_text == TEXT
    with client.responses.stream(model="gpt-x", input="Hello", text_format=Plan) as stream:
        assert stream.get_final_response().output_parsed == Plan(title="a title", steps=["a steps"])
    with connect("tools").responses.stream(model="gpt-x", input="Hello") as stream:
        calls = [item for item in stream.get_final_response().output if item.type == "function_call"]
    assert [(call.name, call.arguments) for call in calls] == CALLS


@pytest.mark.parametrize(("scenario", "last"), [
    ("response_failed", "response.failed"), ("response_incomplete", "response.incomplete"), ("response_error_item", "error"),
    ("short", "response.output_item.added"), ("short_role", "response.content_part.added"),
    ("short_tool", "response.function_call_arguments.delta"), ("done_only", "response.output_item.done"),
])  # fmt: skip
def test_responses_endings(connect: Connect, scenario: str, last: str) -> None:
    """The last event of each ending; none of them raises."""
    assert [event.type for event in connect(scenario).responses.create(model="m", input="", stream=True)][-1] == last


def test_responses_are_retrieved(connect: Connect) -> None:
    """A stream is resumed after a given event, a whole response has the asked id."""
    client = connect("ok;chunks=3")
    assert client.responses.retrieve("resp_7").id == "resp_7"
    events = list(client.responses.retrieve("resp_7", stream=True, starting_after=3))
    assert [event.sequence_number for event in events] == list(range(4, 11))


@assistants
@pytest.mark.parametrize(("scenario", "last"), [
    ("ok", "thread.run.completed"), ("tools", "thread.run.requires_action"), ("response_failed", "thread.run.failed"),
    ("response_incomplete", "thread.run.incomplete"), ("short", "thread.run.in_progress"),
])  # fmt: skip
def test_runs(connect: Connect, scenario: str, last: str) -> None:
    """A run's last event in each ending."""
    events = connect(scenario).beta.threads.runs.create(thread_id="thread_1", assistant_id="asst_1", stream=True)
    assert [event.event for event in events][-1] == last


@assistants
def test_run_helpers(connect: Connect) -> None:
    """The event handler joins text and tool calls; whole runs are served too."""
    threads = connect("ok").beta.threads
    with threads.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream:
        (message,) = stream.get_final_messages()
    assert message.content[0].type == "text"
    assert message.content[0].text.value == TEXT
    with threads.create_and_run_stream(assistant_id="asst_1") as stream:
        assert "".join(stream.text_deltas) == TEXT
    outputs: Any = [{"tool_call_id": "call_demo0000", "output": "4"}]
    with threads.runs.submit_tool_outputs_stream(thread_id="t", run_id="run_2", tool_outputs=outputs) as stream:
        stream.until_done()
        assert stream.current_run is not None
        assert stream.current_run.id == "run_2"
    assert threads.runs.create(thread_id="thread_1", assistant_id="asst_1").status == "completed"
    with connect("tools").beta.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1") as stream:
        details: Any = stream.get_final_run_steps()[0].step_details
    assert [(call.function.name, call.function.arguments) for call in details.tool_calls] == CALLS


def test_images(connect: Connect) -> None:
    """Partial images, then the image; edits are forms."""
    images = connect("ok").images
    made = list(images.generate(model="gpt-image-1", prompt="a cat", stream=True, partial_images=2))
    assert [event.type for event in made] == [*["image_generation.partial_image"] * 2, "image_generation.completed"]
    assert images.generate(model="gpt-image-1", prompt="a cat").data
    edited = list(images.edit(model="gpt-image-1", image=io.BytesIO(b"\x89PNG\r\n"), prompt="a hat", stream=True))
    assert [event.type for event in edited] == [*["image_edit.partial_image"] * 3, "image_edit.completed"]


def test_transcriptions(connect: Connect, server: DemoProvider) -> None:
    """Words, then the text; the form's fields are on record."""
    transcriptions = connect("ok;key=spoken").audio.transcriptions
    file = ("a.wav", b"RIFF\r\n" * 10)
    events: list[Any] = list(transcriptions.create(model="gpt-4o-transcribe", file=file, stream=True))
    assert "".join(event.delta for event in events[:-1]) == events[-1].text == SPOKEN
    assert transcriptions.create(model="gpt-4o-transcribe", file=file).text == SPOKEN
    assert server.of("spoken")[0].body == {
        "model": "gpt-4o-transcribe", "stream": "true", "file": {"filename": "a.wav", "size": 60},
    }  # fmt: skip


def test_azure(server: DemoProvider) -> None:
    """Azure's deployments name the model in the path, and `/openai/v1` is served as well."""
    endpoint = server.url("empty_choices_first", "")
    with openai.AzureOpenAI(azure_endpoint=endpoint, api_key="k", api_version="2024-10-21") as client:
        chunks = list(client.chat.completions.create(model="my-deployment", messages=[], stream=True))
    assert (chunks[0].model, {chunk.model for chunk in chunks[1:]}) == ("", {"my-deployment"})
    with openai.OpenAI(base_url=server.url("ok", "/openai/v1/"), api_key="k") as client:
        assert client.responses.create(model="m", input="").output_text == TEXT


def test_the_async_client(server: DemoProvider) -> None:
    """The same surfaces through asyncio."""

    async def use() -> tuple[int, str | None, str]:
        async with openai.AsyncOpenAI(base_url=server.url("ok;chunks=5"), api_key="k") as client:
            chunks = [chunk async for chunk in await client.chat.completions.create(**ASK, stream=True)]
            async with client.chat.completions.stream(**ASK) as stream:
                final = await stream.get_final_completion()
            async with client.responses.stream(model="m", input="") as responses:
                return len(chunks), final.choices[0].finish_reason, (await responses.get_final_response()).output_text

    assert asyncio.run(use()) == (7, "stop", "A stream is a promise")
