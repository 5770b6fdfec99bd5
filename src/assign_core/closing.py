"""How an attempt that did not confirm ends, and what every attempt says last.

Closing is one call of the store: it records the result, gives the lease back and so shuts out any late confirm, queues
the e-mail that the new situation calls for, and answers with the truth. Only after that answer does the attempt know
how it ended: its own confirm, whose answer was lost, may turn out to be committed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Final

from assign_core.booking import OPEN, SEATED, EmailState
from assign_core.decision import Action, Decision, decide
from assign_core.effects import CloseAttempt, Deliver, Emit, Now, ReleaseHold
from assign_core.errors import DeadlineExceeded
from assign_core.events import Event, EventName, JobResult
from assign_core.last_result import EmailVariant, LastResult, Source, record
from assign_core.narration import how_it_ended
from assign_core.notebook import Notes
from assign_core.outcome import Outcome, Verdict
from assign_core.ports import Email, EmailKind, Record, Recorded
from assign_core.reasons import reason_of

_ENDED: Final = frozenset({Action.ENSURE_EMAIL, Action.NONE})
"""What is decided of a booking that is not open."""


async def close(notes: Notes, now: datetime, result: LastResult | None) -> Outcome:
    """Record, give the lease back, and tell the host what is true now and what comes next."""
    known = notes.known if result is None else record(notes.known, result, revision=notes.booking.revision, now=now)
    decision = _what_next(notes, now, result)
    stored = notes.lost if result is None else result
    queued = _staff_notice(notes, decision)
    looked = notes.stage != "acquire"
    retry_at = _retry_at(notes, decision, now)
    parked_at = known.capacity_version if decision.woken and isinstance(known, LastResult) else None
    entry = Record(
        booking_id=notes.booking_id,
        attempt_id=notes.id,
        result=stored,
        revision=notes.booking.revision if looked else None,
        retry_at=retry_at,
        parked_at_version=parked_at,
        email=queued,
        guest_email=notes.guest_email() if looked and not notes.suppress_email() else None,
        events=tuple(notes.said),
    )
    stage, notes.stage = notes.stage, "closing"
    try:
        reply = await CloseAttempt(entry)
    except Exception as error:
        at = await Now()
        notes.said.append(notes.narrator.attempt_error(at, notes.number, "record", reason_of(error), None))
        await release(notes)
        notes.said[:0] = notes.handed
        await emit(notes)
        raise
    except DeadlineExceeded:
        # The grace is over before the record was begun. It has happened all the same, and telemetry has its own time.
        notes.said[:0] = notes.handed
        await emit(notes)
        raise
    except GeneratorExit:
        raise
    except BaseException as interruption:
        await _close_again(notes, entry, interruption)
        raise
    ours = await _closed(notes, reply)
    if not looked and reply.status:
        return await _never_read(notes, now)
    if reply.status in SEATED and decision.action is not Action.ENSURE_EMAIL:
        return await _found_seated(notes, now, reply, decision, stage, ours=ours)
    email = await deliver(notes, _guest_email_of(notes, reply) if reply.status in SEATED else queued, reply.email)
    reason = known.reason if isinstance(known, LastResult) else None
    unassigned = reply.status in OPEN
    another = reply.revision not in {None, notes.booking.revision} or decision.action in _ENDED
    if unassigned and looked and another:
        return await _found_modified(notes, now, reply, decision)
    if unassigned or reply.status in SEATED:
        verdict, ended = _verdict(decision), how_it_ended(decision)
        notes.said += notes.narrator.ended(now, notes.booking, decision, reason, notes.policy)
    else:
        verdict, ended = Verdict.NOT_ACTIONABLE, JobResult.NOT_ACTIONABLE
    outcome = Outcome(
        booking_id=notes.booking_id,
        verdict=verdict,
        decision=decision,
        attempted=notes.searched,
        attempt_id=notes.id,
        result=reply.last if isinstance(reply.last, LastResult) and stored is not None else None,
        wait_until=retry_at if unassigned else None,
        parked=decision.parked and unassigned,
        capacity_version=parked_at,
        email=email,
        handed_over=notes.handed_over,
    )
    return await finish(notes, outcome, ended, decision, reason)


async def _closed(notes: Notes, reply: Recorded) -> bool:
    """Tell what happened, and give back what is held. Whether the row is seated by this attempt."""
    notes.stage = "closed"
    ours = reply.status in SEATED and reply.confirmed_by == notes.id
    if notes.handed:
        # They are stored if the confirm was committed, and only then.
        before = len(notes.handed) if ours else _narrated_before(notes.handed)
        await Emit(notes.handed[:before], stored=ours and reply.events_stored)
    await emit(notes, stored=reply.events_stored)
    # After the record: a hold that is not given back expires by itself, a result that is not recorded is lost.
    await release(notes)
    return ours


async def _close_again(notes: Notes, entry: Record, interruption: BaseException) -> None:
    """The host has no more time while the result is being recorded. What was found is found: the very same record goes
    out again, since nobody knows whether the first has arrived."""
    try:
        await _closed(notes, await CloseAttempt(entry))
        notes.said += notes.narrator.aborted(await Now(), reason_of(interruption))
        await emit(notes)
    except (Exception, DeadlineExceeded) as second:  # noqa: BLE001 - the interruption goes on, and this goes with it
        interruption.add_note(f"the attempt's result could not be recorded: {reason_of(second)}")


def _what_next(notes: Notes, now: datetime, result: LastResult | None) -> Decision:
    """The policy's view of the booking as this attempt leaves it."""
    booking = notes.booking
    if result is None:
        return decide(booking, notes.known, policy=notes.policy, now=now)
    if booking.capacity_version is not None:
        # What the search saw is the newest that is known; a change since then will show at the next look. (To a store
        # that keeps no versions a planner's would mean that nothing ever changes.)
        booking = replace(booking, capacity_version=result.capacity_version)
    known = record(notes.known, result, revision=booking.revision, now=now)
    return decide(booking, known, policy=notes.policy, now=now)


def _retry_at(notes: Notes, decision: Decision, now: datetime) -> datetime | None:
    if decision.action is Action.ATTEMPT:
        # What interrupted an attempt before it could search may go on for a while.
        return now if notes.searched else now + notes.policy.delays[0]
    return decision.not_before


def _staff_notice(notes: Notes, decision: Decision) -> Email | None:
    """Queued by the closing transaction if the row is still open; a guest's confirmation if it is seated by then."""
    if decision.action is Action.GIVE_UP or decision.parked:
        return Email(booking_id=notes.booking_id, kind=EmailKind.STAFF_NOTICE, revision=notes.booking.revision)
    return None


async def _found_seated(
    notes: Notes, now: datetime, reply: Recorded, decision: Decision, stage: str, *, ours: bool
) -> Outcome:
    """The row says seated although this attempt did not know: its own confirm landed late, or somebody else's did."""
    last = reply.last
    if ours:
        notes.said += notes.narrator.late_confirm(now, stage)
    else:
        notes.said += notes.narrator.exited(now, reply.status, suppressed=reply.email is None)
    email = await deliver(notes, _guest_email_of(notes, reply), reply.email)
    outcome = Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.CONFIRMED if ours else Verdict.ALREADY_CONFIRMED,
        decision=decision,
        attempted=notes.searched,
        attempt_id=notes.id,
        result=with_email(last, email) if isinstance(last, LastResult) else None,
        plan=notes.plan if ours else None,
        email=email,
        handed_over=notes.handed_over,
    )
    ended = JobResult.SUCCEEDED if ours else JobResult.ALREADY_CONFIRMED
    return await finish(notes, outcome, ended, decision)


async def _never_read(notes: Notes, now: datetime) -> Outcome:
    """Time was up, or the host had cancelled, before the row was known: nothing is decided, and a job has to look."""
    outcome = Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.WAIT,
        decision=None,
        attempt_id=notes.id,
        wait_until=now + notes.policy.delays[0],
    )
    await emit(notes)
    return outcome


async def _found_modified(notes: Notes, now: datetime, reply: Recorded, decision: Decision) -> Outcome:
    """The booking is another one by now, or open again: what this attempt found ends nothing, and a job is due."""
    outcome = Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.WAIT,
        decision=decision,
        attempted=notes.searched,
        attempt_id=notes.id,
        result=reply.last if isinstance(reply.last, LastResult) else None,
        wait_until=now,
        handed_over=notes.handed_over,
    )
    await emit(notes)
    return outcome


def _guest_email_of(notes: Notes, reply: Recorded) -> Email:
    """The confirmation of the revision that the row has now."""
    revision = notes.booking.revision if reply.revision is None else reply.revision
    return Email(booking_id=notes.booking_id, kind=EmailKind.of(revision), revision=revision)


def _narrated_before(events: tuple[Event, ...]) -> int:
    """How many of a confirmation's events told of something that happened whether or not it was committed."""
    claims = {EventName.SUCCEEDED, EventName.INLINE_CONFIRM_SUCCEEDED, EventName.INLINE_SUCCEEDED}
    return sum(event.name not in claims for event in events)


def _verdict(decision: Decision) -> Verdict:
    """Of a booking that is open, or seated as it was found."""
    match decision.action:
        case Action.GIVE_UP:
            return Verdict.GAVE_UP
        case Action.ENSURE_EMAIL:
            return Verdict.ALREADY_CONFIRMED
        case _:
            return Verdict.WAIT


# Mail and events.


async def deliver(notes: Notes, email: Email | None, state: EmailState | None) -> EmailState | None:
    """Hand over what is queued. A mailer's failure is an event, and the ledger knows what became of the e-mail."""
    if email is None or state is not EmailState.CLAIMED:
        return state
    try:
        return await Deliver(email)
    except DeadlineExceeded:
        return state  # no time is left to hand it over; it stays queued, and a relay will
    except Exception as error:  # noqa: BLE001 - the booking is what it is, whatever the mailer does
        notes.said.append(notes.narrator.email_error(await Now(), email.kind, reason_of(error)))
        return EmailState.UNKNOWN


async def release(notes: Notes) -> None:
    """Give back what may be held. If that fails the hold expires by itself, and the attempt still has its end."""
    if not notes.may_hold:
        return
    try:
        await ReleaseHold(notes.booking_id, notes.id)
        notes.may_hold = False
    except (Exception, DeadlineExceeded) as error:  # noqa: BLE001 - the attempt is recorded, and that must stand
        at = await Now()
        notes.said.append(notes.narrator.attempt_error(at, notes.number, "release", reason_of(error), None))


def with_email(last: LastResult, email: EmailState | None) -> LastResult:
    """The result as the ledger has made it meanwhile."""
    if email is not EmailState.SENT or last.email_sent:
        return last
    return replace(last, email_sent=True, email_variant=EmailVariant.of(last.revision))


async def emit(notes: Notes, *, stored: bool = False) -> None:
    if notes.said:
        events = tuple(notes.said)
        notes.said.clear()
        await Emit(events, stored)


async def finish(
    notes: Notes, outcome: Outcome, result: JobResult, decision: Decision | None, reason: str | None = None
) -> Outcome:
    """The last events; for a job that has ended, its one summary."""
    waits = outcome.verdict is Verdict.WAIT
    if notes.source is Source.JOB and (not waits or (outcome.parked and notes.parks)):
        attempts = notes.number if notes.searched else 0 if decision is None else decision.attempts_used
        notes.said.append(notes.narrator.summary(await Now(), notes.run, result, decision, reason, attempts))
    await emit(notes)
    return outcome
