"""Stories, and all that telemetry is told of each: when, of which attempt, and every value that is known.

A dashboard adds these numbers up, and whoever is called at night reads these words. What has no value is left out here;
that it has its key all the same is a law of every event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final, Literal

import pytest
from tests.flows.conftest import EVENING, NO_TABLES, NOON, OVERRUN, AsyncVirtualRuntime, Cancelled, World

from assign_core import CATALOGUE, EventName, Policy, Severity
from assign_core.last_result import Source, Strategy
from assign_core.ports import Lease, NoHold
from assign_memory import Cue

Kind = Literal["blocking", "async"]
Told = tuple[float, int, EventName, dict[str, object]]
"""Seconds since noon, which of the attempts, what, and its context."""
Story = Callable[[Kind], tuple[World, list[Told]]]

E = EventName
KNOBS: Final = Strategy(require_adjacency=False, max_tables=2)
KNOBS_TOLD: Final = {"requireAdjacency": False, "maxTables": 2}
NOTHING: Final = {"reason": NO_TABLES.reason, "reasonCode": "no_tables_available"}
TOO_LATE: Final = {"reason": OVERRUN.reason, "reasonCode": "service_overrun"}


def told(world: World) -> list[Told]:
    """Everything, with attempts for their ids: the first to ask for the lease is 1."""
    numbers: dict[object, int] = {attempt_id: number for number, attempt_id in enumerate(world.store.sources, 1)}

    def known(context: Mapping[str, object]) -> dict[str, object]:
        return {key: plain(value) for key, value in context.items() if value is not None}

    def plain(value: object) -> object:
        return known(value) if isinstance(value, Mapping) else numbers.get(value, value)

    return [
        ((event.at - NOON).total_seconds(), numbers[event.attempt_id], event.name, known(event.context))
        for event in world.telemetry.events
    ]


def quote(ms: int, attempt: int, **more: object) -> dict[str, object]:
    """Of a search that found tables, unless more is said."""
    return {
        "planner_duration_ms": ms,
        "planner_success": True,
        "planner_strategy": {},
        "trigger": "queue",
        "attempt_index": attempt,
        **more,
    }


def no_quote(reason: str, code: str, category: str, internal: str) -> dict[str, object]:
    """What is different about one that found none."""
    return {
        "planner_success": False,
        "planner_reason": reason,
        "planner_reason_code": code,
        "planner_reason_category": category,
        "planner_internal": internal,
    }


FULL: Final = no_quote(NO_TABLES.reason, "no_tables_available", "hard", "capacity")
OVER: Final = no_quote(OVERRUN.reason, "service_overrun", "hard", "permanent")
FETCH: Final = "RuntimeError: fetch failed"
BROKEN: Final = no_quote(FETCH, "network_failure", "transient", "infrastructure")


def summary(attempts: int, most: int, result: str, ms: int, **more: object) -> dict[str, object]:
    return {
        "attemptsUsed": attempts,
        "maxAttempts": most,
        "result": result,
        "totalDurationMs": ms,
        "trigger": "queue",
        "skippedInitialAttempt": False,
        **more,
    }


def looks(rules: str) -> dict[str, object]:
    return {"trigger": "queue", "rules": rules}


def begins(attempt: int, most: int, rules: str) -> dict[str, object]:
    return {"attempt": attempt, "maxAttempts": most, "trigger": "queue", "rules": rules}


def error(attempt: int, stage: str, reason: str, **more: object) -> dict[str, object]:
    return {"attempt": attempt, "stage": stage, "reason": reason, "trigger": "queue", **more}


# What an inline attempt finds, and what the job after it makes of that.


def a_table_is_found(kind: Kind) -> tuple[World, list[Told]]:
    world = World(kind, policy=replace(Policy(), strategy=KNOBS), script=[Cue(delay=0.5)])
    world.book()
    world.inline()
    result = {"success": True, "durationMs": 500, "alternates": 1, "tables": "small", "trigger": "creation"}
    return world, [
        (0.5, 1, E.QUOTE, quote(500, 0, trigger="creation", planner_strategy=KNOBS_TOLD)),
        (0.5, 1, E.INLINE_QUOTE_RESULT, result),
        (0.5, 1, E.INLINE_CONFIRM_SUCCEEDED, {"tables": "small", "email": "queued", "trigger": "creation"}),
        (0.5, 1, E.INLINE_SUCCEEDED, {"durationMs": 500, "email": "queued", "trigger": "creation"}),
    ]


def nothing_is_found_and_the_job_need_not_look_again(kind: Kind) -> tuple[World, list[Told]]:
    world = World(kind, script=[Cue(delay=0.25, answer=replace(NO_TABLES, alternates=2, capacity_version=0))])
    world.book()
    world.inline()
    world.advance(10)
    world.job()
    result = {"success": False, "durationMs": 250, "alternates": 2, "trigger": "creation", **NOTHING}
    skips = {
        "inline_attempt_id": 1,
        "previousMaxAttempts": 4,
        "nextMaxAttempts": 4,
        "notBefore": (world.now + Policy().revalidation_limit).isoformat(),
        "trigger": "queue",
        **NOTHING,
    }
    inline = {"inline_attempt_id": 1, "inline_reason": NO_TABLES.reason, "inline_trigger": "creation"}
    ended = summary(0, 4, "parked", 0, **inline) | {"skippedInitialAttempt": True, "inlineSkipReason": NO_TABLES.reason}
    return world, [
        (0.25, 1, E.QUOTE, quote(250, 0, trigger="creation", **FULL)),
        (0.25, 1, E.INLINE_QUOTE_RESULT, result),
        (0.25, 1, E.INLINE_NO_HOLD, {"trigger": "creation", **NOTHING}),
        (10.25, 2, E.STARTED, looks("capacity_unchanged")),
        (10.25, 2, E.INLINE_SKIP_ATTEMPT, skips),
        (10.25, 2, E.SUMMARY, ended),
    ]


def time_is_up_and_the_job_finds_two_tables(kind: Kind) -> tuple[World, list[Told]]:
    world = World(kind, policy=replace(Policy(), strategy=KNOBS), script=[Cue(delay=10), Cue(delay=2)])
    world.book(party=5)
    world.inline()
    world.advance(10)
    world.job()
    adjusted = {"inline_attempt_id": 1, "previousMaxAttempts": 4, "nextMaxAttempts": 3, "strategy": KNOBS_TOLD}
    inline = {"inline_attempt_id": 1, "inline_reason": "INLINE_TIMEOUT", "inline_trigger": "creation"}
    seated = {"attempt": 1, "tables": "large,small", "email": "queued", "trigger": "queue"}
    return world, [
        (1.8, 1, E.INLINE_TIMEOUT, {"deadlineMs": 1800.0, "handedOver": False, "trigger": "creation"}),
        (11.8, 2, E.STARTED, looks("outcome_unknown")),
        (11.8, 2, E.INLINE_TIMEOUT_ADJUSTMENT, {"trigger": "queue", **adjusted}),
        (11.8, 2, E.ATTEMPT, begins(1, 3, "outcome_unknown")),
        (13.8, 2, E.QUOTE, quote(2000, 1, planner_strategy=KNOBS_TOLD)),
        (13.8, 2, E.SUCCEEDED, seated),
        (13.8, 2, E.SUMMARY, summary(1, 3, "succeeded", 2000, **inline)),
    ]


def the_host_cancels_which_is_no_timeout_to_the_job(kind: Kind) -> tuple[World, list[Told]]:
    script = [Cue(before=lambda: world.advance(1), answer=Cancelled("gone")), Cue(answer=Cancelled("stop"))]
    world = World(kind, script=script)
    world.book()
    with pytest.raises(Cancelled):
        world.inline()
    world.advance(30)
    with pytest.raises(Cancelled):
        world.job()
    return world, [
        (1, 1, E.INLINE_OPERATION_ABORTED, {"error": "Cancelled: gone", "trigger": "creation"}),
        (31, 2, E.STARTED, looks("outcome_unknown")),
        (31, 2, E.ATTEMPT, begins(1, 3, "outcome_unknown")),
        (31, 2, E.ATTEMPT_ERROR, error(1, "quote", "AbortError: Cancelled: stop", reasonCode="aborted")),
    ]


def the_planner_fails(kind: Kind) -> tuple[World, list[Told]]:
    failure = RuntimeError("fetch failed")
    world = World(kind, script=[Cue(delay=0.5, answer=failure), Cue(delay=2, answer=failure)])
    world.book()
    world.inline()
    world.advance(30)
    world.job()
    failed = {"error": FETCH, "reasonCode": "network_failure", "durationMs": 500, "trigger": "creation"}
    return world, [
        (0.5, 1, E.QUOTE, quote(500, 0, trigger="creation", planner_error=FETCH, **BROKEN)),
        (0.5, 1, E.INLINE_QUOTE_ERROR, failed),
        (30.5, 2, E.STARTED, looks("infrastructure")),
        (30.5, 2, E.ATTEMPT, begins(1, 4, "infrastructure")),
        (32.5, 2, E.QUOTE, quote(2000, 1, planner_error=FETCH, **BROKEN)),
        (32.5, 2, E.ATTEMPT_ERROR, error(1, "quote", FETCH, reasonCode="network_failure")),
    ]


def handed_over(search: Cue) -> World:
    """An inline attempt that went on in the background, to its end."""
    world = World("async", on_deadline="hand_over", script=[search] * 2)
    world.book()
    world.inline()
    assert isinstance(world.runtime, AsyncVirtualRuntime)
    (rest,) = world.runtime.afterwards
    going_on: Any = rest()
    asyncio.run(going_on)
    return world


def a_search_is_handed_over(_: Kind) -> tuple[World, list[Told]]:
    world = handed_over(Cue(delay=10))
    result = {"success": True, "durationMs": 11800, "alternates": 1, "tables": "small", "trigger": "creation"}
    return world, [
        (1.8, 1, E.INLINE_TIMEOUT, {"deadlineMs": 1800.0, "handedOver": True, "trigger": "creation"}),
        (11.8, 1, E.QUOTE, quote(11800, 0, trigger="creation")),
        (11.8, 1, E.INLINE_QUOTE_RESULT, result),
        (11.8, 1, E.INLINE_CONFIRM_SUCCEEDED, {"tables": "small", "email": "queued", "trigger": "creation"}),
        (11.8, 1, E.INLINE_SUCCEEDED, {"durationMs": 11800, "email": "queued", "trigger": "creation"}),
    ]


def a_search_that_was_handed_over_outlives_the_jobs_deadline_too(_: Kind) -> tuple[World, list[Told]]:
    """The request's deadline and the job's, each told once as what it is."""
    world = handed_over(Cue(delay=1000))
    assert world.last().reason == "JOB_TIMEOUT"
    return world, [
        (1.8, 1, E.INLINE_TIMEOUT, {"deadlineMs": 1800.0, "handedOver": True, "trigger": "creation"}),
        (151.8, 1, E.INLINE_TIMEOUT, {"deadlineMs": 150_000.0, "handedOver": False, "trigger": "creation"}),
    ]


# How a job ends.


def a_job_stops_for_good(kind: Kind) -> tuple[World, list[Told]]:
    world = World(kind, script=[Cue(delay=3, answer=OVERRUN)])
    world.book()
    world.job()
    return world, [
        (0, 1, E.STARTED, looks("no_usable_evidence")),
        (0, 1, E.ATTEMPT, begins(1, 4, "no_usable_evidence")),
        (3, 1, E.QUOTE, quote(3000, 1, **OVER)),
        (3, 1, E.ATTEMPT_ERROR, error(1, "quote", OVERRUN.reason, reasonCode="service_overrun")),
        (3, 1, E.HARD_STOP, {"trigger": "queue", **TOO_LATE}),
        (3, 1, E.SUMMARY, summary(1, 4, "exhausted", 3000, hardStopReason=OVERRUN.reason)),
    ]


def a_job_has_used_its_budget_up(kind: Kind) -> tuple[World, list[Told]]:
    held = NoHold(reason="Hold conflicts prevented all candidates")
    world = World(kind, policy=Policy(retries=0), script=[Cue(delay=1, answer=held)])
    world.book()
    world.job()
    why = {"reason": held.reason, "reasonCode": "hold_conflict", "trigger": "queue"}
    return world, [
        (0, 1, E.STARTED, looks("no_usable_evidence")),
        (0, 1, E.ATTEMPT, begins(1, 1, "no_usable_evidence")),
        (1, 1, E.QUOTE, quote(1000, 1, **no_quote(held.reason, "hold_conflict", "transient", "contention"))),
        (1, 1, E.ATTEMPT_ERROR, {"attempt": 1, "stage": "quote", **why}),
        (1, 1, E.FAILED, {"attemptsUsed": 1, "maxAttempts": 1, **why}),
        (1, 1, E.SUMMARY, summary(1, 1, "exhausted", 1000)),
    ]


def a_job_comes_too_near_to_the_start(kind: Kind) -> tuple[World, list[Told]]:
    """What was attempted before counts, although this look attempted nothing."""
    refusal = NoHold(reason="fetch failed")
    world = World(kind, script=[Cue(answer=refusal)])
    world.book(start_at=EVENING)
    world.job()
    world.advance_to(EVENING)
    world.job()
    at = (EVENING - NOON).total_seconds()
    nothing = no_quote("fetch failed", "network_failure", "transient", "infrastructure")
    return world, [
        (0, 1, E.STARTED, looks("no_usable_evidence")),
        (0, 1, E.ATTEMPT, begins(1, 4, "no_usable_evidence")),
        (0, 1, E.QUOTE, quote(0, 1, **nothing)),
        (0, 1, E.ATTEMPT_ERROR, error(1, "quote", "fetch failed", reasonCode="network_failure")),
        (at, 2, E.STARTED, looks("start_passed")),
        (at, 2, E.CUTOFF_SKIPPED, {"start_at": EVENING.isoformat(), "cutoff_seconds": 600.0, "trigger": "queue"}),
        (at, 2, E.SUMMARY, summary(1, 4, "cutoff", 0)),
    ]


def a_job_times_out_and_the_next_waits(kind: Kind) -> tuple[World, list[Told]]:
    """It is no inline attempt, so nothing is adjusted to it; and no summary, for the job has not ended."""
    world = World(kind, script=[Cue(delay=500)])
    world.book()
    world.job()
    world.advance(30)
    world.job()
    return world, [
        (0, 1, E.STARTED, looks("no_usable_evidence")),
        (0, 1, E.ATTEMPT, begins(1, 4, "no_usable_evidence")),
        (150, 1, E.ATTEMPT_ERROR, error(1, "quote", "JOB_TIMEOUT", reasonCode="timeout")),
        (180, 2, E.STARTED, looks("outcome_unknown")),
    ]


def a_whole_job_counts_from_its_first_look(kind: Kind) -> tuple[World, list[Told]]:
    refusal = NoHold(reason="fetch failed", reason_code=None)
    world = World(kind, policy=replace(Policy(), jitter=0.0), script=[Cue(delay=2, answer=refusal), Cue(delay=1)])
    world.book()
    world.advance(7)
    world.run_job()
    nothing = no_quote("fetch failed", "network_failure", "transient", "infrastructure")
    return world, [
        (7, 1, E.STARTED, looks("no_usable_evidence")),
        (7, 1, E.ATTEMPT, begins(1, 4, "no_usable_evidence")),
        (9, 1, E.QUOTE, quote(2000, 1, **nothing)),
        (9, 1, E.ATTEMPT_ERROR, error(1, "quote", "fetch failed", reasonCode="network_failure")),
        (12, 2, E.STARTED, looks("infrastructure")),
        (12, 2, E.ATTEMPT, begins(2, 4, "infrastructure")),
        (13, 2, E.QUOTE, quote(1000, 2)),
        (13, 2, E.SUCCEEDED, {"attempt": 2, "tables": "small", "email": "queued", "trigger": "queue"}),
        (13, 2, E.SUMMARY, summary(2, 4, "succeeded", 6000)),
    ]


def nobody_needs_a_job(kind: Kind) -> tuple[World, list[Told]]:
    """Seated by hand, cancelled, each looked at once more beside an attempt that has the lease; and one unknown."""
    world = World(kind)
    world.book()
    world.db.seat_by_hand("b", ["large"])
    world.job()
    world.job()
    other = Lease(attempt_id="other", source=Source.JOB, taken_at=NOON, expires_at=NOON + timedelta(seconds=5))
    world.store.acquire("b", other, timeout=1)
    world.job()
    world.db.cancel("b")
    world.job()
    world.advance(5)
    world.job()
    world.job("nobody")
    seated = summary(0, 4, "already_confirmed", 0)
    closed = summary(0, 4, "not_actionable", 0)
    return world, [
        (0, 1, E.STARTED, looks("already_confirmed")),
        (0, 1, E.EXITED_ALREADY_CONFIRMED, {"status": "confirmed", "suppressEmail": False, "trigger": "queue"}),
        (0, 1, E.SUMMARY, seated),
        (0, 2, E.STARTED, looks("already_confirmed,email_on_record")),
        (0, 2, E.EXITED_ALREADY_CONFIRMED, {"status": "confirmed", "suppressEmail": True, "trigger": "queue"}),
        (0, 2, E.SUMMARY, seated),
        (0, 4, E.EXITED_ALREADY_CONFIRMED, {"status": "confirmed", "suppressEmail": True, "trigger": "queue"}),
        (0, 4, E.SUMMARY, seated),
        (0, 5, E.SUMMARY, closed),
        (5, 6, E.STARTED, looks("status_closed")),
        (5, 6, E.SUMMARY, closed),
        (5, 7, E.SUMMARY, summary(0, 0, "not_actionable", 0)),
    ]


STORIES: Final[list[Story]] = [
    a_table_is_found,
    nothing_is_found_and_the_job_need_not_look_again,
    time_is_up_and_the_job_finds_two_tables,
    the_host_cancels_which_is_no_timeout_to_the_job,
    the_planner_fails,
    a_search_is_handed_over,
    a_search_that_was_handed_over_outlives_the_jobs_deadline_too,
    a_job_stops_for_good,
    a_job_has_used_its_budget_up,
    a_job_comes_too_near_to_the_start,
    a_job_times_out_and_the_next_waits,
    a_whole_job_counts_from_its_first_look,
    nobody_needs_a_job,
]


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
def test_a_story_is_told_whole(kind: Kind, story: Story) -> None:
    world, expected = story(kind)
    assert told(world) == expected
    for event in world.telemetry.events:
        # A planner that fails is worth a warning; whatever else is told is as loud as the catalogue says.
        failed = event.context.get("planner_error") is not None
        assert event.severity is (Severity.WARNING if failed else CATALOGUE[event.name].severity), event
