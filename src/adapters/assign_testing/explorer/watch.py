"""The promises, as they can be judged from outside while a schedule runs.

The watch sees every effect that was performed, with its answer, and what an actor ended with. It believes no flow: what
is true is what the world's own tables say. Each check names the promise that it holds to, of
``assign_testing/PROMISES.md``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from assign_core.booking import OPEN, SEATED, Booking
from assign_core.effects import Acquire, CloseAttempt, Confirm, Effect, Emit
from assign_core.events import EventName
from assign_core.last_result import LastResult, Source
from assign_core.outbox import still_true
from assign_core.outcome import Outcome, Verdict
from assign_core.policy import Policy
from assign_core.ports import Acquired, Confirmation, Confirmed, EmailKind, Hold, Lease, QuoteRequest
from assign_core.reasons import FailureClass
from assign_testing.explorer.actors import Handing
from assign_testing.explorer.world import SEATS, Seen, World

GUEST: Final = frozenset({EmailKind.CONFIRMATION, EmailKind.MODIFICATION})


class Violation(AssertionError):
    """A promise was broken. ``promise`` is its name, the same for every way of breaking it."""

    def __init__(self, promise: str, how: str) -> None:
        super().__init__(f"{promise}: {how}")
        self.promise = promise
        self.how = how

    def __reduce__(self) -> tuple[type[Violation], tuple[str, str]]:
        return Violation, (self.promise, self.how)  # it travels between processes


@dataclass(slots=True)
class Watch:
    """What one schedule has done so far."""

    world: World
    policy: Policy
    deduplicates: bool
    skew: timedelta = timedelta(0)
    """How far apart the clocks are by which evidence is dated and read."""
    asked: dict[str, QuoteRequest] = field(default_factory=dict)
    """The first request of each attempt, in order."""
    sources: dict[str, Source] = field(default_factory=dict)
    """Whose attempt it is, in the order in which they asked for the lease."""
    recorded: set[str] = field(default_factory=set)
    closed: set[str] = field(default_factory=set)
    committed: set[str] = field(default_factory=set)
    found_lost: set[str] = field(default_factory=set)
    handed: Counter[str] = field(default_factory=Counter)
    """Hand-overs to the mail system, accepted or not known, by key."""
    accepted: set[str] = field(default_factory=set)
    seated: set[tuple[str, int]] = field(default_factory=set)
    """Bookings, and the revision, that were confirmed at some time."""
    by_hand: set[tuple[str, int]] = field(default_factory=set)
    looked_at: set[tuple[str, int]] = field(default_factory=set)
    summaries: Counter[str] = field(default_factory=Counter)
    must_search: dict[str, str] = field(default_factory=dict)
    """Attempts that nothing entitles not to search, and why."""
    may_not_search: dict[str, str] = field(default_factory=dict)
    """Attempts that fresh evidence forbids to search, and why."""
    calls: Counter[str] = field(default_factory=Counter)
    """Calls of the planner, by attempt."""
    held: Counter[str] = field(default_factory=Counter)
    """Holds that were ever taken, by booking."""
    leases: dict[str, Lease] = field(default_factory=dict)
    """The last lease that was given of each booking."""
    notices: set[str] = field(default_factory=set)
    """Keys of the staff notices that were queued."""
    refused: set[str] = field(default_factory=set)
    """Keys of e-mails that the mail system will never take."""
    in_doubt: bool = False
    """Something went wrong after which an e-mail's fate may be unknown."""
    _before: Seen | None = None
    """The booking, just before it is confirmed."""

    # What happens.

    def performed(self, effect: Effect[Any], answer: object) -> None:
        """An effect of a flow was performed, whether or not the flow hears the answer."""
        match effect:
            case Acquire():
                self.sources[effect.lease.attempt_id] = effect.lease.source
                if isinstance(answer, Acquired):
                    self._leased(answer.booking.id, effect.lease)
                    self._acquired(effect.lease.attempt_id, answer)
            case Confirm() if isinstance(answer, Confirmed):
                self._confirmed(effect.confirmation, answer)
            case CloseAttempt():
                self.closed.add(effect.entry.attempt_id)
                if effect.entry.result is not None and effect.entry.result.attempt_id is not None:
                    self.recorded.add(effect.entry.result.attempt_id)
                self._check_notices()
            case _:
                pass

    def _leased(self, booking_id: str, lease: Lease) -> None:
        """One at a time: nobody is given the lease of an attempt that may still search."""
        other = self.leases.get(booking_id)
        self.leases[booking_id] = lease
        if other is None or other.attempt_id in {lease.attempt_id, *self.closed, *self.committed}:
            return
        if other.expires_at > self.world.clock.now():
            raise Violation(
                "lease", f"{lease.attempt_id} is given the lease that {other.attempt_id} has until {other.expires_at}"
            )

    def _check_notices(self) -> None:
        """The staff is told only of who still waits."""
        notices = {key for key in self.world.ledger() if f":{EmailKind.STAFF_NOTICE.value}:" in key}
        for key in notices - self.notices:
            seen = self.world.look(key.partition(":")[0])
            if seen.status not in OPEN:
                raise Violation("P4 mail", f"{key} is queued, and the booking is {seen.status}")
        self.notices = notices

    def _acquired(self, attempt_id: str, found: Acquired) -> None:
        booking, last = found.booking, found.last
        self.looked_at.add((booking.id, booking.revision))
        if found.lost is not None:
            self.found_lost.add(found.lost.attempt_id)
        elif isinstance(last, LastResult) and booking.status in OPEN:
            why = self._no_evidence(booking, last)
            if why is not None:
                self.must_search[attempt_id] = why
            why = self._used_up(booking, last)
            if why is not None:
                self.may_not_search[attempt_id] = why

    def _used_up(self, booking: Booking, last: LastResult) -> str | None:
        """Why fresh evidence forbids another search, where its class alone tells; ``None`` if it does not."""
        policy, version, seen = self.policy, booking.capacity_version, last.capacity_version
        age = self.world.clock.now() - last.recorded_at
        grown = version is not None and seen is not None and version > seen
        if grown or last.revision != booking.revision or not self.skew <= age <= policy.freshness - self.skew:
            return None
        budgets = {
            FailureClass.PERMANENT: 0,
            FailureClass.REJECTED: policy.rejected_budget,
            FailureClass.AMBIGUOUS: policy.ambiguous_budget,
        }
        budget = None if last.failure_class is None else budgets.get(last.failure_class)
        if budget is None or last.attempt < budget:
            return None
        return f"attempt {last.attempt} has failed just now, {last.failure_class}, of which there may be {budget}"

    def _no_evidence(self, booking: Booking, last: LastResult) -> str | None:
        """Why ``last`` entitles nobody to search less; ``None`` if it may."""
        now, policy = self.world.clock.now(), self.policy
        if booking.start_at is not None and booking.start_at - now <= policy.cutoff:
            return None
        if last.revision < booking.revision:
            return f"its evidence is of revision {last.revision}, the booking's is {booking.revision}"
        age = now - last.recorded_at
        version, seen = booking.capacity_version, last.capacity_version
        unproven = version is None or seen is None or version > seen
        if age > policy.freshness + self.skew and unproven and last.attempt < policy.max_attempts:
            return f"its evidence is {age} old, and no version proves it"
        return None

    def asks(self, attempt_id: str | None, effect: Effect[Any] | None, *, late: bool) -> None:
        """A flow asks for its next effect; ``late``: its deadline has passed."""
        if late and isinstance(effect, Confirm):
            raise Violation("P2 deadline", f"attempt {attempt_id} confirms although its time is up")
        if attempt_id is None:
            return
        why = self.must_search.pop(attempt_id, None)
        if why is not None and not late and isinstance(effect, CloseAttempt):
            raise Violation("P5 evidence", f"attempt {attempt_id} does not search although {why}")

    def called(self, request: QuoteRequest) -> None:
        """The planner is called, whoever waits for its answer."""
        self.asked_for(request)
        self.calls[request.attempt_id] += 1
        number = self.calls[request.attempt_id]
        if number > 2 or (number == 2 and not request.excluded):
            raise Violation(
                "P6 budget",
                f"attempt {request.attempt_id} calls the planner {number} times, without {request.excluded}",
            )

    def quoted(self, request: QuoteRequest, answer: object) -> None:
        self.held[request.booking_id] += isinstance(answer, Hold)

    def asked_for(self, request: QuoteRequest) -> None:
        """An attempt counts as having called the planner."""
        if request.attempt_id in self.asked:
            return
        self.asked[request.attempt_id] = request
        if request.attempt_id in self.may_not_search:
            raise Violation(
                "P6 budget", f"{request.attempt_id} searches, although {self.may_not_search[request.attempt_id]}"
            )
        if self.sources.get(request.attempt_id) is not Source.JOB:
            return
        key = request.booking_id, request.revision
        jobs = sum(
            (one.booking_id, one.revision) == key and self.sources.get(one.attempt_id) is Source.JOB
            for one in self.asked.values()
        )
        # Seats that the booking's own attempts held and gave back are no news to it; what others held is.
        news = self.world.changes() + self.held.total() - self.held[request.booking_id]
        allowed = min(self.policy.max_attempts + news, self.policy.attempt_cap)
        if jobs > allowed:
            raise Violation("P6 budget", f"{jobs} jobs have searched for {key[0]!r}, revision {key[1]}; {allowed} may")

    def confirming(self, confirmation: Confirmation) -> None:
        """A confirm is about to be performed."""
        self._before = self.world.look(confirmation.booking_id)

    def _confirmed(self, confirmation: Confirmation, answer: Confirmed) -> None:
        attempt_id = confirmation.attempt_id
        if answer.attempt_id != attempt_id or attempt_id in self.committed:
            return
        if attempt_id in self.closed:
            raise Violation("P2 deadline", f"attempt {attempt_id} was closed, and then its confirm was committed")
        before, booking = self._before, (confirmation.booking_id, confirmation.revision)
        if before is None or before.status not in OPEN or before.revision != confirmation.revision:
            raise Violation("commit", f"attempt {attempt_id} confirms {booking}, and the booking was {before}")
        if booking in self.seated:
            raise Violation("commit", f"attempt {attempt_id} confirms {booking}, which was confirmed before")
        tables = self.world.look(confirmation.booking_id).tables
        if tables != frozenset(confirmation.hold.plan.tables):
            raise Violation(
                "seats", f"{booking} is confirmed at {confirmation.hold.plan.tables}, and has {set(tables)}"
            )
        self.committed.add(attempt_id)
        self.recorded.add(attempt_id)
        self.seated.add(booking)
        self.check_tables()

    def seated_by_hand(self, booking_id: str) -> None:
        revision = self.world.look(booking_id).revision
        self.seated.add((booking_id, revision))
        self.by_hand.add((booking_id, revision))
        self.check_tables()

    def claimed(self, handing: Handing) -> None:
        """A sender has claimed an e-mail, and is about to hand it over."""
        email, key = handing.email, handing.key
        if key not in self.world.ledger():
            raise Violation("P4 mail", f"{key} is about to be sent, and nobody has claimed it")
        if email.kind in GUEST and (email.booking_id, email.revision) not in self.seated:
            raise Violation("P4 mail", f"{key} is about to be sent, and that revision was never confirmed")
        seen = self.world.look(email.booking_id)
        if not still_true(email, status=seen.status, revision=seen.revision):
            raise Violation("P4 mail", f"{key} is about to be sent, and the booking is {seen.status} by now")

    def hand_over(self, handing: Handing) -> None:
        """The mail system is given an e-mail. It is judged by what was handed over before, and by nothing else."""
        key = handing.key
        self.handed[key] += 1
        self.accepted.add(key)
        if self.handed[key] > 1 and not self.deduplicates:
            raise Violation("P4 mail", f"{key} is handed over twice to a mail system that knows no keys")

    def heard(self, actor: str, effect: Emit) -> None:
        self.summaries[actor] += sum(event.name is EventName.SUMMARY for event in effect.events)

    # How an actor ends.

    def ended(self, actor: str, source: Source, attempt_id: str | None, outcome: Outcome | None, clean: bool) -> None:
        """A flow has ended by itself. ``clean``: nothing went wrong with its clean-up."""
        if clean and attempt_id is not None:
            if attempt_id in self.asked and attempt_id not in self.recorded:
                raise Violation("P1 record", f"attempt {attempt_id} called the planner, ended, and recorded nothing")
            if attempt_id in self.world.holds().values():
                raise Violation("P3 holds", f"attempt {attempt_id} has ended and keeps a hold")
        if outcome is None:
            return
        ends = outcome.verdict is not Verdict.WAIT or outcome.parked
        wanted = 1 if ends and source is Source.JOB else 0
        if self.summaries[actor] != wanted:
            raise Violation(
                "summary", f"{actor} has {self.summaries[actor]} summaries, not {wanted}: {outcome.verdict}"
            )
        if outcome.verdict is Verdict.CONFIRMED and outcome.attempt_id not in self.committed:
            raise Violation("P2 truth", f"{actor} says confirmed, and attempt {outcome.attempt_id} was not committed")
        if outcome.verdict is Verdict.ALREADY_CONFIRMED and all(one != outcome.booking_id for one, _ in self.seated):
            raise Violation("P2 truth", f"{actor} says already confirmed, and the booking never was")

    # When all have ended.

    def at_rest(self) -> None:
        """After a schedule, before anything is restarted or expires."""
        self.check_tables()
        leased = {self.world.look(booking_id).leased_to for booking_id in self.world.bookings()}
        for attempt_id in self.asked:
            if attempt_id not in self.recorded and attempt_id not in leased and attempt_id not in self.found_lost:
                raise Violation("P1 record", f"attempt {attempt_id} called the planner and left nothing that tells")
        for booking_id in self.world.bookings():
            self._check_result(booking_id)

    def _check_result(self, booking_id: str) -> None:
        seen = self.world.look(booking_id)
        last = seen.last
        _check_seats(booking_id, seen)
        if isinstance(last, LastResult) and last.email_sent:
            key = f"{booking_id}:{EmailKind.of(last.revision).value}:{last.revision}"
            if key not in self.accepted:
                raise Violation("P4 flag", f"the flag of {booking_id!r} says sent, and no mail system accepted {key}")
        if seen.status in SEATED and seen.seated_by is not None:
            told = isinstance(last, LastResult) and last.revision == seen.revision and last.success
            if not told:
                raise Violation("P2 truth", f"{booking_id!r} is seated by {seen.seated_by}, and its result says {last}")

    def check_tables(self) -> None:
        pairs = self.world.double_booked()
        if pairs:
            raise Violation("P7 tables", f"a table belongs to two: {pairs}")

    def attempts(self, booking_id: str, revision: int) -> list[str]:
        """The attempts that called the planner for a revision, in the order in which they took the lease."""
        asked = {
            attempt_id
            for attempt_id, request in self.asked.items()
            if (request.booking_id, request.revision) == (booking_id, revision)
        }
        return [attempt_id for attempt_id in self.sources if attempt_id in asked]


def _check_seats(booking_id: str, seen: Seen) -> None:
    """Whoever is seated has seats, and nobody else has. Staff may seat a party as tightly as they like."""
    if seen.tables and seen.status not in SEATED:
        raise Violation("seats", f"{booking_id!r} is {seen.status}, and has {sorted(seen.tables)}")
    if seen.status not in SEATED:
        return
    seats = sum(SEATS[table] for table in seen.tables)
    if not seats or (seen.seated_by is not None and seats < seen.party):
        raise Violation("seats", f"{booking_id!r}, a party of {seen.party}, is {seen.status} at {sorted(seen.tables)}")


SOON: Final = timedelta(minutes=10)
"""A booking whose next look is farther off than this is parked."""
