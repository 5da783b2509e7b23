"""The values of options: what their text may say, and which requests a host pattern means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._options import (
    BYTES,
    CHUNK_EVENTS,
    HOSTS,
    NAMES,
    REDACTION,
    REDACTIONS,
    SECONDS,
    SWITCH,
    ConfigError,
    HostPattern,
    Kind,
    StreamspanError,
    one_of,
)

EVENTS = one_of("span", "log")
MODES = one_of("NO_CONTENT", "SPAN_ONLY")
KINDS = (SWITCH, NAMES, HOSTS, CHUNK_EVENTS, SECONDS, BYTES, REDACTION, EVENTS, MODES)

GOOD: list[tuple[Kind, str, Any]] = [
    *((SWITCH, text, True) for text in ("true", "1", "yes", "on", " TRUE ", "On\n")),
    *((SWITCH, text, False) for text in ("false", "0", "no", "off", "\tFalse", "OFF")),
    (NAMES, "openai", ("openai",)),
    (NAMES, " openai , httpx,,", ("openai", "httpx")),
    (CHUNK_EVENTS, "merged", 32),
    (CHUNK_EVENTS, " Merged ", 32),
    (CHUNK_EVENTS, "off", 0),
    (CHUNK_EVENTS, "0", 0),
    (CHUNK_EVENTS, "128", 128),
    (SECONDS, "5", 5.0),
    (SECONDS, " 0.25 ", 0.25),
    (SECONDS, "1e-3", 0.001),
    (BYTES, "0", 0),
    (BYTES, " 1024 ", 1024),
    (REDACTION, "all", REDACTIONS),
    (REDACTION, " ALL ", REDACTIONS),
    (REDACTION, "off", ()),
    (REDACTION, "None", ()),
    (REDACTION, "Email, phone", ("email", "phone")),
    (EVENTS, " LOG ", "log"),
    (MODES, "span_only", "SPAN_ONLY"),
    (HOSTS, "api.acme.com", (HostPattern("api.acme.com"),)),
    (HOSTS, "API.Acme.com:8443", (HostPattern("api.acme.com:8443"),)),
    (HOSTS, "llm.lan/V1/chat=acme", (HostPattern("llm.lan", "/V1/chat", "acme"),)),
    (HOSTS, "a.lan=x, *.b.lan", (HostPattern("a.lan", "", "x"), HostPattern("*.b.lan"))),
    (HOSTS, "a.lan=", (HostPattern("a.lan"),)),
    (HOSTS, "[::1]:80/v1=x", (HostPattern("[::1]:80", "/v1", "x"),)),
]


@pytest.mark.parametrize(("kind", "text", "value"), GOOD)
def test_text_becomes_a_value_that_fits(kind: Kind, text: str, value: Any) -> None:
    """Case and space around a value do not matter; a path keeps its case."""
    assert kind.parse(text) == value
    assert kind.fits(value)


BAD: list[tuple[Kind, str, str]] = [
    *((SWITCH, text, "'true' or 'false'") for text in ("", "maybe", "2", "truee")),
    *(
        (CHUNK_EVENTS, text, "'merged', 'off' or a number of events per span")
        for text in ("", "-1", "1.5", "many", "²", "1" * 5000)
    ),
    *(
        (SECONDS, text, "a number of seconds above 0, at most 1e9")
        for text in ("", "0", "-1", "nan", "inf", "-inf", "5s", "1e300", "2e9")
    ),
    *((BYTES, text, "a whole number, 0 or more") for text in ("", "-1", "64k", "1.0", "²", "1" * 5000)),
    *(
        (REDACTION, text, "'all', 'off' or a comma list of api_key, bearer, card, email, phone")
        for text in ("emails", "email,passwords", "true", ",", " , ")
    ),
    *((NAMES, text, "a comma list of names") for text in ("", ",", " , ,")),
    (EVENTS, "both", "one of span, log"),
    (EVENTS, "", "one of span, log"),
    *(
        (HOSTS, text, "a comma list of host, *.host, host:port or host/path, each with =provider or without")
        for text in (
            "https://api.acme.com",
            "/v1/chat",
            "*",
            "llm.*.lan",
            "llm.lan/v1/*",
            "=acme",
            "a b",
            "good.lan,https://bad.lan",
            "a.lan:port",
            "a.lan:",
        )
    ),
]


@pytest.mark.parametrize(("kind", "text", "words"), BAD, ids=lambda value: repr(value)[:24])
def test_what_is_not_understood_says_what_is_allowed(kind: Kind, text: str, words: str) -> None:
    """The error has the words for what is allowed, and nothing else: the caller knows the option's name."""
    with pytest.raises(ConfigError) as raised:
        kind.parse(text)
    assert str(raised.value) == words


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.allowed[:20])
@given(text=st.text() | st.text(alphabet="0123456789.eE+-_²٣,=:/* ", max_size=40))
def test_no_text_is_anything_but_a_fitting_value_or_a_config_error(kind: Kind, text: str) -> None:
    """Whatever the environment holds, a parser answers with what an argument could be, or raises `ConfigError`."""
    try:
        value = kind.parse(text)
    except ConfigError:
        return
    assert kind.fits(value)


FITS: list[tuple[Kind, tuple[Any, ...], tuple[Any, ...]]] = [
    (SWITCH, (True, False), (1, 0, None, "true")),
    (NAMES, ((), ("openai",)), ("openai", ["openai"], (3,), (None,), None)),
    (HOSTS, ((), (HostPattern("a"),)), ("a", ("a",), [HostPattern("a")], None)),
    (CHUNK_EVENTS, (0, 1, 10**9), (-1, True, 1.0, "merged", None)),
    (SECONDS, (1, 0.001, 1e9), (0, -1, True, float("nan"), float("inf"), 1e300, 10**400, "5", None)),
    (BYTES, (0, 65536), (-1, True, 1.0, "0", None)),
    (REDACTION, ((), ("email",), REDACTIONS), ("email", ["email"], ("emails",), ([],), (None,), None)),
    (EVENTS, ("span", "log"), ("SPAN", "both", "", None, 1, [])),
]


@pytest.mark.parametrize(("kind", "good", "bad"), FITS, ids=lambda value: getattr(value, "allowed", "")[:20])
def test_an_argument_fits_or_does_not(kind: Kind, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    """A text where a value is meant is none, and nothing raises."""
    assert [kind.fits(value) for value in good] == [True] * len(good)
    assert [kind.fits(value) for value in bad] == [False] * len(bad)


def test_the_errors_can_be_caught_as_what_they_are() -> None:
    """A configuration error is streamspan's own and a `ValueError`."""
    assert ConfigError.__mro__[1:3] == (StreamspanError, ValueError)


MATCHES: list[tuple[HostPattern, str, int | None, str, bool]] = [
    (HostPattern("api.acme.com"), "api.acme.com", 443, "/v1", True),
    (HostPattern("api.acme.com"), "api.acme.com", None, "", True),
    (HostPattern("api.acme.com"), "acme.com", 443, "/v1", False),
    (HostPattern("acme.com"), "api.acme.com", 443, "/v1", False),
    (HostPattern("api.acme.com:8443"), "api.acme.com", 8443, "/v1", True),
    (HostPattern("api.acme.com:8443"), "api.acme.com", 443, "/v1", False),
    (HostPattern("api.acme.com:8443"), "api.acme.com", None, "/v1", False),
    (HostPattern("*.acme.com"), "api.acme.com", 443, "/v1", True),
    (HostPattern("*.acme.com"), "eu.api.acme.com", 443, "/v1", True),
    (HostPattern("*.acme.com"), "acme.com", 443, "/v1", False),
    (HostPattern("*.acme.com"), "evilacme.com", 443, "/v1", False),
    (HostPattern("*.acme.com:80"), "api.acme.com", 443, "/v1", False),
    (HostPattern("acme.com", "/v1"), "acme.com", 443, "/v1/chat", True),
    (HostPattern("acme.com", "/v1"), "acme.com", 443, "/v2/chat", False),
    (HostPattern("acme.com", "/v1"), "acme.com", 443, "", False),
    (HostPattern("acme.com", "/v1"), "acme.com", 443, "/v1beta", False),
    (HostPattern("acme.com", "/v1/"), "acme.com", 443, "/v1", True),
    (HostPattern("acme.com", "/"), "acme.com", 443, "", True),
    (HostPattern("ACME.com"), "acme.com", 443, "/v1", True),
    (HostPattern("[::1]:80", "/v1"), "::1", 80, "/v1", True),
    (HostPattern("[::1]"), "::1", 8080, "", True),
    (HostPattern("[::1]:80"), "::1", 8080, "", False),
]


@pytest.mark.parametrize(("pattern", "host", "port", "path", "is_meant"), MATCHES)
def test_a_pattern_means_its_host_its_port_and_what_is_below_its_path(
    pattern: HostPattern, host: str, port: int | None, path: str, is_meant: bool
) -> None:
    """A host without port means every port; `*.` means any subdomain and not the domain itself."""
    assert pattern.matches(host, port, path) is is_meant
