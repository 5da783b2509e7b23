"""What a caller calls wrongly is the SDK's to say: streamspan adds no word of its own to it."""

from __future__ import annotations

from typing import Any

import pytest

from support.telemetry import Told

openai = pytest.importorskip("openai")

_WRONG: dict[str, tuple[Any, ...]] = {
    "nothing": (),
    "too-little": (object,),
    "no-options": (object, None),
    "too-much": (object, 2, 3, 4, 5),
}


def _said(arguments: tuple[Any, ...]) -> tuple[type[BaseException], str]:
    """Return what the SDK says of a call of `request`."""
    with openai.OpenAI(api_key="key", base_url="http://127.0.0.1:9") as client, pytest.raises(Exception) as said:  # noqa: PT011 - it is compared below
        client.request(*arguments)
    return said.type, str(said.value)


@pytest.mark.parametrize("arguments", _WRONG.values(), ids=_WRONG)
def test_a_wrong_call_is_passed_through_in_silence(
    arguments: tuple[Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """The exception is the SDK's as without streamspan, nothing is logged, and there is no span."""
    bare = _said(arguments)
    told = Told()
    told.instrument()
    try:
        assert _said(arguments) == bare
        assert [record.getMessage() for record in caplog.records if record.name.startswith("streamspan")] == []
    finally:
        told.finish()
    assert told.spans == []
