"""What holds for every test here.

Hypothesis draws the same examples on every plain run, so that a change is judged by what it changed and not by the
day's luck. New examples are looked for on purpose: ``ASSIGN_CORE_SOAK=1`` draws at random, and a failure it finds is
worth an ``@example`` of its own. ``ASSIGN_CORE_BRIEF=1`` is for runs that watch every line, or try every mutant.
"""

from __future__ import annotations

import os

from hypothesis import Phase, settings

settings.register_profile("repeatable", derandomize=True)
settings.register_profile("searching", derandomize=False, print_blob=True)
# A mutant is killed by any example, however large; making it smaller is of use to nobody.
settings.register_profile("brief", derandomize=True, max_examples=40, phases=(Phase.explicit, Phase.generate))
if os.environ.get("ASSIGN_CORE_BRIEF"):
    settings.load_profile("brief")
else:
    settings.load_profile("searching" if os.environ.get("ASSIGN_CORE_SOAK") else "repeatable")
