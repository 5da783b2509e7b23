"""A real Prometheus with the shipped configuration, and what its query API says."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from backends.programs import FILES, Program, binary, free_ports

SHIPPED = FILES / "prometheus"
FLAGS = ("--web.enable-otlp-receiver", "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion")

Labels: TypeAlias = frozenset[tuple[str, str]]
Vector: TypeAlias = dict[Labels, float]


def labels(**pairs: str) -> Labels:
    """Return labels as `Vector` has them."""
    return frozenset(pairs.items())


class ShippedPrometheus(Program):
    """A Prometheus as it is shipped, but that rules are evaluated every second and no collector of a stack is scraped.

    Args:
        directory: for its configuration, log and data.
        scrape: more of its configuration: what it scrapes every second.
    """

    def __init__(self, directory: Path, scrape: str = "") -> None:
        shipped = directory / "shipped"
        shutil.copytree(SHIPPED, shipped)
        shutil.rmtree(shipped / "scrape")
        if scrape:
            (shipped / "scrape").mkdir()
            (shipped / "scrape" / "streams.yaml").write_text(
                scrape.replace("honor_labels:", "scrape_interval: 1s\n    honor_labels:"), encoding="utf-8"
            )
        for path in shipped.rglob("*.yaml"):
            text = path.read_text(encoding="utf-8")
            path.write_text(text.replace("interval: 30s", "interval: 1s"), encoding="utf-8")
        (port,) = free_ports(1)
        self.api = Api(f"http://127.0.0.1:{port}")
        super().__init__(
            [
                binary("prometheus"),
                f"--config.file={shipped / 'prometheus.yaml'}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                *FLAGS,
            ],
            f"{self.api.url}/-/ready",
            directory / "prometheus.log",
            {},
        )

    def __enter__(self) -> ShippedPrometheus:
        super().__enter__()
        return self


class Api:
    """The query API of a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer; a refusal is an `AssertionError` with its reason."""
        body = urllib.parse.urlencode(parameters, doseq=True)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{body}", timeout=30) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise AssertionError(f"{parameters}: {exc.read().decode()}") from None

    def query(self, expr: str, at: float) -> Vector:
        """Return the value of each series at a time."""
        data = self.get("query", query=expr, time=f"{at:.3f}")
        assert data["resultType"] in {"vector", "scalar"}, data
        if data["resultType"] == "scalar":
            return {frozenset(): float(data["result"][1])}
        return {_labels(each["metric"]): float(each["value"][1]) for each in data["result"]}

    def over_time(self, expr: str, start: float, end: float, step: float = 1) -> dict[Labels, list[float]]:
        """Return the values of each series between two times."""
        data = self.get("query_range", query=expr, start=f"{start:.3f}", end=f"{end:.3f}", step=step)
        return {_labels(each["metric"]): [float(value) for _, value in each["values"]] for each in data["result"]}

    def samples(self, selector: str, at: float) -> dict[Labels, list[tuple[float, float]]]:
        """Return the raw samples of the last hour."""
        data = self.get("query", query=f"{selector}[1h]", time=f"{at:.3f}")
        return {_labels(each["metric"]): [(t, float(value)) for t, value in each["values"]] for each in data["result"]}

    def exemplars(self, expr: str, start: float, end: float) -> list[Mapping[str, Any]]:
        """Return the exemplars of every series that an expression reads."""
        found = self.get("query_exemplars", query=expr, start=f"{start:.3f}", end=f"{end:.3f}")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def label_values(self, selector: str, label: str) -> set[str]:
        """Return the values of a label, as a variable of Grafana asks for them."""
        return set(self.get(f"label/{label}/values", **{"match[]": selector}))

    def rules(self) -> list[Mapping[str, Any]]:
        """Return what became of each rule."""
        return [rule for group in self.get("rules")["groups"] for rule in group["rules"]]


def _labels(metric: Mapping[str, str]) -> Labels:
    return frozenset(metric.items())
