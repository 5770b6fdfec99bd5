"""What the rivals know: when to search again, and when to stop. Each is a small piece that asks nobody.

They share one job (:class:`assign_bench.rivals.RivalJobs`). A piece is asked for its budget when the job first reads
the booking, whether to search when it could, and, after a failure, how long to pause. Those with a memory across jobs
(a cache, a bucket) are told every answer of the planner.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Final, Protocol

from attrs import define, field, frozen

from assign_core.last_result import LastResult
from assign_core.policy import Policy
from assign_core.ports import NoHold, Quote
from assign_core.reasons import FailureClass

DETERMINISTIC: Final = frozenset({FailureClass.CAPACITY, FailureClass.PERMANENT, FailureClass.REJECTED})
"""Failures that the same search repeats as long as the world stays as it is."""
FULL: Final = 4
"""Attempts of the job in the system that this project learns from."""


@frozen(kw_only=True)
class Seen:
    """What a job may look at.

    Attributes:
        inline: what the inline attempt recorded, if anything.
        failures: of this job's own searches, in order.
    """

    booking_id: str
    now: datetime
    inline: LastResult | None = None
    failures: tuple[FailureClass, ...] = ()


class Retry(Protocol):
    """A rival's knowledge."""

    def budget(self, seen: Seen) -> int:
        """Attempts, when the job first reads the booking."""
        ...

    def pause(self, seen: Seen) -> float | None:
        """Seconds from a failure to the next attempt; ``None``: stop."""
        ...

    def searches(self, seen: Seen) -> bool:
        """``False``: answer "nothing" without the planner; it counts as an attempt."""
        ...

    def heard(self, booking_id: str, quote: Quote | None, now: float) -> None:
        """What the planner has answered to anyone; ``None``: it failed."""
        ...


@define
class FixedDelays:
    """Four attempts, 5 s, 15 s and 45 s after each failure, whatever anyone found: the baseline."""

    delays: tuple[float, ...] = tuple(delay.total_seconds() for delay in Policy().delays)

    def budget(self, seen: Seen) -> int:
        del seen
        return FULL

    def pause(self, seen: Seen) -> float | None:
        return self.delays[min(len(seen.failures), len(self.delays)) - 1]

    def searches(self, seen: Seen) -> bool:
        del seen
        return True

    def heard(self, booking_id: str, quote: Quote | None, now: float) -> None:
        """Nothing is remembered."""


@define
class HalvedBudget(FixedDelays):
    """The seed of the idea: after a fresh inline failure for want of seats, two attempts. They begin at once."""

    def budget(self, seen: Seen) -> int:
        return FULL // 2 if _fresh(seen) is FailureClass.CAPACITY else FULL


@define
class HardStop(FixedDelays):
    """Stops at the job's first deterministic failure.

    After a fresh deterministic inline failure the first attempt "is skipped": the count is lowered, and the planner is
    called at once all the same, as the real system did.
    """

    def budget(self, seen: Seen) -> int:
        return FULL - 1 if _fresh(seen) in DETERMINISTIC else FULL

    def pause(self, seen: Seen) -> float | None:
        return None if seen.failures[-1] in DETERMINISTIC else FixedDelays.pause(self, seen)


@define
class ExponentialJitter(FixedDelays):
    """Tenacity's ``wait_exponential_jitter`` with its own defaults, for every failure alike, four attempts.

    Tenacity's own default is to retry for ever without waiting; nobody who calls a planner would keep that.

    ``min(initial * 2 ** (n - 1) + uniform(0, jitter), longest)`` seconds after the *n*-th failure.
    """

    initial: float = 1.0
    jitter: float = 1.0
    longest: float = 60.0

    def pause(self, seen: Seen) -> float | None:
        number = len(seen.failures)
        return min(self.initial * 2.0 ** (number - 1) + self.jitter * _dice(seen).random(), self.longest)


@define
class NegativeCache(FixedDelays):
    """The baseline, and for a fixed time after the planner found nothing for a slot nobody searches for it again.

    ``slot`` is the start and the party, so a failure for eight says nothing to a couple. A fixed time is all that it
    knows: a table freed within it is not seen, one that was not freed is searched for again.
    """

    slot: Callable[[str], Hashable] = field(kw_only=True)
    seconds: float = field(default=60.0, kw_only=True)
    clock: Callable[[], float] = field(kw_only=True)
    _until: dict[Hashable, float] = field(factory=dict, init=False)

    def searches(self, seen: Seen) -> bool:
        return self._until.get(self.slot(seen.booking_id), 0.0) <= self.clock()

    def heard(self, booking_id: str, quote: Quote | None, now: float) -> None:
        if isinstance(quote, NoHold):
            self._until[self.slot(booking_id)] = now + self.seconds


@define
class TokenBucket(FixedDelays):
    """The retry quota of the AWS SDKs: a bucket of 500 for all jobs, a retry costs 5, and a success gives it back.

    A success without a retry gives back 1. The pause is theirs too: ``uniform(0, 1) * min(2 ** n, 20)`` seconds. They
    stop after three attempts; here it is four, like everybody's. Nothing about the failure is looked at, so the quota
    bites only when nearly everything fails.
    """

    capacity: int = 500
    cost: int = 5
    tokens: int = field(default=500, init=False)
    _owed: dict[str, int] = field(factory=dict, init=False)

    def pause(self, seen: Seen) -> float | None:
        if self.tokens < self.cost:
            return None
        self.tokens -= self.cost
        self._owed[seen.booking_id] = self.cost
        return _dice(seen).random() * min(2.0 ** len(seen.failures), 20.0)

    def heard(self, booking_id: str, quote: Quote | None, now: float) -> None:
        del now
        owed = self._owed.pop(booking_id, 1)
        if quote is not None and not isinstance(quote, NoHold):
            self.tokens = min(self.capacity, self.tokens + owed)


def _fresh(seen: Seen) -> FailureClass | None:
    """The class of an inline failure that is not older than the freshness lifetime."""
    last = seen.inline
    if last is None or seen.now - last.recorded_at > Policy().freshness:
        return None
    return last.failure_class


def _dice(seen: Seen) -> random.Random:
    return random.Random(f"{seen.booking_id}:{len(seen.failures)}")  # noqa: S311 - repeatable, not secret
