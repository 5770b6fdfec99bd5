"""The stories: an inline attempt, a job's attempt, and a job run to its end, told with effects.

An attempt is one story whoever tells it. Read the booking and take its lease; let the policy decide; ask the planner
for a hold; confirm it in one transaction; and, however that ended, close the attempt, so that its result is recorded,
its lease given back and no late confirm of it can land. The deadline ends at the commit: what comes after (the
e-mail, the events) cannot turn a success into a timeout.

Failures of planner, mailer and telemetry are results, not exceptions. What does go through is a cancellation, after
the record, and a failure of the booking store, because without it nothing is true.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Literal, cast

from assign_core.booking import OPEN
from assign_core.closing import close, deliver, emit, finish, release, with_email
from assign_core.decision import Action, Decision, decide
from assign_core.effects import (
    AbandonQuote,
    Acquire,
    AwaitQuote,
    Confirm,
    ContinueInBackground,
    Emit,
    LookAtCapacity,
    NewAttemptId,
    Now,
    RequestQuote,
    Sleep,
    Unfinished,
    Within,
)
from assign_core.errors import DeadlineExceeded
from assign_core.events import JobResult
from assign_core.last_result import Source, Strategy
from assign_core.narration import JobRun, how_it_ended
from assign_core.notebook import Notes, milliseconds, next_number
from assign_core.outcome import Outcome, Verdict
from assign_core.policy import Policy
from assign_core.ports import Acquired, Busy, Confirmation, Confirmed, Hold, NoHold, Plan, QuoteRequest
from assign_core.reasons import CLASS_OF, Classification, FailureClass, ReasonCode, classify_reason, reason_of

_CHANGED: Final = Classification(ReasonCode.BOOKING_CHANGED, FailureClass.AMBIGUOUS)
_TIMEOUT: Final = Classification(ReasonCode.TIMEOUT, FailureClass.AMBIGUOUS)
_ABORTED: Final = Classification(ReasonCode.ABORTED, FailureClass.AMBIGUOUS)

LONGEST_SLEEP: Final = 86_400.0
"""Seconds; a start may lie farther off than an operating system sleeps at once."""

OnDeadline = Literal["cancel", "hand_over"]
"""What becomes of an inline search that the deadline interrupts."""


async def inline_attempt(booking_id: str, *, policy: Policy, trigger: str, on_deadline: OnDeadline) -> Outcome:
    """One attempt inside the guest's request."""
    await Within(policy.inline_deadline.total_seconds())
    return await _attempt(Notes(booking_id, Source.INLINE, policy, trigger, hand_over=on_deadline == "hand_over"))


async def job_attempt(booking_id: str, *, policy: Policy, trigger: str) -> Outcome:
    """One step of a job: at most one attempt."""
    await Within(policy.job_deadline.total_seconds())
    return await _attempt(Notes(booking_id, Source.JOB, policy, trigger))


async def run_job(booking_id: str, *, policy: Policy, trigger: str) -> Outcome:
    """A job to its end. In between it sleeps; while the booking is parked it looks at the version, if one is kept."""
    run = JobRun()
    while True:
        await Within(policy.job_deadline.total_seconds())
        outcome = await _attempt(Notes(booking_id, Source.JOB, policy, trigger, run=run, parks=False))
        await Within(None)
        if outcome.wait_until is None:
            return outcome
        looks = 1
        while (left := (outcome.wait_until - await Now()).total_seconds()) > 0:
            if not outcome.parked or outcome.capacity_version is None:
                await Sleep(min(left, LONGEST_SLEEP))
                continue
            await Sleep(min(left, policy.delay_after(looks).total_seconds()))
            looks += 1
            try:
                version = await LookAtCapacity(booking_id)
                if version is None or version > outcome.capacity_version:
                    break
            except Exception:  # noqa: BLE001, S112 - a failed look has seen no change; the next one, or the limit, will
                continue


async def _attempt(notes: Notes) -> Outcome:
    """The whole story, with what becomes of it when it is interrupted."""
    now = await Now()
    notes.id = await NewAttemptId()
    if notes.run.started_at is None:
        notes.run.started_at = now
    try:
        found = await _acquire(notes, now)
        if found is None:
            return await _not_found(notes)
        if isinstance(found, Busy):
            return await _busy(notes, found)
        # Reading may have taken long, and a result that was written meanwhile does not come from the future.
        now = await Now()
        notes.opened(found, now)
        decision = notes.decision = decide(notes.booking, notes.known, policy=notes.policy, now=now)
        notes.run.remember(found.last, decision)
        notes.said += notes.narrator.looked(now, found.last, decision, notes.policy)
        if decision.action is Action.ATTEMPT:
            return await _search(notes, decision)
        return await close(notes, now, None)
    except DeadlineExceeded:
        if notes.over or notes.stage == "closing":
            raise  # the grace is over too; the lease expires by itself
        at = await Now()
        inline = notes.source is Source.INLINE and not notes.handed_over
        deadline = notes.policy.inline_deadline if inline else notes.policy.job_deadline
        notes.said += notes.narrator.timed_out(at, deadline, handed_over=False)
        return await _fail(notes, "INLINE_TIMEOUT" if inline else "JOB_TIMEOUT", _TIMEOUT)
    except (Exception, GeneratorExit):
        # The booking store failed, or the host tore the flow down and nothing can be awaited any more. The lease
        # expires by itself, and the next attempt will see that this one was lost.
        raise
    except BaseException as error:
        if not notes.over and notes.stage != "closing":
            await _cancelled(notes, error)
        raise


async def _acquire(notes: Notes, now: datetime) -> Acquired | Busy | None:
    """Read the booking and take its lease. A read that fails means no attempt."""
    try:
        return await Acquire(notes.booking_id, notes.lease(now))
    except Exception as error:
        at = await Now()
        notes.said.append(notes.narrator.attempt_error(at, notes.number, notes.stage, reason_of(error), None))
        await emit(notes)
        raise


async def _cancelled(notes: Notes, error: BaseException) -> None:
    """Leave everything in order for whoever comes next; the cancellation itself goes on unchanged."""
    reason = reason_of(error)
    notes.said += notes.narrator.aborted(await Now(), reason)
    try:
        await _fail(notes, f"AbortError: {reason}", _ABORTED)
    except (Exception, DeadlineExceeded) as second:  # noqa: BLE001 - the cancellation goes on, and this goes with it
        error.add_note(f"the attempt's result could not be recorded: {reason_of(second)}")


# An attempt that calls the planner.


async def _search(notes: Notes, decision: Decision) -> Outcome:
    notes.number = next_number(notes.known, notes.booking, notes.source)
    notes.strategy = decision.strategy
    refused: tuple[Plan, ...] = ()
    while True:
        quote, found = await _quote(notes, decision.strategy, refused)
        if isinstance(quote, NoHold):
            return await _fail(notes, quote.reason, found, quote.retry_after)
        now = await Now()
        notes.stage = "confirm"
        confirmation = _confirmation(notes, quote, now)
        before, notes.said, notes.handed = notes.said, [], confirmation.events
        try:
            answer = await Confirm(confirmation)
        except Exception as error:  # noqa: BLE001 - a lost answer: closing the attempt tells whether it was committed
            reason = reason_of(error)
            found = classify_reason(reason)
            notes.said.append(notes.narrator.refused(await Now(), quote.plan, reason, found, notes.number))
            return await _fail(notes, reason, found, told=True)
        if isinstance(answer, Confirmed) and answer.attempt_id == notes.id:
            return await _succeed(notes, confirmation, answer)
        # Nothing of it was written, so nothing of it is stored.
        notes.said, notes.handed = before, ()
        if isinstance(answer, Confirmed):
            return await _fail(notes, "BOOKING_CHANGED: confirmed by another attempt", _CHANGED, told=True)
        code = answer.reason_code
        found = classify_reason(answer.reason) if code is None else Classification(code, CLASS_OF[code])
        notes.said.append(notes.narrator.refused(await Now(), quote.plan, answer.reason, found, notes.number))
        if found.failure_class is not FailureClass.REJECTED or refused or answer.status not in OPEN:
            return await _fail(notes, answer.reason, found, answer.retry_after, told=True)
        # The same plan would be refused again; another may pass, and the search is warm.
        refused = (quote.plan,)
        await release(notes)


async def _quote(
    notes: Notes, strategy: Strategy, refused: tuple[Plan, ...]
) -> tuple[Hold | NoHold, Classification | None]:
    """Ask the planner. Its failure is an answer too."""
    policy = notes.policy
    hold = policy.inline_hold if notes.source is Source.INLINE and not notes.hand_over else policy.job_hold
    request = QuoteRequest(
        booking_id=notes.booking_id,
        revision=notes.booking.revision,
        attempt_id=notes.id,
        strategy=strategy,
        hold_seconds=hold.total_seconds(),
        excluded=refused,
    )
    asked = notes.searching_since = await Now()
    notes.stage = "quote"
    searched_before, notes.searched = notes.searched, True
    held_before, notes.may_hold = notes.may_hold, True  # a lost answer may have left a hold behind
    error: str | None = None
    outlives = notes.hand_over and not notes.handed_over
    try:
        answer = await RequestQuote(request, policy.job_deadline.total_seconds() if outlives else None)
        if isinstance(answer, Unfinished):
            await _hand_over(notes, answer, request)
            answer = await AwaitQuote(answer, request)
        answer = _sane(answer)
    except DeadlineExceeded as late:
        if not late.begun:
            # The store alone has used up the time. A planner that was not called is no evidence, and costs no budget.
            notes.searched, notes.may_hold, notes.searching_since = searched_before, held_before, None
        raise
    except Exception as failure:  # noqa: BLE001 - whatever a planner raises, the attempt has a result
        error = reason_of(failure)
        answer = NoHold(reason=error)
    now = await Now()
    notes.searching_since = None
    duration = milliseconds(now - asked)
    notes.duration_ms += duration
    notes.alternates = answer.alternates
    if answer.capacity_version is not None:
        notes.capacity_version = answer.capacity_version
    found: Classification | None = None
    if isinstance(answer, Hold):
        notes.held = True
        notes.plan = answer.plan
    else:
        # A refused plan whose release failed is held still, whatever the second search says.
        notes.may_hold = held_before or error is not None
        code = answer.reason_code
        found = classify_reason(answer.reason) if code is None else Classification(code, CLASS_OF[code])
    notes.said += notes.narrator.quoted(
        now, answer, found, error, duration_ms=duration, strategy=strategy, attempt=notes.number
    )
    if isinstance(answer, Hold) and notes.disproves_version(answer):
        notes.said.append(notes.narrator.change_missed(now, answer, notes.booking.capacity_version, notes.number))
    return answer, found


def _sane(answer: object) -> Hold | NoHold:
    """A planner's answer, without what no planner can mean. Planners are the host's code, and not all of it is typed.

    Raises:
        TypeError: it is neither a hold on named tables nor a refusal.
    """
    if isinstance(answer, Hold):
        tables: object = getattr(answer.plan, "tables", None)
        named = isinstance(tables, tuple) and tables and all(isinstance(table, str) for table in tables)
        if not named or not isinstance(cast(object, answer.hold_id), str):
            raise TypeError(f"the planner held {tables!r} as {answer.hold_id!r}; it must name both by strings")
        return replace(answer, alternates=_count(answer.alternates), capacity_version=_number(answer.capacity_version))
    if not isinstance(answer, NoHold):
        raise TypeError(f"the planner answered {type(answer).__name__}; it must return a Hold or a NoHold")
    hint: object = answer.retry_after
    reason: object = answer.reason
    code: object = answer.reason_code
    return replace(
        answer,
        reason=reason if isinstance(reason, str) else "",
        reason_code=code if isinstance(code, ReasonCode) else None,
        retry_after=hint if isinstance(hint, datetime) and hint.utcoffset() is not None else None,
        capacity_version=_number(answer.capacity_version),
        alternates=_count(answer.alternates),
    )


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _count(value: object) -> int:
    return max(0, _number(value) or 0)


async def _hand_over(notes: Notes, unfinished: Unfinished, request: QuoteRequest) -> None:
    """Answer the guest; this same attempt goes on under the job's deadline and under the lease it has."""
    now = await Now()
    pending = Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.WAIT,
        decision=notes.decision,
        attempted=True,
        attempt_id=notes.id,
        wait_until=notes.lease(now).expires_at,
        handed_over=True,
    )
    try:
        await ContinueInBackground(pending, notes.policy.job_deadline.total_seconds())
    except Exception:
        # The host has no background any more, as at its shutdown.
        await AbandonQuote(unfinished, request)
        raise
    notes.handed_over = True
    notes.said += notes.narrator.timed_out(now, notes.policy.inline_deadline, handed_over=True)


def _confirmation(notes: Notes, hold: Hold, now: datetime) -> Confirmation:
    email = None if notes.suppress_email() else notes.guest_email()
    said = notes.narrator.confirmed(
        now, hold.plan, email_queued=email is not None, attempt=notes.number, duration_ms=notes.duration_ms
    )
    return Confirmation(
        booking_id=notes.booking_id,
        attempt_id=notes.id,
        revision=notes.booking.revision,
        hold=hold,
        result=notes.result(now, success=True),
        email=email,
        events=(*notes.said, *said),
    )


async def _succeed(notes: Notes, confirmation: Confirmation, answer: Confirmed) -> Outcome:
    """The commit is made. Nothing from here on can undo or rename it."""
    notes.stage = "committed"
    notes.handed = ()
    await Emit(confirmation.events, answer.events_stored)
    email = await deliver(notes, confirmation.email, answer.email)
    outcome = Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.CONFIRMED,
        decision=notes.decision,
        attempted=True,
        attempt_id=notes.id,
        result=with_email(answer.last, email),
        plan=confirmation.hold.plan,
        email=email,
        handed_over=notes.handed_over,
    )
    return await finish(notes, outcome, JobResult.SUCCEEDED, notes.decision)


async def _fail(
    notes: Notes,
    reason: str,
    found: Classification | None,
    retry_after: datetime | None = None,
    *,
    told: bool = False,
) -> Outcome:
    """The attempt did not confirm, as far as it knows. ``told``: an event has said so already."""
    now = await Now()
    if notes.searching_since is not None:
        notes.duration_ms += milliseconds(now - notes.searching_since)
    result = None
    if notes.searched:
        result = notes.result(now, success=False, reason=reason, found=found, retry_after=retry_after)
    began = notes.decision is not None and notes.decision.action is Action.ATTEMPT
    if notes.source is Source.JOB and began and not told:
        notes.said.append(notes.narrator.attempt_error(now, notes.number, notes.stage, reason, found))
    return await close(notes, now, result)


# An attempt that does not.


async def _not_found(notes: Notes) -> Outcome:
    outcome = Outcome(booking_id=notes.booking_id, verdict=Verdict.NOT_ACTIONABLE, decision=None)
    return await finish(notes, outcome, JobResult.NOT_ACTIONABLE, None)


async def _busy(notes: Notes, found: Busy) -> Outcome:
    """Another attempt is at it; whatever it finds will be recorded by then."""
    now = await Now()
    decision = decide(found.booking, found.last, policy=notes.policy, now=now)
    seated = decision.action is Action.ENSURE_EMAIL
    # Without the lease nobody can be written to, so a guest who has not been has to wait for it.
    if (seated and decision.suppress_email) or decision.action is Action.NONE:
        verdict = Verdict.ALREADY_CONFIRMED if seated else Verdict.NOT_ACTIONABLE
        notes.said += notes.narrator.ended(now, found.booking, decision, None, notes.policy)
        outcome = Outcome(booking_id=notes.booking_id, verdict=verdict, decision=decision)
        return await finish(notes, outcome, how_it_ended(decision), decision)
    return Outcome(
        booking_id=notes.booking_id,
        verdict=Verdict.WAIT,
        decision=decision,
        wait_until=max(found.holder.expires_at, now + timedelta(milliseconds=1)),
    )
