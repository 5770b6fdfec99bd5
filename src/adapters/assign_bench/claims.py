"""What the engine promises of its figures, each held against what was measured.

A claim that is missed is shown as missed: the report is there to be believed. Losses and inline latencies are judged by
the worst seed, shares and delays over all seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from attrs import frozen

from assign_bench.summary import Summary
from assign_core.policy import Policy

OURS: Final = "ours"
NO_VERSIONS: Final = "ours-no-versions"
_FULL: Final = ("busy", "sold_out")
"""The services on which seats are short: there something can be saved, and lost."""
_INLINE_SECONDS: Final = 2.0
_ORACLES_CALLS: Final = 1.5
_SAVED: Final = {OURS: 0.8, NO_VERSIONS: 0.5}


@frozen(kw_only=True)
class Claim:
    """A target, and what was measured."""

    workload: str
    policy: str
    what: str
    target: str
    measured: str
    met: bool


def claims(summaries: Sequence[Summary]) -> tuple[Claim, ...]:
    """Every claim about the workloads and policies that were measured."""
    return tuple(claim for summary in summaries for claim in _of(summary))


def _of(summary: Summary) -> Iterator[Claim]:
    if summary.policy not in _SAVED:
        return
    if summary.workload in _FULL:
        yield _saved(summary)
        yield from _lost(summary)
        yield from _delays(summary)
    worst = summary.worst
    yield _claim(
        summary,
        "inline p95, worst seed",
        f"at most {_INLINE_SECONDS:g} s",
        f"{worst['inline_p95']:.2f} s",
        met=worst["inline_p95"] <= _INLINE_SECONDS,
    )
    broken = worst["double_booked"] + worst["emails_duplicate"]
    yield _claim(summary, "double bookings, duplicate e-mails", "0", f"{broken:g}", met=not broken)


def _saved(summary: Summary) -> Claim:
    figure, target = summary.figures["job_calls_saved"], _SAVED[summary.policy]
    shown = f"{figure.value:.1%} ({figure.low:.1%} to {figure.high:.1%})"
    return _claim(summary, "job calls saved", f"at least {target:.0%}", shown, met=figure.value >= target)


def _lost(summary: Summary) -> Iterator[Claim]:
    lost, fewer = summary.seeds_with_loss["lost_at_cutoff"], summary.seeds_with_loss["fewer_guests"]
    yield _claim(
        summary,
        "seeds in which a booking that the baseline seated went without seats that stood free",
        "0",
        f"{lost} of {summary.seeds}",
        met=not lost,
    )
    mean = summary.figures["fewer_guests"]
    yield _claim(
        summary,
        "seeds in which fewer guests sit than in the baseline's run",
        "0",
        f"{fewer} of {summary.seeds}, at worst {max(0, summary.worst['fewer_guests']):g} guests; over all seeds "
        f"{-mean.value:+.2f} guests ({-mean.high:+.2f} to {-mean.low:+.2f})",
        met=not fewer,
    )


def _delays(summary: Summary) -> Iterator[Claim]:
    figures = summary.figures
    if summary.policy == OURS:
        calls = figures["calls_of_oracle"].value
        yield _claim(
            summary,
            "planner calls, of the oracle's",
            f"at most {_ORACLES_CALLS:g}",
            f"{calls:.2f}",
            met=calls <= _ORACLES_CALLS,
        )
        for what, own, base in (
            ("wait for a table p95, those never seated counted to their last moment", "wait_p95", "baseline_wait_p95"),
            ("delay to seat p95, of the bookings that both seat", "paired_delay_p95", "paired_baseline_delay_p95"),
        ):
            mine, its = figures[own].value, figures[base].value
            yield _claim(
                summary, what, f"at most the baseline's, {its:.0f} s", f"{mine:.0f} s", met=round(mine) <= round(its)
            )
        return
    freshness = Policy().freshness.total_seconds()
    added = figures["added_delay_p95"].value
    yield _claim(
        summary,
        "added delay p95, of the bookings that both seat",
        f"at most the freshness lifetime, {freshness:.0f} s",
        f"{added:.0f} s (the worst booking of all seeds: {summary.worst['added_delay']:.0f} s)",
        met=added <= freshness,
    )


def _claim(summary: Summary, what: str, target: str, measured: str, *, met: bool) -> Claim:
    return Claim(workload=summary.workload, policy=summary.policy, what=what, target=target, measured=measured, met=met)
