"""Failing assertions of the contracts show their values to whoever writes the adapter.

pytest does so only for test files and for modules that it is told of before they are imported, so this one comes first.
"""

from __future__ import annotations

import pytest

_ASSERTING = (
    "confirms",
    "due",
    "holds",
    "leases",
    "machine",
    "mailer",
    "records",
    "steps",
    "telemetry",
    "versions",
)

pytest.register_assert_rewrite(*(f"assign_testing.{name}" for name in _ASSERTING))
