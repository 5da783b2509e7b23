"""Google's Gemini: the Developer API and Vertex AI, `generateContent` and Interactions."""

from __future__ import annotations

from streamspan.providers import Endpoint, Provider, _gemini_chunks, _gemini_interactions, _gemini_requests

# `models/gemini-2.5-pro`, a Vertex resource `publishers/google/models/…`, a tuned model or an endpoint.
_MODEL = r"/(?:models|tunedModels|endpoints)/(?P<model>[^/:]+)"

STREAM_GENERATE_CONTENT = Endpoint(
    name="generate content (streamed)",
    operation="generate_content",
    paths=(_MODEL + r":streamGenerateContent",),
    read=_gemini_chunks.read_chunk,
    attributes=_gemini_requests.request_attributes,
    content=_gemini_requests.content,
    choices=_gemini_requests.choices,
    streams=True,
)
GENERATE_CONTENT = Endpoint(
    name="generate content",
    operation="generate_content",
    paths=(_MODEL + r":generateContent",),
    read=_gemini_chunks.read_chunk,
    read_whole=_gemini_chunks.read_chunk,
    attributes=_gemini_requests.request_attributes,
    content=_gemini_requests.content,
    choices=_gemini_requests.choices,
    streams=False,
)
INTERACTIONS = Endpoint(
    name="interactions",
    operation="chat",
    paths=(r"/interactions",),
    read=_gemini_interactions.read_event,
    read_whole=_gemini_interactions.read_whole,
    attributes=_gemini_interactions.request_attributes,
    content=_gemini_interactions.content,
    done_data="[DONE]",
)
FETCH_INTERACTION = Endpoint(
    name="interactions (fetched)",
    operation="fetch_response",
    paths=(r"/interactions/[^/]+",),
    read=_gemini_interactions.read_fetched_event,
    attributes=_gemini_interactions.fetch_attributes,
    done_data="[DONE]",
    methods=("GET",),
)

GEMINI = Provider(
    name="gcp.gemini",
    endpoints=(STREAM_GENERATE_CONTENT, GENERATE_CONTENT, INTERACTIONS, FETCH_INTERACTION),
    hosts={
        "generativelanguage.googleapis.com": "gcp.gemini",
        "generativelanguage.mtls.googleapis.com": "gcp.gemini",
        "*-aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.googleapis.com": "gcp.vertex_ai",
        "aiplatform.*.rep.googleapis.com": "gcp.vertex_ai",
    },
    request_id_headers=("x-goog-request-id", "x-request-id"),
)
