"""The bootstrap on data whose interval is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assign_bench import Interval, bootstrap
from assign_bench.summary import ratio


def test_what_does_not_vary_has_no_width() -> None:
    assert bootstrap([7.0] * 5, fmean) == Interval(value=7.0, low=7.0, high=7.0)
    assert bootstrap([3.0], fmean) == Interval(value=3.0, low=3.0, high=3.0)


def test_of_two_samples_the_mean_is_either_or_between() -> None:
    """Drawn again they give 0 a quarter of the time, 1/2 half of the time, and 1 a quarter of the time."""
    assert bootstrap([0.0, 1.0], fmean) == Interval(value=0.5, low=0.0, high=1.0)
    assert bootstrap([0.0, 1.0], fmean, level=0.3) == Interval(value=0.5, low=0.5, high=0.5)


def test_of_normal_data_it_is_the_textbooks_interval() -> None:
    samples = [NormalDist(100.0, 15.0).inv_cdf((number + 0.5) / 200) for number in range(200)]
    found = bootstrap(samples, fmean, resamples=4000)
    half = NormalDist().inv_cdf(0.975) * stdev(samples) / math.sqrt(len(samples))
    assert found.value == pytest.approx(100.0)
    assert (found.low, found.high) == pytest.approx((100.0 - half, 100.0 + half), abs=0.1 * half)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12), st.integers(0, 5))
def test_the_limits_lie_among_the_samples_and_the_same_seed_gives_the_same(samples: Sequence[float], seed: int) -> None:
    found = bootstrap(samples, max, resamples=50, seed=seed)
    assert min(samples) <= found.low <= found.high <= found.value == max(samples)
    assert found == bootstrap(samples, max, resamples=50, seed=seed)


def test_a_wider_level_is_no_narrower() -> None:
    samples = [float(number * number) for number in range(20)]
    narrow, wide = bootstrap(samples, fmean, level=0.5), bootstrap(samples, fmean, level=0.99)
    assert wide.low < narrow.low < narrow.value < narrow.high < wide.high


def test_a_share_of_sums_is_no_mean_of_shares() -> None:
    assert ratio([(1.0, 1.0), (0.0, 9.0)]) == 0.1
    assert ratio([(1.0, 0.0)]) == 0.0


@pytest.mark.parametrize(
    ("samples", "options", "says"),
    [
        ([], {}, "there are no samples"),
        ([1.0], {"resamples": 0}, "resamples is 0"),
        ([1.0], {"level": 1.0}, "level 1.0"),
    ],
)
def test_what_has_no_interval_is_refused(samples: list[float], options: dict[str, float], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bootstrap(samples, fmean, **options)  # type: ignore[arg-type]  # the options are wrong on purpose
