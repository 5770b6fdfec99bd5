"""The clairvoyant lower bound: a job that calls the planner only when the search will succeed.

It knows what would be found now without asking, what the guests and the staff are about to do, and how long the search
is going to take. It needs no worker, takes its tables at the moment at which it asks for them, and waits to the last
useful moment before the start. Nothing real can do so; its job calls are, for the bookings that its jobs seat, the
fewest there can be. It is greedy (first asked, first served), so it is no bound for the *seats*: another order may
seat more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, Final

from attrs import define, field

from assign_bench.host import Host, ignore
from assign_bench.restaurant import Restaurant
from assign_bench.retries import FixedDelays, Seen
from assign_bench.rivals import Ending, Job, attempt
from assign_bench.seen import SeenBy
from assign_bench.workload import Workload
from assign_core.booking import OPEN
from assign_core.effects import AwaitQuote, Effect, RequestQuote
from assign_core.last_result import Source, Strategy
from assign_core.ports import Hold, Quote, QuoteRequest

_AFTER_THE_SEARCH: Final = 0.1
"""Seconds that the confirm may take: nothing may happen to the booking until then."""


@define(eq=False)
class Oracle:
    """:class:`~assign_bench.host.Jobs` that know who waits, and when it is worth their while to ask."""

    host: Host
    restaurant: Restaurant = field(init=False)
    _fates: Mapping[str, list[float]] = field(init=False)
    _waiting: dict[str, list[Callable[[], object]]] = field(factory=dict, init=False)
    _seen: int = field(default=-1, init=False)

    def __attrs_post_init__(self) -> None:
        self.restaurant = self.host.restaurant
        self._fates = _fates(self.restaurant.workload)
        self.host.watchers.append(self.changed)
        for trouble in self.restaurant.workload.troubles:
            self.host.simulation.after(trouble.ends, self.look)

    def start(self, booking_id: str) -> None:
        self._wait(Job(booking_id, self.host.policy, _Knows(oracle=self), honours_flag=True))

    def _wait(self, job: Job) -> None:
        """It asks when the search will succeed, or when there is nothing to wait for any more."""
        go = partial(self._ask, job)
        self._waiting.setdefault(job.booking_id, []).append(go)
        row = self.restaurant.database.row(job.booking_id)
        too_late = row.start_at - self.host.policy.cutoff - self.restaurant.clock.now() + timedelta(seconds=1)
        self.host.simulation.after(max(0.001, too_late.total_seconds()), partial(self._release, job.booking_id, go))
        self._look_at(job.booking_id)

    def _ask(self, job: Job) -> None:
        host = self.host
        host.simulation.tell(
            attempt(job),
            _TakesAtOnce(self.restaurant, Source.JOB, self),
            grace=host.policy.grace.total_seconds(),
            answered=ignore,
            ended=partial(self._ended, job),
        )

    def _ended(self, job: Job, ending: Ending | None) -> None:
        if ending is None:
            self._wait(job)
        else:
            self.restaurant.tally.suppressed += ending is Ending.SUPPRESSED

    def changed(self) -> None:
        """Something may have happened."""
        if self._seen != self.restaurant.changes:
            self.look()

    def look(self) -> None:
        self._seen = self.restaurant.changes
        for booking_id in list(self._waiting):
            self._look_at(booking_id)

    def _look_at(self, booking_id: str) -> None:
        row = self.restaurant.database.row(booking_id)
        if row.status not in OPEN or self.will_find(booking_id):
            for go in self._waiting.pop(booking_id, []):
                self.host.simulation.after(0.0, go)

    def _release(self, booking_id: str, go: Callable[[], object]) -> None:
        waiting = self._waiting.get(booking_id, [])
        if go in waiting:
            waiting.remove(go)
            if not waiting:
                del self._waiting[booking_id]
            go()

    def will_find(self, booking_id: str) -> bool:
        """Whether a search that begins now will end with the booking seated."""
        place, now = self.restaurant, self.restaurant.clock.monotonic()
        row = place.database.row(booking_id)
        leased = row.lease is not None and row.lease.source is Source.INLINE
        if leased and row.lease is not None and row.lease.expires_at > place.clock.now():
            return False
        if not place.would_seat(booking_id, plans=1):
            return False
        request = QuoteRequest(
            booking_id=booking_id, revision=row.revision, attempt_id="?", strategy=Strategy(), hold_seconds=1.0
        )
        needed = SeenBy(place, Source.JOB).how_long(request, now)
        until = now + needed + _AFTER_THE_SEARCH
        if needed + _AFTER_THE_SEARCH > self.host.policy.job_deadline.total_seconds() or place.workload.refuses_at(now):
            return False
        return not any(now <= fate <= until for fate in self._fates[booking_id])

    def expects(self, hold: Hold) -> None:
        """A hold that expires is news."""
        left = (hold.expires_at - self.restaurant.clock.now()).total_seconds()
        self.host.simulation.after(left + 0.001, self.look)


def _fates(workload: Workload) -> Mapping[str, list[float]]:
    """When something is going to happen to a booking."""
    fates: defaultdict[str, list[float]] = defaultdict(list)
    for guest in workload.guests:
        if guest.cancels_at is not None:
            fates[guest.booking_id].append(guest.cancels_at)
        if guest.change is not None:
            fates[guest.booking_id].append(guest.change.at)
    for by_hand in workload.by_hand:
        fates[by_hand.booking_id].append(by_hand.at)
    return fates


@define
class _Knows(FixedDelays):
    """Searches when the search will succeed."""

    oracle: Oracle = field(kw_only=True)

    def searches(self, seen: Seen) -> bool:
        return self.oracle.will_find(seen.booking_id)


@define(eq=False)
class _TakesAtOnce(SeenBy):
    """The search's answer is that of the moment at which it begins."""

    oracle: Oracle
    _answer: Quote | None = field(default=None, init=False)

    def seconds(self, effect: Effect[Any], left: float) -> float:
        needed = SeenBy.seconds(self, effect, left)
        if isinstance(effect, RequestQuote):
            self._answer = self.quote(effect.request)
            if isinstance(self._answer, Hold):
                self.oracle.expects(self._answer)
        return needed

    def perform(self, effect: Effect[Any], left: float = 60.0) -> object:
        if isinstance(effect, RequestQuote | AwaitQuote):
            return self._answer
        return SeenBy.perform(self, effect, left)
