"""The list of survivors and the score are read and held to a run as they say; the run itself is started by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.mutation.score import Score, keep, kept, score_of
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


def test_only_a_failed_test_kills_and_only_an_endless_one_times_out() -> None:
    """0: nobody minded. 33: no test reaches it. 35 and -11: mutmut cannot say, and a crash is no opinion of a test."""
    assert score_of([1, 3, 1]) == Score(killed=3)
    assert score_of([36, -24, 152]) == Score(timed_out=3)
    assert score_of([0, 2, 5, 33, 34, 35, -9, -11]) == Score(survived=8)


def test_the_share_counts_what_timed_out_and_not_what_survived() -> None:
    assert Score(killed=6, timed_out=2, survived=2).share == pytest.approx(0.8)
    assert Score().share == 1


def test_a_run_replaces_the_figures_of_its_modules_and_drops_those_that_have_gone(tmp_path: Path) -> None:
    path = tmp_path / "results" / "mutation.json"
    first = {"case": Score(killed=1), "rules": Score(killed=5), "old": Score(survived=9)}
    keep(first, whole=("case", "old"), tools={}, path=path)
    assert kept(path) == {"case": Score(killed=1), "old": Score(survived=9)}
    keep(
        {"rules": Score(killed=2, timed_out=1, survived=1)},
        whole=("case", "flows", "rules"),
        tools={"mutmut": "3"},
        path=path,
    )
    assert kept(path) == {"case": Score(killed=1), "rules": Score(2, 1, 1)}
    told = json.loads(path.read_text(encoding="utf-8"))
    assert (told["killed"], told["total"], told["score"], told["not_run"], told["mutmut"]) == (
        3,
        5,
        0.8,
        ["flows"],
        "3",
    )


def test_the_figures_that_are_kept_agree_with_the_list() -> None:
    """Every survivor has a reason, and nothing is listed that was killed: said once for the last run of each module."""
    of_module = Counter(mutant.function.split(".")[1] for mutant in listed())
    assert {module: score.survived for module, score in kept().items()} == {
        module: of_module[module] for module in kept()
    }
