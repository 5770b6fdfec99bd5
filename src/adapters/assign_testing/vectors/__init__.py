"""The decision as JSON, so that an implementation in another language can be held against it.

``decisions.json`` beside this module is one object:

``policies``
    By name, the settings: ``retries``, ``attemptCap``, ``capacityBudget``, ``rejectedBudget``, ``ambiguousBudget``
    (counts), ``jitter`` and ``revalidationShare`` (0 or 1 here, so that nothing is drawn), ``relaxAfterTimeout``,
    ``delaysUs`` (a list), ``cutoffUs``, ``dispatchMarginUs``, ``freshnessUs``, ``clockSkewUs``,
    ``revalidationLimitUs``, ``wakeWindowUs`` (microseconds), and ``strategy``.
``now``
    The moment of every decision.
``vectors``
    Each has a ``policy`` (a name), a ``booking`` (``id``, ``status``, ``startAt``, ``revision``, ``capacityVersion``,
    ``email``), the ``blob`` that is stored on it (``null``: none; a text: damage), and the expected ``decision``:
    ``action``, ``maxAttempts``, ``attemptsUsed``, ``notBefore``, ``parked``, ``suppressEmail``, ``evidence``,
    ``failureClass``, ``rules`` (the deciding one first), and, where another attempt may follow, its ``strategy``
    (``requireAdjacency``, ``maxTables``).

Times are ISO 8601 in UTC with microseconds. The expected decisions do not come from :func:`assign_core.decide`: they
are computed by a second telling of the rules that shares no code with the first, so both have to agree.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Final, cast

from assign_wire import JSON

FILE: Final = "decisions.json"


def decision_vectors() -> dict[str, JSON]:
    """What the file says, as a new dict."""
    return cast("dict[str, JSON]", json.loads(files("assign_testing.vectors").joinpath(FILE).read_text("utf-8")))
