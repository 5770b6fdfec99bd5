"""How one run ended: frozen values of plain numbers, so that they can be written as JSON.

:class:`Figures` are what a report keeps of a run; :class:`Ended` adds every booking, for comparing runs of the same
workload.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, quantiles
from typing import Final

from attrs import frozen

SERIES_STEP: Final = 900.0
"""Seconds of one step of a series over the evening."""
SHAPE: Final = (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99, 100)
"""The percentiles that stand for a distribution."""


def percentile(values: Sequence[float], percent: int) -> float:
    """The inclusive percentile, 0 to 100; 0.0 of nothing."""
    if not values:
        return 0.0
    if len(values) == 1 or percent <= 0:
        return min(values)
    if percent >= 100:
        return max(values)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


@frozen(kw_only=True)
class Spread:
    """A distribution: how many, their mean, and the percentiles that :data:`SHAPE` names."""

    count: int
    mean: float
    at: tuple[float, ...]

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        mean = fmean(values) if values else 0.0
        return cls(count=len(values), mean=mean, at=tuple(percentile(values, percent) for percent in SHAPE))

    def percentile(self, percent: int) -> float:
        """One of :data:`SHAPE`; raises ``ValueError`` for another."""
        return self.at[SHAPE.index(percent)]


@frozen(kw_only=True)
class RuleCount:
    """What a rule of the decision did: how often it decided, the searches it allowed, and those that found tables."""

    looks: int = 0
    searches: int = 0
    found: int = 0


@frozen(kw_only=True)
class BookingEnd:
    """How a booking ended.

    Attributes:
        seated: it has tables.
        delay: seconds from the request for its last revision to the confirm; ``None``: not seated.
        waited: the same, or to the last useful moment where it is still open; ``None``: it was closed.
        by: ``inline``, ``job`` or ``staff``; ``None``: not seated.
        open: still pending.
        free_at_cutoff: not seated at its last useful moment, and a search would have found tables then.
        free_at_end: not seated, and its tables were free when the night was over; a party that stayed away, say, has
            left them, when nobody could be asked to come any more.
        job_calls: of the planner by its job.
        first_rule: for the engine, what decided when its job first looked.
    """

    id: str
    party: int
    seated: bool
    open: bool
    delay: float | None = None
    waited: float | None = None
    by: str | None = None
    free_at_cutoff: bool = False
    free_at_end: bool = False
    job_calls: int = 0
    first_rule: str | None = None


@frozen(kw_only=True)
class Figures:
    """What a run cost and brought.

    Attributes:
        bookings: that were asked for; each is ``confirmed``, ``open`` or ``closed`` in the end.
        guests: of the bookings confirmed in the end.
        walked_in, turned_away: guests at the door, and those who would stay of the ones who asked on another channel.
        inline_calls, job_calls: of the planner; ``..._found``: that ended with a hold.
        inline_seconds, job_seconds: of the planner's time.
        job_seated: confirmed by a job; so many calls were needed at least.
        capacity_looks: cheap reads of the version: a poller's queries for whom it has woken, most of them in vain.
        delay: seconds from request to confirm, of those confirmed in the end.
        inline: seconds that guests waited for their answer.
        emails_sent, emails_duplicate: to guests, as the mail system accepted them; duplicates are beyond the first of
            the same booking, kind and revision.
        emails_suppressed: not sent again, because the ledger knew.
        staff_notices: to the staff, that no table was found.
        job_calls_over_time: by steps of :data:`SERIES_STEP` seconds from the workload's beginning.
        rules: for the engine, by the rule that decided.
        double_booked: pairs that share a table; 0, or the simulation is wrong.
        events: of the simulation.
    """

    bookings: int
    confirmed: int
    open: int
    closed: int
    guests: int
    walked_in: int
    turned_away: int
    inline_calls: int
    inline_found: int
    inline_seconds: float
    job_calls: int
    job_found: int
    job_seconds: float
    job_seated: int
    by_hand: int
    capacity_looks: int
    delay: Spread
    inline: Spread
    emails_sent: int
    emails_suppressed: int
    emails_duplicate: int
    staff_notices: int
    job_calls_over_time: tuple[int, ...]
    rules: Mapping[str, RuleCount]
    double_booked: int
    events: int


@frozen(kw_only=True)
class Ended:
    """A run, whole."""

    policy: str
    figures: Figures
    bookings: tuple[BookingEnd, ...]


@frozen(kw_only=True)
class Versus:
    """A run against another of the same workload.

    Two readings of *lost* stand side by side. The plain one counts heads: ``fewer_...``. The other asks for each
    booking that the other run seated and this one did not whether its seats went unused: ``lost_at_end`` judges by the
    tables as they were when the night was over, ``lost_at_cutoff`` by what a search would have found at the booking's
    last useful moment. A booking whose seats somebody else had is ``swapped``, not lost; ``gained`` are those that only
    this run seated.

    Each booking is asked for by itself, at a moment of its own, so two may be lost to the same free table. The count is
    an upper bound: no run's losses are flattered by it, and it is 0 exactly when no booking could have been seated.

    Attributes:
        fewer_bookings, fewer_guests: of the bookings; negative: more. ``fewer_heads`` counts the guests who walked in
            as well, since a table given to a booking is one less at the door.
        seated_by_both: the bookings that ``delay``, ``other_delay`` and ``added_delay`` are about.
        added_delay: this run's delay less the other's, booking by booking.
        wait, other_wait: seconds without a table, of the bookings that neither run saw closed. Who is never seated
            waits to the last useful moment. A percentile of ``delay`` rewards a run for seating only those whom it
            seats at once; this one does not.
        saved_by_rule: for the engine, the other run's job calls less this one's, by the rule that decided when the
            booking's job first looked.
    """

    against: str
    fewer_bookings: int
    fewer_guests: int
    fewer_heads: int
    lost_at_end: tuple[str, ...]
    lost_at_cutoff: tuple[str, ...]
    swapped: int
    gained: int
    seated_by_both: int
    delay: Spread
    other_delay: Spread
    added_delay: Spread
    wait: Spread
    other_wait: Spread
    saved_by_rule: Mapping[str, int]


def versus(this: Ended, other: Ended) -> Versus:
    """Compare two runs of one workload.

    Raises:
        ValueError: they are not of the same bookings.
    """
    theirs = {each.id: each for each in other.bookings}
    ours = {each.id: each for each in this.bookings}
    if ours.keys() != theirs.keys():
        raise ValueError(
            f"{this.policy} and {other.policy} were not run on the same bookings; compare the same workload"
        )
    gone = [each for each in this.bookings if theirs[each.id].seated and not each.seated]
    at_end = tuple(each.id for each in gone if each.free_at_end)
    at_cutoff = tuple(each.id for each in gone if each.free_at_cutoff)
    both = [(each, theirs[each.id]) for each in this.bookings if each.seated and theirs[each.id].seated]
    delays = [(one.delay or 0.0, two.delay or 0.0) for one, two in both]
    mine, its = this.figures, other.figures
    waits = [(each.waited, theirs[each.id].waited) for each in this.bookings]
    known = [(one, two) for one, two in waits if one is not None and two is not None]
    return Versus(
        against=other.policy,
        fewer_bookings=its.confirmed - mine.confirmed,
        fewer_guests=its.guests - mine.guests,
        fewer_heads=its.guests + its.walked_in - mine.guests - mine.walked_in,
        lost_at_end=at_end,
        lost_at_cutoff=at_cutoff,
        swapped=len({each.id for each in gone} - {*at_end, *at_cutoff}),
        gained=sum(each.seated and not theirs[each.id].seated for each in this.bookings),
        seated_by_both=len(both),
        delay=Spread.of([one for one, _ in delays]),
        other_delay=Spread.of([two for _, two in delays]),
        added_delay=Spread.of([one - two for one, two in delays]),
        wait=Spread.of([one for one, _ in known]),
        other_wait=Spread.of([two for _, two in known]),
        saved_by_rule=_saved_by_rule(this, theirs),
    )


def _saved_by_rule(this: Ended, theirs: Mapping[str, BookingEnd]) -> Mapping[str, int]:
    saved: Counter[str] = Counter()
    for each in this.bookings:
        if each.first_rule is not None:
            saved[each.first_rule] += theirs[each.id].job_calls - each.job_calls
    return dict(sorted(saved.items()))
