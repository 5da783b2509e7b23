"""The Anthropic SDK's own tracing, on by default from 1.14: one span per call, whichever of the two it is.

`replace`: the SDK starts no span of its own where a session is there already. It gets one that only stands for ours, so
that the SDK itself writes our trace context into the request, where and when it would have written its own: after
signing, in every attempt, and not if the client's `propagation` is off. `keep`: the session opens inside the SDK's span
and is its child. Both work for clients that exist already, as nothing of a client is touched.

The SDK's spans of other things (runs of tools, counting of tokens, agents' sessions) are nobody's double and stay.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from opentelemetry import trace

from streamspan._guard import Guard
from streamspan._ownership import Call, current_call
from streamspan._patching import Patch, Wrapper
from streamspan._sessions import Sessions, find_endpoint
from streamspan.integrations import stainless

_OPENER = "APIClient.request"


def patches(sdk: stainless.Sdk, sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches of an SDK that may trace itself."""
    made = stainless.patches(sdk, sessions, guard)
    if sessions.config.native_spans == "replace":
        seam = Patch(f"{sdk.name}._base_client", "start_api_call_span", _replacement(guard), is_optional=True)
        return [*made, seam]
    return [each for patch in made for each in (_kept(patch) if patch.name.endswith(_OPENER) else (patch,))]


def _replacement(guard: Guard) -> Wrapper:
    def start(wrapped: Any, _instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = current_call()
        context = None if call is None else guard.call(_context, call, *args[:3])
        if context is None:
            return wrapped(*args, **kwargs)
        # Without a span the SDK sends no trace context either.
        return trace.NonRecordingSpan(context) if kwargs.get("propagation", True) else None

    return start


def _context(call: Call, tracer: trace.Tracer, _base_url: Any, options: Any) -> trace.SpanContext | None:
    """Return the context of the session's span, None where it does not stand for the one that the SDK would start."""
    path = urlsplit(str(options.url)).path
    is_its_own = find_endpoint(call.provider, options.method.upper(), path) is call.endpoint
    if not (is_its_own and options.span_name):
        return None
    if _is_idle(tracer) and not trace.get_current_span().get_span_context().is_valid:
        return None  # the SDK would send nothing
    context = trace.get_current_span(call.context).get_span_context()
    return context if context.is_valid else None


def _is_idle(tracer: trace.Tracer) -> bool:
    """Tell whether a tracer makes nothing but stand-ins: without a provider it only hands on what is current."""
    if isinstance(tracer, trace.ProxyTracer):
        return isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    return isinstance(tracer, trace.NoOpTracer)


def _kept(patch: Patch) -> tuple[Patch, Patch]:
    """Move the opening of sessions into the SDK's span, for versions that have one."""
    open_ = patch.wrapper

    def outside(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return wrapped(*args, **kwargs) if _traces_itself(client) else open_(wrapped, client, args, kwargs)

    def inside(wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        return open_(wrapped, client, args, kwargs) if _traces_itself(client) else wrapped(*args, **kwargs)

    inner = patch.name.removesuffix("request") + "_request"
    return replace(patch, wrapper=outside), replace(patch, name=inner, wrapper=inside, is_optional=True)


def _traces_itself(client: Any) -> bool:
    return any("_tracer" in base.__dict__ for base in type(client).__mro__)
