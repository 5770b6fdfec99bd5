"""What the store is asked to write when an attempt ends, and what becomes of the mails that it queues."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest
from tests.flows.conftest import NO_TABLES, OVERRUN, Breakdown, World
from tests.flows.test_flows_closing import before_record

from assign_core import EventName, Verdict
from assign_core.booking import EmailState
from assign_core.ports import Email, EmailKind, NoHold, Record, Recorded
from assign_memory import Cue

Kind = Literal["blocking", "async"]


def entries(world: World) -> list[Record]:
    record, asked = world.store.record, list[Record]()

    def noted(entry: Record, *, timeout: float) -> Recorded:
        asked.append(entry)
        return record(entry, timeout=timeout)

    world.store.record = noted  # type: ignore[method-assign]  # the same, watched
    return asked


CONFIRMATION = Email(booking_id="b", kind=EmailKind.MODIFICATION, revision=1)
NOTICE = Email(booking_id="b", kind=EmailKind.STAFF_NOTICE, revision=1)
SEEN = replace(NO_TABLES, capacity_version=0)


@pytest.mark.parametrize(
    ("answer", "version", "email", "guest_email"),
    [
        (NoHold(reason="fetch failed", capacity_version=0), None, None, CONFIRMATION),
        (SEEN, 0, NOTICE, CONFIRMATION),
        (OVERRUN, None, NOTICE, CONFIRMATION),
    ],
    ids=["again", "parked", "given up"],
)
def test_a_record_names_the_revision_that_was_read_and_the_mails_that_may_be_called_for(
    kind: Kind, answer: NoHold, version: int | None, email: Email | None, guest_email: Email
) -> None:
    world = World(kind, script=[Cue(answer=answer)])
    world.book()
    world.db.modify("b", party=3)
    asked = entries(world)
    outcome = world.job()
    (entry,) = asked
    assert (entry.booking_id, entry.attempt_id, entry.result) == ("b", outcome.attempt_id, world.last())
    assert (entry.revision, entry.parked_at_version) == (1, version)
    assert (entry.email, entry.guest_email) == (email, guest_email)
    assert outcome.email is (None if email is None else EmailState.SENT)


def test_a_guest_who_has_been_written_to_is_not_written_to_by_a_record() -> None:
    world = World(script=[Cue(), Cue(answer=SEEN)])
    world.book()
    world.inline()
    world.db.set_status("b", "pending")
    asked = entries(world)
    world.job()
    assert [entry.guest_email for entry in asked] == [None]


def test_what_was_not_read_has_no_revision_and_nobody_to_write_to() -> None:
    world = World()
    world.book()
    asked = entries(world)
    flow = world.flow("job")
    world.advance(200)
    flow.throw(TimeoutError())
    flow.run()
    (entry,) = asked
    assert (entry.revision, entry.email, entry.guest_email, entry.result) == (None, None, None, None)
    assert entry.retry_at == world.now + world.policy.delays[0]


def test_a_guest_seated_by_hand_is_written_to_about_what_is_seated_now(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.db.seat_by_hand("b", ["large"])

    def again() -> None:
        world.db.modify("b", party=3)
        world.db.seat_by_hand("b", ["large"])

    before_record(world, again)
    assert world.job().email is EmailState.SENT
    assert world.guest_mail() == ["b:modification:1"]


def test_a_mail_that_fails_after_a_record_is_told(kind: Kind) -> None:
    world = World(kind)
    world.book()
    world.db.seat_by_hand("b", ["large"])

    def broken(*_: object, **__: object) -> None:
        raise Breakdown("no route")

    world.post.send = broken  # type: ignore[method-assign]  # a port that misbehaves
    assert world.job().verdict is Verdict.ALREADY_CONFIRMED
    assert world.one(EventName.EMAIL_ERROR) == {"kind": "confirmation", "error": "Breakdown: no route"}
