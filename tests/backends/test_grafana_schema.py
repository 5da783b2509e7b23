"""The dashboards against Grafana's own SDK, which is generated from its schemas: no key or type that it does not know."""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import pytest

from backends.test_dashboards import FILES

if sys.version_info < (3, 11):
    pytest.skip("grafana-foundation-sdk needs Python 3.11", allow_module_level=True)
pytest.importorskip("grafana_foundation_sdk", reason="Grafana's schemas; it is in the group `test`")

from backends.dash_schema import findings


@pytest.mark.parametrize("name", FILES)
def test_a_dashboard_agrees_with_the_schema(name: str) -> None:
    """Every key is known, and every value is of its type."""
    assert findings(FILES[name]) == []


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        (("panels", 1, "fieldconfig"), {}, ".panels[1].fieldconfig is not known"),
        (("panels", 1, "targets", 0, "expression"), "up", ".panels[1].targets[0].expression is not known"),
        (("panels", 1, "options", "colourMode"), "value", ".panels[1].options.colourMode is not known"),
        (("panels", 1, "options", "colorMode"), "rainbow", ".panels[1].options.color_mode is 'rainbow'"),
        (("panels", 1, "gridPos", "w"), "wide", ".panels[1].grid_pos.w is 'wide'"),
        (("panels", 8, "fieldConfig", "defaults", "custom", "drawStyle"), "dots", "draw_style is 'dots'"),
        (("templating", "list", 1, "multi"), "yes", ".multi is 'yes'"),
        (("templating", "list", 1, "refresh"), 7, ".refresh is 7"),
        (("links", 0, "type"), "jump", ".type_val is 'jump'"),
        (("schemaversion",), 41, ".schemaversion is not known"),
    ],
)
def test_a_fault_in_a_dashboard_is_caught(path: tuple[Any, ...], value: Any, says: str) -> None:
    """A misspelt key and a value of another type are found, and named."""
    dashboard = deepcopy(FILES["streams-overview.json"])
    *above, last = path
    place: Any = dashboard
    for step in above:
        place = place[step]
    place[last] = value
    assert [finding for finding in findings(dashboard) if says in finding] != []
