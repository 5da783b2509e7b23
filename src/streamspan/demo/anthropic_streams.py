"""Where Anthropic's streams are served: the paths of its own API, of Foundry, Bedrock and Vertex."""

from __future__ import annotations

import re

from streamspan.demo.anthropic_errors import failure
from streamspan.demo.anthropic_messages import message
from streamspan.demo.streams import Route

_BEDROCK = r"/model/(?P<model>[^/]+)"
_VERTEX = r"(?:/v1)?/projects/[^/]+/locations/[^/]+/publishers/anthropic/models/(?P<model>[^/:]+)"

_PATHS = (
    (r"(?:/anthropic)?/v1/messages", None),
    (rf"{_VERTEX}:streamRawPredict", True),
    (rf"{_VERTEX}:rawPredict", False),
    (rf"{_BEDROCK}/invoke", False),
)

ROUTES: tuple[Route, ...] = tuple(
    Route("POST", re.compile(path), message, failure, "request-id", streams) for path, streams in _PATHS
)
