"""What a Gemini request asks for: model, number of candidates, functions, and whether it goes on with an answer.

Reads requests of `generateContent` and of Interactions; knows nothing of how they are answered.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from streamspan.demo.prose import ANSWER, pieces, sample
from streamspan.demo.streams import Ask, Json, as_object, to_json

_DEFAULT_TOOLS = (("get_weather", {"city": "Montréal", "unit": "celsius"}), ("get_local_time", {"city": "Montréal"}))


@dataclass(frozen=True, slots=True)
class Prompt:
    """A request, read.

    Args:
        body: parameters of the request.
        model: from the path, or from the body of an interaction.
        variant: form of the answer; the scenario's word, or what the request forces.
        chunks: number of pieces; None for as many as there are words.
        choices: number of candidates.
        answer: the text of the answer.
        is_vertex: whether it came by a path of Vertex AI.
    """

    body: Json
    model: str
    variant: str
    chunks: int | None
    choices: int
    answer: str
    is_vertex: bool

    @classmethod
    def of(cls, ask: Ask) -> Prompt:
        """Read a request."""
        body = ask.body()
        config = as_object(body.get("generationConfig"))
        schema = as_object(config.get("responseSchema") or config.get("responseJsonSchema"))
        choices = max(int(config.get("candidateCount") or 1), 2 if ask.variant == "n2" else 1)
        model = ask.group("model") or str(body.get("model") or "gemini-demo")
        answer = "".join(pieces(ANSWER, ask.chunks)) if not schema else to_json(sample(_lower(schema)))
        is_vertex = bool(ask.group("project"))
        return cls(body, model, _variant(ask, body, choices), ask.chunks, choices, answer, is_vertex)

    def words(self) -> list[str]:
        """Return the answer in pieces."""
        return pieces(self.answer)

    @property
    def token_count(self) -> int:
        """Tokens of the prompt: its words."""
        return max(1, len(json.dumps(self.body.get("contents") or self.body.get("input") or "").split()))

    def tool_calls(self) -> list[tuple[str, Json]]:
        """Return names and arguments of two calls, of the request's functions if it has any."""
        tools = [as_object(tool) for tool in self.body.get("tools") or ()]
        declared = [as_object(each) for tool in tools for each in tool.get("functionDeclarations") or [tool]]
        asked = [(each["name"], sample(_lower(_schema(each)))) for each in declared if "name" in each]
        return [*asked, *asked][:2] or list(_DEFAULT_TOOLS)


def _schema(function: Json) -> Json:
    # The API takes both spellings; the SDK sends one or the other.
    names = ("parameters", "parametersJsonSchema", "parameters_json_schema")
    empty: Json = {}
    return next((as_object(function[name]) for name in names if function.get(name)), empty)


def _lower(schema: Json) -> Json:
    """Return a schema with its types in lower case, for Gemini spells them in upper case too."""
    found: Json = json.loads(to_json(schema), object_hook=_lower_type)
    return found


def _lower_type(node: Json) -> Json:
    kind = node.get("type")
    return {**node, "type": kind.lower()} if isinstance(kind, str) else node


def _variant(ask: Ask, body: Json, choices: int) -> str:
    said = to_json(body)
    if ask.variant in {"tools", "partial_arguments"} and ('"functionResponse"' in said or '"function_result"' in said):
        return "text"  # an agent's next turn: its functions have answered
    if ask.variant == "continuation" and "ontinuation" in said:
        return "text"  # the SDK goes on with the answer
    return "n2" if ask.variant == "text" and choices > 1 else ask.variant
