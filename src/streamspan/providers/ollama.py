"""Ollama's own API: one JSON object per line, of which the last says `done`; chat and generate.

Its OpenAI-compatible API is read by `providers.openai`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from streamspan._records import AttributeValue, Delta, ProviderError, ToolCallDelta
from streamspan.providers import Endpoint, Provider
from streamspan.providers._parameters import SAMPLING, doubles, ints, known, strings
from streamspan.providers._shapes import counts, everything, fields, items, text
from streamspan.providers.openai_messages import chat_content, completion_content


def read_line(line: Any) -> Delta:
    """Read one line of a stream, or a whole answer, which is the same object with everything in it."""
    data = fields(line)
    if error := text(data.get("error")):
        return Delta(error=ProviderError("_OTHER", error))  # it sends a sentence and no code
    message = fields(data.get("message"))
    delta = Delta(
        text(message.get("content")) or text(data.get("response")),
        0,
        text(message.get("thinking")) or text(data.get("thinking")),
        response_model=text(data.get("model")),
    )
    if calls := items(message.get("tool_calls")):
        delta.tool_calls = [_tool_call(each) for each in calls]
    if data.get("done") is True:
        delta.finish_reason = text(data.get("done_reason"))
        delta.usage = counts({"input_tokens": data.get("prompt_eval_count"), "output_tokens": data.get("eval_count")})
        delta.is_terminal = True
    return delta


def _tool_call(call: Any) -> ToolCallDelta:
    """Read a tool call, which comes whole."""
    data = everything(call)
    function = everything(data.get("function"))
    arguments, index = function.get("arguments"), function.get("index")
    name, identity = text(function.get("name")), text(data.get("id"))
    said = json.dumps(arguments, ensure_ascii=False) if isinstance(arguments, Mapping) else text(arguments)
    # Older servers send neither index nor id.
    return ToolCallDelta(index if type(index) is int else None, identity, name, said, begins=True)


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters; those of the model are under `options`."""
    options, think = everything(body.get("options")), body.get("think")
    return {
        **doubles(options, SAMPLING),
        **ints(
            options,
            {
                "gen_ai.request.top_k": "top_k",
                "gen_ai.request.max_tokens": "num_predict",
                "gen_ai.request.seed": "seed",
            },
        ),
        **known(
            {
                "gen_ai.request.stop_sequences": strings(options.get("stop")),
                "gen_ai.request.reasoning.level": think if type(think) is str else None,
                "gen_ai.output.type": "json" if body.get("format") else None,
            }
        ),
    }


def _choices(_body: Mapping[str, Any]) -> int:
    return 1


OLLAMA = Provider(
    name="ollama",
    endpoints=(
        Endpoint(
            name="chat",
            operation="chat",
            paths=(r"/api/chat",),
            read=read_line,
            read_whole=read_line,
            attributes=request_attributes,
            content=chat_content,
            choices=_choices,
            streams_unasked=True,
        ),
        Endpoint(
            name="generate",
            operation="text_completion",
            paths=(r"/api/generate",),
            read=read_line,
            read_whole=read_line,
            attributes=request_attributes,
            content=completion_content,
            choices=_choices,
            streams_unasked=True,
        ),
    ),
    hosts={"ollama.com": "ollama"},
)
