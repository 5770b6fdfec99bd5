"""Each of these defects was planted in the real code, and the explorer says which promise it breaks.

An explorer that finds nothing is worth nothing until it has been seen to find something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assign_core import closing, decision, evidence, flows, notebook
from assign_core.booking import Booking, EmailState
from assign_core.case import GIVE_UP, Case, Decision, Standing, answer
from assign_core.effects import Confirm, Deliver
from assign_core.evidence import DATED, Evidence
from assign_core.last_result import LastResult, Unreadable
from assign_core.outbox import Step, next_step
from assign_core.ports import Confirmation, Confirmed, Email, NotConfirmed
from assign_core.reasons import FailureClass
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
    def first_wins(known: Any, new: LastResult, *, revision: int) -> LastResult:
        del revision
        return known if isinstance(known, LastResult) else new

    patch.setattr(memory_store, "record", first_wins)


def timeout_overwrites_a_success(patch: Patch) -> None:
    def last_wins(known: Any, new: LastResult, *, revision: int) -> LastResult:
        del known, revision
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
]


@pytest.mark.parametrize(("plant", "where", "promises"), DEFECTS, ids=[plant.__name__ for plant, _, _ in DEFECTS])
def test_a_planted_defect_is_found(plant: Plant, where: Scenario, promises: set[str], monkeypatch: Patch) -> None:
    with monkeypatch.context() as patch:
        plant(patch)
        with pytest.raises(PromiseBroken) as found:
            explore([where], preemptions=1, faults=1, random=2_000)
        assert found.value.promise in promises
    # And it is the defect that was found: without it the same schedules keep every promise.
    explore([where], preemptions=0, faults=1)
