"""The public surfaces that hold a WebSocket to a model: how each is opened, asked and read, and what its turns say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

from streamspan import Config, HostPattern
from support.caller import Caller

RAW = Config(hosts=(HostPattern("127.0.0.1"),))
"""Raw connections are a model's only where they go to a known host."""


def websocket_url(caller: Caller, scenario: str, path: str) -> str:
    """Return the URL of a WebSocket of the demo provider's."""
    return caller.server.url(scenario, base=path).replace("http://", "ws://")


@dataclass(frozen=True, kw_only=True)
class Talker:
    """One way to talk to a model over a WebSocket.

    Args:
        name: how the test is called.
        layer: who owns the turns.
        open: caller and scenario to a context manager, synchronous or not.
        ask: asks for a turn.
        items: what is iterated over for one turn.
        recv: takes one message.
        is_last: whether an item ends a turn, as the caller sees it.
        colours: the colours that it has, by whether they are asynchronous.
        operation, provider, model: as the span of a turn has them.
        finishes: finish reasons by what makes them so; those of a good turn under `ok`.
        errors: what `error.type` is, by the neutral words of the endings.
        traits: what applies to it.
        config: of streamspan.
        has_session_id: the provider tells an id of the connection.
        socket: what is entered to the library's connection.
    """

    name: str
    layer: str
    open: Callable[[Caller, str], Any]
    ask: Callable[[Any], Any]
    items: Callable[[Any], Any]
    recv: Callable[[Any], Any]
    is_last: Callable[[Any], bool]
    colours: tuple[bool, ...] = (False, True)
    operation: str = "realtime_inference"
    provider: str = "openai"
    model: str = "gpt-realtime"
    finishes: Mapping[str, str] = field(default_factory=dict[str, str])
    errors: Mapping[str, str] = field(default_factory=dict[str, str])
    traits: frozenset[str] = frozenset()
    config: Config | None = None
    has_session_id: bool = True
    socket: Callable[[Any], Any] = lambda talk: talk


def same(talk: Any) -> Any:
    """Return what was entered."""
    return talk


def receive(talk: Any) -> Any:
    """Take one message."""
    return talk.recv()


# --- OpenAI ----------------------------------------------------------------------------------------------------------


def _client(caller: Caller, scenario: str) -> Any:
    openai: Any = import_module("openai")
    kind = openai.AsyncOpenAI if caller.is_async else openai.OpenAI
    url = caller.server.url(scenario)
    sockets = url.replace("http://", "ws://")  # the beta takes TLS unless it is told
    client = kind(base_url=url, websocket_base_url=sockets, api_key="key", max_retries=0)
    caller.clients.append(client)
    return client


def _of_sdk(connection: Any) -> Any:
    return connection._connection


def _is_done(event: Any) -> bool:
    return getattr(event, "type", "") == "response.done"


def _is_completed(event: Any) -> bool:
    return getattr(event, "type", "") in {"response.completed", "response.incomplete", "response.failed"}


_REALTIME_FINISHES = {"ok": "completed", "incomplete": "max_output_tokens", "barge-in": "turn_detected"}
_OF_REALTIME = frozenset({"events", "lanes", "barge-in", "refusal", "vad"})


def _realtime(*, is_beta: bool) -> Callable[[Caller, str], Any]:
    def open_it(caller: Caller, scenario: str) -> Any:
        client = _client(caller, scenario)
        resource = client.beta.realtime if is_beta else client.realtime
        return resource.connect(model="gpt-realtime")

    return open_it


def _has(resource: str) -> bool:
    """Tell whether the SDK that is installed has a resource with `connect`."""
    if find_spec("openai") is None:
        return False
    client: Any = import_module("openai").OpenAI(api_key="key")
    try:
        for name in resource.split("."):
            client = getattr(client, name)
        return hasattr(client, "connect")
    except AttributeError:
        return False


def _resource(client: Any, path: str) -> Any:
    for name in path.split("."):
        client = getattr(client, name)
    return client


def _responses(resource: str) -> Callable[[Caller, str], Any]:
    return lambda caller, scenario: _resource(_client(caller, scenario), resource).connect()


OPENAI = [
    Talker(
        name=name,
        layer="openai",
        open=_realtime(is_beta=is_beta),
        ask=lambda talk: talk.response.create(),
        items=same,
        recv=receive,
        socket=_of_sdk,
        is_last=_is_done,
        finishes=_REALTIME_FINISHES,
        traits=_OF_REALTIME,
    )
    for name, is_beta, resource in (
        ("openai realtime", False, "realtime"),
        ("openai beta.realtime", True, "beta.realtime"),
    )
    if _has(resource)
] + [
    Talker(
        name=f"openai {resource}",
        layer="openai",
        open=_responses(resource),
        ask=lambda talk: talk.response.create(model="gpt-4o", input="What is a stream?"),
        items=same,
        recv=receive,
        socket=_of_sdk,
        is_last=_is_completed,
        operation="chat",
        model="gpt-4o",
        finishes={"ok": "completed", "incomplete": "max_output_tokens"},
        traits=frozenset({"events", "is-http-too"}),
        has_session_id=False,
    )
    for resource in ("responses", "beta.responses")
    if _has(resource)
]


# --- raw -------------------------------------------------------------------------------------------------------------


def has_queue() -> bool:
    """Tell whether the library's synchronous connection reads ahead: from 14.0.

    Before, it holds one message, and so does not get to the answer to its close frame while others are unread: it
    waits for that until a timeout, 10 seconds unless it is told, and the connection has no close code then.
    """
    return "max_queue" in signature(import_module("websockets.sync.client").connect).parameters


def closing_soon() -> dict[str, float]:
    """Return the options of a synchronous connection that does not wait for long where it waits in vain."""
    return {} if has_queue() else {"close_timeout": 0.2}


def _raw(path: str) -> Callable[[Caller, str], Any]:
    def open_it(caller: Caller, scenario: str) -> Any:
        module = import_module(f"websockets.{'asyncio' if caller.is_async else 'sync'}.client")
        options = {} if caller.is_async else closing_soon()
        return module.connect(websocket_url(caller, scenario, path), **options)

    return open_it


def _says(kind: str) -> Callable[[Any], bool]:
    return lambda frame: f'"type":"{kind}"' in frame


RAWS = [
    Talker(
        name="websockets, realtime",
        layer="websockets",
        open=_raw("/v1/realtime?model=gpt-realtime"),
        ask=lambda talk: talk.send(json.dumps({"type": "response.create"})),
        items=same,
        recv=receive,
        is_last=_says("response.done"),
        finishes=_REALTIME_FINISHES,
        traits=_OF_REALTIME | {"raw"},
        config=RAW,
    ),
    Talker(
        name="websockets, live",
        layer="websockets",
        open=_raw("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"),
        ask=lambda talk: talk.send(
            json.dumps({"client_content": {"turns": [{"role": "user", "parts": [{"text": "Hi"}]}], "turnComplete": True}})
        ),
        items=same,
        recv=receive,
        is_last=lambda frame: "turnComplete" in str(frame),
        provider="gcp.gemini",
        model="",
        finishes={"ok": "turn_complete", "incomplete": "NEED_MORE_INPUT", "barge-in": "interrupted"},
        errors={"error_event": "UNAVAILABLE"},
        traits=frozenset({"barge-in", "go-away", "raw"}),
        config=RAW,
        has_session_id=False,
    ),
]  # fmt: skip


# --- Google ----------------------------------------------------------------------------------------------------------


def google_client(base: str) -> Any:
    """Return a client of Google's SDK whose WebSockets go to a plain one: the SDK insists on TLS unless it is pushed."""
    genai: Any = import_module("google.genai")
    client = genai.Client(api_key="key")
    api = client._api_client
    api._websocket_ssl_ctx = {}
    api._websocket_base_url = lambda *_: base
    return client


@asynccontextmanager
async def _live(caller: Caller, scenario: str) -> Any:
    client = google_client(websocket_url(caller, scenario, ""))
    async with client.aio.live.connect(model="gemini-live-demo", config={"response_modalities": ["AUDIO"]}) as session:
        yield session


def _has_live() -> bool:
    try:
        return find_spec("google.genai.live") is not None
    except ModuleNotFoundError:
        return False


LIVES = [
    Talker(
        name="google_genai live",
        layer="google_genai",
        open=_live,
        ask=lambda session: session.send_client_content(turns={"role": "user", "parts": [{"text": "Hi"}]}),
        items=lambda session: session.receive(),
        recv=lambda session: session._receive(),
        socket=lambda session: session._ws,
        is_last=lambda message: bool(message.server_content and message.server_content.turn_complete),
        colours=(True,),
        provider="gcp.gemini",
        model="gemini-live-demo",
        finishes={"ok": "turn_complete", "incomplete": "NEED_MORE_INPUT", "barge-in": "interrupted"},
        errors={"error_event": "UNAVAILABLE"},
        traits=frozenset({"barge-in", "go-away"}),
    )
    for _ in [()]
    if _has_live()
]

TALKERS: list[Talker] = [*OPENAI, *RAWS, *LIVES]
