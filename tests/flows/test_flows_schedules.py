"""Several actors over one house, interleaved at every effect in random ways: what must hold, holds after every step.

The actors are inline attempts, jobs, duplicates of either, the mail relay, guests who cancel or modify, staff, a clock
that jumps, and processes that die, are cancelled, or lose an answer.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.flows.conftest import Breakdown, Cancelled, Stepper, World

from assign_core import EventName, Verdict
from assign_core.booking import SEATED
from assign_core.effects import CloseAttempt, Confirm, Emit, ReleaseHold
from assign_core.ports import Hold, NoHold
from assign_memory import Cue
from assign_memory.database import Row

NAMES: Final = ("b", "c", "d")

Action = tuple[str, int, int]
"""What happens, to whom (a booking's or a flow's number), and how much."""

CALM: Final = ("inline", "job", "step", "step", "step", "step", "run", "advance", "relay", "cancel", "modify", "free")
ROUGH: Final = (*CALM, "cancelled", "lose", "fail", "late")
DEADLY: Final = (*ROUGH, "die")

SPANS: Final = (0.5, 2, 6, 20, 60, 130, 400, 2000)


def actions(kinds: tuple[str, ...]) -> st.SearchStrategy[list[Action]]:
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 5), st.integers(0, len(SPANS) - 1))
    return st.lists(one, min_size=10, max_size=60)


def sometimes_refused(row: Row, hold: Hold) -> str | None:
    """The large table is not for the booking called d."""
    return "Table large locked to zone terrace" if row.id == "d" and "large" in hold.plan.tables else None


class Play:
    """One schedule on one stage."""

    def __init__(self, quotes: list[int]) -> None:
        script = [
            (
                Cue(),
                Cue(answer=NoHold(reason="fetch failed")),
                Cue(answer=RuntimeError("Evaluation limit reached")),
                Cue(answer=NoHold(reason="HoldNotFoundError")),
                Cue(delay=1),
                Cue(delay=500),
            )[number]
            for number in quotes
        ]
        self.world = World(script=script, objection=sometimes_refused)
        for number, name in enumerate(NAMES):
            self.world.book(name, party=2 + (number == 2))
        self.world.book("other-small", party=2)
        self.world.db.seat_by_hand("other-small", ["small"])
        self.flows: list[Stepper] = []
        self.by_hand = {"other-small"}

    def act(self, action: Action) -> None:
        what, who, much = action
        name = NAMES[who % len(NAMES)]
        live = [flow for flow in self.flows if flow.running]
        flow = live[who % len(live)] if live else None
        match what:
            case "inline" | "job":
                source: Literal["inline", "job"] = "inline" if what == "inline" else "job"
                self.flows.append(self.world.flow(source, name))
            case "advance":
                self.world.advance(SPANS[much])
            case "relay":
                self.world.mailer.relay()
            case "cancel" if much == 0:
                self.world.db.cancel(name)
            case "modify" if much < 3:
                self.world.db.modify(name, party=1 + much)
            case "free":
                self.world.db.cancel("other-small")
            case _ if flow is not None:
                self.disturb(flow, what)
            case _:
                pass
        self.check()

    def disturb(self, flow: Stepper, what: str) -> None:
        assert flow.next is not None
        quiet = isinstance(flow.next.effect, Emit)
        match what:
            case "run":
                flow.run()
            case "die":
                flow.stop()
            case "cancelled":
                flow.throw(Cancelled())
            case "late":
                self.world.advance(160)
                flow.step()
            case "fail" if not quiet:
                flow.throw(Breakdown("connection is lost"))
            case "lose" if not quiet:
                try:
                    flow.perform()
                except Exception as error:  # noqa: BLE001 - the port's own refusal
                    flow.throw(error)
                else:
                    flow.throw(Breakdown("connection is lost"))
            case _:
                flow.step()

    def check(self) -> None:
        world = self.world
        assert not world.db.double_booked()
        assert [key for key, count in Counter(world.mail).items() if count > 1] == []
        assert all(row.handed_over <= 1 for row in world.db.ledger.values())
        attempts: dict[tuple[str, int], dict[str, None]] = defaultdict(dict)
        for request in world.planner.requests:
            attempts[request.booking_id, request.revision][request.attempt_id] = None
        for key, ids in attempts.items():
            bound = world.policy.max_attempts + 1 + world.db.changes
            assert len(ids) <= bound, f"{key}: {len(ids)} attempts, {world.db.changes} changes"
            assert len(ids) <= world.policy.attempt_cap + 1, f"{key}: {len(ids)} attempts"
        for name in NAMES:
            row = world.db.row(name)
            if row.status in SEATED:
                assert name in world.db.assignments, f"{name} is seated nowhere"
            else:
                assert name not in world.db.assignments, f"{name} is {row.status} and has tables"
            if row.status in SEATED:
                assert world.db.last(row) is not None

    def finish(self) -> None:
        """The curtain: every flow ends, what is left behind expires, and jobs and relay do the rest."""
        world = self.world
        for flow in self.flows:
            flow.run()
        self.check()
        world.advance(600)
        world.mailer.relay()
        for name in NAMES:
            for _ in range(30):
                outcome = world.job(name)
                assert not (outcome.verdict is Verdict.WAIT and outcome.attempt_id is None), f"{name} is still leased"
                self.check()
                if outcome.verdict is not Verdict.WAIT or outcome.parked:
                    break
                assert outcome.wait_until is not None
                world.advance_to(outcome.wait_until)
            else:
                pytest.fail(f"{name} has no end")
        world.advance(600)
        world.mailer.relay()
        self.check()
        world.db.sweep()
        assert not world.db.holds
        assert all(row.lease is None for row in world.db.rows.values())
        self.check_mail()
        self.check_flows()

    def check_mail(self) -> None:
        for name in NAMES:
            row = self.world.db.row(name)
            if row.status in SEATED:
                kind = "modification" if row.revision else "confirmation"
                ledger = self.world.db.ledger.get(f"{name}:{kind}:{row.revision}")
                assert ledger is not None, f"{name} was never written to"
                assert ledger.state in {"sent", "unknown"}

    def check_flows(self) -> None:
        world = self.world
        written = {result.attempt_id for result in world.store.written}
        summaries = Counter(event.attempt_id for event in world.named(EventName.SUMMARY))
        assert all(count == 1 for count in summaries.values())
        asked = {request.attempt_id for request in world.planner.requests}
        for flow in self.flows:
            if flow.stopped or flow.error is not None:
                continue
            assert flow.outcome is not None
            if flow.outcome.attempt_id in asked:
                assert flow.outcome.attempt_id in written
            confirms = [effect for effect in flow.performed if isinstance(effect, Confirm)]
            closes = [effect for effect in flow.performed if isinstance(effect, CloseAttempt)]
            releases = [effect for effect in flow.performed if isinstance(effect, ReleaseHold)]
            assert len(closes) <= 1
            assert len(confirms) <= 2
            assert len(releases) <= 2


def play(schedule: list[Action], quotes: list[int]) -> None:
    stage = Play(quotes)
    for action in schedule:
        stage.act(action)
    stage.finish()


QUOTES: Final = st.lists(st.integers(0, 5), max_size=12)
THOROUGH: Final = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@THOROUGH
@given(actions(CALM), QUOTES)
def test_no_interleaving_of_actors_breaks_a_promise(schedule: list[Action], quotes: list[int]) -> None:
    play(schedule, quotes)


@THOROUGH
@given(actions(ROUGH), QUOTES)
def test_no_interleaving_with_cancellations_failures_and_lost_answers_breaks_a_promise(
    schedule: list[Action], quotes: list[int]
) -> None:
    play(schedule, quotes)


@THOROUGH
@given(actions(DEADLY), QUOTES)
def test_no_interleaving_with_processes_that_die_breaks_a_promise(schedule: list[Action], quotes: list[int]) -> None:
    play(schedule, quotes)
