"""The configuration: arguments beat the environment, the environment beats the defaults, nonsense is said once."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamspan
from streamspan import _api
from streamspan._config import REDACTIONS, Config, ConfigError, HostPattern, environment, options
from streamspan._registry import known_names
from support.telemetry import Told

CAPTURE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# Field, variable, text, its value, default. The table of the documentation is generated from the same definition.
EVERY_OPTION: list[tuple[str, str, str, Any, Any]] = [
    ("libraries", "STREAMSPAN_LIBRARIES", "openai,httpx", ("openai", "httpx"), None),
    ("exclude", "STREAMSPAN_EXCLUDE", "httpx", ("httpx",), ()),
    ("hosts", "STREAMSPAN_HOSTS", "llm.lan/v1=acme", (HostPattern("llm.lan", "/v1", "acme"),), ()),
    ("chunk_events", "STREAMSPAN_CHUNK_EVENTS", "off", 0, 32),
    ("events", "STREAMSPAN_EVENTS", "both", "both", "span"),
    ("chunk_metric", "STREAMSPAN_CHUNK_METRIC", "off", False, True),
    ("semconv", "STREAMSPAN_SEMCONV", "latest", "latest", "released"),
    ("cancel_status", "STREAMSPAN_CANCEL_STATUS", "error", "error", "unset"),
    ("stall_seconds", "STREAMSPAN_STALL_SECONDS", "2.5", 2.5, 5.0),
    ("include_usage", "STREAMSPAN_INCLUDE_USAGE", "true", True, False),
    ("content_max_bytes", "STREAMSPAN_CONTENT_MAX_BYTES", "1024", 1024, 65536),
    ("redactions", "STREAMSPAN_REDACT", "email", ("email",), REDACTIONS),
    ("console", "STREAMSPAN_CONSOLE", "true", True, False),
    ("native_spans", "STREAMSPAN_NATIVE_SPANS", "keep", "keep", "replace"),
    ("capture_content", CAPTURE, "span_and_event", "SPAN_AND_EVENT", "NO_CONTENT"),
]

# Variable, its malformed text, what the warning says of the default and of what is allowed.
NAMES = "api_key, bearer, card, email, phone"
MALFORMED: list[tuple[str, str, str, str]] = [
    ("STREAMSPAN_HOSTS", "https://llm.lan", "none", "a comma list of host, *.host, host:port or host/path, each with =provider or without"),
    ("STREAMSPAN_CHUNK_EVENTS", "lots", "merged", "'merged', 'off' or a number of events per span"),
    ("STREAMSPAN_CHUNK_EVENTS", "²", "merged", "'merged', 'off' or a number of events per span"),
    ("STREAMSPAN_EVENTS", "logs", "span", "one of span, log, both, off"),
    ("STREAMSPAN_CHUNK_METRIC", "maybe", "on", "'true' or 'false'"),
    ("STREAMSPAN_SEMCONV", "1.37", "released", "one of released, latest, both"),
    ("STREAMSPAN_CANCEL_STATUS", "ok", "unset", "one of unset, error"),
    ("STREAMSPAN_STALL_SECONDS", "5s", "5", "a number of seconds above 0, at most 1e9"),
    ("STREAMSPAN_STALL_SECONDS", "nan", "5", "a number of seconds above 0, at most 1e9"),
    ("STREAMSPAN_INCLUDE_USAGE", "2", "false", "'true' or 'false'"),
    ("STREAMSPAN_CONTENT_MAX_BYTES", "64k", "65536", "a whole number, 0 or more"),
    ("STREAMSPAN_REDACT", "passwords", "all", f"'all', 'off' or a comma list of {NAMES}"),
    ("STREAMSPAN_REDACT", ",", "all", f"'all', 'off' or a comma list of {NAMES}"),
    ("STREAMSPAN_CONSOLE", "y", "false", "'true' or 'false'"),
    ("STREAMSPAN_NATIVE_SPANS", "both", "replace", "one of replace, keep"),
    (CAPTURE, "true", "NO_CONTENT", "one of NO_CONTENT, SPAN_ONLY, EVENT_ONLY, SPAN_AND_EVENT"),
]  # fmt: skip


def values(config: Config) -> dict[str, Any]:
    """Return the options of a configuration by their names."""
    return {name: getattr(config, name) for name in options()}


DEFAULTS = {field: default for field, _, _, _, default in EVERY_OPTION}


def test_the_defaults_are_those_of_the_table() -> None:
    """`Config()` and an empty environment give the documented defaults, and there is no further option."""
    assert values(Config()) == DEFAULTS
    assert values(Config.from_env({})) == DEFAULTS


@pytest.mark.parametrize(("field", "variable", "text", "value", "default"), EVERY_OPTION)
def test_every_option_can_be_set_by_its_variable(
    field: str, variable: str, text: str, value: Any, default: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """One variable changes one option, and is no reason for a warning."""
    assert value != default
    assert values(Config.from_env({variable: text})) == DEFAULTS | {field: value}
    assert caplog.messages == []


def test_the_process_environment_is_read_when_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """`from_env()` and `over()` look at the process's own variables."""
    monkeypatch.setenv("STREAMSPAN_CHUNK_EVENTS", "7")
    assert Config.from_env().chunk_events == 7
    assert Config().over().chunk_events == 7
    assert environment("STREAMSPAN_CHUNK_EVENTS") == "7"
    assert environment("STREAMSPAN_NOT_SET") == ""
    assert environment("STREAMSPAN_NOT_SET", "else") == "else"


@pytest.mark.parametrize("text", ["", " ", "\t\n"])
@pytest.mark.parametrize("variable", [variable for _, variable, *_ in EVERY_OPTION])
def test_an_empty_variable_is_no_variable(variable: str, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """Empty means the default, silently, as OpenTelemetry has it for its own variables."""
    assert values(Config.from_env({variable: text})) == DEFAULTS
    assert caplog.messages == []


@pytest.mark.parametrize(("variable", "text", "default", "allowed"), MALFORMED)
def test_a_malformed_variable_is_one_warning_and_the_default_stays(
    variable: str, text: str, default: str, allowed: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning names the variable, the value, the default and what is allowed."""
    assert values(Config.from_env({variable: text})) == DEFAULTS
    assert caplog.messages == [
        f"{variable}={text!r} is not understood, the default ({default}) is used; allowed: {allowed}"
    ]
    assert [(record.name, record.levelname) for record in caplog.records] == [("streamspan", "WARNING")]


def test_each_malformed_variable_has_its_own_warning_and_the_others_count(caplog: pytest.LogCaptureFixture) -> None:
    """Two are wrong, one is right: two warnings, and the right one is used."""
    config = Config.from_env({"STREAMSPAN_EVENTS": "x", "STREAMSPAN_CONSOLE": "y", "STREAMSPAN_SEMCONV": "both"})
    assert values(config) == DEFAULTS | {"semconv": "both"}
    assert [message.partition("=")[0] for message in caplog.messages] == ["STREAMSPAN_EVENTS", "STREAMSPAN_CONSOLE"]


def test_nothing_in_the_environment_makes_instrument_raise(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Every malformed variable at once: the application starts, with one warning for each."""
    wrong = {variable: text for variable, text, _, _ in MALFORMED}
    for variable, text in wrong.items():
        monkeypatch.setenv(variable, text)
    Told().instrument()
    assert [message.partition("=")[0] for message in caplog.messages] == list(wrong)


@given(
    st.dictionaries(
        st.sampled_from([v for _, v, *_ in EVERY_OPTION]), st.text() | st.text("0123456789.,e-²"), max_size=4
    )
)
def test_no_environment_makes_the_configuration_raise(environ: Mapping[str, str]) -> None:
    """Whatever text the variables hold, there is a valid configuration."""
    config = Config.from_env(environ)
    assert Config(**values(config)) == config


# --- arguments ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("field", "variable", "text", "value", "default"), EVERY_OPTION)
def test_an_argument_beats_the_environment_even_when_it_repeats_the_default(
    field: str, variable: str, text: str, value: Any, default: Any
) -> None:
    """What the program says counts; a variable counts for what the program does not say."""
    environ = {variable: text}
    assert getattr(Config(**{field: default}).over(environ), field) == default
    assert getattr(Config.from_env(environ, **{field: default}), field) == default
    assert getattr(Config().over(environ), field) == value
    assert getattr(Config(**{field: value}).over({}), field) == value


def test_a_variable_is_not_looked_at_when_the_argument_is_given(caplog: pytest.LogCaptureFixture) -> None:
    """No warning about a value that nobody would use."""
    config = Config(events="log").over({"STREAMSPAN_EVENTS": "nonsense", "STREAMSPAN_CONSOLE": "on"})
    assert values(config) == DEFAULTS | {"events": "log", "console": True}
    assert caplog.messages == []


def test_what_came_from_the_environment_stays_when_the_environment_changes() -> None:
    """A finished configuration is not asked again for what it knows."""
    config = Config.from_env({"STREAMSPAN_EVENTS": "log"})
    assert config.over({"STREAMSPAN_EVENTS": "both"}).events == "log"


WRONG: list[tuple[str, Any, str]] = [
    ("libraries", "openai", "library names"),
    ("libraries", 3, "library names"),
    ("libraries", (3,), "library names"),
    ("exclude", None, "library names"),
    ("exclude", (None,), "library names"),
    ("hosts", "llm.lan", "host"),
    ("hosts", ("llm.lan",), "host"),
    ("chunk_events", -1, "number"),
    ("chunk_events", True, "number"),
    ("chunk_events", 1.5, "number"),
    ("chunk_events", "merged", "number"),
    ("events", "logs", "span, log, both or off"),
    ("events", "LOG", "span, log, both or off"),
    ("events", None, "span, log, both or off"),
    ("chunk_metric", 1, "true or false"),
    ("chunk_metric", "on", "true or false"),
    ("semconv", "old", "released, latest or both"),
    ("cancel_status", "ok", "unset or error"),
    ("stall_seconds", 0, "seconds above 0"),
    ("stall_seconds", -1.0, "seconds above 0"),
    ("stall_seconds", float("nan"), "seconds above 0"),
    ("stall_seconds", float("inf"), "seconds above 0"),
    ("stall_seconds", True, "seconds above 0"),
    ("stall_seconds", "5", "seconds above 0"),
    ("include_usage", None, "true or false"),
    ("content_max_bytes", -1, "bytes"),
    ("content_max_bytes", 1.0, "bytes"),
    ("redactions", ("passwords",), "api_key"),
    ("redactions", "all", "api_key"),
    ("redactions", ([],), "api_key"),
    ("console", 0, "true or false"),
    ("native_spans", "both", "replace or keep"),
    ("capture_content", "span_only", "NO_CONTENT, SPAN_ONLY, EVENT_ONLY or SPAN_AND_EVENT"),
]


@pytest.mark.parametrize(("field", "value", "allowed"), WRONG)
def test_a_wrong_argument_is_a_config_error_that_says_what_is_allowed(field: str, value: Any, allowed: str) -> None:
    """The message has the option, the value and what it can be; `from_env` raises the same."""
    with pytest.raises(ConfigError) as raised:
        Config(**{field: value})
    assert str(raised.value).startswith(f"Config({field}={value!r}): allowed is ")
    assert allowed in str(raised.value)
    with pytest.raises(ConfigError):
        Config.from_env({}, **{field: value})


def test_a_list_is_taken_for_the_tuple_that_it_stands_for() -> None:
    """What people write; the record stays hashable, and a list that does not fit is told so."""
    config = Config(libraries=["openai"], redactions=[])  # type: ignore[arg-type] # what people write
    assert (config.libraries, config.redactions) == (("openai",), ())
    assert hash(config) == hash(Config(libraries=("openai",), redactions=()))
    with pytest.raises(ConfigError) as raised:
        Config(libraries=[3])  # type: ignore[arg-type]
    allowed = "comma list of library names (in Python: a tuple of them)"
    assert str(raised.value).endswith(f"allowed is {allowed}")


def test_an_unknown_option_is_a_config_error_that_lists_the_known() -> None:
    """Every unknown name is named, and every known one."""
    with pytest.raises(ConfigError) as raised:
        Config.from_env({}, evnets="log", colour=True)
    assert str(raised.value) == f"unknown option colour, evnets; known: {', '.join(DEFAULTS)}"


@pytest.mark.parametrize("seconds", [1e300, 10**400, "1e300"])
def test_a_stall_limit_beyond_all_bounds_harms_no_stream(seconds: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused where it is set, or means never; the stream comes out whole."""
    try:
        if isinstance(seconds, str):
            monkeypatch.setenv("STREAMSPAN_STALL_SECONDS", seconds)
            config = Config()
        else:
            config = Config(stall_seconds=seconds)
    except ConfigError:
        return
    Told().instrument(config)
    assert list(streamspan.observe("abc", provider="acme")) == ["a", "b", "c"]


# --- the record --------------------------------------------------------------------------------------------------


def test_it_is_frozen_equal_by_value_and_can_be_copied() -> None:
    """A configuration is a value: comparing, hashing, copying and pickling it work as expected."""
    config = Config(events="log", hosts=(HostPattern("llm.lan"),))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.events = "span"  # type: ignore[misc]
    assert config == Config(events="log", hosts=(HostPattern("llm.lan"),), console=False)
    assert config != Config()
    assert hash(config) == hash(copy.copy(config))
    for twin in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert twin == config
        assert twin.over({"STREAMSPAN_EVENTS": "both", "STREAMSPAN_CONSOLE": "on"}).events == "log"
        assert twin.over({"STREAMSPAN_EVENTS": "both", "STREAMSPAN_CONSOLE": "on"}).console is True


def test_the_note_of_what_was_given_is_not_shown() -> None:
    """`repr` is what one would write."""
    assert repr(Config(events="log")).startswith("Config(libraries=None, exclude=(), hosts=(), chunk_events=32, ")
    assert "given" not in repr(Config())


# --- names of libraries ------------------------------------------------------------------------------------------


KNOWN = ", ".join(known_names())


@pytest.mark.parametrize(
    ("libraries", "words"),
    [
        (["opnai"], "'opnai'"),
        (["openai", "x", "y"], "'x', 'y'"),
        ([""], "''"),
        (["OpenAI"], "'OpenAI'"),
        ([3], "3"),
        ([None], "None"),
    ],
)
def test_unknown_libraries_are_a_config_error_that_lists_the_known(libraries: Any, words: str) -> None:
    """`instrument` says which it does not know, and which there are; nothing is in place afterwards."""
    with pytest.raises(ConfigError) as raised:
        streamspan.instrument(libraries=libraries)
    assert str(raised.value).startswith(f"unknown libraries {words}; known: {KNOWN}")
    assert _api.runtime() is None


def test_a_single_string_is_a_config_error_that_shows_the_list() -> None:
    """`libraries="openai"` would be six letters."""
    with pytest.raises(ConfigError) as raised:
        streamspan.instrument(libraries="openai")
    assert str(raised.value) == f"instrument(libraries='openai'): allowed is a list of names, of {KNOWN}"
