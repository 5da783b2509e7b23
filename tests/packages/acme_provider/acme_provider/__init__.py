"""Acme's wire format, as a third party writes it: data and one pure function."""

from __future__ import annotations

from typing import Any

from streamspan import Delta, Endpoint, Provider, ProviderError


def read(chunk: Any) -> Delta:
    """Say what one chunk of Acme's stream says."""
    if "error" in chunk:
        return Delta(error=ProviderError(chunk["error"]["code"], chunk["error"]["message"]))
    if "usage" in chunk:
        counts = {"input_tokens": chunk["usage"]["in"], "output_tokens": chunk["usage"]["out"]}
        return Delta(choice=0, finish_reason=chunk["stop"], usage=counts, is_terminal=True)
    return Delta(chunk["token"], choice=0, response_id=chunk["id"])


ACME = Provider(
    name="acme",
    hosts={"api.acme.example": "acme"},
    endpoints=(Endpoint(name="chat", operation="chat", paths=(r"/v2/acme/chat",), read=read),),
)
