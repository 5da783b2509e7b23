"""The application's redaction sees the whole text, whatever is cut afterwards."""

from __future__ import annotations

import re

import openai

import streamspan
from streamspan.demo import DemoProvider
from streamspan.testing import capture


def test_a_secret_across_the_limit_is_redacted_before_the_cut(server: DemoProvider) -> None:
    """A block that is longer than what is kept leaves no half behind."""
    config = streamspan.Config(capture_content="SPAN_ONLY", content_max_bytes=400)
    prompt = "x" * 300 + "BEGIN KEY " + "secret " * 300 + "END KEY"
    redact = re.compile("BEGIN KEY .* END KEY", re.DOTALL)
    with capture(config=config, redact=lambda text: redact.sub("[gone]", text)) as captured:
        client = openai.OpenAI(base_url=server.url("ok"), api_key="demo")
        list(client.chat.completions.create(model="m", messages=[{"role": "user", "content": prompt}], stream=True))
        (span,) = captured.spans
    assert span.attributes is not None
    told = str(span.attributes["gen_ai.input.messages"])
    assert "secret" not in told
    assert "BEGIN KEY" not in told
