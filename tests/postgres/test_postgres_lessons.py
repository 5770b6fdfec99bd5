"""What went wrong elsewhere, row by row, on a real server: each test would fail if the defect came back.

:class:`House` is the small restaurant that these and the neighbouring tests work on: one table for two, one for four,
side by side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest
from sqlalchemy import Engine, Row, event, text

from assign_core import AutoAssign, EventName, Policy, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.events import CATALOGUE, Event, Severity
from assign_core.events import event as make_event
from assign_core.last_result import EmailVariant, LastResult, Source, Strategy
from assign_core.outbox import EmailRefused
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
    Quote,
    QuoteRequest,
    Record,
    Recorded,
)
from assign_core.reasons import FailureClass
from assign_memory import VirtualRuntime
from assign_postgres.errors import DatabaseFailure
from assign_postgres.mailer import PostgresMailer
from assign_postgres.outbox import PostgresOutbox
from assign_postgres.planner import PostgresPlanner
from assign_postgres.store import PostgresStore
from assign_postgres.telemetry import PostgresTelemetry

NOON: Final = datetime(2026, 1, 9, 12, 0, tzinfo=UTC)
DINNER: Final = NOON.replace(hour=19)
T: Final = 20.0
"""A timeout that is never reached."""


# The house.


class PostRoom:
    """A mail system that counts, and can refuse, fail, or be interrupted in the middle."""

    def __init__(self, *, deduplicates: bool = False) -> None:
        self.deduplicates = deduplicates
        self.accepted: list[str] = []
        self.failures: list[BaseException] = []
        self.during: Callable[[], object] = lambda: None
        self._lock = threading.Lock()

    def send(self, email: Email, *, idempotency_key: str, timeout: float) -> None:
        del timeout
        assert idempotency_key == email.key
        self.during()
        with self._lock:
            if self.failures:
                raise self.failures.pop(0)
            self.accepted.append(email.key)


@dataclass
class Watched:
    """A planner that is counted."""

    planner: PostgresPlanner
    asked: list[QuoteRequest] = field(default_factory=list)

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        self.asked.append(request)
        return self.planner.quote(request, timeout=timeout)

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        self.planner.release(booking_id, attempt_id, timeout=timeout)


class House:
    """The ports of a house on a database, and what its host does beside them."""

    def __init__(self, engine: Engine, *, relay: bool = False) -> None:
        self.engine = engine
        self.runtime = VirtualRuntime(NOON)
        self.post = PostRoom()
        self.store = PostgresStore(engine, self.runtime)
        self.planner = Watched(PostgresPlanner(engine, self.runtime))
        self.outbox = PostgresOutbox(engine, self.runtime)
        self.mailer = PostgresMailer(self.outbox, self.post)
        self.telemetry = PostgresTelemetry(engine, self.runtime, flush_after=0)
        self.app = AutoAssign(
            store=self.store,
            planner=self.planner,
            mailer=PostgresMailer(self.outbox) if relay else self.mailer,
            telemetry=self.telemetry,
            runtime=self.runtime,
            policy=Policy(inline_deadline=timedelta(seconds=20), grace=timedelta(seconds=20)),
            planner_keeps_time=True,
        )

    @property
    def now(self) -> datetime:
        return self.runtime.now()

    def run(self, statement: str, **values: object) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, statement: str, **values: object) -> Sequence[Row[Any]]:
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).all()

    def value(self, statement: str, **values: object) -> Any:
        with self.engine.begin() as connection:
            return connection.execute(text(statement), values).scalar_one()

    def furnish(self) -> House:
        self.run("INSERT INTO restaurants VALUES ('r', 'R', 'UTC', '0')")
        self.run("INSERT INTO seating_durations VALUES ('r', NULL, '2 hours')")
        self.run("INSERT INTO restaurant_tables (id, restaurant_id, seats) VALUES ('small', 'r', 2), ('large', 'r', 4)")
        self.run("INSERT INTO table_adjacency VALUES ('large', 'small')")
        return self

    def book(self, booking_id: str = "b", *, party: int = 2, start_at: datetime = DINNER) -> None:
        self.run(
            "INSERT INTO bookings (id, restaurant_id, party_size, start_at) VALUES (:id, 'r', :party, :start_at)",
            id=booking_id,
            party=party,
            start_at=start_at,
        )

    def set_status(self, status: str, booking_id: str = "b") -> None:
        self.run("UPDATE bookings SET status = :status WHERE id = :id", status=status, id=booking_id)

    def seat(self, booking_id: str, *tables: str) -> None:
        """By hand."""
        for table in tables:
            self.run(
                "INSERT INTO table_assignments (booking_id, table_id, restaurant_id, during) "
                "VALUES (:id, :seat, 'r', booking_window('r', 2, :start))",
                id=booking_id,
                seat=table,
                start=DINNER,
            )
        self.set_status("confirmed", booking_id)

    def status(self, booking_id: str = "b") -> str:
        found: str = self.value("SELECT status FROM bookings WHERE id = :id", id=booking_id)
        return found

    def tables(self, booking_id: str = "b") -> set[str]:
        return {
            row[0] for row in self.rows("SELECT table_id FROM table_assignments WHERE booking_id = :i", i=booking_id)
        }

    def held(self, booking_id: str = "b") -> set[str]:
        return {row[0] for row in self.rows("SELECT table_id FROM table_holds WHERE booking_id = :i", i=booking_id)}

    def blob(self, booking_id: str = "b") -> Any:
        return self.value("SELECT auto_assign_last_result FROM bookings WHERE id = :id", id=booking_id)

    def last(self, booking_id: str = "b") -> LastResult:
        found = self.store.read(booking_id, timeout=T)
        assert found is not None
        assert isinstance(found.last, LastResult)
        return found.last

    def ledger(self) -> Mapping[str, str]:
        return {
            f"{row.booking_id}:{row.kind}:{row.revision}": row.state
            for row in self.rows("SELECT booking_id, kind, revision, state FROM auto_assign_emails")
        }

    def told(self, name: EventName) -> int:
        self.telemetry.flush()
        found: int = self.value("SELECT count(*) FROM observability_events WHERE name = :name", name=name.value)
        return found

    # One step of an attempt at a time.

    def acquire(self, attempt: str = "a1", booking_id: str = "b", *, source: Source = Source.JOB) -> Acquired:
        lease = Lease(attempt_id=attempt, source=source, taken_at=self.now, expires_at=self.now + timedelta(seconds=10))
        found = self.store.acquire(booking_id, lease, timeout=T)
        assert isinstance(found, Acquired)
        return found

    def quote(
        self,
        attempt: str = "a1",
        booking_id: str = "b",
        *,
        seconds: float = 120,
        strategy: Strategy | None = None,
        timeout: float = T,
    ) -> Quote:
        request = QuoteRequest(
            booking_id=booking_id,
            revision=0,
            attempt_id=attempt,
            strategy=Strategy() if strategy is None else strategy,
            hold_seconds=seconds,
        )
        return self.planner.quote(request, timeout=timeout)

    def hold(self, attempt: str = "a1", booking_id: str = "b", *, seconds: float = 120) -> Hold:
        found = self.quote(attempt, booking_id, seconds=seconds)
        assert isinstance(found, Hold)
        return found

    def confirm(self, hold: Hold, attempt: str = "a1", booking_id: str = "b") -> Confirmed | NotConfirmed:
        confirmation = Confirmation(
            booking_id=booking_id,
            attempt_id=attempt,
            revision=0,
            hold=hold,
            result=self.result(attempt, success=True),
            email=Email(booking_id=booking_id, kind=EmailKind.CONFIRMATION, revision=0),
        )
        return self.store.confirm(confirmation, timeout=T)

    def result(self, attempt: str = "a1", *, success: bool = False, reason: str = "INLINE_TIMEOUT") -> LastResult:
        return LastResult(
            source=Source.JOB,
            recorded_at=self.now,
            success=success,
            reason=None if success else reason,
            attempt_id=attempt,
            attempt=1,
        )

    def record(self, attempt: str = "a1", booking_id: str = "b", *, email: Email | None = None) -> Recorded:
        entry = Record(booking_id=booking_id, attempt_id=attempt, result=self.result(attempt), revision=0, email=email)
        return self.store.record(entry, timeout=T)

    def confirmed(self, booking_id: str = "b", attempt: str = "a1") -> Confirmed:
        """From nothing to a confirmed booking, whose e-mail waits."""
        self.acquire(attempt, booking_id)
        answer = self.confirm(self.hold(attempt, booking_id), attempt, booking_id)
        assert isinstance(answer, Confirmed)
        return answer


@pytest.fixture
def house(engine: Engine) -> Iterator[House]:
    made = House(engine).furnish()
    yield made
    with suppress(Exception):  # some tests break the telemetry for good
        made.telemetry.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as pool:
        yield pool


def until_waiting(house: House, waiters: int = 1, *, seconds: float = 10) -> None:
    """Until this many of the database's sessions wait for a lock."""
    statement = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' "
        "AND state = 'active'"
    )
    end = time.monotonic() + seconds
    while house.value(statement) < waiters:
        assert time.monotonic() < end, f"no {waiters} sessions wait for a lock"


@contextmanager
def statements_of(*engines: Engine) -> Iterator[list[str]]:
    """What is sent through these engines meanwhile."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


# The rows.


def test_lesson_02_a_confirm_that_arrives_after_the_record_cannot_land(house: House) -> None:
    house.book()
    house.acquire()
    hold = house.hold()
    assert house.record().status == "pending"
    answer = house.confirm(hold)
    assert isinstance(answer, NotConfirmed)
    assert (house.status(), house.tables(), house.ledger()) == ("pending", set(), {})
    assert not house.last().success


def test_lesson_02_a_confirm_that_landed_before_is_recorded_as_the_success_it_is(house: House) -> None:
    house.book()
    house.confirmed()
    reply = house.record()
    assert (reply.status, reply.confirmed_by) == ("confirmed", "a1")
    assert isinstance(reply.last, LastResult)
    assert reply.last.success
    assert house.last().success


def test_lesson_02_record_and_confirm_at_once_leave_one_truth(house: House, threads: ThreadPoolExecutor) -> None:
    """Both wait for the row's lock; whichever gets it first, blob and row agree."""
    house.book()
    house.acquire()
    hold = house.hold()
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        confirm: Future[Confirmed | NotConfirmed] = threads.submit(house.confirm, hold)
        record: Future[Recorded] = threads.submit(house.record)
        until_waiting(house, 2)
    landed = isinstance(confirm.result(), Confirmed)
    assert record.result().status in {"confirmed", "pending"}
    assert house.last().success is landed
    assert house.status() == ("confirmed" if landed else "pending")
    assert house.tables() == (set(hold.plan.tables) if landed else set())


def test_lesson_04_every_path_sends_the_same_one_mail(house: House) -> None:
    house.book()
    outcome = house.app.inline("b")
    assert (outcome.verdict, outcome.email) == (Verdict.CONFIRMED, EmailState.SENT)
    for _ in range(2):
        assert house.app.job("b").verdict is Verdict.ALREADY_CONFIRMED
        assert house.mailer.relay() == {}
    assert house.post.accepted == ["b:confirmation:0"]


def test_lesson_04_of_two_senders_at_once_one_sends(house: House, threads: ThreadPoolExecutor) -> None:
    house.book()
    house.confirmed()
    email = Email(booking_id="b", kind=EmailKind.CONFIRMATION, revision=0)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert go_on.wait(T)

    house.post.during = slow
    first: Future[EmailState] = threads.submit(house.mailer.deliver, email, timeout=T)
    assert begun.wait(T)
    try:
        assert house.mailer.deliver(email, timeout=T) is EmailState.CLAIMED
        assert EmailState.SENT not in house.mailer.relay().values()
    finally:
        go_on.set()
    assert first.result() is EmailState.SENT
    assert house.post.accepted == [email.key]


def test_lesson_05_the_flag_is_true_again_once_the_mail_is_sent(house: House) -> None:
    house.book()
    outcome = house.app.inline("b")
    blob = house.blob()
    assert (blob["emailSent"], blob["emailVariant"]) == (True, EmailVariant.STANDARD)
    assert outcome.result == house.last()
    explained = house.app.explain("b")
    assert explained.decision.suppress_email


def test_lesson_06_the_flag_is_false_until_the_transport_has_accepted(house: House) -> None:
    house.book()
    flags: list[object] = []
    house.post.during = lambda: flags.append(house.blob().get("emailSent", False))
    house.app.inline("b")
    assert flags == [False]
    assert house.last().email_sent


@pytest.mark.parametrize(
    ("failure", "state"), [(EmailRefused("no address"), EmailState.FAILED), (OSError("reset"), EmailState.UNKNOWN)]
)
def test_lesson_06_a_mail_that_was_not_accepted_is_not_flagged(
    house: House, failure: Exception, state: EmailState
) -> None:
    house.book()
    house.post.failures.append(failure)
    outcome = house.app.inline("b")
    assert (outcome.verdict, outcome.email) == (Verdict.CONFIRMED, state)
    assert house.ledger() == {"b:confirmation:0": state}
    assert not house.last().email_sent
    assert house.value("SELECT last_error FROM auto_assign_emails").endswith(str(failure))


def test_lesson_07_a_database_error_on_the_claim_loses_no_mail(house: House) -> None:
    house.book()
    house.run(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'disk is full' USING ERRCODE = '53100'; END $$"
    )
    house.run("CREATE TRIGGER refuse BEFORE UPDATE ON auto_assign_emails FOR EACH ROW EXECUTE FUNCTION refuse()")
    outcome = house.app.inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.email is not EmailState.SENT
    assert house.post.accepted == []
    assert house.ledger() == {"b:confirmation:0": "claimed"}
    house.run("DROP TRIGGER refuse ON auto_assign_emails")
    assert house.mailer.relay() == {"b:confirmation:0": EmailState.SENT}
    assert house.last().email_sent


def test_lesson_07_a_database_error_while_queueing_is_no_claim_by_others(house: House) -> None:
    """The intent cannot be written, so nothing of the confirm is."""
    house.book()
    house.run("ALTER TABLE auto_assign_emails ADD CHECK (kind <> 'confirmation')")
    house.acquire()
    hold = house.hold()
    with pytest.raises(DatabaseFailure, match="23514"):
        house.confirm(hold)
    assert (house.status(), house.tables(), house.ledger()) == ("pending", set(), {})
    assert house.held() == set(hold.plan.tables)


def test_lesson_08_a_forgotten_hold_ends_on_its_own_clock(house: House) -> None:
    house.book("dead", party=4)
    house.acquire("a1", "dead")
    forgotten = house.hold("a1", "dead", seconds=120)
    assert forgotten.expires_at == house.now + timedelta(seconds=120)
    house.book("next", party=4)
    house.acquire("a2", "next")
    refused = house.quote("a2", "next")
    assert isinstance(refused, NoHold)
    assert (refused.reason_code, refused.retry_after) == (ReasonCode.HOLD_CONFLICT, forgotten.expires_at)
    house.runtime.advance(120)
    house.acquire("a2", "next")
    assert house.hold("a2", "next").plan.tables == ("large",)


def test_lesson_08_every_exit_gives_its_hold_back(house: House) -> None:
    house.book()
    house.run("ALTER TABLE table_assignments ADD CHECK (table_id <> 'small')")
    assert house.app.inline("b").verdict is Verdict.WAIT
    assert house.planner.asked
    assert house.held() == set()


def test_lesson_09_a_booking_is_never_in_its_own_way(house: House) -> None:
    house.book(party=4)
    house.acquire("a1")
    first = house.hold("a1")
    house.runtime.advance(11)  # the lease is over, the hold is not
    house.acquire("a2")
    second = house.hold("a2")
    assert second.plan == first.plan
    assert [tuple(row) for row in house.rows("SELECT attempt_id, table_id FROM table_holds")] == [("a2", "large")]


def test_lesson_10_expired_holds_are_swept_by_the_statement_that_takes_a_new_one(house: House) -> None:
    house.book("dead", party=4)
    house.acquire("a1", "dead")
    house.hold("a1", "dead", seconds=5)
    house.book("next", party=4)
    house.acquire("a2", "next")
    house.runtime.advance(5)
    # The row is still there, and the exclusion constraint knows no expiry.
    assert house.value("SELECT count(*) FROM table_holds WHERE booking_id = 'dead'") == 1
    held = house.value(
        "SELECT hold_tables('h2', 'next', 'a2', 'r', '{large}', booking_window('r', 4, :start), :now, :until)",
        start=DINNER,
        now=house.now,
        until=house.now + timedelta(seconds=5),
    )
    assert held
    assert house.rows("SELECT FROM table_holds WHERE booking_id = 'dead'") == []


def test_lesson_11_a_check_violation_on_a_hold_is_no_hold_conflict(house: House) -> None:
    house.book()
    house.run("ALTER TABLE table_holds ADD CONSTRAINT no_hold_conflict_overlap CHECK (table_id <> 'small') NOT VALID")
    outcome = house.app.inline("b")
    assert outcome.result is not None
    assert outcome.result.reason_code not in {ReasonCode.HOLD_CONFLICT, ReasonCode.OVERLAP}
    assert outcome.result.failure_class is FailureClass.INFRASTRUCTURE


_CODES: Final = {
    "40P01": FailureClass.INFRASTRUCTURE,
    "40001": FailureClass.INFRASTRUCTURE,
    "55P03": FailureClass.INFRASTRUCTURE,
    "53300": FailureClass.INFRASTRUCTURE,
    "23502": FailureClass.INFRASTRUCTURE,
    "23503": FailureClass.INFRASTRUCTURE,
    "23505": FailureClass.INFRASTRUCTURE,
    "22P02": FailureClass.INFRASTRUCTURE,
    "XX000": FailureClass.INFRASTRUCTURE,
    "23P01": FailureClass.CONTENTION,
}
_MESSAGES: Final = (
    "No suitable tables available",
    "conflicting key value violates exclusion constraint",
    "No suitable tables available" + ", not one" * 60,
)


@pytest.mark.parametrize("where", ["table_assignments", "table_holds"])
def test_lesson_12_a_failure_is_classified_by_its_code_not_its_text(house: House, where: str) -> None:
    found: dict[tuple[str, str], FailureClass | None] = {}
    for number, (state, message) in enumerate(product(_CODES, _MESSAGES)):
        booking_id = f"b{number}"
        house.book(booking_id)
        house.run(
            "CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN RAISE EXCEPTION '{message}' USING ERRCODE = '{state}'; END $$"
        )
        house.run(f"CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON {where} FOR EACH ROW EXECUTE FUNCTION refuse()")
        outcome = house.app.inline(booking_id)
        assert outcome.result is not None
        found[state, message] = outcome.result.failure_class
        assert (house.status(booking_id), house.tables(booking_id)) == ("pending", set())
    assert found == {(state, message): _CODES[state] for state, message in product(_CODES, _MESSAGES)}


def test_lesson_12_a_taken_slot_is_contention_at_confirm(house: House) -> None:
    house.book("b")
    house.acquire()
    hold = house.hold()
    house.book("other")
    house.seat("other", *hold.plan.tables)
    answer = house.confirm(hold)
    assert isinstance(answer, NotConfirmed)
    assert (answer.reason_code, answer.status) == (ReasonCode.OVERLAP, "pending")
    assert house.tables("other") == set(hold.plan.tables)


def test_lesson_12_a_hold_that_waited_for_a_confirm_does_not_take_what_was_confirmed(
    house: House, threads: ThreadPoolExecutor
) -> None:
    """The search looked while the tables were held by another; by the time its own hold goes in they are assigned."""
    house.book("first", party=4)
    house.acquire("a1", "first")
    house.hold("a1", "first")
    house.book("second", party=4)
    house.acquire("a2", "second")
    take = (
        "SELECT hold_tables('h2', 'second', 'a2', 'r', '{large}', booking_window('r', 4, :start), :now, :until)",
        {"start": DINNER, "now": house.now, "until": house.now + timedelta(seconds=120)},
    )
    with house.engine.connect() as confirming, confirming.begin():
        # What a confirm does, up to its commit.
        confirming.execute(text("DELETE FROM table_holds WHERE booking_id = 'first'"))
        confirming.execute(
            text(
                "INSERT INTO table_assignments (booking_id, table_id, restaurant_id, during) "
                "VALUES ('first', 'large', 'r', booking_window('r', 4, :start))"
            ),
            {"start": DINNER},
        )
        taking: Future[Any] = threads.submit(house.value, take[0], **take[1])
        until_waiting(house)
    refusal = taking.exception()
    assert refusal is not None, "it holds a table that is another booking's"
    assert "23P01" in str(getattr(getattr(refusal, "orig", None), "sqlstate", None))
    assert house.held("second") == set()


def test_lesson_19_a_losers_clean_up_leaves_the_winners_tables(house: House) -> None:
    house.book(party=4)
    house.acquire("loser")
    house.hold("loser")
    house.runtime.advance(11)
    house.acquire("winner")
    hold = house.hold("winner")
    house.planner.release("b", "loser", timeout=T)
    assert house.held() == {"large"}
    house.record("loser")  # and its record does not close the winner's attempt
    assert isinstance(house.confirm(hold, "winner"), Confirmed)
    house.planner.release("b", "loser", timeout=T)
    house.planner.release("b", "winner", timeout=T)
    assert house.tables() == {"large"}
    assert house.status() == "confirmed"


def test_lesson_21_a_replay_returns_what_is_true_now(house: House) -> None:
    house.book()
    house.acquire()
    hold = house.hold()
    assert isinstance(house.confirm(hold), Confirmed)
    again = house.confirm(hold)
    assert isinstance(again, Confirmed)
    assert again.attempt_id == "a1"
    assert house.tables() == set(hold.plan.tables)
    house.run("DELETE FROM table_assignments")
    house.set_status("pending")
    later = house.confirm(hold)
    assert isinstance(later, NotConfirmed)
    assert (house.status(), house.tables()) == ("pending", set())


def test_lesson_21_every_caller_uses_the_same_key(house: House) -> None:
    house.book()
    house.app.inline("b")
    by_inline = house.value("SELECT auto_assign_idempotency_key FROM bookings")
    house.run("DELETE FROM table_assignments")
    house.set_status("pending")
    house.app.job("b")
    assert house.status() == "confirmed"
    assert house.value("SELECT auto_assign_idempotency_key FROM bookings") == by_inline == "b:0:small"


@pytest.mark.parametrize("status", ["cancelled", "no_show", "completed", "waitlisted", "checked_in", "confirmed"])
def test_lesson_22_a_confirm_moves_open_bookings_only(house: House, status: str) -> None:
    house.book()
    house.acquire()
    hold = house.hold()
    house.set_status(status)
    answer = house.confirm(hold)
    assert isinstance(answer, NotConfirmed)
    assert answer.status == status
    assert (house.status(), house.tables(), house.ledger()) == (status, set(), {})


def test_lesson_22_a_cancellation_that_comes_first_wins_the_row(house: House, threads: ThreadPoolExecutor) -> None:
    house.book()
    house.acquire()
    hold = house.hold()
    with house.engine.connect() as staff, staff.begin():
        staff.execute(text("UPDATE bookings SET status = 'cancelled' WHERE id = 'b'"))
        confirm: Future[Confirmed | NotConfirmed] = threads.submit(house.confirm, hold)
        until_waiting(house)
    answer = confirm.result()
    assert isinstance(answer, NotConfirmed)
    assert answer.status == "cancelled"
    assert (house.status(), house.tables(), house.ledger()) == ("cancelled", set(), {})


def test_lesson_23_the_status_is_read_in_the_trip_that_takes_the_lease(
    house: House, threads: ThreadPoolExecutor
) -> None:
    house.book()
    with statements_of(house.engine) as sent:
        house.acquire()
    assert len(sent) == 1
    house.record()
    with house.engine.connect() as staff, staff.begin():
        staff.execute(text("UPDATE bookings SET status = 'cancelled' WHERE id = 'b'"))
        found: Future[Acquired] = threads.submit(house.acquire, "a2")
        until_waiting(house)
    assert found.result().booking.status == "cancelled"


def test_lesson_23_a_read_that_fails_means_no_attempt(house: House) -> None:
    house.book()
    house.run("ALTER TABLE auto_assign_attempts RENAME TO elsewhere")
    with pytest.raises(DatabaseFailure):
        house.app.job("b")
    assert house.planner.asked == []
    assert house.status() == "pending"


def test_lesson_23_two_first_attempts_at_once_take_one_lease(house: House, threads: ThreadPoolExecutor) -> None:
    house.book()
    lease = [
        Lease(attempt_id=name, source=Source.JOB, taken_at=house.now, expires_at=house.now + timedelta(seconds=10))
        for name in ("a1", "a2", "a3", "a4")
    ]
    with house.engine.connect() as blocker, blocker.begin():
        blocker.execute(text("SELECT FROM bookings WHERE id = 'b' FOR UPDATE"))
        answers = [threads.submit(house.store.acquire, "b", each, timeout=T) for each in lease]
        until_waiting(house, 4)
    found = [each.result() for each in answers]
    assert sum(isinstance(each, Acquired) for each in found) == 1
    assert sum(isinstance(each, Busy) for each in found) == 3


def test_lesson_25_a_job_stores_its_own_result_and_the_next_one_starts_from_it(house: House) -> None:
    house.book("other")
    house.seat("other", "small", "large")
    house.book()
    first = house.app.job("b")
    assert first.attempted
    assert house.last().source is Source.JOB
    assert house.last().attempt_id == first.attempt_id
    house.runtime.advance(5)
    second = house.app.job("b")
    assert not second.attempted, "nothing has changed, so the same search gives the same answer"
    house.run("DELETE FROM table_assignments")
    third = house.app.job("b")
    assert third.verdict is Verdict.CONFIRMED
    assert house.last().attempt == 2


def test_lesson_26_what_the_code_can_emit_the_schema_admits(house: House) -> None:
    events: list[Event] = [
        make_event(name, house.now, "b", "a1", severity) for name in CATALOGUE for severity in (None, *Severity)
    ]
    house.telemetry.emit(events, stored=False)
    house.telemetry.flush()
    assert house.telemetry.dropped == 0
    assert house.value("SELECT count(*) FROM observability_events") == len(events)
    check = house.value(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'observability_events'::regclass "
        "AND contype = 'c' AND conname LIKE '%severity%'"
    )
    assert all(f"'{severity.value}'" in check for severity in Severity)


def test_lesson_26_drops_are_counted_and_reported(house: House) -> None:
    telemetry = PostgresTelemetry(house.engine, house.runtime, capacity=3, flush_after=0)
    house.run("ALTER TABLE observability_events RENAME TO elsewhere")
    started = [make_event(EventName.STARTED, house.now, "b", str(number)) for number in range(5)]
    telemetry.emit(started, stored=False)
    # What a failed flush has in its hands is not in the buffer; wait until it is back.
    end = time.monotonic() + 10
    while telemetry.dropped < 2:
        assert time.monotonic() < end
    house.run("ALTER TABLE elsewhere RENAME TO observability_events")
    telemetry.close()
    assert telemetry.dropped == 0
    kept = house.rows("SELECT attempt_id FROM observability_events WHERE name = :n ORDER BY id", n=EventName.STARTED)
    assert [row.attempt_id for row in kept] == ["2", "3", "4"]
    lost = house.rows("SELECT context FROM observability_events WHERE name = :n", n=EventName.TELEMETRY_DROPPED)
    assert sum(row.context["dropped"] for row in lost) == 2


def test_lesson_28_a_job_that_lost_the_race_tells_no_staff(house: House) -> None:
    house.book()
    house.acquire()
    house.seat("b", "small")
    notice = Email(booking_id="b", kind=EmailKind.STAFF_NOTICE, revision=0)
    reply = house.record(email=notice)
    assert (reply.status, reply.email) == ("confirmed", None)
    assert house.ledger() == {}


def test_lesson_28_the_staff_are_told_once_and_not_about_what_was_seated_meanwhile(house: House) -> None:
    notice = Email(booking_id="b", kind=EmailKind.STAFF_NOTICE, revision=0)
    house.book()
    for attempt in ("a1", "a2"):
        house.acquire(attempt)
        assert house.record(attempt, email=notice).email is EmailState.CLAIMED
    assert house.ledger() == {notice.key: "claimed"}
    house.seat("b", "small")
    assert house.mailer.relay() == {notice.key: EmailState.FAILED}
    assert house.post.accepted == []
    assert house.ledger() == {}


def test_lesson_28_an_attempt_without_the_lease_tells_no_staff(house: House) -> None:
    house.book()
    house.acquire("a1")
    house.runtime.advance(11)
    house.acquire("a2")
    notice = Email(booking_id="b", kind=EmailKind.STAFF_NOTICE, revision=0)
    assert house.record("a1", email=notice).email is None
    assert house.ledger() == {}


def test_lesson_29_a_hold_remembers_its_strategy_and_the_confirm_applies_no_other(house: House) -> None:
    house.run("DELETE FROM table_adjacency")
    house.book(party=6)
    house.acquire()
    assert isinstance(house.quote(), NoHold)
    relaxed = Strategy(require_adjacency=False)
    hold = house.quote(strategy=relaxed)
    assert isinstance(hold, Hold)
    assert hold.strategy == relaxed
    assert isinstance(house.confirm(hold), Confirmed)
    assert house.tables() == {"small", "large"}


@pytest.mark.parametrize("party", [2, 9])
def test_lesson_30_events_travel_with_the_two_statements_of_an_inline_attempt(
    dsn: str, make_engine: Callable[[str], Engine], party: int
) -> None:
    stores, others = make_engine(dsn), make_engine(dsn)
    house = House(others, relay=True).furnish()
    app = AutoAssign(
        store=PostgresStore(stores, house.runtime),
        planner=house.planner,
        mailer=PostgresMailer(PostgresOutbox(stores, house.runtime)),
        telemetry=PostgresTelemetry(stores, house.runtime),
        runtime=house.runtime,
        planner_keeps_time=True,
    )
    house.book("b", party=party)
    house.book("warm")
    app.inline("warm")
    before = house.value("SELECT count(*) FROM observability_events")
    with statements_of(stores) as sent:
        assert app.inline("b").attempted
    assert len(sent) == 2
    assert house.value("SELECT count(*) FROM observability_events") > before
