"""What holds for every test here.

Hypothesis draws the same examples on every plain run, so that a change is judged by what it changed and not by the
day's luck. New examples are looked for on purpose: ``ASSIGN_CORE_SOAK=1`` draws at random, and a failure it finds is
worth an ``@example`` of its own. ``ASSIGN_CORE_BRIEF=1`` is for runs that watch every line, or try every mutant.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest
from hypothesis import Phase, settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("searching", derandomize=False, print_blob=True)
# A mutant is killed by any example, however large; making it smaller is of use to nobody.
settings.register_profile("brief", derandomize=True, max_examples=40, phases=(Phase.explicit, Phase.generate))
if os.environ.get("ASSIGN_CORE_BRIEF"):
    settings.load_profile("brief")
else:
    settings.load_profile("searching" if os.environ.get("ASSIGN_CORE_SOAK") else "repeatable")


@pytest.fixture(autouse=True)
def _no_telemetry_is_left_open() -> Iterator[None]:
    """Its thread would go on in other tests, and with a connection that nobody closes."""
    before = set(threading.enumerate())
    yield
    left = [each for each in threading.enumerate() if each not in before and each.name == "assign-core telemetry"]
    for each in left:
        each.join(5.0)  # closed, and about to end
    assert not any(each.is_alive() for each in left), (
        "the test leaves a telemetry open: use it as a context manager, or close it"
    )
