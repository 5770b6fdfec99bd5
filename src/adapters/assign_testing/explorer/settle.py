"""Quiescence: everything that was left behind is restarted or expires, and then everybody must have an answer.

Nothing is restarted that the host's own tables do not ask for. A job runs when the store says that it is due, the relay
looks into the outbox, and time passes until the next of either. The host itself owes a booking one job: after it was
made, and after it was modified, until an attempt has read it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from assign_core.booking import CLOSED, OPEN, SEATED, EmailState
from assign_core.last_result import LastResult, Source
from assign_core.outbox import still_true
from assign_core.outcome import Outcome
from assign_core.ports import Email, EmailKind
from assign_core.reasons import FailureClass
from assign_testing.explorer.faults import LONG
from assign_testing.explorer.watch import SOON, Violation, Watch

ROUNDS: Final = 60
"""More than any booking can need: every budget, and every lease that a dead attempt left."""
POLL: Final = 5.0
"""Seconds between two looks at what is due."""


def settle(watch: Watch, run_job: Callable[[str], Outcome | None], run_relay: Callable[[], object]) -> None:
    """Run everything to its end.

    Raises:
        Violation: a promise that holds at quiescence does not.
    """
    world = watch.world
    for _ in range(ROUNDS):
        run_relay()
        owed = _owed(watch)
        due = world.store.due(world.clock.now(), limit=100, timeout=1.0)
        for booking_id in dict.fromkeys((*owed, *due)):
            outcome = run_job(booking_id)
            if booking_id in owed and outcome is not None and outcome.attempt_id is None and outcome.wait_until:
                # Somebody has the lease. The host's queue keeps the job until then.
                world.clock.advance(max(0.0, (outcome.wait_until - world.clock.now()).total_seconds()))
        if due:
            # A worker whose clock is slow finds nothing to do yet, and is asked again at the next round.
            world.clock.advance(POLL)
        elif not owed and not _pass_time(watch):
            break
    else:
        raise Violation("answer", f"after {ROUNDS} rounds something is still due")
    _check(watch)


def _owed(watch: Watch) -> list[str]:
    owed: list[str] = []
    for booking_id in watch.world.bookings():
        seen = watch.world.look(booking_id)
        if booking_id.startswith("other-") or seen.status not in OPEN:
            continue
        if (booking_id, seen.revision) not in watch.looked_at:
            owed.append(booking_id)
    return owed


def _pass_time(watch: Watch) -> bool:
    """Go to the next moment at which something happens by itself; ``False``: nothing will."""
    world = watch.world
    if EmailState.CLAIMED in world.ledger().values() or world.holds():
        # A sender's lease, or a hold, that its owner did not live to give back.
        world.clock.advance(LONG / 10)
        return True
    due = [seen.due_at for seen in map(world.look, world.bookings()) if seen.status in OPEN and seen.due_at is not None]
    if not due:
        return False
    left = min(due) - world.clock.now()
    if left > SOON and all(_told(watch, booking_id) for booking_id in world.bookings()):
        return False
    world.clock.advance(max(0.001, left.total_seconds()))
    return True


def _told(watch: Watch, booking_id: str) -> bool:
    """Somebody knows: the guest is seated, the booking closed, or the staff has been written to."""
    seen = watch.world.look(booking_id)
    if seen.status not in OPEN:
        return True
    key = f"{booking_id}:{EmailKind.STAFF_NOTICE.value}:{seen.revision}"
    return watch.world.ledger().get(key) in {EmailState.SENT, EmailState.UNKNOWN, EmailState.FAILED}


def _check(watch: Watch) -> None:
    watch.at_rest()
    world = watch.world
    if world.holds():
        raise Violation("P3 holds", f"holds are left: {sorted(world.holds().values())}")
    for booking_id in world.bookings():
        if booking_id.startswith("other-"):
            continue
        if not _told(watch, booking_id):
            raise Violation("answer", f"{booking_id!r} is {world.look(booking_id).status}, and nobody has been told")
        _check_count(watch, booking_id)
        _check_seating(watch, booking_id)
        _check_guest_mail(watch, booking_id)
    for key, state in world.ledger().items():
        if state is EmailState.CLAIMED:
            raise Violation("P4 mail", f"{key} is claimed, and nobody sends it")
        if state is EmailState.SENT and key not in watch.accepted:
            raise Violation("P4 mail", f"the ledger says that {key} is sent, and no mail system accepted it")
        if state is EmailState.UNKNOWN and watch.deduplicates and _still_true(watch, key):
            raise Violation("P4 mail", f"{key} stays unknown although the mail system knows keys")
        if state is EmailState.UNKNOWN and not watch.in_doubt:
            raise Violation("P4 mail", f"{key} is unknown, and every sender was told what became of it")
        if state is EmailState.FAILED and key not in watch.refused:
            raise Violation("P4 mail", f"{key} has failed, and no mail system refused it")


def _still_true(watch: Watch, key: str) -> bool:
    """What is no longer so is not said again, to a mail system that knows keys neither."""
    booking_id, kind, revision = key.rsplit(":", 2)
    seen = watch.world.look(booking_id)
    email = Email(booking_id=booking_id, kind=EmailKind(kind), revision=int(revision))
    return still_true(email, status=seen.status, revision=seen.revision)


def _check_count(watch: Watch, booking_id: str) -> None:
    """P1 at quiescence: every attempt that called the planner is counted, under its own name or in its finder's."""
    seen = watch.world.look(booking_id)
    asked = watch.attempts(booking_id, seen.revision)
    if not asked or seen.status in CLOSED or (seen.status in SEATED and seen.seated_by is None):
        return
    first_is_inline = watch.sources.get(asked[0]) is Source.INLINE
    counted = seen.last.attempt if isinstance(seen.last, LastResult) and seen.last.revision == seen.revision else -1
    if counted < len(asked) - first_is_inline:
        raise Violation(
            "P1 record", f"{len(asked)} attempts searched for {booking_id!r}, and its result counts {counted}"
        )


def _check_seating(watch: Watch, booking_id: str) -> None:
    """P5: nobody stays unseated for whom there are tables, unless the budget went on it."""
    seen = watch.world.look(booking_id)
    if seen.status not in OPEN or not watch.world.could_seat(booking_id):
        return
    last, policy = seen.last, watch.policy
    if seen.start_at - watch.world.clock.now() <= policy.cutoff:
        return
    if isinstance(last, LastResult) and last.revision == seen.revision:
        if last.failure_class is FailureClass.PERMANENT:
            return  # only a changed booking would help, the planner says
        full = {FailureClass.CAPACITY: policy.max_attempts, FailureClass.INFRASTRUCTURE: policy.max_attempts}
        least = min(policy.rejected_budget, policy.ambiguous_budget)
        budget = least if last.failure_class is None else full.get(last.failure_class, least)
        if last.attempt >= budget:
            return
    raise Violation("P5 evidence", f"{booking_id!r} is given up or parked although there are tables for it: {last}")


def _check_guest_mail(watch: Watch, booking_id: str) -> None:
    """P4: none is lost. An unknown one is visible; a refused one too."""
    seen = watch.world.look(booking_id)
    if seen.status not in SEATED or (booking_id, seen.revision) in watch.by_hand:
        return  # whoever was seated by hand is the staff's to tell
    key = f"{booking_id}:{EmailKind.of(seen.revision).value}:{seen.revision}"
    state = watch.world.ledger().get(key)
    if state is None:
        raise Violation("P4 mail", f"{key} is lost: {booking_id!r} is seated, and nothing was ever queued")
    sent = isinstance(seen.last, LastResult) and seen.last.email_sent
    if state is EmailState.SENT and not sent:
        raise Violation("P4 flag", f"{key} is sent, and the flag of {booking_id!r} does not say so")
