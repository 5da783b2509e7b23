"""Where Mistral's own kinds of requests are served, in OpenAI's wire format; its chat has OpenAI's path as well."""

from __future__ import annotations

import re

from streamspan.demo.openai_chat import chat
from streamspan.demo.openai_errors import failure
from streamspan.demo.streams import Route

ROUTES: tuple[Route, ...] = tuple(
    Route("POST", re.compile(f"/v1/{kind}/completions"), chat, failure) for kind in ("fim", "agents")
)
