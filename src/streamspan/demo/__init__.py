"""A provider on the loopback interface that plays hand-made streams; needs no key, no network and no package."""

from __future__ import annotations

from streamspan.demo.exchanges import Exchange
from streamspan.demo.scenarios import SCENARIOS, Scenario, UnknownScenarioError
from streamspan.demo.server import DemoProvider

__all__ = ["SCENARIOS", "DemoProvider", "Exchange", "Scenario", "UnknownScenarioError"]
