"""What must not leave the process: patterns of secrets and personal data, and the caller's own redaction.

Knows shapes of text, runs on assembled text (a secret that was streamed in pieces is one here), and knows nothing of
where the text goes. When in doubt it redacts secrets (`api_key`, `bearer`) and leaves numbers alone (`card`, `phone`).

Every expression takes time linear in the text, whatever the text is: Python's engine backtracks, so an unbounded run
of characters is only tried where the run begins (a look-behind says so), and all else has a bounded length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

from streamspan._guard import Guard

FAILED = "[redaction failed]"
"""What stands for a text whose redaction failed."""

_MOST_DEPTH = 64

_Rule: TypeAlias = Callable[[str], str]

# --- secrets -----------------------------------------------------------------------------------------------------

# How keys begin, and what follows. A text without any of the beginnings is not looked at further.
_KEYS = {
    "sk-": "[A-Za-z0-9_-]{10,}",  # OpenAI (sk-proj-), Anthropic (sk-ant-), OpenRouter (sk-or-)
    "AIza": "[A-Za-z0-9_-]{30,}",  # Google
    "AKIA": "[A-Z0-9]{16}",  # AWS
    "ASIA": "[A-Z0-9]{16}",
    "ghp_": "[A-Za-z0-9]{20,}",  # GitHub
    "gho_": "[A-Za-z0-9]{20,}",
    "ghu_": "[A-Za-z0-9]{20,}",
    "ghs_": "[A-Za-z0-9]{20,}",
    "ghr_": "[A-Za-z0-9]{20,}",
    "github_pat_": "[A-Za-z0-9_]{20,}",
    "xox": "[a-z]-[A-Za-z0-9-]{10,}",  # Slack
    "xapp-": "[A-Za-z0-9-]{10,}",
    "hf_": "[A-Za-z0-9]{20,}",  # Hugging Face
    "gsk_": "[A-Za-z0-9]{20,}",  # Groq
    "xai-": "[A-Za-z0-9_-]{20,}",
    "pplx-": "[A-Za-z0-9_-]{20,}",  # Perplexity
    "nvapi-": "[A-Za-z0-9_-]{20,}",  # NVIDIA
    "sk_live_": "[A-Za-z0-9]{10,}",  # Stripe
    "sk_test_": "[A-Za-z0-9]{10,}",
    "rk_live_": "[A-Za-z0-9]{10,}",
}
_API_KEY = re.compile("(?<![A-Za-z0-9])(?:" + "|".join(begin + rest for begin, rest in _KEYS.items()) + ")")

# A name that says that a secret follows, then `:` or `=`; the quotes are those of JSON, and of JSON within JSON.
_NAMES = "(?:api|access|secret|private|auth|client|subscription)[ _-]?(?:api[ _-]?)?(?:key|token|secret)|password"
_NAME_HINTS = ("key", "token", "secret", "password")
_NAMED_KEY = re.compile(
    rf"""((?<![A-Za-z])(?:{_NAMES})["'\\]{{0,4}}[ \t]{{0,8}}[:=][ \t]{{0,8}}["'\\]{{0,4}}|[?&]key=)"""
    r"""(?!\[redacted:)([^\s"'\\,;&(){}<>]{6,})""",
    re.IGNORECASE,
)
_SHORTEST_WORDLIKE_KEY = 16
_URL_PASSWORD = re.compile(r"(://[^\s/:@?#]{0,256}:)[^\s/@?#]{1,256}(?=@)")

_AUTHORIZATION = re.compile(
    r"""(authorization(?:["'\\]{0,4}[ \t]{0,8}[:=][ \t]{0,8}b?["'\\]{0,4}|["'],[ ]?b?["']))"""
    r"""(?:(?:digest|aws4-hmac-sha256|oauth|hawk)[ ][^\r\n]{1,1024}"""
    r"""|(?:(?:basic|bearer|token|apikey|negotiate)[ ]{1,8})?[^\s"'\\,;)}]{6,})""",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(\bbearer[ \t]{1,8})[A-Za-z0-9_~+/.=-]{8,}", re.IGNORECASE)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*)?")

# Keys of a dict whose value is a secret as a whole, by pattern.
_SECRET_ENTRIES = {
    "api_key": re.compile(rf"(?:x[_-])?(?:{_NAMES})", re.IGNORECASE),
    "bearer": re.compile("(?:proxy-)?authorization", re.IGNORECASE),
}


def _api_key(text: str) -> str:
    if any(begin in text for begin in _KEYS):
        text = _API_KEY.sub("[redacted:api_key]", text)
    lowered = text.lower()
    if any(hint in lowered for hint in _NAME_HINTS):
        text = _NAMED_KEY.sub(_hide_value, text)
    return _URL_PASSWORD.sub(r"\1[redacted:api_key]", text) if "://" in text else text


def _hide_value(match: re.Match[str]) -> str:
    name, value = match.groups()
    # "API key: required" is prose: a word of letters is no key unless it is long.
    is_word = value.rstrip(".:!?").isalpha() and len(value) < _SHORTEST_WORDLIKE_KEY
    return match[0] if is_word and "password" not in name.lower() else f"{name}[redacted:api_key]"


def _bearer(text: str) -> str:
    lowered = text.lower()
    if "authorization" in lowered:
        text = _AUTHORIZATION.sub(r"\1[redacted:bearer]", text)
    if "bearer" in lowered:
        text = _BEARER.sub(r"\1[redacted:bearer]", text)
    return _JWT.sub("[redacted:bearer]", text) if "eyJ" in text else text


# What HTTP libraries say of a header that they refuse, such as a key that was read from a file with its newline: the
# value, whole (h11, http.client, requests).
_REFUSED_HEADER = re.compile(
    r"""(header (?:value|part)[ :(]{0,4}b?)(?:'[^'\r\n]{1,4096}'|"[^"\r\n]{1,4096}")""", re.IGNORECASE
)
# The parameters of a URL in an error's text: a signature or a token has any name. These say what was asked for.
_QUERY = re.compile(r"""([?&](?!(?:alt|api-version|beta|model|stream)=)[\w.~%$-]{1,64}=)[^\s&#'"<>()\[\]{}]+""")


def scrub_secrets(text: str) -> str:
    """Return the text without keys and tokens: always on, for error messages and stack traces."""
    text = _api_key(_bearer(text))
    if "header" in text:
        text = _REFUSED_HEADER.sub(r"\1'[redacted:api_key]'", text)
    return _QUERY.sub(r"\1[redacted:api_key]", text) if "=" in text and "?" in text else text


# --- personal data -----------------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]+@[A-Za-z0-9\u00a1-\uffff-]+(?:\.[A-Za-z0-9\u00a1-\uffff-]+)+")

# A text without this has neither cards nor phone numbers; it begins with a set, which the engine searches quickly.
_NUMBER = re.compile(r"[0-9][0-9 ()./-]{7}")

# A run of digits, blanks and dashes; `_hide_cards` looks for card numbers in it. Decimals are none.
_DIGITS = re.compile(r"(?<![0-9])(?<![0-9]\.)[0-9][0-9 -]{11,}[0-9](?![0-9]|\.[0-9])")
_GROUP = re.compile("[0-9]+")
_CARD_LENGTHS = range(13, 20)
_CARD_INTS = range(10**12, 10**19)
_FIRST_GROUP = 4
_CARD_GROUPS = range(3, 8)
_MOST_GROUPS = 5
_DOUBLED = str.maketrans("0123456789", "0246813579")  # the sum of the digits of twice the digit

_INTERNATIONAL = re.compile(r"(?<![\w+.])(?:\+|00(?=[1-9][0-9]{0,2}[ -]))[1-9][0-9 ().-]{5,22}[0-9](?![0-9])")
_JUMBLED = re.compile(r"[.-][ .-]| [.-]|  ")
_NATIONAL = re.compile(
    r"""
    (?<![\w.+/-])(?:
        (?:1[ .-])?(?:\([2-9][0-9]{2}\)[ ]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}    # North America
      | 0[1-9](?:[ .][0-9]{2}){4}                                                            # 06 12 34 56 78
      | 0[1-9][0-9]{0,3}(?P<gap>[ -])[0-9]{3,4}(?P=gap)[0-9]{3,5}                            # 020 7946 0958
      | (?:\(0[1-9][0-9]{1,3}\)|0[1-9][0-9]{1,3})[ /-][0-9]{5,8}                             # 030 1234567
    )(?![\w-]|\.[0-9])
    """,
    re.VERBOSE,
)
_PHONE_DIGITS = range(8, 16)


def _email(text: str) -> str:
    return _EMAIL.sub("[redacted:email]", text) if "@" in text else text


def _card(text: str) -> str:
    return _DIGITS.sub(_hide_cards, text) if _NUMBER.search(text) else text


def _hide_cards(match: re.Match[str]) -> str:
    """Replace the card numbers in a run of groups of digits; other numbers may stand beside them."""
    run = match[0]
    groups = [group.span() for group in _GROUP.finditer(run)]
    pieces: list[str] = []
    done = at = 0
    while at < len(groups):
        count = _card_groups(run, groups, at)
        if count:
            pieces += (run[done : groups[at][0]], "[redacted:card]")
            done = groups[at + count - 1][1]
        at += count or 1
    return "".join((*pieces, run[done:]))


def _card_groups(run: str, groups: list[tuple[int, int]], at: int) -> int:
    """Return how many of the groups, from this one on, are a card number (most first); 0 if none are."""
    begin, end = groups[at]
    if end - begin != _FIRST_GROUP:
        return int(_is_card(run[begin:end]))
    number = run[begin:end]
    found = 0
    for count, (start, stop) in enumerate(groups[at + 1 : at + _MOST_GROUPS], 2):
        if start != end + 1 or stop - start not in _CARD_GROUPS:
            break
        end = stop
        number += run[start:stop]
        if _is_card(number):
            found = count
    return found


def _is_card(number: str) -> bool:
    # Cards begin with 2 to 6. A time since 1970 in milliseconds or nanoseconds has their length and begins with 1.
    if len(number) not in _CARD_LENGTHS or not "2" <= number[0] <= "6":
        return False
    return sum(map(int, number[-1::-2] + number[-2::-2].translate(_DOUBLED))) % 10 == 0


def _phone(text: str) -> str:
    if not _NUMBER.search(text):
        return text
    return _NATIONAL.sub("[redacted:phone]", _INTERNATIONAL.sub(_hide_phone, text))


def _hide_phone(match: re.Match[str]) -> str:
    number = match[0]
    is_phone = sum(c.isdigit() for c in number) in _PHONE_DIGITS
    # "+12.5 - 13.75" is arithmetic: between the digits of a phone number stands one separator, or a bracket.
    is_jumbled = _JUMBLED.search(number.replace(" (", "(").replace(") ", ")").replace(")-", ")"))
    return "[redacted:phone]" if is_phone and not is_jumbled else number


# --- the redactor ------------------------------------------------------------------------------------------------

# Secrets first: a token may contain what looks like an address or a number. The order is that of the table.
_RULES: Mapping[str, _Rule] = {
    "bearer": _bearer,
    "api_key": _api_key,
    "email": _email,
    "card": _card,
    "phone": _phone,
}


class Redactor:
    """Replaces what the chosen patterns and the caller's own function find by `[redacted:<pattern>]`.

    Args:
        patterns: names of built-in patterns, as in `Config.redactions`.
        custom: the caller's function; it gets the text after the patterns. A text that it fails on is not let out.
    """

    __slots__ = ("_custom", "_guard", "_patterns", "_rules")

    def __init__(self, patterns: Sequence[str], custom: Callable[[str], str] | None = None) -> None:
        self._patterns = frozenset(patterns)
        self._rules = [rule for name, rule in _RULES.items() if name in self._patterns]
        self._custom = custom
        self._guard = Guard("redact")

    def __call__(self, text: str) -> str:
        """Return the text without what must not leave."""
        for rule in self._rules:
            text = rule(text)
        return text if self._custom is None else self._customised(self._custom, text)

    def _customised(self, custom: Callable[[str], str], text: str) -> str:
        result: object = None if self._guard.is_off else self._guard.call(custom, text)
        return result if isinstance(result, str) else FAILED

    def apply(self, value: object) -> Any:
        """Return a copy of nested lists and dicts with their texts redacted, keys excepted.

        A text under a key such as `api_key` goes as a whole. What is neither data nor text becomes redacted text.
        """
        return self._walk(value, _MOST_DEPTH)

    def _walk(self, value: object, depth: int) -> object:
        if isinstance(value, Mapping | list | tuple):
            return self._inside(cast("object", value), depth - 1) if depth else FAILED
        if isinstance(value, str):
            return self(value)
        if value is None or isinstance(value, bool | int | float):
            return self._number(value) if type(value) is int and value in _CARD_INTS else value
        text = self._guard.call(str, value)
        return FAILED if text is None else self(text)

    def _inside(self, value: object, depth: int) -> object:
        if isinstance(value, Mapping):
            items = cast("Mapping[object, object]", value).items()
            return {key: self._secret(key, item) or self._walk(item, depth) for key, item in items}
        return [self._walk(item, depth) for item in cast("Sequence[object]", value)]

    def _secret(self, key: object, value: object) -> str:
        """Return what stands for a text that its key makes a secret; empty if it is none."""
        if isinstance(key, str) and isinstance(value, str):
            for name, names in _SECRET_ENTRIES.items():
                if name in self._patterns and names.fullmatch(key):
                    return f"[redacted:{name}]"
        return ""

    def _number(self, value: int) -> object:
        text = str(value)
        redacted = self(text)
        return value if redacted == text else redacted
