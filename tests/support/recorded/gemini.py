"""Recordings of Gemini, and how google-genai plays them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.genai import Client, errors, types

from support.recorded import Call, Recording, Vendor
from support.seen import TLS
from support.surfaces.gemini import IS_STAINLESS, http
from support.truth import Payload, Truth, of_content, of_interaction


class _Sdk:
    """A client of one colour, that closes as the others do."""

    def __init__(self, client: Any, http_client: Any, *, is_async: bool) -> None:
        self._client, self._http_client, self._is_async = client, http_client, is_async
        self.models = client.aio.models if is_async else client.models

    @property
    def interactions(self) -> Any:
        """The interactions of the colour."""
        return self._client.aio.interactions if self._is_async else self._client.interactions

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self._http_client.close()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aio.aclose()
        await self._http_client.aclose()


def _client(_: Recording, url: str, is_async: bool) -> Any:
    http_client = (http.AsyncClient if is_async else http.Client)(verify=TLS)
    mine: Any = {"httpx_async_client" if is_async else "httpx_client": http_client}
    options = types.HttpOptions(base_url=url, **mine)
    return _Sdk(Client(api_key="key", http_options=options), http_client, is_async=is_async)


def _call(recording: Recording) -> Call:
    if not recording.url or "/interactions" in recording.url:
        return Call(operation="chat", start=_interaction, truth=_of_interaction)
    return Call(operation="generate_content", start=_content, truth=of_content)


def _of_interaction(events: Iterable[Payload]) -> Truth:
    truth = of_interaction(events)
    truth.chunks += bool(truth.error)  # unlike others, this SDK hands out an error as an item
    return truth


def _content(client: Any, _: dict[str, Any]) -> Any:
    return client.models.generate_content_stream(model="gemini-x", contents="Hi")


def _interaction(client: Any, _: dict[str, Any]) -> Any:
    return client.interactions.create(model="gemini-x", input="Hi", stream=True)


def _described(exc: Any) -> tuple[Any, ...]:
    return type(exc).__name__, exc.code, exc.status


VENDOR = Vendor(
    folders=("gemini",) if IS_STAINLESS else ("gemini", "gemini_interactions"),
    client=_client,
    call=_call,
    failures=(errors.APIError,),
    described=_described,
    facts={
        "contrib__test_streaming_logcontent-gemini-2.5-flash-vertexaiapi-sync-default": ([6], ["STOP"]),
        "pydantic-ai__test_cancel_recorded_provider_stream_google": ([1], ["STOP"]),
        "pydantic-ai__test_google_model_stream": ([3], ["STOP"]),
        "pydantic-ai__test_google_model_thinking_part_iter": ([23], ["STOP"]),
        "pydantic-ai__test_google_stream_usage_is_live_mid_stream": ([3], ["STOP"]),
        "pydantic-ai__test_native_output_with_function_tools_stream": ([2, 3], ["STOP", "STOP"]),
        **({} if IS_STAINLESS else {"openinference__test_interactions_with_thinking_stream": ([15], ["completed"])}),
    },
    lines=lambda recording: recording.body.count("[DONE]"),
)
