"""Results as a file, and in words."""

from __future__ import annotations

import json

import pytest
from attrs import evolve

from assign_bench import Measured
from assign_bench.claims import OURS, claims
from assign_bench.markdown import as_markdown
from assign_bench.results import FORMAT, Results, dumps, loads, results
from assign_bench.stats import Interval


def found(*measured: Measured) -> Results:
    return results(measured, seconds=1.5, processes=1)


def named(measured: tuple[Measured, ...], **seeds: tuple[int, ...]) -> Results:
    return found(
        *(
            evolve(each, workload=name, seed=seed)
            for name, numbers in seeds.items()
            for seed in numbers
            for each in measured
        )
    )


def test_a_file_gives_back_what_it_shows(measured: tuple[Measured, ...]) -> None:
    text = dumps(named(measured, busy=(0, 1), quiet=(0, 1)))
    assert dumps(loads(text)) == text
    assert json.loads(text)["seeds"] == {"busy": [0, 1], "quiet": [0, 1]}


def test_what_is_shown_from_a_file_is_what_was_shown_at_first(measured: tuple[Measured, ...]) -> None:
    shown = named(measured, busy=(0, 1), sold_out=(0, 1))
    again = loads(dumps(shown))
    assert (again.summaries, again.claims) == (shown.summaries, shown.claims)
    assert claims(again.summaries) == again.claims


@pytest.mark.parametrize("text", ["[]", '{"format": "assign-core benchmark 1"}', f'{{"format": "{FORMAT}"}}', "{"])
def test_what_are_no_results_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"format|Expecting"):
        loads(text)


@pytest.mark.parametrize(
    ("seeds", "words"),
    [
        ({"busy": (0,)}, "1 evening of busy, seed 0"),
        ({"busy": (0, 1, 2)}, "3 evenings of busy, seeds 0 to 2"),
        ({"busy": (0, 1), "quiet": (0, 1)}, "2 evenings of each of 2 services, seeds 0 to 1"),
        ({"busy": (0, 1, 7), "mine": (1,)}, "busy: 3 evenings, seeds 0 to 1, 7; mine: 1 evening, seed 1"),
    ],
)
def test_it_says_what_was_run(measured: tuple[Measured, ...], seeds: dict[str, tuple[int, ...]], words: str) -> None:
    assert named(measured, **seeds).ran() == words


def test_the_markdown_marks_what_was_missed_and_where(measured: tuple[Measured, ...]) -> None:
    lost = next(each for each in measured if each.policy == "hard-stop")
    run = [each for each in measured if each.policy != OURS] + [evolve(lost, policy=OURS)]
    text = as_markdown(found(*(evolve(each, workload="busy") for each in run)))
    (row,) = (line for line in text.splitlines() if line.startswith("| `busy` | `ours` |"))
    cells = row.split(" | ")
    assert "1 / 1 of 1 (missed)" in cells
    assert "-2.0, fewer on 1 of 1 (missed)" in cells
    assert "`busy` 1 of 1" in text.partition("What was missed")[2]


def test_the_markdowns_figures_are_the_results(measured: tuple[Measured, ...]) -> None:
    shown = found(*(evolve(each, workload="busy") for each in measured))
    figure = Interval(value=0.4321, low=0.4, high=0.5)
    changed = [
        evolve(each, figures={**each.figures, "job_calls_saved": figure}) if each.policy == OURS else each
        for each in shown.summaries
    ]
    before, after = as_markdown(shown), as_markdown(evolve(shown, summaries=tuple(changed)))
    assert "43.2 %" not in before
    assert after.count("43.2 %") == 2, "once beside the targets, once among all policies"
