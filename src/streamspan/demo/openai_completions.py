"""Hand-made legacy text completions, and what they share with chat completions: token counts and the end marker.

Pure data and functions.
"""

from __future__ import annotations

from streamspan.demo.openai_errors import FAULTS
from streamspan.demo.openai_prompts import CREATED, Prompt
from streamspan.demo.streams import Ask, Event, Json, Reply, to_json

DONE = Event("[DONE]", "done")


def usage(prompt: int, output: int, reasoning: int = 0) -> Json:
    """Return the token counts of a chat or text completion."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def completion(ask: Ask) -> Reply:
    """Answer a legacy text completion request."""
    prompt = Prompt.of(ask)
    words = prompt.words()
    head = {"id": "cmpl-demo", "object": "text_completion", "created": CREATED, "model": prompt.model}
    counts = usage(prompt.token_count, len(words) * prompt.choices)

    def piece(text: str, index: int, finish: str | None = None) -> Json:
        choice = {"text": text, "index": index, "logprobs": None, "finish_reason": finish}
        return {**head, "choices": [choice], **({"usage": None} if prompt.wants_usage else {})}

    numbers = range(prompt.choices)
    events = [Event(to_json(piece(word, index))) for word in words for index in numbers]
    events += [Event(to_json(piece("", index, "stop")), "finish") for index in numbers]
    if prompt.wants_usage:
        events.append(Event(to_json({**head, "choices": [], "usage": counts}), "usage"))
    choices = [choice for index in numbers for choice in piece(prompt.answer, index, "stop")["choices"]]
    incomplete = Event(to_json(piece("", 0, "length")), "finish")
    faults = {**FAULTS, "incomplete": (incomplete, DONE)}
    return Reply((*events, DONE), {**head, "choices": choices, "usage": counts}, faults)
