"""What the engine promises of its figures, each held against what was measured.

A claim that is missed is shown as missed, with what else was measured beside it and what is known of the cause: the
report is there to be believed. Losses, inline latencies and single bookings are judged by the worst evening; shares and
the percentiles of delays over all evenings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from attrs import frozen

from assign_bench.policies import ORACLE
from assign_bench.stats import Interval
from assign_bench.summary import Summary
from assign_core.policy import Policy

OURS: Final = "ours"
LAST_HOUR: Final = "ours-last-hour"
NO_VERSIONS: Final = "ours-no-versions"
THE_ENGINES: Final = (OURS, LAST_HOUR, NO_VERSIONS)
"""The contenders that are the engine."""
SHORT_OF_SEATS: Final = ("busy", "sold_out", "busy_cancel", "sold_out_cancel")
"""The services of which a saving is promised: seats are short, so there is something to save."""
PROMISED: Final = (
    "job_calls_saved",
    "calls_of_oracle",
    "lost_at_cutoff",
    "lost_at_end",
    "fewer_guests",
    "delay_p95",
    "paired_delay_p95",
    "wait_p95",
    "added_delay_p95",
    "added_delay",
    "inline_p95",
    "emails_duplicate",
    "double_booked",
)
"""The figures that have a target, in the order in which a reader wants them."""
_INLINE_SECONDS: Final = 2.0
_ORACLES_CALLS: Final = 1.5
_SAVED: Final = {OURS: 0.8, LAST_HOUR: 0.8, NO_VERSIONS: 0.5}

WHY_MISSED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "job_calls_saved": "Where the host cancels an inline search at the deadline, its outcome is unknown, so the "
        "job's first search is needed whoever decides; the oracle calls the planner for it, too. What can be avoided "
        "at all is the baseline's calls less the oracle's.",
        "calls_of_oracle": "The oracle never searches for a table that is not there. All others have to where inline "
        "searches end unknown.",
        "lost_at_cutoff": "A table stood free at the booking's last useful moment, and nobody searched any more, or "
        "the poller, which works off one search after the other, had not come to this booking yet.",
        "lost_at_end": "The tables were free when the night was over. That counts those of a party that stayed away, "
        "when nobody could be asked to come any more; a loss at the last useful moment is counted by itself.",
        "fewer_guests": "Not an empty seat: a freed table that goes to whoever has waited for it is not there for who "
        "comes next, and parties of other sizes fit. Over many evenings that evens out, and the mean says to which "
        "side; on one evening it may cost a guest.",
        "delay_p95": "Of all seated bookings: the engine seats some, late, that the baseline refused. Their waits are "
        "in its figure, while the baseline's leaves out whom it never seated.",
        "paired_delay_p95": "Of the bookings that both seat: a freed table goes to whoever has waited for it, so a "
        "booking that found it free at once in the baseline's run comes too late for it, and waits for the next.",
        "wait_p95": "A booking that is only searched for near its start waits until then, also where a table has been "
        "freed hours before.",
        "added_delay": "One booking. Its table went to somebody who had asked earlier, or its search was put off more "
        "than once: the lifetime bounds one such wait, and not what others do meanwhile.",
    }
)
"""What is known of why a figure is missed, where it is."""


@frozen(kw_only=True)
class Claim:
    """A target, and what was measured.

    Attributes:
        figure: its name among the figures of a summary.
        measured: in brief; ``beside`` is what else helps to judge it, and may be empty.
    """

    workload: str
    policy: str
    figure: str
    what: str
    target: str
    measured: str
    beside: str
    met: bool


def claims(summaries: Sequence[Summary]) -> tuple[Claim, ...]:
    """Every claim about the workloads and policies that were measured."""
    oracles = {summary.workload: summary for summary in summaries if summary.policy == ORACLE}
    return tuple(
        claim
        for summary in summaries
        if summary.policy in THE_ENGINES
        for claim in _of(summary, oracles[summary.workload].figures)
    )


def _of(summary: Summary, oracle: Mapping[str, Interval]) -> Iterator[Claim]:
    short = summary.workload in SHORT_OF_SEATS
    if short:
        yield _saved(summary, oracle)
    yield from _lost(summary)
    if short and summary.policy != NO_VERSIONS:
        yield _calls(summary)
        yield from _delays(summary, oracle)
    elif short:
        yield from _added_delays(summary)
    yield from _always(summary)


def _saved(summary: Summary, oracle: Mapping[str, Interval]) -> Claim:
    figure, target = summary.figures["job_calls_saved"], _SAVED[summary.policy]
    avoidable = summary.figures.get("avoidable_saved")
    beside = f"{figure.low:.1%} to {figure.high:.1%}"
    if avoidable is not None:
        beside += f"; {avoidable.value:.1%} of what could be avoided, the oracle saves {_share(oracle, figure)}"
    return _claim(
        summary,
        "job_calls_saved",
        "job's planner calls saved",
        f"at least {target:.0%} of the baseline's",
        f"{figure.value:.1%}",
        beside,
        met=figure.value >= target,
    )


def _share(oracle: Mapping[str, Interval], without: Interval) -> str:
    return f"{oracle.get('job_calls_saved', without).value:.1%}"


def _lost(summary: Summary) -> Iterator[Claim]:
    for figure, what in (
        ("lost_at_cutoff", "evenings with a booking lost: seats stood free at its last useful moment"),
        ("lost_at_end", "evenings with a booking lost: its seats were free in the end"),
    ):
        lost, worst = summary.seeds_with_loss[figure], summary.worst[figure]
        yield _claim(
            summary,
            figure,
            what,
            "0",
            f"{lost} of {summary.seeds}",
            f"{worst:g} on one of them" if worst > 1 else "",
            met=not lost,
        )
    fewer, mean = summary.seeds_with_loss["fewer_guests"], summary.figures["fewer_guests"]
    yield _claim(
        summary,
        "fewer_guests",
        "evenings on which fewer guests sit than in the baseline's run",
        "0",
        f"{fewer} of {summary.seeds}",
        f"over all evenings {_signed(-mean.value)} guests ({_signed(-mean.high)} to {_signed(-mean.low)})"
        + (f", at worst {_signed(-summary.worst['fewer_guests'])}" if fewer else ""),
        met=not fewer,
    )


def _calls(summary: Summary) -> Claim:
    """Of all calls, since that is what the planner has to bear; the job's alone stand beside it, and are more."""
    every, jobs = summary.figures["calls_of_oracle"].value, summary.figures.get("job_calls_of_oracle")
    return _claim(
        summary,
        "calls_of_oracle",
        "all planner calls, inline and job, in multiples of the oracle's",
        f"at most {_ORACLES_CALLS:g}",
        f"{every:.2f}",
        f"the job's alone: {jobs.value:.2f}" if jobs is not None else "the oracle's job needed none",
        met=every <= _ORACLES_CALLS,
    )


def _delays(summary: Summary, oracle: Mapping[str, Interval]) -> Iterator[Claim]:
    for what, own, base in (
        ("delay to seat p95, of all seated bookings", "delay_p95", "baseline_delay_p95"),
        ("delay to seat p95, of the bookings that both seat", "paired_delay_p95", "paired_baseline_delay_p95"),
        ("wait for a table p95, who is never seated waiting to the last moment", "wait_p95", "baseline_wait_p95"),
    ):
        mine, its, clairvoyant = summary.figures[own].value, summary.figures[base].value, oracle[own].value
        yield _claim(
            summary,
            own,
            what,
            "at most the baseline's",
            f"{mine:.0f} s",
            f"the baseline {its:.0f} s, the oracle {clairvoyant:.0f} s",
            # What is shown as equal is equal.
            met=round(mine) <= round(its),
        )


def _added_delays(summary: Summary) -> Iterator[Claim]:
    freshness = Policy().freshness.total_seconds()
    for figure, what, added in (
        (
            "added_delay_p95",
            "added delay p95, of the bookings that both seat",
            summary.figures["added_delay_p95"].value,
        ),
        ("added_delay", "added delay, the worst single booking that both seat", summary.worst["added_delay"]),
    ):
        yield _claim(
            summary,
            figure,
            what,
            f"at most the freshness lifetime, {freshness:.0f} s",
            f"{added:.0f} s",
            "",
            met=added <= freshness,
        )


def _always(summary: Summary) -> Iterator[Claim]:
    inline = summary.worst["inline_p95"]
    yield _claim(
        summary,
        "inline_p95",
        "guest's wait for an answer p95, worst evening",
        f"at most {_INLINE_SECONDS:g} s",
        f"{inline:.2f} s",
        "",
        met=inline <= _INLINE_SECONDS,
    )
    for figure, what in (
        ("emails_duplicate", "duplicate e-mails, worst evening"),
        ("double_booked", "double bookings, worst evening"),
    ):
        worst = summary.worst[figure]
        yield _claim(summary, figure, what, "0", f"{worst:g}", "", met=not worst)


def _signed(value: float) -> str:
    """Without the minus of a negative zero."""
    return f"{value:+.2f}" if round(value, 2) else "0.00"


def _claim(summary: Summary, figure: str, what: str, target: str, measured: str, beside: str, *, met: bool) -> Claim:
    return Claim(
        workload=summary.workload,
        policy=summary.policy,
        figure=figure,
        what=what,
        target=target,
        measured=measured,
        beside=beside,
        met=met,
    )
