"""What a Messages request asks for: model, tools, structured output. Knows nothing of how it is answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from streamspan.demo.prose import ANSWER, fragments, pieces, sample
from streamspan.demo.streams import Ask, Json, as_object, to_json

_DEFAULT_TOOLS = (("get_weather", {"city": "Montréal", "unit": "celsius"}), ("get_local_time", {"city": "Montréal"}))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, read.

    Args:
        body: parameters of the request.
        model: as requested; on Bedrock and Vertex the path names it.
        variant: form of the answer; the scenario's word, or what the request forces.
        chunks: number of pieces; None for as many as there are words.
    """

    body: Json
    model: str
    variant: str
    chunks: int | None

    @classmethod
    def of(cls, ask: Ask) -> Prompt:
        """Read a request."""
        body = ask.body()
        model = str(body.get("model") or ask.group("model") or "claude-demo")
        return cls(body, model, _variant(ask, body), ask.chunks)

    def words(self) -> list[str]:
        """Return the answer in pieces: text, or JSON where the request wants that."""
        output = as_object(as_object(self.body.get("output_config")).get("format"))
        schema = as_object((output or as_object(self.body.get("output_format"))).get("schema"))
        return fragments(to_json(sample(schema))) if schema else pieces(ANSWER, self.chunks)

    @property
    def token_count(self) -> int:
        """Tokens of the prompt: its words."""
        return len(json.dumps([self.body.get("system"), self.body.get("messages")]).split())

    def tool_calls(self) -> list[tuple[str, str]]:
        """Return names and JSON arguments of two calls, of the request's tools if it has any."""
        tools = [as_object(tool) for tool in self.body.get("tools") or ()]
        asked = [(tool["name"], sample(tool["input_schema"])) for tool in tools if "input_schema" in tool]
        forced = as_object(self.body.get("tool_choice")).get("name")
        chosen = [call for call in asked if call[0] == forced]
        calls = chosen or [*asked, *asked][:2] or _DEFAULT_TOOLS
        return [(name, to_json(arguments)) for name, arguments in calls]


def _variant(ask: Ask, body: Json) -> str:
    messages: list[Any] = body.get("messages") or [{}]
    said: Any = as_object(messages[-1]).get("content")
    parts: list[Any] = [] if isinstance(said, str) else list(said or ())
    has_results = any(as_object(part).get("type") == "tool_result" for part in parts)
    is_forced = as_object(body.get("tool_choice")).get("type") in {"any", "tool"}
    if ask.variant == "tools" and has_results:
        return "text"  # an agent's next turn: its tools have answered
    if ask.variant == "refusal" and body.get("fallback_credit_token"):
        return "text"  # the model that is asked in the place of the one that refused
    return "tools" if ask.variant == "text" and is_forced and not has_results else ask.variant
