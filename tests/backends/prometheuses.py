"""Prometheus that takes OTLP or scrapes, and what its query API says."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, TypeAlias

from backends.programs import FILES, Program, binary, free_ports

Series: TypeAlias = tuple[dict[str, str], float]

_SCRAPE = """
scrape_configs:
  - job_name: collector
    honor_labels: true # `job` and `instance` are those of the application
    scrape_interval: 1s
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class Prometheus(Program):
    """A Prometheus with the bundled configuration, without its rules.

    Args:
        directory: for its configuration, log and data.
        scrape: port on the loopback interface that it scrapes, too.
    """

    def __init__(self, directory: Path, scrape: int | None = None) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{port}"
        self.otlp = f"{self.url}/api/v1/otlp"
        bundled = (FILES / "prometheus" / "prometheus.yaml").read_text(encoding="utf-8")
        configuration = directory / "prometheus.yaml"
        configuration.write_text(bundled + ("" if scrape is None else _SCRAPE.format(port=scrape)), encoding="utf-8")
        super().__init__(
            [
                binary("prometheus"),
                f"--config.file={configuration}",
                f"--storage.tsdb.path={directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
                "--web.enable-otlp-receiver",
                "--enable-feature=exemplar-storage,created-timestamp-zero-ingestion",
            ],
            f"{self.url}/-/ready",
            directory / "prometheus.log",
            {},
        )

    def __enter__(self) -> Prometheus:
        super().__enter__()
        return self

    def query(self, expression: str) -> list[Series]:
        """Return the instant value of each series of an expression."""
        found = self._get("query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def total(self, expression: str) -> float:
        """Return the sum of the values of an expression, zero without any."""
        return sum(value for _, value in self.query(expression))

    def names(self, matching: str) -> set[str]:
        """Return the names of all metrics that match a regular expression."""
        found: list[str] = self._get("label/__name__/values", **{"match[]": f'{{__name__=~"{matching}"}}'})
        return set(found)

    def exemplars(self, selector: str) -> list[dict[str, Any]]:
        """Return the exemplars of the series that a selector names."""
        found = self._get("query_exemplars", query=selector, start="0", end="9999999999")
        return [exemplar for series in found for exemplar in series["exemplars"]]

    def _get(self, path: str, **parameters: str) -> Any:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)["data"]
