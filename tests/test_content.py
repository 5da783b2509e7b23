"""Captured content has the conventions' shape, keeps within its limits, and says where it was cut."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any, NoReturn

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamspan._answer import OutputSink
from streamspan._content import TRUNCATED, OutputAssembler, bounded, encodable, parsed_arguments, plain, to_json
from streamspan._records import ToolCallDelta

unhurried = settings(deadline=None, max_examples=150)

MARK = len(TRUNCATED.encode())


def parts_of(output: OutputAssembler) -> list[dict[str, Any]]:
    """Return the parts of the only choice."""
    (message,) = output.messages(("stop",))
    parts: Any = message["parts"]
    return list(parts)


# --- the output --------------------------------------------------------------------------------------------------


def test_pieces_are_joined_in_the_order_in_which_they_came() -> None:
    """Neighbouring pieces of one kind are one part; a tool call is one part however its pieces are interleaved."""
    output = OutputAssembler(1000)
    sink: OutputSink = output
    sink.reasoning(0, "Let me ")
    sink.reasoning(0, "look.")
    sink.text(0, "I ")
    sink.text(0, "ask:")
    sink.tool_call(0, 0, ToolCallDelta(0, "call_1", "weather", '{"city": '))
    sink.tool_call(0, 1, ToolCallDelta(1, "call_2", "time"))
    sink.tool_call(0, 0, ToolCallDelta(0, "", "", '"Paris"}'))
    sink.tool_call(0, 1, ToolCallDelta(1, "call_2", "time", '{"zone": '))
    sink.text(0, "Done.")
    assert output.messages(("tool_calls",)) == [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Let me look."},
                {"type": "text", "content": "I ask:"},
                {"type": "tool_call", "id": "call_1", "name": "weather", "arguments": {"city": "Paris"}},
                {"type": "tool_call", "id": "call_2", "name": "time", "arguments": '{"zone": '},
                {"type": "text", "content": "Done."},
            ],
            "finish_reason": "tool_calls",
        }
    ]
    assert not output.is_truncated


def test_each_choice_is_a_message_and_a_missing_reason_is_an_error() -> None:
    """Choices come in their order; one that said nothing but ended has no parts."""
    output = OutputAssembler(1000)
    output.text(2, "c")
    output.text(0, "a")
    assert output.messages(("stop", "length")) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "a"}], "finish_reason": "stop"},
        {"role": "assistant", "parts": [], "finish_reason": "length"},
        {"role": "assistant", "parts": [{"type": "text", "content": "c"}], "finish_reason": "error"},
    ]


def test_a_format_without_finish_reasons_gets_none() -> None:
    """Nothing is invented, and without output there is no message."""
    output = OutputAssembler(1000)
    assert output.messages(()) == []
    output.text(0, "a")
    assert output.messages(()) == [{"role": "assistant", "parts": [{"type": "text", "content": "a"}]}]


def test_a_refusal_is_a_text_of_its_own() -> None:
    """The conventions have no part for it, and it is what the user reads."""
    output = OutputAssembler(1000)
    output.text(0, "Well, ")
    output.refusal(0, "I ")
    output.refusal(0, "cannot.")
    assert parts_of(output) == [{"type": "text", "content": "Well, "}, {"type": "text", "content": "I cannot."}]


def test_a_text_that_goes_on_after_another_choice_stays_one_part() -> None:
    """Choices are interleaved in a stream."""
    output = OutputAssembler(1000)
    for choice, text in ((0, "a"), (1, "x"), (0, "b"), (1, "y")):
        output.text(choice, text)
    assert [m["parts"] for m in output.messages(("stop", "stop"))] == [
        [{"type": "text", "content": "ab"}],
        [{"type": "text", "content": "xy"}],
    ]


def test_the_cut_is_marked_and_takes_the_word_with_it() -> None:
    """What stands before the mark are whole words, and what comes later is not held."""
    output = OutputAssembler(20)
    output.text(0, "The key is sk-")
    output.text(0, "abcdefghijklmnop and more")
    output.reasoning(0, "lost")
    output.tool_call(0, 0, ToolCallDelta(0, "id", "lost"))
    assert output.is_truncated
    assert parts_of(output) == [{"type": "text", "content": "The key is " + TRUNCATED}]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Card 4111 1111 1111 1111 is mine", "Card "),
        ("Call +49 (30) 1234-5678 now ok", "Call "),
        ("日本語のテキスト", "日本語のテキス"),
    ],
)
def test_a_cut_number_goes_as_a_whole_and_other_scripts_stay(text: str, left: str) -> None:
    """Half a card number is not recognised any more; text without spaces is not taken for a secret."""
    output = OutputAssembler(22)
    output.text(0, text)
    assert parts_of(output) == [{"type": "text", "content": left + TRUNCATED}]


def test_cut_arguments_stay_text() -> None:
    """Arguments that lost their end are no JSON any more, even if what is left would be."""
    output = OutputAssembler(12)
    output.tool_call(0, 0, ToolCallDelta(0, "c1", "f", '{"a": 1} and much more'))
    assert parts_of(output) == [{"type": "tool_call", "id": "c1", "name": "f", "arguments": '{"a": 1} ' + TRUNCATED}]
    output = OutputAssembler(3)
    output.tool_call(0, 0, ToolCallDelta(0, "c1", "name", "{}"))
    assert parts_of(output) == [{"type": "tool_call", "id": "c1", "name": "n", "arguments": TRUNCATED}]


def test_the_number_of_parts_is_bounded() -> None:
    """A hostile stream of empty tool calls or of single letters cannot fill the memory."""
    for piece in (ToolCallDelta(), ToolCallDelta(0, "i", "n", "a")):
        output = OutputAssembler(10**6)
        for ordinal in range(5000):
            output.tool_call(0, ordinal, piece)
        assert output.is_truncated
        parts = parts_of(output)
        assert len(parts) == 1024
        assert parts[-1]["arguments"] == TRUNCATED


steps = st.lists(
    st.tuples(
        st.sampled_from(["text", "reasoning", "refusal", "tool_call"]),
        st.integers(min_value=0, max_value=2),
        st.text(alphabet='ab 1é😀\ud83d\ude00"\n', max_size=6),
    ),
    max_size=30,
)


def drive(output: OutputAssembler, script: list[tuple[str, int, str]]) -> None:
    """Send the pieces of a script."""
    for kind, choice, text in script:
        if kind == "tool_call":
            output.tool_call(choice, choice, ToolCallDelta(choice, "", "", text))
        else:
            getattr(output, kind)(choice, text)


def contents(output: OutputAssembler) -> list[list[str]]:
    """Return the text of each part by choice, arguments included."""
    messages: Any = output.messages(())
    return [[part.get("content", part.get("arguments")) for part in message["parts"]] for message in messages]


@given(steps, st.integers(min_value=0, max_value=60))
@unhurried
def test_a_limit_cuts_and_changes_nothing_else(script: list[tuple[str, int, str]], max_bytes: int) -> None:
    """Within the limit all is the same; beyond it the text before the mark is a prefix, within the limit."""
    full, small = OutputAssembler(10**6), OutputAssembler(max_bytes)
    drive(full, script)
    drive(small, script)
    total = sum(len(text.encode("utf-8", "surrogatepass")) for _, _, text in script)
    assert small.is_truncated == (total > max_bytes)
    assert not full.is_truncated
    if not small.is_truncated:
        assert contents(small) == contents(full)
        return
    texts = [text for message in contents(small) for text in message]
    assert sum(text.endswith(TRUNCATED) for text in texts) == 1
    # Half a surrogate pair takes 3 bytes on the way in and as a replacement character as well.
    assert sum(len(text.removesuffix(TRUNCATED).encode()) for text in texts) <= max_bytes


@given(st.text(), st.lists(st.integers(min_value=0, max_value=50), max_size=5))
@unhurried
def test_text_comes_back_however_it_was_cut_into_pieces(text: str, at: list[int]) -> None:
    """Joined pieces are the text."""
    output = OutputAssembler(10**6)
    for begin, end in pairwise([0, *sorted(min(n, len(text)) for n in at), len(text)]):
        output.text(0, text[begin:end])
    assert parts_of(output) == [{"type": "text", "content": text}]


def test_halves_of_a_surrogate_pair_are_joined_and_lone_ones_replaced() -> None:
    """JSON escapes may be cut in the middle of a character; OTLP takes only whole ones."""
    output = OutputAssembler(100)
    output.text(0, "a\ud83d")
    output.text(0, "\ude00b\ud83d")
    assert parts_of(output) == [{"type": "text", "content": "a\U0001f600b\ufffd"}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, null]}', {"a": [1, None]}),
        ("{}", {}),
        ("", ""),
        ('{"a": ', '{"a": '),
        ("[1]", "[1]"),
        ("12", "12"),
        ("null", "null"),
        ('{"a": NaN}', '{"a": NaN}'),
        ("[" * 100_000, "[" * 100_000),
    ],
)
def test_only_whole_objects_are_parsed_arguments(text: str, value: object) -> None:
    """Everything else stays the text that the model wrote."""
    assert parsed_arguments(text) == value


# --- limits ------------------------------------------------------------------------------------------------------

json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=25,
)
KEYS = ["gen_ai.input.messages", "gen_ai.system_instructions", "gen_ai.tool.definitions", "other"]


@given(st.dictionaries(st.sampled_from(KEYS), json_data, max_size=4), st.integers(min_value=2, max_value=600))
@unhurried
def test_bounded_content_fits_and_is_valid_json(content: dict[str, object], max_bytes: int) -> None:
    """The JSON is within the limit and can be read; content that fits is left alone."""
    small = bounded(content, max_bytes)
    text = to_json(small)
    assert len(text.encode()) <= max_bytes
    assert isinstance(json.loads(text), dict)
    if len(to_json(content).encode()) <= max_bytes:
        assert small is content
    else:
        assert len(small) < len(content) or TRUNCATED in text or "truncated" in text


def test_long_texts_are_cut_and_short_ones_stay() -> None:
    """The longest text pays; roles, types and short texts are as they were."""
    content: dict[str, Any] = {
        "gen_ai.system_instructions": [{"type": "text", "content": "Be brief."}],
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "word " * 1000}]},
            {"role": "user", "parts": [{"type": "text", "content": "And now?"}]},
        ],
    }
    small: Any = bounded(content, 500)
    assert small["gen_ai.system_instructions"] == content["gen_ai.system_instructions"]
    first, second = small["gen_ai.input.messages"]
    assert second == content["gen_ai.input.messages"][1]
    assert first["role"] == "user"
    cut = first["parts"][0]["content"]
    assert cut.endswith("word " + TRUNCATED)
    assert 450 <= len(to_json(small).encode()) <= 500


def test_the_oldest_messages_go_when_cutting_texts_is_not_enough() -> None:
    """The newest messages stay whole, and a mark in the list says that others are missing."""
    messages = [{"role": "user", "parts": [{"type": "text", "content": f"message {n}"}]} for n in range(1000)]
    small: Any = bounded({"gen_ai.input.messages": messages}, 2000)
    kept = small["gen_ai.input.messages"]
    assert kept[0] == {"role": "truncated", "parts": []}
    assert kept[1:] == messages[-len(kept) + 1 :]
    assert 10 < len(kept) < 30


@pytest.mark.parametrize(
    ("key", "mark"),
    [
        ("gen_ai.system_instructions", {"type": "text", "content": TRUNCATED}),
        ("gen_ai.tool.definitions", {"type": "truncated", "name": ""}),
    ],
)
def test_every_list_has_a_mark_that_is_valid_in_it(key: str, mark: dict[str, str]) -> None:
    """An item too large for any room is replaced by the mark alone."""
    assert bounded({key: [{"n" * 500: 1}]}, 100) == {key: [mark]}


def test_with_room_for_nothing_nothing_is_left() -> None:
    """The smallest result is an empty object."""
    assert bounded({"gen_ai.input.messages": [1, 2, 3], "other": {"a" * 99: 1}}, 5) == {}


def test_the_content_of_the_caller_is_not_changed() -> None:
    """Cutting works on a copy."""
    message = {"role": "user", "parts": [{"type": "text", "content": "x" * 500}]}
    content: dict[str, object] = {"gen_ai.input.messages": [message] * 9}
    before = json.dumps(content)
    assert bounded(content, 300) is not content
    assert json.dumps(content) == before


# --- plain data --------------------------------------------------------------------------------------------------


class Awkward:
    """An object that cannot even be shown."""

    def __str__(self) -> NoReturn:
        """Fail."""
        raise RuntimeError("no")


odd_values = json_data | st.binary(max_size=4) | st.floats() | st.sampled_from([object(), Awkward(), 1j, {1}])
odd_keys = st.integers() | st.tuples(st.text(max_size=2))


@given(
    st.recursive(odd_values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(odd_keys, inner, max_size=3))
)
@unhurried
def test_anything_becomes_json(value: object) -> None:
    """Other types, other keys, huge numbers and broken objects never raise, and the result can be read and sent."""
    text = to_json(value)
    json.loads(text, parse_constant=pytest.fail)
    text.encode()


def test_json_is_compact_and_not_escaped() -> None:
    """Non-ASCII text stays readable; what JSON does not know is text."""
    assert (
        to_json({"a": ["é", 1.5, None, True], "b": {"c": "\ud83d\ude00"}}) == '{"a":["é",1.5,null,true],"b":{"c":"😀"}}'
    )
    assert to_json([16**5000]) == '["0x1' + "0" * 5000 + '"]'
    assert to_json([math.nan, math.inf, {1, 2}, b"x", Awkward()]) == '["nan","inf","{1, 2}","b\'x\'","<Awkward>"]'


def test_cycles_and_deep_data_come_to_an_end() -> None:
    """A list within itself and a thousand lists are cut at a depth."""
    cycle: list[object] = []
    cycle.append(cycle)
    assert TRUNCATED in to_json(cycle)
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert TRUNCATED in to_json(deep)


def test_a_plain_copy_shares_nothing() -> None:
    """What the caller changes later does not change the copy."""
    inner = {"b": [1]}
    copy = plain({"a": inner, "t": (1, 2)})
    inner["b"].append(2)
    assert copy == {"a": {"b": [1]}, "t": [1, 2]}


@given(st.text(alphabet=st.characters(categories=["Cs", "L", "So"])))
@unhurried
def test_encodable_text_can_be_encoded_and_good_text_stays(text: str) -> None:
    """Only lone surrogates are replaced."""
    encoded = encodable(text).encode()
    try:
        assert encoded == text.encode()
    except UnicodeEncodeError:
        assert "\ufffd".encode() in encoded or len(encoded.decode()) < len(text)
