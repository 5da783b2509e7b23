"""Patches come and go without a trace, whoever else patches, whenever things are made or imported."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from copy import copy, deepcopy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import openai
import openai._base_client
import openai._streaming
import pytest
import wrapt

import streamspan
from streamspan.demo import DemoProvider
from support.seen import TLS
from support.surfaces.openai import MESSAGES, MODEL
from support.telemetry import Told

_OK = "ok;chunks=4"
_HTTP: list[Any] = [import_module(name) for name in ("httpx", "httpx2") if find_spec(name)]
_PLACES: tuple[tuple[type, str], ...] = (
    (openai._base_client.SyncAPIClient, "request"),
    (openai._base_client.AsyncAPIClient, "request"),
    (openai._streaming.Stream, "__stream__"),
    (openai._streaming.AsyncStream, "__stream__"),
    *((kind, "send") for module in _HTTP for kind in (module.Client, module.AsyncClient)),
)


def _originals() -> dict[tuple[type, str], Any]:
    return {place: place[0].__dict__.get(place[1]) for place in _PLACES}


@pytest.fixture
def client(server: DemoProvider) -> Iterator[openai.OpenAI]:
    """A client that was made before streamspan came."""
    with _client(server) as made:
        yield made


def _client(server: DemoProvider, scenario: str = _OK) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(verify=TLS)
    return openai.OpenAI(base_url=server.url(scenario), api_key="key", http_client=http)


def _open(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)


def test_uninstrument_restores_the_very_originals() -> None:
    """Not equal functions: the same objects, in the same places, and no names that were not there."""
    before = _originals()
    told = Told()
    told.instrument()
    during = _originals()
    assert [place for place in _PLACES if during[place] is before[place]] == []
    told.finish()
    after = _originals()
    assert [place for place in _PLACES if after[place] is not before[place]] == []


def test_it_can_be_repeated(client: openai.OpenAI) -> None:
    """Ten rounds leave no layer behind."""
    before = _originals()
    for _ in range(10):
        told = Told()
        told.instrument()
        list(_open(client))
        told.finish()
        assert len(told.spans) == 1
    assert _originals() == before


def test_clients_from_before_and_after_are_recorded(server: DemoProvider, client: openai.OpenAI) -> None:
    """Also their resource objects and raw-response wrappers, which an SDK may have bound already."""
    bound = client.chat.completions.create
    raw = client.chat.completions.with_raw_response
    told = Told()
    told.instrument()
    list(bound(model="bound", messages=MESSAGES, stream=True))
    list(raw.create(model="raw", messages=MESSAGES, stream=True).parse())
    with _client(server) as later:
        list(_open(later))
    told.finish()
    assert [(span.attributes or {})["gen_ai.request.model"] for span in told.spans] == ["bound", "raw", MODEL]


def test_twice_with_the_same_arguments_is_once(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    """The second call does nothing and says nothing."""
    told = Told()
    told.instrument()
    during = _originals()
    told.instrument()
    assert _originals() == during
    list(_open(client))
    told.finish()
    assert len(told.spans) == 1
    assert caplog.records == [record for record in caplog.records if record.name != "streamspan"]


def test_twice_with_other_arguments_warns(client: openai.OpenAI, caplog: pytest.LogCaptureFixture) -> None:
    """The first arguments stay in force, and one warning says so."""
    first, second = Told(), Told()
    first.instrument()
    second.instrument()
    list(_open(client))
    first.finish()
    assert (len(first.spans), len(second.spans)) == (1, 0)
    (warning,) = [record for record in caplog.records if record.name == "streamspan"]
    assert "uninstrument()" in warning.getMessage()


def test_uninstrument_without_instrument_is_nothing() -> None:
    """It may be called at any time."""
    before = _originals()
    streamspan.uninstrument()
    streamspan.uninstrument()
    assert _originals() == before


def test_after_uninstrument_nothing_is_recorded(client: openai.OpenAI) -> None:
    """Clients that were used meanwhile go on without us."""
    told = Told()
    told.instrument()
    list(_open(client))
    told.finish()
    assert len(list(_open(client))) == 6
    assert len(told.spans) == 1


@pytest.mark.parametrize("ending", ["exhausted", "closed"])
def test_open_streams_end_properly_after_uninstrument(client: openai.OpenAI, ending: str) -> None:
    """What was opened before is recorded to its end."""
    told = Told()
    told.instrument()
    stream = _open(client)
    next(stream)
    streamspan.uninstrument()
    assert told.spans == []
    assert told.active == 1
    if ending == "exhausted":
        list(stream)
    else:
        stream.close()
    assert told.attributes["streamspan.outcome"] == ("completed" if ending == "exhausted" else "cancelled")
    assert told.attributes["streamspan.chunk.count"] == (6 if ending == "exhausted" else 1)
    assert told.active == 0


def test_a_stream_opened_before_and_read_after_is_whole(client: openai.OpenAI) -> None:
    """Nothing of it was read yet when the patches went."""
    told = Told()
    told.instrument()
    stream = _open(client)
    streamspan.uninstrument()
    assert len(list(stream)) == 6
    assert told.attributes["streamspan.outcome"] == "completed"
    assert told.attributes["streamspan.chunk.count"] == 6


def test_a_stream_opened_before_instrument_is_left_alone(client: openai.OpenAI) -> None:
    """It began without us, and ends without us."""
    stream = _open(client)
    next(stream)
    told = Told()
    told.instrument()
    assert len(list(stream)) == 5
    told.finish()
    assert told.spans == []


class Counter:
    """Somebody else's wrapper."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
        self.calls += 1
        return wrapped(*args, **kwargs)


@pytest.fixture
def counter(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """Counts what passes somebody else's patch; undone by the test."""
    return Counter()


def test_somebody_elses_patch_below_ours_works(client: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    """Patched before us: both see the call, and uninstrument gives the other's patch back."""
    counter, place = Counter(), openai._base_client.SyncAPIClient
    theirs = wrapt.FunctionWrapper(place.__dict__["request"], counter)
    monkeypatch.setattr(place, "request", theirs)
    told = Told()
    told.instrument()
    assert len(list(_open(client))) == 6
    told.finish()
    assert (counter.calls, len(told.spans)) == (1, 1)
    assert place.__dict__["request"] is theirs


def test_under_somebody_elses_patch_we_go_dormant(client: openai.OpenAI) -> None:
    """Patched on top of us: uninstrument leaves their patch in place and records nothing more."""
    place = openai._base_client.SyncAPIClient
    original = place.__dict__["request"]
    counter = Counter()
    told = Told()
    told.instrument()
    try:
        theirs = wrapt.FunctionWrapper(place.__dict__["request"], counter)
        place.request = theirs  # type: ignore[method-assign]
        list(_open(client))
        assert (counter.calls, len(told.spans)) == (1, 1)
        told.finish()
        assert place.__dict__["request"] is theirs
        assert len(list(_open(client))) == 6
        assert (counter.calls, len(told.spans)) == (2, 1)
        again = Told()
        again.instrument()
        list(_open(client))
        again.finish()
        assert (counter.calls, len(told.spans), len(again.spans)) == (3, 1, 1)
    finally:
        place.request = original  # type: ignore[method-assign]


def test_a_plain_function_on_top_of_ours_is_respected(client: openai.OpenAI) -> None:
    """Not everybody patches with wrapt."""
    place = openai._base_client.SyncAPIClient
    original = place.__dict__["request"]
    told = Told()
    told.instrument()
    try:
        ours = place.request

        def theirs(self: Any, *args: Any, **kwargs: Any) -> Any:
            return ours(self, *args, **kwargs)

        place.request = theirs  # type: ignore[method-assign]
        told.finish()
        assert place.__dict__["request"] is theirs
        assert len(list(_open(client))) == 6
        assert told.spans == []
    finally:
        place.request = original  # type: ignore[method-assign]


def test_signatures_and_names_survive() -> None:
    """What inspects the SDK sees what it saw before."""
    import inspect  # noqa: PLC0415

    places = [getattr(kind, name) for kind, name in _PLACES]
    before = [(inspect.signature(each), each.__name__, inspect.iscoroutinefunction(each)) for each in places]
    told = Told()
    told.instrument()
    places = [getattr(kind, name) for kind, name in _PLACES]
    during = [(inspect.signature(each), each.__name__, inspect.iscoroutinefunction(each)) for each in places]
    told.finish()
    assert during == before


@pytest.mark.parametrize("way", [copy, deepcopy, lambda held: pickle.loads(pickle.dumps(held))])
def test_what_is_patched_is_copied_and_pickled_as_before(way: Any) -> None:
    """Functions of the SDK and of the HTTP libraries, and a session of requests with what is bound to it."""

    def shown() -> list[Any]:
        functions = [openai.resources.chat.Completions.create, *(getattr(kind, name) for kind, name in _PLACES)]
        copies = [way(each) for each in functions]
        kept: list[Any] = [each.__qualname__ for each in copies]
        if find_spec("requests"):
            made = way(_requests_in_use())
            kept += [made["send"].__qualname__, type(made["send"].__self__), made["send"].__self__ is made["session"]]
        return kept

    before = shown()
    told = Told()
    told.instrument()
    during = shown()
    told.finish()
    assert during == before


def _requests_in_use() -> dict[str, Any]:
    session = import_module("requests").Session()
    return {"session": session, "send": session.send}


_LATE = """
import sys
import streamspan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.metrics import NoOpMeterProvider

exporter, tracers = InMemorySpanExporter(), TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(exporter))
streamspan.instrument(tracer_provider=tracers, meter_provider=NoOpMeterProvider())
assert "openai" not in sys.modules and "httpx2" not in sys.modules
import openai
client = openai.OpenAI(base_url=sys.argv[1], api_key="key")
items = list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": "x"}], stream=True))
(span,) = exporter.get_finished_spans()
assert span.attributes["streamspan.chunk.count"] == len(items) == 6, span.attributes
streamspan.uninstrument()
assert not hasattr(openai._base_client.SyncAPIClient.__dict__["request"], "__wrapped__")
print("recorded")
"""

_NEVER = """
import sys
import streamspan
from opentelemetry.trace import NoOpTracerProvider
streamspan.instrument(tracer_provider=NoOpTracerProvider())
streamspan.uninstrument()
import openai
assert not hasattr(openai._base_client.SyncAPIClient.__dict__["request"], "__wrapped__")
assert not hasattr(openai._streaming.Stream.__dict__["__stream__"], "__wrapped__")
print("untouched")
"""


def test_a_library_that_is_imported_later_is_patched_then(server: DemoProvider) -> None:
    """`instrument()` imports no SDK, and finds it when the application imports it."""
    assert _python(_LATE, server.url(_OK)) == "recorded"


def test_a_library_that_is_imported_after_uninstrument_is_untouched() -> None:
    """The import hook has nothing to do any more."""
    assert _python(_NEVER) == "untouched"


def _python(program: str, *arguments: str) -> str:
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout.strip()


def test_only_the_named_libraries_are_patched() -> None:
    """`libraries=` picks; what lies below a picked one comes along."""
    before = _originals()
    told = Told()
    streamspan.instrument(tracer_provider=told.tracers, meter_provider=told.meters, libraries=["openai"])
    patched = {place for place, original in _originals().items() if original is not before[place]}
    told.finish()
    assert {place for place in _PLACES if place[0].__module__.startswith("openai")} <= patched
    assert _originals() == before


def test_an_unknown_library_is_a_clear_error() -> None:
    """The message names it, and those that there are."""
    before = _originals()
    with pytest.raises(streamspan.ConfigError, match=r"no-such-library.*openai"):
        streamspan.instrument(libraries=["no-such-library"])
    assert _originals() == before
