"""The double-span contract of the conventions: one inference, one span, whoever of several instrumentations makes it.

An instrumentation keeps what it records in OpenTelemetry's context, under one agreed key. Whoever finds it there is the
inner one: it makes neither span nor metrics and publishes what it knows into what it found (opentelemetry-util-genai
1.3b0, README and `SuppressedInferenceInvocation`; semantic-conventions-genai #475).

A key that is present proves little: genai-anthropic 1.3b0 leaves it current in the caller's code for as long as the
stream is open, so other calls in the loop see it too. So it counts for one call only, the first one of that model and
operation. Knows the key and the names of the fields, and imports nobody.
"""

from __future__ import annotations

import sys
from typing import Any

from opentelemetry.context import Context, get_value, set_value

from streamspan._records import Attributes, Request

_KEY = "opentelemetry.genai.client.inference.context"
_MODULE = "opentelemetry.util.genai.invocation"
_MET = "_streamspan_met"
# The outer span has a status of its own, and `error.type` without the status ERROR would contradict it.
_OWN_BUSINESS = frozenset({"error.type"})


def outer_inference(context: Context, request: Request) -> Any:
    """Return what another instrumentation is recording of this very call; None if nobody is."""
    found = get_value(_KEY, context)
    if found is None or _MET in getattr(found, "__dict__", {_MET: True}):
        return None
    if getattr(found, "operation_name", None) not in {None, request.operation}:
        return None
    if getattr(found, "request_model", None) not in {None, request.model}:
        return None
    setattr(found, _MET, True)
    return found


def publish(inference: Any, attributes: Attributes) -> None:
    """Add to what another instrumentation says of the call."""
    inference.attributes.update({name: value for name, value in attributes.items() if name not in _OWN_BUSINESS})


def own_attributes(attributes: Attributes) -> Attributes:
    """Return what nobody but streamspan says of a call."""
    return {name: value for name, value in attributes.items() if name.startswith("streamspan.")}


def as_outer(context: Context) -> Context:
    """Return a context in which inner instrumentations keep silent, if there may be any."""
    module = sys.modules.get(_MODULE)  # who honours the contract has imported it
    if module is None:
        return context
    mine = module.InferenceData()  # they look for this very type
    setattr(mine, _MET, True)
    return set_value(_KEY, mine, context)
