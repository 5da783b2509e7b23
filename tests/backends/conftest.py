"""What the tests of this folder share."""

from __future__ import annotations

from backends.dash_stage import picture as picture  # noqa: PLC0414 - pytest looks for fixtures here
