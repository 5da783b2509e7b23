"""Secrets and personal data are replaced, ordinary text and numbers are not, and no text takes more than linear time."""

from __future__ import annotations

import datetime as dt
import logging
from typing import NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._config import REDACTIONS
from streamspan._redaction import FAILED, Redactor, scrub_secrets

unhurried = settings(deadline=None, max_examples=150)
everything = Redactor(REDACTIONS)

# Assembled here so that no scanner takes this file for a leak; none of them was ever a key.
FILLER = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE3fG5hJ7k"
KEYS = [
    "sk-" + FILLER,
    "sk-proj-" + FILLER + "_-" + FILLER,
    "sk-ant-api03-" + FILLER + "-AA",
    "AIza" + "SyA1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q",
    "AKIA" + "ABCDEFGH12345678",
    "ghp_" + FILLER[:36],
    "github_pat_" + FILLER + "_" + FILLER,
    "xoxb-" + "123456789012-abcdefABCDEF",
    "gsk_" + FILLER,
    "hf_" + FILLER[:34],
]


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "around", ["{}", "my key is {}, keep it", '{{"k":"{}"}}', "({})", "https://x.test/?a={}&b=1", "é{}\n"]
)
def test_keys_of_vendors_are_redacted_wherever_they_stand(key: str, around: str) -> None:
    """The whole key goes, and nothing around it."""
    assert everything(around.format(key)) == around.format("[redacted:api_key]")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("api_key=abc123def", "api_key=[redacted:api_key]"),
        ("API-Key: abc123def next", "API-Key: [redacted:api_key] next"),
        ("x-api-key : 'abc123def'", "x-api-key : '[redacted:api_key]'"),
        ('{"apiKey": "abc123def", "n": 1}', '{"apiKey": "[redacted:api_key]", "n": 1}'),
        ('{\\"api_key\\":\\"abc123def\\"}', '{\\"api_key\\":\\"[redacted:api_key]\\"}'),
        ("?key=abc123def&alt=sse", "?key=[redacted:api_key]&alt=sse"),
        ("client_secret=abcdefghijklmnopqrst", "client_secret=[redacted:api_key]"),
        ("access_token=abc123def", "access_token=[redacted:api_key]"),
        ("password: hunter!", "password: [redacted:api_key]"),
        ("http://user:pass1@proxy:80/", "http://user:[redacted:api_key]@proxy:80/"),
        ("redis://:pass1@host", "redis://:[redacted:api_key]@host"),
    ],
)
def test_a_named_value_is_redacted_and_its_name_stays(text: str, redacted: str) -> None:
    """What is called a key is one, whatever it looks like."""
    assert scrub_secrets(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Bearer abcdef.ghijk-123", "Bearer [redacted:bearer]"),
        ("Authorization: Bearer " + KEYS[0], "Authorization: [redacted:bearer]"),
        ("authorization: Basic dXNlcjpwYXNz\r\nhost: x", "authorization: [redacted:bearer]\r\nhost: x"),
        ("{'Authorization': 'Bearer abc123def456'}", "{'Authorization': '[redacted:bearer]'}"),
        ("(b'Authorization', b'Bearer abc123def456')", "(b'Authorization', b'[redacted:bearer]')"),
        ('Authorization: Digest username="me", nonce="x1"\nx', "Authorization: [redacted:bearer]\nx"),
        ("authorization=AWS4-HMAC-SHA256 Credential=A/b, Signature=c\nx", "authorization=[redacted:bearer]\nx"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl.", "token [redacted:bearer]."),
    ],
)
def test_tokens_of_requests_are_redacted(text: str, redacted: str) -> None:
    """Headers in every notation, bearer tokens and signed tokens by themselves."""
    assert scrub_secrets(text) == redacted


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Illegal header value b'my words\\n'", "Illegal header value b'[redacted:api_key]'"),
        ("or return character(s) in header value: 'words\\n'", "or return character(s) in header value: '[redacted:api_key]'"),
        ("exceeded with url: /v1/chat?token=abc&alt=sse (", "exceeded with url: /v1/chat?token=[redacted:api_key]&alt=sse ("),
        ("url='https://h.test/p?sv=2024&sig=a%2Fb%3D'", "url='https://h.test/p?sv=[redacted:api_key]&sig=[redacted:api_key]'"),
        ("/p?api-version=2024-01-01&code=word", "/p?api-version=2024-01-01&code=[redacted:api_key]"),
    ],
)  # fmt: skip
def test_refused_headers_and_queries_in_errors_are_redacted(text: str, redacted: str) -> None:
    """Whatever the header or the parameter is called, for a signature has any name; content keeps its links."""
    assert scrub_secrets(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "what now? a=b",
        "task-oriented risk-assessment-framework disk-usage-report",
        "An API key: required. The secret: none",
        "the bearer of bad news",
        "Authorization, as such, is hard",
        "max_tokens: 4096, access to keys: two",
        "https://example.test/path:80/a@b",
        "sk-short",
    ],
)
def test_prose_about_keys_is_no_key(text: str) -> None:
    """Talking about secrets gives none away."""
    assert scrub_secrets(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111-1111-1111",
        "378282246310005",
        "3782 822463 10005",
        "30569309025904",
        "6011000990139424",
        "4222222222222",
    ],
)
@pytest.mark.parametrize("around", ["{}", "card {} exp 12/29", "no {}.", '"{}"', "12 {} 123", "2024 {}", "1-{}-7"])
def test_card_numbers_are_redacted_among_other_numbers(number: str, around: str) -> None:
    """A valid number goes in each of its notations, and the numbers beside it stay."""
    assert Redactor(("card",))(around.format(number)) == around.format("[redacted:card]")


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # checksum
        "94111111111111111199999",  # part of a longer number
        "0.4111111111111111 and 12.4111111111111111",  # decimals
        "1700000000006",  # milliseconds that pass the checksum
        "12345678-1234-4123-8123-123456789012",
        "411 1111 1111 1111 1",
        "2024-01-02 03-04-05 06-07-08",
    ],
)
def test_other_numbers_are_no_cards(text: str) -> None:
    """Checksum, length, first digit and grouping all have to fit."""
    assert Redactor(("card",))(text) == text


@given(st.integers(min_value=2, max_value=6), st.text(alphabet="0123456789", min_size=11, max_size=17))
@unhurried
def test_every_number_with_a_right_checksum_is_redacted(first: int, middle: str) -> None:
    """Exactly one of the ten last digits makes a card number."""
    numbers = [f"{first}{middle}{last}" for last in range(10)]
    assert [Redactor(("card",))(number) for number in numbers].count("[redacted:card]") == 1


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Write to jane.doe+x@mail.example.co.uk.", "Write to [redacted:email]."),
        ("<a_b%c@ex-ample.com>", "<[redacted:email]>"),
        ("mailto:a@b.de, c@d.org", "mailto:[redacted:email], [redacted:email]"),
        ("jörg@müller.de", "[redacted:email]"),
    ],
)
def test_addresses_are_redacted(text: str, redacted: str) -> None:
    """The address goes and the punctuation stays."""
    assert everything(text) == redacted


@pytest.mark.parametrize("text", ["@decorator", "a @ b.c", "user@host", "5@3.", "pip install a@b"])
def test_other_uses_of_the_at_sign_stay(text: str) -> None:
    """Without a domain it is no address."""
    assert everything(text) == text


@pytest.mark.parametrize(
    "number",
    [
        "+49 30 12345678",
        "+1 (415) 555-2671",
        "+1-415-555-2671",
        "+14155552671",
        "+44 20 7946 0958",
        "+33 6 12 34 56 78",
        "+49 (0)30 123456",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "1-415-555-2671",
        "06 12 34 56 78",
        "020 7946 0958",
        "03-1234-5678",
        "030 1234567",
        "(030) 1234567",
        "0171/1234567",
        "0049 30 1234567",
    ],
)
@pytest.mark.parametrize("around", ["{}", "call {} now", "({})", "tel:{}.", '"{}"'])
def test_phone_numbers_are_redacted(number: str, around: str) -> None:
    """International and common national forms go as a whole."""
    assert everything(around.format(number)) == around.format("[redacted:phone]")


@pytest.mark.parametrize(
    "text",
    [
        "4155552671",
        "2024-01-02",
        "01-02-2024 10:30",
        "2024-01-02T10:00:00+10:30",
        "192.168.100.200",
        "10.0.0.1:8080",
        "v1.22.333",
        "1.0.0+20130313144700",
        "+1",
        "+100 points",
        "+12.5 - 13.75 + 1000",
        "1 234 567,89",
        "3.14159265358979",
        "550e8400-e29b-41d4-a716-446655440000",
        "1700000000",
        "id 12345678901",
        "05/2024 12345",
        "a+12345678901b",
        "0.1 0.2 0.3",
        "100-200-3000",
        "8080-9090",
        "00 11 22 33 44",
    ],
)
def test_other_numbers_are_no_phone_numbers(text: str) -> None:
    """Dates, times, versions, addresses, ids and sums stay."""
    assert everything(text) == text


@given(st.text(alphabet="0123456789+-.() /@:aksAIb_=\n", max_size=60))
@unhurried
def test_nothing_is_lost_but_what_is_replaced(text: str) -> None:
    """What is left of a text after redaction are pieces of it, in their order."""
    rest = text
    redacted = everything(text)
    for name in REDACTIONS:
        redacted = redacted.replace(f"[redacted:{name}]", "\0")
    for piece in redacted.split("\0"):
        _, found, rest = rest.partition(piece) if piece else ("", "yes", rest)
        assert found


@given(st.text(max_size=40), st.sampled_from(KEYS), st.text(max_size=40))
@unhurried
def test_no_key_gets_through_in_any_text(before: str, key: str, after: str) -> None:
    """Whatever stands around it, unless it makes the key part of a longer word."""
    if not (before[-1:].isascii() and before[-1:].isalnum()):
        assert key not in everything(before + key + after)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "1",
        "@",
        "-",
        " ",
        "a@",
        "a.",
        "@a.",
        "a@a.",
        "1 ",
        "4111 ",
        "+1",
        "+1 (",
        "0",
        "01 ",
        "(0",
        "sk-",
        "eyJ",
        "eyJaaaaaaaaa.",
        "api_key=",
        "api_key: ",
        "password ",
        "Authorization: ",
        "authorization:digest ",
        "bearer ",
        "://a:",
        "?key=",
        "\\",
        '"',
    ],
)
def test_hostile_texts_take_linear_time(unit: str) -> None:
    """A quadratic expression would need many minutes for so many characters, and the suite's time limit ends it."""
    text = unit * (250_000 // len(unit))
    assert len(everything(text)) <= len(text) * 8


def test_only_the_chosen_patterns_are_used() -> None:
    """Each name stands for its pattern alone, and every name of the configuration has one."""
    samples = {
        "api_key": KEYS[0],
        "bearer": "Bearer abcdefgh12",
        "card": "4111111111111111",
        "email": "a@b.de",
        "phone": "+4930123456",
    }
    assert set(samples) == set(REDACTIONS)
    for name in REDACTIONS:
        redactor = Redactor((name,))
        assert [other for other, text in samples.items() if redactor(text) != text] == [name]
    assert [Redactor(())(text) for text in samples.values()] == list(samples.values())


# --- nested data -------------------------------------------------------------------------------------------------


def test_values_of_nested_data_are_redacted_and_keys_stay() -> None:
    """Texts at any depth; numbers and names stay, and the data given are not changed."""
    data = {
        "a@b.de": [{"role": "user", "parts": ({"content": "I am a@b.de"}, None, True, 1.5, 7)}],
        "n": 4111111111111111,
        "at": 1700000000006,
    }
    before = repr(data)
    assert everything.apply(data) == {
        "a@b.de": [{"role": "user", "parts": [{"content": "I am [redacted:email]"}, None, True, 1.5, 7]}],
        "n": "[redacted:card]",
        "at": 1700000000006,
    }
    assert repr(data) == before


def test_a_key_that_names_a_secret_hides_its_value() -> None:
    """Arguments of a tool are data: the name of the secret is the key."""
    data = {
        "api_key": "x",
        "X-Api-Key": "y",
        "client_secret": "z",
        "Authorization": "w",
        "key": "k",
        "password": {"type": "string"},
    }
    assert everything.apply(data) == {
        "api_key": "[redacted:api_key]",
        "X-Api-Key": "[redacted:api_key]",
        "client_secret": "[redacted:api_key]",
        "Authorization": "[redacted:bearer]",
        "key": "k",
        "password": {"type": "string"},
    }
    assert Redactor(("email",)).apply({"api_key": "x"}) == {"api_key": "x"}


def test_other_objects_become_redacted_text() -> None:
    """An exporter would make text of them later, when nobody redacts any more."""
    assert everything.apply([b"a@b.de", dt.date(2024, 1, 2)]) == ["b'[redacted:email]'", "2024-01-02"]


def test_data_without_an_end_are_not_let_out() -> None:
    """A list within itself is followed to a depth."""
    cycle: list[object] = ["a@b.de"]
    cycle.append(cycle)
    text = repr(everything.apply(cycle))
    assert FAILED in text
    assert "a@b.de" not in text


# --- the caller's own function -----------------------------------------------------------------------------------


def test_the_callers_function_gets_the_text_after_the_patterns() -> None:
    """It adds to the built-in patterns."""
    seen: list[str] = []

    def custom(text: str) -> str:
        seen.append(text)
        return text.replace("Rumpelstiltskin", "***")

    assert Redactor(("email",), custom)("Rumpelstiltskin, a@b.de") == "***, [redacted:email]"
    assert seen == ["Rumpelstiltskin, [redacted:email]"]


@pytest.mark.parametrize("result", [None, 1, b"text"])
def test_a_result_that_is_no_text_is_not_let_out(result: object) -> None:
    """Whatever else the function returns, it is not the text."""
    assert Redactor((), lambda _: result)("secret") == FAILED  # type: ignore[arg-type, return-value] # a caller's mistake


def test_a_failing_function_lets_nothing_out(caplog: pytest.LogCaptureFixture) -> None:
    """Not the first time, and not after it was switched off; it is logged once and the text is not in the log."""

    def custom(text: str) -> NoReturn:
        raise RuntimeError("broken")

    redactor = Redactor((), custom)
    with caplog.at_level(logging.WARNING, logger="streamspan"):
        assert {redactor("my secret") for _ in range(50)} == {FAILED}
        assert redactor.apply({"a": ["my secret"]}) == {"a": [FAILED]}
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "my secret" not in caplog.text


def test_an_object_that_cannot_be_shown_is_not_let_out() -> None:
    """Its text is unknown."""

    class Awkward:
        def __str__(self) -> NoReturn:
            raise RuntimeError("no")

    assert everything.apply([Awkward()]) == [FAILED]
