"""An attempt is interrupted at every effect, in every way, and still the next look finds the house in order.

Every story below is told once without disturbance, to learn its effects, and then once for each effect and fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Literal

import pytest
from tests.flows.conftest import EVENING, NO_TABLES, OVERRUN, Breakdown, Cancelled, Stepper, World

from assign_core import EventName, Verdict
from assign_core.booking import EmailState
from assign_core.effects import CloseAttempt, Confirm, Deliver, Emit, RequestQuote
from assign_core.last_result import LastResult
from assign_core.last_result import Source as LastSource
from assign_core.ports import Hold
from assign_core.reasons import FailureClass
from assign_floor import Floor, Table
from assign_memory import Cue, Objection
from assign_memory.database import Row
from assign_memory.store import no_objection

Source = Literal["inline", "job"]


class Fault(Enum):
    """What happens at one effect."""

    FAILED = "it fails, and nothing has been done"
    ANSWER_LOST = "it is done, and its answer is lost"
    CANCELLED = "the host cancels before it is done"
    CANCELLED_AFTER = "the host cancels when it has been done"
    LATE_BEFORE = "the deadline passes, and nothing has been done"
    LATE_LOST = "it is done, the deadline passes, and the answer is lost"
    LATE_ANSWER = "it is done, and the answer comes after the deadline"
    STOPPED = "the process dies before it is done"
    STOPPED_AFTER = "the process dies when it has been done"


STOPS: Final = {Fault.STOPPED, Fault.STOPPED_AFTER}
CANCELS: Final = {Fault.CANCELLED, Fault.CANCELLED_AFTER}


def not_small(row: Row, hold: Hold) -> str | None:
    del row
    return "Merged assignments require movable tables" if "small" in hold.plan.tables else None


def nothing_passes(row: Row, hold: Hold) -> str | None:
    del row, hold
    return "Table d1f3 is not adjacent to the selected set"


@dataclass(frozen=True)
class Story:
    """A booking's situation when the attempt begins."""

    name: str
    prepare: Callable[[World], object] = lambda world: world.book()
    objection: Objection = no_objection
    script: tuple[Cue, ...] = ()
    seats_free: bool = True
    """The booking can be seated, so it has to be in the end."""


def a_full_house(world: World) -> None:
    world.fill()
    world.book()


def a_seated_guest_without_mail(world: World) -> None:
    world.book()
    world.db.seat_by_hand("b", ["small"])


def a_seated_guest_whose_mail_waits(world: World) -> None:
    """The confirm's process died before it could deliver."""
    world.book()
    dead = world.flow("inline")
    dead.run_to(Confirm)
    dead.perform()
    dead.stop()
    world.planner.requests.clear()


def a_parked_booking(world: World) -> None:
    a_full_house(world)
    world.inline()
    world.advance(10)


def a_lost_attempt(world: World) -> None:
    world.book()
    dead = world.flow("inline")
    dead.step()
    dead.stop()
    world.advance(10)


STORIES: Final = (
    Story("a free table"),
    Story("a full house", a_full_house, seats_free=False),
    Story("the first plan refused", objection=not_small),
    Story("every plan refused", objection=nothing_passes, seats_free=False),
    Story("a permanent failure", script=(Cue(answer=OVERRUN),), seats_free=False),
    Story("a planner that fails once", script=(Cue(answer=RuntimeError("fetch failed")),)),
    Story("seated by hand, nobody written to", a_seated_guest_without_mail),
    Story("seated, the mail waits", a_seated_guest_whose_mail_waits),
    Story("parked", a_parked_booking, seats_free=False),
    Story("after a lost attempt", a_lost_attempt),
)


def tell(story: Story) -> World:
    world = World(objection=story.objection, script=story.script)
    story.prepare(world)
    return world


def deadline(world: World, source: Source) -> float:
    span = world.policy.inline_deadline if source == "inline" else world.policy.job_deadline
    return span.total_seconds()


def strike(world: World, flow: Stepper, fault: Fault, late: float) -> BaseException:
    """Do to the effect that the flow awaits what the fault says. The answer is what was thrown in, if anything was."""
    thrown: BaseException
    done = fault not in {Fault.FAILED, Fault.CANCELLED, Fault.LATE_BEFORE, Fault.STOPPED}
    value: object = None
    thrown = Cancelled("client gone") if fault in CANCELS else Breakdown("connection is lost")
    if done:
        try:
            value = flow.perform()
        except Exception as error:  # noqa: BLE001 - the port itself refused: that is then the failure
            thrown = error if fault not in CANCELS else thrown
            if fault not in STOPS | CANCELS:
                flow.throw(error)
                return error
    if fault in STOPS:
        flow.stop()
    elif fault is Fault.LATE_ANSWER:
        world.advance(late)
        flow.answer(value)
    elif fault in {Fault.LATE_BEFORE, Fault.LATE_LOST}:
        world.advance(late)
        thrown = TimeoutError("the time left has passed")
        flow.throw(thrown)
    else:
        flow.throw(thrown)
    return thrown


def carry_on(world: World) -> None:
    """Whatever was left behind expires; jobs and the mail relay do the rest."""
    world.advance(world.policy.job_deadline.total_seconds() + world.policy.job_hold.total_seconds() + 10)
    for _ in range(20):
        world.mailer.relay()
        outcome = world.job()
        if outcome.verdict is not Verdict.WAIT or outcome.parked:
            break
        assert outcome.wait_until is not None
        world.advance_to(outcome.wait_until)
    world.advance(120)
    world.mailer.relay()


def check_promises(world: World, story: Story, requests: int, note: str) -> None:
    row = world.db.row("b")
    assert not world.db.double_booked(), note
    assert row.lease is None, note
    world.db.sweep()
    assert not world.db.holds, f"{note}: a hold is left"
    assert len(world.mail) == len(set(world.mail)), f"{note}: {world.mail}"
    assert all(ledger.handed_over <= 1 for ledger in world.db.ledger.values()), note
    asked = list(dict.fromkeys(request.attempt_id for request in world.planner.requests))
    if asked:
        # P1: every attempt is on record, under its own name or, when its process died, in its successor's number.
        first_is_inline = world.store.sources[asked[0]] is LastSource.INLINE
        assert world.last().attempt >= len(asked) - first_is_inline, f"{note}: a planner call was not counted"
    assert len(asked[requests:]) <= world.policy.max_attempts + 1, note
    if story.seats_free:
        assert row.status == "confirmed", f"{note}: a seating is lost"
        guest = world.db.ledger.get("b:confirmation:0")
        assert guest is not None, f"{note}: the guest's mail is lost"
        assert guest.state in {"sent", "unknown"}, f"{note}: {guest.state}"


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())
@pytest.mark.parametrize("source", ["inline", "job"])
@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name.replace(" ", "_"))
def test_a_fault_at_any_effect_leaves_the_house_in_order(story: Story, source: Source, fault: Fault) -> None:
    world = tell(story)
    undisturbed = world.flow(source)
    undisturbed.run()
    effects = undisturbed.performed
    for index in range(len(effects)):
        if fault in {Fault.FAILED, Fault.ANSWER_LOST} and isinstance(effects[index], Emit):
            continue  # telemetry that fails is the engine's business: the effect itself never fails
        note = f"{fault.name} at effect {index}, {type(effects[index]).__name__}"
        world = tell(story)
        before = len(world.planner.requests)
        lost = {request.attempt_id for request in world.planner.requests}
        began = world.runtime.monotonic()
        flow = world.flow(source)
        for _ in range(index):
            flow.step()
        thrown = strike(world, flow, fault, deadline(world, source) + 0.001)
        struck = len(flow.performed)
        flow.run()
        # P2: nothing is confirmed after the deadline.
        over = world.runtime.monotonic() - began > deadline(world, source)
        if over:
            assert not any(isinstance(effect, Confirm) for effect in flow.performed[struck:]), note
        if fault in CANCELS:
            assert flow.error is thrown, f"{note}: the cancellation is not the same"
        if fault not in STOPS and flow.error is None:
            assert flow.outcome is not None
            ended = flow.outcome.verdict is not Verdict.WAIT or flow.outcome.parked
            summaries = len(world.named(EventName.SUMMARY))
            assert summaries == (1 if ended and source == "job" else 0), note
            assert (flow.outcome.verdict is Verdict.CONFIRMED) <= (world.status() == "confirmed"), note
        mute = isinstance(effects[index], CloseAttempt) or (
            index == 0 and fault in {Fault.LATE_LOST, Fault.ANSWER_LOST}
        )
        if fault not in STOPS and not mute:
            # P1, at once: whoever lives to the end of its attempt records it under its own name.
            asked = {request.attempt_id for request in world.planner.requests}
            assert asked <= {result.attempt_id for result in world.store.written} | lost, f"{note}: no result"
        carry_on(world)
        check_promises(world, story, before, note)


@pytest.mark.parametrize(
    "fault", [fault for fault in Fault if fault not in STOPS], ids=lambda fault: fault.name.lower()
)
@pytest.mark.parametrize("source", ["inline", "job"])
def test_an_attempt_that_lives_to_its_end_leaves_neither_hold_nor_lease_behind(source: Source, fault: Fault) -> None:
    """Interrupted at the work itself (not at its clean-up), an attempt cleans up at once, not by expiry."""
    undisturbed = World()
    undisturbed.book()
    flow = undisturbed.flow(source)
    flow.run()
    for index, effect in enumerate(flow.performed):
        if effect.cleanup:
            continue
        world = World()
        world.book()
        flow = world.flow(source)
        for _ in range(index):
            flow.step()
        strike(world, flow, fault, deadline(world, source) + 0.001)
        flow.run()
        note = f"{fault.name} at {type(effect).__name__}"
        assert not world.db.holds, note
        if index or fault is not Fault.ANSWER_LOST:
            # A lost answer to the acquire itself leaves a lease; it expires.
            assert world.db.row("b").lease is None, note
        if index:
            assert isinstance(world.db.last(world.db.row("b")), LastResult), note
            assert world.last().attempt_id == world.planner.requests[0].attempt_id if world.planner_calls else True


@pytest.mark.parametrize("source", ["inline", "job"])
def test_crashes_do_not_make_attempts_free(source: Source) -> None:
    """A booking whose search kills the worker every time must not be searched for ever."""
    world = World(floor=Floor(tables=[Table(id="only", seats=2)]))
    world.book()
    for _ in range(30):
        flow = world.flow(source)
        while flow.running and flow.next is not None and not isinstance(flow.next.effect, RequestQuote):
            flow.step()
        if not flow.running:
            break
        flow.perform()
        flow.stop()
        world.advance(400)
    else:
        pytest.fail(f"{world.planner_calls} searches were made, and the next one would have been too")
    assert world.planner_calls <= world.policy.max_attempts + 1


def test_a_lost_attempt_is_recorded_even_if_its_finder_is_cancelled_while_it_looks() -> None:
    world = World()
    world.book()
    dead = world.flow("job")
    dead.step()
    dead.perform()
    dead.stop()
    world.advance(400)
    finder = world.flow("job")
    finder.perform()
    finder.throw(Cancelled())
    finder.run()
    world.advance(400)
    world.job()
    assert world.last().attempt == 2


def test_a_lost_inline_attempt_and_a_lost_job_count_as_one_job_attempt() -> None:
    """The inline attempt is number 0, whoever finds it; the budget counts the job's."""
    world = World()
    world.book()
    for source in ("inline", "job"):
        dead = world.flow("inline" if source == "inline" else "job")
        dead.run_to(RequestQuote)
        dead.perform()
        dead.stop()
        world.advance(400)
    assert world.job().verdict is Verdict.CONFIRMED
    assert world.last().attempt == 2


@pytest.mark.parametrize("arrived", [False, True])
@pytest.mark.parametrize("source", ["inline", "job"])
def test_an_interruption_of_the_record_is_no_finding(source: Literal["inline", "job"], arrived: bool) -> None:
    """What was found is recorded, and decides; that the host had no more time says nothing of the booking."""
    world = World(script=[Cue(answer=OVERRUN)])
    world.book()
    flow = world.flow(source)
    flow.run_to(CloseAttempt)
    if arrived:
        flow.perform()
    world.advance(0.1)
    flow.throw(Cancelled("shutdown"))
    flow.run()
    assert isinstance(flow.error, Cancelled)
    assert world.last().failure_class is FailureClass.PERMANENT
    assert world.db.row("b").lease is None
    assert world.store.due(EVENING, limit=9, timeout=1) == [], "it was given up, and stays so"
    assert len(world.named(EventName.INLINE_OPERATION_ABORTED)) == (source == "inline")


def test_an_interrupted_record_that_fails_too_leaves_the_interruption_as_it_was() -> None:
    world = World(script=[Cue(answer=OVERRUN)])
    world.book()
    flow = world.flow("job")
    flow.run_to(CloseAttempt)
    flow.throw(Cancelled("shutdown"))
    flow.throw(ConnectionError("gone"))
    flow.run()
    assert world.db.last(world.db.row("b")) is None, "an abort is not recorded in place of what was found"
    assert isinstance(flow.error, Cancelled)
    assert flow.error.__notes__ == ["the attempt's result could not be recorded: ConnectionError: gone"]


def test_a_claim_that_is_withdrawn_while_the_planner_searches_is_made_again() -> None:
    """The staff has taken the table back. A relay looks at the claim while a job seats the guest again."""
    world = World()
    world.book()
    first = world.flow("inline")
    first.run_to(Deliver)
    first.stop()
    assert world.db.email_states() == {"b:confirmation:0": EmailState.CLAIMED}
    world.db.set_status("b", "pending")
    again = world.flow("job")
    again.run_to(Confirm)
    world.mailer.relay()
    assert world.guest_mail() == []
    again.run()
    assert again.outcome is not None
    assert again.outcome.verdict is Verdict.CONFIRMED
    assert world.guest_mail() == ["b:confirmation:0"]


def no_version(row: Row) -> None:
    del row


def test_a_planner_that_knows_versions_over_a_store_that_keeps_none_parks_nothing() -> None:
    """Nothing could wake it."""
    world = World(script=[Cue(answer=replace(NO_TABLES, capacity_version=7))])
    world.db.version = no_version  # type: ignore[method-assign]  # a host that keeps none
    world.book()
    outcome = world.inline()
    assert not outcome.parked
    assert outcome.wait_until == world.last().recorded_at + world.policy.freshness
