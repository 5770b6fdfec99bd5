"""The settings: every number the decision depends on, with its unit, its default and why.

A :class:`Policy` is a value. It is validated when made, so that :func:`assign_core.decision.decide` can be total.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import Final

from assign_core.errors import InvalidValue
from assign_core.last_result import Strategy

PLANNERS_OWN: Final = Strategy()
_ZERO: Final = timedelta(0)
_LONGEST: Final = timedelta(days=366)
AT_ONCE: Final = _LONGEST
"""The wake window that is always open, however far away the start is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Settings of the decision and of the flows. Durations are ``timedelta``.

    Attributes:
        retries: job attempts after the first, while nothing is news; count, default 3 (so 4 attempts).
        attempt_cap: attempts of one revision, however often capacity changed; count, default 11.
        capacity_budget: attempts after a fresh capacity failure of unknown version; count, default 2.
        rejected_budget: attempts after a refused plan; count, default 2.
        ambiguous_budget: attempts after an unknown outcome; count, default 3.
        delays: from the start of attempt *n* to attempt *n + 1*; the last repeats. Default 5 s, 15 s, 45 s.
        jitter: share of a delay that is added at most, so that retries do not arrive together. Default 0.2.
            It is drawn from the attempt's id, so the same inputs give the same decision.
        cutoff: no further attempt nearer to the start than this. Default 10 min.
        dispatch_margin: how late a host may start a job that is due. A last chance before the cutoff is scheduled
            this much earlier. Default 30 s.
        freshness: how long evidence counts, inclusive. Default 5 min.
        clock_skew: how far in the future a result may lie and count as just recorded. Default 30 s.
        revalidation_limit: how long an unchanged capacity version answers for a search. Default 30 min.
        revalidation_share: of the parked bookings, how many are searched for once at the revalidation limit although
            nothing has changed; 0 to 1, default 0.1. A search that succeeds shows that the host's versions miss
            changes (``auto_assign.capacity_change_missed``); pass 1.0 until they are trusted, 0.0 to save the rest.
            It is drawn from the booking's id.
        wake_window: how near the start has to be for freed seats to wake a parked booking. The longest there is is
            always open: who waits comes before who asks next. With a short one what is freed goes to who asks next, and
            who waits is searched for when the window opens. Default 366 days.
        inline_deadline: what a guest's request may take until the commit. Default 1.8 s.
        job_deadline: what a job's attempt may take until the commit. Default 150 s.
        grace: for clean-up once time is up or the host has cancelled. Default 1 s.
        inline_hold: how long the tables of an inline attempt stay held without a confirm. Default 120 s.
        job_hold: the same for a job's attempt. Default 180 s.
        strategy: the planner's knobs when there is no evidence to take them from. Default: the planner's own.
        relax_after_timeout: after a timeout, search again without adjacency. A larger search that may break a
            seating rule, so it is the host's explicit choice. Default off.

    Raises:
        InvalidValue: a setting that no host can mean, named with its value and what to pass.
    """

    retries: int = 3
    attempt_cap: int = 11
    capacity_budget: int = 2
    rejected_budget: int = 2
    ambiguous_budget: int = 3
    revalidation_share: float = 0.1
    delays: tuple[timedelta, ...] = (timedelta(seconds=5), timedelta(seconds=15), timedelta(seconds=45))
    jitter: float = 0.2
    cutoff: timedelta = timedelta(minutes=10)
    dispatch_margin: timedelta = timedelta(seconds=30)
    freshness: timedelta = timedelta(minutes=5)
    clock_skew: timedelta = timedelta(seconds=30)
    revalidation_limit: timedelta = timedelta(minutes=30)
    wake_window: timedelta = AT_ONCE
    inline_deadline: timedelta = timedelta(seconds=1.8)
    job_deadline: timedelta = timedelta(seconds=150)
    grace: timedelta = timedelta(seconds=1)
    inline_hold: timedelta = timedelta(seconds=120)
    job_hold: timedelta = timedelta(seconds=180)
    strategy: Strategy = PLANNERS_OWN
    relax_after_timeout: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value, default = getattr(self, field.name), field.default
            if not _of_the_same_kind(value, default):
                kind = "number" if isinstance(default, float) else type(default).__name__
                raise InvalidValue(f"Policy.{field.name} is {value!r}; pass a {kind}, such as {default!r}")
            if isinstance(value, timedelta) and not _ZERO <= value <= _LONGEST:
                raise InvalidValue(f"Policy.{field.name} is {value}; pass a duration from 0 to {_LONGEST.days} days")
        if not all(isinstance(delay, timedelta) for delay in self.delays):
            raise InvalidValue(f"Policy.delays is {self.delays!r}; pass a tuple of timedelta")
        for name in ("inline_deadline", "job_deadline", "grace", "inline_hold", "job_hold", "revalidation_limit"):
            if getattr(self, name) == _ZERO:
                raise InvalidValue(f"Policy.{name} is 0; pass a duration longer than 0")
        if not 0 <= self.retries <= 100:
            raise InvalidValue(f"Policy.retries is {self.retries}; pass a count from 0 to 100")
        if not self.max_attempts <= self.attempt_cap <= 1000:
            raise InvalidValue(
                f"Policy.attempt_cap is {self.attempt_cap}; "
                f"pass at least retries + 1 = {self.max_attempts}, at most 1000"
            )
        for name in ("capacity_budget", "rejected_budget", "ambiguous_budget"):
            if getattr(self, name) < 1:
                raise InvalidValue(f"Policy.{name} is {getattr(self, name)}; pass a count of at least 1")
        for name in ("jitter", "revalidation_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidValue(f"Policy.{name} is {getattr(self, name)}; pass a share from 0 to 1")
        if not self.delays or list(self.delays) != sorted(self.delays) or not _ZERO < self.delays[0] <= _LONGEST:
            raise InvalidValue(f"Policy.delays is {self.delays}; pass one or more growing durations longer than 0")
        if self.delays[-1] > _LONGEST:
            raise InvalidValue(f"Policy.delays ends with {self.delays[-1]}; pass at most {_LONGEST.days} days")
        # A confirm that starts at the last moment must still find its hold.
        if self.inline_hold < self.inline_deadline or self.job_hold < self.job_deadline:
            raise InvalidValue(
                "a hold must outlive its attempt's deadline: "
                f"inline {self.inline_hold} and {self.inline_deadline}, job {self.job_hold} and {self.job_deadline}"
            )

    @property
    def max_attempts(self) -> int:
        """The full budget: job attempts without news."""
        return self.retries + 1

    def delay_after(self, attempt: int) -> timedelta:
        """From the start of attempt number ``attempt`` to the next one (0 is a revision's first, inline)."""
        delays = self.delays
        if attempt <= 1:
            return delays[0]
        return delays[attempt - 1] if attempt < len(delays) else delays[-1]


def _of_the_same_kind(value: object, default: object) -> bool:
    """A setting has its default's type; an int may stand for a float, and a bool for nothing else."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) and isinstance(default, bool)
    return isinstance(value, int | float if isinstance(default, float) else type(default))
