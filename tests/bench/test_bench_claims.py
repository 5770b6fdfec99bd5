"""Each target is met at its limit and missed beyond it, and a claim says what it was judged by."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from attrs import evolve

from assign_bench import ORACLE, WORKLOADS, Interval, Measured, Summary, summarise
from assign_bench.claims import (
    LAST_HOUR,
    NO_VERSIONS,
    OURS,
    PROMISED,
    SHORT_OF_SEATS,
    THE_ENGINES,
    WHY_MISSED,
    Claim,
    claims,
)

Told = Callable[..., Mapping[str, Claim]]


def exactly(value: float) -> Interval:
    return Interval(value=value, low=value, high=value)


@pytest.fixture(scope="module")
def told(measured: tuple[Measured, ...]) -> Told:
    """The claims on a service, where some of the policy's figures are these."""

    def tell(policy: str = OURS, workload: str = "busy", **changed: Mapping[str, Any]) -> Mapping[str, Claim]:
        summaries = summarise([evolve(each, workload=workload) for each in measured], resamples=10)
        edited = [_with(each, changed) if each.policy == policy else each for each in summaries]
        return {claim.figure: claim for claim in claims(edited) if claim.policy == policy}

    return tell


def _with(summary: Summary, changed: Mapping[str, Mapping[str, Any]]) -> Summary:
    merged: dict[str, Any] = {name: {**getattr(summary, name), **values} for name, values in changed.items()}
    return evolve(summary, **merged)


@pytest.mark.parametrize(
    ("policy", "figure", "kind", "values", "met"),
    [
        (OURS, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.8)}, True),
        (OURS, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.7999)}, False),
        (LAST_HOUR, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.8)}, True),
        (LAST_HOUR, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.7999)}, False),
        (LAST_HOUR, "calls_of_oracle", "figures", {"calls_of_oracle": exactly(1.501)}, False),
        (LAST_HOUR, "delay_p95", "figures", {"delay_p95": exactly(41.0), "baseline_delay_p95": exactly(40.0)}, False),
        (NO_VERSIONS, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.5)}, True),
        (NO_VERSIONS, "job_calls_saved", "figures", {"job_calls_saved": exactly(0.4999)}, False),
        (OURS, "calls_of_oracle", "figures", {"calls_of_oracle": exactly(1.5)}, True),
        (OURS, "calls_of_oracle", "figures", {"calls_of_oracle": exactly(1.501)}, False),
        (OURS, "lost_at_cutoff", "seeds_with_loss", {"lost_at_cutoff": 0}, True),
        (OURS, "lost_at_cutoff", "seeds_with_loss", {"lost_at_cutoff": 1}, False),
        (OURS, "lost_at_end", "seeds_with_loss", {"lost_at_end": 1}, False),
        (OURS, "fewer_guests", "seeds_with_loss", {"fewer_guests": 0}, True),
        (OURS, "fewer_guests", "seeds_with_loss", {"fewer_guests": 1}, False),
        (OURS, "delay_p95", "figures", {"delay_p95": exactly(40.0), "baseline_delay_p95": exactly(40.0)}, True),
        (OURS, "delay_p95", "figures", {"delay_p95": exactly(41.0), "baseline_delay_p95": exactly(40.0)}, False),
        (
            OURS,
            "paired_delay_p95",
            "figures",
            {"paired_delay_p95": exactly(41.0), "paired_baseline_delay_p95": exactly(40.0)},
            False,
        ),
        (OURS, "wait_p95", "figures", {"wait_p95": exactly(41.0), "baseline_wait_p95": exactly(40.0)}, False),
        (NO_VERSIONS, "added_delay_p95", "figures", {"added_delay_p95": exactly(300.0)}, True),
        (NO_VERSIONS, "added_delay_p95", "figures", {"added_delay_p95": exactly(300.1)}, False),
        (NO_VERSIONS, "added_delay", "worst", {"added_delay": 300.0}, True),
        (NO_VERSIONS, "added_delay", "worst", {"added_delay": 301.0}, False),
        (OURS, "inline_p95", "worst", {"inline_p95": 2.0}, True),
        (OURS, "inline_p95", "worst", {"inline_p95": 2.01}, False),
        (OURS, "emails_duplicate", "worst", {"emails_duplicate": 1}, False),
        (OURS, "double_booked", "worst", {"double_booked": 1}, False),
    ],
)
def test_a_target_is_met_at_its_limit_and_missed_beyond_it(
    told: Told, policy: str, figure: str, kind: str, values: Mapping[str, Any], met: bool
) -> None:
    assert told(policy, **{kind: values})[figure].met is met


def test_savings_are_promised_where_the_host_cancels_as_well(told: Told) -> None:
    """It is the engine's default, and the harder case: it may not be left out because it is missed."""
    assert {name for name in WORKLOADS if name.startswith(("busy", "sold_out"))} == set(SHORT_OF_SEATS)
    for name in SHORT_OF_SEATS:
        assert "job_calls_saved" in told(workload=name)
        assert "job_calls_saved" in told(NO_VERSIONS, name)
    assert "job_calls_saved" not in told(workload="quiet")


@pytest.mark.parametrize("name", [*WORKLOADS, "from a file"])
def test_losses_inline_waits_and_e_mails_are_judged_on_every_service(told: Told, name: str) -> None:
    for policy in (OURS, NO_VERSIONS):
        assert told(policy, name).keys() >= {
            "lost_at_cutoff",
            "lost_at_end",
            "fewer_guests",
            "inline_p95",
            "emails_duplicate",
            "double_booked",
        }


def test_the_delay_has_all_three_readings_and_the_oracles_beside_each(told: Told) -> None:
    delays = [told()[figure] for figure in ("delay_p95", "paired_delay_p95", "wait_p95")]
    for claim in delays:
        assert "the baseline" in claim.beside
        assert "the oracle" in claim.beside


def test_a_saving_is_told_as_a_share_of_what_could_be_avoided_too(told: Told) -> None:
    figures = {"job_calls_saved": exactly(0.4), "avoidable_saved": exactly(0.75)}
    assert "75.0% of what could be avoided, the oracle saves" in told(figures=figures)["job_calls_saved"].beside


def test_calls_in_multiples_of_the_oracles_say_whose_and_give_the_jobs_alone(told: Told) -> None:
    claim = told(figures={"calls_of_oracle": exactly(1.2), "job_calls_of_oracle": exactly(4.75)})["calls_of_oracle"]
    assert claim.what.startswith("all planner calls, inline and job")
    assert (claim.measured, claim.beside) == ("1.20", "the job's alone: 4.75")


def test_rivals_promise_nothing(measured: tuple[Measured, ...]) -> None:
    summaries = summarise(measured, resamples=10)
    assert {claim.policy for claim in claims(summaries)} == set(THE_ENGINES)
    assert ORACLE in {summary.policy for summary in summaries}


def test_every_figure_with_a_target_has_its_place(told: Told) -> None:
    figures = told().keys() | told(NO_VERSIONS).keys()
    assert figures == set(PROMISED)
    assert set(WHY_MISSED) <= set(PROMISED)
