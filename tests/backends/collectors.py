"""A collector with one of the bundled configurations, at free ports."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Literal, TypeAlias

from backends.programs import FILES, Program, binary, free_ports, until

Configuration: TypeAlias = Literal["local", "agent", "gateway"]
CONFIGURATIONS: tuple[Configuration, ...] = ("local", "agent", "gateway")

_PORTS = ("GRPC", "HTTP", "METRICS", "HEALTH", "SCRAPE")
_LEVEL = re.compile(r"^\S+\t(\w+)\t", re.MULTILINE)


class Collector(Program):
    """A collector.

    Args:
        configuration: which of the bundled ones.
        directory: for its log and its queue.
        variables: of the configuration, beside ports and directory.
    """

    def __init__(self, configuration: Configuration, directory: Path, **variables: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
        ports = {f"OTELCOL_{name}_PORT": str(port) for name, port in self.ports.items()}
        queue = {"OTELCOL_QUEUE_DIR": str(directory / "queue")}
        super().__init__(
            [binary("otelcol"), "--config", str(FILES / f"{configuration}.yaml")],
            f"http://127.0.0.1:{self.ports['HEALTH']}/",
            directory / "collector.log",
            ports | queue | variables,
        )

    def __enter__(self) -> Collector:
        super().__enter__()
        return self

    @property
    def http(self) -> str:
        """Where it takes OTLP over HTTP."""
        return f"http://127.0.0.1:{self.ports['HTTP']}"

    @property
    def grpc(self) -> str:
        """Where it takes OTLP over gRPC."""
        return f"http://127.0.0.1:{self.ports['GRPC']}"

    def at(self, protocol: str) -> str:
        """Where it takes OTLP over a protocol."""
        return self.grpc if protocol == "grpc" else self.http

    @property
    def address(self) -> str:
        """Host and port of OTLP over gRPC."""
        return f"127.0.0.1:{self.ports['GRPC']}"

    @property
    def levels(self) -> set[str]:
        """The levels of the lines of its log."""
        return set(_LEVEL.findall(self.log))

    def drain(self) -> None:
        """Wait until everything that it has taken is where it goes; what is left when it stops waits for its next start."""
        until(
            lambda: not self.own("otelcol_exporter_queue_size") and not self.own("otelcol_exporter_in_flight_requests")
        )

    def own(self, name: str, **labels: str) -> float:
        """Return the sum of one of its own metrics over the series with these labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports['METRICS']}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        wanted = {f"{key}={json.dumps(value)}" for key, value in labels.items()}
        return sum(
            float(value)
            for series, value in re.findall(rf"^{name}(?:_total)?(?:\{{(.*)\}})? (\S+)$", text, re.MULTILINE)
            if all(one in series for one in wanted)
        )
