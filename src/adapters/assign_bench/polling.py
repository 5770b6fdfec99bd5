"""The engine in a host as the README has it: a queue, and a poller for those whom news wakes.

The **queue** calls ``job`` when a guest's request has ended, and again at each ``wait_until``; its workers are those of
the rivals' jobs. The **poller** is ``run_due``: every few seconds one query for the bookings that are due although
their time has not come, because their capacity version has grown beyond the one at which they were parked. It works off
one step after the other. That costs little time, and saves searches: a freed table wakes everybody whom it could help,
and whoever comes after the one that takes it sees that nothing is free any more, and is parked again without a search.

A day has some ten thousand polls, nearly all of them in vain, so they are counted and not performed: only the first
poll after something has become free is an event.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import floor
from typing import Final

from attrs import define, field

from assign_bench.host import Host, ignore
from assign_bench.seen import SeenBy
from assign_bench.workers import Workers
from assign_core.booking import OPEN
from assign_core.effects import Flow
from assign_core.flows import job_attempt
from assign_core.last_result import Source
from assign_core.outcome import Outcome, Verdict
from assign_core.ports import Hold, Quote
from assign_memory import Row

EVERY: Final = 5.0
"""Seconds from poll to poll."""


@define(eq=False)
class EngineJobs:
    """:class:`~assign_bench.host.Jobs` of the engine."""

    host: Host
    _poller: Workers = field(init=False)
    _at_work: set[str] = field(factory=set, init=False)
    """Bookings with a step that has not ended."""
    _parked: set[str] = field(factory=set, init=False)
    _freed: int = field(default=0, init=False)
    """How often something had become free when that was looked at last."""
    _wakes: bool = field(default=False, init=False)
    """The next poll may find somebody."""

    def __attrs_post_init__(self) -> None:
        place = self.host.restaurant
        self._poller = Workers(self.host.simulation, 1, self.host.policy.grace.total_seconds())
        if place.versions:
            place.heard.append(self._heard)
            self.host.watchers.append(self._watch)
            place.tally.looks = floor(place.workload.ends / EVERY)

    # The queue.

    def start(self, booking_id: str) -> None:
        self._step(booking_id, self.host.works, "queue")

    def _step(self, booking_id: str, works: Callable[..., object], trigger: str) -> None:
        self._at_work.add(booking_id)
        flow = job_attempt(booking_id, policy=self.host.policy, trigger=trigger)
        works(flow, ended=partial(self._ended, booking_id))

    def _ended(self, booking_id: str, outcome: Outcome) -> None:
        self._at_work.discard(booking_id)
        place, decision = self.host.restaurant, outcome.decision
        if outcome.verdict is Verdict.ALREADY_CONFIRMED and decision is not None and decision.suppress_email:
            place.tally.suppressed += 1
        self._parked.discard(booking_id)
        if outcome.parked and place.versions:
            self._parked.add(booking_id)
            # Something may have become free since the search that it is parked by.
            if self._is_woken(place.database.row(booking_id)):
                self._wake_at_next_poll()
        if outcome.wait_until is not None:
            wait = outcome.wait_until - place.clock.now()
            self.host.simulation.after(wait.total_seconds(), partial(self._again, booking_id))

    def _again(self, booking_id: str) -> None:
        row = self.host.restaurant.database.row(booking_id)
        # The poller may have been there since, and put it off.
        due = row.retry_at is not None and row.retry_at <= self.host.restaurant.clock.now()
        if due and row.status in OPEN and booking_id not in self._at_work:
            self._step(booking_id, self.host.works, "queue")

    # The poller.

    def _heard(self, booking_id: str, quote: Quote | None) -> None:
        """A hold that expires frees its tables."""
        del booking_id
        if isinstance(quote, Hold):
            place = self.host.restaurant
            self.host.simulation.after((quote.expires_at - place.clock.now()).total_seconds(), place.expire)

    def _watch(self) -> None:
        freed = self.host.restaurant.database.times_freed
        if freed != self._freed:
            self._freed = freed
            self._wake_at_next_poll()

    def _wake_at_next_poll(self) -> None:
        if self._parked and not self._wakes:
            self._wakes = True
            now = self.host.simulation.clock.monotonic()
            self.host.simulation.after((floor(now / EVERY) + 1) * EVERY - now, self._wake)

    def _wake(self) -> None:
        self._wakes = False
        rows = [self.host.restaurant.database.row(booking_id) for booking_id in self._parked - self._at_work]
        woken = [row for row in rows if row.status in OPEN and self._is_woken(row)]
        for row in sorted(woken, key=lambda row: (row.retry_at, row.id)):
            self._step(row.id, self._polled, "due")

    def _is_woken(self, row: Row) -> bool:
        if row.parked_at_version is None or row.retry_at is None:
            return False
        version = self.host.restaurant.database.version(row)
        return version is not None and version > row.parked_at_version

    def _polled(self, flow: Flow[Outcome], ended: Callable[[Outcome], object]) -> None:
        self._poller.tell(flow, SeenBy(self.host.restaurant, Source.JOB), answered=ignore, ended=ended)
