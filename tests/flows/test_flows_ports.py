"""Ports that misbehave: a planner, a mailer or telemetry that fails is a result; a store that fails is raised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest
from tests.flows.conftest import NO_TABLES, NOON, Breakdown, WatchedStore, World
from tests.flows.laws import LawfulEngine

from assign_core import Event, EventName, Policy, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Hold,
    Lease,
    NoHold,
    NotConfirmed,
    Plan,
    Quote,
    QuoteRequest,
    Record,
    Recorded,
)
from assign_memory import Cue, MemoryTelemetry

ERRORS = [
    Breakdown("out of order"),
    RuntimeError(),
    KeyError("x"),
    StopIteration("odd"),
    TimeoutError("statement timeout"),
    MemoryError(),
    AssertionError("planner bug"),
    ExceptionGroup("several", [ValueError("one"), OSError("two")]),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"),
]


class BadStr(Exception):
    def __str__(self) -> str:
        raise RuntimeError("even this fails")


# The planner.


@pytest.mark.parametrize("error", [*ERRORS, BadStr()], ids=lambda error: type(error).__name__)
def test_whatever_the_planner_raises_the_attempt_has_a_result(kind: str, error: Exception) -> None:
    world = World("async" if kind == "async" else "blocking", script=[Cue(answer=error)])
    world.book()
    outcome = world.inline()
    assert outcome.verdict is Verdict.WAIT
    last = world.last()
    assert not last.success
    assert last.reason
    assert last.attempt_id == outcome.attempt_id
    assert world.db.row("b").lease is None
    assert world.run_job().verdict is Verdict.CONFIRMED


@dataclass
class Answers:
    """A planner that gives odd answers."""

    answer: Callable[[QuoteRequest], object]
    on_release: Callable[[], object] = lambda: None

    def quote(self, request: QuoteRequest, *, timeout: float) -> Quote:
        del timeout
        found: Quote = self.answer(request)  # type: ignore[assignment]  # that is the point
        return found

    def release(self, booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id, timeout
        self.on_release()


def engine_with(world: World, **ports: object) -> LawfulEngine:
    return LawfulEngine(
        **{  # type: ignore[arg-type]  # ports by name
            "store": world.store,
            "planner": world.planner,
            "mailer": world.mailer,
            "telemetry": world.telemetry,
            "runtime": world.runtime,
            "policy": world.policy,
            **ports,
        }
    )


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "No tables",
        NoHold(reason="Hold conflicts prevented all candidates", retry_after=datetime(2026, 1, 9, 13)),  # noqa: DTZ001 - naive, as a careless planner says it
        NoHold(reason="No suitable tables available", alternates=-1),
        NoHold(reason=None),  # type: ignore[arg-type]  # a wrong type on purpose
        NoHold(reason=""),
        NoHold(reason="x" * 100_000),
        NoHold(reason="\ud800 lone surrogate \x00"),
    ],
    ids=[
        "none",
        "text",
        "naive_hint",
        "negative_alternates",
        "null_reason",
        "blank_reason",
        "long_reason",
        "surrogate",
    ],
)
def test_whatever_the_planner_answers_the_attempt_has_a_result(answer: object) -> None:
    world = World()
    world.book()
    outcome = engine_with(world, planner=Answers(lambda _: answer)).inline("b")
    assert outcome.verdict is Verdict.WAIT
    last = world.last()
    assert not last.success
    assert last.attempt_id == outcome.attempt_id
    assert world.db.row("b").lease is None


def test_a_hold_that_the_store_does_not_know_is_no_confirm() -> None:
    world = World()
    world.book()

    def invented(request: QuoteRequest) -> Hold:
        return Hold(
            hold_id="invented", plan=Plan(("small",)), expires_at=NOON.replace(hour=23), strategy=request.strategy
        )

    outcome = engine_with(world, planner=Answers(invented)).inline("b")
    assert outcome.verdict is Verdict.WAIT
    assert world.last().reason_code is ReasonCode.HOLD_NOT_FOUND
    assert world.status() == "pending"


def test_a_release_that_fails_leaves_the_result_and_the_hold_expires(kind: str) -> None:
    world = World("async" if kind == "async" else "blocking", objection=lambda *_: "locked to zone")
    world.book()

    def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id, timeout
        raise Breakdown("release is out of order")

    world.floor_planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.inline()
    assert outcome.verdict is Verdict.WAIT
    assert world.last().reason_code is ReasonCode.ZONE_LOCKED
    assert [event.context["stage"] for event in world.named(EventName.ATTEMPT_ERROR)].count("release") >= 1
    world.advance(121)
    world.db.sweep()
    assert not world.db.holds


@pytest.mark.parametrize("slow", [False, True], ids=["finds nothing more", "has no time for another search"])
def test_a_refused_plan_whose_release_failed_is_released_again_in_the_end(kind: str, slow: bool) -> None:
    """P3: the second search, whatever becomes of it, says nothing of the first one's hold."""
    script = [Cue(), Cue(answer=NO_TABLES)]
    world = World("async" if kind == "async" else "blocking", script=script, objection=lambda *_: "locked to zone")
    world.book()
    release = world.floor_planner.release

    def fails_once(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del timeout
        world.floor_planner.release = release  # type: ignore[method-assign]  # works from now on
        if slow:
            world.advance(world.policy.inline_deadline.total_seconds())
        raise Breakdown(f"{booking_id}: release of {attempt_id} is out of order")

    world.floor_planner.release = fails_once  # type: ignore[method-assign]  # a port that misbehaves
    world.inline()
    assert world.planner_calls == (1 if slow else 2)
    assert not world.db.holds


def test_a_release_that_takes_all_the_grace_does_not_cost_the_record() -> None:
    """P1: the planner was called, so there is a result, however slow its release is."""
    world = World(script=[Cue(delay=42)])
    world.book()

    def slow(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id
        world.advance(timeout)
        raise TimeoutError("the time left has passed")

    world.floor_planner.release = slow  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.inline()
    assert outcome.verdict is Verdict.WAIT
    assert world.last().reason == "INLINE_TIMEOUT"
    assert world.db.row("b").lease is None


# The mailer.


class BrokenMailer:
    def __init__(self, error: Exception, world: World | None = None) -> None:
        self.error = error
        self.world = world

    def deliver(self, email: Email, *, timeout: float) -> EmailState:
        del email
        if self.world is not None:
            self.world.advance(timeout)
        raise self.error


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_mailer_that_fails_changes_nothing_about_the_booking(error: Exception) -> None:
    world = World()
    world.book()
    for outcome in (engine_with(world, mailer=BrokenMailer(error)).inline("b"),):
        assert outcome.verdict is Verdict.CONFIRMED
    assert world.status() == "confirmed"
    assert not world.last().email_sent
    said = world.one(EventName.EMAIL_ERROR)
    assert said["kind"] == "confirmation"
    assert type(error).__name__ in str(said["error"])
    # The intent is durable: the relay delivers it.
    world.mailer.relay()
    assert world.mail == ["b:confirmation:0"]
    assert world.last().email_sent


def test_a_mailer_that_hangs_until_its_time_is_up_cannot_turn_a_success_into_an_error() -> None:
    world = World()
    world.book()
    outcome = engine_with(world, mailer=BrokenMailer(TimeoutError("no answer"), world)).inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    assert (world.now - NOON) <= Policy().inline_deadline


def test_a_slow_mailer_after_a_late_confirm_cannot_turn_a_success_into_an_error() -> None:
    """The confirm's answer was lost at the deadline; what grace is left goes to the mailer, and the outcome stands."""
    world = World()
    world.book()
    store = LosesAnswers(world, {"confirm"}, late=2.0)
    outcome = engine_with(world, store=store, mailer=BrokenMailer(TimeoutError("no answer"), world)).inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.last().success


# Telemetry.


class BrokenTelemetry(MemoryTelemetry):
    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if self.failures:
            self.failures -= 1
            raise Breakdown("CHECK violation")
        super().emit(events, stored=stored)


def test_lost_events_are_counted_and_told_once_telemetry_works_again() -> None:
    world = World()
    world.book()
    world.book("c", party=4)
    telemetry = BrokenTelemetry(failures=10**6)
    engine = engine_with(world, telemetry=telemetry)
    assert engine.inline("b").verdict is Verdict.CONFIRMED
    assert world.mail == ["b:confirmation:0"]
    reference = World()
    reference.book()
    reference.inline()
    telemetry.failures = 0
    engine.inline("c")
    (dropped,) = telemetry.named(EventName.TELEMETRY_DROPPED)
    assert dropped.context["dropped"] == len(reference.names)
    assert "Breakdown" in str(dropped.context["error"])
    assert dropped.booking_id is None
    engine.inline("c")
    assert len(telemetry.named(EventName.TELEMETRY_DROPPED)) == 1


def test_a_loss_that_could_not_be_told_is_told_later() -> None:
    world = World()
    world.book()
    telemetry = BrokenTelemetry(failures=2)
    engine = engine_with(world, telemetry=telemetry)
    engine.job("b")
    engine.job("b")
    (dropped,) = telemetry.named(EventName.TELEMETRY_DROPPED)
    told = dropped.context["dropped"]
    assert isinstance(told, int)
    assert told > 0


# The booking store.


class FailsAt(WatchedStore):
    """Fails before anything is done."""

    def __init__(self, world: World, *names: str) -> None:
        super().__init__(world.db)
        self.names = names

    def _called(self, name: str, timeout: float) -> None:
        super()._called(name, timeout)
        if name in self.names:
            raise Breakdown(f"{name}: connection is lost")


class LosesAnswers(WatchedStore):
    """Does what it is asked, and loses the answer; at the deadline if it is told to be late."""

    def __init__(self, world: World, names: set[str], *, late: float = 0.0) -> None:
        super().__init__(world.db)
        self.names = names
        self.late = late
        self.world = world

    def _lose(self, name: str) -> None:
        if name in self.names:
            self.world.advance(self.late)
            raise TimeoutError("no answer") if self.late else Breakdown(f"{name}: connection is lost")

    def acquire(self, booking_id: str, lease: Lease, *, timeout: float) -> Acquired | Busy | None:
        answer = super().acquire(booking_id, lease, timeout=timeout)
        self._lose("acquire")
        return answer

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        answer = super().confirm(confirmation, timeout=timeout)
        self._lose("confirm")
        return answer

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        answer = super().record(entry, timeout=timeout)
        self._lose("record")
        return answer


def test_a_store_that_fails_at_the_first_read_is_raised_and_the_planner_is_not_called() -> None:
    world = World()
    world.book()
    engine = engine_with(world, store=FailsAt(world, "acquire"))
    for call in (engine.inline, engine.job, engine.run_job):
        with pytest.raises(Breakdown):
            call("b")
    assert world.planner_calls == 0
    assert EventName.ATTEMPT_ERROR.value in world.names


@pytest.mark.parametrize("late", [0.0, 2.0], ids=["at_once", "at_the_deadline"])
def test_a_confirm_whose_answer_is_lost_is_told_as_what_it_was(late: float) -> None:
    world = World()
    world.book()
    outcome = engine_with(world, store=LosesAnswers(world, {"confirm"}, late=late)).inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.plan is not None
    assert world.last().success
    assert world.last().email_sent
    assert outcome.result == world.last()
    assert world.mail == ["b:confirmation:0"]
    assert world.one(EventName.INLINE_LATE_CONFIRM) == {"stage": "confirm", "trigger": "inline"}
    assert (EventName.INLINE_TIMEOUT.value in world.names) == bool(late)


def test_a_confirm_that_fails_is_recorded_and_its_hold_released() -> None:
    world = World()
    world.book()
    outcome = engine_with(world, store=FailsAt(world, "confirm")).inline("b")
    assert outcome.verdict is Verdict.WAIT
    assert world.last().reason_code is ReasonCode.NETWORK_FAILURE
    assert not world.db.holds
    assert world.db.row("b").lease is None


def test_a_record_that_fails_is_raised_and_the_next_attempt_counts_the_lost_one(kind: str) -> None:
    del kind
    world = World(script=[Cue(answer=NoHold(reason="fetch failed"))])
    world.book()
    with pytest.raises(Breakdown):
        engine_with(world, store=FailsAt(world, "record")).job("b")
    assert world.db.row("b").blob is None
    world.advance(200)
    outcome = world.run_job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.last().attempt == 2
    assert len(world.named(EventName.ATTEMPT_LOST)) == 1


def test_a_job_that_is_interrupted_while_it_confirms_says_so() -> None:
    """A blind spot otherwise: the attempt failed and no event tells it."""
    world = World()
    world.book()
    outcome = engine_with(world, store=LateConfirm(world)).job("b")
    assert outcome.verdict is Verdict.WAIT
    assert world.last().reason_code is ReasonCode.TIMEOUT
    (error,) = world.named(EventName.ATTEMPT_ERROR)
    assert error.context["stage"] == "confirm"


class LateConfirm(WatchedStore):
    """A confirm that does not get its locks in time."""

    def __init__(self, world: World) -> None:
        super().__init__(world.db)
        self.world = world

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        del confirmation
        self.world.advance(timeout)
        raise TimeoutError("the time left has passed")


# Somebody else acts in the middle of a search.


def test_a_guest_seated_by_hand_during_the_search_is_written_to() -> None:
    """P4, none is lost: the attempt finds the booking confirmed, and nobody else has queued the guest's e-mail."""
    world = World(script=[Cue(before=lambda: world.db.seat_by_hand("b", ["large"]))])
    world.book()
    outcome = world.job()
    assert outcome.verdict is Verdict.ALREADY_CONFIRMED
    assert outcome.attempted
    assert outcome.email is EmailState.SENT
    assert not world.db.holds
    assert world.guest_mail() == ["b:confirmation:0"]
    exited = world.one(EventName.EXITED_ALREADY_CONFIRMED)
    assert exited == {"status": "confirmed", "suppressEmail": False, "trigger": "queue"}


@pytest.mark.parametrize("kept", [False, True], ids=["seated by hand", "confirmed after all"])
def test_a_hold_that_could_not_be_given_back_is_told_beside_what_became_of_the_booking(kept: bool) -> None:
    world = World()
    world.book()

    class SeatedMeanwhile(WatchedStore):
        """The staff are faster, once the tables are held."""

        def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
            world.db.seat_by_hand("b", ["large"])
            return super().confirm(confirmation, timeout=timeout)

    def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        del booking_id, attempt_id, timeout
        raise Breakdown("release is out of order")

    world.floor_planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
    store = LosesAnswers(world, {"confirm"}) if kept else SeatedMeanwhile(world.db)
    engine_with(world, store=store).job("b")
    (error,) = (said for said in world.named(EventName.ATTEMPT_ERROR) if said.context["stage"] == "release")
    ended = EventName.SUCCEEDED if kept else EventName.EXITED_ALREADY_CONFIRMED
    assert world.named(ended)
    assert error.context["reason"] == "Breakdown: release is out of order"


def test_a_guest_who_cancels_during_the_search_stays_cancelled(kind: str) -> None:
    world = World("async" if kind == "async" else "blocking", script=[Cue(before=lambda: world.db.cancel("b"))])
    world.book()
    outcome = world.inline()
    assert outcome.verdict is Verdict.NOT_ACTIONABLE
    assert world.status() == "cancelled"
    assert not world.mail
    assert not world.db.holds
    assert world.db.row("b").retry_at is None


@pytest.mark.parametrize("answer", [None, NoHold(reason="Insufficient global capacity")], ids=["hold", "permanent"])
def test_a_booking_modified_during_the_search_is_looked_at_again(answer: NoHold | None) -> None:
    """The new revision's own attempt met a busy lease; what the old search found must not end its retries."""
    world = World(script=[Cue(before=lambda: world.db.modify("b", party=3), answer=answer)])
    world.book()
    outcome = world.inline()
    assert outcome.verdict is not Verdict.CONFIRMED
    assert world.status() == "pending"
    assert world.db.row("b").retry_at is not None
    world.advance(600)
    (retried,) = world.run_due()
    assert retried.verdict is Verdict.CONFIRMED
    assert world.guest_mail() == ["b:modification:1"]


def test_the_late_search_of_an_ended_attempt_takes_nothing_from_the_next_one() -> None:
    """Lesson 19 from the other side: a planner that ignores its deadline comes back while a newer attempt confirms."""
    world = World()
    world.book()
    old = world.flow("inline")
    old.step()
    assert old.next is not None
    request = old.next.effect.request  # type: ignore[attr-defined]  # a quote, or the test fails
    world.advance(2)
    old.throw(TimeoutError())
    old.run()
    new = world.flow("job")
    new.step()
    new.step()
    world.floor_planner.quote(request, timeout=1)
    new.run()
    assert new.outcome is not None
    assert new.outcome.verdict is Verdict.CONFIRMED


class SlowRecord(LosesAnswers):
    """Loses the confirm's answer at the deadline, and takes all the grace for the record."""

    def __init__(self, world: World) -> None:
        super().__init__(world, {"confirm"}, late=2.0)

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        answer = super().record(entry, timeout=timeout)
        self.world.advance(timeout)
        return answer


def test_a_confirmed_booking_is_told_as_confirmed_although_no_time_is_left_for_its_mail() -> None:
    world = World()
    world.book()
    outcome = engine_with(world, store=SlowRecord(world)).inline("b")
    assert outcome.verdict is Verdict.CONFIRMED
    world.mailer.relay()
    assert world.mail == ["b:confirmation:0"]


def test_a_given_up_booking_is_told_as_given_up_although_no_time_is_left_for_the_notice() -> None:
    world = World(policy=Policy(retries=0), script=[Cue(delay=500)])
    world.book()
    store = SlowRecord(world)
    outcome = engine_with(world, store=store).job("b")
    assert outcome.verdict is Verdict.GAVE_UP
    world.mailer.relay()
    assert world.mail == ["b:staff_notice:0"]


def test_a_confirm_is_this_attempts_own_although_a_clock_that_is_ahead_has_written_an_older_success() -> None:
    """The staff has reopened the booking; the success of its first seating lies a little in the future."""
    world = World()
    world.book()
    world.inline()
    first = world.last()
    world.db.set_status("b", "pending")
    world.db.keep(world.db.row("b"), replace(first, recorded_at=world.now + timedelta(seconds=20)))
    outcome = world.job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.attempt_id != first.attempt_id
    assert len(world.named(EventName.SUCCEEDED)) == 1


class EventStore(LosesAnswers):
    """A store that keeps events in its transactions, as a database does."""

    def __init__(self, world: World, names: set[str]) -> None:
        super().__init__(world, names)
        self.kept: list[Event] = []

    def confirm(self, confirmation: Confirmation, *, timeout: float) -> Confirmed | NotConfirmed:
        answer = WatchedStore.confirm(self, confirmation, timeout=timeout)
        if isinstance(answer, Confirmed):
            self.kept += confirmation.events
            answer = replace(answer, events_stored=True)
        self._lose("confirm")
        return answer

    def record(self, entry: Record, *, timeout: float) -> Recorded:
        answer = WatchedStore.record(self, entry, timeout=timeout)
        self.kept += entry.events
        self._lose("record")
        return replace(answer, events_stored=True)


class StoredTwice(MemoryTelemetry):
    """Telemetry that writes to the same place, and so skips what is stored."""

    def emit(self, events: Sequence[Event], *, stored: bool) -> None:
        if not stored:
            super().emit(events, stored=stored)


@pytest.mark.parametrize("lost", [set(), {"confirm"}], ids=["answered", "answer_lost"])
@pytest.mark.parametrize("source", ["inline", "job"])
def test_every_event_is_kept_once_although_the_confirms_answer_is_lost(source: str, lost: set[str]) -> None:
    world = World()
    world.book()
    store, telemetry = EventStore(world, lost), StoredTwice()
    engine = engine_with(world, store=store, telemetry=telemetry)
    engine.inline("b") if source == "inline" else engine.job("b")
    kept = [event.name.value for event in (*store.kept, *telemetry.events)]
    assert kept.count("auto_assign.quote") == 1
    assert kept.count("auto_assign.succeeded" if source == "job" else "inline_auto_assign.succeeded") == 1
