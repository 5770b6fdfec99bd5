"""The list of survivors is read and held to a run as it says; the run itself is started by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.mutation.survivors import Mutant, disagreements, listed

A = Mutant("assign_core.case.later", "a > b", "a >= b")
B = Mutant("assign_core.rules._closed", "None", "1")


def test_every_survivor_that_is_listed_has_a_reason() -> None:
    for mutant, reason in listed().items():
        assert mutant.function.startswith("assign_core."), mutant
        assert len(reason) > 10, mutant
        assert mutant.was != mutant.now


def test_a_list_that_agrees_is_silent() -> None:
    assert disagreements({A: "equal"}, [A], ["case", "rules"]) == []


def test_a_new_survivor_and_one_that_is_killed_are_told() -> None:
    new, gone = disagreements({A: "equal"}, [B], ["case", "rules"])
    assert new.startswith("no test minds")
    assert str(B) in new
    assert gone.startswith("is killed now")
    assert str(A) in gone


def test_what_was_not_mutated_says_nothing() -> None:
    assert disagreements({A: "equal"}, [], ["rules"]) == []


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ('[[survivor]]\nfunction = "f"\nwas = "a"\nnow = "b"\nreason = " "\n', "no reason"),
        ('[[survivor]]\nfunction = "f"\nwas = "a"\nnow = "b"\nreason = "r"\n' * 2, "twice"),
    ],
)
def test_a_list_that_cannot_be_meant_is_refused(tmp_path: Path, entries: str, words: str) -> None:
    path = tmp_path / "survivors.toml"
    path.write_text(entries, encoding="utf-8")
    with pytest.raises(ValueError, match=words):
        listed(path)
