"""The explorer itself: it loses nothing by pruning, tells the same again, and says what it found in code that runs."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from assign_core import Policy, closing, flows
from assign_core.notebook import Notes
from assign_testing.explorer import (
    EXHAUSTIVE,
    RANDOM,
    Broken,
    Choice,
    Fault,
    MemoryBackend,
    OutOfBudget,
    PromiseBroken,
    Scenario,
    Violation,
    explore,
    random_schedule,
    replay,
    scenario,
)
from assign_testing.explorer.minimal import snippet
from assign_testing.explorer.run import Run
from assign_testing.explorer.search import all_schedules

SMALL = scenario("inline", "job")


@pytest.fixture
def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Holds are not given back."""

    async def keep(notes: Notes) -> None:
        del notes

    monkeypatch.setattr(closing, "release", keep)
    monkeypatch.setattr(flows, "release", keep)


def ending(run: Run) -> object:
    """What a schedule leaves behind, but for the names of attempts, which tell in which order they came."""
    world = run.world
    rows = []
    for booking_id in world.bookings():
        seen = world.look(booking_id)
        told = tuple(getattr(seen.last, name, None) for name in ("success", "reason_code", "attempt", "source"))
        rows.append((booking_id, seen.status, seen.revision, told, seen.seated_by is None))
    mail = tuple(sorted((key, state, run.watch.handed[key]) for key, state in world.ledger().items()))
    return tuple(rows), mail, len(run.watch.asked), len(run.watch.found_lost)


def endings(where: Scenario, *, pruning: bool, preemptions: int) -> tuple[set[object], int]:
    seen: set[object] = set()
    counts = all_schedules(
        where,
        MemoryBackend(),
        preemptions=preemptions,
        faults=1,
        pruning=pruning,
        told=lambda run: seen.add(ending(run)),
    )
    return seen, counts.schedules


@pytest.mark.parametrize(
    ("where", "preemptions"),
    [
        (SMALL, 1),
        (scenario("job", "modify"), 2),
        (scenario("inline", "relay", "by_hand"), 1),
        (scenario("inline", "cancel", on_deadline="hand_over"), 2),
    ],
    ids=lambda value: value.name if isinstance(value, Scenario) else str(value),
)
def test_pruning_loses_no_ending(where: Scenario, preemptions: int) -> None:
    pruned, fewer = endings(where, pruning=True, preemptions=preemptions)
    whole, all_of_them = endings(where, pruning=False, preemptions=preemptions)
    assert pruned == whole
    assert fewer < all_of_them
    assert len(whole) > 10


def test_a_seed_is_a_schedule() -> None:
    backend = MemoryBackend()
    told = [random_schedule(RANDOM, backend, seed) for seed in range(60)]
    again = [random_schedule(RANDOM, backend, seed) for seed in range(60)]
    assert [(run.scenario, run.trace) for run in told] == [(run.scenario, run.trace) for run in again]
    assert [ending(run) for run in told] == [ending(run) for run in again]
    assert len({(run.scenario.name, *run.trace) for run in told}) > 50


def test_a_seed_is_the_same_schedule_in_another_process() -> None:
    code = (
        "from assign_testing.explorer import *; "
        "print([random_schedule(RANDOM, MemoryBackend(), seed).trace for seed in range(8)])"
    )
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert there.strip() == repr([random_schedule(RANDOM, MemoryBackend(), seed).trace for seed in range(8)])


def test_all_schedules_are_the_same_ones_each_time() -> None:
    counts = [explore([SMALL], preemptions=1, faults=1).exhaustive for _ in range(2)]
    assert counts[0] == counts[1]


def test_all_schedules_are_the_same_ones_in_another_process() -> None:
    # A pruned schedule must be equivalent to another one, and not merely have a hash that is the same here.
    code = (
        "from assign_testing.explorer import *; "
        "print(explore([scenario('inline', 'job')], preemptions=1, faults=1).exhaustive)"
    )
    here = repr(explore([SMALL], preemptions=1, faults=1).exhaustive)
    for _ in range(3):
        assert (
            subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
            == here + "\n"
        )


def test_what_goes_wrong_for_another_actor_is_never_equivalent() -> None:
    """What happened to each actor is hashed and added up, and no two sums may be the same by their making."""
    crowd = scenario(*(f"job{number}" for number in range(12)))
    keys: dict[tuple[object, ...], tuple[int, str]] = {}
    for one, other in permutations(crowd.cast, 2):
        for fault in (Fault.FAILED, Fault.STOPPED, Fault.CANCELLED):
            run = Run(crowd, MemoryBackend())
            run.step(run.actors[one], fault)
            keys[one, other, fault] = run.key_after(run.actors[other], None), other
            run.abandon()
            run = Run(crowd, MemoryBackend())
            run.step(run.actors[one], None)
            keys[other, one, fault, "last"] = run.key_after(run.actors[other], fault), other
            run.abandon()
    sums = Counter(keys.values())
    assert [key for key, found in keys.items() if sums[found] > 1] == []


def test_a_schedule_told_again_from_its_choices_ends_alike() -> None:
    for seed in range(30):
        run = random_schedule(RANDOM, MemoryBackend(), seed)
        assert ending(replay(run.scenario, run.trace)) == ending(run)


def breaks(where: Scenario, choices: list[Choice]) -> str | None:
    """The promise that a schedule breaks."""
    try:
        replay(where, choices)
    except Violation as violation:
        return violation.promise
    return None


@pytest.mark.usefixtures("forgetful")
def test_what_breaks_is_told_by_the_shortest_schedule_as_code_that_runs() -> None:
    with pytest.raises(PromiseBroken) as found:
        explore([], random=500)
    broken = found.value
    assert broken.promise == "P3 holds"
    assert broken.code in str(broken)
    assert len(broken.schedule.trace) <= 4
    # Nothing more can be left out.
    for at in range(len(broken.schedule.trace)):
        shorter = [*broken.schedule.trace[:at], *broken.schedule.trace[at + 1 :]]
        assert breaks(broken.schedule.scenario, shorter) != broken.promise
    with pytest.raises(Violation) as again:
        exec(compile(broken.code, "<snippet>", "exec"), {})  # noqa: S102 - our own code, run as a reader would
    assert str(again.value) == str(broken.schedule.violation)


@pytest.mark.parametrize(
    "where",
    [
        scenario("inline", "job", on_deadline="hand_over", house="a full house"),
        scenario("job", policy=Policy(retries=1, delays=(timedelta(seconds=1),), cutoff=timedelta(minutes=3))),
    ],
    ids=["handing over", "own policy"],
)
def test_code_names_everything_that_is_not_the_default(where: Scenario) -> None:
    code = snippet(Broken(where, [("job", Fault.LOST), ("job", None)], Violation("P0", "made up")))
    said: list[Any] = []
    # The names that it imports are the package's own; what it calls is looked at instead of called.
    exec(  # noqa: S102 - our own code
        compile(code.replace("replay(\n", "said.append((\n") + ")", "<snippet>", "exec"), {"said": said}
    )
    assert said == [(where, [("job", Fault.LOST), ("job", None)])]


def test_the_budget_ends_it_and_says_how_far_it_went() -> None:
    with pytest.raises(OutOfBudget, match="the time was used up after") as ended:
        explore(EXHAUSTIVE, budget=0.0)
    assert ended.value.report.schedules > 0


def test_progress_is_told_in_order() -> None:
    told: list[tuple[str, int]] = []
    explore([SMALL], preemptions=1, faults=1, random=100, progress=lambda name, count: told.append((name, count)))
    assert {name for name, _ in told} == {SMALL.name, "by chance"}
    assert told == sorted(told, key=lambda one: (one[0] == "by chance", one[1]))


@pytest.mark.parametrize("bounds", [{"preemptions": -1}, {"faults": -1}, {"random": -5}])
def test_bounds_below_zero_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="pass 0 or more"):
        explore([SMALL], **bounds)


def test_a_cast_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="pass names"):
        scenario("inline", "waiter")
    with pytest.raises(ValueError, match="no house is called"):
        scenario("inline", house="a boat")


def explorer(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "assign_testing.explorer", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_from_a_shell_several_processes_tell_what_one_does(tmp_path: Path) -> None:
    arguments = "--preemptions", "0", "--faults", "0", "--random", "600", "--seed", "3"
    file = tmp_path / "counts.json"
    one, two = explorer(*arguments), explorer(*arguments, "--processes", "2", "--out", str(file))
    assert (one.returncode, one.stderr) == (two.returncode, two.stderr) == (0, "")
    assert sorted(one.stdout.splitlines()) == sorted(two.stdout.splitlines())
    assert "600 schedules by chance" in one.stdout
    assert one.stdout.endswith("No promise was broken.\n")
    counts = json.loads(file.read_text(encoding="utf-8"))
    assert (counts["random"], counts["seed"], counts["violations"]) == (600, 3, 0)
    assert list(counts["exhaustive"]) == [each.name for each in EXHAUSTIVE]
    for each in counts["exhaustive"].values():
        assert f"{each['schedules']} schedules of" in one.stdout


def test_from_a_shell_an_unusable_count_is_named() -> None:
    refused = explorer("--faults", "-1")
    assert refused.returncode == 2
    assert "argument --faults: '-1' is no count; pass a whole number of 0 or more" in refused.stderr


@pytest.mark.usefixtures("forgetful")
def test_what_is_found_in_another_process_arrives_whole() -> None:
    with pytest.raises(PromiseBroken) as found:
        explore([SMALL], preemptions=0, faults=1)
    there = pickle.loads(pickle.dumps(found.value))  # noqa: S301 - our own, as a pool of processes does it
    assert (str(there), there.promise, there.code) == (str(found.value), found.value.promise, found.value.code)
    assert (there.schedule.scenario, there.schedule.trace) == (SMALL, found.value.schedule.trace)


@pytest.mark.parametrize("processes", ["1", "2"])
def test_from_a_shell_a_used_up_budget_is_no_success(processes: str) -> None:
    ended = explorer("--budget", "0", "--random", "5000", "--processes", processes)
    assert ended.returncode == 2
    assert "not all schedules were told" in ended.stdout
