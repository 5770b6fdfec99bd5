"""The planner's contract: holds that end by themselves, and versions that say when anything has changed."""

from __future__ import annotations

from assign_testing.holds import HoldContract
from assign_testing.versions import VersionContract


class PlannerContract(HoldContract, VersionContract):
    """:class:`assign_core.ports.Planner`: over the seating rules of :mod:`assign_floor`."""
