"""Endpoints that do not take telemetry: the application's streams are as without it, and it is told once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from end_to_end.jobs import Job, demo_jobs
from end_to_end.stage import Ended, Stage, environment, to
from otlp_sink import OtlpSink, Protocol, closed_port

_NAMES = {
    "chat-ok",
    "chat-bytes",
    "chat-tools",
    "chat-gzip",
    "chat-error_event",
    "chat-short",
    "chat-eof",
    "chat-status_429",
    "act-close",
    "act-drop",
}
# The contract: an exit that takes no more than two seconds, whatever the endpoint does. The rest is for a machine that
# has something else to do.
_LONGEST_EXIT = 2.0 + 2.0


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A choice of streams."""
    jobs: list[Job] = [job for job in demo_jobs() if job.name in _NAMES]
    assert len(jobs) == len(_NAMES)
    with Stage(jobs) as stage:
        yield stage


@pytest.fixture(scope="module")
def bare(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """What the application sees without streamspan."""
    ended = stage.play(tmp_path_factory.mktemp("bare"), environment(), is_instrumented=False)
    assert (ended.status, ended.stderr) == (0, "")
    return ended


@contextmanager
def _dead(_: Protocol) -> Iterator[str]:
    with closed_port() as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _hanging(protocol: Protocol) -> Iterator[str]:
    with OtlpSink(protocol, mode="hang") as sink:
        yield sink.endpoint


@contextmanager
def _failing(protocol: Protocol) -> Iterator[str]:
    with OtlpSink(protocol, mode=500) as sink:
        yield sink.endpoint


_TROUBLES = {
    "dead": (_dead, "refuses connections, nothing listens there"),
    "hanging": (_hanging, "does not answer in time"),
    "failing": (_failing, "answers "),
}


@pytest.mark.parametrize(
    ("trouble", "protocol"), [("dead", "http"), ("dead", "grpc"), ("hanging", "http"), ("failing", "grpc")]
)
def test_streams_do_not_know_of_the_endpoint(
    trouble: str, protocol: Protocol, stage: Stage, bare: Ended, tmp_path: Path
) -> None:
    """Every item, byte and exception is as without streamspan; one warning; the exit is held up within the bound."""
    made, expected = _TROUBLES[trouble]
    serving: AbstractContextManager[str] = made(protocol)
    with serving as endpoint:
        ended = stage.play(tmp_path, to(endpoint, protocol, STREAMSPAN_EVENTS="both"))
    assert ended.calls == bare.calls
    assert ended.status == 0
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"streamspan: {endpoint} {expected}"), line
    assert len(ended.report["summaries"]) == len(stage.cast)
    assert ended.held_up < _LONGEST_EXIT
