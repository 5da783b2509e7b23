"""The values of options: what their text may say, and which requests a host pattern means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamspan._options import (
    REDACTIONS,
    ConfigError,
    HostPattern,
    StreamspanError,
    one_of,
    parse_bool,
    parse_chunk_events,
    parse_hosts,
    parse_names,
    parse_redactions,
    parse_seconds,
    parse_size,
)

PARSERS: tuple[Callable[[str], Any], ...] = (
    parse_bool,
    parse_names,
    parse_hosts,
    parse_chunk_events,
    parse_seconds,
    parse_size,
    parse_redactions,
    one_of("span", "log"),
)

GOOD: list[tuple[Callable[[str], Any], str, Any]] = [
    *((parse_bool, text, True) for text in ("true", "1", "yes", "on", " TRUE ", "On\n")),
    *((parse_bool, text, False) for text in ("false", "0", "no", "off", "\tFalse", "OFF")),
    (parse_names, "openai", ("openai",)),
    (parse_names, " openai , httpx,,", ("openai", "httpx")),
    (parse_chunk_events, "merged", 32),
    (parse_chunk_events, " Merged ", 32),
    (parse_chunk_events, "off", 0),
    (parse_chunk_events, "0", 0),
    (parse_chunk_events, "128", 128),
    (parse_seconds, "5", 5.0),
    (parse_seconds, " 0.25 ", 0.25),
    (parse_seconds, "1e-3", 0.001),
    (parse_size, "0", 0),
    (parse_size, " 1024 ", 1024),
    (parse_redactions, "all", REDACTIONS),
    (parse_redactions, " ALL ", REDACTIONS),
    (parse_redactions, "off", ()),
    (parse_redactions, "None", ()),
    (parse_redactions, "Email, phone", ("email", "phone")),
    (one_of("span", "log"), " LOG ", "log"),
    (one_of("NO_CONTENT", "SPAN_ONLY", upper=True), "span_only", "SPAN_ONLY"),
    (parse_hosts, "api.acme.com", (HostPattern("api.acme.com"),)),
    (parse_hosts, "API.Acme.com:8443", (HostPattern("api.acme.com:8443"),)),
    (parse_hosts, "llm.lan/V1/chat=acme", (HostPattern("llm.lan", "/V1/chat", "acme"),)),
    (parse_hosts, "a.lan=x, *.b.lan", (HostPattern("a.lan", "", "x"), HostPattern("*.b.lan"))),
    (parse_hosts, "a.lan=", (HostPattern("a.lan"),)),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_text_becomes_a_value(parse: Callable[[str], Any], text: str, value: Any) -> None:
    """Case and space around a value do not matter; a path keeps its case."""
    assert parse(text) == value


BAD: list[tuple[Callable[[str], Any], str, str]] = [
    *((parse_bool, text, "'true' or 'false'") for text in ("", "maybe", "2", "truee")),
    *(
        (parse_chunk_events, text, "'merged', 'off' or a number of events per span")
        for text in ("", "-1", "1.5", "many", "²", "1" * 5000)
    ),
    *((parse_seconds, text, "a number of seconds above 0") for text in ("", "0", "-1", "nan", "inf", "-inf", "5s")),
    *((parse_size, text, "a number of bytes, 0 or more") for text in ("", "-1", "64k", "1.0", "²", "1" * 5000)),
    *(
        (parse_redactions, text, "'all', 'off' or a comma list of api_key, bearer, card, email, phone")
        for text in ("emails", "email,passwords", "true", ",", " , ")
    ),
    (one_of("span", "log"), "both", "one of span, log"),
    (one_of("span", "log"), "", "one of span, log"),
    *(
        (parse_hosts, text, "a comma list of host, host:port or host/path, each with =provider or without")
        for text in ("https://api.acme.com", "/v1/chat", "=acme", "a b", "good.lan,https://bad.lan", "a.lan:port")
    ),
]


@pytest.mark.parametrize(("parse", "text", "words"), BAD, ids=lambda value: repr(value)[:24])
def test_what_is_not_understood_says_what_is_allowed(parse: Callable[[str], Any], text: str, words: str) -> None:
    """The error has the words for what is allowed, and nothing else: the caller knows the option's name."""
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert str(raised.value) == words


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text() | st.text(alphabet="0123456789.eE+-_²٣,=:/* ", max_size=40))
def test_no_text_is_anything_but_a_value_or_a_config_error(parse: Callable[[str], Any], text: str) -> None:
    """Whatever the environment holds, a parser answers or raises `ConfigError`."""
    try:
        parse(text)
    except ConfigError:
        return


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
]


@pytest.mark.parametrize(("pattern", "host", "port", "path", "is_meant"), MATCHES)
def test_a_pattern_means_its_host_its_port_and_what_is_below_its_path(
    pattern: HostPattern, host: str, port: int | None, path: str, is_meant: bool
) -> None:
    """A host without port means every port; `*.` means any subdomain and not the domain itself."""
    assert pattern.matches(host, port, path) is is_meant
