"""What can be known of a compose file without running it: whether everything that it names is there and fits.

Knows which ports the images listen on. Refuses to know what the stack is for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import yaml

from backends.programs import FILES

Json: TypeAlias = Mapping[str, Any]

_PINNED = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+")
_ADDRESS = re.compile(r"(?:https?://)?([a-z][a-z0-9-]*|127\.0\.0\.1):(\d+)")
_PORT = re.compile(r"_PORT:-(\d+)\}")


def _configured(name: str) -> set[int]:
    """Return the ports that a configuration has where no variable says otherwise."""
    return {int(port) for port in _PORT.findall((FILES / name).read_text(encoding="utf-8"))}


_LISTENS = {
    "otel/opentelemetry-collector-contrib": _configured("local.yaml"),
    "jaegertracing/jaeger": _configured("jaeger/jaeger.yaml"),
    "prom/prometheus": {9090},
    "grafana/grafana": {3000},
    "grafana/otel-lgtm": {3000, 4317, 4318},
    "busybox": set[int](),
}


def load(path: Path) -> dict[str, Any]:
    """Read a YAML file."""
    found: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found


def findings(compose: Json, home: Path = FILES) -> list[str]:
    """Return what is wrong with a compose file, in a sentence each.

    Args:
        compose: its content.
        home: the folder that it stands in.
    """
    found: list[str] = []
    for name, service in compose["services"].items():
        found += _of_image(name, service)
        found += _of_mounts(compose, name, service, home)
        found += _of_ports(compose, name, service)
        found += _of_paths(name, service, home)
        found += _of_health(compose, name, service)
    return found


def texts(service: Json) -> Iterator[str]:
    """Yield everything that a service is told: variables, command, health check."""
    yield from map(str, service.get("environment", {}).values())
    yield from map(str, service.get("command", ()))
    yield from map(str, service.get("healthcheck", {}).get("test", ()))


def mounts(service: Json) -> dict[str, str]:
    """Return the mounted files, folders and volumes of a service, by where they are seen."""
    return {target: source for source, target, *_ in (each.split(":") for each in service.get("volumes", ()))}


def seen_as(service: Json, path: str, home: Path) -> Path | None:
    """Return the file of the repository that a service sees at a path."""
    for target, source in mounts(service).items():
        if source.startswith("./") and PurePosixPath(path).is_relative_to(target):
            return home / source / PurePosixPath(path).relative_to(target)
    return None


def listens(service: Json) -> set[int]:
    """Return the ports that a service's image listens on."""
    return _LISTENS[service["image"].partition(":")[0]]


def _of_image(name: str, service: Json) -> Iterator[str]:
    if not _PINNED.fullmatch(service["image"]):
        yield f"{name}: the image {service['image']} is not pinned to a version"


def _of_mounts(compose: Json, name: str, service: Json, home: Path) -> Iterator[str]:
    for target, source in mounts(service).items():
        if source.startswith("./"):
            if not (home / source).exists():
                yield f"{name}: there is no {source} to mount"
            if f"{source}:{target}:ro" not in service["volumes"]:
                yield f"{name}: {source} is not mounted read-only"
        elif source not in (compose.get("volumes") or {}):
            yield f"{name}: there is no volume {source}"


def _of_ports(compose: Json, name: str, service: Json) -> Iterator[str]:
    """Find addresses that nobody listens on: those that are published, and those that are called."""
    for each in service.get("ports", ()):
        *address, host, own = each.split(":")
        if address != ["127.0.0.1"]:
            yield f"{name}: port {host} is open to the network"
        if int(own) not in listens(service):
            yield f"{name}: nothing listens on {own}"
    shared = service.get("network_mode", "").removeprefix("service:") or name
    for host, port in (match for text in texts(service) for match in _ADDRESS.findall(text)):
        target = compose["services"].get(shared if host == "127.0.0.1" else host)
        if target is None or int(port) not in listens(target):
            yield f"{name}: nothing listens on {host}:{port}"


def _of_paths(name: str, service: Json, home: Path) -> Iterator[str]:
    """Find files that a service is told to read and that it does not have."""
    for text in texts(service):
        path = text.rpartition("=")[2]
        if path.endswith((".yaml", ".json")):
            file = seen_as(service, path, home)
            if file is None or not file.is_file():
                yield f"{name}: there is no {path}"


def _of_health(compose: Json, name: str, service: Json) -> Iterator[str]:
    asked = {each.get("network_mode", "") for each in compose["services"].values() if "healthcheck" in each}
    awaited = {
        target
        for each in compose["services"].values()
        for target, how in each.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    if "healthcheck" not in service and f"service:{name}" not in asked and name not in awaited:
        yield f"{name}: nobody knows whether it is healthy"
