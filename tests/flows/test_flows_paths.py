"""What becomes of a booking, told through the methods that a host calls, on both engines."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

import pytest
from tests.flows.conftest import EVENING, NO_TABLES, NOON, OVERRUN, Breakdown, World

from assign_core import Action, BookingNotFound, EventName, InvalidValue, Policy, ReasonCode, Verdict
from assign_core.booking import EmailState
from assign_core.flows import LONGEST_SLEEP
from assign_core.last_result import Source, Strategy
from assign_core.ports import Hold, Lease, NoHold, QuoteRequest
from assign_floor import Floor, Table
from assign_memory import Cue
from assign_memory.database import MemoryDatabase, Row

Kind = Literal["blocking", "async"]


def not_small(row: Row, hold: Hold) -> str | None:
    """A house rule that only the confirm knows."""
    del row
    return "Merged assignments require movable tables" if "small" in hold.plan.tables else None


def nothing_passes(row: Row, hold: Hold) -> str | None:
    del row, hold
    return "Table d1f3 is not adjacent to the selected set"


def test_a_free_table_is_confirmed_inline_with_one_search_and_one_mail(kind: Kind) -> None:
    world = World(kind)
    world.book()
    outcome = world.inline()
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.attempted
    assert outcome.plan is not None
    assert outcome.plan.tables == ("small",)
    assert outcome.email is EmailState.SENT
    assert outcome.wait_until is None
    assert world.status() == "confirmed"
    assert world.planner_calls == 1
    assert world.mail == ["b:confirmation:0"]
    last = world.last()
    assert (last.success, last.source, last.attempt, last.trigger) == (True, Source.INLINE, 0, "creation")
    assert last.attempt_id == outcome.attempt_id
    assert last.email_sent
    assert outcome.result == last
    assert not world.db.holds
    assert world.db.row("b").lease is None


def test_a_job_confirms_what_nobody_tried_before(kind: Kind) -> None:
    world = World(kind)
    world.book()
    outcome = world.job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert (world.last().source, world.last().attempt) == (Source.JOB, 1)
    assert world.mail == ["b:confirmation:0"]


def test_a_second_call_finds_the_booking_seated_and_neither_searches_nor_writes(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.inline()
    for outcome in (world.job(), world.inline(), world.run_job()):
        assert outcome.verdict is Verdict.ALREADY_CONFIRMED
        assert not outcome.attempted
    assert world.planner_calls == 1
    assert world.mail == ["b:confirmation:0"]


@pytest.mark.parametrize("status", ["cancelled", "no_show", "completed", "waitlisted"])
def test_a_booking_that_is_not_open_is_left_alone(kind: Kind, status: str) -> None:
    world = World(kind)
    world.book()
    world.db.set_status("b", status)
    for outcome in (world.inline(), world.job(), world.run_job()):
        assert outcome.verdict is Verdict.NOT_ACTIONABLE
        assert outcome.decision is not None
        assert outcome.decision.action is Action.NONE
    assert world.planner_calls == 0
    assert world.status() == status
    assert not world.mail
    assert world.db.row("b").blob is None


def test_an_unknown_booking_is_an_outcome_for_an_attempt_and_an_error_for_an_explanation(kind: Kind) -> None:
    world = World(kind)
    for outcome in (world.inline("nobody"), world.job("nobody"), world.run_job("nobody")):
        assert outcome.verdict is Verdict.NOT_ACTIONABLE
        assert outcome.decision is None
    with pytest.raises(BookingNotFound, match="nobody"):
        world.explain("nobody")


@pytest.mark.parametrize(("booking_id", "trigger"), [("", "x"), ("b", ""), ("b", "x" * 65)])
def test_arguments_that_cannot_be_meant_are_refused_before_anything_is_done(
    kind: Kind, booking_id: str, trigger: str
) -> None:
    world = World(kind)
    world.book()
    for call in (world.inline, world.job, world.run_job):
        with pytest.raises(InvalidValue):
            call(booking_id, trigger=trigger)
    assert not world.store.calls


def test_a_full_house_parks_the_booking_and_parked_looks_cost_no_search(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    first = world.inline()
    assert first.verdict is Verdict.WAIT
    assert first.parked
    assert first.result is not None
    assert first.result.reason_code is ReasonCode.NO_TABLES_AVAILABLE
    assert first.capacity_version == first.result.capacity_version is not None
    assert first.wait_until == NOON + Policy().revalidation_limit
    for _ in range(5):
        world.advance(30)
        again = world.job()
        assert again.parked
        assert not again.attempted
        assert again.result is None  # it has none of its own
    assert world.planner_calls == 1
    assert [key for key in world.mail if "staff" in key] == ["b:staff_notice:0"]


def test_freed_seats_wake_a_parked_booking_and_only_that_one(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    world.inline()
    assert world.run_due() == []
    world.db.cancel("other-small")
    (woken,) = world.run_due()
    assert woken.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 2
    assert world.guest_mail() == ["b:confirmation:0"]


def test_seats_freed_at_another_time_of_the_day_wake_nobody(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book("lunch", start_at=NOON + timedelta(minutes=30))
    world.inline("lunch")
    world.book()
    world.inline()
    world.db.cancel("lunch")
    assert world.run_due() == []
    assert world.job().parked
    assert world.planner_calls == 2


def test_seats_freed_before_the_window_wake_nobody_and_are_searched_for_when_it_opens(kind: Kind) -> None:
    policy = Policy(wake_window=timedelta(hours=2))
    opens = EVENING - policy.wake_window
    world = World(kind, policy=policy)
    world.fill()
    world.book()
    world.inline()
    world.db.cancel("other-small")
    (looked,) = world.run_due()
    assert (looked.verdict, looked.parked, looked.wait_until) == (Verdict.WAIT, True, opens)
    world.db.cancel("other-large")
    assert world.run_due() == []
    assert world.planner_calls == 1
    assert [key for key in world.mail if "staff" in key] == ["b:staff_notice:0"]
    world.advance_to(opens)
    (found,) = world.run_due()
    assert found.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 2


def test_a_whole_job_sleeps_to_the_window_although_seats_are_free(kind: Kind) -> None:
    policy = Policy(wake_window=timedelta(hours=2))
    world = World(kind, policy=policy)
    world.fill()
    world.book()
    world.inline()
    world.free()
    assert world.run_job().verdict is Verdict.CONFIRMED
    assert world.now == EVENING - policy.wake_window
    assert "capacity_version" not in world.store.calls


def test_a_parked_job_sleeps_without_searching_until_seats_become_free(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    version_reads = 3

    def counting_free(booking_id: str, *, timeout: float) -> int | None:
        found = type(world.store).capacity_version(world.store, booking_id, timeout=timeout)
        if world.store.calls.count("capacity_version") == version_reads:
            world.free()
        return found

    world.store.capacity_version = counting_free  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.run_job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 2
    # It looks at the version on the delay schedule: 5, 15, then every 45 seconds.
    assert world.store.calls.count("capacity_version") == version_reads + 1
    assert world.now == NOON + timedelta(seconds=5 + 15 + 45 + 45)


def test_a_look_that_fails_has_seen_no_change(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    failures = 2

    def broken(booking_id: str, *, timeout: float) -> int | None:
        found = type(world.store).capacity_version(world.store, booking_id, timeout=timeout)
        if world.store.calls.count("capacity_version") <= failures:
            raise Breakdown("connection is lost")
        world.free()
        return found

    world.store.capacity_version = broken  # type: ignore[method-assign]  # a port that misbehaves
    assert world.run_job().verdict is Verdict.CONFIRMED
    looks = world.store.calls[: world.store.calls.index("acquire", 1)]
    assert looks == ["acquire", "record", *["capacity_version"] * (failures + 2)]
    assert world.planner_calls == 2


def test_a_version_that_is_no_longer_kept_ends_the_wait_at_the_next_look(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()

    def forgotten(booking_id: str, *, timeout: float) -> int | None:
        type(world.store).capacity_version(world.store, booking_id, timeout=timeout)
        world.free()
        return None

    world.store.capacity_version = forgotten  # type: ignore[method-assign]  # a port that misbehaves
    assert world.run_job().verdict is Verdict.CONFIRMED
    assert world.store.calls[:4] == ["acquire", "record", "capacity_version", "acquire"]
    assert world.now == NOON + timedelta(seconds=5)


def test_a_wait_of_less_than_a_second_is_waited_for_too(kind: Kind) -> None:
    policy = Policy(delays=(timedelta(milliseconds=400),), jitter=0.0)
    world = World(kind, script=[Cue(answer=NoHold(reason="deadlock detected"))] * 2, policy=policy)
    world.book()
    assert world.run_job().verdict is Verdict.CONFIRMED
    assert world.now == NOON + 2 * policy.delays[0]
    assert world.planner_calls == 3


def test_every_look_at_the_capacity_version_has_a_time_limit(kind: Kind) -> None:
    """An adapter turns the time left into a statement timeout, and no database takes one of infinity."""
    world = World(kind)
    world.fill()
    world.book()
    world.run_job()
    assert "capacity_version" in world.store.calls
    assert max(world.store.timeouts) <= Policy().job_deadline.total_seconds()


def test_a_parked_job_ends_at_the_cutoff_with_one_summary(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    outcome = world.run_job()
    assert outcome.verdict is Verdict.GAVE_UP
    assert outcome.decision is not None
    assert outcome.decision.rules == ("cutoff",)
    assert EVENING - Policy().cutoff <= world.now < EVENING - Policy().cutoff + timedelta(seconds=1)
    summary = world.one(EventName.SUMMARY)
    assert summary["result"] == "cutoff"
    assert EventName.FAILED.value not in world.names
    # Unchanged seats are searched again only at the revalidation limit, and within the budget.
    assert world.planner_calls <= Policy().max_attempts


def test_contention_waits_until_the_blocking_hold_expires(kind: Kind) -> None:
    world = World(kind, floor=Floor(tables=[Table(id="only", seats=2)]))
    world.book()
    world.book("rival")
    lease = Lease(
        attempt_id="rival", source=Source.JOB, taken_at=world.now, expires_at=world.now + timedelta(minutes=9)
    )
    world.store.acquire("rival", lease, timeout=1)
    held = world.floor_planner.quote(
        QuoteRequest(booking_id="rival", revision=0, attempt_id="rival", strategy=Strategy(), hold_seconds=90),
        timeout=1,
    )
    assert isinstance(held, Hold)
    first = world.inline()
    assert first.verdict is Verdict.WAIT
    assert not first.parked
    assert first.result is not None
    assert first.result.retry_after == held.expires_at
    assert first.wait_until is not None
    jitter = Policy().delays[0] * Policy().jitter
    assert held.expires_at <= first.wait_until <= held.expires_at + jitter
    assert world.run_due() == []
    world.advance_to(first.wait_until)
    (second,) = world.run_due()
    assert second.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 2


def test_a_refused_plan_is_excluded_and_the_planner_asked_once_more(kind: Kind) -> None:
    world = World(kind, objection=not_small)
    world.book()
    outcome = world.inline()
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.plan is not None
    assert outcome.plan.tables == ("large",)
    first, second = world.planner.requests
    assert first.excluded == ()
    assert [plan.tables for plan in second.excluded] == [("small",)]
    assert first.attempt_id == second.attempt_id
    assert not world.db.holds
    assert world.last().attempt == 0


def test_two_refused_plans_end_the_attempt_and_the_budget_is_two(kind: Kind) -> None:
    world = World(kind, objection=nothing_passes)
    world.book()
    first = world.inline()
    assert first.verdict is Verdict.WAIT
    assert first.decision is not None
    assert first.decision.rules == ("plan_rejected",)
    assert world.planner_calls == 2
    outcome = world.run_job()
    assert outcome.verdict is Verdict.GAVE_UP
    assert world.last().attempt == Policy().rejected_budget
    assert world.status() == "pending"
    assert not world.db.holds


def test_a_permanent_failure_gives_up_at_once_and_tells_the_staff_once(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=OVERRUN)])
    world.book()
    first = world.inline()
    assert first.verdict is Verdict.GAVE_UP
    assert world.db.row("b").retry_at is None
    assert world.job().verdict is Verdict.GAVE_UP
    assert world.run_job().verdict is Verdict.GAVE_UP
    assert world.planner_calls == 1
    assert world.mail == ["b:staff_notice:0"]
    assert world.status() == "pending"


def test_a_changed_booking_is_searched_for_again_after_a_permanent_failure(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=OVERRUN)])
    world.book()
    world.inline()
    world.db.modify("b", party=3)
    outcome = world.inline(trigger="modification")
    assert outcome.verdict is Verdict.CONFIRMED
    assert (world.last().revision, world.last().attempt) == (1, 0)
    assert world.mail == ["b:staff_notice:0", "b:modification:1"]


def test_errors_use_up_the_budget_and_no_more(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=RuntimeError("fetch failed"))] * 20)
    world.book()
    world.inline()
    outcome = world.run_job()
    assert outcome.verdict is Verdict.GAVE_UP
    assert world.planner_calls == 1 + Policy().max_attempts
    summary = world.one(EventName.SUMMARY)
    assert summary["result"] == "error"
    assert summary["attemptsUsed"] == summary["maxAttempts"] == Policy().max_attempts
    assert world.job().verdict is Verdict.GAVE_UP
    assert world.planner_calls == 1 + Policy().max_attempts


def test_retries_keep_the_delay_schedule_with_jitter(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=RuntimeError("deadlock detected"))] * 20)
    world.book()
    delays = []
    outcome = world.inline()
    while outcome.verdict is Verdict.WAIT:
        assert outcome.wait_until is not None
        delays.append((outcome.wait_until - world.now).total_seconds())
        world.advance_to(outcome.wait_until)
        outcome = world.job()
        assert outcome.attempted
    assert len(delays) == Policy().max_attempts
    for delay, step in zip(delays, (5, 5, 15, 45), strict=True):
        assert step <= delay <= step * 1.2


@pytest.fixture
def unversioned(monkeypatch: pytest.MonkeyPatch) -> None:
    """A house that keeps no versions."""

    def no_version(database: MemoryDatabase, row: Row) -> None:
        del database, row

    monkeypatch.setattr(MemoryDatabase, "version", no_version)


@pytest.mark.usefixtures("unversioned")
def test_fresh_capacity_evidence_without_a_version_puts_the_first_job_attempt_off(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NO_TABLES)])
    world.fill()
    world.book()
    first = world.inline()
    assert first.wait_until == NOON + Policy().freshness
    world.advance(10)
    early = world.job()
    assert not early.attempted
    assert early.wait_until == first.wait_until
    assert world.planner_calls == 1
    world.advance_to(first.wait_until + timedelta(microseconds=1))
    assert world.job().attempted
    assert world.planner_calls == 2


@pytest.mark.usefixtures("unversioned")
@pytest.mark.parametrize("freed", [False, True])
def test_without_a_version_the_last_search_waits_for_the_last_chance_and_the_staff_knows(
    kind: Kind, freed: bool
) -> None:
    world = World(kind)
    world.fill()
    world.book()
    first = world.inline()
    assert first.wait_until is not None
    world.advance_to(first.wait_until)
    second = world.job()
    last_chance = EVENING - Policy().cutoff - Policy().dispatch_margin
    assert (second.verdict, second.parked, second.wait_until) == (Verdict.WAIT, True, last_chance)
    assert world.mail == ["b:staff_notice:0"]
    assert world.one(EventName.SUMMARY)["result"] == "parked"
    assert world.run_due() == []
    if freed:
        world.free()
    world.advance_to(last_chance)
    (third,) = world.run_due()
    assert third.verdict is (Verdict.CONFIRMED if freed else Verdict.GAVE_UP)
    assert world.planner_calls == 3
    assert world.mail.count("b:staff_notice:0") == 1


@pytest.mark.usefixtures("unversioned")
@pytest.mark.parametrize("days", [0, 30, 3650])
def test_a_whole_job_without_a_version_sleeps_to_the_last_chance(kind: Kind, days: int) -> None:
    """However far off that is: no operating system is asked for more than a day."""
    world = World(kind)
    start_at = EVENING + timedelta(days=days)
    world.fill(start_at)
    world.book(start_at=start_at)
    slept: list[float] = []
    advance = world.runtime.advance

    def noted(seconds: float) -> None:
        slept.append(seconds)
        advance(seconds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world.runtime, "advance", noted)
        assert world.run_job().verdict is Verdict.GAVE_UP
    assert world.planner_calls == 2
    looks = [event.at for event in world.named(EventName.STARTED)]
    assert looks == [NOON, start_at - Policy().cutoff - Policy().dispatch_margin]
    assert max(slept) <= LONGEST_SLEEP


def test_a_start_that_has_passed_is_given_up_without_a_search(kind: Kind) -> None:
    world = World(kind)
    world.book(start_at=NOON)
    assert world.inline().verdict is Verdict.GAVE_UP
    assert world.job().verdict is Verdict.GAVE_UP
    assert world.planner_calls == 0


def test_a_first_attempt_is_made_even_inside_the_cutoff_and_a_second_is_not(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NO_TABLES)])
    world.book(start_at=NOON + timedelta(minutes=9))
    assert world.inline().verdict is Verdict.GAVE_UP
    assert world.planner_calls == 1
    outcome = world.job()
    assert outcome.decision is not None
    assert outcome.decision.rules == ("cutoff",)
    assert world.planner_calls == 1


def test_a_slow_planner_is_left_at_the_deadline_and_the_job_finds_the_table(kind: Kind) -> None:
    world = World(kind, script=[Cue(delay=42)])
    world.book()
    first = world.inline()
    assert world.now == NOON + Policy().inline_deadline
    assert first.verdict is Verdict.WAIT
    last = world.last()
    assert (last.reason, last.reason_code, last.duration_ms) == ("INLINE_TIMEOUT", ReasonCode.TIMEOUT, 1800)
    assert world.status() == "pending"
    assert not world.db.holds
    assert world.db.row("b").lease is None
    (second,) = world.run_due()
    assert second.verdict is Verdict.CONFIRMED
    assert world.mail == ["b:confirmation:0"]


def test_an_attempt_in_progress_is_waited_for_until_its_lease_expires() -> None:
    world = World()
    world.book()
    inline = world.flow("inline")
    inline.step()
    job = world.job()
    assert job.verdict is Verdict.WAIT
    assert not job.attempted
    assert job.attempt_id is None
    assert job.wait_until is not None
    lease = world.db.row("b").lease
    assert lease is not None
    assert job.wait_until == lease.expires_at
    inline.run()
    assert inline.outcome is not None
    assert inline.outcome.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 1


def test_explaining_reads_and_changes_nothing(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.inline()
    before = world.db.row("b").blob
    explained = world.explain()
    assert explained.decision.action is Action.ENSURE_EMAIL
    assert explained.decision.suppress_email
    assert explained.lines
    assert world.db.row("b").blob == before
    assert world.db.row("b").lease is None


def test_due_bookings_are_worked_off_the_longest_waiting_first_and_up_to_the_limit(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NoHold(reason="INLINE_TIMEOUT"))] * 3)
    for hour, name in enumerate(("first", "second", "third")):
        world.book(name, start_at=EVENING + timedelta(hours=2 * hour))
        world.inline(name)
        world.advance(1)
    world.advance(60)
    assert [outcome.booking_id for outcome in world.run_due(limit=2)] == ["first", "second"]
    assert [outcome.booking_id for outcome in world.run_due()] == ["third"]
    assert world.run_due() == []


def test_a_job_that_waits_for_a_lost_attempt_goes_on_when_its_lease_expires(kind: Kind) -> None:
    world = World(kind)
    world.book()
    # An inline attempt that died after it had taken the lease.

    expires = NOON + timedelta(seconds=4.8)
    world.store.acquire(
        "b", Lease(attempt_id="dead", source=Source.INLINE, taken_at=NOON, expires_at=expires), timeout=1
    )
    outcome = world.run_job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.now == expires
    assert world.last().attempt == 1
    lost = world.one(EventName.ATTEMPT_LOST)
    assert (lost["lost_attempt_id"], lost["source"]) == ("dead", "inline")
