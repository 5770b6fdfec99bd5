"""What both engines do alike: refuse what nobody can mean, give each port its time, and tell what was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any, Final, Literal

import pytest
from tests.flows.conftest import AsyncVirtualRuntime, Breakdown, World

from assign_core import AsyncAutoAssign, AutoAssign, Event, EventName, InvalidValue, Policy, Severity, Verdict
from assign_core.drive import walk
from assign_core.ports import Acquired, Email, NoHold
from assign_memory import Cue

Kind = Literal["blocking", "async"]
TWO: Final = Policy(inline_deadline=timedelta(seconds=2), grace=timedelta(seconds=1))
"""Seconds for an inline attempt, and one for what comes after."""


# What nobody can mean.


@pytest.mark.parametrize(
    ("booking_id", "trigger", "words"),
    [
        ("", "queue", "booking_id is empty; pass the id of a booking in the store"),
        (7, "queue", "booking_id is 7, of type int; pass a string, such as str(booking_id)"),
        ("b", "", "trigger '' has 0 characters; pass 1 to 64"),
        ("b", "x" * 65, f"trigger {'x' * 65!r} has 65 characters; pass 1 to 64"),
    ],
)
def test_an_argument_that_nobody_can_mean_is_refused_with_its_value_and_the_remedy(
    kind: Kind, booking_id: Any, trigger: str, words: str
) -> None:
    world = World(kind)
    for call in (world.inline, world.job, world.run_job):
        with pytest.raises(InvalidValue) as refused:
            call(booking_id, trigger=trigger)
        assert str(refused.value) == words


@pytest.mark.parametrize("trigger", ["x", "x" * 64])
def test_a_trigger_may_be_one_character_and_up_to_sixty_four(kind: Kind, trigger: str) -> None:
    world = World(kind)
    world.book()
    world.inline(trigger=trigger)
    assert world.last().trigger == trigger


# The seconds that a port has.


def watched(world: World) -> dict[str, list[float]]:
    """The seconds that planner and mailer are given for what ends an attempt."""
    given: dict[str, list[float]] = {"release": [], "deliver": []}
    release, send = world.floor_planner.release, world.post.send

    def releases(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        given["release"].append(timeout)
        release(booking_id, attempt_id, timeout=timeout)

    def sends(email: Email, *, idempotency_key: str, timeout: float) -> None:
        given["deliver"].append(timeout)
        send(email, idempotency_key=idempotency_key, timeout=timeout)

    world.floor_planner.release = releases  # type: ignore[method-assign]  # the same, watched
    world.post.send = sends  # type: ignore[method-assign]  # the same, watched
    return given


def test_every_port_is_given_what_is_left_until_the_deadline(kind: Kind) -> None:
    world = World(kind, policy=TWO, script=[Cue(delay=0.5)], planner_keeps_time=True)
    given = watched(world)
    world.book()
    assert world.inline().verdict is Verdict.CONFIRMED
    assert list(zip(world.store.calls, world.store.timeouts, strict=True)) == [("acquire", 2.0), ("confirm", 1.5)]
    assert given == {"release": [], "deliver": [1.5]}


@pytest.mark.parametrize("keeps_time", [False, True], ids=["keeps no time", "keeps time"])
def test_what_cleans_up_after_the_deadline_is_given_the_grace(kind: Kind, keeps_time: bool) -> None:
    world = World(kind, policy=TWO, script=[Cue(delay=42)], planner_keeps_time=keeps_time)
    given = watched(world)
    world.book()
    assert world.inline().verdict is Verdict.WAIT
    assert list(zip(world.store.calls, world.store.timeouts, strict=True)) == [("acquire", 2.0), ("record", 1.0)]
    assert given == {"release": [1.0], "deliver": []}


def test_what_no_attempt_bounds_is_given_the_grace(kind: Kind) -> None:
    world = World(kind)
    world.book()
    asked: list[tuple[object, ...]] = []

    def due(now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        asked.append((now, limit, timeout))
        return ["b"]

    read = world.store.read

    def reads(booking_id: str, *, timeout: float) -> Acquired | None:
        asked.append((booking_id, timeout))
        return read(booking_id, timeout=timeout)

    world.store.due, world.store.read = due, reads  # type: ignore[method-assign]  # the same, watched
    world.run_due(limit=3)
    world.explain()
    assert asked == [(world.now, 3, 1.0), ("b", 1.0)]


# What nobody waits for.


class Stuck:
    """A call that takes longer than anybody waits."""

    def __init__(self, world: World, afterwards: list[Callable[[], Any]]) -> None:
        self._world = world
        self._afterwards = afterwards

    def wait(self, timeout: float) -> bool:
        self._world.advance(timeout)
        return False

    def result(self) -> Any:
        raise AssertionError("it has not ended")

    def abandon(self, then: Callable[[], Any]) -> None:
        self._afterwards.append(then)


def stuck(kind: Kind) -> tuple[World, list[Callable[[], Any]]]:
    """A world whose planner is at it still when the attempt has ended, and what is to be done once it is not."""
    world = World(kind, script=[Cue(delay=42)])
    world.book()
    if isinstance(world.runtime, AsyncVirtualRuntime):
        return world, world.runtime.afterwards
    afterwards: list[Callable[[], Any]] = []

    def start(call: object) -> Any:
        del call
        return Stuck(world, afterwards)

    world.runtime.start = start  # type: ignore[method-assign]  # nothing ends
    return world, afterwards


def test_a_late_hold_that_cannot_be_given_back_is_told_with_its_booking_and_its_attempt(kind: Kind) -> None:
    world, afterwards = stuck(kind)
    outcome = world.inline()
    seconds: list[float] = []

    def broken(booking_id: str, attempt_id: str, *, timeout: float) -> None:
        assert (booking_id, attempt_id) == ("b", outcome.attempt_id)
        seconds.append(timeout)
        raise Breakdown("release is out of order")

    world.floor_planner.release = broken  # type: ignore[method-assign]  # a port that misbehaves
    world.advance(40)
    before = len(world.telemetry.events)
    (then,) = afterwards
    asyncio.run(then()) if kind == "async" else then()
    assert seconds == [1.0]
    assert world.telemetry.events[before:] == (
        Event(
            EventName.ATTEMPT_ERROR,
            Severity.WARNING,
            world.now,
            "b",
            outcome.attempt_id,
            {
                "attempt": None,
                "stage": "late_release",
                "reason": "Breakdown: release is out of order",
                "reasonCode": None,
                "trigger": None,
            },
        ),
    )


def test_a_release_that_waits_for_the_search_is_told_with_how_long_it_was_waited_for() -> None:
    world, _ = stuck("blocking")
    outcome = world.inline()
    (told,) = world.named(EventName.ATTEMPT_ERROR)
    assert (told.attempt_id, told.context["stage"]) == (outcome.attempt_id, "release")
    assert told.context["reason"] == "TimeoutError: the planner has not released the hold within 1.000 s"


# What telemetry lost.


def failing(world: World, failures: int) -> list[tuple[list[str], bool]]:
    """Telemetry fails so many times, each with its number, and then works. What it is told from then on."""
    emit, numbers = world.telemetry.emit, count(1)
    told: list[tuple[list[str], bool]] = []

    def take(events: Sequence[Event], stored: bool) -> None:
        number = next(numbers)
        if number <= failures:
            raise Breakdown(f"failure {number}")
        told.append(([event.name.value for event in events], stored))

    def blocking(events: Sequence[Event], *, stored: bool) -> None:
        take(events, stored)
        emit(events, stored=stored)

    async def awaited(events: Sequence[Event], *, stored: bool) -> None:
        take(events, stored)
        waiting: Any = emit(events, stored=stored)
        await waiting

    world.telemetry.emit = awaited if world.kind == "async" else blocking  # type: ignore[assignment,method-assign]  # either port
    return told


def test_all_that_telemetry_lost_is_told_as_one_sum_with_the_last_error(kind: Kind) -> None:
    world = World(kind)
    world.book()
    told = failing(world, 3)
    # The confirm's four events are lost, then the word of that, then the summary.
    world.job()
    assert told == []
    world.advance(30)
    world.job()
    assert told[0] == ([EventName.TELEMETRY_DROPPED.value], False), "no store has it, so nobody may skip it"
    assert world.named(EventName.TELEMETRY_DROPPED) == (
        Event(
            EventName.TELEMETRY_DROPPED,
            Severity.WARNING,
            world.now,
            None,
            None,
            {"dropped": 5, "error": "Breakdown: failure 3"},
        ),
    )


# What a host need not say.


def test_who_says_no_trigger_is_told_by_which_call_it_was(kind: Kind) -> None:
    world = World(kind, script=[Cue(answer=NoHold(reason="fetch failed"))] * 4)
    engine: Any = world._blocking or world._async
    # As a host has it, without what the tests put around each call.
    plain: Any = AutoAssign if kind == "blocking" else AsyncAutoAssign

    def asked(call: Callable[..., Any]) -> str | None:
        world.book(call.__name__)
        answer = call(engine, call.__name__)
        if kind == "async":
            asyncio.run(answer)
        return world.last(call.__name__).trigger

    assert [asked(plain.inline), asked(plain.job)] == ["inline", "job"]
    world.advance(3600)
    due = engine.run_due()
    if kind == "async":
        asyncio.run(due)
    assert [world.last(name).trigger for name in ("inline", "job")] == ["due", "due"]
    assert asked(plain.run_job) == "job"


def test_who_names_no_limit_works_off_a_hundred_at_a_time(kind: Kind) -> None:
    world = World(kind)
    engine: Any = world._blocking or world._async
    limits: list[int] = []

    def due(now: datetime, *, limit: int, timeout: float) -> Sequence[str]:
        del now, timeout
        limits.append(limit)
        return []

    world.store.due = due  # type: ignore[method-assign]  # nothing is due
    worked_off = engine.run_due()
    assert (asyncio.run(worked_off) if kind == "async" else worked_off) == []
    assert limits == [100]


def test_a_flow_that_awaits_anything_but_an_effect_is_told_so_where_it_does() -> None:
    """An event loop's own sleep, say: no driver could resume it."""

    class Foreign:
        def __await__(self) -> Generator[object, None, None]:
            yield self

        def __repr__(self) -> str:
            return "a loop's sleep"

    async def flow() -> str:
        try:
            await Foreign()
        except TypeError as error:
            return str(error)
        return "resumed"

    told: Any = flow()
    with pytest.raises(StopIteration) as ended:
        next(walk(told, World().runtime, 1.0))
    assert ended.value.value == "a flow awaits effects only, not a loop's sleep"
