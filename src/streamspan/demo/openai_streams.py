"""Where OpenAI's streams are served: the paths of its API, of its version-less form and of Azure."""

from __future__ import annotations

import re

from streamspan.demo import openai_assistants, openai_chat, openai_completions, openai_media, openai_responses
from streamspan.demo.openai_errors import failure
from streamspan.demo.streams import Route

# `/v1`, Azure's `/openai/v1` and `/openai`, and Azure's deployments, where the path names the model.
_BASE = r"(?:/openai)?/v1|/openai(?:/deployments/(?P<model>[^/]+))?"

_SURFACES = (
    ("POST", r"/chat/completions", openai_chat.chat),
    ("POST", r"/completions", openai_completions.completion),
    ("POST", r"/responses", openai_responses.response),
    ("GET", r"/responses/(?P<id>[^/]+)", openai_responses.response),
    ("POST", r"/threads/runs", openai_assistants.run),
    ("POST", r"/threads/(?P<thread>[^/]+)/runs", openai_assistants.run),
    ("POST", r"/threads/(?P<thread>[^/]+)/runs/(?P<run>[^/]+)/submit_tool_outputs", openai_assistants.run),
    ("POST", r"/images/generations", openai_media.generation),
    ("POST", r"/images/edits", openai_media.edit),
    ("POST", r"/audio/transcriptions", openai_media.transcription),
)

ROUTES: tuple[Route, ...] = tuple(
    Route(method, re.compile(f"(?:{_BASE}){path}"), reply, failure) for method, path, reply in _SURFACES
)
