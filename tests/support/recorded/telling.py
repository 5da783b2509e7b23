"""What a span must say of a recording that was played."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import StatusCode

from support.telemetry import Told
from support.truth import Truth, called, messages_of, said


def assert_tells(told: Told, truth: Truth, more: dict[str, Any]) -> None:
    """Assert that usage, text, tool calls, status and attributes are those of the recording.

    Args:
        told: what was recorded, its content included.
        truth: what the recording says.
        more: attributes that depend on how it was asked for and read.
    """
    attributes = told.attributes
    wanted = _attributes(truth) | more
    assert {name: attributes.get(name) for name in wanted} == wanted
    assert {name[13:]: n for name, n in attributes.items() if name.startswith("gen_ai.usage.")} == truth.usage
    assert told.span.status.status_code is (StatusCode.ERROR if truth.error else StatusCode.UNSET)
    messages = messages_of(attributes)
    assert said(messages, "text") == truth.text + truth.refusal
    assert said(messages, "reasoning") == truth.reasoning
    assert called(messages) == truth.calls


def _attributes(truth: Truth) -> dict[str, Any]:
    return {
        "streamspan.outcome": "error" if truth.error else "completed",
        "error.type": truth.error or None,
        "gen_ai.response.id": truth.id,
        "gen_ai.response.model": truth.model,
        "gen_ai.response.finish_reasons": tuple(truth.finish[index] for index in sorted(truth.finish)),
        "streamspan.output.characters": truth.characters,
        "streamspan.reasoning.characters": len(truth.reasoning),
        "streamspan.tool_call.count": len(truth.tools) or None,
    }
