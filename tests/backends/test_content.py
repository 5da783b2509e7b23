"""The second line of defence: content and secrets that left an application do not reach a backend."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest
from opentelemetry.trace import Status, StatusCode

import streamspan
from backends.collectors import Collector
from backends.jaegers import Jaeger
from backends.programs import until
from backends.prometheuses import Prometheus
from backends.shop import Shop
from end_to_end.arrivals import Arrivals
from streamspan.demo import DemoProvider

# In pieces, so that no scanner takes them for keys of somebody.
SECRETS = {
    "openai": "sk-proj" + "-PlantedPlantedPlanted01",
    "anthropic": "sk-ant" + "-api03-PlantedPlanted02",
    "google": "AIza" + "PlantedPlantedPlantedPlantedPlanted03",
    "aws": "AKIA" + "PLANTEDPLANTED04",
    "github": "ghp_" + "PlantedPlantedPlantedPlanted05",
    "slack": "xoxb-" + "1234567890-Planted06",
    "hugging-face": "hf_" + "PlantedPlantedPlanted07",
    "stripe": "sk_live" + "_PlantedPlanted08",
    "jwt": "eyJQbGFudGVk" + ".eyJQbGFudGVkMDki.c2lnbmF0dXJl",
    "bearer": "Bearer " + "PlantedPlantedPlanted10",
    "named": "api_key=" + "PlantedPlanted11",
    "json": '"client_secret": "' + 'PlantedPlanted12"',
    "url": "https://user:" + "Planted13@example.org/path",
    "e-mail": "planted.fourteen" + "@example.org",
    "private-key": "-----BEGIN RSA PRIVATE KEY-----\n" + "UGxhbnRlZDE1\n-----END RSA PRIVATE KEY-----",
}
_CORES = [
    "PlantedPlanted",
    "PLANTEDPLANTED",
    "1234567890-Planted",
    "eyJQbGFudGVkMDki",
    "Planted13",
    "planted.fourteen",
    "UGxhbnRlZDE1",
]
"""What must not be found; each secret contains one."""
CONTENT = "marker-of-content"
ALL = " and ".join(SECRETS.values())
FOREIGN = {
    "gen_ai.prompt.0.content": CONTENT,
    "gen_ai.completion.0.content": CONTENT,
    "gen_ai.tool.call.arguments": CONTENT,
    "gen_ai.tool.call.result": CONTENT,
    "llm.input_messages.0.message.content": CONTENT,
    "input.value": CONTENT,
    "output.value": CONTENT,
    "traceloop.entity.input": CONTENT,
}
"""Where other instrumentations put content."""
COUNTS = {
    "gen_ai.usage.input_tokens": 1234567890123456,
    "gen_ai.usage.output_tokens": 52,
    "gen_ai.usage.cache_read.input_tokens": 4111111111111111,
    "gen_ai.request.max_tokens": 99,
}


@dataclass
class Told:
    """Everything that the backends have been told."""

    jaeger: Jaeger
    prometheus: Prometheus
    logs: Arrivals

    @property
    def everything(self) -> str:
        """All of it as text."""
        url = f"{self.jaeger.url}/api/traces?service=shop&limit=1000"
        with urllib.request.urlopen(url, timeout=60) as answer:
            traces = json.dumps(json.load(answer), ensure_ascii=False)
        series = json.dumps(self.prometheus.query('{__name__=~".+"}'), ensure_ascii=False)
        return "\n".join((traces, series, self.logs.raw.decode(errors="replace")))


@contextmanager
def _told(home: Path, **variables: str) -> Iterator[Told]:
    """Play an application that records content, and leaks secrets in every place there is."""
    with (
        Jaeger(home / "jaeger") as jaeger,
        Prometheus(home / "prometheus") as prometheus,
        Arrivals() as logs,
        DemoProvider() as provider,
    ):
        addresses = {
            "JAEGER_ENDPOINT": jaeger.address,
            "PROMETHEUS_ENDPOINT": prometheus.otlp,
            "LOKI_ENDPOINT": logs.endpoint,
            "LOGS_EXPORTERS": "[otlp_http/loki]",
            "SPAN_METRICS_INTERVAL": "200ms",
        }
        with Collector("local", home / "collector", **addresses | variables) as collector:
            config = streamspan.Config(
                capture_content="SPAN_AND_EVENT", redactions=(), events="both", include_usage=True
            )
            with Shop(collector, config=config) as shop:
                _play(shop, provider)
                _leak(shop)
                shop.flush()
                until(lambda: jaeger.spans("shop"), lambda spans: len(spans) == len(shop.spans) == 4)
                until(lambda: prometheus.total("traces_span_metrics_calls_total") == 4)
                logs.wait_until(lambda: any(record["body"] == "the last one" for record in logs.logs))
            yield Told(jaeger, prometheus, logs)


def _play(shop: Shop, provider: DemoProvider) -> None:
    """Stream once with content that holds secrets, and fail once with a message that does."""
    client = openai.OpenAI(base_url=provider.url("ok;chunks=5"), api_key="demo")
    messages: Any = [{"role": "user", "content": f"{CONTENT} {ALL}"}]
    with streamspan.session("c1", note=ALL, notes=[ALL, "second"]):
        for _ in client.chat.completions.create(model="gpt-x", messages=messages, stream=True):
            pass

    def failing() -> Iterator[str]:
        yield "word"
        raise ValueError(f"it is said that {ALL}")

    with suppress(ValueError):
        for _ in streamspan.observe(failing(), provider="acme", model="m1"):
            pass


def _leak(shop: Shop) -> None:
    """Do what other instrumentations and applications do."""
    tracer, meter, logger = (
        shop.tracers.get_tracer("other"),
        shop.meters.get_meter("other"),
        shop.loggers.get_logger("other"),
    )
    with tracer.start_as_current_span("other", attributes=FOREIGN | COUNTS | {"note": ALL, "notes": [ALL]}) as span:
        span.add_event("gen_ai.user.message", {"gen_ai.prompt": CONTENT, "content": ALL})
        span.record_exception(ValueError(ALL))
        span.set_status(Status(StatusCode.ERROR, ALL))
        logger.emit(
            event_name="gen_ai.user.message", body={"content": CONTENT, "role": "user"}, attributes={"note": ALL}
        )
        logger.emit(body={"text": [ALL]}, attributes=FOREIGN)
        logger.emit(body=f"said in passing: {ALL}")
        meter.create_counter("other.calls").add(1, {"note": ALL})
    for number, secret in enumerate(SECRETS.values()):
        logger.emit(body=f"{number}: {secret}")
    tracer.start_span("last").end()
    logger.emit(body="the last one")


def _found(told: Told, *markers: str) -> list[str]:
    everything = told.everything
    assert "it is said that" in everything  # errors are told all the same
    return [marker for marker in markers if marker in everything]


def test_neither_content_nor_secrets_reach_a_backend(tmp_path: Path) -> None:
    """In the default configuration, in no signal; what is harmless, and every count of tokens, is as it was."""
    with _told(tmp_path) as told:
        assert _found(told, CONTENT, *_CORES) == []
        (other,) = (span for span in told.jaeger.spans("shop") if span.name == "other")
        assert {key: other.tags.get(key) for key in COUNTS} == COUNTS
        assert set(other.tags) & set(FOREIGN) == set()
        assert other.tags["otel.status_description"].startswith("****")
        assert "streamspan.status" not in other.tags
        assert other.event_names == ["gen_ai.user.message", "exception"]
        assert other.events[1]["exception.type"] == "ValueError"
        (chat,) = (span for span in told.jaeger.spans("shop") if span.name == "chat gpt-x")
        assert chat.tags["gen_ai.usage.output_tokens"] > 0
        assert chat.tags["gen_ai.conversation.id"] == "c1"
        assert told.prometheus.total('gen_ai_client_token_usage_count{gen_ai_token_type="output"}') == 1


def test_content_can_be_kept_and_secrets_still_not(tmp_path: Path) -> None:
    """One variable lets prompts and answers pass."""
    with _told(tmp_path, OTELCOL_CONTENT="keep") as told:
        assert _found(told, CONTENT, *_CORES) == [CONTENT]
        (chat,) = (span for span in told.jaeger.spans("shop") if span.name == "chat gpt-x")
        assert CONTENT in chat.tags["gen_ai.input.messages"]
        (other,) = (span for span in told.jaeger.spans("shop") if span.name == "other")
        assert {key: other.tags.get(key) for key in FOREIGN} == FOREIGN


@pytest.mark.parametrize("secret", SECRETS)
def test_each_secret_has_a_core_that_is_looked_for(secret: str) -> None:
    """The tests above can fail."""
    assert [core for core in _CORES if core in SECRETS[secret]] != []
