"""The events that typical stories leave, in order, with their exact keys."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from tests.flows.conftest import NO_TABLES, NOON, OVERRUN, Cancelled, World, minutes

from assign_core import CATALOGUE, EventName, Policy, Severity
from assign_core.ports import Hold, NoHold
from assign_memory import Cue
from assign_memory.database import Row

Kind = Literal["blocking", "async"]


def not_small(row: Row, hold: Hold) -> str | None:
    del row
    return "Merged assignments require movable tables" if "small" in hold.plan.tables else None


def check_events(world: World) -> None:
    ids = {request.attempt_id for request in world.planner.requests}
    for event in world.telemetry.events:
        spec = CATALOGUE[event.name]
        assert set(event.context) == set(spec.keys), event.name
        assert event.booking_id == "b"
        assert event.at.tzinfo is not None
        assert event.at <= world.now
        if event.name is EventName.QUOTE:
            assert event.attempt_id in ids


def test_an_inline_success(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.inline()
    assert world.names == [
        "auto_assign.quote",
        "inline_auto_assign.quote_result",
        "inline_auto_assign.confirm_succeeded",
        "inline_auto_assign.succeeded",
    ]
    assert world.one(EventName.QUOTE) == {
        "planner_duration_ms": 0,
        "planner_success": True,
        "planner_reason": None,
        "planner_reason_code": None,
        "planner_reason_category": None,
        "planner_strategy": {"requireAdjacency": None, "maxTables": None},
        "trigger": "creation",
        "attempt_index": 0,
        "planner_error": None,
        "planner_internal": None,
    }
    assert world.one(EventName.INLINE_SUCCEEDED) == {"durationMs": 0, "email": "queued", "trigger": "creation"}
    check_events(world)


def test_an_inline_attempt_that_finds_nothing_and_the_job_that_skips_its_search(kind: Kind) -> None:
    world = World(kind)
    world.fill()
    world.book()
    inline = world.inline()
    assert world.names == [
        "auto_assign.quote",
        "inline_auto_assign.quote_result",
        "inline_auto_assign.no_hold",
    ]
    quote = world.one(EventName.QUOTE)
    assert (quote["planner_reason_category"], quote["planner_internal"]) == ("hard", "capacity")
    world.advance(10)
    world.job()
    assert world.names[3:] == [
        "auto_assign.started",
        "auto_assign.inline_skip_attempt",
        "auto_assign.summary",
    ]
    skip = world.one(EventName.INLINE_SKIP_ATTEMPT)
    assert skip["inline_attempt_id"] == inline.attempt_id
    assert skip["previousMaxAttempts"] == skip["nextMaxAttempts"] == Policy().max_attempts
    assert skip["reasonCode"] == "no_tables_available"
    # No search then, only a look at the row: nothing has to become free for its status to change.
    assert skip["notBefore"] == (world.now + Policy().revalidation_limit).isoformat()
    summary = world.one(EventName.SUMMARY)
    assert summary == {
        "attemptsUsed": 0,
        "maxAttempts": 4,
        "result": "parked",
        "totalDurationMs": 0,
        "trigger": "queue",
        "skippedInitialAttempt": True,
        "inlineSkipReason": "No tables available for requested window",
        "hardStopReason": None,
        "inline_attempt_id": inline.attempt_id,
        "inline_reason": "No tables available for requested window",
        "inline_trigger": "creation",
    }
    check_events(world)


def test_an_inline_timeout_and_the_job_that_follows(kind: Kind) -> None:
    world = World(kind, script=[Cue(delay=10)])
    world.book()
    inline = world.inline()
    assert world.names == ["inline_auto_assign.timeout"]
    assert world.one(EventName.INLINE_TIMEOUT) == {"deadlineMs": 1800.0, "handedOver": False, "trigger": "creation"}
    world.job()
    assert world.names[1:] == [
        "auto_assign.started",
        "auto_assign.inline_timeout_adjustment",
        "auto_assign.attempt",
        "auto_assign.quote",
        "auto_assign.succeeded",
        "auto_assign.summary",
    ]
    adjustment = world.one(EventName.INLINE_TIMEOUT_ADJUSTMENT)
    assert adjustment["inline_attempt_id"] == inline.attempt_id
    assert (adjustment["previousMaxAttempts"], adjustment["nextMaxAttempts"]) == (4, 3)
    assert world.one(EventName.SUMMARY)["attemptsUsed"] == 1
    check_events(world)


def test_a_permanent_failure_is_a_hard_stop(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=OVERRUN)])
    world.book()
    world.job()
    assert world.names == [
        "auto_assign.started",
        "auto_assign.attempt",
        "auto_assign.quote",
        "auto_assign.attempt_error",
        "auto_assign.hard_stop",
        "auto_assign.summary",
    ]
    assert world.one(EventName.HARD_STOP)["reasonCode"] == "service_overrun"
    summary = world.one(EventName.SUMMARY)
    assert summary["hardStopReason"] == OVERRUN.reason
    assert summary["attemptsUsed"] == 1
    check_events(world)


def test_a_refused_plan(kind: Kind) -> None:
    world = World(kind, objection=not_small)
    world.book()
    world.inline()
    assert world.names == [
        "auto_assign.quote",
        "inline_auto_assign.quote_result",
        "inline_auto_assign.confirm_failed",
        "auto_assign.quote",
        "inline_auto_assign.quote_result",
        "inline_auto_assign.confirm_succeeded",
        "inline_auto_assign.succeeded",
    ]
    refused = world.one(EventName.INLINE_CONFIRM_FAILED)
    assert (refused["tables"], refused["reasonCode"]) == ("small", "tables_not_movable")
    check_events(world)


def test_an_overlap_at_the_confirm(kind: Kind) -> None:
    world = World(kind)
    world.book()

    def faster(row: Row, hold: Hold) -> str | None:
        del row, hold
        return 'conflicting key value violates exclusion constraint "no_overlapping_table_assignments"'

    world.store._objection = faster
    world.inline()
    assert world.names == [
        "auto_assign.quote",
        "inline_auto_assign.quote_result",
        "inline_auto_assign.confirm_overlap",
    ]
    check_events(world)


def test_a_planner_that_fails(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=RuntimeError("fetch failed"))])
    world.book()
    world.inline()
    assert world.names == ["auto_assign.quote", "inline_auto_assign.quote_error"]
    (quote,) = world.named(EventName.QUOTE)
    assert quote.severity is Severity.WARNING
    assert quote.context["planner_error"] == "RuntimeError: fetch failed"
    assert quote.context["planner_reason_category"] == "transient"
    check_events(world)


def test_a_cancelled_request() -> None:
    world = World(script=[Cue(answer=Cancelled("client gone"))])
    world.book()
    with pytest.raises(Cancelled, match="client gone"):
        world.inline()
    assert world.names == ["inline_auto_assign.operation_aborted"]
    assert "client gone" in str(world.one(EventName.INLINE_OPERATION_ABORTED)["error"])
    check_events(world)


def test_a_job_that_uses_its_budget_up(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NoHold(reason="HoldNotFoundError"))] * 9)
    world.book()
    world.run_job()
    looks = Policy().ambiguous_budget
    per_look = ["auto_assign.started", "auto_assign.attempt", "auto_assign.quote", "auto_assign.attempt_error"]
    assert world.names == [*per_look * looks, "auto_assign.failed", "auto_assign.summary"]
    failed = world.one(EventName.FAILED)
    assert (failed["attemptsUsed"], failed["maxAttempts"]) == (looks, looks)
    summary = world.one(EventName.SUMMARY)
    assert summary["result"] == "error"
    assert summary["totalDurationMs"] == round((world.now - NOON).total_seconds() * 1000)
    check_events(world)


def test_a_cutoff(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NO_TABLES)])
    world.book(start_at=NOON + minutes(9))
    world.inline()
    before = len(world.names)
    world.job()
    assert world.names[before:] == ["auto_assign.started", "auto_assign.cutoff_skipped", "auto_assign.summary"]
    assert world.one(EventName.CUTOFF_SKIPPED)["cutoff_seconds"] == 600.0
    check_events(world)


def test_a_damaged_blob_is_a_warning_with_the_problem(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.db.row("b").blob = {"v": 1, "source": "martian"}
    world.job()
    (unreadable,) = world.named(EventName.UNREADABLE_RESULT)
    assert unreadable.severity is Severity.WARNING
    assert unreadable.context["problem"]
    assert world.status() == "confirmed"
    check_events(world)


def test_a_second_job_exits_early_with_a_summary(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.inline()
    before = len(world.names)
    world.job()
    assert world.names[before:] == [
        "auto_assign.started",
        "auto_assign.exited_already_confirmed",
        "auto_assign.summary",
    ]
    check_events(world)


def test_a_late_confirm_by_a_job_is_told_as_its_success_once(kind: Kind) -> None:
    del kind
    world = World()
    world.book()
    flow = world.flow("job")
    while flow.running and flow.next is not None and type(flow.next.effect).__name__ != "Confirm":
        flow.step()
    flow.perform()
    flow.throw(ConnectionError("reset"))
    flow.run()
    assert len(world.named(EventName.SUCCEEDED)) == 1
    assert world.one(EventName.SUMMARY)["result"] == "succeeded"
    check_events(world)


AUDITING = replace(Policy(), revalidation_share=1.0)


def test_a_search_that_finds_tables_although_nothing_was_said_to_be_free_is_an_error_of_the_versions(
    kind: Kind,
) -> None:
    # The first answer is wrong, as a version is that misses a change: the tables are there.
    world = World(kind, policy=AUDITING, script=[Cue(answer=NO_TABLES)])
    world.book()
    world.inline()
    world.advance(Policy().revalidation_limit.total_seconds())
    world.job()
    assert world.status() == "confirmed"
    missed = world.one(EventName.CAPACITY_CHANGE_MISSED)
    assert missed == {"attempt": 1, "tables": "small", "capacity_version": 0, "trigger": "queue"}
    (event,) = world.named(EventName.CAPACITY_CHANGE_MISSED)
    assert event.severity is Severity.ERROR
    check_events(world)


def test_an_audit_that_finds_what_became_free_while_it_searched_blames_nobody(kind: Kind) -> None:
    world = World(kind, policy=AUDITING, script=[Cue(), Cue(before=lambda: world.free())])
    world.fill()
    world.book()
    world.inline()
    world.advance(Policy().revalidation_limit.total_seconds())
    world.job()
    assert world.status() == "confirmed"
    assert not world.named(EventName.CAPACITY_CHANGE_MISSED)
