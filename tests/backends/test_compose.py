"""The compose stacks: valid, pinned, and every file, port, variable and data source that they name is there."""

from __future__ import annotations

import re
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.dash_compose import findings, load, mounts, seen_as
from backends.dash_prometheus import FLAGS
from backends.programs import FILES, ROOT

STACKS = ("compose.yaml", "compose.otel-lgtm.yaml")
COMPOSE = {name: load(FILES / name) for name in STACKS}
GRAFANA = FILES / "grafana"


def validate(path: Path) -> tuple[bool, str]:
    """Return whether a compose file agrees with the schema of the compose specification."""
    pytest.importorskip("check_jsonschema", reason="validates compose files; it is in the group `test`")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_agrees_with_the_schema(name: str) -> None:
    """The compose specification's own schema accepts it."""
    is_valid, output = validate(FILES / name)
    assert is_valid, output


@pytest.mark.parametrize("name", STACKS)
def test_everything_that_a_stack_names_is_there(name: str) -> None:
    """Images are pinned, files and volumes exist, ports are listened on and local, and health is asked for."""
    assert findings(COMPOSE[name]) == []


@pytest.mark.parametrize(
    ("name", "configuration", "others"),
    [("collector", "local.yaml", {"GOMEMLIMIT"}), ("jaeger", "jaeger/jaeger.yaml", set[str]())],
)
def test_variables_are_those_of_the_configuration(name: str, configuration: str, others: set[str]) -> None:
    """Each is one that the mounted configuration has, but for the one of the Go runtime."""
    variables = set(COMPOSE["compose.yaml"]["services"][name]["environment"])
    known = set(re.findall(r"\$\{env:(\w+)", (FILES / configuration).read_text(encoding="utf-8")))
    assert variables - known == others
    # The ports of the configuration are taken as they are, by what is checked about addresses.
    assert [variable for variable in variables if variable.endswith("_PORT")] == []


def test_the_queue_of_the_collector_is_on_a_volume() -> None:
    """What waits outlives the container, and the memory of the Go runtime fits the limit."""
    service = COMPOSE["compose.yaml"]["services"]["collector"]
    assert (service["mem_limit"], service["environment"]["GOMEMLIMIT"]) == ("1g", "800MiB")
    folder = service["environment"]["OTELCOL_QUEUE_DIR"]
    assert [source for target, source in mounts(service).items() if folder.startswith(f"{target}/")] == ["queue"]


def test_published_ports_are_those_of_the_configuration() -> None:
    """What the collector listens on by default is what applications are told to send to."""
    defaults = dict(
        re.findall(r"\$\{env:OTELCOL_(\w+)_PORT:-(\d+)\}", (FILES / "local.yaml").read_text(encoding="utf-8"))
    )
    for compose in COMPOSE.values():
        published = {each for service in compose["services"].values() for each in service.get("ports", ())}
        assert {f"127.0.0.1:{defaults[name]}:{defaults[name]}" for name in ("GRPC", "HTTP")} <= published
    (check,) = (
        each for each in COMPOSE["compose.yaml"]["services"]["collector-health"]["healthcheck"]["test"] if "//" in each
    )
    assert check == f"http://127.0.0.1:{defaults['HEALTH']}/"
    (scrape,) = load(FILES / "prometheus" / "scrape" / "collector.yaml")["scrape_configs"]
    assert scrape["static_configs"] == [{"targets": [f"collector:{defaults['METRICS']}"]}]


def test_prometheus_has_its_rules_in_both_stacks() -> None:
    """What the configuration includes is mounted beside it; the test of dashboards runs with the same flags."""
    configuration = load(FILES / "prometheus" / "prometheus.yaml")
    assert set(FLAGS) <= set(COMPOSE["compose.yaml"]["services"]["prometheus"]["command"])
    for name, service, home in (
        ("compose.yaml", "prometheus", "/etc/prometheus"),
        ("compose.otel-lgtm.yaml", "otel-lgtm", "/otel-lgtm"),
    ):
        seen = COMPOSE[name]["services"][service]
        assert seen_as(seen, f"{home}/prometheus.yaml", FILES) == FILES / "prometheus" / "prometheus.yaml"
        for pattern in configuration["rule_files"]:
            folder = seen_as(seen, f"{home}/{pattern.partition('/')[0]}", FILES)
            assert folder is not None
            assert list(folder.glob(pattern.partition("/")[2]))


@pytest.mark.parametrize(("name", "service"), [("compose.yaml", "grafana"), ("compose.otel-lgtm.yaml", "otel-lgtm")])
def test_grafana_finds_the_dashboards(name: str, service: str) -> None:
    """The folder of its provider is mounted, and has them all."""
    (provider,) = load(GRAFANA / "provisioning" / "dashboards" / "streamspan.yaml")["providers"]
    folder = seen_as(COMPOSE[name]["services"][service], provider["options"]["path"], FILES)
    assert folder is not None
    assert folder.resolve() == GRAFANA / "dashboards"


def test_data_sources_lead_to_the_services_of_the_stack() -> None:
    """Their hosts and ports are those of services, and exemplars open traces in a source that there is."""
    sources = load(GRAFANA / "provisioning" / "datasources" / "streamspan.yaml")["datasources"]
    calls = {"services": {**COMPOSE["compose.yaml"]["services"]}}
    calls["services"]["grafana"] = {
        **calls["services"]["grafana"],
        "command": [source["url"] for source in sources],
    }
    assert findings(calls | {"volumes": COMPOSE["compose.yaml"]["volumes"]}) == []
    types = {source["uid"]: source["type"] for source in sources}
    assert types == {"prometheus": "prometheus", "jaeger": "jaeger"}
    (default,) = (source for source in sources if source.get("isDefault"))
    (destination,) = default["jsonData"]["exemplarTraceIdDestinations"]
    assert (destination["name"], types[destination["datasourceUid"]]) == ("trace_id", "jaeger")


def test_versions_are_those_that_are_tested() -> None:
    """The collector's and Prometheus' images have the versions that the tests build."""
    images = dict(service["image"].split(":") for service in COMPOSE["compose.yaml"]["services"].values())
    version = load(FILES / "builder.yaml")["dist"]["version"]
    assert images["otel/opentelemetry-collector-contrib"] == version
    found = re.search(
        r"^prometheus=v0\.3(\d\d)\.(\d+)$", (ROOT / ".ci" / "build-backends").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert found is not None
    assert images["prom/prometheus"] == f"v3.{int(found[1])}.{found[2]}"


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("services", "grafana", "image"), "grafana/grafana:latest", "not pinned"),
        (("services", "grafana", "volumes"), ["./grafana/dashboard:/etc/grafana/dashboards:ro"], "there is no ./grafana/dashboard"),
        (("services", "grafana", "ports"), ["3000:3000"], "open to the network"),
        (("services", "jaeger", "ports"), ["127.0.0.1:16687:16687"], "nothing listens on 16687"),
        (("services", "collector", "environment", "JAEGER_ENDPOINT"), "jaeger:4319", "nothing listens on jaeger:4319"),
        (("services", "collector", "environment", "PROMETHEUS_ENDPOINT"), "http://prom:9090/", "nothing listens on prom:9090"),
        (("services", "collector", "command"), ["--config=/etc/otelcol/other.yaml"], "there is no /etc/otelcol/other.yaml"),
        (("services", "collector", "volumes"), ["queues:/var/lib/otelcol"], "there is no volume queues"),
        (("services", "collector-health", "network_mode"), "service:jaeger", "collector: nobody knows"),
        (("services", "prometheus", "volumes"), ["./prometheus/rules:/etc/prometheus/rules"], "not mounted read-only"),
    ],
)  # fmt: skip
def test_a_fault_in_a_stack_is_caught(path: tuple[str, ...], value: Any, says: str) -> None:
    """Each fault is found, and named."""
    compose = deepcopy(COMPOSE["compose.yaml"])
    *above, last = path
    place = compose
    for step in above:
        place = place[step]
    place[last] = value
    assert [finding for finding in findings(compose) if says in finding] != []


def test_a_fault_against_the_schema_is_caught(tmp_path: Path) -> None:
    """A misspelt key is refused."""
    compose = deepcopy(COMPOSE["compose.yaml"])
    compose["services"]["grafana"]["port"] = compose["services"]["grafana"].pop("ports")
    path = tmp_path / "compose.yaml"
    path.write_text(yaml.safe_dump(compose), encoding="utf-8")
    is_valid, output = validate(path)
    assert not is_valid
    assert "'port' was unexpected" in output
