"""An evening, run: the same guests, with and without sharing what attempts find.

Both runs have the same house, the same planner with the same latencies and the same inline attempts. They differ in the
job alone, so the difference between them is the policy's doing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import quantiles

from attrs import define, field, frozen

from assign_core.booking import OPEN, SEATED, EmailState
from assign_core.events import Event
from assign_core.flows import OnDeadline, inline_attempt, run_job
from assign_core.last_result import Source
from assign_core.outcome import Outcome, Verdict
from assign_core.policy import Policy
from assign_core.ports import EmailKind, QuoteRequest
from assign_floor import Floor
from assign_memory import VirtualClock
from assign_sim.evening import Evening, Guest
from assign_sim.house import House, Latencies, Mailed, Standing
from assign_sim.kernel import Simulation
from assign_sim.memory_house import MemoryHouse
from assign_sim.unshared import unshared_job

OpenHouse = Callable[[Floor, VirtualClock, int, Latencies], House]
"""Opens an empty house with this floor, at this time. The number is the seed of its latencies."""


@frozen(kw_only=True)
class Ended:
    """How an evening ended, and what it cost.

    Attributes:
        bookings, emails, told: how the bookings stand, the ledger of e-mails, and every event of telemetry.
        accepted: keys of the e-mails that the mail system took, in order.
        left_empty: bookings without a table although a search at their cutoff, the last useful moment, would have
            found one. What becomes free later, when somebody cancels at the door, no policy could have given them.
        seated_after: seconds from the request, or its last change, to confirmation; of those seated.
    """

    sharing: bool
    bookings: Mapping[str, Standing]
    emails: Sequence[Mailed]
    accepted: Sequence[str]
    told: Sequence[Event]
    left_empty: frozenset[str]
    planner_calls: Mapping[Source, int]
    planner_seconds: float
    capacity_looks: int
    emails_suppressed: int
    inline_seconds: tuple[float, ...]
    seated_after: Mapping[str, float]
    double_booked: int
    events: int

    @property
    def seated(self) -> frozenset[str]:
        return frozenset(name for name, booking in self.bookings.items() if booking.status in SEATED)

    @property
    def guests_seated(self) -> int:
        return sum(self.bookings[booking_id].party for booking_id in self.seated)

    @property
    def seconds_to_seat(self) -> tuple[float, ...]:
        return tuple(self.seated_after.values())

    @property
    def emails_handed_over(self) -> int:
        return sum(mail.handed_over for mail in self._guest_mail)

    @property
    def emails_outlived(self) -> int:
        """E-mails to guests who have cancelled or changed their booking since."""
        return sum(
            mail.handed_over
            for mail in self._guest_mail
            if mail.email.booking_id not in self.seated
            or mail.email.revision != self.bookings[mail.email.booking_id].revision
        )

    @property
    def emails_duplicate(self) -> int:
        return len(self.accepted) - len(set(self.accepted))

    @property
    def emails_unknown(self) -> int:
        return sum(mail.state is EmailState.UNKNOWN for mail in self._guest_mail)

    @property
    def staff_notices(self) -> int:
        return len(self.emails) - len(self._guest_mail)

    @property
    def _guest_mail(self) -> Sequence[Mailed]:
        return [mail for mail in self.emails if mail.email.kind is not EmailKind.STAFF_NOTICE]

    def inline_percentile(self, percent: int) -> float:
        """Of the time that guests waited for an answer, in seconds."""
        return percentile(self.inline_seconds, percent)

    def delay_percentile(self, percent: int) -> float:
        """From request, or its last change, to confirmation, of those seated, in seconds."""
        return percentile(self.seconds_to_seat, percent)


def percentile(values: tuple[float, ...], percent: int) -> float:
    """The inclusive percentile of durations in seconds, to the microsecond; 0 of nothing."""
    if len(values) > 1:
        found = quantiles(values, n=100, method="inclusive")[percent - 1]
    else:
        found = values[0] if values else 0.0
    # Differences of times since noon: what is below a microsecond is noise of the subtraction.
    return round(found, 6)


@define
class Service:
    """One run of an evening. Call :meth:`run` once.

    Args:
        opens: opens the house that the evening is spent in.
    """

    workload: Evening
    floor: Floor
    sharing: bool
    policy: Policy
    on_deadline: OnDeadline = "hand_over"
    latencies: Latencies = field(factory=Latencies)
    opens: OpenHouse = MemoryHouse
    simulation: Simulation = field(init=False)
    house: House = field(init=False)
    _inline_seconds: list[float] = field(factory=list, init=False)
    _seated_after: dict[str, float] = field(factory=dict, init=False)
    _asked_at: dict[str, float] = field(factory=dict, init=False)
    _suppressed: int = field(default=0, init=False)
    _free_at_cutoff: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        clock = VirtualClock(self.workload.begins, seed=self.workload.seed)
        self.simulation = Simulation(clock)
        self.house = self.opens(self.floor, clock, self.workload.seed, self.latencies)

    def run(self, watch: Callable[[float], object] | None = None) -> Ended:
        """To the end of the night, when everybody has an answer. ``watch`` is told the seconds as they pass."""
        for guest in self.workload.guests:
            self.simulation.after(guest.books_at, partial(self._books, guest))
        while self.simulation.step():
            if watch is not None and self.simulation.events % 64 == 0:
                watch(self.simulation.clock.monotonic())
        return self._ended()

    # A guest's evening.

    def _books(self, guest: Guest) -> None:
        self.house.book(guest.booking_id, party=guest.party, start_at=guest.start_at)
        now = self.simulation.clock.monotonic()
        cutoff = guest.start_at - self.policy.cutoff - self.workload.begins
        self.simulation.after(cutoff.total_seconds() - now, partial(self._last_moment, guest.booking_id))
        if guest.cancels_at is not None:
            self.simulation.after(guest.cancels_at - now, partial(self.house.cancel, guest.booking_id))
        if guest.changes_at is not None and guest.changed_party is not None:
            self.simulation.after(guest.changes_at - now, partial(self._changes, guest, guest.changed_party))
        self._asks(guest, "creation")

    def _changes(self, guest: Guest, party: int) -> None:
        self.house.change(guest.booking_id, party)
        self._seated_after.pop(guest.booking_id, None)
        self._asks(guest, "modification")

    def _asks(self, guest: Guest, trigger: str) -> None:
        """The guest's request, and the job that the host queues when it has not ended in a table."""
        asked_at = self._asked_at[guest.booking_id] = self.simulation.clock.monotonic()
        flow = inline_attempt(guest.booking_id, policy=self.policy, trigger=trigger, on_deadline=self.on_deadline)
        self.simulation.tell(
            flow,
            self.house.seen_by(Source.INLINE),
            grace=self.policy.grace.total_seconds(),
            answered=lambda _: self._inline_seconds.append(self.simulation.clock.monotonic() - asked_at),
            ended=partial(self._inline_ended, guest),
        )

    def _inline_ended(self, guest: Guest, outcome: Outcome) -> None:
        self._note(guest, outcome.verdict is Verdict.CONFIRMED)
        if outcome.verdict is Verdict.CONFIRMED and self.sharing:
            # The host queues its job for every booking; this one finds it seated, and the guest written to.
            self._job(guest)
        elif outcome.verdict in {Verdict.WAIT, Verdict.GAVE_UP}:
            self._job(guest)

    def _job(self, guest: Guest) -> None:
        grace = self.policy.grace.total_seconds()
        world = self.house.seen_by(Source.JOB)
        if self.sharing:
            self.simulation.tell(
                run_job(guest.booking_id, policy=self.policy, trigger="queue"),
                world,
                grace=grace,
                answered=_ignore,
                ended=partial(self._shared_job_ended, guest),
            )
        else:
            self.simulation.tell(
                unshared_job(guest.booking_id, policy=self.policy),
                world,
                grace=grace,
                answered=_ignore,
                ended=partial(self._note, guest),
            )

    def _shared_job_ended(self, guest: Guest, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.ALREADY_CONFIRMED and outcome.decision and outcome.decision.suppress_email:
            self._suppressed += 1
        self._note(guest, outcome.verdict is Verdict.CONFIRMED)

    def _note(self, guest: Guest, seated: bool) -> None:
        if seated:
            waited = self.simulation.clock.monotonic() - self._asked_at[guest.booking_id]
            self._seated_after.setdefault(guest.booking_id, waited)

    def _last_moment(self, booking_id: str) -> None:
        if self.house.would_find(_at_last(booking_id)):
            self._free_at_cutoff.add(booking_id)

    # The night's end.

    def _ended(self) -> Ended:
        house, tally, bookings = self.house, self.house.tally, self.house.bookings()
        waiting = {booking_id for booking_id, booking in bookings.items() if booking.status in OPEN}
        return Ended(
            sharing=self.sharing,
            bookings=bookings,
            emails=house.emails(),
            accepted=[email.key for email in house.transport.accepted],
            told=house.events(),
            left_empty=frozenset(waiting & self._free_at_cutoff),
            planner_calls=dict(tally.planner_calls),
            planner_seconds=tally.planner_seconds,
            capacity_looks=tally.capacity_looks,
            emails_suppressed=self._suppressed,
            inline_seconds=tuple(self._inline_seconds),
            seated_after={
                booking_id: delay
                for booking_id, delay in self._seated_after.items()
                if bookings[booking_id].status in SEATED
            },
            double_booked=len(house.double_booked()),
            events=self.simulation.events,
        )


def _ignore(_: object) -> None:
    """A job's answer is looked at when it has ended."""


def _at_last(booking_id: str) -> QuoteRequest:
    """The question at the last useful moment: would a search seat this booking now?"""
    return QuoteRequest(
        booking_id=booking_id, revision=0, attempt_id="at last", strategy=Policy().strategy, hold_seconds=1.0
    )


@frozen(kw_only=True)
class Comparison:
    """The same evening twice."""

    shared: Ended
    unshared: Ended

    @property
    def job_calls_saved(self) -> float:
        """Share of the job's planner calls that sharing makes unnecessary, 0 to 1."""
        without = self.unshared.planner_calls[Source.JOB]
        return 1 - self.shared.planner_calls[Source.JOB] / without if without else 0.0

    @property
    def lost(self) -> tuple[str, ...]:
        """Bookings seated without sharing and not with it, although tables for them stood free at their cutoff."""
        return tuple(sorted(self.unshared.seated & self.shared.left_empty))

    @property
    def fewer_guests(self) -> int:
        """How many fewer guests sit in the end; 0 if as many or more."""
        return max(0, self.unshared.guests_seated - self.shared.guests_seated)


def compare(workload: Evening, floor: Floor, policy: Policy, on_deadline: OnDeadline = "hand_over") -> Comparison:
    """Run the evening with sharing and without."""
    shared, unshared = (Service(workload, floor, sharing, policy, on_deadline).run() for sharing in (True, False))
    return Comparison(shared=shared, unshared=unshared)
