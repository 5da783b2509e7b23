"""The recording and alert rules: what Prometheus and promtool think of them, and what they say of real sessions."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.dash_prometheus import SHIPPED, Vector, labels
from backends.dash_stage import Picture
from backends.dash_truth import MODEL, Truth, differences, series_name, summed
from backends.programs import binary
from backends.test_dashboards import METRICS

# The first test waits for three applications to play.
pytestmark = pytest.mark.timeout(300)

RULES = SHIPPED / "rules" / "streamspan.yaml"
UNIT_TESTS = SHIPPED / "rules.test.yaml"
ALL = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
RECORDED: dict[str, str] = {rule["record"]: rule["expr"] for rule in ALL if "record" in rule}
ALERTS: dict[str, str] = {rule["alert"]: rule["expr"] for rule in ALL if "alert" in rule}
_RECORDED_NAME = re.compile(r"(streamspan:[\w:]+)(\{[^}]*\})?(?:\[(\w+)\])?")


@pytest.fixture(scope="session")
def promtool() -> str:
    """The path of promtool."""
    return binary("promtool")


def run(*command: str | Path) -> tuple[bool, str]:
    """Return whether a program succeeded, and what it wrote."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode == 0, done.stdout + done.stderr


def written_out(expr: str, window: str | None = None) -> str:
    """Return an expression with the recorded series replaced by what records them, so that it has a value at any time.

    A range over a recorded series becomes one over a subquery, by default of the same length.
    """

    def what_records(match: re.Match[str]) -> str:
        name, matchers, length = match.groups()
        inner = written_out(RECORDED[name])
        if matchers:
            inner = re.sub(r"(\w)\[", rf"\1{matchers}[", inner)
        return f"({inner})" + (f"[{window or length}:1s]" if length else "")

    return _RECORDED_NAME.sub(what_records, expr)


# --- what needs no data --------------------------------------------------------------------------------------------------


def test_prometheus_takes_them(promtool: str) -> None:
    """Rules and configuration are valid."""
    assert run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)[0]
    is_fine, output = run(promtool, "check", "config", SHIPPED / "prometheus.yaml")
    assert is_fine, output


def test_the_unit_tests_pass(promtool: str) -> None:
    """What rules.test.yaml says about each rule is true."""
    is_fine, output = run(promtool, "test", "rules", UNIT_TESTS)
    assert is_fine, output


def test_every_rule_has_unit_tests() -> None:
    """Each recorded series has its value tested, or that of the alert on it; each alert is tested firing and silent."""
    tests = yaml.safe_load(UNIT_TESTS.read_text(encoding="utf-8"))["tests"]
    alerts = [each for test in tests for each in test.get("alert_rule_test", ())]
    assert {each["alertname"] for each in alerts if each["exp_alerts"]} == set(ALERTS)
    assert {each["alertname"] for each in alerts if not each["exp_alerts"]} == set(ALERTS)
    used = " ".join([*(each["expr"] for test in tests for each in test.get("promql_expr_test", ())), *ALERTS.values()])
    assert [name for name in RECORDED if name not in used] == []


def test_every_metric_and_bound_exists() -> None:
    """Names are those that the library records, and bounds are written alike by whatever way the data came."""
    text = " ".join([*RECORDED.values(), *ALERTS.values()])
    by_name = {series_name(metric) + part: metric for metric in METRICS for part in ("", "_bucket", "_count", "_sum")}
    named = set(re.findall(r"\b(?:streamspan|gen_ai_client)_\w+(?=[\[{ )])", text)) - {"streamspan_outcome"}
    assert named
    assert named - set(by_name) == set()
    bounds = re.findall(r'(\w+)\{le="([^"]+)"\}', text)
    assert bounds
    for name, bound in bounds:
        assert float(bound) in by_name[name].buckets
        assert not float(bound).is_integer()


@pytest.mark.parametrize(
    ("right", "wrong", "test"),
    [
        ("[5m]", "[5 m]", "late first tokens"),
        ("severity: page", "severity: paige", "late first tokens"),
        ('le="2.5"', 'le="3.5"', "late first tokens"),
        ("> 6 * 0.05", "> 6 * 0.5", "four of ten"),
        (">= 20", ">= 0", "a single failure"),
        ('"error|timeout"', '"error"', "errors, timeouts"),
        ("_inference_", "_inferense_", "errors, timeouts"),
        ("or 0 * sum by (gen_ai_provider_name) (streamspan:calls:increase15m)", "", "errors, timeouts"),
        ("streamspan_stalls_total", "streamspan_stalls", "streams that stall"),
        ("> 0.05 + 2 *", "> 0.05 + 4 *", "cancels that jump"),
        ("for: 45m", "for: 4h", "streams that never end"),
        ("offset 2h", "offset 2m", "a service that falls silent"),
        ("$labels.service_name", "$labels.service", "a service that falls silent"),
        ("absent(streamspan_active)", "absent(up)", "nothing arrives"),
    ],
)
def test_a_fault_in_a_rule_is_caught(promtool: str, tmp_path: Path, right: str, wrong: str, test: str) -> None:
    """A wrong name, window, threshold or label makes the unit test fail that is about it."""
    home = tmp_path / "prometheus"
    shutil.copytree(SHIPPED, home)
    path = home / "rules" / "streamspan.yaml"
    text = path.read_text(encoding="utf-8")
    command = [promtool, "test", "rules", f"--run={test}", str(home / "rules.test.yaml")]
    assert run(*command)[0]
    assert right in text
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    assert not run(*command)[0]


# --- on real data --------------------------------------------------------------------------------------------------------


def expected_records(truth: Truth) -> Mapping[str, Vector]:
    """Return what each recorded series has to be."""
    first = truth.values("time_to_first_token")
    slow = {
        key: 1 - summed(((call, value <= 2.5) for call, value in first), MODEL)[key] / count
        for key, count in summed(((call, 1) for call, _ in first), MODEL).items()
    }
    stalls, streams = truth.counted("stall_count", MODEL), summed(((each, 1) for each in truth.streams), MODEL)
    return {
        **{f"streamspan:first_token_slow:ratio_rate{window}": slow for window in ("5m", "30m", "1h", "6h")},
        "streamspan:first_token:increase1h": summed(((call, 1) for call, _ in first), MODEL),
        "streamspan:calls:increase15m": truth.count(("service_name", MODEL[0], "streamspan_outcome")),
        "streamspan:failed:ratio15m": truth.share("error|timeout", MODEL[:1]),
        "streamspan:truncated:ratio15m": truth.share("truncated", MODEL[:1]),
        "streamspan:cancelled:ratio15m": truth.share("cancelled", ("service_name",)),
        "streamspan:stalls:ratio15m": {key: stalls.get(key, 0) / count for key, count in streams.items()},
    }


def expected_alerts(truth: Truth) -> Mapping[str, Vector]:
    """Return the alerts that the sessions are reason for, but for those that tell of hours."""
    records = expected_records(truth)
    calls, streams = truth.count(MODEL[:1]), summed(((each, 1) for each in truth.streams), MODEL)
    slow = above(
        0.72, records["streamspan:first_token_slow:ratio_rate5m"], records["streamspan:first_token:increase1h"]
    )
    return {
        "StreamspanFirstTokenBurnFast": slow,
        "StreamspanFirstTokenBurnSlow": slow,
        "StreamspanFailing": above(0.1, records["streamspan:failed:ratio15m"], calls),
        "StreamspanTruncated": above(0.02, records["streamspan:truncated:ratio15m"], calls),
        "StreamspanStalling": above(0.1, records["streamspan:stalls:ratio15m"], streams),
    }


def above(threshold: float, shares: Vector, counts: Vector) -> Vector:
    """Return the shares that are above a threshold and of enough calls to count."""
    found = {key: share for key, share in shares.items() if share > threshold and counts[key] >= 20}
    assert found, "the applications are to be reason for this alert"
    return found


def test_all_rules_are_evaluated_without_an_error(picture: Picture) -> None:
    """The running Prometheus evaluates every rule, and every recorded series has values."""
    health = {rule["name"]: (rule["health"], rule.get("lastError", "")) for rule in picture.prometheus.rules()}
    assert health == dict.fromkeys([*RECORDED, *ALERTS], ("ok", ""))
    for name in RECORDED:
        assert picture.prometheus.samples(name, picture.applications["shop"].ended_at + 60), name


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_series_says_what_the_sessions_were(picture: Picture, name: str) -> None:
    """Its expression returns exactly what follows from the sessions of the first application."""
    played = picture.applications["shop"]
    found = picture.prometheus.query(written_out(RECORDED[name]), played.ended_at)
    assert differences(found, expected_records(Truth("shop", played.sessions))[name]) == []


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_follows_from_the_sessions(picture: Picture, name: str) -> None:
    """Where the sessions are reason for an alert its expression returns them, and nothing else."""
    played, prometheus = picture.applications["shop"], picture.prometheus
    expected = expected_alerts(Truth("shop", played.sessions))
    if name in expected:
        assert differences(prometheus.query(written_out(ALERTS[name]), played.ended_at), expected[name]) == []
    else:
        _OF_HOURS[name](picture)


def _cancels_jump(picture: Picture) -> None:
    """The two sides of the comparison speak of the same service: the share, and that share a quarter of an hour later."""
    played = picture.applications["shop"]
    left, right = written_out(ALERTS["StreamspanCancelsJump"].partition("and on")[0], "1m").split(" > 0.05 ")
    share = Truth("shop", played.sessions).share("cancelled", ("service_name",))
    assert differences(picture.prometheus.query(left, played.ended_at), share) == []
    usual = picture.prometheus.query(f"0.05 {right}", played.ended_at + 15 * 60 + 10)
    assert usual[labels(service_name="shop")] > 0.05


def _streams_never_end(picture: Picture) -> None:
    """The stream that was held open is reason for it while it was open, and none afterwards.

    Over a second instead of a quarter of an hour, for it is open only that long.
    """
    played = picture.applications["shop"]
    expr = ALERTS["StreamspanStreamsNeverEnd"].replace("streamspan_active[15m]", "streamspan_active[200ms]")
    assert picture.prometheus.query(expr, played.held_at) == {labels(service_name="shop"): 1.0}
    assert picture.prometheus.query(expr, played.ended_at) == {}


def _service_silent(picture: Picture) -> None:
    """An hour after their end the applications are missed, if they had run for an hour and more."""
    at = max(played.ended_at for played in picture.applications.values()) + 3600
    expr = ALERTS["StreamspanServiceSilent"]
    assert picture.prometheus.query(expr, at) == {}
    missed = picture.prometheus.query(expr.replace("offset 2h", "offset 1h"), at)
    assert set(missed) == {labels(service_name=service) for service in picture.applications}
    assert (
        picture.prometheus.query(expr.replace("offset 2h", "offset 1m").replace("offset 1h", "offset 1m"), at - 3600)
        == {}
    )


def _no_data(picture: Picture) -> None:
    """There is none an hour later."""
    at = picture.applications["shop"].ended_at
    assert picture.prometheus.query(ALERTS["StreamspanNoData"], at) == {}
    assert picture.prometheus.query(ALERTS["StreamspanNoData"], at + 3600) == {frozenset(): 1.0}


_OF_HOURS: dict[str, Any] = {
    "StreamspanCancelsJump": _cancels_jump,
    "StreamspanStreamsNeverEnd": _streams_never_end,
    "StreamspanServiceSilent": _service_silent,
    "StreamspanNoData": _no_data,
}


def test_a_fault_in_a_rule_is_caught_on_real_data(picture: Picture) -> None:
    """A metric by a name that nobody records makes a rule return nothing, and that is a difference."""
    played = picture.applications["shop"]
    name = "streamspan:stalls:ratio15m"
    expected = expected_records(Truth("shop", played.sessions))[name]
    for right, wrong in (("streamspan_chunks_count", "streamspan_chunk_count"), ("streamspan_stalls_total", "stalls")):
        found = picture.prometheus.query(RECORDED[name].replace(right, wrong), played.ended_at)
        assert differences(found, expected) != []
