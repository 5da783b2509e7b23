"""Hand-made images and transcriptions, with the streams of their partial results.

Pure data and functions.
"""

from __future__ import annotations

from streamspan.demo.openai_errors import FAULTS
from streamspan.demo.openai_prompts import CREATED, Prompt
from streamspan.demo.prose import SPOKEN, pieces
from streamspan.demo.streams import Ask, Event, Json, Reply, to_json

# A PNG of one transparent pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
_PARTIAL_IMAGES = 3


def generation(ask: Ask) -> Reply:
    """Answer a request for a new image."""
    return _image(ask, "image_generation")


def edit(ask: Ask) -> Reply:
    """Answer a request to change an image."""
    return _image(ask, "image_edit")


def _image(ask: Ask, name: str) -> Reply:
    prompt = Prompt.of(ask)
    size = prompt.body.get("size") or "1024x1024"
    look = {"size": size, "quality": "high", "background": "opaque", "output_format": "png"}
    details = {"text_tokens": prompt.token_count, "image_tokens": 0}
    usage = {"input_tokens": prompt.token_count, "output_tokens": 272, "input_tokens_details": details}
    usage["total_tokens"] = prompt.token_count + 272
    shown = {"b64_json": PIXEL, "created_at": CREATED, **look}
    count = ask.chunks if ask.chunks is not None else int(prompt.body.get("partial_images") or _PARTIAL_IMAGES)
    events = [
        *(_event(f"{name}.partial_image", {**shown, "partial_image_index": at}) for at in range(count)),
        _event(f"{name}.completed", {**shown, "usage": usage})._replace(kind="finish"),
    ]
    return Reply(tuple(events), {"created": CREATED, "data": [{"b64_json": PIXEL}], **look, "usage": usage}, FAULTS)


def transcription(ask: Ask) -> Reply:
    """Answer a request to write down what was said."""
    words = pieces(SPOKEN, ask.chunks)
    text, count = "".join(words), len(words)
    details = {"text_tokens": 0, "audio_tokens": 14}
    usage = {"type": "tokens", "input_tokens": 14, "input_token_details": details, "output_tokens": count}
    usage["total_tokens"] = 14 + count
    events = [
        *(_event("transcript.text.delta", {"delta": word, "logprobs": []}) for word in words),
        _event("transcript.text.done", {"text": text, "logprobs": [], "usage": usage})._replace(kind="finish"),
    ]
    return Reply(tuple(events), {"text": text, "usage": usage}, FAULTS)


def _event(name: str, fields: Json) -> Event:
    return Event(to_json({"type": name, **fields}), "delta", name)
