"""What a failed export means: one sentence for people, and what to do about it.

Pure: exceptions, HTTP statuses and gRPC statuses in, a `Problem` out. Refuses to know exporters, logging and the
network; it looks at shapes, so that neither requests nor grpcio is imported here.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from streamspan._otlp.settings import Target

ProblemKind: TypeAlias = Literal[
    "refused", "timeout", "unresolved", "tls", "protocol", "closed", "url", "http", "grpc", "overflow", "other"
]

_ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
_PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
_SWITCH_OFF = "switch sending off by OTEL_TRACES_EXPORTER=none (OTEL_METRICS_EXPORTER and OTEL_LOGS_EXPORTER alike)"
_START = f"Start an OpenTelemetry Collector there, point {_ENDPOINT} to one, or {_SWITCH_OFF}."
_LOOK = f"Look at the log of the collector there, point {_ENDPOINT} to another one, or {_SWITCH_OFF}."
_PORTS = f"usual ports are 4318 for {_PROTOCOL}=http/protobuf and 4317 for {_PROTOCOL}=grpc"
_CREDENTIALS = "Check the credentials in OTEL_EXPORTER_OTLP_HEADERS."
_NOT_TAKEN = "Check the path in OTEL_EXPORTER_OTLP_ENDPOINT; if the receiver takes no {1}, set OTEL_{0}_EXPORTER=none."


# In an answer as JSON: a name other than that of OTLP's only field.
_MORE_THAN_OTLP = re.compile(rb'[{,]\s*"(?!partialSuccess|rejected|errorMessage)')


@dataclass(frozen=True, slots=True)
class Problem:
    """Why telemetry did not arrive.

    Args:
        kind: what happened, for programs.
        what: what happened, a phrase that follows the endpoint's name.
        remedy: what to do, in full sentences; `{0}` and `{1}` stand for the signal's name.
        code: HTTP status or gRPC status, if it came to an answer.
        is_of_signal: it concerns one signal's path and not the whole endpoint.
        is_hopeless: trying again within seconds cannot help.
    """

    kind: ProblemKind
    what: str
    remedy: str = _START
    code: str = ""
    is_of_signal: bool = False
    is_hopeless: bool = False

    def sentence(self, target: Target) -> str:
        """Say what happened at `target`."""
        return f"{target.shown if self.is_of_signal else target.base} {self.what}"

    def advice(self, target: Target) -> str:
        """Say what to do about `target`."""
        return self.remedy.format(target.signal.upper(), target.signal)


REFUSED = Problem("refused", "refuses connections, nothing listens there", is_hopeless=True)
TIMED_OUT = Problem("timeout", "does not answer in time")
UNRESOLVED = Problem(
    "unresolved",
    "is on a host whose name cannot be resolved",
    f"Check the host in {_ENDPOINT}, or {_SWITCH_OFF}.",
    is_hopeless=True,
)
UNUSABLE = Problem(
    "url",
    "is not an address that can be used",
    f"{_ENDPOINT} is a URL with http:// or https://, such as http://localhost:4318.",
    is_hopeless=True,
)
CLOSED = Problem(
    "closed",
    "closes the connection without an answer",
    f"Check protocol and port ({_PORTS}), and whether {_ENDPOINT} has to begin with https://.",
)
SPEAKS_GRPC = Problem(
    "protocol",
    "does not speak HTTP/1.1, it looks like a gRPC port",
    f"Set {_PROTOCOL}=grpc, or the port for HTTP in {_ENDPOINT} ({_PORTS}).",
    is_hopeless=True,
)
SPEAKS_HTTP = Problem(
    "protocol",
    "does not speak gRPC, it looks like an HTTP port",
    f"Set {_PROTOCOL}=http/protobuf, or the port for gRPC in {_ENDPOINT} ({_PORTS}).",
    is_hopeless=True,
)
OVERFLOW = Problem(
    "overflow",
    "takes telemetry slower than it comes, the oldest is dropped",
    "Raise OTEL_BSP_MAX_QUEUE_SIZE (logs: OTEL_BLRP_MAX_QUEUE_SIZE), or sample with OTEL_TRACES_SAMPLER.",
)
UNEXPLAINED = Problem("other", "did not take the telemetry", _LOOK)


def of_exception(exc: BaseException) -> Problem:
    """Return what an exception of requests or grpcio means."""
    code: object = getattr(exc, "code", None)
    if callable(code):  # grpc.RpcError
        details: object = getattr(exc, "details", str)()
        return of_grpc(str(getattr(code(), "name", "UNKNOWN")), str(details or ""))
    causes = tuple(_causes(exc))
    for kind, meaning in _MEANINGS:
        for cause in causes:
            if isinstance(cause, kind):
                return meaning(cause)
    if any("timeout" in type(cause).__name__.lower() for cause in causes):  # urllib3's own
        return TIMED_OUT
    return of_text(type(exc).__name__)


def of_http(status: int, reason: str = "") -> Problem:
    """Return what an HTTP status that is no success means."""
    code = str(status)
    what = f"answers HTTP {code} {reason}".rstrip()
    if status in {401, 403}:
        return Problem("http", what, _CREDENTIALS, code, is_hopeless=True)
    if status in {404, 405, 415}:
        return Problem("http", what, _NOT_TAKEN, code, is_of_signal=True, is_hopeless=True)
    if status == 400:  # noqa: PLR2004 - Go's TLS servers answer plain HTTP so
        remedy = f"Check whether {_ENDPOINT} has to begin with https://, and look at the log of the receiver."
        return Problem("http", what, remedy, code)
    if status == 413:  # noqa: PLR2004
        return Problem("http", what, "Raise the receiver's max_request_body_size.", code, is_of_signal=True)
    if 300 <= status < 400:  # noqa: PLR2004
        remedy = f"{_ENDPOINT} leads to a redirect, which exporters do not follow: name the final address."
        return Problem("http", what, remedy, code, is_hopeless=True)
    return Problem("http", what, _LOOK, code)


def of_success(content_type: str, body: bytes) -> Problem | None:
    """Return what is wrong with an HTTP success that does not look like a receiver's.

    Pages and health checks answer any request with success (Jaeger 2.13, Collector 0.159), so telemetry that is sent
    to their port is lost without a word. A receiver answers protobuf with protobuf, or with nothing; some answer with
    the same message as JSON.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body or kind not in {"text/html", "text/plain", "application/json"}:
        return None
    if kind == "application/json" and not _MORE_THAN_OTLP.search(body):
        return None
    what = f"answers with success, but with {kind} instead of what an OTLP receiver answers"
    remedy = f"Check the port in {_ENDPOINT}: it looks like that of a page or of a health check ({_PORTS})."
    return Problem("protocol", what, remedy, is_hopeless=True)


def of_grpc(code: str, details: str = "") -> Problem:
    """Return what a gRPC status that is no success means.

    gRPC reports everything below it as UNAVAILABLE and says only in words what it was (wordings of grpcio 1.85).
    """
    if code == "UNAVAILABLE":
        words = details.lower()
        for needles, meaning in _WORDS:
            if any(needle in words for needle in needles):
                return meaning(details)
    if code == "DEADLINE_EXCEEDED":
        return TIMED_OUT
    what = f"answers gRPC {code}" + (f" ({details[:120]})" if details else "")
    remedy = _GRPC_REMEDIES.get(code, _LOOK)
    return Problem(
        "grpc", what, remedy, code, is_of_signal=remedy is _NOT_TAKEN, is_hopeless=remedy in {_CREDENTIALS, _NOT_TAKEN}
    )


def of_tls(detail: str) -> Problem:
    """Return the problem of a failed TLS handshake."""
    what = f"fails the TLS handshake ({detail[:120].strip().lower().replace('_', ' ')})"
    remedy = (
        f"Name the certificate authority in OTEL_EXPORTER_OTLP_CERTIFICATE, or begin {_ENDPOINT} with http:// "
        "if the receiver has no TLS."
    )
    return Problem("tls", what, remedy, is_hopeless=True)


def of_text(text: str) -> Problem:
    """Return the problem of which only a text is known."""
    return replace(UNEXPLAINED, what=f"{UNEXPLAINED.what} ({text[:200]})")


def _of_ssl(exc: BaseException) -> Problem:
    return of_tls(str(getattr(exc, "verify_message", "") or getattr(exc, "reason", "") or exc))


def _of_status_line(exc: BaseException) -> Problem:
    # An HTTP/2 server greets with a SETTINGS frame: binary, with zero bytes (grpcio 1.85, grpc-go).
    return SPEAKS_GRPC if "\x00" in str(exc) else CLOSED


def _of_handshake(details: str) -> Problem:
    return of_tls(details.rpartition("OPENSSL_internal:")[2].partition(":")[0])


# The first that fits counts. A refusal is also a ConnectionError and a TLS failure also a ValueError.
_MEANINGS: tuple[tuple[type[BaseException], Callable[[BaseException], Problem]], ...] = (
    (ConnectionRefusedError, lambda _: REFUSED),
    (socket.gaierror, lambda _: UNRESOLVED),
    (TimeoutError, lambda _: TIMED_OUT),
    (ssl.SSLError, _of_ssl),
    (http.client.BadStatusLine, _of_status_line),
    (ConnectionError, lambda _: CLOSED),
    (ValueError, lambda _: UNUSABLE),  # requests' InvalidSchema, MissingSchema and InvalidURL
)
_WORDS: tuple[tuple[tuple[str, ...], Callable[[str], Problem]], ...] = (
    (("handshake failed", "ssl_error", "certificate"), _of_handshake),
    (("connection refused",), lambda _: REFUSED),
    (("lookup", "dns", "resolving", "domain name"), lambda _: UNRESOLVED),
    (("http/2", "http1", "settings frame"), lambda _: SPEAKS_HTTP),
    (("timed out", "timeout"), lambda _: TIMED_OUT),
    (("connection reset", "socket closed", "connection closed", "broken pipe"), lambda _: CLOSED),
)
_GRPC_REMEDIES = {
    "UNAUTHENTICATED": _CREDENTIALS,
    "PERMISSION_DENIED": _CREDENTIALS,
    "UNIMPLEMENTED": _NOT_TAKEN,
    "RESOURCE_EXHAUSTED": "Raise the receiver's max_recv_msg_size_mib, or give it more memory.",
}


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Walk an exception and what it came from; urllib3 keeps causes in `args` and `reason` as well."""
    seen: set[int] = set()
    waiting: list[object] = [exc]
    while waiting:
        cause = waiting.pop()
        if isinstance(cause, BaseException) and id(cause) not in seen:
            seen.add(id(cause))
            yield cause
            waiting += (*cause.args, getattr(cause, "reason", None), cause.__cause__, cause.__context__)
