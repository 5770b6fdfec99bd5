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

from attrs import define, field, frozen

from assign_bench.restaurant import Restaurant
from assign_bench.retries import FixedDelays, Seen
from assign_bench.rivals import Ending, Job, attempt
from assign_bench.seen import SeenBy
from assign_bench.workload import Workload
from assign_core.booking import OPEN
from assign_core.effects import AwaitQuote, Effect, RequestQuote, Within
from assign_core.last_result import Source, Strategy
from assign_core.policy import Policy
from assign_core.ports import Hold, Quote, QuoteRequest
from assign_sim.kernel import Simulation, Until

_AFTER_THE_SEARCH: Final = 0.1
"""Seconds that the confirm may take: nothing may happen to the booking until then."""


@define(eq=False)
class Oracle:
    """Who waits, and when it is worth their while to ask."""

    simulation: Simulation
    restaurant: Restaurant
    policy: Policy
    _fates: Mapping[str, list[float]] = field(init=False)
    _waiting: dict[str, list[Callable[[], object]]] = field(factory=dict, init=False)
    _seen: int = field(default=-1, init=False)

    def __attrs_post_init__(self) -> None:
        self._fates = _fates(self.restaurant.workload)
        for trouble in self.restaurant.workload.troubles:
            self.simulation.after(trouble.ends, self.look)

    def world(self) -> SeenBy:
        return _TakesAtOnce(self.restaurant, Source.JOB, self)

    def job(self, booking_id: str) -> _Waits:
        return _Waits(booking_id, self)

    def wait(self, booking_id: str, go: Callable[[], object]) -> None:
        """``go`` is called when the search would succeed, or when there is nothing to wait for any more."""
        self._waiting.setdefault(booking_id, []).append(go)
        row = self.restaurant.database.row(booking_id)
        too_late = row.start_at - self.policy.cutoff - self.restaurant.clock.now() + timedelta(seconds=1)
        self.simulation.after(max(0.001, too_late.total_seconds()), partial(self._release, booking_id, go))
        self._look_at(booking_id)

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
                self.simulation.after(0.0, go)

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
        if not place.would_find(booking_id):
            return False
        request = QuoteRequest(
            booking_id=booking_id, revision=row.revision, attempt_id="?", strategy=Strategy(), hold_seconds=1.0
        )
        needed = SeenBy(place, Source.JOB).how_long(request, now)
        until = now + needed + _AFTER_THE_SEARCH
        if needed + _AFTER_THE_SEARCH > self.policy.job_deadline.total_seconds() or place.workload.refuses_at(now):
            return False
        return not any(now <= fate <= until for fate in self._fates[booking_id])

    def expects(self, hold: Hold) -> None:
        """A hold that expires is news."""
        left = (hold.expires_at - self.restaurant.clock.now()).total_seconds()
        self.simulation.after(left + 0.001, self.look)


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


@frozen
class _Waits:
    """The oracle's job; call it for the flow."""

    booking_id: str
    oracle: Oracle

    async def __call__(self) -> Ending:
        policy = self.oracle.policy
        job = Job(self.booking_id, policy, _Knows(oracle=self.oracle), honours_flag=True)
        while True:
            await Within(None)
            await Until(partial(self.oracle.wait, self.booking_id))
            await Within(policy.job_deadline.total_seconds())
            ending = await attempt(job)
            if ending is not None:
                return ending


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
