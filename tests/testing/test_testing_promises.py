"""Whatever promise a check names is one that the list of promises has."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECKS = (
    *sorted((ROOT / "src/adapters/assign_testing").rglob("*.py")),
    ROOT / "tests/faults/invariants.py",
)


def test_every_promise_that_a_check_names_is_on_the_list() -> None:
    promises = (files("assign_testing") / "PROMISES.md").read_text(encoding="utf-8")
    numbered = re.findall(r"^\| (P\d+) \|", promises, re.MULTILINE)
    assert numbered == [f"P{number}" for number in range(1, 11)]
    sources = "".join(path.read_text(encoding="utf-8") for path in CHECKS)
    named = set(re.findall(r'"(P\d+ [a-z]+)["\:]', sources))
    assert len(named) > 5
    assert {each for each in named if f"`{each}`" not in promises} == set()
