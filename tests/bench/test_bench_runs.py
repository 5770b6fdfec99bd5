"""Every policy on every workload: what must hold of any run, and that the figures of a run add up."""

from __future__ import annotations

from functools import cache

import pytest

from assign_bench import BASELINE, CONTENDERS, ORACLE, WORKLOADS, Ended, run, versus, workload
from assign_core.policy import Policy

SEED = 11
ALL = [name for name in WORKLOADS if "sold_out" not in name]
"""Selling out takes as long as everything else together, so not every rival does it here."""
RUNS = [(name, policy) for name in ALL for policy in CONTENDERS] + [
    (name, policy) for name in ("sold_out", "sold_out_cancel") for policy in (BASELINE, "ours", "ours-no-versions")
]
OURS = ("ours", "ours-no-versions")


@cache
def ended(name: str, policy: str) -> Ended:
    return run(workload(name, SEED), CONTENDERS[policy])


@pytest.mark.parametrize("policy", list(CONTENDERS))
def test_the_same_workload_under_the_same_policy_is_the_same_value(policy: str) -> None:
    assert run(workload("outage", SEED), CONTENDERS[policy]) == ended("outage", policy)


@pytest.mark.parametrize(("name", "policy"), RUNS)
def test_no_two_bookings_share_a_table(name: str, policy: str) -> None:
    assert ended(name, policy).figures.double_booked == 0


@pytest.mark.parametrize(("name", "policy"), RUNS)
def test_the_inline_answer_keeps_its_promise(name: str, policy: str) -> None:
    assert ended(name, policy).figures.inline.percentile(95) <= 2.0


@pytest.mark.parametrize(("name", "policy"), RUNS)
def test_the_figures_add_up(name: str, policy: str) -> None:
    found, made = ended(name, policy), workload(name, SEED)
    figures, bookings = found.figures, found.bookings
    seated = [each for each in bookings if each.seated]
    assert figures.bookings == len(made.guests) == figures.confirmed + figures.open + figures.closed
    assert figures.guests == sum(each.party for each in seated)
    others = [each.party for each in made.walk_ins] + [each.party for each in made.elsewhere if each.stays]
    assert figures.walked_in + figures.turned_away == sum(others)
    assert sum(figures.job_calls_over_time) == figures.job_calls == sum(each.job_calls for each in bookings)
    assert figures.inline_found <= figures.inline_calls
    assert figures.job_seated <= figures.job_found <= figures.job_calls
    assert figures.job_seconds <= figures.job_calls * Policy().job_deadline.total_seconds()
    assert figures.delay.count == figures.confirmed
    assert {each.by for each in seated} <= {"inline", "job", "staff"}
    assert sum(each.by == "job" for each in seated) <= figures.job_seated
    assert sum(each.by == "staff" for each in seated) <= figures.by_hand
    for each in bookings:
        assert (each.delay is None) is not each.seated
        assert not (each.seated and each.open)
        assert not ((each.free_at_cutoff or each.free_at_end) and not each.open)


@pytest.mark.parametrize("name", list(WORKLOADS))
@pytest.mark.parametrize("policy", OURS)
def test_the_engine_writes_to_nobody_twice_and_says_what_each_search_was_for(name: str, policy: str) -> None:
    figures = ended(name, policy).figures
    assert figures.emails_duplicate == 0
    # Where the inline search is cancelled, the job itself seats nearly everybody, and has nothing to suppress.
    assert (figures.emails_suppressed > 0) is (workload(name, SEED).on_deadline == "hand_over")
    assert sum(rule.searches for rule in figures.rules.values()) == figures.job_calls
    assert sum(rule.found for rule in figures.rules.values()) == figures.job_seated


@pytest.mark.parametrize("name", list(WORKLOADS))
@pytest.mark.parametrize("policy", OURS)
def test_what_the_rules_saved_is_what_was_saved(name: str, policy: str) -> None:
    ours, base = ended(name, policy), ended(name, BASELINE)
    saved = versus(ours, base).saved_by_rule
    assert sum(saved.values()) == base.figures.job_calls - ours.figures.job_calls
    assert versus(base, ours).saved_by_rule == {}


@pytest.mark.parametrize("name", ALL)
def test_the_oracle_never_searches_in_vain_and_nobody_seats_a_booking_with_fewer_calls(name: str) -> None:
    oracle = ended(name, ORACLE)
    assert oracle.figures.job_found == oracle.figures.job_calls
    by_jobs = {each.id: each for each in oracle.bookings if each.by == "job"}
    for policy in CONTENDERS:
        for other in ended(name, policy).bookings:
            if other.by == "job" and other.id in by_jobs:
                assert other.job_calls >= by_jobs[other.id].job_calls, policy


@pytest.mark.parametrize(("name", "policy"), RUNS)
def test_a_run_loses_nothing_against_itself(name: str, policy: str) -> None:
    same = versus(ended(name, policy), ended(name, policy))
    assert (same.fewer_bookings, same.fewer_guests, same.fewer_heads, same.swapped, same.gained) == (0, 0, 0, 0, 0)
    assert same.lost_at_end == same.lost_at_cutoff == ()
    assert set(same.added_delay.at) == {0.0}
    assert same.wait == same.other_wait


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("policy", ["ours", "hard-stop"])
def test_what_one_run_loses_the_other_gains(name: str, policy: str) -> None:
    there, back = (
        versus(ended(name, one), ended(name, other)) for one, other in ((policy, BASELINE), (BASELINE, policy))
    )
    assert (there.fewer_bookings, there.fewer_guests, there.fewer_heads) == (
        -back.fewer_bookings,
        -back.fewer_guests,
        -back.fewer_heads,
    )
    assert there.swapped + len({*there.lost_at_end, *there.lost_at_cutoff}) == back.gained
    assert (there.delay, there.other_delay, there.wait) == (back.other_delay, back.delay, back.other_wait)


def test_runs_of_other_bookings_are_not_compared() -> None:
    with pytest.raises(ValueError, match="not run on the same bookings; compare the same workload"):
        versus(ended("quiet", "ours"), ended("busy", BASELINE))
