"""What many runs say together: each figure over the seeds of a workload, with its interval.

Shares are shares of sums, not means of shares: an evening with two job calls must not weigh as much as one with forty.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import fmean
from types import MappingProxyType
from typing import Final

from attrs import frozen

from assign_bench.grid import Measured
from assign_bench.policies import BASELINE, ORACLE
from assign_bench.result import SHAPE, RuleCount, Spread
from assign_bench.stats import Interval, bootstrap

Pair = tuple[float, float]
"""Numerator and denominator of one seed."""


def _mean(of: Callable[[Measured], float]) -> Callable[[Measured, Measured, Measured], Pair]:
    return lambda own, _base, _oracle: (of(own), 1.0)


def _calls(measured: Measured) -> int:
    return measured.figures.inline_calls + measured.figures.job_calls


def _seconds(measured: Measured) -> float:
    return measured.figures.inline_seconds + measured.figures.job_seconds


FIGURES: Final[Mapping[str, Callable[[Measured, Measured, Measured], Pair]]] = MappingProxyType(
    {
        "bookings": _mean(lambda own: own.figures.bookings),
        "inline_calls": _mean(lambda own: own.figures.inline_calls),
        "job_calls": _mean(lambda own: own.figures.job_calls),
        "inline_calls_per_booking": lambda own, _base, _oracle: (own.figures.inline_calls, own.figures.bookings),
        "job_calls_per_booking": lambda own, _base, _oracle: (own.figures.job_calls, own.figures.bookings),
        "job_calls_of_baseline": lambda own, base, _oracle: (own.figures.job_calls, base.figures.job_calls),
        "job_calls_saved": lambda own, base, _oracle: (
            base.figures.job_calls - own.figures.job_calls,
            base.figures.job_calls,
        ),
        "avoidable_saved": lambda own, base, oracle: (
            base.figures.job_calls - own.figures.job_calls,
            base.figures.job_calls - oracle.figures.job_calls,
        ),
        "calls_of_baseline": lambda own, base, _oracle: (_calls(own), _calls(base)),
        "calls_of_oracle": lambda own, _base, oracle: (_calls(own), _calls(oracle)),
        "job_calls_of_oracle": lambda own, _base, oracle: (own.figures.job_calls, oracle.figures.job_calls),
        "job_calls_per_seating": lambda own, _base, _oracle: (own.figures.job_calls, own.figures.job_seated),
        "planner_seconds": _mean(_seconds),
        "planner_seconds_of_baseline": lambda own, base, _oracle: (_seconds(own), _seconds(base)),
        "job_seconds_of_baseline": lambda own, base, _oracle: (own.figures.job_seconds, base.figures.job_seconds),
        "confirmed": _mean(lambda own: own.figures.confirmed),
        "open": _mean(lambda own: own.figures.open),
        "guests": _mean(lambda own: own.figures.guests),
        "walked_in": _mean(lambda own: own.figures.walked_in),
        "turned_away": _mean(lambda own: own.figures.turned_away),
        "job_seated": _mean(lambda own: own.figures.job_seated),
        "fewer_bookings": _mean(lambda own: own.against_baseline.fewer_bookings),
        "fewer_guests": _mean(lambda own: own.against_baseline.fewer_guests),
        "fewer_heads": _mean(lambda own: own.against_baseline.fewer_heads),
        "lost_at_end": _mean(lambda own: len(own.against_baseline.lost_at_end)),
        "lost_at_cutoff": _mean(lambda own: len(own.against_baseline.lost_at_cutoff)),
        "swapped": _mean(lambda own: own.against_baseline.swapped),
        "gained": _mean(lambda own: own.against_baseline.gained),
        "fewer_bookings_than_oracle": _mean(lambda own: own.against_oracle.fewer_bookings),
        "fewer_guests_than_oracle": _mean(lambda own: own.against_oracle.fewer_guests),
        "fewer_heads_than_oracle": _mean(lambda own: own.against_oracle.fewer_heads),
        "lost_at_end_to_oracle": _mean(lambda own: len(own.against_oracle.lost_at_end)),
        "lost_at_cutoff_to_oracle": _mean(lambda own: len(own.against_oracle.lost_at_cutoff)),
        "delay_p50": _mean(lambda own: own.figures.delay.percentile(50)),
        "delay_p95": _mean(lambda own: own.figures.delay.percentile(95)),
        "baseline_delay_p95": lambda _own, base, _oracle: (base.figures.delay.percentile(95), 1.0),
        "paired_delay_p50": _mean(lambda own: own.against_baseline.delay.percentile(50)),
        "paired_delay_p95": _mean(lambda own: own.against_baseline.delay.percentile(95)),
        "paired_baseline_delay_p50": _mean(lambda own: own.against_baseline.other_delay.percentile(50)),
        "paired_baseline_delay_p95": _mean(lambda own: own.against_baseline.other_delay.percentile(95)),
        "wait_mean": _mean(lambda own: own.against_baseline.wait.mean),
        "wait_p50": _mean(lambda own: own.against_baseline.wait.percentile(50)),
        "wait_p95": _mean(lambda own: own.against_baseline.wait.percentile(95)),
        "baseline_wait_mean": _mean(lambda own: own.against_baseline.other_wait.mean),
        "baseline_wait_p95": _mean(lambda own: own.against_baseline.other_wait.percentile(95)),
        "added_delay_p95": _mean(lambda own: own.against_baseline.added_delay.percentile(95)),
        "inline_p50": _mean(lambda own: own.figures.inline.percentile(50)),
        "inline_p95": _mean(lambda own: own.figures.inline.percentile(95)),
        "inline_p99": _mean(lambda own: own.figures.inline.percentile(99)),
        "emails_sent": _mean(lambda own: own.figures.emails_sent),
        "emails_suppressed": _mean(lambda own: own.figures.emails_suppressed),
        "emails_duplicate": _mean(lambda own: own.figures.emails_duplicate),
        "staff_notices": _mean(lambda own: own.figures.staff_notices),
        "capacity_looks": _mean(lambda own: own.figures.capacity_looks),
    }
)
"""Every figure that is given with an interval, as numerator and denominator of one seed."""

WORST: Final[Mapping[str, Callable[[Measured], float]]] = MappingProxyType(
    {
        "fewer_bookings": lambda own: own.against_baseline.fewer_bookings,
        "fewer_guests": lambda own: own.against_baseline.fewer_guests,
        "fewer_heads": lambda own: own.against_baseline.fewer_heads,
        "lost_at_end": lambda own: len(own.against_baseline.lost_at_end),
        "lost_at_cutoff": lambda own: len(own.against_baseline.lost_at_cutoff),
        "added_delay": lambda own: own.against_baseline.added_delay.percentile(100),
        "inline_p95": lambda own: own.figures.inline.percentile(95),
        "emails_duplicate": lambda own: own.figures.emails_duplicate,
        "double_booked": lambda own: own.figures.double_booked,
    }
)
"""Figures of which the worst seed counts."""


@frozen(kw_only=True)
class Summary:
    """A policy on a workload, over its seeds.

    Attributes:
        figures: by the names of :data:`FIGURES`; those whose denominator is 0 in every seed are left out.
        worst: the largest of each seed, by the names of :data:`WORST`.
        seeds_with_loss: seeds in which a measure of loss is above 0, by the measure's name.
        job_calls_over_time: mean calls by step.
        rules, saved_by_rule: sums over the seeds.
        delay, inline: the mean over the seeds of each percentile; the count is the sum.
    """

    workload: str
    policy: str
    seeds: int
    figures: Mapping[str, Interval]
    worst: Mapping[str, float]
    seeds_with_loss: Mapping[str, int]
    job_calls_over_time: tuple[float, ...]
    rules: Mapping[str, RuleCount]
    saved_by_rule: Mapping[str, int]
    delay: Spread
    inline: Spread


def summarise(measured: Sequence[Measured], *, resamples: int = 1000, seed: int = 0) -> tuple[Summary, ...]:
    """Each policy on each workload, in the order in which they come.

    Raises:
        ValueError: the baseline or the oracle is missing for a workload and seed.
    """
    by_key = {(each.workload, each.seed, each.policy): each for each in measured}
    groups: defaultdict[tuple[str, str], list[tuple[Measured, Measured, Measured]]] = defaultdict(list)
    for each in measured:
        try:
            base = by_key[each.workload, each.seed, BASELINE]
            oracle = by_key[each.workload, each.seed, ORACLE]
        except KeyError as error:
            raise ValueError(f"there is no run {error}; measure {BASELINE!r} and {ORACLE!r} as well") from None
        groups[each.workload, each.policy].append((each, base, oracle))
    return tuple(_summary(*key, group, resamples, seed) for key, group in groups.items())


def _summary(
    workload: str, policy: str, group: list[tuple[Measured, Measured, Measured]], resamples: int, seed: int
) -> Summary:
    own = [each for each, _, _ in group]
    figures = {}
    for name, pair in FIGURES.items():
        pairs = [pair(*trio) for trio in group]
        if any(below for _, below in pairs):
            figures[name] = bootstrap(pairs, ratio, resamples=resamples, seed=seed)
    length = max(len(each.figures.job_calls_over_time) for each in own)
    return Summary(
        workload=workload,
        policy=policy,
        seeds=len(group),
        figures=figures,
        worst={name: max(map(of, own)) for name, of in WORST.items()},
        seeds_with_loss={
            name: sum(WORST[name](each) > 0 for each in own)
            for name in ("fewer_bookings", "fewer_guests", "fewer_heads", "lost_at_end", "lost_at_cutoff")
        },
        job_calls_over_time=tuple(sum(map(partial(_step, step), own)) / len(own) for step in range(length)),
        rules=_rules(own),
        saved_by_rule=_saved_by_rule(own),
        delay=_mean_spread([each.figures.delay for each in own]),
        inline=_mean_spread([each.figures.inline for each in own]),
    )


def _step(step: int, measured: Measured) -> int:
    series = measured.figures.job_calls_over_time
    return series[step] if step < len(series) else 0


def _saved_by_rule(own: Sequence[Measured]) -> Mapping[str, int]:
    saved: Counter[str] = Counter()
    for each in own:
        saved.update(each.against_baseline.saved_by_rule)
    return dict(sorted(saved.items()))


def _mean_spread(spreads: Sequence[Spread]) -> Spread:
    """Those of nothing are left out."""
    some = [each for each in spreads if each.count]
    return Spread(
        count=sum(each.count for each in some),
        mean=fmean([each.mean for each in some]) if some else 0.0,
        at=tuple(fmean(values) for values in zip(*(each.at for each in some), strict=True))
        if some
        else (0.0,) * len(SHAPE),
    )


def _rules(own: Sequence[Measured]) -> Mapping[str, RuleCount]:
    names = sorted({name for each in own for name in each.figures.rules})
    none = RuleCount()
    return {
        name: RuleCount(
            looks=sum(each.figures.rules.get(name, none).looks for each in own),
            searches=sum(each.figures.rules.get(name, none).searches for each in own),
            found=sum(each.figures.rules.get(name, none).found for each in own),
        )
        for name in names
    }


def ratio(pairs: Sequence[Pair]) -> float:
    """The numerators' sum over the denominators'; 0.0 where there is nothing to divide by."""
    below = sum(each for _, each in pairs)
    return sum(each for each, _ in pairs) / below if below else 0.0
