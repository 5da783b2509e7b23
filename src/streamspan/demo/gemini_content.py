"""Hand-made answers of Gemini's `generateContent`, in the forms of the Developer API and of Vertex AI.

Pure data and functions. Counts are on every chunk and cumulative; Vertex has them in the last chunk only. There is no
end marker but the finish reason. Without `alt=sse` the same chunks are the elements of one JSON array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from streamspan.demo.gemini_errors import FAULTS
from streamspan.demo.gemini_prompts import Prompt
from streamspan.demo.prose import SPOKEN, THOUGHT, fragments, pieces
from streamspan.demo.streams import Ask, Event, Json, Kind, Reply, to_json

Parts = Iterator[tuple[Kind, Json]]

_SIGNATURE = "EpIDCo8DAQw51scL"


def _candidate(part: Json | None, finish: str = "", *, index: int = 0, **more: object) -> Json:
    candidate: Json = {"content": {"parts": [part], "role": "model"}} if part is not None else {}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [{**candidate, "index": index, **more}]}


def _end(finish: str = "STOP") -> tuple[Kind, Json]:
    return "finish", _candidate({"text": ""}, finish)


def _text(prompt: Prompt) -> Parts:
    for piece in prompt.words():
        yield "delta", _candidate({"text": piece})
    yield _end()


def _tools(prompt: Prompt) -> Parts:
    for index, (name, arguments) in enumerate(prompt.tool_calls()):
        call = {"name": name, "args": arguments, "id": f"demo{index:04d}"}
        yield "delta", _candidate({"functionCall": call, "thoughtSignature": _SIGNATURE})
    yield _end()


def _partial_arguments(prompt: Prompt) -> Parts:
    for name, arguments in prompt.tool_calls():
        yield "delta", _candidate({"functionCall": {"name": name, "willContinue": True}})
        for key, value in arguments.items():
            for piece in fragments(str(value)):
                argument = {"jsonPath": f"$.{key}", "stringValue": piece, "willContinue": True}
                yield "delta", _candidate({"functionCall": {"partialArgs": [argument], "willContinue": True}})
        yield "delta", _candidate({"functionCall": {}})
    yield _end()


def _reasoning(prompt: Prompt) -> Parts:
    for piece in pieces(THOUGHT, prompt.chunks):
        yield "delta", _candidate({"text": piece, "thought": True})
    yield from _text(prompt)


def _blocked(_: Prompt) -> Parts:
    yield "finish", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}


def _refusal(_: Prompt) -> Parts:
    ratings = [{"category": "HARM_CATEGORY_DANGEROUS_CONTENT", "probability": "HIGH", "blocked": True}]
    yield "finish", _candidate(None, "SAFETY", safetyRatings=ratings)


def _audio(prompt: Prompt) -> Parts:
    for _ in pieces(SPOKEN, prompt.chunks):
        yield "delta", _candidate({"inlineData": {"mimeType": "audio/L16;codec=pcm;rate=24000", "data": "AAAAAAAA"}})
    yield _end()


def _code(prompt: Prompt) -> Parts:
    yield "delta", _candidate({"executableCode": {"language": "PYTHON", "code": "print(6 * 7)"}})
    yield "delta", _candidate({"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "42\n"}})
    yield from _text(prompt)


def _grounded(prompt: Prompt) -> Parts:
    web = {"uri": "https://example.com/streams", "title": "Streams"}
    support = {"segment": {"endIndex": 12, "text": "A stream is"}, "groundingChunkIndices": [0]}
    metadata = {"webSearchQueries": ["stream"], "groundingChunks": [{"web": web}], "groundingSupports": [support]}
    for piece in prompt.words():
        yield "delta", _candidate({"text": piece})
    yield "finish", _candidate({"text": ""}, "STOP", groundingMetadata=metadata)


def _interleaved(prompt: Prompt) -> Parts:
    words = prompt.words()
    for piece in words:
        spoken = [_candidate({"text": piece}, index=index)["candidates"][0] for index in range(prompt.choices)]
        yield "delta", {"candidates": spoken}
    ends = [_candidate({"text": ""}, "MAX_TOKENS" if n else "STOP", index=n) for n in range(prompt.choices)]
    yield "finish", {"candidates": [end["candidates"][0] for end in ends]}


def _one_chunk(prompt: Prompt) -> Parts:
    yield "delta", _candidate({"text": prompt.answer}, "STOP")


def _continuation(prompt: Prompt) -> Parts:
    for piece in prompt.words():
        yield "delta", _candidate({"text": piece})
    yield "finish", _candidate({"text": ""}, "CONTINUATION", continuationToken="ZGVtbw==")


def _usage_only(prompt: Prompt) -> Parts:
    for piece in prompt.words():
        yield "delta", _candidate({"text": piece})
    yield "usage", {}


VARIANTS: Mapping[str, Callable[[Prompt], Parts]] = {
    "text": _text,
    "tools": _tools,
    "partial_arguments": _partial_arguments,
    "reasoning": _reasoning,
    "blocked": _blocked,
    "refusal": _refusal,
    "audio": _audio,
    "server_tools": _code,
    "citations": _grounded,
    "n2": _interleaved,
    "one_chunk": _one_chunk,
    "continuation": _continuation,
    "usage_only": _usage_only,
}
"""The forms of a stream, by the scenario's word for them."""


def content(ask: Ask) -> Reply:
    """Answer a request."""
    prompt = Prompt.of(ask)
    parts = list(VARIANTS.get(prompt.variant, _text)(prompt))
    head: Json = {"modelVersion": prompt.model, "responseId": "demo-response"}
    chunks: list[tuple[Kind, Json]] = []
    output = thoughts = 0
    for kind, part in parts:
        is_thought = _is_thought(part)
        output += kind == "delta" and not is_thought
        thoughts += is_thought
        chunks.append((kind, {**part, **_usage(prompt, output, thoughts, is_last=kind != "delta"), **head}))
    end = {**_end("MAX_TOKENS")[1], **_usage(prompt, output, thoughts, is_last=True), **head}
    events = tuple(Event(to_json(chunk), kind) for kind, chunk in chunks)
    whole = {**_joined([part for _, part in parts]), **_usage(prompt, output, thoughts, is_last=True), **head}
    faults = {**FAULTS, "incomplete": (Event(to_json(end), "finish"),)}
    if ask.group("stream") and ask.body().get("alt") != "sse":
        failed = {name: tuple(_element(event) for event in each) for name, each in faults.items()}
        return Reply(_array(events), whole, failed, content_type="application/json; charset=UTF-8")
    return Reply(events, whole, faults)


def _usage(prompt: Prompt, output: int, thoughts: int, *, is_last: bool) -> Json:
    if prompt.is_vertex and not is_last:
        return {"usageMetadata": {"trafficType": "ON_DEMAND"}}
    asked = prompt.token_count
    counts: Json = {"promptTokenCount": asked, "totalTokenCount": asked + output + thoughts}
    if prompt.variant == "cached":
        counts["cachedContentTokenCount"] = asked - 1
    if output:  # left out, not zero, while there is none
        counts["candidatesTokenCount"] = output
    if thoughts:
        counts["thoughtsTokenCount"] = thoughts
    return {"usageMetadata": counts}


def _is_thought(part: Json) -> bool:
    candidates = part.get("candidates", ())
    return any(each.get("thought") for one in candidates for each in one.get("content", {}).get("parts", ()))


def _joined(parts: list[Json]) -> Json:
    """Join the stream's chunks into a whole answer."""
    candidates: dict[int, Json] = {}
    for candidate in (candidate for part in parts for candidate in part.get("candidates", ())):
        joined = candidates.setdefault(candidate["index"], {"content": {"parts": [], "role": "model"}})
        said: list[Json] = joined["content"]["parts"]
        for part in candidate.get("content", {}).get("parts", ()):
            if "text" in part and said and "text" in said[-1] and said[-1].get("thought") == part.get("thought"):
                said[-1] = {**said[-1], "text": said[-1]["text"] + part["text"]}
            else:
                said.append(part)
        joined.update({name: value for name, value in candidate.items() if name != "content"})
    rest = {name: value for part in parts for name, value in part.items() if name != "candidates"}
    return {**rest, **({"candidates": [candidates[n] for n in sorted(candidates)]} if candidates else {})}


def _array(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the stream as the elements of a JSON array, which is closed at its end."""
    opened = [Event("[" + events[0].data, events[0].kind, is_bare=True)]
    return (*opened, *map(_element, events[1:]), Event("]", "done", is_bare=True))


def _element(event: Event) -> Event:
    return Event(",\r\n" + event.data, event.kind, is_bare=True)
