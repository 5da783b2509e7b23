"""LangChain: every run of a model, whatever it is called through.

A model of a known vendor calls the vendor's SDK, whose session is the one span; it gets the run's name, id, tags and
parent. A session of our own is opened only where no such call exists (fake models, caches, gRPC, unknown providers).

The seam is where a callback manager starts a model's run, which `invoke`, `stream`, `astream_events` and LangGraph all
do (langchain-core 0.3.0 to 1.7.2). Each run gets a listener of its own in its run manager, and not a handler that all
managers inherit: that one would be called for every token of every run for ever, would be seen in the callbacks that an
application passes on, and an inline one keeps the others from hearing of the start of a text model in async code
(`AsyncCallbackManager.on_llm_start` calls either the inline handlers or the others).
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Mapping
from contextvars import Context, copy_context
from typing import Any

from streamspan import _semconv as names
from streamspan._cancellation import is_finalizer, is_timeout
from streamspan._failures import qualified_name
from streamspan._guard import Guard
from streamspan._ownership import is_suppressed
from streamspan._patching import Patch, Wrapper
from streamspan._records import AttributeValue
from streamspan._runs import Run, current_run
from streamspan._sessions import Sessions, Started
from streamspan._taps import told_cancelled
from streamspan.integrations._langchain_runs import Begun, Listener
from streamspan.providers import Endpoint
from streamspan.providers._shapes import fields, items, text
from streamspan.providers.langchain import CHAT, TEXT

_MANAGERS = "langchain_core.callbacks.manager"
_CHAT_MODELS = "langchain_core.language_models.chat_models"
_TEXT_MODELS = "langchain_core.language_models.llms"


def patches(sessions: Sessions, guard: Guard) -> list[Patch]:
    """Return the patches."""
    runs = _Runs(sessions, guard)
    chat, texts = _Starts(runs, CHAT), _Starts(runs, TEXT)
    return [
        Patch(_MANAGERS, "CallbackManager.on_chat_model_start", chat.start),
        Patch(_MANAGERS, "AsyncCallbackManager.on_chat_model_start", chat.astart),
        Patch(_MANAGERS, "CallbackManager.on_llm_start", texts.start),
        Patch(_MANAGERS, "AsyncCallbackManager.on_llm_start", texts.astart),
        Patch(_MANAGERS, "CallbackManagerForLLMRun.on_llm_error", runs.failed, is_optional=True),
        Patch(_MANAGERS, "AsyncCallbackManagerForLLMRun.on_llm_error", runs.afailed, is_optional=True),
        *(
            Patch(_MANAGERS, f"{manager}.{method}", wrapper, is_optional=True)
            for method in ("on_llm_new_token", "on_stream_event")
            for manager, wrapper in (
                ("CallbackManagerForLLMRun", runs.telling),
                ("AsyncCallbackManagerForLLMRun", runs.atelling),
            )
        ),
        Patch(_CHAT_MODELS, "BaseChatModel._generate_with_cache", _inside(guard), is_optional=True),
        Patch(_CHAT_MODELS, "BaseChatModel._agenerate_with_cache", _ainside(guard), is_optional=True),
        Patch(_TEXT_MODELS, "BaseLLM._generate_helper", _inside(guard), is_optional=True),
        Patch(_TEXT_MODELS, "BaseLLM._agenerate_helper", _ainside(guard), is_optional=True),
    ]


class _Starts:
    """The wrappers of what starts runs of one kind of model."""

    def __init__(self, runs: _Runs, endpoint: Endpoint) -> None:
        self._runs = runs
        self._endpoint = endpoint

    def start(self, wrapped: Any, _manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        where = self._runs.where()
        managers = wrapped(*args, **kwargs)
        if where is not None:
            self._runs.guard.call(self._runs.started, self._endpoint, where, managers, args, kwargs)
        return managers

    async def astart(self, wrapped: Any, _manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        where = self._runs.where()
        managers = await wrapped(*args, **kwargs)
        if where is not None:
            self._runs.guard.call(self._runs.started, self._endpoint, where, managers, args, kwargs)
        return managers


class _Runs:
    """The runs of models, by their run managers."""

    def __init__(self, sessions: Sessions, guard: Guard) -> None:
        self.guard = guard
        self._sessions = sessions
        self._runs: weakref.WeakKeyDictionary[Any, Run] = weakref.WeakKeyDictionary()

    def where(self) -> tuple[Started, Context] | None:
        """Return the moment and the context of a call; None where nothing is to be recorded."""
        return self.guard.call(self._where)

    def _where(self) -> tuple[Started, Context] | None:
        return None if self.guard.is_off or is_suppressed() else (self._sessions.now(), copy_context())

    def started(
        self,
        endpoint: Endpoint,
        where: tuple[Started, Context],
        managers: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
    ) -> None:
        """Enter the runs that were started, and listen to them."""
        name = kwargs.get("name") or _name(kwargs.get("serialized", args[0] if args else None))
        asked: Any = kwargs.get("messages") or kwargs.get("prompts") or args[1]
        parameters = fields(kwargs.get("invocation_params"))
        outer = current_run()
        for manager, messages in zip(managers, asked, strict=True):
            attributes = _attributes(manager, name)
            body: dict[str, Any] = {
                "model": _model(manager.metadata, parameters),
                "messages": messages if isinstance(messages, list) else [messages],
                "parameters": parameters,
                "metadata": manager.metadata,
                "run": attributes,
            }
            run = self._runs[manager] = Run(attributes)
            run.witness = weakref.ref(manager)
            listener = Listener(run, Begun(endpoint, *where, body), manager, self._sessions, self.guard)
            # Before the application's own: what their code calls on a token or at the end is not of this run.
            manager.handlers = [listener, *manager.handlers]
            if endpoint is CHAT and len(managers) > 1:
                run.beside(outer)  # each is generated by itself, see `_inside`
            else:
                run.enter()

    def telling(self, wrapped: Any, manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Keep what the application's handlers do on a token from being taken for a part of the run."""
        run = self.guard.call(self._runs.get, manager)
        if run is None or run.is_left:
            return wrapped(*args, **kwargs)
        with run.outside():
            return wrapped(*args, **kwargs)

    async def atelling(self, wrapped: Any, manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """As `telling`."""
        run = self.guard.call(self._runs.get, manager)
        if run is None or run.is_left:
            return await wrapped(*args, **kwargs)
        with run.outside():
            return await wrapped(*args, **kwargs)

    def failed(self, wrapped: Any, manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Tell the vendor's session what unwinds the run; see `_unwound`."""
        self.guard.call(self._unwound, manager, args, kwargs)
        return wrapped(*args, **kwargs)

    async def afailed(self, wrapped: Any, manager: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Tell the vendor's session what unwinds the run, before LangChain goes on in a task of its own."""
        self.guard.call(self._unwound, manager, args, kwargs)
        return await wrapped(*args, **kwargs)

    def _unwound(self, manager: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """End the vendor's session if the caller has closed the stream, its task was cancelled, or LangChain failed.

        LangChain only lets go of the vendor's stream: the reference counter, asyncio's finalizers, or the garbage
        collector where it is in a cycle (langchain-anthropic 1.0), would be the first to close it, and not the caller.
        """
        error = kwargs["error"] if "error" in kwargs else args[0] if args else None
        run = self._runs.get(manager)
        session = None if run is None else run.session()
        if session is None or session.is_ended:
            return
        if isinstance(error, asyncio.CancelledError):
            told_cancelled(session, is_timeout=is_timeout(error))
        elif isinstance(error, Exception):
            session.closed(qualified_name(type(error)))  # LangChain's own, or a handler's: the vendor has done nothing
        elif isinstance(error, GeneratorExit) and not is_finalizer():
            session.closed()
        else:
            self._sessions.lifecycle.witnessed(session)
            self._sessions.lifecycle.dropped(session)


def _attributes(manager: Any, name: str) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {names.RUN_ID: str(manager.run_id)}
    if manager.parent_run_id is not None:
        attributes[names.PARENT_RUN_ID] = str(manager.parent_run_id)
    if name:
        attributes[names.RUN_NAME] = name
    if manager.tags:
        attributes[names.RUN_TAGS] = [str(tag) for tag in manager.tags]
    return attributes


def _name(serialized: Any) -> str:
    """Return the name that LangChain gives to a run without one: its model's class."""
    said = fields(serialized)
    return text(said.get("name")) or text((items(said.get("id")) or [""])[-1])


def _model(metadata: Mapping[str, Any], parameters: Mapping[str, Any]) -> Any:
    return metadata.get("ls_model_name") or parameters.get("model") or parameters.get("model_name")


# --- runs whose answer LangChain collects itself -------------------------------------------------------------------


def _inside(guard: Guard) -> Wrapper:
    def inside(wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = guard.call(_run_of, args, kwargs)
        if run is None:
            return wrapped(*args, **kwargs)
        with run.inside():
            return wrapped(*args, **kwargs)

    return inside


def _ainside(guard: Guard) -> Callable[..., Any]:
    async def inside(wrapped: Any, _model: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = guard.call(_run_of, args, kwargs)
        if run is None:
            return await wrapped(*args, **kwargs)
        with run.inside():
            return await wrapped(*args, **kwargs)

    return inside


def _run_of(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Run | None:
    """Return the run that LangChain generates an answer for; several prompts of a text model are one request."""
    found: Any = kwargs.get("run_manager") or kwargs.get("run_managers") or (args[2] if len(args) > 2 else None)  # noqa: PLR2004
    managers = items(found) or [found]
    handlers = (handler for manager in managers for handler in getattr(manager, "handlers", ()))
    listeners = [handler for handler in handlers if type(handler) is Listener]
    for listener in listeners:
        listener.is_generating = True
    return listeners[-1].run if listeners else None  # the innermost: a session in it tells of the others as well
