"""The micro benchmarks, in small: what is compared answers alike, and the figures that are kept fit together."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
from benchmarks.micro import machinery, run
from benchmarks.micro.deciders import deciding, plain
from benchmarks.micro.table import TABLE, cases
from benchmarks.micro.timing import in_turns, repeated

from assign_core import Action

needs_the_others = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("zen", "cedarpy", "casbin", "tenacity", "stamina", "pydantic", "msgspec")),
    reason="the libraries that ours is compared with are not installed; they are the extra 'micro'",
)


def test_the_table_that_others_are_given_says_what_our_decision_says() -> None:
    every = cases()
    by_hand = plain()
    assert [by_hand(case.facts) for case in every] == [case.ours() for case in every]
    assert {case.ours() for case in every} == set(Action)


def test_every_row_of_the_table_decides_some_case() -> None:
    """A row that never decides would not be compared."""
    assert {deciding(case.facts).rule for case in cases()} == {row.rule for row in TABLE}


def test_turns_count_what_they_ran() -> None:
    counted = {"a": 0, "b": 0}

    def count(name: str) -> None:
        counted[name] += 1

    found = in_turns({name: repeated(lambda name=name: count(name)) for name in counted}, turns=3, seconds=1e-3)  # type: ignore[misc]  # bound now, not later
    for name, timing in found.items():
        assert counted[name] >= timing.calls > 0
        assert 0 < timing.best_us <= timing.median_us


def test_what_is_timed_around_a_call_makes_the_calls() -> None:
    assert machinery.effects()(7)() == 7
    assert machinery.effects_async()(7)() == 7
    machinery.attempts()(3)()


@needs_the_others
def test_the_figures_fit_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "micro.json"
    run.main(["--out", str(out), "--turns", "2", "--seconds", "0.001", "--every", "40"])
    kept = json.loads(out.read_text())
    assert set(kept["cases_agreed"]) == {"the table by hand", "zen-engine", "cedarpy", "casbin"}
    assert all(count > 100 for count in kept["cases_agreed"].values())
    assert {"assign-core", "zen-engine", "pydantic"} <= kept["versions"].keys()
    assert kept["machine"]["cores"] > 0
    for comparison in kept["comparisons"]:
        ours = comparison["contestants"]["assign-core"]
        assert ours["ratio"] == 1
        for each in comparison["contestants"].values():
            assert each["calls"] >= 2
            assert 0 < each["best_us"] <= each["median_us"]
            assert each["ratio"] == pytest.approx(each["median_us"] / ours["median_us"], abs=0.01)
        if comparison["target_us"] is not None:
            assert comparison["target_met"] == (ours["median_us"] <= comparison["target_us"])
    assert "zen-engine" in capsys.readouterr().out
