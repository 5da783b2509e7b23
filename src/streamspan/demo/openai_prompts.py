"""What an OpenAI request asks for: model, tools, structured output, number of choices, usage.

Reads requests of all surfaces; knows nothing of how they are answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamspan.demo.prose import ANSWER, fragments, pieces, sample
from streamspan.demo.streams import Ask, Json, as_object, to_json

CREATED = 1767225600
"""When every answer was made (2026-01-01): answers to equal requests are equal."""

_DEFAULT_TOOLS = (("get_weather", {"city": "Montréal", "unit": "celsius"}), ("get_local_time", {"city": "Montréal"}))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, read.

    Args:
        body: parameters of the request.
        model: as requested; an Azure request names it in the path.
        variant: form of the answer; the scenario's word, or what the request forces.
        chunks: number of pieces; None for as many as there are words.
        choices: number of choices.
        answer: the text of the answer.
        is_structured: whether the answer is JSON, because the request wants it.
    """

    body: Json
    model: str
    variant: str
    chunks: int | None
    choices: int
    answer: str
    is_structured: bool

    @classmethod
    def of(cls, ask: Ask) -> Prompt:
        """Read a request."""
        body = ask.body()
        choices = max(int(body.get("n") or 1), 2 if ask.variant == "n2" else 1)
        schema = _schema(body)
        model = str(body.get("model") or ask.group("model") or "gpt-demo")
        answer = "".join(pieces(ANSWER, ask.chunks)) if not schema else to_json(sample(schema))
        return cls(body, model, _variant(ask, body, choices), ask.chunks, choices, answer, bool(schema))

    def words(self) -> list[str]:
        """Return the answer in pieces."""
        return fragments(self.answer) if self.is_structured else pieces(self.answer)

    @property
    def wants_usage(self) -> bool:
        """Whether the stream is to end with a chunk of token counts."""
        return bool(as_object(self.body.get("stream_options")).get("include_usage"))

    @property
    def token_count(self) -> int:
        """Tokens of the prompt: its words."""
        said = self.body.get("messages") or self.body.get("input") or self.body.get("prompt") or ""
        return max(1, len((said if isinstance(said, str) else json.dumps(said)).split()))

    def tool_calls(self) -> list[tuple[str, str]]:
        """Return names and JSON arguments of two calls, of the request's tools if it has any."""
        tools = [as_object(tool.get("function")) or tool for tool in self.body.get("tools") or ()]
        asked = [(tool["name"], sample(tool.get("parameters") or {})) for tool in tools if "name" in tool]
        forced = as_object(self.body.get("tool_choice"))
        name = (as_object(forced.get("function")) or forced).get("name")
        chosen = [call for call in asked if call[0] == name]
        calls = chosen or [*asked, *asked][:2] or _DEFAULT_TOOLS
        return [(name, to_json(arguments)) for name, arguments in calls]


def _schema(body: Json) -> Json:
    """Return the JSON schema of the answer that is wanted; empty for text."""
    wanted = as_object(body.get("response_format") or as_object(body.get("text")).get("format"))
    if wanted.get("type") == "json_object":
        return {"type": "object", "properties": {"answer": {"type": "string"}}}
    return as_object((as_object(wanted.get("json_schema")) or wanted).get("schema"))


def _variant(ask: Ask, body: Json, choices: int) -> str:
    said = body.get("messages") or body.get("input") or ""
    last = as_object(said[-1]) if said else {}
    has_results = last.get("role") == "tool" or last.get("type") == "function_call_output"
    is_forced = body.get("tool_choice") == "required" or isinstance(body.get("tool_choice"), dict)
    if ask.variant == "tools" and has_results:
        return "text"  # an agent's next turn: its tools have answered
    if ask.variant == "text" and is_forced and not has_results:
        return "tools"
    return "choices" if ask.variant == "text" and choices > 1 else ask.variant
