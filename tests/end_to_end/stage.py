"""Puts a play on: the providers, the application in a process of its own, and what became of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from end_to_end.jobs import Job
from streamspan.demo import DemoProvider
from support.replay import Replay, cut
from support.truth import Payload

APPLICATION = Path(__file__).with_name("application.py")
PROTOCOLS = {"http": "http/protobuf", "grpc": "grpc"}
_FOREIGN = ("OTEL_", "STREAMSPAN_", "OPENAI_", "AZURE_OPENAI_")
_PIECE = 1000  # bytes of a recording in one piece, so that events are cut anywhere


def environment(**variables: str) -> dict[str, str]:
    """Return the variables of an application, free of what this process was told about telemetry and SDKs."""
    base = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
    return base | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)} | variables


def to(endpoint: str, protocol: str, **more: str) -> dict[str, str]:
    """Return the variables of an application that sends its telemetry to an endpoint."""
    return environment(OTEL_EXPORTER_OTLP_ENDPOINT=endpoint, OTEL_EXPORTER_OTLP_PROTOCOL=PROTOCOLS[protocol], **more)


@dataclass(frozen=True)
class Cast:
    """One job in one colour, with who answers it."""

    job: Job
    colour: str
    plan: dict[str, Any]
    port: int
    key: str = ""

    @property
    def model(self) -> str | None:
        """The requested model."""
        model: str | None = self.plan["arguments"].get("model")
        return model


@dataclass
class Ended:
    """An application that has ended."""

    status: int
    stderr: str
    report: dict[str, Any]

    @property
    def held_up(self) -> float:
        """Seconds that exit hooks took after the last line of the program."""
        seconds: float = (self.report["left_ns"] - self.report["ended_ns"]) / 1e9
        return seconds

    @property
    def calls(self) -> dict[str, dict[str, Any]]:
        """What the application saw, by colour and name of the job."""
        calls: dict[str, dict[str, Any]] = self.report["calls"]
        return calls


class Stage:
    """The providers of some jobs: the demo, and one server for each recording and colour."""

    def __init__(self, jobs: Iterable[Job], colours: Sequence[str] = ("sync", "async")) -> None:
        self._stack = ExitStack()
        self.provider = DemoProvider()
        self._jobs = list(jobs)
        self._colours = colours
        self.cast: list[Cast] = []

    def __enter__(self) -> Stage:
        with ExitStack() as stack:
            stack.enter_context(self.provider)
            self.cast = [
                self._cast(stack, job, colour)
                for job in self._jobs
                for colour in self._colours
                if colour in job.colours
            ]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def _cast(self, stack: ExitStack, job: Job, colour: str) -> Cast:
        if job.recording is not None:
            replay = stack.enter_context(Replay(cut(job.recording.body.encode(), _PIECE)))
            return Cast(job, colour, job.plan(replay.url), int(replay.url.rpartition(":")[2]))
        key = f"{job.name}.{colour}"
        name, *parameters = job.scenario.split(";")
        url = self.provider.url(";".join((name, *parameters, f"key={key}")))
        plan = job.plan(url)
        if "model" in plan["arguments"]:  # the jobs of both colours are told apart by their model
            plan["arguments"]["model"] += f"-{colour}"
        return Cast(job, colour, plan, self.provider.port, key)

    def play(
        self,
        directory: Path,
        variables: dict[str, str],
        *,
        is_instrumented: bool = True,
        starter: Sequence[str] = (sys.executable, "-W", "ignore::DeprecationWarning"),
    ) -> Ended:
        """Run the application once, from its start to the end of its process."""
        self.provider.clear()
        for each in self.cast:
            if each.job.scenario.startswith(("gate", "steps")) and each.job.act == "read":
                self.provider.release(each.key, 100)
        plan: dict[str, Any] = {"is_instrumented": is_instrumented}
        for colour in ("sync", "async"):
            plan[colour] = {each.job.name: each.plan for each in self.cast if each.colour == colour}
        (directory / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
        command = [*starter, str(APPLICATION), str(directory / "plan.json"), str(directory / "report.json")]
        done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=100, check=False)
        report = json.loads((directory / "report.json").read_text(encoding="utf-8"))
        return Ended(done.returncode, _said(done.stderr), report)

    def sent(self, each: Cast) -> list[Payload]:
        """Return what the provider sent for a job: the events of the last attempt, those without JSON left out."""
        if each.job.recording is not None:
            return each.job.recording.events
        exchanges = self.provider.of(each.key)
        return [_payload(text) for _, text in exchanges[-1].sent]

    def resends(self, each: Cast) -> int:
        """Return how often a request was sent again."""
        return 0 if each.job.recording is not None else len(self.provider.of(each.key)) - 1

    def status(self, each: Cast) -> int | None:
        """Return the HTTP status that was answered last."""
        return 200 if each.job.recording is not None else self.provider.of(each.key)[-1].status or None


def _payload(text: str) -> Payload:
    if not text.startswith('{"'):  # [DONE], and what is no JSON
        return Payload("", None)
    data = json.loads(text)
    kind = data.get("object", "")
    # The events of a run have their names beside the data; they can be told from it.
    return Payload(kind if kind.endswith(".delta") else f"{kind}.{data.get('status')}", data)


def _said(stderr: str) -> str:
    """Return standard error without what the gRPC library says by itself."""
    lines = stderr.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith(("I0000", "WARNING: All log")))
