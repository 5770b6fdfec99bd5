"""Any store beside the one in memory: the same story told to two houses, which have to answer alike.

The contracts say what must hold in situations that somebody thought of. The machine looks for the others: Hypothesis
makes up an evening (attempts that overlap, die and come back late, guests who change their minds, staff who seat by
hand, time that passes), plays it in a house with your store and in one in memory, and compares every answer, row, hold
and ledger on the way. What fails is shrunk to the shortest evening that does.

:func:`store_machine` makes a Hypothesis state machine over your ``make_house``; :class:`MachineContract`, a part of
:class:`~assign_testing.StoreContract`, runs it under pytest with the same fixture as the other contracts. To add rules
of your own, subclass :class:`StoreMachine`.

Without pytest: ``TestMyStore = store_machine(my_house).TestCase``.

Two things may differ. Ids of holds are the planner's own, and a *capacity version* is opaque: only whether it has grown
counts, and a store that cannot tell which seats were freed may let it grow more often. So versions are not compared,
and a parked booking may be due in one house only, but for what matters: one that could be seated now has to be.
"""
# ruff: noqa: S101 - a machine asserts

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import ClassVar, Final, NamedTuple, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from assign_core.booking import OPEN, SEATED, EmailState
from assign_core.last_result import LastResult, Source, Strategy, Unreadable
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    EmailKind,
    Hold,
    Lease,
    NoHold,
    NotConfirmed,
    QuoteRequest,
    Record,
    Recorded,
)
from assign_core.reasons import FailureClass, ReasonCode, classify_reason
from assign_memory import FloorPlanner
from assign_testing.blobs import wire_blobs
from assign_testing.house import DINNER, Contract, House, MakeHouse, T
from assign_testing.memory import MemoryHouse, memory_house
from assign_wire import loads

V = TypeVar("V")

GUESTS: Final = ("ada", "ben", "cyd")
TABLES: Final = ("small", "large")
_CODES: Final = (ReasonCode.NO_CAPACITY, ReasonCode.HOLD_CONFLICT, ReasonCode.DEADLOCK, ReasonCode.TIMEOUT)


class _Attempt(NamedTuple):
    """An attempt that somebody has begun, whether or not it still has its lease."""

    id: str
    booking_id: str
    source: Source
    revision: int

    def email(self, kind: EmailKind) -> Email:
        return Email(booking_id=self.booking_id, kind=kind, revision=self.revision)

    def request(self, hold_seconds: float = 120) -> QuoteRequest:
        return QuoteRequest(
            booking_id=self.booking_id,
            revision=self.revision,
            attempt_id=self.id,
            strategy=Strategy(),
            hold_seconds=hold_seconds,
        )


class _Held(NamedTuple):
    """One plan, held in both houses under each one's own id."""

    attempt: _Attempt
    ours: Hold
    model: Hold


def _last(found: LastResult | Unreadable | None) -> object:
    """A stored result; how an unreadable one is described is everyone's own."""
    return "unreadable" if isinstance(found, Unreadable) else found


def _seen(answer: object) -> object:
    """An answer without what may differ between two stores."""
    match answer:
        case Acquired():
            return "acquired", replace(answer.booking, capacity_version=None), _last(answer.last), answer.lost
        case Busy():
            return "busy", replace(answer.booking, capacity_version=None), _last(answer.last), answer.holder
        case Confirmed():
            return "confirmed", answer.attempt_id, answer.last, answer.email
        case NotConfirmed():
            return "not confirmed", answer.status, answer.reason_code, answer.retry_after
        case Recorded():
            return "recorded", answer.status, answer.revision, answer.confirmed_by, _last(answer.last), answer.email
        case Hold():
            return "hold", answer.plan.key, answer.expires_at, answer.strategy
        case NoHold():
            return "no hold"  # of several causes a planner may name any
        case _:
            return answer


def _book(booking_id: str, party: int, start_at: datetime, house: House) -> None:
    house.book(booking_id, party=party, start_at=start_at)


def _row(booking_id: str, house: House) -> object:
    return house.status(booking_id), house.tables(booking_id), _last(loads(house.blob(booking_id)))


class StoreMachine(RuleBasedStateMachine):
    """Two houses, and what happens in both. :func:`store_machine` makes one that Hypothesis can run.

    Args:
        make_house: makes the house that is judged.
    """

    def __init__(self, make_house: MakeHouse) -> None:
        super().__init__()
        self.house: House = make_house()
        self.model: MemoryHouse = memory_house()
        self.booked: list[str] = []
        self.attempts: list[_Attempt] = []
        self.held: list[_Held] = []
        self.parked: dict[str, _Attempt] = {}
        """The attempt that has found nothing and parked its booking."""
        self.begun = 0
        self.damaged = False
        """Once is enough: a foreign blob hides what the attempts would show."""

    def _both(self, ask: Callable[[House], V]) -> V:
        """The model's answer, which has to be the house's."""
        ours, model = ask(self.house), ask(self.model)
        assert _seen(ours) == _seen(model), f"the house answers {ours!r}, and the one in memory {model!r}"
        return model

    @property
    def now(self) -> datetime:
        """The same in both houses."""
        return self.model.now

    # The host.

    @initialize(parties=st.lists(st.sampled_from((1, 2, 2, 3, 4, 6, 7)), min_size=2, max_size=len(GUESTS)))
    def book(self, parties: list[int]) -> None:
        for number, (guest, party) in enumerate(zip(GUESTS, parties, strict=False)):
            start = DINNER + timedelta(minutes=60 * (number // 2))
            self._both(partial(_book, guest, party, start))
            self.booked.append(guest)

    @rule(data=st.data(), party=st.none() | st.integers(1, 7))
    def modify(self, data: st.DataObject, party: int | None) -> None:
        guest = data.draw(st.sampled_from(self.booked))
        row = self.model.db.row(guest)
        if row.status not in OPEN | SEATED:
            return  # whether such a booking can be modified, and what it is then, is every host's own
        if party == row.party:
            party = None  # a host may take the same party for no modification
        self._both(lambda house: house.modify(guest, party=party))

    @rule(
        data=st.data(),
        status=st.sampled_from(("cancelled", "pending", "pending", "pending", "pending_allocation", "waitlisted")),
    )
    def change_status(self, data: st.DataObject, status: str) -> None:
        guest = data.draw(st.sampled_from(self.booked))
        self._both(lambda house: house.set_status(guest, status))

    @rule(data=st.data(), tables=st.sets(st.sampled_from(TABLES), min_size=1))
    def seat_by_hand(self, data: st.DataObject, tables: set[str]) -> None:
        guest = data.draw(st.sampled_from(self.booked))

        def seat(house: House) -> bool:
            try:
                house.seat(guest, tables)
            except ValueError:
                return False
            return True

        self._both(seat)

    @rule(data=st.data(), blob=wire_blobs(jsonb=True))
    @precondition(lambda self: not self.damaged)
    def damage(self, data: st.DataObject, blob: object) -> None:
        guest = data.draw(st.sampled_from(self.booked))
        self._both(lambda house: house.plant_blob(blob, guest))
        self.damaged = True

    @rule(seconds=st.sampled_from((4, 5, 6, 10, 11, 60, 120)))
    def time_passes(self, seconds: int) -> None:
        self._both(lambda house: house.advance(seconds))

    # The attempts.

    @rule(
        data=st.data(),
        seconds=st.sampled_from((5, 10, 60)),
        source=st.sampled_from(Source),
        until=st.sampled_from(("leased", "held", "held", "confirmed")),
    )
    def attempt(self, data: st.DataObject, seconds: int, source: Source, until: str) -> None:
        """From taking the lease up to the confirm; or it dies on the way, and comes back late or not at all."""
        guest = data.draw(st.sampled_from(self.booked))
        self.begun += 1
        lease = Lease(
            attempt_id=f"a{self.begun}",
            source=source,
            taken_at=self.now,
            expires_at=self.now + timedelta(seconds=seconds),
        )
        found = self._both(lambda house: house.store.acquire(guest, lease, timeout=T))
        if not isinstance(found, Acquired):
            return
        attempt = _Attempt(lease.attempt_id, guest, source, found.booking.revision)
        self.attempts.append(attempt)
        if until != "leased" and found.booking.status in OPEN:
            held = self._search(attempt, hold_seconds=120)
            if held is not None and until == "confirmed":
                self._confirm(held, mail=True)

    @rule(data=st.data())
    @precondition(lambda self: bool(self.attempts))
    def take_the_same_lease_again(self, data: st.DataObject) -> None:
        attempt = self._recent(data)
        lease = Lease(
            attempt_id=attempt.id,
            source=attempt.source,
            taken_at=self.now,
            expires_at=self.now + timedelta(seconds=10),
        )
        self._both(lambda house: house.store.acquire(attempt.booking_id, lease, timeout=T))

    @rule(data=st.data(), hold_seconds=st.sampled_from((30, 120)))
    @precondition(lambda self: bool(self.attempts))
    def search(self, data: st.DataObject, hold_seconds: int) -> None:
        self._search(self._recent(data), hold_seconds)

    def _search(self, attempt: _Attempt, hold_seconds: int) -> _Held | None:
        asked = attempt.request(hold_seconds)
        ours, model = self.house.planner.quote(asked, timeout=T), self.model.planner.quote(asked, timeout=T)
        assert _seen(ours) == _seen(model), f"the planner answers {ours!r}, and the one in memory {model!r}"
        if isinstance(ours, Hold) and isinstance(model, Hold):
            self.held.append(_Held(attempt, ours, model))
            return self.held[-1]
        if isinstance(ours, NoHold) and isinstance(model, NoHold):
            self._park(attempt, ours, model)
        return None

    def _park(self, attempt: _Attempt, ours: NoHold, model: NoHold) -> None:
        """As a flow does that has found no seats: until the version grows, or for half an hour."""
        if classify_reason(model.reason).failure_class is not FailureClass.CAPACITY:
            return
        houses: tuple[tuple[House, NoHold], ...] = ((self.house, ours), (self.model, model))
        for house, found in houses:
            house.store.record(
                Record(
                    booking_id=attempt.booking_id,
                    attempt_id=attempt.id,
                    result=self._result(attempt, ReasonCode.NO_CAPACITY, None),
                    revision=attempt.revision,
                    retry_at=self.now + timedelta(minutes=30),
                    parked_at_version=found.capacity_version,
                ),
                timeout=T,
            )
        self.parked[attempt.booking_id] = attempt

    @rule(data=st.data())
    @precondition(lambda self: bool(self.attempts))
    def release(self, data: st.DataObject) -> None:
        attempt = self._recent(data)
        self._both(lambda house: house.planner.release(attempt.booking_id, attempt.id, timeout=T))

    @rule(data=st.data(), mail=st.booleans())
    @precondition(lambda self: bool(self.held))
    def confirm(self, data: st.DataObject, mail: bool) -> None:
        """Of any hold there has ever been: most are expired, released, confirmed before, or of an attempt that lost."""
        self._confirm(data.draw(st.sampled_from(self.held[-4:])), mail)

    def _confirm(self, held: _Held, mail: bool) -> None:
        attempt = held.attempt
        asked = Confirmation(
            booking_id=attempt.booking_id,
            attempt_id=attempt.id,
            revision=attempt.revision,
            hold=held.ours,
            result=self._result(attempt, None, None),
            email=attempt.email(EmailKind.of(attempt.revision)) if mail else None,
        )
        ours = self.house.store.confirm(asked, timeout=T)
        model = self.model.store.confirm(replace(asked, hold=held.model), timeout=T)
        assert _seen(ours) == _seen(model), f"the store answers {ours!r}, and the one in memory {model!r}"

    @rule(
        data=st.data(),
        code=st.sampled_from((*_CODES, None)),
        due=st.none() | st.sampled_from((0, 5, 45)),
        wanted=st.sampled_from((None, None, *EmailKind)),
        number=st.integers(0, 3),
    )
    @precondition(lambda self: bool(self.attempts))
    def record(
        self, data: st.DataObject, code: ReasonCode | None, due: int | None, wanted: EmailKind | None, number: int
    ) -> None:
        """The end of an attempt, in time or late; without a code it had not called the planner."""
        attempt = self._recent(data)
        entry = Record(
            booking_id=attempt.booking_id,
            attempt_id=attempt.id,
            result=None if code is None else self._result(attempt, code, number),
            revision=attempt.revision,
            retry_at=None if due is None else self.now + timedelta(seconds=due),
            email=None if wanted is None else attempt.email(wanted),
            guest_email=attempt.email(EmailKind.of(attempt.revision)) if wanted is EmailKind.STAFF_NOTICE else None,
        )
        self._both(lambda house: house.store.record(entry, timeout=T))

    @rule(data=st.data(), refused=st.booleans())
    @precondition(lambda self: bool(self.model.db.ledger))
    def deliver(self, data: st.DataObject, refused: bool) -> None:
        """Somebody hands an e-mail over; the flag on the booking follows."""
        key = data.draw(st.sampled_from(sorted(self.model.db.ledger)))
        email = self.model.db.ledger[key].email

        def hand_over(house: House) -> EmailState | str:
            house.post.failures = [ConnectionError("reset")] if refused else []
            try:
                return house.mailer.deliver(email, timeout=T)
            except ConnectionError:
                return "the answer was lost"
            finally:
                house.post.failures = []

        self._both(hand_over)

    # What has to be the same at any time.

    @rule(limit=st.sampled_from((1, 9)))
    def due(self, limit: int) -> None:
        """Due by the clock: the same, in the same order. Woken by freed seats: at least whoever could be seated."""
        ours = self.house.store.due(self.now, limit=99, timeout=T)
        model = self.model.store.due(self.now, limit=99, timeout=T)
        timed = [name for name in model if not self._waits_for_seats(name)]
        assert [name for name in ours if not self._waits_for_seats(name)] == timed, (ours, model)
        assert len(self.house.store.due(self.now, limit=limit, timeout=T)) == min(limit, len(ours))
        for name, attempt in self.parked.items():
            row = self.model.db.row(name)
            still = row.parked_at_version is not None and row.revision == attempt.revision
            if still and FloorPlanner(self.model.db).would_find(attempt.request()):
                assert name in ours, f"{name} could be seated, and nobody wakes it"

    @invariant()
    def the_rows_are_the_same(self) -> None:
        for guest in self.booked:
            self._both(partial(_row, guest))

    @invariant()
    def the_holds_and_the_ledger_are_the_same(self) -> None:
        self._both(lambda house: sorted(house.holds()))
        self._both(lambda house: dict(house.ledger()))

    @rule(data=st.data())
    def read(self, data: st.DataObject) -> None:
        guest = data.draw(st.sampled_from(self.booked))
        self._both(lambda house: house.store.read(guest, timeout=T))

    # Help.

    def _recent(self, data: st.DataObject) -> _Attempt:
        return data.draw(st.sampled_from(self.attempts[-4:]))

    def _result(self, attempt: _Attempt, code: ReasonCode | None, number: int | None) -> LastResult:
        return LastResult(
            source=attempt.source,
            recorded_at=self.now,
            success=code is None,
            reason_code=code,
            attempt_id=attempt.id,
            attempt=1 if number is None else number,
            revision=attempt.revision,
        )

    def _waits_for_seats(self, booking_id: str) -> bool:
        row = self.model.db.row(booking_id)
        return row.parked_at_version is not None and (row.retry_at is None or row.retry_at > self.now)


def store_machine(make_house: MakeHouse) -> type[StoreMachine]:
    """The machine for one kind of house; its ``TestCase`` is a :class:`unittest.TestCase`, as with every machine."""

    class Bound(StoreMachine):
        def __init__(self) -> None:
            super().__init__(make_house)

    return Bound


class MachineContract(Contract):
    """A store is the one in memory, kept elsewhere: no evening tells them apart."""

    evenings: ClassVar[int] = 60
    """How many are tried."""
    steps: ClassVar[int] = 50
    """How many things happen in one, at most."""

    def test_no_evening_tells_the_store_from_the_one_in_memory(self, make_house: MakeHouse) -> None:
        run_state_machine_as_test(
            store_machine(make_house),
            settings=settings(max_examples=self.evenings, stateful_step_count=self.steps, deadline=None),
        )
