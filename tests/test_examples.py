"""The examples: each runs without a key, says what it promises, and its spans reach an OTLP endpoint."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import pytest

from otlp_sink import OtlpSink

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
HELPERS = {"demo_model.py", "demo_sockets.py"}
MOST_LINES = 40


@dataclass(frozen=True)
class Expected:
    """What an example prints, and the outcomes of its spans in the order of their starts.

    Args:
        outcomes: of each span.
        output: patterns that standard output has, in this order.
        stdin: what a user types.
        is_exported: whether spans go to the OTLP endpoint, and not to a provider of the example's own.
        connections: how many WebSockets have a span around those of their turns.
        flags: of the interpreter, besides those that all have.
    """

    outcomes: tuple[str, ...]
    output: tuple[str, ...]
    stdin: str = ""
    is_exported: bool = True
    connections: int = 0
    flags: tuple[str, ...] = ()


ANSWER = r"A stream is a promise kept in pieces\."

# What is installed of them: langchain-google-genai needs a google-genai before 3.
LANGCHAIN_VENDORS = tuple(
    provider
    for package, provider in {
        "langchain_openai": "openai gpt",
        "langchain_anthropic": "anthropic claude",
        "langchain_google_genai": "gcp.gemini gemini",
    }.items()
    if find_spec(package) is not None
)

# urllib3 closes its pools by finalizers, and Python ends those before the exporter, which uses it too, has sent all: it
# shows where the program uses urllib3 itself, or runs for longer than the exporter's interval of 5 seconds.
UNCLOSED = ("-W", "ignore:unclosed:ResourceWarning")

EXPECTED: dict[str, Expected] = {
    "quickstart.py": Expected(("completed",), (ANSWER,)),
    "async_stream.py": Expected(("completed",) * 3, (r"sky blue\?  \d+ char", r"grass green\?", r"snow white\?")),
    "cancel.py": Expected(
        ("cancelled (closed)",) * 2, (r"by the flag after \d+ chunks", r"by the limit after 5 chunks")
    ),
    "session.py": Expected(
        ("completed",) * 3, (r"session_123 u1 completed\nsession_123 u1 completed\nNone None completed",)
    ),
    "raw_sse_requests.py": Expected(("completed",), (ANSWER,), flags=UNCLOSED),
    "raw_sse_httpx.py": Expected(("completed", "cancelled (closed)"), (ANSWER, r"stopped after: .+")),
    "raw_aiohttp.py": Expected(("completed",) * 3, (r"(?:(?:Why|How|When)\?  \d+ characters\n){3}",)),
    "observe.py": Expected(("completed",), (r"Any iterable of chunks will do\.",)),
    "non_streamed.py": Expected(
        ("completed", "completed"),
        (r"not streamed: completed, whole answer", ANSWER, r"\nstreamed: completed, .* first token after \d\.\d\d s"),
    ),
    "structured_json.py": Expected(("completed",), (r"^\d+ pieces\n", r"parsed: Weather\(city='.+', celsius=")),
    "retries_tenacity.py": Expected(
        ("error (openai.APIConnectionError)", "completed"),
        (r"error after \d+ chunks\ncompleted after 60 chunks\n", ANSWER),
    ),
    "content_redaction.py": Expected(
        ("completed",), (r"gen_ai\.input\.messages: .*customer \[customer\]", r"gen_ai\.output\.messages: .*promise"),
        is_exported=False,
    ),
    "session_monitor.py": Expected(
        ("completed", "cancelled (closed)", "error (overloaded)", "truncated"),
        (
            r"session session_1: ttft \d\.\d\d s, total \d\.\d\d s, throughput \d+ characters/s, 54 chunks, error none",
            r"session session_2: .* 5 chunks, error none, cancelled closed",
            r"session session_3: .* error overloaded, cancelled no\nthe application sees APIError",
            r"session session_4: .* error truncated, cancelled no",
        ),
    ),
    "realtime_websocket.py": Expected(
        ("completed", "completed"), (ANSWER + r".*\n" + ANSWER,), connections=1
    ),
    "gemini_live_voice.py": Expected(("completed",), (ANSWER, r"\n\d{4,} bytes of sound"), connections=1),
    "content_filter.py": Expected(
        ("cancelled (closed)",), (r"^A stream is a \*{5} kept in pieces\..* to say\. A \n\(cancelled, \d+ chunks\)\n",)
    ),
    "langchain_chat.py": Expected(
        ("completed", "completed"), (r"\(openai completed, stream: False\)", ANSWER, r"\(openai completed, stream: True\)")
    ),
    "langchain_statistics.py": Expected(
        ("completed",), (ANSWER, r"first token       \d\.\d\d s", r"chunks            55\n", r"'output_tokens': 52")
    ),
    "langchain_cancel.py": Expected(
        ("cancelled (closed)",) * 2, (r"by the limit after 5 chunks", r"by the flag after \d+ chunks")
    ),
    "langchain_rag.py": Expected(("completed",), (ANSWER, r"\(54 chunks, completed\)")),
    "langchain_vendors.py": Expected(
        ("completed",) * len(LANGCHAIN_VENDORS), tuple(rf"{ANSWER}.*\({name}.* completed\)" for name in LANGCHAIN_VENDORS),
        flags=UNCLOSED,
    ),
    "chat_interface.py": Expected(
        ("completed", "completed"), (r"\(2 messages\)\n", r"\(4 messages\)\n"), stdin="Why is the sky blue?\nAnd at night?\n"
    ),
}  # fmt: skip


@dataclass
class Run:
    """A run of an example with an OTLP endpoint that answers, and the lines of its streams on stderr."""

    example: str
    result: subprocess.CompletedProcess[str] = field(init=False)

    def __post_init__(self) -> None:
        with OtlpSink() as sink:
            environment = {name: value for name, value in os.environ.items() if name != "OPENAI_API_KEY"}
            self.result = subprocess.run(
                [sys.executable, "-W", "error", *EXPECTED[self.example].flags, str(EXAMPLES / self.example)],
                input=EXPECTED[self.example].stdin,
                env=environment
                | {
                    "OTEL_EXPORTER_OTLP_ENDPOINT": sink.endpoint,
                    "STREAMSPAN_CONSOLE": "true",
                    "PYTHONIOENCODING": "utf-8",
                },
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=60,
                check=False,
            )
        self.spans = sorted(sink.spans, key=lambda span: int(span["start"]))

    @property
    def lines(self) -> list[str]:
        """The lines of finished streams."""
        return [line for line in self.result.stderr.splitlines() if line.startswith("●")]


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def run(request: pytest.FixtureRequest) -> Run:
    if request.param.startswith("langchain_") and not LANGCHAIN_VENDORS:
        pytest.skip("langchain-openai is not installed")
    return Run(request.param)


def test_every_example_is_run() -> None:
    """No example is forgotten here."""
    assert {path.name for path in EXAMPLES.glob("*.py")} - HELPERS == set(EXPECTED)


def test_an_example_does_what_it_promises(run: Run) -> None:
    """It ends well, says nothing but the lines of its streams on stderr, and prints what it should in the order given."""
    assert run.result.returncode == 0, run.result.stderr
    assert run.result.stderr.splitlines() == run.lines
    assert re.search(".*?".join(EXPECTED[run.example].output), run.result.stdout, re.DOTALL), run.result.stdout


def test_the_streams_of_an_example_end_as_they_should(run: Run) -> None:
    """The line of each stream ends with its outcome."""
    first_is_none = run.example in {"non_streamed.py", "langchain_chat.py"}
    streams = EXPECTED[run.example].outcomes[first_is_none:]
    assert tuple(line.split("  ")[-1] for line in run.lines) == streams


def test_the_spans_of_an_example_are_exported(run: Run) -> None:
    """At exit each call has one span at the OTLP endpoint, with its outcome."""
    expected = [outcome.split(" ")[0] for outcome in EXPECTED[run.example].outcomes]
    spans = [span for span in run.spans if span["scope"] == "streamspan"]
    turns = [span for span in spans if not span["name"].startswith("realtime_session")]
    assert len(spans) - len(turns) == EXPECTED[run.example].connections
    outcomes = [span["attributes"]["streamspan.outcome"] for span in turns]
    assert outcomes == (expected if EXPECTED[run.example].is_exported else [])


def test_secrets_do_not_leave_the_process() -> None:
    """What the redaction example types in does not come out."""
    output = Run("content_redaction.py").result.stdout
    for secret in ("ACME-4711", "jane@example.com", "4111 1111"):
        assert secret not in output


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_an_example_is_short(example: str) -> None:
    """An example fits on a screen."""
    assert len((EXAMPLES / example).read_text(encoding="utf-8").splitlines()) < MOST_LINES
