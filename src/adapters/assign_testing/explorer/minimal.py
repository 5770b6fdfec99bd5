"""A failing schedule, made as short as it can be and told as a Python snippet.

What is left out is chosen by the scheduler's own default (go on with the same actor; then the next one), so most of a
failing schedule can go. It is shortened as delta debugging does (Zeller and Hildebrandt, *Simplifying and Isolating
Failure-Inducing Input*, 2002): take away pieces, large ones first, as long as the same promise still breaks.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from assign_core.policy import Policy
from assign_testing.explorer.faults import Fault
from assign_testing.explorer.run import Choice, replay
from assign_testing.explorer.scenario import HOUSES, Scenario
from assign_testing.explorer.search import Broken
from assign_testing.explorer.watch import Violation
from assign_testing.explorer.world import Backend

TRIES: Final = 2_000
"""Replays that shortening may take; a schedule of usual length takes less than a tenth of it."""


def minimal(broken: Broken, backend: Backend) -> Broken:
    """The shortest schedule that was found to break the same promise.

    Raises:
        RuntimeError: told again, the schedule breaks nothing: the backend does not give a new world each time.
    """
    found = _break(broken.scenario, broken.trace, broken.violation.promise, backend)
    if found is None:
        raise RuntimeError(
            f"the schedule that broke {broken.violation} breaks nothing when it is told again: "
            "the backend's reset() leaves something behind, or its world depends on more than the schedule"
        )
    shortest, tries = found, 1
    piece = max(1, len(shortest.trace) // 2)
    while piece and tries < TRIES:
        shorter = None
        for shorter_trace in _without(shortest.trace, piece):
            tries += 1
            shorter = _break(broken.scenario, shorter_trace, broken.violation.promise, backend)
            if shorter is not None or tries >= TRIES:
                break
        if shorter is None:
            piece //= 2
        else:
            shortest = shorter
            piece = min(piece, len(shortest.trace))
    return shortest


def _without(choices: list[Choice], piece: int) -> list[list[Choice]]:
    """The choices without one piece; then, for single ones, with one thing less going wrong."""
    shorter = [choices[:start] + choices[start + piece :] for start in range(0, len(choices), piece)]
    if piece == 1:
        shorter += [
            [*choices[:at], (actor, None), *choices[at + 1 :]]
            for at, (actor, fault) in enumerate(choices)
            if fault is not None
        ]
    return shorter


def _break(scenario: Scenario, choices: list[Choice], promise: str, backend: Backend) -> Broken | None:
    try:
        replay(scenario, choices, backend)
    except Violation as violation:
        return Broken(scenario, choices, violation) if violation.promise == promise else None
    return None


def snippet(broken: Broken) -> str:
    """Python that tells the schedule again, on the backend in memory unless ``replay`` is given another."""
    told, names = broken.scenario, ["replay", "scenario"]
    if any(fault is not None for _, fault in broken.trace):
        names.insert(0, "Fault")
    lines = [f"from assign_testing.explorer import {', '.join(names)}", ""]
    arguments = [repr(actor) for actor in told.cast]
    if told.house.name in HOUSES:
        arguments.append(f"house={told.house.name!r}")
    else:
        arguments.append(f"house=HOUSE  # yours: {told.house.name}\n    ")
    if told.on_deadline != "cancel":
        arguments.append(f"on_deadline={told.on_deadline!r}")
    if told.policy != Policy():
        lines[:0] = ["import datetime", "", "from assign_core import Policy, Strategy"]
        arguments.append(f"policy={_policy(told.policy)}")
    lines += ["replay(", f"    scenario({', '.join(arguments)}),", "    ["]
    lines += [f"        ({actor!r}, {_fault(fault)})," for actor, fault in broken.trace]
    return "\n".join([*lines, "    ],", ")"])


def _fault(fault: Fault | None) -> str:
    return "None" if fault is None else f"Fault.{fault.name}"


def _policy(policy: Policy) -> str:
    default = Policy()
    own = {each.name: getattr(policy, each.name) for each in fields(policy)}
    return f"Policy({', '.join(f'{name}={value!r}' for name, value in own.items() if value != getattr(default, name))})"
