"""Each of these defects was planted in the real code, and the explorer says which promise it breaks.

An explorer that finds nothing is worth nothing until it has been seen to find something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from assign_core import closing, decision, evidence, flows, notebook, outbox
from assign_core.booking import Booking, BookingStatus, EmailState
from assign_core.case import GIVE_UP, Action, Case, Decision, Standing, answer
from assign_core.effects import Confirm, Deliver, Unfinished, Within
from assign_core.evidence import DATED, Evidence
from assign_core.last_result import LastResult, Strategy, Unreadable
from assign_core.outbox import Step, next_step
from assign_core.outcome import Outcome
from assign_core.ports import (
    Acquired,
    Busy,
    Confirmation,
    Confirmed,
    Email,
    Lease,
    NotConfirmed,
    Plan,
    QuoteRequest,
    Record,
)
from assign_core.reasons import FailureClass, ReasonCode
from assign_memory import MemoryDatabase, Row
from assign_memory import mailer as memory_mailer
from assign_memory import store as memory_store
from assign_testing.explorer import PromiseBroken, Scenario, explore, scenario

Patch = pytest.MonkeyPatch
Plant = Callable[[Patch], None]


def not_recorded_on_cancellation(patch: Patch) -> None:
    async def forget(notes: notebook.Notes, error: BaseException) -> None:
        del notes, error

    patch.setattr(flows, "_cancelled", forget)


def confirms_after_the_deadline(patch: Patch) -> None:
    # A clean-up is performed although time is up.
    patch.setattr(Confirm, "cleanup", True)


def hold_not_released(patch: Patch) -> None:
    async def keep(notes: notebook.Notes) -> None:
        del notes

    patch.setattr(closing, "release", keep)
    patch.setattr(flows, "release", keep)


def late_success_is_not_recorded(patch: Patch) -> None:
    def first_wins(known: Any, new: LastResult, *, revision: int, now: datetime, late: bool) -> LastResult:
        del revision, now, late
        return known if isinstance(known, LastResult) else new

    patch.setattr(memory_store, "record", first_wins)


def timeout_overwrites_a_success(patch: Patch) -> None:
    def last_wins(known: Any, new: LastResult, *, revision: int, now: datetime, late: bool) -> LastResult:
        del known, revision, now, late
        return new

    patch.setattr(memory_store, "record", last_wins)


def flag_set_before_the_send(patch: Patch) -> None:
    honest = notebook.Notes.result

    def optimistic(notes: notebook.Notes, *args: Any, success: bool, **more: Any) -> LastResult:
        result = honest(notes, *args, success=success, **more)
        return replace(result, email_sent=True) if success else result

    patch.setattr(notebook.Notes, "result", optimistic)


def sent_before_the_claim(patch: Patch) -> None:
    async def send_first(confirmation: Confirmation) -> Confirmed | NotConfirmed:
        if confirmation.email is not None:
            await Deliver(confirmation.email)
        return await Confirm(confirmation)

    patch.setattr(flows, "Confirm", send_first)
    honest_begin, honest_settle = memory_mailer.Outbox.begin, memory_mailer.Outbox.settle

    def begin(outbox: memory_mailer.Outbox, email: Email, *, deduplicates: bool) -> EmailState | None:
        try:
            return honest_begin(outbox, email, deduplicates=deduplicates)
        except LookupError:
            return None

    def settle(outbox: memory_mailer.Outbox, email: Email, state: EmailState) -> EmailState:
        try:
            return honest_settle(outbox, email, state)
        except LookupError:
            return state

    patch.setattr(memory_mailer.Outbox, "begin", begin)
    patch.setattr(memory_mailer.Outbox, "settle", settle)


def _weighing(patch: Patch, wrong: Callable[[Evidence], Evidence]) -> None:
    honest = evidence.weigh

    def weigh(last: LastResult | Unreadable | None, booking: Booking, *more: Any) -> Evidence:
        return wrong(honest(last, booking, *more))

    patch.setattr(decision, "weigh", weigh)


def stale_evidence_shrinks_the_budget(patch: Patch) -> None:
    _weighing(patch, lambda found: Evidence.FRESH if found is Evidence.STALE else found)


def evidence_of_an_older_revision_is_used(patch: Patch) -> None:
    _weighing(patch, lambda found: Evidence.FRESH if found is Evidence.OLDER_REVISION else found)


def budget_counted_per_process(patch: Patch) -> None:
    # What the row says of earlier attempts is not looked at.
    patch.setattr(notebook, "next_number", lambda *_: 1)
    patch.setattr(flows, "next_number", lambda *_: 1)


def hard_stop_at_the_first_capacity_failure(patch: Patch) -> None:
    def stop(case: Case) -> Decision:
        return answer(case, GIVE_UP, ("hard_stop",), case.policy.max_attempts)

    for worth in DATED:
        patch.setitem(decision._INDEX, (Standing.OPEN, worth, FailureClass.CAPACITY), (stop,))


def unknown_sent_again_without_keys(patch: Patch) -> None:
    def brave(state: EmailState, *args: Any, **more: Any) -> Step:
        return Step.SEND if state is EmailState.UNKNOWN else next_step(state, *args, **more)

    honest = memory_mailer.Outbox.waiting

    def waiting(outbox: memory_mailer.Outbox, *, deduplicates: bool) -> list[Email]:
        del deduplicates
        return honest(outbox, deduplicates=True)

    patch.setattr(memory_mailer, "next_step", brave)
    patch.setattr(memory_mailer.Outbox, "waiting", waiting)


# What a store, a mailer or the end of an attempt can get wrong.


def confirm_looks_at_no_status(patch: Patch) -> None:
    honest = memory_store.MemoryStore._refusal

    def refusal(store: memory_store.MemoryStore, row: Row, confirmation: Confirmation) -> NotConfirmed | None:
        status, row.status = row.status, BookingStatus.PENDING.value
        found = honest(store, row, confirmation)
        row.status = status
        return found

    patch.setattr(memory_store.MemoryStore, "_refusal", refusal)


def confirm_assigns_no_tables(patch: Patch) -> None:
    honest = memory_store.MemoryStore.confirm

    def confirm(
        store: memory_store.MemoryStore, confirmation: Confirmation, *, timeout: float
    ) -> Confirmed | NotConfirmed:
        answer = honest(store, confirmation, timeout=timeout)
        store._db.assignments.pop(confirmation.booking_id, None)
        return answer

    patch.setattr(memory_store.MemoryStore, "confirm", confirm)


def confirm_looks_for_no_overlap(patch: Patch) -> None:
    honest = memory_store.MemoryStore._refusal

    def refusal(store: memory_store.MemoryStore, row: Row, confirmation: Confirmation) -> NotConfirmed | None:
        found = honest(store, row, confirmation)
        return None if found is not None and found.reason_code is ReasonCode.OVERLAP else found

    patch.setattr(memory_store.MemoryStore, "_refusal", refusal)


def lease_given_twice(patch: Patch) -> None:
    honest = memory_store.MemoryStore.acquire

    def acquire(
        store: memory_store.MemoryStore, booking_id: str, lease: Lease, *, timeout: float
    ) -> Acquired | Busy | None:
        store._db.row(booking_id).lease = None
        return honest(store, booking_id, lease, timeout=timeout)

    patch.setattr(memory_store.MemoryStore, "acquire", acquire)


def three_searches_in_one_attempt(patch: Patch) -> None:
    honest = flows._quote

    async def thrice(notes: notebook.Notes, strategy: Strategy, refused: tuple[Plan, ...]) -> Any:
        await honest(notes, strategy, refused)
        await honest(notes, strategy, (*refused, Plan(("small",))))
        return await honest(notes, strategy, refused)

    patch.setattr(flows, "_quote", thrice)


def refused_plan_not_excluded(patch: Patch) -> None:
    honest = flows._quote

    async def unchanged(notes: notebook.Notes, strategy: Strategy, refused: tuple[Plan, ...]) -> Any:
        del refused
        return await honest(notes, strategy, ())

    patch.setattr(flows, "_quote", unchanged)


def refused_plans_have_the_full_budget(patch: Patch) -> None:
    def again(case: Case) -> Decision:
        return answer(case, Action.ATTEMPT, ("again",), case.policy.max_attempts)

    for worth in DATED:
        patch.setitem(decision._INDEX, (Standing.OPEN, worth, FailureClass.REJECTED), (again,))


def goes_on_without_answering_the_guest(patch: Patch) -> None:
    async def unasked(notes: notebook.Notes, unfinished: Unfinished, request: QuoteRequest) -> None:
        del unfinished, request
        await Within(notes.policy.job_deadline.total_seconds())
        notes.handed_over = True

    patch.setattr(flows, "_hand_over", unasked)


def not_sent_is_taken_for_lost(patch: Patch) -> None:
    class Never(Exception):
        pass

    patch.setattr(outbox, "EmailNotSent", Never)


def lost_is_taken_for_refused(patch: Patch) -> None:
    honest = memory_mailer.Outbox.settle

    def settle(outbox: memory_mailer.Outbox, email: Email, state: EmailState) -> EmailState:
        return honest(outbox, email, EmailState.FAILED if state is EmailState.UNKNOWN else state)

    patch.setattr(memory_mailer.Outbox, "settle", settle)


def staff_told_of_the_seated(patch: Patch) -> None:
    def any_status(store: memory_store.MemoryStore, row: Row, entry: Record, *, ours: bool) -> Email | None:
        del store, row, ours
        return entry.email

    patch.setattr(memory_store.MemoryStore, "_called_for", any_status)


def guest_told_what_is_no_longer_so(patch: Patch) -> None:
    patch.setattr(MemoryDatabase, "calls_for", lambda *_: True)


def staff_never_told(patch: Patch) -> None:
    patch.setattr(closing, "_staff_notice", lambda *_: None)


def no_summary(patch: Patch) -> None:
    async def silent(notes: notebook.Notes, outcome: Outcome, *more: Any) -> Outcome:
        del more
        await closing.emit(notes)
        return outcome

    patch.setattr(closing, "finish", silent)
    patch.setattr(flows, "finish", silent)


DEFECTS: list[tuple[Plant, Scenario, set[str]]] = [
    (not_recorded_on_cancellation, scenario("inline", "job", "relay"), {"P1 record"}),
    (confirms_after_the_deadline, scenario("inline", "job", "relay"), {"P2 deadline"}),
    (hold_not_released, scenario("inline", "job", "relay"), {"P3 holds"}),
    (late_success_is_not_recorded, scenario("inline", "job", "relay"), {"P2 truth"}),
    (timeout_overwrites_a_success, scenario("inline", "job", "relay"), {"P2 truth"}),
    (flag_set_before_the_send, scenario("inline", "job", "relay"), {"P4 flag"}),
    (sent_before_the_claim, scenario("inline", "job", "relay"), {"P4 mail"}),
    (
        stale_evidence_shrinks_the_budget,
        scenario("inline", "job", house="a free house with stale evidence"),
        {"P5 evidence"},
    ),
    (
        evidence_of_an_older_revision_is_used,
        scenario("inline", "modify", "job", "relay", house="a house too small for the party"),
        {"P5 evidence"},
    ),
    (
        budget_counted_per_process,
        scenario("inline", "job", "job2", house="a house with a broken planner"),
        {"P6 budget"},
    ),
    (hard_stop_at_the_first_capacity_failure, scenario("inline", "job", "free", house="a full house"), {"P5 evidence"}),
    (unknown_sent_again_without_keys, scenario("inline", "job", "relay"), {"P4 mail"}),
    (confirm_looks_at_no_status, scenario("inline", "cancel"), {"commit"}),
    (confirm_looks_at_no_status, scenario("inline", "by_hand"), {"commit"}),
    (confirm_assigns_no_tables, scenario("inline", "relay"), {"seats"}),
    (confirm_looks_for_no_overlap, scenario("inline", "seat_other"), {"P7 tables"}),
    (lease_given_twice, scenario("inline", "job"), {"lease"}),
    (three_searches_in_one_attempt, scenario("inline", "job"), {"P6 budget"}),
    (
        refused_plan_not_excluded,
        scenario("inline", "job", house="a house whose confirm refuses the first plan"),
        {"P6 budget"},
    ),
    (
        refused_plans_have_the_full_budget,
        scenario("inline", "job", house="a house whose confirm refuses every plan"),
        {"P6 budget"},
    ),
    (goes_on_without_answering_the_guest, scenario("inline", "job", on_deadline="hand_over"), {"P2 deadline"}),
    (not_sent_is_taken_for_lost, scenario("inline", "relay"), {"P4 mail"}),
    (lost_is_taken_for_refused, scenario("inline", "relay"), {"P4 mail"}),
    (
        staff_told_of_the_seated,
        scenario("inline", "by_hand", house="a free house whose planner calls it hopeless"),
        {"P4 mail"},
    ),
    (guest_told_what_is_no_longer_so, scenario("inline", "cancel", "relay"), {"P4 mail"}),
    (staff_never_told, scenario("inline", "job", house="a full house"), {"answer"}),
    (no_summary, scenario("inline", "job"), {"summary"}),
]


@pytest.mark.parametrize(
    ("plant", "where", "promises"),
    DEFECTS,
    ids=[f"{plant.__name__}-{'-'.join(where.cast)}" for plant, where, _ in DEFECTS],
)
def test_a_planted_defect_is_found(plant: Plant, where: Scenario, promises: set[str], monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises(PromiseBroken) as found:
            explore([where], preemptions=1, faults=1, random=2_000)
        assert found.value.promise in promises
    # And it is the defect that was found: without it the same schedules keep every promise.
    explore([where], preemptions=0, faults=1)
