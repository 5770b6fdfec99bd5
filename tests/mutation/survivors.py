"""The mutants that no test minds, each with the reason why none should: ``survivors.toml``.

A mutant is known by its function and by the lines that it changes, not by its number, which every edit above it
shifts. The list is held to the run: a survivor that it does not name is a missing test, and a name whose mutant is
killed now, or does not exist any more, is a reason that has gone.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LIST: Final = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """What was changed: in ``function``, the line ``was`` into ``now``."""

    function: str
    was: str
    now: str

    def __str__(self) -> str:
        return f"{self.function}\n  - {self.was}\n  + {self.now}"


def listed(path: Path = LIST) -> dict[Mutant, str]:
    """The list, with its reasons.

    Raises:
        ValueError: an entry without a reason, or one that is there twice.
    """
    found: dict[Mutant, str] = {}
    for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("survivor", []):
        mutant = Mutant(entry["function"], entry["was"], entry["now"])
        if mutant in found:
            raise ValueError(f"{path.name} names this twice; take one out: {mutant}")
        if not entry["reason"].strip():
            raise ValueError(f"{path.name} gives no reason for this; say why no test should mind: {mutant}")
        found[mutant] = entry["reason"]
    return found


def disagreements(reasons: Mapping[Mutant, str], survived: Collection[Mutant], modules: Collection[str]) -> list[str]:
    """Where list and run differ, in words.

    Args:
        modules: those that were mutated; what is listed of another says nothing.
    """
    said = [f"no test minds, and the list gives no reason: {mutant}" for mutant in sorted(set(survived) - set(reasons))]
    gone = sorted(mutant for mutant in set(reasons) - set(survived) if mutant.function.split(".")[1] in modules)
    return said + [f"is killed now, or does not exist any more; take it off the list: {mutant}" for mutant in gone]
