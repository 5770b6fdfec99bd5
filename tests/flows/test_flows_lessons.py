"""What went wrong elsewhere, row by row: each test would fail if the defect came back.

Rows that are about the ports have their tests beside those of the ports, under the same kind of name; rows 1 and 2 in
real threads and on a real event loop are there as well.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.flows.conftest import NO_TABLES, NOON, OVERRUN, POLICY, Breakdown, Cancelled, World, minutes

from assign_core import CATALOGUE, EventName, Policy, ReasonCode, Severity, Verdict
from assign_core.booking import EmailState
from assign_core.effects import Acquire, CloseAttempt, Confirm, Deliver, Emit, ReleaseHold, RequestQuote
from assign_core.last_result import Source, Strategy
from assign_core.ports import Email, Hold, NoHold
from assign_memory import Cue, EmailRefused
from assign_memory.database import Row


def test_lesson_01_the_deadline_ends_the_wait_for_the_planner() -> None:
    world = World(script=[Cue(delay=124)])
    world.book()
    outcome = world.inline()
    assert world.now - NOON == Policy().inline_deadline
    assert outcome.verdict is Verdict.WAIT


def test_lesson_02_a_confirm_that_lands_after_the_timeout_cannot() -> None:
    """The deadline passes while the confirm is on its way; the record closes the attempt before it arrives."""
    world = World()
    world.book()
    flow = world.flow("inline")
    flow.run_to(Confirm)
    assert flow.next is not None
    on_its_way = flow.next.effect
    world.advance(2)
    flow.throw(TimeoutError())
    while not isinstance(flow.performed[-1], CloseAttempt):
        flow.step()
    # It arrives now, right after the record, be its hold still there or not.
    world.perform(on_its_way, 1.0)
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.WAIT
    assert world.status() == "pending"
    assert not world.last().success


def test_lesson_02_a_confirm_that_landed_before_is_recorded_as_the_success_it_is() -> None:
    world = World()
    world.book()
    flow = world.flow("inline")
    flow.run_to(Confirm)
    flow.perform()
    world.advance(2)
    flow.throw(TimeoutError())
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.CONFIRMED
    assert world.status() == "confirmed"
    assert world.last().success
    assert world.named(EventName.INLINE_TIMEOUT), "the timeout stays visible in the events"


def test_lesson_03_a_slow_mail_after_the_commit_is_no_timeout() -> None:
    world = World()
    world.book()
    flow = world.flow("inline")
    flow.run_to(Deliver)
    world.advance(100)
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.CONFIRMED
    assert world.last().success
    assert not world.named(EventName.INLINE_TIMEOUT)
    assert world.mail == ["b:confirmation:0"]


def test_lesson_04_every_path_sends_the_same_one_mail() -> None:
    world = World()
    world.book()
    confirming = world.flow("inline")
    confirming.run_to(Deliver)
    # Two jobs and the relay come by while the first sender is about to send.
    world.job()
    world.mailer.relay()
    world.job()
    confirming.run()
    assert world.mail == ["b:confirmation:0"]


def test_lesson_05_the_flag_is_seen_true_and_suppresses() -> None:
    world = World()
    world.book()
    world.inline()
    assert world.last().email_sent
    outcome = world.job()
    assert outcome.decision is not None
    assert outcome.decision.suppress_email
    assert outcome.decision.rules == ("already_confirmed", "email_on_record")
    assert world.one(EventName.EXITED_ALREADY_CONFIRMED)["suppressEmail"] is True


def test_lesson_06_the_flag_is_true_only_with_the_transports_acceptance_in_hand() -> None:
    world = World()
    world.book()
    seen: list[bool] = []

    def refuse(email: Email, *, idempotency_key: str, timeout: float) -> None:
        del email, idempotency_key, timeout
        seen.append(world.last().email_sent)
        raise EmailRefused("no address")

    world.post.send = refuse  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.inline()
    assert outcome.verdict is Verdict.CONFIRMED
    assert outcome.email is EmailState.FAILED
    assert seen == [False]
    assert not world.last().email_sent


def test_lesson_07_a_lost_answer_of_the_mail_system_is_unknown_and_no_claim_of_somebody_else() -> None:
    world = World()
    world.book()

    def fail(email: Email, *, idempotency_key: str, timeout: float) -> None:
        del email, idempotency_key, timeout
        raise ConnectionError("reset")

    world.post.send = fail  # type: ignore[method-assign]  # a port that misbehaves
    outcome = world.inline()
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.db.email_states() == {"b:confirmation:0": EmailState.UNKNOWN}
    assert outcome.email is EmailState.UNKNOWN
    assert not world.last().email_sent
    assert world.one(EventName.EMAIL_ERROR)["kind"] == "confirmation"


@pytest.mark.parametrize("ending", ["timeout", "cancelled", "refused", "lost_confirm"])
def test_lesson_08_no_hold_outlives_its_attempt(ending: str) -> None:
    world = World(objection=lambda *_: "locked to zone" if ending == "refused" else None)
    world.book()
    flow = world.flow("job")
    flow.run_to(Confirm)
    assert world.db.holds
    if ending == "timeout":
        world.advance(151)
    elif ending == "cancelled":
        flow.throw(Cancelled())
    elif ending == "lost_confirm":
        flow.throw(Breakdown("connection is lost"))
    flow.run()
    assert not world.db.holds


def test_lesson_09_a_retry_is_not_blocked_by_the_bookings_own_forgotten_hold() -> None:
    world = World()
    world.book(party=6)
    dead = world.flow("inline")
    dead.run_to(Confirm)
    dead.stop()
    assert world.db.holds
    world.advance(5)
    assert world.job().verdict is Verdict.CONFIRMED


def test_lesson_10_an_expired_hold_of_somebody_else_does_not_block() -> None:
    world = World()
    world.book("c", party=6)
    dead = world.flow("inline", "c")
    dead.run_to(Confirm)
    dead.stop()
    world.book(party=6)
    first = world.inline()
    assert first.result is not None
    assert first.result.reason_code is ReasonCode.HOLD_CONFLICT
    outcome = world.run_job()
    assert outcome.verdict is Verdict.CONFIRMED
    assert world.planner_calls == 1 + 1 + 1, "the one that died, the inline attempt, and one job"


def test_lesson_16_a_skipped_attempt_calls_no_planner() -> None:
    world = World()
    world.fill()
    world.book()
    world.inline()
    outcome = world.job()
    assert outcome.verdict is Verdict.WAIT
    assert not outcome.attempted
    assert world.planner_calls == 1
    skip = world.one(EventName.INLINE_SKIP_ATTEMPT)
    assert skip["inline_attempt_id"] == world.last().attempt_id
    assert EventName.ATTEMPT.value not in world.names


def test_lesson_17_the_strategy_is_not_relaxed_after_a_timeout() -> None:
    world = World(script=[Cue(delay=100)])
    world.book()
    world.inline()
    world.job()
    first, second = world.planner.requests
    assert first.strategy == second.strategy


def test_lesson_17_relaxing_is_the_hosts_own_choice() -> None:
    world = World(script=[Cue(delay=100)], policy=Policy(relax_after_timeout=True))
    world.book()
    world.inline()
    world.job()
    assert world.planner.requests[1].strategy.require_adjacency is False


def test_lesson_19_a_losers_clean_up_leaves_the_winners_tables() -> None:
    world = World()
    world.book()
    loser = world.flow("inline")
    loser.run_to(Confirm)
    world.advance(10)  # past its lease
    winner = world.flow("job")
    winner.run()
    assert winner.outcome is not None
    assert winner.outcome.verdict is Verdict.CONFIRMED
    loser.run()
    assert loser.outcome is not None
    assert loser.outcome.verdict is Verdict.ALREADY_CONFIRMED
    assert world.db.assignments["b"].tables == {"small"}
    assert world.last().success
    assert world.mail == ["b:confirmation:0"]


def test_lesson_20_clean_up_and_reconciliation_have_time_of_their_own() -> None:
    world = World()
    world.book()
    flow = world.flow("inline")
    flow.run_to(Confirm)
    flow.perform()
    world.advance(100)
    flow.throw(TimeoutError())
    lefts = []
    while flow.running:
        assert flow.next is not None
        lefts.append(flow.next.left)
        flow.step()
    assert min(lefts) > 0
    assert max(lefts) <= Policy().grace.total_seconds()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.CONFIRMED


def test_lesson_21_any_path_uses_the_same_idempotency_key() -> None:
    keys = []
    for source in ("inline", "job"):
        world = World()
        world.book()
        flow = world.flow("inline" if source == "inline" else "job")
        flow.run_to(Confirm)
        assert flow.next is not None
        effect = flow.next.effect
        assert isinstance(effect, Confirm)
        keys.append(effect.confirmation.key)
    assert keys == ["b:0:small"] * 2


@pytest.mark.parametrize("status", ["cancelled", "no_show", "completed"])
def test_lesson_22_a_booking_that_was_closed_meanwhile_stays_closed(status: str) -> None:
    world = World()
    world.book()
    flow = world.flow("job")
    flow.run_to(Confirm)
    world.db.set_status("b", status)
    flow.run()
    assert flow.outcome is not None
    assert flow.outcome.verdict is Verdict.NOT_ACTIONABLE
    assert world.status() == status
    assert not world.mail
    assert not world.db.holds


def test_lesson_23_a_status_that_cannot_be_read_means_no_attempt() -> None:
    world = World()
    world.book()
    flow = world.flow("job")
    error = Breakdown("connection is lost")
    flow.throw(error)
    flow.run()
    assert flow.error is error
    assert world.planner_calls == 0


def test_lesson_23_the_status_is_read_in_the_trip_that_takes_the_lease() -> None:
    world = World()
    world.book()
    flow = world.flow("job")
    flow.run_to(RequestQuote)
    assert [type(effect) for effect in flow.performed] == [Acquire]


def test_lesson_24_the_retry_is_durable_before_the_guest_is_answered() -> None:
    world = World()
    world.fill()
    world.book()
    assert world.db.row("b").retry_at is None
    flow = world.flow("inline")
    flow.run_to(RequestQuote)
    assert world.db.row("b").retry_at is not None, "already, should the process die in the search"
    flow.run()
    row = world.db.row("b")
    assert flow.outcome is not None
    assert row.retry_at == flow.outcome.wait_until
    assert row.parked_at_version == flow.outcome.capacity_version


def test_lesson_25_a_job_stores_what_it_found_and_the_next_one_starts_from_that() -> None:
    world = World(script=[Cue(answer=NoHold(reason="deadlock detected"))])
    world.book()
    world.job()
    last = world.last()
    assert (last.source, last.attempt, last.reason_code) == (Source.JOB, 1, ReasonCode.DEADLOCK)
    following = world.explain()
    assert following.last == last
    assert following.decision.attempts_used == 1


def test_lesson_26_no_event_has_a_severity_that_the_schema_does_not_admit() -> None:
    admitted = {"info", "notice", "warning", "error", "critical"}
    assert {severity.value for severity in Severity} <= admitted
    for script in ([], [Cue(delay=99)], [Cue(answer=OVERRUN)], [Cue(answer=RuntimeError("x"))]):
        world = World(script=script)
        world.book()
        world.inline()
        world.run_job()
        for event in world.telemetry.events:
            assert event.severity.value in admitted
            assert set(event.context) == set(CATALOGUE[event.name].keys)


def test_lesson_27_a_cutoff_is_not_a_failure_and_has_a_summary() -> None:
    world = World(script=[Cue(answer=NO_TABLES)])
    world.book(start_at=NOON + minutes(9))
    world.inline()
    outcome = world.job()
    assert outcome.verdict is Verdict.GAVE_UP
    assert world.one(EventName.SUMMARY)["result"] == "cutoff"
    assert len(world.named(EventName.CUTOFF_SKIPPED)) == 1
    assert not world.named(EventName.FAILED)


@pytest.mark.parametrize(
    "situation", ["not_found", "cancelled", "confirmed", "cutoff", "permanent", "success", "parked"]
)
def test_lesson_27_however_a_job_ends_it_has_exactly_one_summary(situation: str) -> None:
    world = World(script=[Cue(answer=OVERRUN)] if situation == "permanent" else [])
    if situation != "not_found":
        world.book(start_at=NOON if situation == "cutoff" else NOON + minutes(300))
    match situation:
        case "cancelled":
            world.db.cancel("b")
        case "confirmed":
            world.db.seat_by_hand("b", ["small"])
        case "parked":
            world.fill(NOON + minutes(300))
        case _:
            pass
    world.job()
    expected = {
        "not_found": "not_actionable",
        "cancelled": "not_actionable",
        "confirmed": "already_confirmed",
        "cutoff": "cutoff",
        "permanent": "exhausted",
        "success": "succeeded",
        "parked": "parked",
    }
    assert world.one(EventName.SUMMARY)["result"] == expected[situation]


def test_lesson_27_a_job_that_goes_on_has_no_summary_yet() -> None:
    world = World(script=[Cue(answer=NoHold(reason="deadlock detected"))])
    world.book()
    assert world.job().verdict is Verdict.WAIT
    assert not world.named(EventName.SUMMARY)


def test_lesson_28_the_job_that_lost_the_race_does_not_write_to_the_staff() -> None:
    world = World(script=[Cue(before=lambda: world.db.seat_by_hand("b", ["large"]), answer=OVERRUN)])
    world.book()
    world.job()
    assert "b:staff_notice:0" not in world.db.ledger


def test_lesson_28_a_booking_given_up_by_many_jobs_is_told_to_the_staff_once() -> None:
    world = World(script=[Cue(answer=OVERRUN)])
    world.book()
    for _ in range(4):
        world.job()
    assert world.mail == ["b:staff_notice:0"]


def test_lesson_29_the_hold_goes_to_the_confirm_with_the_strategy_it_was_made_under() -> None:
    seen: list[object] = []

    def note(row: Row, hold: Hold) -> str | None:
        del row
        seen.append(hold.strategy)
        return None

    # Not the planner's own, which a hold that forgets would have as well.
    relaxed = Strategy(require_adjacency=False, max_tables=2)
    world = World(objection=note, policy=replace(POLICY, strategy=relaxed))
    world.book()
    world.inline()
    assert seen == [relaxed]
    assert world.planner.requests[0].strategy == relaxed


@pytest.mark.parametrize("full", [False, True], ids=["confirmed", "nothing_free"])
@pytest.mark.parametrize("source", ["inline", "job"])
def test_lesson_30_an_attempt_costs_two_trips_to_the_store(source: str, full: bool) -> None:
    world = World()
    if full:
        world.fill()
    world.book()
    world.inline() if source == "inline" else world.job()
    assert world.store.calls == ["acquire", "record" if full else "confirm"]


def test_lesson_30_the_events_travel_with_the_transaction_and_are_handed_over_after_it() -> None:
    world = World()
    world.book()
    flow = world.flow("inline")
    flow.run()
    order = [type(effect) for effect in flow.performed]
    assert order.index(Confirm) < order.index(Emit)
    assert order == [Acquire, RequestQuote, Confirm, Emit, Deliver]
    confirm, emitted = flow.performed[2], flow.performed[3]
    assert isinstance(confirm, Confirm)
    assert isinstance(emitted, Emit)
    assert tuple(confirm.confirmation.events) == tuple(emitted.events)


def test_lesson_30_a_failed_attempts_events_travel_with_its_record() -> None:
    world = World()
    world.fill()
    world.book()
    flow = world.flow("inline")
    flow.run()
    order = [type(effect) for effect in flow.performed]
    assert order[:4] == [Acquire, RequestQuote, CloseAttempt, Emit]
    assert ReleaseHold not in order
    close, emitted = flow.performed[2], flow.performed[3]
    assert isinstance(close, CloseAttempt)
    assert isinstance(emitted, Emit)
    assert tuple(close.entry.events) == tuple(emitted.events)
