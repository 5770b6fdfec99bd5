"""What becomes of a confirm that did not commit: what is told of it, what it leaves on record, what is tried next."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

import pytest
from tests.flows.conftest import NOON, Breakdown, World

from assign_core import EventName, Outcome, ReasonCode, Verdict
from assign_core.effects import Confirm
from assign_core.ports import Confirmation, Hold, NotConfirmed
from assign_floor import Floor, Table
from assign_memory.database import Row

Kind = Literal["blocking", "async"]


def immovable(row: Row, hold: Hold) -> str | None:
    del row, hold
    return "Tables are not movable"


def refused(kind: Kind, **answer: Any) -> tuple[World, Outcome]:
    """A job whose every confirm is answered like that."""
    world = World(kind)
    world.book()

    def refuse(confirmation: Confirmation, *, timeout: float) -> NotConfirmed:
        del confirmation, timeout
        return NotConfirmed(**{"status": "pending", **answer})

    world.store.confirm = refuse  # type: ignore[method-assign]  # a store with a mind of its own
    return world, world.job()


def test_a_refused_confirm_of_a_job_is_told_with_its_stage_and_its_code(kind: Kind) -> None:
    world = World(kind, objection=immovable)
    world.book()
    world.job()
    told = world.named(EventName.ATTEMPT_ERROR)
    code = world.last().reason_code
    assert code is ReasonCode.TABLES_NOT_MOVABLE
    assert told
    assert [(each.context["stage"], each.context["reasonCode"]) for each in told] == [("confirm", code)] * len(told)


def test_a_refusal_is_kept_with_when_to_come_back_and_is_told_once(kind: Kind) -> None:
    again, words = NOON + timedelta(minutes=2), "the rival's hold blocks it"
    world, outcome = refused(kind, reason=words, reason_code=ReasonCode.HOLD_CONFLICT, retry_after=again)
    last = world.last()
    assert (last.reason, last.reason_code, last.retry_after) == (words, ReasonCode.HOLD_CONFLICT, again)
    assert outcome.wait_until is not None
    assert outcome.wait_until >= again
    told = [event.name for event in world.telemetry.events]
    assert told == [EventName.STARTED, EventName.ATTEMPT, EventName.QUOTE, EventName.ATTEMPT_ERROR]
    assert world.one(EventName.ATTEMPT_ERROR)["reason"] == words


@pytest.mark.parametrize(
    ("words", "code", "known_as", "searches"),
    [
        ("sorry", ReasonCode.ZONE_LOCKED, ReasonCode.ZONE_LOCKED, 2),
        ("Tables are not movable", ReasonCode.LOCK_TIMEOUT, ReasonCode.LOCK_TIMEOUT, 1),
        ("Tables are not movable", None, ReasonCode.TABLES_NOT_MOVABLE, 2),
    ],
)
def test_a_refusals_code_goes_before_its_words_and_says_whether_another_plan_may_pass(
    kind: Kind, words: str, code: ReasonCode | None, known_as: ReasonCode, searches: int
) -> None:
    world, _ = refused(kind, reason=words, reason_code=code)
    assert world.last().reason_code is known_as
    assert world.planner_calls == searches


def test_no_other_plan_is_tried_for_a_booking_that_is_not_open_any_more(kind: Kind) -> None:
    world, _ = refused(kind, reason="Tables are not movable", status="cancelled")
    assert world.planner_calls == 1


def test_an_attempt_tries_two_plans_and_not_a_third(kind: Kind) -> None:
    """Each costs the guest a search; the next attempt may try again."""
    tried: list[Hold] = []

    def not_yet(row: Row, hold: Hold) -> str | None:
        tried.append(hold)
        return immovable(row, hold) if len(tried) < 3 else None

    tables = [Table(id=name, seats=2) for name in ("one", "two", "three")]
    world = World(kind, floor=Floor(tables=tables), objection=not_yet)
    world.book()
    assert world.inline().verdict is Verdict.WAIT
    assert len(tried) == 2


def test_a_confirm_that_fails_is_kept_in_the_words_of_its_failure(kind: Kind) -> None:
    world = World(kind)
    world.book()

    def broken(*_: object, **__: object) -> Any:
        raise Breakdown("no database")

    world.store.confirm = broken  # type: ignore[method-assign]  # a port that misbehaves
    world.inline()
    assert world.last().reason == "Breakdown: no database"


def test_who_finds_that_another_attempt_has_confirmed_the_same_tables_exits_and_tells_no_error() -> None:
    """Its process was suspended: the lease has ended by the wall clock, and its own time has not."""
    world = World()
    world.book()
    suspended = world.flow("job")
    suspended.run_to(Confirm)
    world.db.row("b").lease = None
    other = world.job()
    assert other.verdict is Verdict.CONFIRMED
    before = len(world.telemetry.events)
    suspended.run()
    outcome = suspended.outcome
    assert outcome is not None
    assert (outcome.verdict, outcome.attempted, outcome.result) == (Verdict.ALREADY_CONFIRMED, True, other.result)
    assert world.last().attempt_id == other.attempt_id
    # The store is told what has become of this one all the same.
    own = world.store.written[-1]
    assert own.attempt_id == outcome.attempt_id
    assert (own.success, own.reason_code) == (False, ReasonCode.BOOKING_CHANGED)
    assert own.reason == "BOOKING_CHANGED: confirmed by another attempt"
    told = [event.name for event in world.telemetry.events[before:]]
    assert told == [
        EventName.STARTED,
        EventName.ATTEMPT,
        EventName.QUOTE,
        EventName.EXITED_ALREADY_CONFIRMED,
        EventName.SUMMARY,
    ]
    assert world.guest_mail() == ["b:confirmation:0"]
