"""What a Gemini request asks for: parameters, and content in the message shapes of the conventions.

Reads the JSON body of a request and what is given to the SDK alike: either spelling of a name, objects or plain data,
one part or a list of them. Never raises on odd shapes and shares nothing with the request; binary data are never
copied.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, TypeAlias, cast

from streamspan._records import AttributeValue
from streamspan.providers._parameters import doubles, ints, known
from streamspan.providers._shapes import fields, text

Part: TypeAlias = dict[str, object]

_MOST_DEPTH = 32
_ROLES = {"model": "assistant", "function": "tool"}
_TOOLS = ("google_search", "google_search_retrieval", "code_execution", "url_context", "google_maps", "file_search",
          "computer_use", "retrieval", "enterprise_web_search")  # fmt: skip


def pick(data: Mapping[str, Any], name: str) -> Any:
    """Return a field by its name in snake case, or by that in camel case."""
    value = data.get(name)
    return data.get(_camel_case(name)) if value is None else value


@cache
def _camel_case(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_DOUBLES = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
}
_INTS = {"gen_ai.request.max_tokens": "max_output_tokens", "gen_ai.request.seed": "seed"}


def request_attributes(body: Mapping[str, Any]) -> dict[str, AttributeValue]:
    """Read the request parameters."""
    config = _config(body)
    given = {name: pick(config, name) for name in (*_DOUBLES.values(), *_INTS.values())}
    count = choices(body)
    stops = [stop for stop in _items(pick(config, "stop_sequences")) if type(stop) is str]
    level = pick(fields(pick(config, "thinking_config")), "thinking_level")
    return {
        **doubles(given, _DOUBLES),
        **ints(given, _INTS),
        **known(
            {
                "gen_ai.request.stop_sequences": stops or None,
                "gen_ai.request.choice.count": count if count != 1 else None,
                "gen_ai.request.reasoning.level": word(level).lower() or None,
                "gen_ai.output.type": _output_type(config),
            }
        ),
    }


def choices(body: Mapping[str, Any]) -> int:
    """Return how many candidates are asked for."""
    count = pick(_config(body), "candidate_count")
    return count if type(count) is int and count > 0 else 1


def content(body: Mapping[str, Any]) -> dict[str, object]:
    """Read the request's content."""
    tools = [definition for tool in _items(pick(body, "tools")) for definition in _definitions(tool)]
    found = {
        "gen_ai.input.messages": _messages(body.get("contents")),
        "gen_ai.system_instructions": _parts(pick(body, "system_instruction")),
        "gen_ai.tool.definitions": tools,
    }
    return {name: value for name, value in found.items() if value}


def _config(body: Mapping[str, Any]) -> Mapping[str, Any]:
    return fields(pick(body, "generation_config"))


def word(value: object) -> str:
    """Return an enumeration's word, which the SDK has as a member and the wire as text."""
    return text(value) or text(getattr(value, "value", ""))


_MODALITIES = {"AUDIO": "speech", "IMAGE": "image"}


def _output_type(config: Mapping[str, Any]) -> str | None:
    modalities = (_MODALITIES.get(word(each).upper()) for each in _items(pick(config, "response_modalities")))
    if kind := next(filter(None, modalities), None):
        return kind
    return {"application/json": "json", "text/plain": "text"}.get(text(pick(config, "response_mime_type")))


# --- content ----------------------------------------------------------------------------------------------------


def _messages(contents: object) -> list[dict[str, object]]:
    """Return the turns; loose parts next to each other are one turn of the user."""
    messages: list[dict[str, object]] = []
    loose: list[Part] | None = None
    for each in _items(contents) or ([] if contents is None else [contents]):
        data = fields(each)
        if not isinstance(each, str) and "parts" in data:
            loose = None
            parts = _parts(each)
            role = word(data.get("role")) or "user"
            is_result = bool(parts) and all(part["type"] == "tool_call_response" for part in parts)
            messages.append({"role": "tool" if is_result else role_of(role), "parts": parts})
        elif loose is not None:
            loose += _parts(each)
        elif loose := _parts(each):
            messages.append({"role": "user", "parts": loose})
    return [message for message in messages if message["parts"]]


def role_of(role: str) -> str:
    """Return the conventions' word for a role."""
    return _ROLES.get(role, role)


def _parts(value: object) -> list[Part]:
    if value is None:
        return []
    if isinstance(value, str):
        return [{"type": "text", "content": value}]
    if _is_list(value):
        return [part for each in _items(value) for part in _parts(each)]
    data = fields(value)
    if "parts" in data:
        return _parts(data["parts"])
    part: Part | None = _part(data) if data else {"type": type(value).__name__}
    return [part] if part is not None else []


def _part(part: Mapping[str, Any]) -> Part | None:
    if said := text(part.get("text")):
        return {"type": "reasoning" if part.get("thought") else "text", "content": said}
    for name, read in _PARTS.items():
        if data := fields(pick(part, name)):
            return read(data)
    return _file(part) if "uri" in part else None


def _call(call: Mapping[str, Any]) -> Part:
    identity, arguments = text(call.get("id")) or None, copied(call.get("args"))
    return {"type": "tool_call", "id": identity, "name": text(call.get("name")), "arguments": arguments}


def _response(result: Mapping[str, Any]) -> Part:
    identity = text(result.get("id")) or None
    return {"type": "tool_call_response", "id": identity, "response": copied(result.get("response"))}


def _blob(blob: Mapping[str, Any]) -> Part:
    return media_part("blob", text(pick(blob, "mime_type")), {"content": ""})  # required by the schema; stays empty


def _file(file: Mapping[str, Any]) -> Part:
    return media_part("uri", text(pick(file, "mime_type")), {"uri": text(pick(file, "file_uri") or file.get("uri"))})


def _code(code: Mapping[str, Any]) -> Part:
    call = {"type": _CODE, "code": text(code.get("code"))}
    return {"type": "server_tool_call", "id": text(code.get("id")) or None, "name": _CODE, "server_tool_call": call}


def _code_result(result: Mapping[str, Any]) -> Part:
    response = {"type": _CODE, "output": text(result.get("output"))}
    identity = text(result.get("id")) or None
    return {"type": "server_tool_call_response", "id": identity, "server_tool_call_response": response}


_CODE = "code_execution"
_PARTS: Mapping[str, Callable[[Mapping[str, Any]], Part]] = {
    "function_call": _call,
    "function_response": _response,
    "inline_data": _blob,
    "file_data": _file,
    "executable_code": _code,
    "code_execution_result": _code_result,
}


def media_part(kind: str, mime_type: str, holder: Part) -> Part:
    """Return a part for binary data: a `blob`, or a `uri`."""
    family = mime_type.partition("/")[0]
    modality = family if family in {"image", "audio", "video"} else "document"
    return {"type": kind, "modality": modality, "mime_type": mime_type or None, **holder}


def _definitions(tool: object) -> list[Part]:
    """Return the definitions in a tool; a function of the application's is known by its name and what it says."""
    if callable(tool):
        name, said = text(getattr(tool, "__name__", "")), text(getattr(tool, "__doc__", ""))
        return [{"type": "function", "name": name, **({"description": said} if said else {})}]
    data = fields(tool)
    functions = [fields(each) for each in _items(pick(data, "function_declarations"))]
    declared: list[Part] = [function_definition(function) for function in functions]
    return declared + [{"type": name, "name": name} for name in _TOOLS if pick(data, name) is not None]


def function_definition(function: Mapping[str, Any]) -> Part:
    """Return the definition of a function that is declared with a schema."""
    schema = pick(function, "parameters_json_schema") or function.get("parameters")
    if not isinstance(schema, Mapping):
        schema = {name: value for name, value in fields(schema).items() if value is not None}
    described = text(function.get("description"))
    return {
        "type": "function",
        "name": text(function.get("name")),
        **({"description": described} if described else {}),
        **({"parameters": copied(cast("object", schema))} if schema else {}),
    }


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _items(value: object) -> list[object]:
    return list(cast("Iterable[object]", value)) if _is_list(value) else []


def copied(value: object, depth: int = _MOST_DEPTH) -> object:
    """Copy plain data, SDK objects as their fields; what is deeper than any real data is left out."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return word(value)
    if depth and _is_list(value):
        return [copied(item, depth - 1) for item in _items(value)]
    data = cast("Mapping[object, object]", value) if isinstance(value, Mapping) else fields(value)
    if depth and data:
        pairs = data.items()
        return {key: copied(item, depth - 1) for key, item in pairs if isinstance(key, str) and item is not None}
    return f"<{type(value).__name__}>" if not isinstance(value, Mapping) else {}
