"""Where Gemini's streams are served: the paths of the Developer API and of Vertex AI."""

from __future__ import annotations

import re

from streamspan.demo import gemini_content, gemini_interactions
from streamspan.demo.gemini_errors import failure, interactions_failure
from streamspan.demo.streams import Route

_VERTEX = r"projects/(?P<project>[^/]+)/locations/[^/]+"
_BASE = rf"(?:/v1beta1|/v1beta|/v1)?/(?:{_VERTEX}/)?"
_MODEL = rf"{_BASE}(?:publishers/google/)?(?:models|tunedModels|endpoints)/(?P<model>[^/:]+)"


_SURFACES = (
    ("POST", rf"{_MODEL}:(?P<stream>stream)GenerateContent", gemini_content.content, failure, True),
    ("POST", rf"{_MODEL}:generateContent", gemini_content.content, failure, False),
    ("POST", rf"{_BASE}interactions", gemini_interactions.interaction, interactions_failure, None),
    ("GET", rf"{_BASE}interactions/(?P<id>[^/]+)", gemini_interactions.interaction, interactions_failure, None),
)

ROUTES: tuple[Route, ...] = tuple(
    Route(method, re.compile(path), reply, refusal, streams=streams)
    for method, path, reply, refusal, streams in _SURFACES
)
