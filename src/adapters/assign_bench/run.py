"""One run: a workload under one policy, from the first request to the last table cleared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial

from attrs import define, field

from assign_bench.host import Host, Jobs
from assign_bench.policies import Contender
from assign_bench.remembering import PLANS
from assign_bench.restaurant import Restaurant
from assign_bench.result import SERIES_STEP, BookingEnd, Ended, Figures, RuleCount, Spread
from assign_bench.seen import SeenBy
from assign_bench.workers import Workers
from assign_bench.workload import NO_SHOW_AFTER, Elsewhere, Guest, Workload
from assign_core.booking import OPEN, SEATED
from assign_core.events import Event, EventName
from assign_core.flows import inline_attempt
from assign_core.last_result import Source
from assign_core.policy import Policy
from assign_memory import VirtualClock
from assign_sim.kernel import Simulation


def run(workload: Workload, contender: Contender, policy: Policy | None = None) -> Ended:
    """The workload under a policy. The same arguments give the same value."""
    return Run(workload, contender, Policy() if policy is None else policy).run()


@define(eq=False)
class Run:
    """One run, for those who want to look at the restaurant afterwards. Call :meth:`run` once."""

    workload: Workload
    contender: Contender
    policy: Policy = field(factory=Policy)
    restaurant: Restaurant = field(init=False)
    _simulation: Simulation = field(init=False)
    _host: Host = field(init=False)
    _web: Workers = field(init=False)
    _jobs: Jobs = field(init=False)
    _waited: list[float] = field(factory=list, init=False)
    _free_at_cutoff: dict[str, bool] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.policy = self.contender.settings(self.policy)
        clock = VirtualClock(self.workload.begins, seed=self.workload.seed)
        self._simulation = Simulation(clock)
        self.restaurant = Restaurant(self.workload, clock, self.contender.versions, self.contender.inline_tells_staff)
        grace = self.policy.grace.total_seconds()
        self._web = Workers(self._simulation, self.workload.web_workers, grace)
        workers = Workers(self._simulation, self.workload.job_workers, grace)
        self._host = Host(self.restaurant, self._simulation, workers, self.policy)
        self._jobs = self.contender.jobs(self._host)

    def run(self) -> Ended:
        self._plan()
        watchers = self._host.watchers
        while self._simulation.step():
            for watcher in watchers:
                watcher()
        return self._ended()

    def _plan(self) -> None:
        """Everything that happens whatever the policy."""
        place, workload, at = self.restaurant, self.workload, self._simulation.after
        for guest in workload.guests:
            at(guest.books_at, partial(self._books, guest))
        for walk_in in workload.walk_ins:
            at(walk_in.at, partial(place.walks_in, walk_in))
        for party in workload.elsewhere:
            at(party.at, partial(self._asks_elsewhere, party))
        for by_hand in workload.by_hand:
            at(by_hand.at, partial(place.seats_by_hand, by_hand))
        for change in workload.floor_changes:
            at(change.at, partial(place.changes_floor, change))

    def _asks_elsewhere(self, party: Elsewhere) -> None:
        if self.restaurant.asks_elsewhere(party):
            self._simulation.after(party.held_for, self.restaurant.expire)
            if party.decides_after is not None:
                self._simulation.after(party.decides_after, partial(self.restaurant.decides_elsewhere, party))

    # A guest's part.

    def _books(self, guest: Guest) -> None:
        self.restaurant.books(guest)
        if guest.cancels_at is not None:
            self._at(guest.cancels_at, partial(self.restaurant.cancels, guest))
        if guest.change is not None:
            self._at(guest.change.at, partial(self._changes, guest))
        self._expect(guest)
        self._asks(guest, "creation")

    def _at(self, moment: float, happening: Callable[[], object]) -> None:
        self._simulation.after(moment - self._simulation.clock.monotonic(), happening)

    def _changes(self, guest: Guest) -> None:
        if self.restaurant.modifies(guest):
            self._expect(guest)
            self._asks(guest, "modification")

    def _expect(self, guest: Guest) -> None:
        """The last useful moment to find a table, and the party's coming."""
        row = self.restaurant.database.row(guest.booking_id)
        start = (row.start_at - self.workload.begins).total_seconds()
        self._at(start - self.policy.cutoff.total_seconds(), partial(self._last_moment, row.id, row.revision))
        if guest.no_show:
            self._at(start + NO_SHOW_AFTER, partial(self.restaurant.stays_away, guest))

    def _last_moment(self, booking_id: str, revision: int) -> None:
        row = self.restaurant.database.row(booking_id)
        if row.revision == revision:
            self._free_at_cutoff[booking_id] = self._is_free(booking_id)

    def _is_free(self, booking_id: str) -> bool:
        """An attempt now would seat it."""
        place = self.restaurant
        return place.database.row(booking_id).status in OPEN and place.would_seat(booking_id, plans=PLANS)

    # The host's part.

    def _asks(self, guest: Guest, trigger: str) -> None:
        """The guest's request; and the job that the host queues when the attempt has ended, however it did."""
        asked_at = self._simulation.clock.monotonic()
        flow = inline_attempt(
            guest.booking_id, policy=self.policy, trigger=trigger, on_deadline=self.workload.on_deadline
        )
        self._web.tell(
            flow,
            SeenBy(self.restaurant, Source.INLINE),
            answered=lambda _: self._waited.append(self._simulation.clock.monotonic() - asked_at),
            ended=lambda _: self._jobs.start(guest.booking_id),
        )

    # The night's end.

    def _ended(self) -> Ended:
        rules = first_rules(self.restaurant.events)
        bookings = tuple(
            # A booking may be cancelled before its job looks.
            self._how_ended(guest.booking_id, rules.get(guest.booking_id, "no_look") if rules else None)
            for guest in self.workload.guests
        )
        return Ended(policy=self.contender.name, figures=self._figures(bookings), bookings=bookings)

    def _how_ended(self, booking_id: str, first_rule: str | None) -> BookingEnd:
        place = self.restaurant
        row = place.database.row(booking_id)
        seated, still_open = row.status in SEATED, row.status in OPEN
        delay = waited = None
        if seated:
            delay = waited = place.seated_at[booking_id] - place.asked_at[booking_id]
        elif still_open:
            last_moment = (row.start_at - self.policy.cutoff - self.workload.begins).total_seconds()
            waited = max(0.0, last_moment - place.asked_at[booking_id])
        return BookingEnd(
            id=booking_id,
            party=row.party,
            seated=seated,
            open=still_open,
            delay=delay,
            waited=waited,
            by=place.seated_by.get(booking_id) if seated else None,
            free_at_cutoff=still_open and self._free_at_cutoff.get(booking_id, False),
            free_at_end=self._is_free(booking_id),
            job_calls=place.tally.job_calls_for[booking_id],
            first_rule=first_rule,
        )

    def _figures(self, bookings: tuple[BookingEnd, ...]) -> Figures:
        place, tally = self.restaurant, self.restaurant.tally
        seated = [each for each in bookings if each.seated]
        still_open = sum(each.open for each in bookings)
        mail = place.emails(staff=False)
        return Figures(
            bookings=len(bookings),
            confirmed=len(seated),
            open=still_open,
            closed=len(bookings) - len(seated) - still_open,
            guests=sum(each.party for each in seated),
            walked_in=tally.guests_walked_in,
            turned_away=tally.guests_turned_away,
            inline_calls=tally.calls[Source.INLINE],
            inline_found=tally.found[Source.INLINE],
            inline_seconds=tally.seconds[Source.INLINE],
            job_calls=tally.calls[Source.JOB],
            job_found=tally.found[Source.JOB],
            job_seconds=tally.seconds[Source.JOB],
            job_seated=tally.confirmed[Source.JOB],
            by_hand=tally.by_hand,
            capacity_looks=tally.looks,
            delay=Spread.of([each.delay for each in seated if each.delay is not None]),
            inline=Spread.of(self._waited),
            emails_sent=len(mail),
            emails_suppressed=tally.suppressed,
            emails_duplicate=len(mail) - len({email.key for email in mail}),
            staff_notices=len(place.emails(staff=True)),
            job_calls_over_time=self._series(tally.job_calls_at),
            rules=rule_counts(place.events, tally.calls_in),
            double_booked=len(place.database.double_booked()),
            events=self._simulation.events,
        )

    def _series(self, moments: list[float]) -> tuple[int, ...]:
        counts = Counter(int(moment // SERIES_STEP) for moment in moments)
        return tuple(counts[step] for step in range(int(self.workload.ends // SERIES_STEP) + 1))


def rule_counts(events: list[Event], calls_in: Counter[str]) -> Mapping[str, RuleCount]:
    """By the rule that decided: how often a job looked, the searches of its attempts, and what they found."""
    looks: Counter[str] = Counter()
    searches: Counter[str] = Counter()
    found: Counter[str] = Counter()
    allowed_by: dict[str | None, str] = {}
    for event in events:
        match event.name:
            case EventName.STARTED:
                looks[_rule(event)] += 1
            case EventName.ATTEMPT:
                allowed_by[event.attempt_id] = _rule(event)
                searches[_rule(event)] += calls_in[event.attempt_id or ""]
            case EventName.SUCCEEDED if event.attempt_id in allowed_by:
                found[allowed_by[event.attempt_id]] += 1
            case _:
                pass
    return {name: RuleCount(looks=looks[name], searches=searches[name], found=found[name]) for name in sorted(looks)}


def first_rules(events: list[Event]) -> Mapping[str, str]:
    """What decided when a booking's job first looked."""
    rules: dict[str, str] = {}
    for event in events:
        if event.name is EventName.STARTED and event.booking_id is not None:
            rules.setdefault(event.booking_id, _rule(event))
    return rules


def _rule(event: Event) -> str:
    """The rule that decided stands first; one whose budget is used up is worth its own line."""
    rules = str(event.context["rules"])
    return rules if "budget_used_up" in rules else rules.partition(",")[0]
