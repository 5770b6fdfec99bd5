"""Means with their uncertainty: the percentile bootstrap over seeds.

A seed is one evening, and evenings differ. The interval says within which limits the figure would lie had other
evenings been drawn: the seeds are drawn again, with replacement, many times, and the middle share of the figures so
obtained is the interval (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from attrs import frozen

T = TypeVar("T")

RESAMPLES: Final = 1000
LEVEL: Final = 0.95


@frozen(kw_only=True)
class Interval:
    """A figure and the limits it lies within."""

    value: float
    low: float
    high: float


def bootstrap(
    samples: Sequence[T],
    statistic: Callable[[Sequence[T]], float],
    *,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """The statistic of the samples, and its percentile interval. The same arguments give the same interval.

    Args:
        statistic: of a sequence as long as ``samples``.
        resamples: how many times the samples are drawn again.
        level: the share that the interval covers, between 0 and 1.

    Raises:
        ValueError: no samples, no resamples, or a level that is no share.
    """
    if not samples:
        raise ValueError("there are no samples; pass at least 1")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples is {resamples} and level {level}; pass at least 1, and a share between 0 and 1")
    dice = random.Random(seed)  # noqa: S311 - repeatable, not secret
    drawn = sorted(statistic(dice.choices(samples, k=len(samples))) for _ in range(resamples))
    outside = (1 - level) / 2
    return Interval(value=statistic(samples), low=_quantile(drawn, outside), high=_quantile(drawn, 1 - outside))


def _quantile(ordered: Sequence[float], share: float) -> float:
    """With linear interpolation between the two nearest."""
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])
