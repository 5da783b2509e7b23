"""What the end-to-end tests share: readable failures of the checks that are not in test modules."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("end_to_end.checks")
